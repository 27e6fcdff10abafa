"""The marginal likelihood by adaptive Gauss-Hermite quadrature, one grouping factor, compiled.

    loglik(theta) = sum_i [ log sum_k w_k exp f_i(v_ik) - log det C_i ],   v_ik = m_i + C_i^-T x_k

with f_i(v) = l_i(v) - |v|^2 / 2, its mode m_i, the observed curvature C_i C_i' = H_i there, and the
nodes x_k and weights w_k of `aghq.nodes` (Pinheiro and Bates 1995). One node is Laplace's
approximation.

The gradient is that of this very sum: the nodes move with theta through m_i and through C_i. With
p_k the shares of the nodes, d_k = v_k - m and g_k = L'Z's(v_k) - v_k, the adjoint of the mode is
G = sum_k p_k g_k and that of C is -tril(sum_k p_k d_k g_k' C^-T) - diag(1 / C_jj). Reverse
differentiation of the Cholesky factor (Smith 1995; Murray 2016, equation 10) turns the latter into
that of H, which is -W / 2; for one node W is H^-1. From there on all is as in `one_factor`, with
lever_r = a_r' W a_r, c_r = lever_r K'_r / 2 and b = H^-1 (sum_r c_r a_r - G):

    d / d beta = sum_r e_r x_r,    e_r = sum_k p_k s_r(v_k) - c_r + k_r a_r'b
    d / d L    = sum_i [ sum_k p_k Z's(v_k) v_k' + Z'(k a'b - c) m' - Z's(m) b' - Z'KZ L W ].
"""

import math

import numpy as np

from .. import covariance, families
from .._jit import entry, kernel, types
from .._linalg import add, copy, dot
from ..density import DATA_TYPE, MATRIX, VECTOR, dispersion
from ..lanes import (
    CHOLESKY,
    CURVE,
    ETA,
    FIXED,
    HALF,
    NEW_V,
    STEP,
    TOTAL,
    A,
    B,
    E,
    S,
    U,
    V,
    add_effect,
    factorize,
    fixed_part,
    linear_predictor,
    make_work,
    mix,
    pull_back,
    solve_backward,
    solve_forward,
    sum_rows,
)
from ..layout import GROUP, ROW
from .node_sums import (
    BASE,
    MEAN_SCORE,
    MEAN_STEP,
    MODE_SCORE,
    SCORE_STEP,
    SLOPE,
    STEP_STEP,
    TURNED,
    add_product,
    joint_density,
    marginal,
    over_nodes,
)
from .one_factor import PHI_STEP, add_lever, find_modes
from .optimizer import SEARCH_TYPE, SEARCHING, STATE, advance


