"""Moves of beta and Sigma with the effects u = L v and the linear predictor held (centred moves).

1. Hierarchical centring (Gelfand, Sahu and Carlin 1995): a coefficient whose column is, within each
   group, a combination x_r = sum_k Z_rk W_k of the z columns moves together with u: with gamma_i =
   W_i beta + u_i held, gamma_i ~ N(W_i beta, Sigma) and eta does not change. beta given gamma is
   Normal under a Normal or flat prior; other priors enter by a Metropolis step.
2. Sigma given u, from the q x q sums of u u' alone: an inverse-Wishart draw where conjugate, else
   slices (Neal 2003) along each log-Cholesky element and along the scale of each row (the group of
   row scalings, Jacobian e^(r t) with r off-diagonals: Liu and Sabatti 2000).

These cure what transported proposals of one fixed shape cannot: the spread of the intercept grows
with the sd of few groups.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import covariance
from .._jit import kernel
from .._linalg import cholesky, solve_lower, solve_upper
from .._random import exponential, gamma, normal, uniform
from ..prior_density import prior_logpdf

WIDTH = 3.0  # width of a slice in posterior sds: an interval is found in one or two steps
DOUBLINGS = 40  # steps out allowed, in units of the width


class Centring(NamedTuple):
    """Which coefficients are centred, and the data sums that their draw needs."""

    columns: np.ndarray  # (c,) int64, places in beta
    W: np.ndarray  # (c, q, J)
    cross: np.ndarray  # (q, q, c, c), sum over groups of W[a, k] W[b, l]
    mean: np.ndarray  # (c,) of the Normal that stands for the prior
    precision: np.ndarray  # (c,) of the Normal that stands for the prior; 0 for a flat prior
    normal: np.ndarray  # (c,) int64, 1 if the prior is that Normal
    width: np.ndarray  # (psi,) width of the slice of each element of psi


def empty() -> Centring:
    """No coefficient is centred."""
    i = np.zeros(0, dtype=np.int64)
    return Centring(
        i,
        np.zeros((0, 0, 0)),
        np.zeros((0, 0, 0, 0)),
        np.zeros(0),
        np.zeros(0),
        i,
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
    q, J, p = data.factor.size, int(data.levels[0]), data.X.shape[0]
    index = data.index[0]
    gram = np.empty((J, q, q))
    for k in range(q):
        for l in range(k + 1):
            total = np.bincount(index, data.Z[k] * data.Z[l], minlength=J)
            gram[:, k, l] = gram[:, l, k] = total
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    columns, found = [], []
    for j in range(p):
        x = data.X[j]
        moments = np.stack([np.bincount(index, data.Z[k] * x, minlength=J) for k in range(q)], 1)
        W = np.einsum("gkl,gl->kg", inverse, moments)
        residual = x - sum(data.Z[k] * W[k][index] for k in range(q))
        if np.abs(residual).max(initial=0.0) <= tolerance * np.abs(x).max(initial=1.0):
            columns.append(j)
            found.append(W)
    W = np.ascontiguousarray(found) if found else np.zeros((0, q, J))
    return np.array(columns, dtype=np.int64), W


@kernel
def draw(data, centre, L, state):
    """Theta and v of the other side of the state, by both moves; L becomes the new factor."""
    side = state.side[0]
    other = 1 - side
    q, J = L.shape[0], data.levels[0]
    p, m = data.beta_kind.size, data.covariance.row.size
    theta, u = state.theta[other], state.v[other]
    theta[:] = state.theta[side]
    for k in range(q):
        u[k, :] = 0.0
        for l in range(k + 1):
            if L[k, l] != 0.0:
                for g in range(J):
                    u[k, g] += L[k, l] * state.v[side, l, g]
    if centre.columns.size > 0:
        _draw_beta(data, centre, L, theta, u, state.random)
    sums = np.zeros((q, q))
    for k in range(q):
        for l in range(k + 1):
            total = 0.0
            for g in range(J):
                total += u[k, g] * u[l, g]
            sums[k, l] = total
            sums[l, k] = total
    psi = theta[p : p + m]
    for block in range(data.covariance.kind.size):
        if data.covariance.kind[block] == covariance.INVERSE_WISHART:
            _draw_conjugate(data.covariance, block, sums, J, psi, state.random)
        else:
            _slice_block(data.covariance, block, centre.width, sums, J, psi, L, state.random)
    covariance.fill_L(data.covariance, psi, L)
    # v = L^-1 u
    for k in range(q):
        for l in range(k):
            if L[k, l] != 0.0:
                for g in range(J):
                    u[k, g] -= L[k, l] * u[l, g]
        for g in range(J):
            u[k, g] /= L[k, k]


@kernel
def _draw_beta(data, centre, L, theta, u, random):
    """Beta of the centred columns given gamma = W beta + u; u moves with it."""
    q, J, size = L.shape[0], data.levels[0], centre.columns.size
    inverse = np.zeros((q, q))  # Sigma^-1 = L^-T L^-1
    column = np.empty(q)
    for l in range(q):
        column[:] = 0.0
        column[l] = 1.0
        solve_lower(L, column)
        solve_upper(L, column)
        inverse[:, l] = column
    P, old, score = np.zeros((size, size)), np.empty(size), np.zeros(size)
    for a in range(size):
        old[a] = theta[centre.columns[a]]
        for b in range(size):
            for k in range(q):
                for l in range(q):
                    P[a, b] += inverse[k, l] * centre.cross[k, l, a, b]
    for k in range(q):
        for l in range(q):
            if inverse[k, l] != 0.0:
                for a in range(size):
                    total = 0.0
                    for g in range(J):
                        total += centre.W[a, k, g] * u[l, g]
                    score[a] += inverse[k, l] * total
    for a in range(size):
        for b in range(size):
            score[a] += P[a, b] * old[b]
        score[a] += centre.precision[a] * centre.mean[a]
    for a in range(size):
        P[a, a] += centre.precision[a]
    if not cholesky(P):
        return
    solve_lower(P, score)
    for a in range(size):
        score[a] += normal(random)
    solve_upper(P, score)
    ratio = 0.0
    for a in range(size):
        if centre.normal[a] == 0:
            j = centre.columns[a]
            ratio += _beyond_normal(data, centre, j, a, score[a])
            ratio -= _beyond_normal(data, centre, j, a, old[a])
    if ratio < 0.0 and not math.log(uniform(random)) < ratio:
        return
    for a in range(size):
        theta[centre.columns[a]] = score[a]
        for k in range(q):
            step = score[a] - old[a]
            for g in range(J):
                u[k, g] -= centre.W[a, k, g] * step


@kernel
def _beyond_normal(data, centre, j, a, value):
    """log prior of coefficient j less that of the Normal that stands for it."""
    prior = data.beta_prior[j]
    distance = value - centre.mean[a]
    return (
        prior_logpdf(data.beta_kind[j], prior[0], prior[1], prior[2], value)
        + 0.5 * centre.precision[a] * distance * distance
    )


@kernel
def _draw_conjugate(cov, block, sums, J, psi, random):
    """Sigma | u ~ inverse-Wishart(df + J, scale + sum u u'), by Bartlett's decomposition."""
    lo, hi = cov.block_start[block], cov.block_start[block + 1]
    q = hi - lo
    # Sigma^-1 ~ Wishart(nu, S^-1) = F^-T A A' F^-1 with S = F F', so Sigma = T T', T = F A^-T.
    S = np.empty((q, q))
    for k in range(q):
        for l in range(q):
            total = sums[lo + k, lo + l]
            for i in range(min(k, l) + 1):
                total += cov.scale[lo + k, lo + i] * cov.scale[lo + l, lo + i]
            S[k, l] = total
    if not cholesky(S):
        return
    A = np.zeros((q, q))
    for k in range(q):
        A[k, k] = math.sqrt(2.0 * gamma(random, 0.5 * (cov.df[block] + J - k)))
        for l in range(k):
            A[k, l] = normal(random)
    # T = F A^-T: column l of A^-T solves A' x = e_l backwards.
    sigma = np.zeros((q, q))
    column = np.empty(q)
    T = np.zeros((q, q))
    for l in range(q):
        column[:] = 0.0
        column[l] = 1.0
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
    if not cholesky(sigma):
        return
    for e in range(cov.row.size):
        k, l = cov.row[e] - lo, cov.col[e] - lo
        if 0 <= k < q:
            psi[e] = math.log(sigma[k, k]) if k == l else sigma[k, l]


@kernel
def _given_u(cov, block, sums, J, psi, L):
    """log p(psi) + log p(u | Sigma) of one block, up to a constant; fills L."""
    covariance.fill_L(cov, psi, L)
    value = covariance.psi_logdensity(cov, psi, L)
    lo, hi = cov.block_start[block], cov.block_start[block + 1]
    # tr(Sigma^-1 S) = sum of the squares of L^-1 by the factor of S; by columns of L^-1 instead
    column = np.empty(hi - lo)
    trace = 0.0
    size = hi - lo
    inverse = np.zeros((size, size))
    for l in range(size):
        column[:] = 0.0
        column[l] = 1.0
        for k in range(l, size):
            total = column[k]
            for i in range(l, k):
                total -= L[lo + k, lo + i] * column[i]
            column[k] = total / L[lo + k, lo + k]
            inverse[k, l] = column[k]
    for k in range(size):
        value -= J * math.log(L[lo + k, lo + k])
        for i in range(k + 1):
            for j in range(k + 1):
                trace += inverse[k, i] * inverse[k, j] * sums[lo + i, lo + j]
    value -= 0.5 * trace
    return value if value == value else -np.inf


@kernel
def _shifted(cov, psi, row, element, t, out):
    """Psi moved by t: one element, or (element < 0) the scale e^t of a row. Returns log Jacobian."""
    out[:] = psi
    if element >= 0:
        out[element] += t
        return 0.0
    factor = math.exp(t)
    jacobian = 0.0
    for e in range(psi.size):
        if cov.row[e] == row:
            if cov.col[e] == row:
                out[e] += t
            else:
                out[e] *= factor
                jacobian += t
    return jacobian


@kernel
def _slice(cov, block, sums, J, psi, L, row, element, width, random):
    """One slice along one direction, psi updated in place."""
    trial = np.empty(psi.size)
    height = _given_u(cov, block, sums, J, psi, L) - exponential(random)
    left = -width * uniform(random)
    right = left + width
    out_left = int(uniform(random) * DOUBLINGS)
    out_right = DOUBLINGS - 1 - out_left
    while out_left > 0:
        jacobian = _shifted(cov, psi, row, element, left, trial)
        if not _given_u(cov, block, sums, J, trial, L) + jacobian > height:
            break
        left -= width
        out_left -= 1
    while out_right > 0:
        jacobian = _shifted(cov, psi, row, element, right, trial)
        if not _given_u(cov, block, sums, J, trial, L) + jacobian > height:
            break
        right += width
        out_right -= 1
    while right - left > 1e-14:
        t = left + (right - left) * uniform(random)
        jacobian = _shifted(cov, psi, row, element, t, trial)
        if _given_u(cov, block, sums, J, trial, L) + jacobian > height:
            psi[:] = trial
            return
        if t < 0.0:
            left = t
        else:
            right = t


@kernel
def _slice_block(cov, block, widths, sums, J, psi, L, random):
    """Slices along every element of a block, then along the scale of each row with neighbours."""
    lo, hi = cov.block_start[block], cov.block_start[block + 1]
    for e in range(psi.size):
        if lo <= cov.row[e] < hi:
            _slice(cov, block, sums, J, psi, L, cov.row[e], e, widths[e], random)
    for e in range(psi.size):
        # A row with off-diagonals: its diagonal alone is not its scale.
        if lo < cov.row[e] < hi and cov.row[e] == cov.col[e] and cov.kind[block] != 1:
            _slice(cov, block, sums, J, psi, L, cov.row[e], -1, widths[e], random)
