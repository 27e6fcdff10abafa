"""Sums over the nodes of a quadrature, with the nodes' weights, for the groups of one chunk.

Each group has the sum of its weights, their logarithm its log-likelihood, and weighted means of
what its gradient needs; each row has the mean of its score.
"""

import math

from .. import families
from .._jit import kernel, simd
from .._linalg import add
from .._simd import exp
from ..lanes import (
    CHOLESKY,
    ETA,
    LOGLIK,
    NEW_V,
    SCORE,
    STEP,
    TOTAL,
    WEIGHT,
    A,
    B,
    E,
    V,
    by_lane,
    linear_predictor,
    log_determinants,
    solve_backward,
    sum_rows,
)
from ..layout import GROUP, LEVEL, ROW

# Parts of the sums over nodes, (q, q, groups) each: p_k Z's(v_k) d_k', p_k d_k d_k', and W.
SCORE_STEP, STEP_STEP, TURNED = 0, 1, 2
# Parts of the sums over nodes, (q, groups) each: p_k Z's(v_k), p_k d_k, and Z's at the mode.
MEAN_SCORE, MEAN_STEP, MODE_SCORE = 0, 1, 2
BASE, SLOPE = 3, 4  # of Work.number here: f at the mode, and sum_k p_k (d loglik / d log phi)


@kernel
def joint_density(lanes, any_z, c, loglik, v, groups, buffer, out):
    """Out = f: the sum of loglik over a group's rows, less |v|^2 / 2."""
    sum_rows(lanes, any_z, 1, c, loglik, buffer, out)
    for k in range(v.shape[0]):
        own = v[k, :groups]
        for g in range(own.size):
            out[g] -= 0.5 * own[g] * own[g]


@kernel
def over_nodes(rows, obs, with_phi, c, L, phi, nodes, log_weights, work, squares, means, mean_row):
    """Sums over the nodes, not yet divided by TOTAL, the sum of the weights."""
    q, lanes, buffer = L.shape[0], obs.lanes, work.lane
    groups = lanes.chunk[c + 1, GROUP] - lanes.chunk[c, GROUP]
    first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
    n = last - first
    y, w = obs.y[first:last], obs.w[first:last]
    eta, a, b, slope = work.row[ETA, :n], work.row[A], work.row[B], work.row[E]
    v, step, node_v, score = (
        work.vector[V],
        work.vector[STEP],
        work.vector[NEW_V],
        work.vector[SCORE],
    )
    weight, total, phi_slope = work.number[WEIGHT], work.number[TOTAL], work.number[SLOPE]
    for k in range(q):
        for g in range(groups):
            means[MEAN_SCORE, k, g] = 0.0
            means[MEAN_STEP, k, g] = 0.0
        for l in range(q):
            for g in range(groups):
                squares[SCORE_STEP, k, l, g] = 0.0
                squares[STEP_STEP, k, l, g] = 0.0
    for g in range(groups):
        total[g] = 0.0
        phi_slope[g] = 0.0
    for i in range(n):
        mean_row[i] = 0.0
    for node in range(nodes.shape[0]):
        for k in range(q):
            x = nodes[node, k]
            for g in range(groups):
                step[k, g] = x
        solve_backward(work.matrix[CHOLESKY], step, groups)
        for k in range(q):
            for g in range(groups):
                node_v[k, g] = v[k, g] + step[k, g]
        linear_predictor(obs, c, L, node_v, groups, work)
        rows(families.GRADIENT, eta, y, w, phi, a, b, slope, a)
        joint_density(lanes, obs.y, c, a, node_v, groups, buffer, weight)
        _relative(weight[:groups], work.number[BASE], log_weights[node], total)
        _add_weighted_rows(lanes, c, weight, b, buffer, mean_row)
        if with_phi:
            sum_rows(lanes, obs.y, 1, c, slope, buffer, score[0])
            _weigh(score[0, :groups], weight)
            add(phi_slope[:groups], score[0], 1.0)
        for k in range(q):
            own = score[k]
            sum_rows(lanes, obs.Z[k], obs.ones[k], c, b, buffer, own)
            _weigh(own[:groups], weight)
            add(means[MEAN_SCORE, k, :groups], own, 1.0)
            for l in range(q):
                add_product(squares[SCORE_STEP, k, l, :groups], own, step[l])
        for k in range(q):
            own = score[k]
            for g in range(groups):
                own[g] = weight[g] * step[k, g]
            add(means[MEAN_STEP, k, :groups], own, 1.0)
            for l in range(k + 1):
                add_product(squares[STEP_STEP, k, l, :groups], own, step[l])


@simd
def _relative(weight, base, log_weight, total):
    """Weight of the node relative to the density at the mode; adds it to total."""
    for g in range(weight.size):
        weight[g] = exp(weight[g] - base[g] + log_weight)
        total[g] += weight[g]


@kernel
def add_product(out, x, y):
    """Out += x y, element by element."""
    for g in range(out.size):
        out[g] += x[g] * y[g]


@kernel
def _weigh(out, weight):
    """Multiply by the node's weight; where that is 0 the score may be nan."""
    for g in range(out.size):
        out[g] = weight[g] * out[g] if weight[g] > 0.0 else 0.0


@kernel
def _add_weighted_rows(lanes, c, weight, score, buffer, out):
    """out_r += (weight of the row's group) * score_r."""
    own = by_lane(lanes, c, weight, buffer)
    first = lanes.chunk[c, ROW]
    for level in range(lanes.chunk[c, LEVEL], lanes.chunk[c + 1, LEVEL]):
        row, count = lanes.level[level, 0] - first, lanes.level[level, 1]
        total, part = out[row : row + count], score[row : row + count]
        for i in range(total.size):
            total[i] += own[i] * part[i] if own[i] > 0.0 else 0.0


@kernel
def marginal(lanes, c, work, squares, means, mean_row):
    """Divide the sums by their weights; the groups' log-likelihood."""
    groups = lanes.chunk[c + 1, GROUP] - lanes.chunk[c, GROUP]
    total, log_det, base = work.number[TOTAL], work.number[LOGLIK], work.number[BASE]
    log_determinants(work.matrix[CHOLESKY], groups, log_det)
    value = 0.0
    for g in range(groups):
        value += base[g] + math.log(total[g]) - log_det[g]
        total[g] = 1.0 / total[g]
    q = means.shape[1]
    for k in range(q):
        for g in range(groups):
            means[MEAN_SCORE, k, g] *= total[g]
            means[MEAN_STEP, k, g] *= total[g]
        for l in range(q):
            for g in range(groups):
                squares[SCORE_STEP, k, l, g] *= total[g]
                squares[STEP_STEP, k, l, g] *= total[g]
    for g in range(groups):
        work.number[SLOPE, g] *= total[g]
    own, first = by_lane(lanes, c, total, work.lane), lanes.chunk[c, ROW]
    for level in range(lanes.chunk[c, LEVEL], lanes.chunk[c + 1, LEVEL]):
        row, count = lanes.level[level, 0] - first, lanes.level[level, 1]
        part = mean_row[row : row + count]
        for i in range(part.size):
            part[i] *= own[i]
    return value
