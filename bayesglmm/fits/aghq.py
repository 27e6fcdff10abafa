"""Adaptive Gauss-Hermite quadrature of the marginal likelihood, one grouping factor.

Nodes are v_i = mode_i + sqrt(2) C_i^-T x (Pinheiro and Bates 1995). `score` returns the gradient by
Fisher's identity, the posterior mean of the complete-data score under the node weights:

    d / d beta = sum_i E_i[ sum_r x_r s_r ],     d / d L_kl = sum_i E_i[ (Z_k's) v_l ].

It becomes the gradient of the marginal likelihood as the nodes become many, and its root is where
the transported sampler centres its proposals: the Laplace mode is several posterior sds away for
many groups with binary responses.
"""

import math
from collections.abc import Callable

import numpy as np

from .. import covariance, families, lanes
from .._jit import entry, kernel, types
from ..density import DATA_TYPE, MATRIX, VECTOR, dispersion, dot, theta_logprior_gradient
from .one_factor import linear_predictor

NODES = {1: 9, 2: 7, 3: 5, 4: 3}  # nodes a dimension, for 9 to 125 nodes a group
MANY_NODES = 25  # a dimension for q = 1 where an sd is large
LARGE_SD = 1.5  # on the scale of eta
EVALUATIONS = 30
CLOSE = 0.05  # stop where a Newton step would move by this many posterior sds


