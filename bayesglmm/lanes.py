"""Sums over the rows of each group of one factor, in the order of `layout`, and q x q algebra.

All functions work on one chunk c. Rows are counted from the chunk's first row, groups from its
first group; q x q matrices of all groups are stored as M[k, l, group], so that every loop runs over
groups. Functions take the few arrays they need: compile time grows with every array passed.
"""

from typing import NamedTuple

import numpy as np

from ._jit import kernel, simd
from ._simd import log
from .layout import DIRECT, GROUP, LANE, LEVEL, ROW

ETA, FIXED, A, B, E, S = 0, 1, 2, 3, 4, 5  # rows of Work.row; A and B: what the row function gives
V, U, STEP, SCORE, NEW_V, NEW_Z, OLD_V, OLD_Z = 0, 1, 2, 3, 4, 5, 6, 7  # of Work.vector
CURVE, HALF, CHOLESKY = 0, 1, 2  # of Work.matrix: Z'WZ (lower triangle), Z'WZ L, C
TOTAL, LOGLIK, WEIGHT, OLD_WEIGHT, CHOICE, ACCEPT = 0, 1, 2, 3, 4, 5  # of Work.number


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


@kernel
def fixed_part(obs, c, beta, eta, start):
    """eta[start + r] = offset_r + x_r' beta for the rows of chunk c."""
    first = obs.lanes.chunk[c, ROW]
    m = obs.lanes.chunk[c + 1, ROW] - first
    offset, X = obs.offset, obs.X
    for i in range(m):
        eta[start + i] = offset[first + i]
    for k in range(beta.size):
        b = beta[k]
        for i in range(m):
            eta[start + i] += X[k, first + i] * b


@kernel
def by_lane(lanes, c, values, buffer):
    """Values of groups -> values of lanes."""
    if lanes.chunk[c, DIRECT] == 1:
        return values
    first = lanes.chunk[c, LANE]
    for i in range(lanes.chunk[c + 1, LANE] - first):
        buffer[i] = values[lanes.group[first + i]]
    return buffer


@kernel
def add_effect(lanes, z, one, c, values, buffer, eta):
    """eta_r += z_r * (value of the row's group); z (n,) is constant 1 where `one` is 1."""
    own = by_lane(lanes, c, values, buffer)
    first = lanes.chunk[c, ROW]
    for level in range(lanes.chunk[c, LEVEL], lanes.chunk[c + 1, LEVEL]):
        row = lanes.level[level, 0]
        if one == 1:
            for i in range(lanes.level[level, 1]):
                eta[row - first + i] += own[i]
        else:
            for i in range(lanes.level[level, 1]):
                eta[row - first + i] += z[row + i] * own[i]


@kernel
def sum_rows(lanes, z, one, c, x, buffer, out):
    """out_g = sum of z_r x_r over the rows of each group; z (n,) as in `add_effect`."""
    first, lane = lanes.chunk[c, ROW], lanes.chunk[c, LANE]
    width = lanes.chunk[c + 1, LANE] - lane
    for i in range(width):
        buffer[i] = 0.0
    for level in range(lanes.chunk[c, LEVEL], lanes.chunk[c + 1, LEVEL]):
        row = lanes.level[level, 0]
        if one == 1:
            for i in range(lanes.level[level, 1]):
                buffer[i] += x[row - first + i]
        else:
            for i in range(lanes.level[level, 1]):
                buffer[i] += z[row + i] * x[row - first + i]
    if lanes.chunk[c, DIRECT] == 1:
        for i in range(width):
            out[i] = buffer[i]
    else:
        for i in range(lanes.chunk[c + 1, GROUP] - lanes.chunk[c, GROUP]):
            out[i] = 0.0
        for i in range(width):
            out[lanes.group[lane + i]] += buffer[i]


@kernel
def mix(L, v, groups, u):
    """U = L v for each group."""
    q = L.shape[0]
    for k in range(q):
        for g in range(groups):
            u[k, g] = L[k, k] * v[k, g]
        for l in range(k):
            if L[k, l] != 0.0:
                for g in range(groups):
                    u[k, g] += L[k, l] * v[l, g]


