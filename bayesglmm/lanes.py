"""Sums over the rows of each group of one factor, in the order of `layout`, and q x q algebra.

All functions work on one chunk c. Rows are counted from the chunk's first row, groups from its
first group; q x q matrices of all groups are stored as M[k, l, group], so that every loop runs over
groups. Functions take the few arrays they need: compile time grows with every array passed. Loops
run over slices that begin where they begin: numba lets an index be negative, and an index that is
a sum of two numbers therefore stops the vectorizer.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import bare, kernel, simd
from ._linalg import add
from ._simd import log
from .layout import DIRECT, GROUP, LANE, LEVEL, ROW

ETA, FIXED, A, B, E, S = 0, 1, 2, 3, 4, 5  # rows of Work.row; A and B: what the row function gives
V, U, STEP, SCORE, NEW_V, NEW_Z, OLD_V, OLD_Z = 0, 1, 2, 3, 4, 5, 6, 7  # of Work.vector
CURVE, HALF, CHOLESKY = 0, 1, 2  # of Work.matrix: Z'WZ (lower triangle), Z'WZ L, C
TOTAL, LOGLIK, WEIGHT, OLD_WEIGHT, CHOICE, SQUARE = 0, 1, 2, 3, 4, 5  # of Work.number


class Work(NamedTuple):
    """Scratch arrays of one chunk; their parts have the names above."""

    row: np.ndarray  # (6, rows)
    lane: np.ndarray  # (lanes,)
    vector: np.ndarray  # (8, q, groups)
    matrix: np.ndarray  # (3, q, q, groups)
    number: np.ndarray  # (6, groups)


@kernel
def make_work(lanes, q):
    """Scratch arrays large enough for every chunk."""
    rows, width, groups = 0, 0, 0
    for c in range(lanes.chunk.shape[0] - 1):
        rows = max(rows, lanes.chunk[c + 1, ROW] - lanes.chunk[c, ROW])
        width = max(width, lanes.chunk[c + 1, LANE] - lanes.chunk[c, LANE])
        groups = max(groups, lanes.chunk[c + 1, GROUP] - lanes.chunk[c, GROUP])
    return Work(
        np.empty((6, rows)),
        np.empty(width),
        np.empty((8, q, groups)),
        np.empty((3, q, q, groups)),
        np.empty((6, groups)),
    )


@bare
def fixed_part(obs, c, beta, eta, start):
    """eta[start + r] = offset_r + x_r' beta for the rows of chunk c."""
    first, last = obs.lanes.chunk[c, ROW], obs.lanes.chunk[c + 1, ROW]
    out, offset = eta[start : start + last - first], obs.offset[first:last]
    for i in range(out.size):
        out[i] = offset[i]
    # Two columns at a time: half the traffic to and from `out`.
    for k in range(0, beta.size - 1, 2):
        x, b = obs.X[k, first:last], beta[k]
        y, d = obs.X[k + 1, first:last], beta[k + 1]
        for i in range(out.size):
            out[i] += x[i] * b + y[i] * d
    if beta.size % 2 == 1:
        x, b = obs.X[beta.size - 1, first:last], beta[beta.size - 1]
        for i in range(out.size):
            out[i] += x[i] * b


@bare
def spread(lanes, c, values, buffer):
    """Values of groups -> values of lanes, where lanes are not groups themselves."""
    first = lanes.chunk[c, LANE]
    for i in range(lanes.chunk[c + 1, LANE] - first):
        buffer[i] = values[lanes.group[first + i]]


@kernel
def by_lane(lanes, c, values, buffer):
    """Values of groups -> values of lanes; `buffer` holds them if need be."""
    if lanes.chunk[c, DIRECT] == 1:
        return values
    spread(lanes, c, values, buffer)
    return buffer


@bare
def add_effect(lanes, z, one, c, values, buffer, eta):
    """eta_r += z_r * (value of the row's group); z (n,) is constant 1 where `one` is 1."""
    direct = lanes.chunk[c, DIRECT] == 1
    if not direct:
        spread(lanes, c, values, buffer)
    own = values if direct else buffer
    first = lanes.chunk[c, ROW]
    for level in range(lanes.chunk[c, LEVEL], lanes.chunk[c + 1, LEVEL]):
        row, count = lanes.level[level, 0], lanes.level[level, 1]
        out = eta[row - first : row - first + count]
        if one == 1:
            for i in range(out.size):
                out[i] += own[i]
        else:
            x = z[row : row + count]
            for i in range(out.size):
                out[i] += x[i] * own[i]


@bare
def sum_rows(lanes, z, one, c, x, buffer, out):
    """out_g = sum of z_r x_r over the rows of each group; z (n,) as in `add_effect`."""
    first, lane = lanes.chunk[c, ROW], lanes.chunk[c, LANE]
    width = lanes.chunk[c + 1, LANE] - lane
    direct = lanes.chunk[c, DIRECT] == 1
    total = out if direct else buffer
    for i in range(width):
        total[i] = 0.0
    for level in range(lanes.chunk[c, LEVEL], lanes.chunk[c + 1, LEVEL]):
        row, count = lanes.level[level, 0], lanes.level[level, 1]
        part = x[row - first : row - first + count]
        if one == 1:
            for i in range(part.size):
                total[i] += part[i]
        else:
            weight = z[row : row + count]
            for i in range(part.size):
                total[i] += weight[i] * part[i]
    if not direct:
        for i in range(lanes.chunk[c + 1, GROUP] - lanes.chunk[c, GROUP]):
            out[i] = 0.0
        group = lanes.group[lane : lane + width]
        for i in range(width):
            out[group[i]] += buffer[i]


