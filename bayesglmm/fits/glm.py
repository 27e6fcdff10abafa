"""Generalized linear models: maximum likelihood of the fixed effects, no random effects."""

import numpy as np

from .. import families
from ..density import Data
from .boundary import FLAT, far_dispersion, restricted_inverse
from .linear_search import ZERO_LOG
from .mode import Start, first_guess, longest_steps
from .optimizer import invert, maximize
from .outcome import Outcome

POLISH = 4  # Newton steps with the exact curvature after the search
PHI_STEP = 1e-4  # of the central difference in log phi
FAR = 0.05  # a last Newton step that moves some eta by so much has not arrived anywhere


class Likelihood:
    """Log-likelihood of (beta, log phi), its gradient and curvature."""

    def __init__(self, rows, data: Data) -> None:
        self.rows, self.obs = rows, data.obs
        self.p, self.n = data.obs.X.shape
        self.with_phi = data.prior.phi.shape[0] > 0
        self.a, self.b, self.c, self.d = np.empty((4, self.n))

    def _evaluate(self, mode: int, theta: np.ndarray) -> None:
        eta = self.obs.offset + theta[: self.p] @ self.obs.X
        phi = float(np.exp(theta[self.p])) if self.with_phi else 1.0
        self.rows(mode, eta, self.obs.y, self.obs.w, phi, self.a, self.b, self.c, self.d)

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient."""
        self._evaluate(families.GRADIENT, theta)
        last = [[self.c.sum()]] if self.with_phi else []
        return float(self.a.sum()), np.concatenate([self.obs.X @ self.b, *last])

    def curvature(self, theta: np.ndarray) -> np.ndarray:
        """Minus the Hessian; what concerns phi by differences of the gradient."""
        self._evaluate(families.CURVATURE, theta)
        hessian = np.empty((theta.size, theta.size))
        hessian[: self.p, : self.p] = (self.obs.X * self.b) @ self.obs.X.T
        if self.with_phi:
            move = np.zeros(theta.size)
            move[-1] = PHI_STEP
            column = (self(theta - move)[1] - self(theta + move)[1]) / (2.0 * PHI_STEP)
            hessian[-1], hessian[:, -1] = column, column
        return hessian


def fit(rows, data: Data, start: Start) -> Outcome:
    """Fit the fixed part of a model, and the dispersion, by maximum likelihood.

    Random effects are left out, which the outcome's warnings then say: theta holds sds of nearly 0,
    all on the boundary.
    """
    likelihood = Likelihood(rows, data)
    p, m = likelihood.p, data.prior.covariance.row.size
    whole, guess = first_guess(rows, data, start)
    if start.noise:
        whole[-1] += 0.5 * np.log(2.0)  # that guess left half of the variance to effects
    inner = np.ones(whole.size, dtype=bool)
    inner[p : p + m] = False
    optimum = maximize(
        likelihood, whole[inner], guess[np.ix_(inner, inner)], longest_steps(data, start)[inner]
    )
    theta, (value, gradient) = optimum.x, likelihood(optimum.x)
    hessian = likelihood.curvature(theta)
    covariance, definite = invert(hessian)
    step = covariance @ gradient
    for _ in range(POLISH if definite and optimum.converged else 0):
        new_value, new_gradient = likelihood(theta + step)
        if not new_value >= value - 1e-12 * abs(value):
            break
        theta, value, gradient = theta + step, new_value, new_gradient
        step = covariance @ gradient
    endless = False
    if likelihood.with_phi:
        beyond = far_dispersion(theta)
        endless = likelihood(beyond)[0] > value - FLAT
        if endless:
            theta, (value, gradient) = beyond, likelihood(beyond)
    hessian = likelihood.curvature(theta)
    covariance, definite = restricted_inverse(hessian, np.full(int(endless), True), p)
    step = covariance @ gradient
    moved = float(np.abs(step[:p] @ data.obs.X).max(initial=0.0))
    spread = start.spread if likelihood.with_phi else 1.0
    arrived = moved < FAR * spread
    full = np.full(whole.size, ZERO_LOG)
    full[inner] = theta
    whole_covariance = np.zeros((whole.size, whole.size))
    whole_covariance[np.ix_(inner, inner)] = covariance
    effects = int(sum(data.levels[f] for f in data.factor))
    said = []
    if m:
        said.append("method 'glm' fits the fixed part alone: the random effects are left out")
    if optimum.converged and not arrived:
        said.append(
            "the likelihood still rises as coefficients grow without bound: these are no "
            "estimates; look for separation, where columns tell the response without error"
        )
    return Outcome(
        "glm",
        full,
        whole_covariance,
        value,
        optimum.converged and arrived,
        definite,
        0.5 * float(gradient @ step),
        optimum.evaluations,
        np.zeros(effects),
        lambda: np.zeros(effects),
        np.ones(m, dtype=bool),
        warnings=tuple(said),
        endless=endless,
    )