@kernel
def pull_back(L, score, groups, out):
    """Out = L' score for each group."""
    q = L.shape[0]
    for k in range(q):
        for g in range(groups):
            out[k, g] = L[k, k] * score[k, g]
        for l in range(k + 1, q):
            if L[l, k] != 0.0:
                for g in range(groups):
                    out[k, g] += L[l, k] * score[l, g]


@kernel
def linear_predictor(obs, c, L, v, groups, work):
    """The FIXED part + Z L v into ETA, and L v into U."""
    m = obs.lanes.chunk[c + 1, ROW] - obs.lanes.chunk[c, ROW]
    eta, fixed, u = work.row[ETA], work.row[FIXED], work.vector[U]
    for i in range(m):
        eta[i] = fixed[i]
    mix(L, v, groups, u)
    for k in range(L.shape[0]):
        add_effect(obs.lanes, obs.Z[k], obs.ones[k], c, u[k], work.lane, eta)


@kernel
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
            z = obs.Z[k]
            for i in range(m):
                product[i] = z[first + i] * b[i]
            weighted = product
        for l in range(k + 1):
            sum_rows(obs.lanes, obs.Z[l], obs.ones[l], c, weighted, work.lane, curve[k, l])
    good = factorize(L, groups, work.matrix)
    pull_back(L, score, groups, step)
    for k in range(q):
        for g in range(groups):
            step[k, g] -= v[k, g]
    solve_forward(work.matrix[CHOLESKY], step, groups)
    solve_backward(work.matrix[CHOLESKY], step, groups)
    return good


@kernel
def factorize(L, groups, matrix):
    """CHOLESKY of I + L' A L with A in CURVE; HALF = A L.

    Returns False if some group's matrix is not positive definite.
    """
    q = L.shape[0]
    curve, half, C = matrix[CURVE], matrix[HALF], matrix[CHOLESKY]
    for k in range(q):
        for l in range(q):
            # (A L)_kl = sum over m >= l of A_km L_ml
            for g in range(groups):
                half[k, l, g] = 0.0
            for m in range(l, q):
                if L[m, l] != 0.0:
                    hi, lo = max(k, m), min(k, m)
                    for g in range(groups):
                        half[k, l, g] += curve[hi, lo, g] * L[m, l]
    good = True
    for k in range(q):
        for l in range(k + 1):
            one = 1.0 if k == l else 0.0
            for g in range(groups):
                C[k, l, g] = one
            for m in range(k, q):
                if L[m, k] != 0.0:
                    for g in range(groups):
                        C[k, l, g] += L[m, k] * half[m, l, g]
            for m in range(l):
                for g in range(groups):
                    C[k, l, g] -= C[k, m, g] * C[l, m, g]
            if l < k:
                for g in range(groups):
                    C[k, l, g] /= C[l, l, g]
            else:
                for g in range(groups):
                    good = good and C[k, k, g] > 0.0
                    C[k, k, g] = np.sqrt(C[k, k, g])
    return good


@kernel
def solve_forward(C, x, groups):
    """Solve C x = b in place for each group."""
    for k in range(C.shape[0]):
        for l in range(k):
            for g in range(groups):
                x[k, g] -= C[k, l, g] * x[l, g]
        for g in range(groups):
            x[k, g] /= C[k, k, g]


@kernel
def solve_backward(C, x, groups):
    """Solve C' x = b in place for each group."""
    q = C.shape[0]
    for k in range(q - 1, -1, -1):
        for l in range(k + 1, q):
            for g in range(groups):
                x[k, g] -= C[l, k, g] * x[l, g]
        for g in range(groups):
            x[k, g] /= C[k, k, g]


@kernel
def multiply_transposed(C, x, groups, out):
    """Out = C' x for each group."""
    q = C.shape[0]
    for k in range(q):
        for g in range(groups):
            out[k, g] = C[k, k, g] * x[k, g]
        for l in range(k + 1, q):
            for g in range(groups):
                out[k, g] += C[l, k, g] * x[l, g]


@simd
def log_determinants(C, groups, out):
    """out_g = log det C of each group."""
    for g in range(groups):
        out[g] = C[0, 0, g]
    for k in range(1, C.shape[0]):
        for g in range(groups):
            out[g] *= C[k, k, g]
    for g in range(groups):
        out[g] = log(out[g])
