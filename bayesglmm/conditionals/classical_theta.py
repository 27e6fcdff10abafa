"""Steps of coefficients and of the dispersion: random walk, IWLS, slices, exact draws."""

import math

import numpy as np

from .. import families
from .._jit import bare, kernel
from .._linalg import add, cholesky, copy, dot, solve_lower, solve_upper, total_of
from .._random import exponential, gamma, normal, uniform
from ..density import dispersion
from ..prior_density import (
    HALF_STUDENT_T,
    INVERSE_GAMMA_VARIANCE,
    dispersion_logpdf,
    prior_logpdf,
)
from .classical_state import (
    CONJUGATE,
    METHOD,
    NEW_ETA,
    NEW_LOGLIK,
    PRODUCT_ROW,
    SCORE_ROW,
    WEIGHT_ROW,
)

STEPS_OUT = 40  # steps out of a slice allowed, in units of its width
SHORTEST = 1e-14  # a slice shrunk to this has found nothing; only rounding can bring it here


@bare
def log_prior(prior, theta, members):
    """Log prior of some coefficients, and of the log dispersion if it is among them."""
    p, value = prior.beta.shape[0], 0.0
    for i in range(members.size):
        j = members[i]
        if j < p:
            row = prior.beta[j]
            value += prior_logpdf(int(row[0]), row[1], row[2], row[3], theta[j])
        else:
            row = prior.phi[0]
            value += dispersion_logpdf(int(row[0]), row[1], row[2], row[3], theta[j])
    return value


@bare
def try_theta(rows, data, members, theta, trial, eta, row):
    """Log-likelihood at a trial of theta; NEW_ETA and NEW_LOGLIK are then those of the trial."""
    p = data.prior.beta.shape[0]
    new_eta, new_loglik = row[NEW_ETA], row[NEW_LOGLIK]
    copy(new_eta, eta)
    for i in range(members.size):
        j = members[i]
        if j < p:
            add(new_eta, data.obs.X[j], trial[j] - theta[j])
    phi = dispersion(data.prior, trial)
    spare = new_loglik
    rows(families.LOGLIK, new_eta, data.obs.y, data.obs.w, phi, new_loglik, spare, spare, spare)
    return total_of(new_loglik)


@bare
def take_theta(members, trial, state, row):
    """Make a trial the current theta, with its predictors and log-likelihoods."""
    for i in range(members.size):
        state.theta[members[i]] = trial[members[i]]
    copy(state.eta, row[NEW_ETA])
    copy(state.loglik, row[NEW_LOGLIK])


@bare
def walk(rows, data, members, scale, triangle, state, scratch):
    """Random walk of some elements of theta: Normal, of covariance scale^2 T T'.

    Returns whether it was accepted. `triangle` is T (size, size), flat.
    """
    size, trial, noise = members.size, scratch.trial[0], scratch.trial[1]
    copy(trial, state.theta)
    for i in range(size):
        noise[i] = normal(state.random)
        own = triangle[i * size : i * size + i + 1]
        trial[members[i]] += scale * dot(own, noise[: i + 1])
    threshold = math.log(uniform(state.random))
    ratio = log_prior(data.prior, trial, members) - log_prior(data.prior, state.theta, members)
    ratio += try_theta(rows, data, members, state.theta, trial, state.eta, scratch.row)
    ratio -= total_of(state.loglik)
    if not threshold < ratio:
        return 0.0
    take_theta(members, trial, state, scratch.row)
    return 1.0


@bare
def slices(rows, data, members, width, state, scratch):
    """One slice along each element (Neal 2003)."""
    trial = scratch.trial[0]
    copy(trial, state.theta)
    for i in range(members.size):
        _slice(rows, data, members[i : i + 1], width[members[i]], trial, state, scratch)


@bare
def _slice(rows, data, member, width, trial, state, scratch):
    """A slice along one element; trial equals theta before and after."""
    place, random = member[0], state.random
    start = state.theta[place]
    height = total_of(state.loglik) + log_prior(data.prior, trial, member) - exponential(random)
    left = start - width * uniform(random)
    right = left + width
    room = int(uniform(random) * STEPS_OUT)
    for side in range(2):
        t = left if side == 0 else right
        for _ in range(room if side == 0 else STEPS_OUT - 1 - room):
            trial[place] = t
            if not _value(rows, data, member, trial, state, scratch) > height:
                break
            t += -width if side == 0 else width
        if side == 0:
            left = t
        else:
            right = t
    while right - left > SHORTEST:
        t = left + (right - left) * uniform(random)
        trial[place] = t
        if _value(rows, data, member, trial, state, scratch) > height:
            take_theta(member, trial, state, scratch.row)
            return
        if t < start:
            left = t
        else:
            right = t
    trial[place] = start


@bare
def _value(rows, data, member, trial, state, scratch):
    own = log_prior(data.prior, trial, member)
    if not own > -np.inf:
        return -np.inf
    return own + try_theta(rows, data, member, state.theta, trial, state.eta, scratch.row)


