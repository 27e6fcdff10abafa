"""Laplace's approximation of the marginal likelihood, one grouping factor, compiled.

    loglik(theta) = sum_i [ l_i(v_i) - |v_i|^2 / 2 - log det C_i ],   C_i C_i' = I + L'Z_i'K_i Z_i L

at the modes v_i, with K the observed curvature (Breslow and Clayton 1993; Pinheiro and Chao 2006).
The gradient is that of this very function, the movement of the modes included: with a = L'z,
lever_r = a_r' H_i^-1 a_r, c_r = lever_r K'_r / 2 and b_i = H_i^-1 sum_r c_r a_r,

    d / d beta   = sum_r e_r x_r,                          e_r = s_r - c_r + k_r a_r' b_i
    d / d L_kl   = sum_i [ (sum_r e_r z_rk) v_il - b_il (sum_r z_rk s_r) - (Z'KZ L H^-1)_kl ].
"""

import math

import numpy as np

from .. import covariance, families, lanes
from .._jit import entry, kernel, types
from ..density import (
    DATA_TYPE,
    VECTOR,
    dispersion,
    dot,
    theta_logprior,
    theta_logprior_gradient,
)

STEPS = 60  # Newton steps of a mode; 3-6 are the rule
CLOSE = 1e-9  # a step below this leaves an error of its square
LONGEST = 3.0  # first bound of a Newton step in v, whose prior sd is 1
PHI_STEP = 1e-5  # relative step of the central difference in log phi


@kernel
def modes(rows, data, c, L, phi, v, work):
    """Bring v (q, groups of the chunk) to the modes by Newton steps with Fisher weights.

    Scores and Z'WZ at the last point but one stay in `work`. work.eta must hold the fixed part in
    work.d on entry. Returns the number of steps, or -1 where a step is not finite.
    """
    q = L.shape[0]
    groups = data.lanes.first[c + 1] - data.lanes.first[c]
    first, last = data.lanes.row[c], data.lanes.row[c + 1]
    m = last - first
    longest = np.full(groups, LONGEST)
    before = np.zeros((q, groups))
    for count in range(STEPS):
        linear_predictor(data, c, L, v, groups, work)
        y, w = data.y[first:last], data.w[first:last]
        rows(families.IWLS, work.eta[:m], y, w, phi, work.a, work.b, work.a, work.a)
        newton_step(data, c, L, v, groups, work)
        largest = 0.0
        for g in range(groups):
            size, turn = 0.0, 0.0
            for k in range(q):
                size = max(size, abs(work.step[k, g]))
                turn += work.step[k, g] * before[k, g]
            if not size < np.inf:
                return -1
            if turn < 0.0:
                # Overshot: half the last step bounds the next ones, so that steps cannot cycle.
                previous = 0.0
                for k in range(q):
                    previous = max(previous, abs(before[k, g]))
                longest[g] = min(longest[g], max(0.5 * previous, CLOSE))
            factor = 1.0 if size <= longest[g] else longest[g] / size
            for k in range(q):
                before[k, g] = factor * work.step[k, g]
                v[k, g] += before[k, g]
            largest = max(largest, size * factor)
        if largest < CLOSE:
            return count + 1
    return STEPS


@kernel
def linear_predictor(data, c, L, v, groups, work):
    """work.eta = work.d (the fixed part) + Z L v; work.u = L v."""
    m = data.lanes.row[c + 1] - data.lanes.row[c]
    for i in range(m):
        work.eta[i] = work.d[i]
    lanes.mix(L, v, groups, work.u)
    for k in range(L.shape[0]):
        lanes.add_effect(data, c, k, work.u[k], work.lane, work.eta)


@kernel
def newton_step(data, c, L, v, groups, work):
    """work.step = H^-1 (L'Z's - v) from scores in work.a and weights in work.b; work.C of H."""
    q = L.shape[0]
    for k in range(q):
        lanes.sum_scores(data, c, k, work.a, work.lane, work.score[k])
        for l in range(k + 1):
            lanes.sum_curvature(data, c, k, l, work.b, work.lane, work.curve[k, l])
    good = lanes.factorize(L, work, groups)
    lanes.pull_back(L, work.score, groups, work.step)
    for k in range(q):
        for g in range(groups):
            work.step[k, g] -= v[k, g]
    lanes.solve_forward(work.C, work.step, groups)
    lanes.solve_backward(work.C, work.step, groups)
    return good


