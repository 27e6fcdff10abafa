"""Moves of beta and Sigma with the effects u = L v and the linear predictor held (centred moves).

1. Hierarchical centring (Gelfand, Sahu and Carlin 1995): a coefficient whose column is, within each
   group, a combination x_r = sum_k Z_rk W_k of the z columns moves together with u: with gamma_i =
   W_i beta + u_i held, gamma_i ~ N(W_i beta, Sigma) and eta does not change. beta given gamma is
   Normal under a Normal or flat prior; other priors enter by a Metropolis step.
2. Sigma given u, from the q x q sums of u u' alone: an inverse-Wishart draw where conjugate; for
   sds and correlations the draw that would be right under a nearby prior, accepted or not
   (Metropolis); else slices (Neal 2003) along each element of psi.

These cure what transported proposals of one fixed shape cannot: the spread of the intercept grows
with the sd of few groups.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import covariance
from .._jit import bare, kernel
from .._linalg import cholesky, dot, solve_lower, solve_upper
from .._random import exponential, gamma, normal, uniform
from ..prior_density import prior_logpdf

WIDTH = 3.0  # width of a slice in posterior sds: an interval is found in one or two steps
STEPS_OUT = 40  # steps out of a slice allowed, in units of the width
SHORTEST = 1e-14  # a slice shrunk to this has found nothing; only rounding can bring it here


class Centring(NamedTuple):
    """Which coefficients are centred, and the data sums that their draw needs."""

    column: np.ndarray  # (c, 2) int64, place in beta; 1 if the prior is its Normal stand-in
    W: np.ndarray  # (c, q, J)
    cross: np.ndarray  # (q, q, c, c), sum over groups of W[a, k] W[b, l]
    normal: np.ndarray  # (c, 2) mean and precision of the Normal that stands for the prior
    width: np.ndarray  # (psi,) width of the slice of each element of psi


def empty() -> Centring:
    """No coefficient is centred."""
    return Centring(
        np.zeros((0, 2), dtype=np.int64),
        np.zeros((0, 0, 0)),
        np.zeros((0, 0, 0, 0)),
        np.zeros((0, 2)),
        np.zeros(0),
    )


def within_groups(data, tolerance: float = 1e-9) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients that can be centred.

    Parameters
    ----------
    data : Data of one factor
    tolerance : float
        Largest residual of x_r - sum_k Z_rk W_k, relative to the column's largest value.

    Returns
    -------
    columns : ndarray of int64, shape (c,)
    W : ndarray, shape (c, q, J)
    """
    q, J, p = data.factor.size, int(data.levels[0]), data.obs.X.shape[0]
    index = data.level[0]
    gram = np.empty((J, q, q))
    for k in range(q):
        for l in range(k + 1):
            total = np.bincount(index, data.obs.Z[k] * data.obs.Z[l], minlength=J)
            gram[:, k, l] = gram[:, l, k] = total
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    columns, found = [], []
    for j in range(p):
        x = data.obs.X[j]
        moments = np.stack(
            [np.bincount(index, data.obs.Z[k] * x, minlength=J) for k in range(q)], 1
        )
        W = np.einsum("gkl,gl->kg", inverse, moments)
        residual = x - sum(data.obs.Z[k] * W[k][index] for k in range(q))
        if np.abs(residual).max(initial=0.0) <= tolerance * np.abs(x).max(initial=1.0):
            columns.append(j)
            found.append(W)
    W = np.ascontiguousarray(found) if found else np.zeros((0, q, J))
    return np.array(columns, dtype=np.int64), W


