"""Modes of effects where full Newton steps leave the domain of the link."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from test_gradients import check, model, natural_point

import bayesglmm as bg
from bayesglmm.covariance import factors
from bayesglmm.fits import mode


def objective(made):
    """Laplace's value and gradient; every call begins at effects of 0."""

    def at(theta):
        return mode.Objective(made.problem.rows, made.problem.data, False)(theta)

    return at


def by_simplex(made, theta: np.ndarray) -> float:
    """Laplace's value, the mode of each group by another optimizer and curvature by differences."""
    data, scalars = made.problem.data, made.family.scalars
    q, p, m = data.factor.size, data.obs.X.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, theta[p : p + m])
    fixed, phi = data.obs.offset + theta[:p] @ data.obs.X, math.exp(theta[-1])
    total = 0.0
    for group in range(int(data.levels[0])):
        rows = np.flatnonzero(data.level[0] == group)

        def negative(v, rows=rows):
            eta = fixed[rows] + data.obs.Z[:, rows].T @ L @ v
            terms = zip(data.obs.y[rows], data.obs.w[rows], eta, strict=True)
            return 0.5 * v @ v - sum(scalars.loglik(y, w, e, phi) for y, w, e in terms)

        best = optimize.minimize(
            negative, np.zeros(q), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}
        ).x
        H, e = np.empty((q, q)), 1e-4 * np.eye(q)
        for k in range(q):
            for l in range(q):
                corners = [negative(best + s * e[k] + t * e[l]) for s in (1, -1) for t in (1, -1)]
                H[k, l] = (corners[0] - corners[1] - corners[2] + corners[3]) / 4e-8
        total -= negative(best) + 0.5 * np.linalg.slogdet(H)[1]
    return total


@pytest.mark.parametrize("structure", ["intercept", "slope", "three"])
@pytest.mark.parametrize("seed", range(3))
def test_modes_inside_the_domain(structure, seed):
    made = model("gamma", "inverse", structure)
    theta, _ = natural_point(made, np.random.default_rng(seed))
    at = objective(made)
    value, gradient = at(theta)
    assert abs(value - by_simplex(made, theta)) < 1e-5
    check(lambda x: at(x)[0], gradient, theta)


def test_a_density_of_zero_everywhere_is_said():
    made = model("poisson", "identity", "intercept")
    theta, _ = natural_point(made, np.random.default_rng(1))
    theta[made.intercept] -= 30.0
    theta[-1] = -8.0
    assert objective(made)(theta)[0] == -math.inf


@pytest.mark.parametrize("method", ["laplace", "aghq"])
def test_fits_with_an_inverse_link(method):
    """Truths within three standard errors; means near the edge of the domain."""
    rng = np.random.default_rng(0)
    g, x = np.repeat(np.arange(80), 8), rng.uniform(-1, 1, 640)
    eta = np.maximum(2.0 + 0.5 * x + 0.5 * rng.normal(size=80)[g], 0.3)
    frame = pd.DataFrame({"g": g, "x": x, "y": rng.gamma(3.0, 1.0 / (3.0 * eta))})
    fit = bg.glmm("y ~ x + (1|g)", frame, "gamma", link="inverse").fit(method)
    assert fit.converged
    assert np.all(np.abs(fit.estimate - [2.0, 0.5, 0.5, 3.0]) < 3.0 * fit.se)