@entry(
    lambda: types.float64(
        families.ROWS_TYPE,
        DATA_TYPE,
        types.int64,
        VECTOR,
        VECTOR,
        types.float64[:, :, ::1],
        VECTOR,
    )
)
def laplace(rows, data, penalized, theta, modes_v, blocks, gradient):
    """Laplace log-likelihood at theta, plus the log prior if `penalized`.

    modes_v (q J,) holds the start of the modes and receives them; blocks (q, q, J) receives C;
    gradient (d,) is filled. -inf if a mode is not found or a curvature is not positive definite.
    """
    p, m, q = data.beta_kind.size, data.covariance.row.size, data.factor.size
    J = data.levels[0]
    L = np.zeros((q, q))
    covariance.fill_L(data.covariance, theta[p : p + m], L)
    phi = dispersion(data, theta)
    work = lanes.make_work(data)
    d_L = np.zeros((q, q))
    gradient[:] = 0.0
    value = 0.0
    for c in range(data.lanes.direct.size):
        first = data.lanes.first[c]
        groups = data.lanes.first[c + 1] - first
        v = work.v
        for k in range(q):
            for g in range(groups):
                v[k, g] = modes_v[k * J + first + g]
        lanes.fixed_part(data, c, theta[:p], work.d, 0)
        if modes(rows, data, c, L, phi, v, work) < 0:
            return -np.inf
        part = _chunk(rows, data, c, L, phi, v, work, gradient, d_L)
        if not part > -np.inf:
            return -np.inf
        value += part
        for k in range(q):
            for g in range(groups):
                modes_v[k * J + first + g] = v[k, g]
            for l in range(k + 1):
                for g in range(groups):
                    blocks[k, l, first + g] = work.C[k, l, g]
    covariance.chain_psi(data.covariance, L, d_L, gradient[p : p + m])
    if penalized == 1:
        value += theta_logprior(data, theta, L)
        theta_logprior_gradient(data, theta, L, gradient)
    return value


@kernel
def _chunk(rows, data, c, L, phi, v, work, gradient, d_L):
    """The groups of a chunk: value returned, gradients added."""
    q = L.shape[0]
    p, m = data.beta_kind.size, data.covariance.row.size
    groups = data.lanes.first[c + 1] - data.lanes.first[c]
    first, last = data.lanes.row[c], data.lanes.row[c + 1]
    n = last - first
    y, w = data.y[first:last], data.w[first:last]
    linear_predictor(data, c, L, v, groups, work)
    ll, s, k_, t = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    rows(families.FULL, work.eta[:n], y, w, phi, ll, s, k_, t)
    value = 0.0
    for i in range(n):
        value += ll[i]
    for k in range(q):
        lanes.sum_scores(data, c, k, s, work.lane, work.score[k])
        for l in range(k + 1):
            lanes.sum_curvature(data, c, k, l, k_, work.lane, work.curve[k, l])
    if not lanes.factorize(L, work, groups):
        return -np.inf
    C = work.C
    for k in range(q):
        for g in range(groups):
            value -= math.log(C[k, k, g]) + 0.5 * v[k, g] * v[k, g]

    # H^-1 by its columns, then M = L H^-1 L' for the levers.
    inverse = np.zeros((q, q, groups))
    column = np.empty((q, groups))
    for l in range(q):
        column[:] = 0.0
        column[l] = 1.0
        lanes.solve_forward(C, column, groups)
        lanes.solve_backward(C, column, groups)
        for k in range(q):
            for g in range(groups):
                inverse[k, l, g] = column[k, g]
    lever = np.zeros(n)
    M = np.empty(groups)
    for k in range(q):
        for l in range(k + 1):
            twice = 1.0 if k == l else 2.0
            M[:] = 0.0
            for i in range(k + 1):
                for j in range(l + 1):
                    factor = twice * L[k, i] * L[l, j]
                    if factor != 0.0:
                        for g in range(groups):
                            M[g] += factor * inverse[i, j, g]
            _add_lever(data, c, k, l, M, work.lane, lever)
    for i in range(n):
        work.a[i] = 0.5 * lever[i] * t[i]
    for k in range(q):
        lanes.sum_scores(data, c, k, work.a, work.lane, work.step[k])
    b = np.empty((q, groups))
    lanes.pull_back(L, work.step, groups, b)
    lanes.solve_forward(C, b, groups)
    lanes.solve_backward(C, b, groups)
    lanes.mix(L, b, groups, work.u)
    shift = np.zeros(n)  # a_r' b
    for k in range(q):
        lanes.add_effect(data, c, k, work.u[k], work.lane, shift)
    e = np.empty(n)
    for i in range(n):
        e[i] = s[i] - work.a[i] + k_[i] * shift[i]
    for k in range(p):
        gradient[k] += dot(data.X[k, first:last], e)
    for k in range(q):
        lanes.sum_scores(data, c, k, e, work.lane, work.total)
        for l in range(q):
            for g in range(groups):
                product = 0.0
                for j in range(q):
                    product += work.half[k, j, g] * inverse[j, l, g]
                d_L[k, l] += work.total[g] * v[l, g] - b[l, g] * work.score[k, g] - product
    if data.phi_kind.size > 0:
        up, down = phi * math.exp(PHI_STEP), phi * math.exp(-PHI_STEP)
        ll2, s2, k2 = np.empty(n), np.empty(n), np.empty(n)
        rows(families.FULL, work.eta[:n], y, w, up, ll, s, k_, t)
        rows(families.FULL, work.eta[:n], y, w, down, ll2, s2, k2, t)
        total = 0.0
        for i in range(n):
            total += ll[i] - ll2[i] - 0.5 * lever[i] * (k_[i] - k2[i]) - shift[i] * (s[i] - s2[i])
        gradient[p + m] += total / (2.0 * PHI_STEP)
    return value


@kernel
def _add_lever(data, c, k, l, values, buffer, lever):
    """lever_r += Z_rk Z_rl * (value of the row's group)."""
    first = data.lanes.row[c]
    own = lanes.by_lane(data, c, values, buffer)
    for level in range(data.lanes.level[c], data.lanes.level[c + 1]):
        row = data.lanes.start[level]
        for i in range(data.lanes.count[level]):
            lever[row - first + i] += data.Z[k, row + i] * data.Z[l, row + i] * own[i]


