"""Posterior means and covariances of each group's effects given theta, by Gauss-Hermite quadrature.

The sampler's proposals and its transport are Normal. Where a group's posterior is not, as of groups
without a success, its mean and covariance move with theta as the posterior does; mode and curvature
need not.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import covariance, families
from .._jit import entry, types
from ..density import DATA_TYPE, MATRIX, VECTOR, Data, Map, dispersion, theta_logprior
from ..lanes import (
    CHOLESKY,
    ETA,
    FIXED,
    LOGLIK,
    STEP,
    TOTAL,
    WEIGHT,
    A,
    V,
    fixed_part,
    linear_predictor,
    make_work,
    solve_backward,
    sum_rows,
)
from ..layout import GROUP, ROW


@entry(
    lambda: types.float64(
        families.ROWS_TYPE,
        DATA_TYPE,
        VECTOR,
        VECTOR,
        types.float64[:, :, ::1],
        MATRIX,
        VECTOR,
        MATRIX,
        MATRIX,
    )
)
def moments(rows, data, theta, centers, blocks, points, log_weights, mean, factor):
    """Mean (q, J) of v given theta, and factor (q (q + 1) / 2, J) of its precision.

    The factor is C, lower triangular, row by row, the logarithm of its diagonal: the covariance is
    (C C')^-1. Nodes are centers + C_0^-T points with C_0 in `blocks`; log weights as from `nodes`.
    Returns the log posterior density of theta, up to a constant.
    """
    obs, prior = data.obs, data.prior
    p, m, q = obs.X.shape[0], prior.covariance.row.size, obs.Z.shape[0]
    lanes, J = obs.lanes, blocks.shape[2]
    L = np.zeros((q, q))
    covariance.fill_L(prior.covariance, theta[p : p + m], L)
    phi, value = dispersion(prior, theta), theta_logprior(prior, theta, L)
    work = make_work(lanes, q)
    at_center, weight, total = work.number[LOGLIK], work.number[WEIGHT], work.number[TOTAL]
    step, v, C = work.vector[STEP], work.vector[V], work.matrix[CHOLESKY]
    first_moment = np.empty((q, work.number.shape[1]))
    second = np.empty((q, q, work.number.shape[1]))
    S, U = np.empty((q, q)), np.empty((q, q))
    for c in range(lanes.chunk.shape[0] - 1):
        first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
        n = last - first
        place = lanes.chunk[c, GROUP]
        groups = lanes.chunk[c + 1, GROUP] - place
        y, w = obs.y[first:last], obs.w[first:last]
        fixed_part(obs, c, theta[:p], work.row[FIXED], 0)
        for k in range(q):
            for g in range(groups):
                first_moment[k, g] = 0.0
            for l in range(k + 1):
                for g in range(groups):
                    C[k, l, g] = blocks[k, l, place + g]
                    second[k, l, g] = 0.0
        for g in range(groups):
            total[g] = 0.0
        for node in range(-1, points.shape[0]):
            for k in range(q):
                for g in range(groups):
                    step[k, g] = points[node, k] if node >= 0 else 0.0
            solve_backward(C, step, groups)
            for k in range(q):
                for g in range(groups):
                    v[k, g] = centers[k * J + place + g] + step[k, g]
            linear_predictor(obs, c, L, v, groups, work)
            rows(families.LOGLIK, work.row[ETA, :n], y, w, phi, work.row[A], y, y, y)
            sum_rows(lanes, obs.y, 1, c, work.row[A], work.lane, weight)
            for k in range(q):
                for g in range(groups):
                    weight[g] -= 0.5 * v[k, g] * v[k, g]
            if node < 0:
                for g in range(groups):
                    at_center[g] = weight[g]
                continue
            for g in range(groups):
                weight[g] = math.exp(weight[g] - at_center[g] + log_weights[node])
                total[g] += weight[g]
            # About the centers, so that no digits are lost.
            for k in range(q):
                for g in range(groups):
                    first_moment[k, g] += weight[g] * step[k, g]
                for l in range(k + 1):
                    for g in range(groups):
                        second[k, l, g] += weight[g] * step[k, g] * step[l, g]
        for g in range(groups):
            value += at_center[g] + math.log(total[g])
            for k in range(q):
                value -= math.log(C[k, k, g])
                mean[k, place + g] = first_moment[k, g] / total[g]
            for k in range(q):
                for l in range(k + 1):
                    product = mean[k, place + g] * mean[l, place + g]
                    S[k, l] = second[k, l, g] / total[g] - product
                mean[k, place + g] += centers[k * J + place + g]
            # S = U U' with U upper triangular, from the last column on; C = U^-T.
            for l in range(q - 1, -1, -1):
                for k in range(l, -1, -1):
                    rest = S[l, k]
                    for i in range(l + 1, q):
                        rest -= U[k, i] * U[l, i]
                    U[k, l] = math.sqrt(rest) if k == l else rest / U[l, l]
            for l in range(q):
                # Column l of C solves U' x = e_l.
                for k in range(l, q):
                    rest = 1.0 if k == l else 0.0
                    for i in range(l, k):
                        rest -= U[i, k] * S[i, l]
                    S[k, l] = rest / U[k, k]
            e = 0
            for k in range(q):
                for l in range(k + 1):
                    factor[e, place + g] = math.log(S[k, k]) if k == l else S[k, l]
                    e += 1
    return value


class Linear(NamedTuple):
    """Moments as linear functions of theta about the fit."""

    means: np.ndarray  # (q J,)
    slopes: np.ndarray  # (d, q J)
    factors: np.ndarray  # (d + 1, q (q + 1) / 2, J) float32, factors of the precision, and slopes


class Moments:
    """Moments of every group's effects about a fit.

    Parameters
    ----------
    rows, data : compiled row function, Data of one factor
    map : Map
        Where the fit's modes, slopes and curvatures are taken from.
    scale : (d, d) array
        Cholesky factor of the covariance of theta.
    points, log_weights : arrays
        As from `aghq.nodes`.
    """

    def __init__(
        self,
        rows,
        data: Data,
        map: Map,
        scale: np.ndarray,
        points: np.ndarray,
        log_weights: np.ndarray,
    ) -> None:
        self.rows, self.data, self.map, self.scale = rows, data, map, scale
        self.nodes = points, log_weights
        self.q, self.J, self.d = data.factor.size, int(data.levels[0]), map.center.size
        self.elements = self.q * (self.q + 1) // 2

    def at(self, away: np.ndarray) -> np.ndarray:
        """Means (q, J), and under them factors, at the fit's theta + scale away."""
        map, step = self.map, self.scale @ away
        return self.about(step, map.modes + _combined(step, map.slopes), map.blocks)[1]

    def about(
        self, change: np.ndarray, centers: np.ndarray, blocks: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Log posterior density and moments at the fit's theta + change, with nodes about these."""
        q = self.q
        out = np.empty((q + self.elements, self.J))
        theta = self.map.center + change
        value = moments(self.rows, self.data, theta, centers, blocks, *self.nodes, out[:q], out[q:])
        return value, out

    def linear(self) -> Linear:
        """Slopes are those of chords, one posterior sd to both sides along columns of `scale`."""
        q, J, d = self.q, self.J, self.d
        along = np.empty((d, q + self.elements, J))
        for j, axis in enumerate(np.eye(d)):
            along[j] = 0.5 * (self.at(axis) - self.at(-axis))
        middle = self.at(np.zeros(d))
        # By loops: what a library of linear algebra makes of it may depend on its threads.
        slopes = along
        for j in range(d - 1, -1, -1):
            slopes[j] -= _combined(self.scale[j + 1 :, j], slopes[j + 1 :])
            slopes[j] /= self.scale[j, j]
        return Linear(
            middle[:q].flatten(),  # a copy: `middle` is not held by it
            np.ascontiguousarray(slopes[:, :q].reshape(d, q * J)),
            np.concatenate([middle[None, q:], slopes[:, q:]]).astype(np.float32),
        )


def _combined(shares: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Sum of parts, each times its share."""
    total = np.zeros(parts.shape[1:])
    for share, part in zip(shares, parts, strict=True):
        total += share * part
    return total


def triangles(rows: np.ndarray, q: int) -> np.ndarray:
    """Lower triangles (J, q, q) from rows of elements, those of the diagonal as logarithms."""
    C = np.zeros((rows.shape[1], q, q))
    e = 0
    for k in range(q):
        for l in range(k + 1):
            C[:, k, l] = np.exp(rows[e]) if k == l else rows[e]
            e += 1
    return C


def divergence(mean: np.ndarray, C: np.ndarray, other_mean: np.ndarray, D: np.ndarray) -> float:
    """Sum over groups of Kullback and Leibler's divergence of Normal distributions.

    Parameters
    ----------
    mean, C : (q, J) and (J, q, q) arrays
        Mean and factor of the precision of each group.
    other_mean, D : arrays
        The same of the distributions that are to stand for them.
    """
    with np.errstate(all="ignore"):
        away = np.einsum("jlk,lj->jk", D, other_mean - mean)
        ratio = np.linalg.solve(C, D)
        logs = np.log(np.einsum("jkk->jk", C) / np.einsum("jkk->jk", D)).sum()
        value = 0.5 * ((ratio**2).sum() + (away**2).sum() - mean.size) + logs
    return float(value) if np.isfinite(value) else math.inf