@bare
def mix(L, v, groups, u):
    """U = L v for each group."""
    for k in range(L.shape[0]):
        out, own, factor = u[k, :groups], v[k, :groups], L[k, k]
        for g in range(out.size):
            out[g] = factor * own[g]
        for l in range(k):
            if L[k, l] != 0.0:
                add(out, v[l, :groups], L[k, l])


@bare
def _subtract(out, x, y):
    """Out -= x y, element by element."""
    for g in range(out.size):
        out[g] -= x[g] * y[g]


@bare
def _divide(out, x):
    """Out /= x, element by element."""
    for g in range(out.size):
        out[g] /= x[g]


@bare
def pull_back(L, score, groups, out):
    """Out = L' score for each group."""
    q = L.shape[0]
    for k in range(q):
        own, x, factor = out[k, :groups], score[k, :groups], L[k, k]
        for g in range(own.size):
            own[g] = factor * x[g]
        for l in range(k + 1, q):
            if L[l, k] != 0.0:
                add(own, score[l, :groups], L[l, k])


@bare
def linear_predictor(obs, c, L, v, groups, work):
    """The FIXED part + Z L v into ETA, and L v into U."""
    m = obs.lanes.chunk[c + 1, ROW] - obs.lanes.chunk[c, ROW]
    eta, fixed, u = work.row[ETA], work.row[FIXED], work.vector[U]
    for i in range(m):
        eta[i] = fixed[i]
    mix(L, v, groups, u)
    for k in range(L.shape[0]):
        add_effect(obs.lanes, obs.Z[k], obs.ones[k], c, u[k], work.lane, eta)


@bare
def newton_step(obs, c, L, v, groups, work):
    """STEP = H^-1 (L'Z's - v) from scores in A and weights in B; CHOLESKY of H.

    Returns False if some group's H is not positive definite.
    """
    q = L.shape[0]
    m = obs.lanes.chunk[c + 1, ROW] - obs.lanes.chunk[c, ROW]
    first = obs.lanes.chunk[c, ROW]
    a, b, product = work.row[A], work.row[B], work.row[E]
    score, step, curve = work.vector[SCORE], work.vector[STEP], work.matrix[CURVE]
    for k in range(q):
        sum_rows(obs.lanes, obs.Z[k], obs.ones[k], c, a, work.lane, score[k])
        weighted = b
        if obs.ones[k] == 0:
            z = obs.Z[k, first : first + m]
            for i in range(m):
                product[i] = z[i] * b[i]
            weighted = product
        for l in range(k + 1):
            sum_rows(obs.lanes, obs.Z[l], obs.ones[l], c, weighted, work.lane, curve[k, l])
    good = factorize(L, groups, work.matrix)
    pull_back(L, score, groups, step)
    for k in range(q):
        add(step[k, :groups], v[k, :groups], -1.0)
    solve_forward(work.matrix[CHOLESKY], step, groups)
    solve_backward(work.matrix[CHOLESKY], step, groups)
    return good


@bare
def factorize(L, groups, matrix):
    """CHOLESKY of I + L' A L with A in CURVE; HALF = A L.

    Returns False if some group's matrix is not positive definite.
    """
    q = L.shape[0]
    curve, half, C = matrix[CURVE], matrix[HALF], matrix[CHOLESKY]
    for k in range(q):
        for l in range(q):
            # (A L)_kl = sum over m >= l of A_km L_ml
            own = half[k, l, :groups]
            for g in range(own.size):
                own[g] = 0.0
            for m in range(l, q):
                if L[m, l] != 0.0:
                    add(own, curve[max(k, m), min(k, m), :groups], L[m, l])
    good = True
    for k in range(q):
        for l in range(k + 1):
            one = 1.0 if k == l else 0.0
            own = C[k, l, :groups]
            for g in range(own.size):
                own[g] = one
            for m in range(k, q):
                if L[m, k] != 0.0:
                    add(own, half[m, l, :groups], L[m, k])
            for m in range(l):
                _subtract(own, C[k, m, :groups], C[l, m, :groups])
            if l < k:
                _divide(own, C[l, l, :groups])
            else:
                # Written so that nan fails too.
                bad = 0
                for g in range(own.size):
                    bad += 0 if own[g] > 0.0 else 1
                    own[g] = math.sqrt(own[g])
                good = good and bad == 0
    return good


@bare
def solve_forward(C, x, groups):
    """Solve C x = b in place for each group."""
    for k in range(C.shape[0]):
        for l in range(k):
            _subtract(x[k, :groups], C[k, l, :groups], x[l, :groups])
        _divide(x[k, :groups], C[k, k, :groups])


@bare
def solve_backward(C, x, groups):
    """Solve C' x = b in place for each group."""
    q = C.shape[0]
    for k in range(q - 1, -1, -1):
        for l in range(k + 1, q):
            _subtract(x[k, :groups], C[l, k, :groups], x[l, :groups])
        _divide(x[k, :groups], C[k, k, :groups])


@bare
def multiply_transposed(C, x, groups, out):
    """Out = C' x for each group."""
    q = C.shape[0]
    for k in range(q):
        own = out[k, :groups]
        for g in range(own.size):
            own[g] = 0.0
        for l in range(k, q):
            factor, value = C[l, k, :groups], x[l, :groups]
            for g in range(own.size):
                own[g] += factor[g] * value[g]


@simd
def log_determinants(C, groups, out):
    """out_g = log det C of each group."""
    own, first = out[:groups], C[0, 0, :groups]
    for g in range(own.size):
        own[g] = first[g]
    for k in range(1, C.shape[0]):
        factor = C[k, k, :groups]
        for g in range(own.size):
            own[g] *= factor[g]
    for g in range(own.size):
        own[g] = log(own[g])