@entry(
    lambda: types.void(
        families.ROWS_TYPE,
        DATA_TYPE,
        MATRIX,
        VECTOR,
        SEARCH_TYPE,
        MATRIX,
        VECTOR,
        MATRIX,
        MATRIX,
        VECTOR,
        types.float64[:, :, ::1],
    )
)
def evaluate(
    rows, data, nodes, log_weights, search, points, values, gradients, found, modes_v, blocks
):
    """Log-likelihoods by quadrature along a search, then at points: as `one_factor.evaluate`.

    nodes (K^q, q) and log_weights (K^q,) are those of `aghq.nodes`.
    """
    d, nv = gradients.shape[1], modes_v.size
    v, gradient = np.empty(nv), np.zeros(d)
    searching = search.counts[STATE] == SEARCHING
    place = 0
    while searching or place < points.shape[0]:
        theta = search.trial if searching else points[place]
        copy(v, modes_v)
        value = quadrature(rows, data, nodes, log_weights, theta, v, blocks, gradient)
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
def quadrature(rows, data, nodes, log_weights, theta, modes_v, blocks, gradient):
    """Log-likelihood by quadrature at theta.

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
    size, n_max = work.number.shape[1], work.row.shape[1]
    squares, means = np.empty((3, q, q, size)), np.empty((3, q, size))
    row = np.empty((5, n_max))
    for j in range(theta.size):
        gradient[j] = 0.0
    value = 0.0
    v, C = work.vector[V], work.matrix[CHOLESKY]
    for c in range(obs.lanes.chunk.shape[0] - 1):
        first = obs.lanes.chunk[c, GROUP]
        groups = obs.lanes.chunk[c + 1, GROUP] - first
        fixed_part(obs, c, theta[:p], work.row[FIXED], 0)
        found = False
        for attempt in range(2):
            for k in range(q):
                for g in range(groups):
                    v[k, g] = modes_v[k * J + first + g]
            found = find_modes(rows, obs, c, L, phi, work, attempt)
            found = found and _at_modes(rows, obs, c, L, phi, work, means[MODE_SCORE], row)
            if found:
                break
        if not found:
            return -np.inf
        over_nodes(rows, obs, with_phi, c, L, phi, nodes, log_weights, work, squares, means, row[4])
        part = marginal(obs.lanes, c, work, squares, means, row[4])
        if not abs(part) < np.inf:
            return -np.inf
        value += part
        _turn(L, groups, work, squares, means)
        _gradient(rows, obs, with_phi, c, L, phi, work, squares, means, row, gradient, d_L)
        for k in range(q):
            for g in range(groups):
                modes_v[k * J + first + g] = v[k, g]
            for l in range(k + 1):
                for g in range(groups):
                    blocks[k, l, first + g] = C[k, l, g]
    covariance.chain_psi(prior.covariance, L, d_L, gradient[p : p + m])
    return value


@kernel
def _at_modes(rows, obs, c, L, phi, work, mode_score, row):
    """Row functions at the modes into `row`: loglik, s, k, k'; f into BASE, C into CHOLESKY.

    Returns False if some group's curvature is not positive definite, or its density is 0.
    """
    q, lanes, buffer = L.shape[0], obs.lanes, work.lane
    groups = lanes.chunk[c + 1, GROUP] - lanes.chunk[c, GROUP]
    first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
    n = last - first
    v, curve, product = work.vector[V], work.matrix[CURVE], work.row[E, :n]
    linear_predictor(obs, c, L, v, groups, work)
    y, w = obs.y[first:last], obs.w[first:last]
    rows(families.FULL, work.row[ETA, :n], y, w, phi, row[0], row[1], row[2], row[3])
    joint_density(lanes, obs.y, c, row[0], v, groups, buffer, work.number[BASE])
    bend = row[2, :n]
    for k in range(q):
        sum_rows(lanes, obs.Z[k], obs.ones[k], c, row[1], buffer, mode_score[k])
        z = obs.Z[k, first:last]
        for i in range(n):
            product[i] = z[i] * bend[i]
        for l in range(k + 1):
            sum_rows(lanes, obs.Z[l], obs.ones[l], c, product, buffer, curve[k, l])
    good = factorize(L, groups, work.matrix)
    for g in range(groups):
        good = good and work.number[BASE, g] > -np.inf
    return good


@kernel
def _turn(L, groups, work, squares, means):
    """W into TURNED, from the adjoint of C by that of its Cholesky factorization.

    The adjoint of C is -tril(D) - diag(1 / C), D = sum_k p_k d_k g_k' C^-T, so that
    W = C^-T N C^-1 with N = 1 + C' tril(D), its lower triangle mirrored.
    """
    q = L.shape[0]
    C, v = work.matrix[CHOLESKY], work.vector[V]
    D, N = work.matrix[CURVE], squares[TURNED]
    # Rows of D: d_j times the elements of g, then C^-1.
    for j in range(q):
        for l in range(q):
            own = D[j, l, :groups]
            spread = squares[STEP_STEP, max(j, l), min(j, l)]
            for g in range(groups):
                own[g] = -v[l, g] * means[MEAN_STEP, j, g] - spread[g]
            for k in range(l, q):
                add(own, squares[SCORE_STEP, k, j], L[k, l])
        solve_forward(C, D[j], groups)
    for i in range(q):
        for j in range(i + 1):
            one = 1.0 if i == j else 0.0
            own = N[i, j, :groups]
            for g in range(groups):
                own[g] = one
            for k in range(i, q):
                add_product(own, C[k, i], D[k, j])
            copy(N[j, i, :groups], own)
    for l in range(q):
        solve_backward(C, N[l], groups)
    for i in range(q):
        for j in range(i):
            for g in range(groups):
                N[i, j, g], N[j, i, g] = N[j, i, g], N[i, j, g]
    for k in range(q):
        solve_backward(C, N[k], groups)


@kernel
def _gradient(rows, obs, with_phi, c, L, phi, work, squares, means, row, gradient, d_L):
    """Add the gradient of the chunk's groups."""
    q, p = L.shape[0], obs.X.shape[0]
    lanes, buffer = obs.lanes, work.lane
    groups = lanes.chunk[c + 1, GROUP] - lanes.chunk[c, GROUP]
    first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
    n = last - first
    v, C, half, W = work.vector[V], work.matrix[CHOLESKY], work.matrix[HALF], squares[TURNED]
    bend, turn, mean_row = row[2, :n], row[3, :n], row[4, :n]
    lever, shift, pull, product = work.row[S, :n], work.row[A, :n], work.row[B, :n], work.row[E, :n]
    for i in range(n):
        lever[i] = 0.0
        shift[i] = 0.0
    total = work.number[TOTAL]
    for k in range(q):
        for l in range(k + 1):
            twice = 1.0 if k == l else 2.0
            for g in range(groups):
                total[g] = 0.0
            for i in range(k + 1):
                for j in range(l + 1):
                    factor = twice * L[k, i] * L[l, j]
                    if factor != 0.0:
                        add(total[:groups], W[i, j], factor)
            add_lever(lanes, obs.Z[k], obs.Z[l], c, total, buffer, lever)
    for i in range(n):
        pull[i] = 0.5 * lever[i] * turn[i]

    # b = H^-1 (L'Z'c - G)
    weighted, b = work.vector[STEP], work.vector[NEW_V]
    for k in range(q):
        sum_rows(lanes, obs.Z[k], obs.ones[k], c, pull, buffer, weighted[k])
        add(weighted[k, :groups], means[MEAN_SCORE, k], -1.0)
    pull_back(L, weighted, groups, b)
    for k in range(q):
        for g in range(groups):
            b[k, g] += v[k, g] + means[MEAN_STEP, k, g]
    solve_forward(C, b, groups)
    solve_backward(C, b, groups)
    mix(L, b, groups, work.vector[U])
    for k in range(q):
        add_effect(lanes, obs.Z[k], obs.ones[k], c, work.vector[U, k], buffer, shift)
    for i in range(n):
        pull[i] = bend[i] * shift[i] - pull[i]
        product[i] = mean_row[i] + pull[i]
    for k in range(p):
        gradient[k] += dot(obs.X[k, first:last], product)
    for k in range(q):
        sum_rows(lanes, obs.Z[k], obs.ones[k], c, pull, buffer, total)
        for l in range(q):
            for g in range(groups):
                trace = 0.0
                for j in range(q):
                    trace += half[k, j, g] * W[j, l, g]
                at_nodes = means[MEAN_SCORE, k, g] * v[l, g] + squares[SCORE_STEP, k, l, g]
                implied = total[g] * v[l, g] - b[l, g] * means[MODE_SCORE, k, g]
                d_L[k, l] += at_nodes + implied - trace
    if with_phi:
        slope = 0.0
        for g in range(groups):
            slope += work.number[SLOPE, g]
        gradient[gradient.size - 1] += slope
        slope = 0.0
        linear_predictor(obs, c, L, v, groups, work)
        y, w = obs.y[first:last], obs.w[first:last]
        for side in range(2):
            sign = 1.0 if side == 0 else -1.0
            moved = phi * math.exp(sign * PHI_STEP)
            rows(families.FULL, work.row[ETA, :n], y, w, moved, row[0], row[1], row[2], row[3])
            for i in range(n):
                slope -= sign * (0.5 * lever[i] * row[2, i] + shift[i] * row[1, i])
        gradient[gradient.size - 1] += slope / (2.0 * PHI_STEP)