@kernel
def draw(prior, centre, L, theta, v, new_v, random):
    """Move beta and psi of theta, with u = L v of (q, J) effects; new_v are the effects after.

    theta (d,) holds the current values on entry and the new ones after.
    """
    q, J = v.shape
    cov, p = prior.covariance, prior.beta.shape[0]
    psi = theta[p : p + cov.row.size]
    u, new_L, sums = new_v, np.zeros((q, q)), np.zeros((q, q))
    for k in range(q):
        for g in range(J):
            u[k, g] = L[k, k] * v[k, g]
        for l in range(k):
            if L[k, l] != 0.0:
                for g in range(J):
                    u[k, g] += L[k, l] * v[l, g]
    if centre.column.shape[0] > 0:
        _draw_beta(prior.beta, centre, L, theta, u, random)
    for k in range(q):
        for l in range(k + 1):
            sums[k, l] = dot(u[k], u[l])
            sums[l, k] = sums[k, l]
    trial = np.empty(psi.size)
    for e in range(psi.size):
        trial[e] = psi[e]
    covariance.fill_L(cov, psi, new_L)
    for block in range(cov.kind.size):
        size = cov.block_start[block + 1] - cov.block_start[block]
        if cov.kind[block] == covariance.INVERSE_WISHART:
            _draw_conjugate(cov, block, sums, J, psi, new_L, trial, random)
        elif cov.kind[block] == covariance.DIAGONAL and J > 1:
            _draw_sds(cov, block, sums, J, psi, new_L, random)
        elif cov.kind[block] == covariance.SD_CORRELATION and J > size:
            _draw_nearly_conjugate(cov, block, sums, J, psi, new_L, trial, random)
        else:
            _slice_block(cov, block, centre.width, sums, J, psi, new_L, trial, random)
        for e in range(psi.size):
            trial[e] = psi[e]
    covariance.fill_L(cov, psi, new_L)
    for k in range(q):
        for l in range(k):
            if new_L[k, l] != 0.0:
                for g in range(J):
                    u[k, g] -= new_L[k, l] * u[l, g]
        for g in range(J):
            u[k, g] /= new_L[k, k]


@kernel
def _draw_beta(priors, centre, L, theta, u, random):
    """Beta of the centred columns given gamma = W beta + u; u moves with it."""
    q, J, size = L.shape[0], u.shape[1], centre.column.shape[0]
    inverse, column = np.zeros((q, q)), np.empty(q)  # Sigma^-1 = L^-T L^-1
    for l in range(q):
        for k in range(q):
            column[k] = 1.0 if k == l else 0.0
        solve_lower(L, column)
        solve_upper(L, column)
        for k in range(q):
            inverse[k, l] = column[k]
    P, old, new = np.zeros((size, size)), np.empty(size), np.zeros(size)
    for a in range(size):
        old[a] = theta[centre.column[a, 0]]
    for k in range(q):
        for l in range(q):
            if inverse[k, l] != 0.0:
                for a in range(size):
                    new[a] += inverse[k, l] * dot(centre.W[a, k], u[l])
                    for b in range(size):
                        P[a, b] += inverse[k, l] * centre.cross[k, l, a, b]
    for a in range(size):
        new[a] += dot(P[a], old) + centre.normal[a, 1] * centre.normal[a, 0]
    for a in range(size):
        P[a, a] += centre.normal[a, 1]
    if not cholesky(P):
        return
    solve_lower(P, new)
    for a in range(size):
        new[a] += normal(random)
    solve_upper(P, new)
    ratio = 0.0
    for a in range(size):
        if centre.column[a, 1] == 0:
            prior = priors[centre.column[a, 0]]
            mean, precision = centre.normal[a, 0], centre.normal[a, 1]
            ratio += _beyond_normal(prior, mean, precision, new[a])
            ratio -= _beyond_normal(prior, mean, precision, old[a])
    if ratio < 0.0 and not math.log(uniform(random)) < ratio:
        return
    for a in range(size):
        theta[centre.column[a, 0]] = new[a]
        for k in range(q):
            step = new[a] - old[a]
            for g in range(J):
                u[k, g] -= centre.W[a, k, g] * step


@bare
def _beyond_normal(prior, mean, precision, value):
    """Log prior of a coefficient less that of the Normal that stands for it."""
    distance = value - mean
    density = prior_logpdf(int(prior[0]), prior[1], prior[2], prior[3], value)
    return density + 0.5 * precision * distance * distance


