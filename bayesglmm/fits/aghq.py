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

from .. import covariance, families
from .._jit import entry, types
from .._linalg import dot
from ..density import DATA_TYPE, MATRIX, VECTOR, dispersion, theta_logprior_gradient
from ..lanes import (
    CHOLESKY,
    ETA,
    FIXED,
    LOGLIK,
    SCORE,
    STEP,
    TOTAL,
    WEIGHT,
    A,
    B,
    V,
    add_effect,
    fixed_part,
    linear_predictor,
    make_work,
    solve_backward,
    sum_rows,
)
from ..layout import GROUP, ROW
from .hermite import rule

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
    x, log_w = rule(count)
    log_w = log_w - 0.5 * math.log(math.pi)
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
    obs, prior = data.obs, data.prior
    p, m, q = obs.X.shape[0], prior.covariance.row.size, obs.Z.shape[0]
    lanes, J = obs.lanes, blocks.shape[2]
    L, d_L = np.zeros((q, q)), np.zeros((q, q))
    covariance.fill_L(prior.covariance, theta[p : p + m], L)
    phi = dispersion(prior, theta)
    work = make_work(lanes, q)
    for j in range(theta.size):
        gradient[j] = 0.0
    value = 0.0
    size, n_max = work.number.shape[1], work.row.shape[1]
    at_mode, weight, total = work.number[LOGLIK], work.number[WEIGHT], work.number[TOTAL]
    step, v, C = work.vector[STEP], work.vector[V], work.matrix[CHOLESKY]
    score_v = np.empty((q, q, size))
    scores, phi_scores = np.empty(n_max), np.empty(n_max)
    mean_score, mean_phi = np.empty(n_max), np.empty(n_max)
    share = work.row[B]
    for c in range(lanes.chunk.shape[0] - 1):
        first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
        n = last - first
        place = lanes.chunk[c, GROUP]
        groups = lanes.chunk[c + 1, GROUP] - place
        y, w = obs.y[first:last], obs.w[first:last]
        fixed_part(obs, c, theta[:p], work.row[FIXED], 0)
        for k in range(q):
            for l in range(k + 1):
                for g in range(groups):
                    C[k, l, g] = blocks[k, l, place + g]
                    score_v[k, l, g] = 0.0
        for g in range(groups):
            total[g] = 0.0
        for i in range(n):
            mean_score[i] = 0.0
            mean_phi[i] = 0.0
        for node in range(-1, points.shape[0]):
            for k in range(q):
                for g in range(groups):
                    step[k, g] = points[node, k] if node >= 0 else 0.0
            solve_backward(C, step, groups)
            for k in range(q):
                for g in range(groups):
                    v[k, g] = modes_v[k * J + place + g] + step[k, g]
            linear_predictor(obs, c, L, v, groups, work)
            eta, a = work.row[ETA, :n], work.row[A]
            rows(families.GRADIENT, eta, y, w, phi, a, scores, phi_scores, a)
            sum_rows(lanes, obs.y, 1, c, a, work.lane, weight)
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
            for k in range(q):
                own = work.vector[SCORE, k]
                sum_rows(lanes, obs.Z[k], obs.ones[k], c, scores, work.lane, own)
                for l in range(k + 1):
                    for g in range(groups):
                        score_v[k, l, g] += weight[g] * own[g] * v[l, g]
            # The group's weight times the score, row by row.
            for i in range(n):
                share[i] = 0.0
            add_effect(lanes, obs.y, 1, c, weight, work.lane, share)
            for i in range(n):
                mean_score[i] += share[i] * scores[i]
                mean_phi[i] += share[i] * phi_scores[i]
        for g in range(groups):
            value += at_mode[g] + math.log(total[g])
            weight[g] = 1.0 / total[g]
            for k in range(q):
                value -= math.log(C[k, k, g])
                for l in range(k + 1):
                    d_L[k, l] += score_v[k, l, g] * weight[g]
        for i in range(n):
            share[i] = 0.0
        add_effect(lanes, obs.y, 1, c, weight, work.lane, share)
        for i in range(n):
            mean_score[i] *= share[i]
            mean_phi[i] *= share[i]
        for k in range(p):
            gradient[k] += dot(obs.X[k, first:last], mean_score[:n])
        if prior.phi.shape[0] > 0:
            for i in range(n):
                gradient[p + m] += mean_phi[i]
    covariance.chain_psi(prior.covariance, L, d_L, gradient[p : p + m])
    theta_logprior_gradient(prior, theta, L, gradient)
    return value


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
