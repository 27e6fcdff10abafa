"""Classical Metropolis within Gibbs: coefficients, effects, covariances and dispersion in blocks.

The state is (theta, u) itself, with effects u of covariance Sigma: the form in which PROC MCMC and
textbooks sample. Each step leaves the posterior as it is, so that any sequence of them does. It is
kept for teaching, comparison and odd models; transported coordinates mix better by far.
"""

import numpy as np

from .. import covariance, families
from .._jit import ENABLED, bare, entry, kernel, typeof, types
from .._linalg import total_of
from ..density import DATA_TYPE, dispersion, fill_eta, theta_logprior
from . import centring, classical_effects, classical_scales, classical_sigma, classical_theta
from .classical_state import (
    ACCEPTED,
    BETA,
    CENTRED,
    CONJUGATE,
    EFFECTS,
    FIRST,
    IWLS,
    LAST,
    METHOD,
    MOMENT,
    NEW,
    NONCENTRED,
    PRODUCTS,
    PROPOSED,
    RUNNING,
    SHIFT,
    SIGMA,
    STATUS,
    SUM,
    SWEEPS,
    TARGET,
    TRIANGLE,
    WALK,
    WHICH,
    Steps,
    Tuning,
    make_scratch,
    new_state,
    pack,
    unpack,
)

REFRESH = 64  # sweeps after which the linear predictor is summed anew: steps only add to it
STATS = ("accept", "logdensity")

if ENABLED:
    _one, _table = np.zeros(1), np.zeros((1, 1))
    _counts = np.zeros((1, 8), dtype=np.int64)
    ADVANCE_SIGNATURE = types.void(
        families.ROWS_TYPE,
        DATA_TYPE,
        typeof(Steps(_counts, _counts[0], _table, _one)),
        typeof(Tuning(_one, _table, _one, _table, _table, _one)),
        typeof(pack([])),
        typeof(new_state(np.zeros(2, dtype=np.uint64), _one, _one, 1)),
        types.int64,
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
    )
else:
    ADVANCE_SIGNATURE = None


@bare
def refresh(rows, data, state):
    """Linear predictors and log-likelihoods from theta and u."""
    p, obs = data.prior.beta.shape[0], data.obs
    phi, out = dispersion(data.prior, state.theta), state.loglik
    fill_eta(data, state.theta[:p], state.u, 0, out.size, state.eta)
    rows(families.LOGLIK, state.eta, obs.y, obs.w, phi, out, out, out, out)


@bare
def _learn_theta(tuning, theta):
    """Add theta to the moments of this loop of tuning."""
    shift, total = tuning.theta[SHIFT], tuning.theta[SUM]
    for i in range(theta.size):
        away = theta[i] - shift[i]
        total[i] += away
        products = tuning.theta[PRODUCTS + i]
        for j in range(i + 1):
            products[j] += away * (theta[j] - shift[j])


@bare
def _learn_effects(data, tuning, step, u):
    """Add the effects of a factor that walk to the moments of this loop of tuning."""
    first, q, J = step[FIRST], step[LAST] - step[FIRST], data.levels[step[WHICH]]
    base, shift, total = data.effect[first], step[MOMENT], step[MOMENT] + q * J
    for k in range(q):
        own = u[base + k * J : base + (k + 1) * J]
        start = tuning.moment[shift + k * J : shift + (k + 1) * J]
        sums = tuning.moment[total + k * J : total + (k + 1) * J]
        for g in range(J):
            sums[g] += own[g] - start[g]
        for l in range(k + 1):
            other = u[base + l * J : base + (l + 1) * J]
            other_start = tuning.moment[shift + l * J : shift + (l + 1) * J]
            place = total + (q + k * q + l) * J
            products = tuning.moment[place : place + J]
            for g in range(J):
                products[g] += (own[g] - start[g]) * (other[g] - other_start[g])


@entry(lambda: ADVANCE_SIGNATURE)
def advance(rows, data, steps, tuning, centres, state, learn, theta_out, u_out, stats):
    """Run as many sweeps as theta_out has rows; with none, evaluate the density at the start.

    `learn` is 1 in loops of tuning, whose draws make the next proposals.
    """
    prior, flag, Q = data.prior, state.flag, data.factor.size
    p, d = prior.beta.shape[0], state.theta.size
    scratch, L = make_scratch(data, d), np.zeros((Q, Q))
    psi = state.theta[p : p + prior.covariance.row.size]
    covariance.fill_L(prior.covariance, psi, L)
    if flag[STATUS] == NEW:
        refresh(rows, data, state)
        flag[STATUS] = RUNNING
    for row in range(theta_out.shape[0]):
        # At set sweeps, not at the start of a call: draws must not depend on how calls are cut.
        if flag[SWEEPS] % REFRESH == 0:
            refresh(rows, data, state)
        rate, tried = 0.0, 0
        for b in range(steps.step.shape[0]):
            step = steps.step[b]
            method, target = step[METHOD], step[TARGET]
            accepted = 1.0
            if method == CENTRED:
                _centred(data, centres, step[WHICH], L, state)
            elif target == EFFECTS:
                accepted = classical_effects.move(rows, data, step, L, tuning, state, scratch)
            else:
                members = steps.member[step[FIRST] : step[LAST]]
                size = members.size
                own = step[TRIANGLE]
                triangle = tuning.triangle[own : own + size * size]
                scale = tuning.scale[b]
                if method == NONCENTRED:
                    classical_scales.move(rows, data, members, steps.width, L, state, scratch)
                elif target == SIGMA:
                    accepted = classical_sigma.move(
                        data, step, members, scale, triangle, steps.width, L, state
                    )
                elif method == WALK:
                    accepted = classical_theta.walk(
                        rows, data, members, scale, triangle, state, scratch
                    )
                elif method == IWLS or (method == CONJUGATE and target == BETA):
                    accepted = classical_theta.iwls(rows, data, steps, b, members, state, scratch)
                elif method == CONJUGATE:
                    classical_theta.draw_sigma(rows, data, state, scratch)
                else:
                    classical_theta.slices(rows, data, members, steps.width, state, scratch)
            tuning.tally[b, ACCEPTED] += accepted
            tuning.tally[b, PROPOSED] += 1.0
            if method == WALK or method == IWLS:
                rate += accepted
                tried += 1
        flag[SWEEPS] += 1
        if learn == 1:
            _learn_theta(tuning, state.theta)
            for b in range(steps.step.shape[0]):
                step = steps.step[b]
                if step[TARGET] == EFFECTS and step[METHOD] == WALK:
                    _learn_effects(data, tuning, step, state.u)
        for i in range(d):
            theta_out[row, i] = state.theta[i]
        for i in range(state.u.size):
            u_out[row, i] = state.u[i]
        stats[row, 0] = rate / tried if tried > 0 else 1.0
        value = total_of(state.loglik) + theta_logprior(prior, state.theta, L)
        stats[row, 1] = value + classical_sigma.log_effects(data, state.theta, state.u, L)


@kernel
def _centred(data, centres, which, L_all, state):
    """Coefficients of one factor given the effects they are the means of; eta does not move."""
    first, q, J = centres.table[which, 2], centres.table[which, 3], centres.table[which, 4]
    base, L = data.effect[first], np.zeros((q, q))
    for k in range(q):
        for l in range(k + 1):
            L[k, l] = L_all[first + k, first + l]
    u = state.u[base : base + q * J].reshape((q, J))
    own = unpack(centres, which)
    centring._draw_beta(data.prior.beta, own, L, state.theta, u, state.random)
