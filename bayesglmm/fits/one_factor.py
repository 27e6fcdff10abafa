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

from .. import covariance, families
from .._jit import entry, kernel, types
from .._linalg import copy, dot
from ..density import (
    DATA_TYPE,
    MATRIX,
    VECTOR,
    dispersion,
    theta_logprior,
    theta_logprior_gradient,
)
from ..lanes import (
    CHOLESKY,
    CURVE,
    ETA,
    FIXED,
    HALF,
    LOGLIK,
    NEW_V,
    SCORE,
    STEP,
    TOTAL,
    A,
    B,
    E,
    U,
    V,
    add_effect,
    by_lane,
    factorize,
    fixed_part,
    linear_predictor,
    log_determinants,
    make_work,
    mix,
    newton_step,
    pull_back,
    solve_backward,
    solve_forward,
    sum_rows,
)
from ..layout import GROUP, LEVEL, ROW
from .careful_modes import careful_modes
from .optimizer import SEARCH_TYPE, SEARCHING, STATE, advance

STEPS = 60  # Newton steps of a mode; 3-6 are the rule
CLOSE = 1e-9  # a step below this leaves an error of its square
LONGEST = 3.0  # first bound of a Newton step in v, whose prior sd is 1
PHI_STEP = 1e-5  # relative step of the central difference in log phi


@kernel
def modes(rows, obs, c, L, phi, work):
    """Bring V to the modes by Newton steps with Fisher weights; FIXED must hold the fixed part.

    Returns the number of steps, or -1 where a step is not finite.
    """
    q = L.shape[0]
    first = obs.lanes.chunk[c, ROW]
    m = obs.lanes.chunk[c + 1, ROW] - first
    groups = obs.lanes.chunk[c + 1, GROUP] - obs.lanes.chunk[c, GROUP]
    y, w = obs.y[first : first + m], obs.w[first : first + m]
    eta, a, b = work.row[ETA, :m], work.row[A], work.row[B]
    v, step, before = work.vector[V], work.vector[STEP], work.vector[NEW_V]
    longest = work.number[TOTAL]
    for g in range(groups):
        longest[g] = LONGEST
        for k in range(q):
            before[k, g] = 0.0
    for count in range(STEPS):
        linear_predictor(obs, c, L, v, groups, work)
        rows(families.IWLS, eta, y, w, phi, a, b, a, a)
        newton_step(obs, c, L, v, groups, work)
        largest = 0.0
        for g in range(groups):
            size, turn, previous = 0.0, 0.0, 0.0
            for k in range(q):
                size = max(size, abs(step[k, g]))
                turn += step[k, g] * before[k, g]
                previous = max(previous, abs(before[k, g]))
            if not size < np.inf:
                return -1
            if turn < 0.0:
                # Overshot: half the last step bounds the next ones, so that steps cannot cycle.
                longest[g] = min(longest[g], max(0.5 * previous, CLOSE))
            factor = 1.0 if size <= longest[g] else longest[g] / size
            for k in range(q):
                before[k, g] = factor * step[k, g]
                v[k, g] += before[k, g]
            largest = max(largest, size * factor)
        if largest < CLOSE:
            return count + 1
    return STEPS


@kernel
def find_modes(rows, obs, c, L, phi, work, attempt):
    """Bring V to the modes: by `modes`, or at a second attempt with care; False if that fails."""
    if attempt == 0:
        return 0 < modes(rows, obs, c, L, phi, work) < STEPS
    return careful_modes(rows, obs, c, L, phi, work)