def nodes(q: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Product rule of `count` Gauss-Hermite nodes a dimension.

    Returns
    -------
    points : ndarray, shape (count^q, q)
        sqrt(2) x.
    log_weights : ndarray, shape (count^q,)
        log of w exp(x^2) / sqrt(pi), so that the sum is over densities relative to the mode's.
    """
    x, w = np.polynomial.hermite.hermgauss(count)
    log_w = np.log(w) + x * x - 0.5 * math.log(math.pi)
    grids = np.meshgrid(*[np.arange(count)] * q, indexing="ij")
    chosen = np.stack([g.ravel() for g in grids], 1)
    return np.ascontiguousarray(math.sqrt(2.0) * x[chosen]), log_w[chosen].sum(1)


@entry(
    lambda: types.float64(
        families.ROWS_TYPE,
        DATA_TYPE,
        VECTOR,
        VECTOR,
        types.float64[:, :, ::1],
        MATRIX,
        VECTOR,
        VECTOR,
    )
)
def score(rows, data, theta, modes_v, blocks, points, log_weights, gradient):
    """Log-likelihood by quadrature; `gradient` (d,) receives the Fisher score and log prior's."""
    p, m, q = data.beta_kind.size, data.covariance.row.size, data.factor.size
    J = data.levels[0]
    L, d_L = np.zeros((q, q)), np.zeros((q, q))
    covariance.fill_L(data.covariance, theta[p : p + m], L)
    phi = dispersion(data, theta)
    work = lanes.make_work(data)
    gradient[:] = 0.0
    size = work.total.size
    value = 0.0
    at_mode, weight, total = np.empty(size), np.empty(size), np.empty(size)
    step, v = np.empty((q, size)), np.empty((q, size))
    score_v = np.empty((q, q, size))
    mean_score, scores, phi_scores = work.c, np.empty(work.a.size), np.empty(work.a.size)
    for c in range(data.lanes.direct.size):
        first, last = data.lanes.row[c], data.lanes.row[c + 1]
        n = last - first
        place = data.lanes.first[c]
        groups = data.lanes.first[c + 1] - place
        y, w = data.y[first:last], data.w[first:last]
        lanes.fixed_part(data, c, theta[:p], work.d, 0)
        for k in range(q):
            for l in range(k + 1):
                for g in range(groups):
                    work.C[k, l, g] = blocks[k, l, place + g]
        mean_score[:n] = 0.0
        score_v[:] = 0.0
        total[:] = 0.0
        mean_phi = np.zeros(n)
        for node in range(-1, points.shape[0]):
            for k in range(q):
                for g in range(groups):
                    step[k, g] = points[node, k] if node >= 0 else 0.0
            lanes.solve_backward(work.C, step, groups)
            for k in range(q):
                for g in range(groups):
                    v[k, g] = modes_v[k * J + place + g] + step[k, g]
            linear_predictor(data, c, L, v, groups, work)
            rows(families.GRADIENT, work.eta[:n], y, w, phi, work.a, scores, phi_scores, work.a)
            lanes.sum_rows(data, c, work.a, work.lane, weight)
            for k in range(q):
                for g in range(groups):
                    weight[g] -= 0.5 * v[k, g] * v[k, g]
            if node < 0:
                for g in range(groups):
                    at_mode[g] = weight[g]
                continue
            for g in range(groups):
                weight[g] = math.exp(weight[g] - at_mode[g] + log_weights[node])
                total[g] += weight[g]
            # Row by row: the group's weight times the row's score.
            work.b[:n] = 0.0
            for k in range(q):
                lanes.sum_scores(data, c, k, scores, work.lane, work.score[k])
                for l in range(k + 1):
                    for g in range(groups):
                        score_v[k, l, g] += weight[g] * work.score[k, g] * v[l, g]
            _add_weight(data, c, weight, work.lane, work.b)
            for i in range(n):
                mean_score[i] += work.b[i] * scores[i]
                mean_phi[i] += work.b[i] * phi_scores[i]
        for g in range(groups):
            value += at_mode[g] + math.log(total[g])
            weight[g] = 1.0 / total[g]
            for k in range(q):
                value -= math.log(work.C[k, k, g])
                for l in range(k + 1):
                    d_L[k, l] += score_v[k, l, g] * weight[g]
        work.b[:n] = 0.0
        _add_weight(data, c, weight, work.lane, work.b)
        for i in range(n):
            mean_score[i] *= work.b[i]
        for k in range(p):
            gradient[k] += dot(data.X[k, first:last], mean_score[:n])
        if data.phi_kind.size > 0:
            for i in range(n):
                gradient[p + m] += mean_phi[i] * work.b[i]
    covariance.chain_psi(data.covariance, L, d_L, gradient[p : p + m])
    theta_logprior_gradient(data, theta, L, gradient)
    return value


@kernel
def _add_weight(data, c, values, buffer, out):
    """out_r += value of the row's group."""
    own = lanes.by_lane(data, c, values, buffer)
    first = data.lanes.row[c]
    for level in range(data.lanes.level[c], data.lanes.level[c + 1]):
        row = data.lanes.start[level] - first
        for i in range(data.lanes.count[level]):
            out[row + i] += own[i]


def find_root(
    gradient_at: Callable[[np.ndarray], np.ndarray],
    theta: np.ndarray,
    covariance_guess: np.ndarray,
    longest: np.ndarray,
) -> tuple[np.ndarray, bool]:
    """Root of a score by quasi-Newton steps from a covariance that nearly fits.

    There is no function whose gradient the score is, so nothing is searched along a line: full
    steps, halved only when the score, in posterior sds, doubles.
    """
    B = covariance_guess.copy()
    g = gradient_at(theta)
    best, best_size = theta, float(g @ B @ g)
    for _ in range(EVALUATIONS):
        step = B @ g
        decrement = float(g @ step)
        if not decrement > CLOSE * CLOSE:
            return theta, True
        step *= min(1.0, 1.0 / float(np.max(np.abs(step) / longest)))
        while True:
            new = gradient_at(theta + step)
            size = float(new @ covariance_guess @ new)
            if np.isfinite(size) and size <= 4.0 * float(g @ covariance_guess @ g):
                break
            step *= 0.5
            if np.max(np.abs(step) / longest) < 1e-6:
                return best, False
        theta = theta + step
        change = g - new
        curve = float(step @ change)
        if curve > 0.0:
            left = np.eye(theta.size) - np.outer(step, change) / curve
            B = left @ B @ left.T + np.outer(step, step) / curve
        g = new
        if size < best_size:
            best, best_size = theta, size
    return best, False
