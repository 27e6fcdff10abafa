"""Sums over the rows of each group of one factor, in the order of `layout`, and q x q algebra.

All functions work on one chunk c. Rows are counted from the chunk's first row, groups from its
first group; q x q matrices of all groups are stored as M[k, l, group], so that every loop runs over
groups.
"""

from typing import NamedTuple

import numpy as np

from ._jit import kernel


class Work(NamedTuple):
    """Scratch arrays of one chunk."""

    eta: np.ndarray  # (rows,)
    a: np.ndarray  # (rows,) outputs of the family's row function
    b: np.ndarray
    c: np.ndarray
    d: np.ndarray
    lane: np.ndarray  # (lanes,)
    v: np.ndarray  # (q, groups)
    u: np.ndarray  # (q, groups)
    score: np.ndarray  # (q, groups) Z's
    step: np.ndarray  # (q, groups)
    total: np.ndarray  # (groups,)
    curve: np.ndarray  # (q, q, groups) Z'WZ, lower triangle
    half: np.ndarray  # (q, q, groups) Z'WZ L
    C: np.ndarray  # (q, q, groups) Cholesky factor of I + L'Z'WZL


@kernel
def make_work(data):
    """Scratch arrays large enough for every chunk."""
    lanes = data.lanes
    q = data.factor.size
    rows, width, groups = 0, 0, 0
    for c in range(lanes.direct.size):
        rows = max(rows, lanes.row[c + 1] - lanes.row[c])
        width = max(width, lanes.lane[c + 1] - lanes.lane[c])
        groups = max(groups, lanes.first[c + 1] - lanes.first[c])
    return Work(
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        np.empty(width),
        np.empty((q, groups)),
        np.empty((q, groups)),
        np.empty((q, groups)),
        np.empty((q, groups)),
        np.empty(groups),
        np.empty((q, q, groups)),
        np.empty((q, q, groups)),
        np.empty((q, q, groups)),
    )


@kernel
def fixed_part(data, c, beta, eta, start):
    """eta[start + r] = offset_r + x_r' beta for the rows of chunk c."""
    first = data.lanes.row[c]
    m = data.lanes.row[c + 1] - first
    for i in range(m):
        eta[start + i] = data.offset[first + i]
    for k in range(beta.size):
        b = beta[k]
        for i in range(m):
            eta[start + i] += data.X[k, first + i] * b


@kernel
def by_lane(data, c, values, buffer):
    """Values of groups -> values of lanes."""
    lanes = data.lanes
    if lanes.direct[c] == 1:
        return values
    first = lanes.lane[c]
    for i in range(lanes.lane[c + 1] - first):
        buffer[i] = values[lanes.group[first + i]]
    return buffer


@kernel
def add_effect(data, c, k, values, buffer, eta):
    """eta_r += Z_rk * (value of the row's group)."""
    lanes = data.lanes
    own = by_lane(data, c, values, buffer)
    first = lanes.row[c]
    for level in range(lanes.level[c], lanes.level[c + 1]):
        row = lanes.start[level]
        if data.ones[k] == 1:
            for i in range(lanes.count[level]):
                eta[row - first + i] += own[i]
        else:
            for i in range(lanes.count[level]):
                eta[row - first + i] += data.Z[k, row + i] * own[i]


@kernel
def _to_groups(data, c, buffer, out):
    lanes = data.lanes
    first = lanes.lane[c]
    width = lanes.lane[c + 1] - first
    if lanes.direct[c] == 1:
        for i in range(width):
            out[i] = buffer[i]
    else:
        for i in range(lanes.first[c + 1] - lanes.first[c]):
            out[i] = 0.0
        for i in range(width):
            out[lanes.group[first + i]] += buffer[i]


@kernel
def sum_rows(data, c, x, buffer, out):
    """out_g = sum of x_r over the rows of each group."""
    lanes = data.lanes
    first = lanes.row[c]
    buffer[: lanes.lane[c + 1] - lanes.lane[c]] = 0.0
    for level in range(lanes.level[c], lanes.level[c + 1]):
        row = lanes.start[level] - first
        for i in range(lanes.count[level]):
            buffer[i] += x[row + i]
    _to_groups(data, c, buffer, out)


@kernel
def sum_scores(data, c, k, x, buffer, out):
    """out_g = sum of Z_rk x_r over the rows of each group."""
    if data.ones[k] == 1:
        sum_rows(data, c, x, buffer, out)
        return
    lanes = data.lanes
    first = lanes.row[c]
    buffer[: lanes.lane[c + 1] - lanes.lane[c]] = 0.0
    for level in range(lanes.level[c], lanes.level[c + 1]):
        row = lanes.start[level]
        for i in range(lanes.count[level]):
            buffer[i] += data.Z[k, row + i] * x[row - first + i]
    _to_groups(data, c, buffer, out)


@kernel
def sum_curvature(data, c, k, l, x, buffer, out):
    """out_g = sum of Z_rk Z_rl x_r over the rows of each group."""
    if data.ones[k] == 1:
        sum_scores(data, c, l, x, buffer, out)
        return
    if data.ones[l] == 1:
        sum_scores(data, c, k, x, buffer, out)
        return
    lanes = data.lanes
    first = lanes.row[c]
    buffer[: lanes.lane[c + 1] - lanes.lane[c]] = 0.0
    for level in range(lanes.level[c], lanes.level[c + 1]):
        row = lanes.start[level]
        for i in range(lanes.count[level]):
            buffer[i] += data.Z[k, row + i] * data.Z[l, row + i] * x[row - first + i]
    _to_groups(data, c, buffer, out)


@kernel
def mix(L, v, groups, u):
    """u = L v for each group."""
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
    """out = L' score for each group."""
    q = L.shape[0]
    for k in range(q):
        for g in range(groups):
            out[k, g] = L[k, k] * score[k, g]
        for l in range(k + 1, q):
            if L[l, k] != 0.0:
                for g in range(groups):
                    out[k, g] += L[l, k] * score[l, g]


@kernel
def factorize(L, work, groups):
    """C C' = I + L' A L with A in work.curve (lower triangle); work.half = A L.

    Returns False if some group's matrix is not positive definite.
    """
    q = L.shape[0]
    A, half, C = work.curve, work.half, work.C
    for k in range(q):
        for l in range(q):
            # (A L)_kl = sum over m >= l of A_km L_ml
            for g in range(groups):
                half[k, l, g] = 0.0
            for m in range(l, q):
                if L[m, l] != 0.0:
                    hi, lo = max(k, m), min(k, m)
                    for g in range(groups):
                        half[k, l, g] += A[hi, lo, g] * L[m, l]
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
    for k in range(q):
        for l in range(k + 1):
            for m in range(l):
                for g in range(groups):
                    C[k, l, g] -= C[k, m, g] * C[l, m, g]
            if l < k:
                for g in range(groups):
                    C[k, l, g] /= C[l, l, g]
            else:
                smallest = np.inf
                for g in range(groups):
                    smallest = min(smallest, C[k, k, g])
                    C[k, k, g] = np.sqrt(C[k, k, g])
                good = good and smallest > 0.0
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
    """out = C' x for each group."""
    q = C.shape[0]
    for k in range(q):
        for g in range(groups):
            out[k, g] = C[k, k, g] * x[k, g]
        for l in range(k + 1, q):
            for g in range(groups):
                out[k, g] += C[l, k, g] * x[l, g]
