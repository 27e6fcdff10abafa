"""The collapsed density of a Gaussian model, and what an evaluation leaves for draws.

With lambda = L / sigma, V = W^-1 + Z lambda lambda' Z' and beta ~ N(m, P_0^-1), flat where the
precision is 0, the density of the rest t = (psi, log sigma) is, up to a constant,

    log p(t) - n log sigma - log|I + lambda'Z'WZ lambda| / 2 - log|P| / 2
             - (y'V^-1 y / sigma^2 + m'P_0 m - r'P^-1 r) / 2,

    P = X'V^-1 X / sigma^2 + P_0,    r = X'V^-1 y / sigma^2 + P_0 m,

with n the sum of the weights (Lindley and Smith 1972; conditioned by Woodbury's identity, as in
`fits.elimination`). Everything comes from the cross products of `collapsed_sums`, so the cost does
not depend on the number of rows.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import _blocked, covariance
from .._jit import bare, kernel, simd
from .._linalg import add, cholesky, copy, dot, solve_lower
from .._simd import log
from ..fits.elimination import border_of_square, scale_rest, square_of
from ..fits.pattern import Parts
from ..prior_density import dispersion_logpdf
from .sd_coordinate import log_sd, log_slope

LEVELS = 256  # worked at once: what lies between their sums and draws stays in cache
LEAST = -340.0  # log of an sd whose square is no 0 yet
SMALL = 24  # rows of a square up to which plain loops factorize it faster than tiles


class Side(NamedTuple):
    """What an evaluation of the density leaves for the draw of beta and u."""

    t: np.ndarray  # (d,) psi, then log sigma
    lam: np.ndarray  # (Q, Q) in the order of the pattern
    T: np.ndarray  # (q, q, C)
    factor: Parts  # of the rest, and its border columns
    P: np.ndarray  # (p, p) Cholesky factor
    r: np.ndarray  # (p,) C^-1 r
    sigma: np.ndarray  # (1,)


class Work(NamedTuple):
    """Arrays that an evaluation goes through."""

    L: np.ndarray  # (Q, Q)
    spare: np.ndarray  # (q, LEVELS)
    H: np.ndarray  # (q, q, LEVELS) C, with its diagonal inverted
    log: np.ndarray  # (LEVELS,)
    mixed: np.ndarray  # (b, q, LEVELS) T'a
    M: np.ndarray  # (b, b)
    left: Parts  # of the rest, the levels eliminated


@kernel
def new_side(sums, pattern, d):
    """Zeros of the shapes of a model with d elements of t."""
    q, C, R, b = sums.own.shape[0], sums.levels.size, sums.rest_border.shape[0], sums.start.size + 1
    Q = pattern.z_order.size
    return Side(
        np.zeros(d),
        np.zeros((Q, Q)),
        np.zeros((q, q, C)),
        _rest_parts(sums.rest.size, R, b),
        np.zeros((b - 1, b - 1)),
        np.zeros(b - 1),
        np.ones(1),
    )


@kernel
def new_work(sums, pattern):
    """Zeros of the shapes of a model."""
    q, R, b = sums.own.shape[0], sums.rest_border.shape[0], sums.start.size + 1
    Q, size = pattern.z_order.size, min(LEVELS, sums.levels.size)
    return Work(
        np.zeros((Q, Q)),
        np.zeros((q, size)),
        np.zeros((q, q, size)),
        np.zeros(size),
        np.zeros((b, q, size)),
        np.zeros((b, b)),
        _rest_parts(sums.rest.size, R, b),
    )


@kernel
def _rest_parts(size, R, b):
    return Parts(
        np.zeros((0, 0, 0)),
        np.zeros((0, 0)),
        np.zeros(size),
        np.zeros((0, 0, 0)),
        np.zeros((R, b)),
        np.zeros((b, b)),
    )


@simd
def _take_pivot(x, logs):
    """Logs += log of the root of x, and x becomes 1 over it: a diagonal element of C."""
    for i in range(logs.size):
        logs[i] += 0.5 * log(x[i])
        x[i] = 1.0 / math.sqrt(x[i])


@bare
def clear(out):
    """Out = 0."""
    for i in range(out.size):
        out[i] = 0.0


@bare
def multiply(out, x):
    """Out *= x."""
    for i in range(out.size):
        out[i] *= x[i]


@bare
def add_product(out, x, y):
    """Out += x y."""
    for i in range(out.size):
        out[i] += x[i] * y[i]


@bare
def subtract_product(out, x, y):
    """Out -= x y."""
    for i in range(out.size):
        out[i] -= x[i] * y[i]


@bare
def _condition(own, lam, work, T, first, last):
    """T of classes first .. last - 1; log determinants of their C go into ``work.log``."""
    q, size = T.shape[0], last - first
    H, logs = work.H, work.log[:size]
    clear(logs)
    for l in range(q):
        for k in range(q):
            out = work.spare[k, :size]
            clear(out)
            for m in range(l, q):
                if lam[m, l] != 0.0:
                    add(out, own[k, m, first:last], lam[m, l])
        for k in range(l, q):
            out = H[k, l, :size]
            for c in range(size):
                out[c] = 1.0 if k == l else 0.0
            for m in range(k, q):
                if lam[m, k] != 0.0:
                    add(out, work.spare[m, :size], lam[m, k])
    for k in range(q):
        pivot = H[k, k, :size]
        for l in range(k):
            out = H[k, l, :size]
            for m in range(l):
                subtract_product(out, H[k, m, :size], H[l, m, :size])
            multiply(out, H[l, l, :size])
            subtract_product(pivot, out, out)
        _take_pivot(pivot, logs)
    for i in range(q):
        for j in range(q):
            out = T[i, j, first:last]
            for c in range(size):
                out[c] = lam[i, j]
            for m in range(j):
                subtract_product(out, T[i, m, first:last], H[j, m, :size])
            multiply(out, H[j, j, :size])


@bare
def _levels(sums, side, work):
    """Log determinants of C summed over levels; M = [X y]'W[X y] less what the levels explain.

    M has its lower triangle only.
    """
    M, T, q, C = work.M, side.T, side.T.shape[0], sums.levels.size
    b, paired = M.shape[0], sums.pairs.shape[0] > 0
    value = 0.0
    for i in range(b):
        for j in range(i + 1):
            M[i, j] = sums.fixed[i, j]
    for first in range(0, C, LEVELS):
        last = min(first + LEVELS, C)
        size = last - first
        _condition(sums.own, side.lam, work, T, first, last)
        value += dot(sums.levels[first:last], work.log[:size])
        if paired:
            continue
        for i in range(b):
            for k in range(q):
                out = work.mixed[i, k, :size]
                clear(out)
                for m in range(q):
                    add_product(out, T[m, k, first:last], sums.border[i, m, first:last])
            for j in range(i + 1):
                for k in range(q):
                    M[i, j] -= dot(work.mixed[i, k, :size], work.mixed[j, k, :size])
    if paired:
        for c in range(C):
            place = 0
            for k in range(q):
                for l in range(k + 1):
                    factor, own, e = 0.0, sums.pairs[c, place], 0
                    for j in range(q):
                        factor += T[k, j, c] * T[l, j, c]
                    for i in range(b):
                        for j in range(i + 1):
                            M[i, j] -= factor * own[e]
                            e += 1
                    place += 1
    return value


@kernel
def _eliminate(sums, pattern, side, work):
    """Factorize the rest, the levels eliminated; M loses what the rest explains."""
    left, factor, M = work.left, side.factor, work.M
    q, b = side.T.shape[0], M.shape[0]
    copy(left.rest, sums.rest)
    for a in range(sums.rest_border.shape[0]):
        copy(left.rest_border[a], sums.rest_border[a])
    moved, T = np.empty(q), side.T
    K = np.empty((q, q))
    for c in range(sums.levels.size):
        first, last = sums.cell[c], sums.cell[c + 1]
        for k in range(q):
            for l in range(q):
                K[k, l] = 0.0
                for j in range(q):
                    K[k, l] += T[k, j, c] * T[l, j, c]
        for a in range(first, last):
            own, place = sums.cells[a], sums.column[a]
            for k in range(q):
                moved[k] = 0.0
                for l in range(q):
                    moved[k] += K[k, l] * own[l]
            row, target = pattern.base[place], left.rest_border[place]
            for d in range(first, a + 1):
                total = 0.0
                for k in range(q):
                    total += moved[k] * sums.cells[d, k]
                left.rest[row + sums.column[d]] -= sums.levels[c] * total
            for i in range(b):
                for k in range(q):
                    target[i] -= moved[k] * sums.total[c, i, k]
    scale_rest(pattern, side.lam, left, factor)
    value = 0.0
    for i in range(b):
        for j in range(b):
            factor.border[i, j] = M[i, j]
    for s in range(pattern.component.size - 1):
        square = square_of(pattern, factor.rest, s)
        if square.shape[0] <= SMALL:
            if not cholesky(square):
                return math.nan
            for i in range(square.shape[0]):
                value += math.log(square[i, i])
        else:
            value += _blocked.cholesky(square)
        low, high = pattern.component[s], pattern.component[s + 1]
        border_of_square(square, factor.rest_border[low:high], factor.border)
    for i in range(b):
        for j in range(i + 1):
            M[i, j] = factor.border[i, j]
    return value


@bare
def evaluate(sums, pattern, prior, near, x, side, work):
    """Log density of x, up to a constant; -inf where it has none. Fills the side."""
    cov, p, t = prior.covariance, sums.start.size, side.t
    m, Q = cov.row.size, pattern.z_order.size
    jacobian = 0.0
    for i in range(t.size):
        t[i] = x[i]
        if near[i] > 0.0:
            t[i] = log_sd(x[i], near[i])
            if t[i] < LEAST:
                return -math.inf
            jacobian += log_slope(x[i], near[i])
    sigma = math.exp(t[m]) if prior.phi.shape[0] > 0 else 1.0
    covariance.fill_L(cov, t[:m], work.L)
    value = jacobian + covariance.psi_logdensity(cov, t[:m], work.L)
    if prior.phi.shape[0] > 0:
        row = prior.phi[0]
        value += dispersion_logpdf(int(row[0]), row[1], row[2], row[3], t[m])
        value -= sums.size[0] * t[m]
    if not value > -math.inf:
        return -math.inf
    for k in range(Q):
        for l in range(Q):
            side.lam[k, l] = work.L[pattern.z_order[k], pattern.z_order[l]] / sigma
    side.sigma[0] = sigma
    value -= _levels(sums, side, work)
    if sums.rest_border.shape[0] > 0:
        value -= _eliminate(sums, pattern, side, work)
    M, scale = work.M, 1.0 / (sigma * sigma)
    squares = scale * M[p, p]
    for k in range(p):
        mean, precision = sums.normal[k, 0], sums.normal[k, 1]
        for l in range(k + 1):
            side.P[k, l] = scale * M[k, l]
        side.P[k, k] += precision
        side.r[k] = scale * M[p, k] + precision * mean
        squares += precision * mean * mean
    if not cholesky(side.P):
        return -math.inf
    solve_lower(side.P, side.r)
    for k in range(p):
        squares -= side.r[k] * side.r[k]
        value -= math.log(side.P[k, k])
    value -= 0.5 * squares
    return value if value > -math.inf and value < math.inf else -math.inf