@kernel
def _wishart_factor(S, df, random, sigma):
    """Cholesky factor into `sigma` of a draw from the inverse-Wishart(df, S); S (q, q) is lost.

    Returns False, and draws nothing that counts, if S is not positive definite.
    """
    q = S.shape[0]
    # Sigma^-1 ~ Wishart(df, S^-1) = F^-T A A' F^-1 with S = F F', so Sigma = T T', T = F A^-T.
    if not cholesky(S):
        return False
    A = np.zeros((q, q))
    for k in range(q):
        A[k, k] = math.sqrt(2.0 * gamma(random, 0.5 * (df - k)))
        for l in range(k):
            A[k, l] = normal(random)
    # T = F A^-T: column l of A^-T solves A' x = e_l backwards.
    column = np.empty(q)
    T = np.zeros((q, q))
    for l in range(q):
        for k in range(q):
            column[k] = 1.0 if k == l else 0.0
        solve_upper(A, column)
        for k in range(q):
            total = 0.0
            for i in range(k + 1):
                total += S[k, i] * column[i]
            T[k, l] = total
    for k in range(q):
        for l in range(q):
            total = 0.0
            for i in range(q):
                total += T[k, i] * T[l, i]
            sigma[k, l] = total
    return cholesky(sigma)


@kernel
def _draw_conjugate(cov, block, sums, J, psi, L, trial, random):
    """Sigma | u ~ inverse-Wishart(df + J, scale + sum u u'), by Bartlett's decomposition."""
    lo, hi = cov.block_start[block], cov.block_start[block + 1]
    q = hi - lo
    S, sigma = np.empty((q, q)), np.empty((q, q))
    for k in range(q):
        for l in range(q):
            total = sums[lo + k, lo + l]
            for i in range(min(k, l) + 1):
                total += cov.scale[lo + k, lo + i] * cov.scale[lo + l, lo + i]
            S[k, l] = total
    if _wishart_factor(S, cov.df[block] + J, random, sigma):
        _place(cov, block, sigma, L, psi, trial)


@kernel
def _draw_nearly_conjugate(cov, block, sums, J, psi, L, trial, random):
    """Sigma | u under sds and correlations, proposed from the inverse-Wishart(J - 1, sum u u').

    What the prior has beyond that proposal is prod_k p(s_k) |R|^(eta - 1 + q / 2), which has a
    bound: few proposals are rejected, and no chain can stick.
    """
    lo, hi = cov.block_start[block], cov.block_start[block + 1]
    q = hi - lo
    S, sigma = np.empty((q, q)), np.empty((q, q))
    for k in range(q):
        for l in range(q):
            S[k, l] = sums[lo + k, lo + l]
    if not _wishart_factor(S, J - 1.0, random, sigma):
        return
    threshold = math.log(uniform(random))
    power = cov.eta[block] - 1.0 + 0.5 * q
    ratio = _beyond_wishart(cov, lo, sigma, power)
    ratio -= _beyond_wishart(cov, lo, L[lo:hi, lo:hi], power)
    if threshold < ratio:
        _place(cov, block, sigma, L, psi, trial)


@bare
def _beyond_wishart(cov, lo, L, power):
    """Log of prod_k p(s_k) |R|^power, of a block of L that begins at `lo`."""
    value, half = 0.0, 0.0
    for k in range(L.shape[0]):
        s = covariance.row_sd(L, 0, k)
        a, b, c = cov.sd_a[lo + k], cov.sd_b[lo + k], cov.sd_c[lo + k]
        value += prior_logpdf(cov.sd_kind[lo + k], a, b, c, s / cov.z_scale[lo + k])
        if k > 0:
            half += math.log(L[k, k] / s)
    return value + 2.0 * power * half