@entry(
    lambda: types.void(
        families.ROWS_TYPE,
        DATA_TYPE,
        types.int64,
        SEARCH_TYPE,
        MATRIX,
        VECTOR,
        MATRIX,
        MATRIX,
        VECTOR,
        types.float64[:, :, ::1],
    )
)
def evaluate(rows, data, penalized, search, points, values, gradients, found, modes_v, blocks):
    """Laplace log-likelihoods, plus the log prior if `penalized`: along a search, then at points.

    One entry point for both, so that the objective is compiled once. A search that is over is left
    alone. modes_v (q J,) holds the start of the modes and receives those of the search's end; each
    of the points (k, d) starts from there. Filled for each: values (k,), gradients (k, d), the
    modes found (k, q J); blocks (q, q, J) receives C of the last. A value is -inf if a mode is not
    found or a curvature is not positive definite.
    """
    d, nv = gradients.shape[1], modes_v.size
    v, gradient = np.empty(nv), np.zeros(d)
    searching = search.counts[STATE] == SEARCHING
    place = 0
    while searching or place < points.shape[0]:
        theta = search.trial if searching else points[place]
        copy(v, modes_v)
        value = laplace(rows, data, penalized, theta, v, blocks, gradient)
        if searching:
            if value > -np.inf:
                copy(modes_v, v)
            advance(search, value, gradient)
            searching = search.counts[STATE] == SEARCHING
            continue
        values[place] = value
        copy(gradients[place], gradient)
        copy(found[place], v)
        place += 1


@kernel
def laplace(rows, data, penalized, theta, modes_v, blocks, gradient):
    """Laplace log-likelihood at theta, plus the log prior if `penalized`.

    modes_v (q J,) holds the start of the modes and receives them; blocks (q, q, J) receives C;
    gradient (d,) is filled. -inf if a mode is not found or a curvature is not positive definite.
    """
    obs, prior = data.obs, data.prior
    p, m, q = obs.X.shape[0], prior.covariance.row.size, obs.Z.shape[0]
    J = blocks.shape[2]
    L, d_L = np.zeros((q, q)), np.zeros((q, q))
    covariance.fill_L(prior.covariance, theta[p : p + m], L)
    phi = dispersion(prior, theta)
    with_phi = prior.phi.shape[0] > 0
    work = make_work(obs.lanes, q)
    for j in range(theta.size):
        gradient[j] = 0.0
    value = 0.0
    v, C = work.vector[V], work.matrix[CHOLESKY]
    for c in range(obs.lanes.chunk.shape[0] - 1):
        first = obs.lanes.chunk[c, GROUP]
        groups = obs.lanes.chunk[c + 1, GROUP] - first
        fixed_part(obs, c, theta[:p], work.row[FIXED], 0)
        part = -np.inf
        for attempt in range(2):
            for k in range(q):
                for g in range(groups):
                    v[k, g] = modes_v[k * J + first + g]
            if find_modes(rows, obs, c, L, phi, work, attempt):
                part = _chunk(rows, obs, with_phi, c, L, phi, work, gradient, d_L)
            if part > -np.inf:
                break
        if not part > -np.inf:
            return -np.inf
        value += part
        for k in range(q):
            for g in range(groups):
                modes_v[k * J + first + g] = v[k, g]
            for l in range(k + 1):
                for g in range(groups):
                    blocks[k, l, first + g] = C[k, l, g]
    covariance.chain_psi(prior.covariance, L, d_L, gradient[p : p + m])
    if penalized == 1:
        value += theta_logprior(prior, theta, L)
        theta_logprior_gradient(prior, theta, L, gradient)
    return value


