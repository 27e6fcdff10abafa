"""Laplace's approximation with all effects in one dense matrix, by numpy: an oracle.

The objective and its gradient are those of `fits.one_factor` and `fits.crossed`, without structure.
"""

import numpy as np
from kernels import callable_

from bayesglmm import families
from bayesglmm._jit import pointer
from bayesglmm.covariance import chain_psi, factors
from bayesglmm.density import Data, theta_logprior, theta_logprior_gradient

STEPS = 100
CLOSE = 1e-9
PHI_STEP = 1e-5  # relative step of the central difference in log phi


def log_prior(data: Data, theta: np.ndarray, gradient: np.ndarray) -> float:
    """Log prior of theta; adds its gradient."""
    p, m = data.prior.beta.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, theta[p : p + m])
    value = callable_(theta_logprior)(data.prior, theta, L)
    callable_(theta_logprior_gradient)(data.prior, theta, L, gradient)
    return value


class Joint:
    """The dense objective of one model: effects, their places and the row function."""

    def __init__(self, rows, data: Data) -> None:
        self.rows, self.data = pointer(rows), data
        self.p, self.m = data.obs.X.shape[0], data.prior.covariance.row.size
        self.Q = data.factor.size
        self.level = [data.level[f] for f in data.factor]
        self.block = [
            slice(int(e), int(e + data.levels[f]))
            for e, f in zip(data.effect, data.factor, strict=True)
        ]
        self.effects = int(max((b.stop for b in self.block), default=0))
        self.a, self.b, self.c, self.d = np.empty((4, data.obs.y.size))

    def evaluate(self, mode: int, eta: np.ndarray, phi: float) -> None:
        """Call the family's row function; outputs in self.a .. self.d."""
        self.rows(mode, eta, self.data.obs.y, self.data.obs.w, phi, self.a, self.b, self.c, self.d)

    def mix(self, L: np.ndarray, v: np.ndarray) -> np.ndarray:
        """U = L v."""
        u = np.zeros_like(v)
        for k in range(self.Q):
            for l in range(k + 1):
                if L[k, l] != 0.0:
                    u[self.block[k]] += L[k, l] * v[self.block[l]]
        return u

    def pull_back(self, L: np.ndarray, score: np.ndarray) -> np.ndarray:
        """L' score."""
        out = np.zeros_like(score)
        for k in range(self.Q):
            for l in range(k + 1):
                if L[k, l] != 0.0:
                    out[self.block[l]] += L[k, l] * score[self.block[k]]
        return out

    def add_effects(self, u: np.ndarray) -> np.ndarray:
        """Z u."""
        eta = np.zeros(self.data.obs.y.size)
        for k in range(self.Q):
            eta += self.data.obs.Z[k] * u[self.block[k]][self.level[k]]
        return eta

    def sum_scores(self, x: np.ndarray) -> np.ndarray:
        """Z' x."""
        out = np.zeros(self.effects)
        for k in range(self.Q):
            size = self.block[k].stop - self.block[k].start
            out[self.block[k]] = np.bincount(self.level[k], self.data.obs.Z[k] * x, minlength=size)
        return out

    def gram(self, w: np.ndarray) -> np.ndarray:
        """Z' diag(w) Z, dense."""
        A = np.zeros((self.effects, self.effects))
        for k in range(self.Q):
            rows = self.block[k].stop - self.block[k].start
            for l in range(k + 1):
                columns = self.block[l].stop - self.block[l].start
                cell = self.level[k].astype(np.int64) * columns + self.level[l]
                weight = w * self.data.obs.Z[k] * self.data.obs.Z[l]
                part = np.bincount(cell, weight, minlength=rows * columns).reshape(rows, columns)
                A[self.block[k], self.block[l]] = part
                if l < k:
                    A[self.block[l], self.block[k]] = part.T
        return A

    def right(self, A: np.ndarray, L: np.ndarray) -> np.ndarray:
        """A L, with L acting on all effects."""
        out = np.zeros_like(A)
        for k in range(self.Q):
            for l in range(k + 1):
                if L[k, l] != 0.0:
                    out[:, self.block[l]] += L[k, l] * A[:, self.block[k]]
        return out

    def curvature(self, A: np.ndarray, L: np.ndarray) -> np.ndarray:
        """I + L'AL."""
        return np.eye(self.effects) + self.right(self.right(A, L).T, L)