@kernel
def weighted_squares(rows, data, steps, members, theta, eta, phi, row, H, g):
    """One step of iteratively weighted least squares of some coefficients, from theta.

    H (size, size) becomes the Cholesky factor C of X'WX and the priors' precisions, g the new
    coefficients' mean. Returns log det C, or nan where there is no such factor.
    """
    obs, size = data.obs, members.size
    score, weight, product = row[SCORE_ROW], row[WEIGHT_ROW], row[PRODUCT_ROW]
    rows(families.IWLS, eta, obs.y, obs.w, phi, score, weight, product, product)
    for i in range(size):
        x, precision = obs.X[members[i]], steps.normal[members[i], 1]
        g[i] = dot(x, score) + precision * (steps.normal[members[i], 0] - theta[members[i]])
        for r in range(product.size):
            product[r] = x[r] * weight[r]
        for j in range(i + 1):
            H[i, j] = dot(obs.X[members[j]], product)
        H[i, i] += precision
    if not cholesky(H):
        return np.nan
    solve_lower(H, g)
    solve_upper(H, g)
    value = 0.0
    for i in range(size):
        g[i] += theta[members[i]]
        value += math.log(H[i, i])
    return value


@kernel
def iwls(rows, data, steps, b, members, state, scratch):
    """Metropolis step from one step of IWLS, or an exact draw where the model is linear.

    The proposal is Normal, its mean and curvature those of a scoring step from where the chain is;
    its density on the way back is that of a step from where it would go (Gamerman 1997).
    """
    size, trial = members.size, scratch.trial[0]
    H, mean, away = np.empty((size, size)), np.empty(size), np.empty(size)
    phi = dispersion(data.prior, state.theta)
    row = scratch.row
    forward = weighted_squares(
        rows, data, steps, members, state.theta, state.eta, phi, row, H, mean
    )
    copy(trial, state.theta)
    for i in range(size):
        away[i] = normal(state.random)
    forward -= 0.5 * dot(away, away)
    solve_upper(H, away)
    for i in range(size):
        trial[members[i]] = mean[i] + away[i]
    threshold = math.log(uniform(state.random))
    if not forward > -np.inf:
        return 0.0
    ratio = try_theta(rows, data, members, state.theta, trial, state.eta, row)
    if steps.step[b, METHOD] != CONJUGATE:
        ratio -= total_of(state.loglik)
        ratio += log_prior(data.prior, trial, members) - log_prior(data.prior, state.theta, members)
        if not ratio > -np.inf:
            return 0.0
        back = weighted_squares(rows, data, steps, members, trial, row[NEW_ETA], phi, row, H, mean)
        for i in range(size):
            # C'(beta - mean), the noise that would lead back
            total = 0.0
            for j in range(i, size):
                total += H[j, i] * (state.theta[members[j]] - mean[j])
            back -= 0.5 * total * total
        ratio += back - forward
        if not threshold < ratio:
            return 0.0
    take_theta(members, trial, state, row)
    return 1.0


@bare
def draw_variance(kind, a, b, variance, count, squares, random):
    """A variance given `count` normals of mean 0 whose squares sum to `squares`, exactly.

    For priors of the sd by whose conditional laws it can be drawn: inverse-gamma of the variance;
    half-t, an inverse-gamma whose scale is inverse-gamma (Wand, Ormerod, Padoan and Fruehwirth
    2011), that scale being drawn first given the variance; flat.
    """
    if kind == INVERSE_GAMMA_VARIANCE:
        return (b + 0.5 * squares) / gamma(random, a + 0.5 * count)
    if kind == HALF_STUDENT_T:
        mixing = gamma(random, 0.5 * (a + 1.0)) / (1.0 / (b * b) + a / variance)
        return (a * mixing + 0.5 * squares) / gamma(random, 0.5 * (a + count))
    return 0.5 * squares / gamma(random, 0.5 * (count - 1.0))


@bare
def draw_sigma(rows, data, state, scratch):
    """Sd of a Gaussian response given all else, exactly."""
    prior, new = data.prior.phi[0], scratch.row[NEW_LOGLIK]
    # Of sigma = 1 a row's log-likelihood is - w (y - mu)^2 / 2.
    rows(families.LOGLIK, state.eta, data.obs.y, data.obs.w, 1.0, new, new, new, new)
    place = state.theta.size - 1
    now = math.exp(2.0 * state.theta[place])
    squares, count = -2.0 * total_of(new), total_of(data.obs.w)
    variance = draw_variance(int(prior[0]), prior[1], prior[2], now, count, squares, state.random)
    if not (variance > 0.0 and variance < np.inf):
        return
    state.theta[place] = 0.5 * math.log(variance)
    phi = dispersion(data.prior, state.theta)
    rows(families.LOGLIK, state.eta, data.obs.y, data.obs.w, phi, state.loglik, new, new, new)