@kernel
def _chunk(rows, obs, with_phi, c, L, phi, work, gradient, d_L):
    """The groups of a chunk at the modes in V: value returned, gradients added."""
    q, p = L.shape[0], obs.X.shape[0]
    lanes, buffer = obs.lanes, work.lane
    groups = lanes.chunk[c + 1, GROUP] - lanes.chunk[c, GROUP]
    first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
    n = last - first
    y, w = obs.y[first:last], obs.w[first:last]
    eta, v, score = work.row[ETA, :n], work.vector[V], work.vector[SCORE]
    curve, half, C = work.matrix[CURVE], work.matrix[HALF], work.matrix[CHOLESKY]
    product = work.row[E]
    linear_predictor(obs, c, L, v, groups, work)
    ll, s, bend, turn = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    rows(families.FULL, eta, y, w, phi, ll, s, bend, turn)
    value = 0.0
    for i in range(n):
        value += ll[i]
    for k in range(q):
        sum_rows(lanes, obs.Z[k], obs.ones[k], c, s, buffer, score[k])
        for i in range(n):
            product[i] = obs.Z[k, first + i] * bend[i]
        for l in range(k + 1):
            sum_rows(lanes, obs.Z[l], obs.ones[l], c, product, buffer, curve[k, l])
    if not (factorize(L, groups, work.matrix) and value > -np.inf):
        return -np.inf
    log_determinants(C, groups, work.number[LOGLIK])
    for g in range(groups):
        value -= work.number[LOGLIK, g]
        for k in range(q):
            value -= 0.5 * v[k, g] * v[k, g]

    # H^-1 by its columns, then M = L H^-1 L' for the levers.
    inverse = np.zeros((q, q, groups))
    column = np.empty((q, groups))
    for l in range(q):
        for k in range(q):
            for g in range(groups):
                column[k, g] = 1.0 if k == l else 0.0
        solve_forward(C, column, groups)
        solve_backward(C, column, groups)
        for k in range(q):
            for g in range(groups):
                inverse[k, l, g] = column[k, g]
    lever = np.zeros(n)
    M = work.number[TOTAL]
    for k in range(q):
        for l in range(k + 1):
            twice = 1.0 if k == l else 2.0
            for g in range(groups):
                M[g] = 0.0
            for i in range(k + 1):
                for j in range(l + 1):
                    factor = twice * L[k, i] * L[l, j]
                    if factor != 0.0:
                        for g in range(groups):
                            M[g] += factor * inverse[i, j, g]
            add_lever(lanes, obs.Z[k], obs.Z[l], c, M, buffer, lever)
    pull = work.row[A]
    for i in range(n):
        pull[i] = 0.5 * lever[i] * turn[i]
    step, b = work.vector[STEP], work.vector[NEW_V]
    for k in range(q):
        sum_rows(lanes, obs.Z[k], obs.ones[k], c, pull, buffer, step[k])
    pull_back(L, step, groups, b)
    solve_forward(C, b, groups)
    solve_backward(C, b, groups)
    mix(L, b, groups, work.vector[U])
    shift = np.zeros(n)  # a_r' b
    for k in range(q):
        add_effect(lanes, obs.Z[k], obs.ones[k], c, work.vector[U, k], buffer, shift)
    for i in range(n):
        product[i] = s[i] - pull[i] + bend[i] * shift[i]
    for k in range(p):
        gradient[k] += dot(obs.X[k, first:last], product[:n])
    total = work.number[TOTAL]
    for k in range(q):
        sum_rows(lanes, obs.Z[k], obs.ones[k], c, product, buffer, total)
        for l in range(q):
            for g in range(groups):
                trace = 0.0
                for j in range(q):
                    trace += half[k, j, g] * inverse[j, l, g]
                d_L[k, l] += total[g] * v[l, g] - b[l, g] * score[k, g] - trace
    if with_phi:
        slope = 0.0
        for side in range(2):
            sign = 1.0 if side == 0 else -1.0
            rows(families.FULL, eta, y, w, phi * math.exp(sign * PHI_STEP), ll, s, bend, turn)
            for i in range(n):
                slope += sign * (ll[i] - 0.5 * lever[i] * bend[i] - shift[i] * s[i])
        gradient[gradient.size - 1] += slope / (2.0 * PHI_STEP)
    return value


@kernel
def add_lever(lanes, z, other, c, values, buffer, lever):
    """lever_r += z_r other_r * (value of the row's group)."""
    first = lanes.chunk[c, ROW]
    own = by_lane(lanes, c, values, buffer)
    for level in range(lanes.chunk[c, LEVEL], lanes.chunk[c + 1, LEVEL]):
        row = lanes.level[level, 0]
        for i in range(lanes.level[level, 1]):
            lever[row - first + i] += z[row + i] * other[row + i] * own[i]