def laplace(
    joint: Joint, penalized: bool, theta: np.ndarray, v: np.ndarray, gradient: np.ndarray
) -> tuple[float, np.ndarray]:
    """Laplace log-likelihood (plus log prior), and the Cholesky factor C of all effects.

    `v` holds the start of the modes and receives them; `gradient` is filled. The value is -inf if a
    mode is not found or the curvature is not positive definite.
    """
    data, p, m = joint.data, joint.p, joint.m
    L = factors(data.prior.covariance, theta[p : p + m])
    phi = float(np.exp(theta[p + m])) if data.prior.phi.shape[0] else 1.0
    fixed = data.obs.offset + theta[:p] @ data.obs.X
    failed = -np.inf, np.eye(joint.effects)
    if not _modes(joint, L, phi, fixed, v):
        return failed
    eta = fixed + joint.add_effects(joint.mix(L, v))
    joint.evaluate(families.FULL, eta, phi)
    s, k, t = joint.b.copy(), joint.c.copy(), joint.d.copy()
    A = joint.gram(k)
    try:
        C = np.linalg.cholesky(joint.curvature(A, L))
    except np.linalg.LinAlgError:
        return failed
    value = float(joint.a.sum() - 0.5 * v @ v - np.log(np.diag(C)).sum())

    inverse = np.linalg.inv(C)
    inverse = inverse.T @ inverse
    LH = _left(joint, L, inverse)
    M = _left(joint, L, LH.T)
    lever = np.zeros(data.obs.y.size)
    for i in range(joint.Q):
        for j in range(joint.Q):
            cells = M[joint.block[i].start + joint.level[i], joint.block[j].start + joint.level[j]]
            lever += data.obs.Z[i] * data.obs.Z[j] * cells
    c = 0.5 * lever * t
    b = inverse @ joint.pull_back(L, joint.sum_scores(c))
    shift = joint.add_effects(joint.mix(L, b))
    e = s - c + k * shift
    gradient[:] = 0.0
    gradient[:p] = data.obs.X @ e
    weighted, scores = joint.sum_scores(e), joint.sum_scores(s)
    d_L = np.zeros_like(L)
    for i in range(joint.Q):
        for j in range(i + 1):
            if data.factor[i] == data.factor[j]:
                own, other = joint.block[i], joint.block[j]
                d_L[i, j] = weighted[own] @ v[other] - b[other] @ scores[own]
                d_L[i, j] -= float(np.sum(A[own] * LH[:, other].T))
    callable_(chain_psi)(data.prior.covariance, L, d_L, gradient[p : p + m])
    if data.prior.phi.shape[0]:
        parts = []
        for step in (PHI_STEP, -PHI_STEP):
            joint.evaluate(families.FULL, eta, phi * np.exp(step))
            parts.append(joint.a.sum() - 0.5 * lever @ joint.c - shift @ joint.b)
        gradient[p + m] += (parts[0] - parts[1]) / (2.0 * PHI_STEP)
    if penalized:
        value += log_prior(data, theta, gradient)
    return value, C


def _left(joint: Joint, L: np.ndarray, A: np.ndarray) -> np.ndarray:
    """L A, with L acting on all effects."""
    out = np.zeros_like(A)
    for k in range(joint.Q):
        for l in range(k + 1):
            if L[k, l] != 0.0:
                out[joint.block[k]] += L[k, l] * A[joint.block[l]]
    return out


def _modes(joint: Joint, L: np.ndarray, phi: float, fixed: np.ndarray, v: np.ndarray) -> bool:
    """Bring v to the mode by Newton steps with Fisher weights, halved until the density rises."""
    if joint.effects == 0:
        return True
    data = joint.data

    def height(v: np.ndarray) -> tuple[float, np.ndarray]:
        eta = fixed + joint.add_effects(joint.mix(L, v))
        joint.evaluate(families.LOGLIK, eta, phi)
        return float(joint.a.sum() - 0.5 * v @ v), eta

    value, eta = height(v)
    if not np.isfinite(value):
        v[:] = 0.0
        value, eta = height(v)
    for _ in range(STEPS):
        joint.evaluate(families.IWLS, eta, phi)
        gradient = joint.pull_back(L, joint.sum_scores(joint.a[: data.obs.y.size])) - v
        H = joint.curvature(joint.gram(joint.b), L)
        if not np.all(np.isfinite(H)):
            return False
        step = np.linalg.solve(H, gradient)
        scale = 1.0
        while True:
            new_value, new_eta = height(v + scale * step)
            if new_value >= value - 1e-10 * abs(value):
                break
            scale *= 0.5
            if scale < 1e-8:
                return False
        v += scale * step
        value, eta = new_value, new_eta
        if np.abs(scale * step).max() < CLOSE:
            return True
    return False