@bare
def _place(cov, block, sigma, L, psi, trial):
    """Make a factor the current one of its block."""
    lo, hi = cov.block_start[block], cov.block_start[block + 1]
    for k in range(hi - lo):
        for l in range(k + 1):
            L[lo + k, lo + l] = sigma[k, l]
    covariance.fill_psi(cov, L, trial)
    for e in range(psi.size):
        if lo <= cov.row[e] < hi:
            psi[e] = trial[e]


@bare
def _draw_sds(cov, block, sums, J, psi, L, random):
    """Each sd | u of uncorrelated effects, proposed as if its prior were flat.

    sum u^2 / s^2 is then chi-square on J - 1 degrees of freedom; the prior decides.
    """
    for e in range(psi.size):
        k = cov.row[e]
        if not cov.block_start[block] <= k < cov.block_start[block + 1]:
            continue
        scale = cov.z_scale[k]
        proposed = math.sqrt(0.5 * sums[k, k] / gamma(random, 0.5 * (J - 1.0)))
        threshold = math.log(uniform(random))
        a, b, c = cov.sd_a[k], cov.sd_b[k], cov.sd_c[k]
        ratio = prior_logpdf(cov.sd_kind[k], a, b, c, proposed / scale)
        ratio -= prior_logpdf(cov.sd_kind[k], a, b, c, L[k, k] / scale)
        if threshold < ratio and proposed > 0.0:
            psi[e] = math.log(proposed)
            L[k, k] = proposed


@bare
def _given_u(cov, block, sums, J, psi, L, inverse):
    """Log p(psi) + log p(u | Sigma) of one block, up to a constant; fills L and its inverse."""
    covariance.fill_L(cov, psi, L)
    value = covariance.psi_logdensity(cov, psi, L)
    lo, hi = cov.block_start[block], cov.block_start[block + 1]
    trace = 0.0
    for k in range(hi - lo):
        for l in range(k + 1):
            total = 1.0 if k == l else 0.0
            for i in range(l, k):
                total -= L[lo + k, lo + i] * inverse[i, l]
            inverse[k, l] = total / L[lo + k, lo + k]
        value -= J * math.log(L[lo + k, lo + k])
        # tr(Sigma^-1 S), row by row of L^-1
        for i in range(k + 1):
            for j in range(i):
                trace += 2.0 * inverse[k, i] * inverse[k, j] * sums[lo + i, lo + j]
            trace += inverse[k, i] * inverse[k, i] * sums[lo + i, lo + i]
    value -= 0.5 * trace
    return value if value == value else -np.inf


@bare
def _slice(cov, block, sums, J, psi, L, inverse, trial, element, width, random):
    """One slice along an element of psi, updated in place; trial equals psi before and after."""
    start = psi[element]
    height = _given_u(cov, block, sums, J, psi, L, inverse) - exponential(random)
    left = start - width * uniform(random)
    right = left + width
    room = int(uniform(random) * STEPS_OUT)
    for side in range(2):
        t = left if side == 0 else right
        for _ in range(room if side == 0 else STEPS_OUT - 1 - room):
            trial[element] = t
            if not _given_u(cov, block, sums, J, trial, L, inverse) > height:
                break
            t += -width if side == 0 else width
        if side == 0:
            left = t
        else:
            right = t
    while right - left > SHORTEST:
        t = left + (right - left) * uniform(random)
        trial[element] = t
        if _given_u(cov, block, sums, J, trial, L, inverse) > height:
            psi[element] = t
            return
        if t < start:
            left = t
        else:
            right = t
    trial[element] = start


@kernel
def _slice_block(cov, block, widths, sums, J, psi, L, trial, random):
    """Slices along every element of a block: log sds, which are the scales of rows, and angles."""
    lo, hi = cov.block_start[block], cov.block_start[block + 1]
    inverse = np.zeros((hi - lo, hi - lo))
    for e in range(psi.size):
        if lo <= cov.row[e] < hi:
            _slice(cov, block, sums, J, psi, L, inverse, trial, e, widths[e], random)
