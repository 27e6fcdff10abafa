"""Generalized linear models: scores that vanish, least squares, R's known fits, separation."""

import math

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.fits.glm import fit

# Dobson's counts, as in R's example(glm): coefficients and standard errors as printed there.
DOBSON = pd.DataFrame(
    {
        "counts": [18, 17, 15, 20, 10, 20, 25, 13, 12],
        "outcome": ["1", "2", "3"] * 3,
        "treatment": np.repeat(["1", "2", "3"], 3),
    }
)


def test_dobson_has_the_known_fit():
    found = bg.glmm("counts ~ outcome + treatment", DOBSON, family="poisson").fit("glm")
    np.testing.assert_allclose(
        found.estimate, [3.04452244, -0.45425527, -0.29298712, 0.0, 0.0], atol=5e-9
    )
    np.testing.assert_allclose(found.se, [0.1709, 0.2022, 0.1927, 0.2, 0.2], atol=5e-5)
    assert found.aic == pytest.approx(56.76132, abs=5e-6)
    assert found.converged and not found.warnings


def test_gaussian_is_least_squares_with_its_maximum_likelihood_sigma():
    data = bg.load_dataset("sleepstudy")
    found = bg.glmm("Reaction ~ Days", data).fit("glm")
    X = np.column_stack([np.ones(180), data["Days"]])
    beta, rss, _, _ = np.linalg.lstsq(X, data["Reaction"], rcond=None)
    s2 = rss[0] / 180
    np.testing.assert_allclose(found.estimate, [*beta, math.sqrt(s2)], rtol=1e-8)
    se = np.sqrt(s2 * np.diag(np.linalg.inv(X.T @ X)))
    np.testing.assert_allclose(found.se, [*se, math.sqrt(s2 / 360)], rtol=1e-6)
    assert found.loglik == pytest.approx(-90 * (1 + math.log(2 * math.pi * s2)), abs=1e-8)


@pytest.mark.parametrize(
    ("family", "link"),
    [("poisson", "sqrt"), ("bernoulli", "cloglog"), ("gaussian", "log"), ("gamma", "inverse")],
)
def test_scores_vanish_and_curvature_is_that_of_the_likelihood(family, link):
    rng = np.random.default_rng(1)
    x = rng.uniform(size=200)
    y = {
        "poisson": rng.poisson((1 + x) ** 2),
        "bernoulli": (rng.uniform(size=200) < 0.3 + 0.4 * x) * 1.0,
        "gaussian": np.exp(1 + x) + rng.normal(size=200),
        "gamma": rng.gamma(4.0, 1 / (1 + x) / 4),
    }[family]
    model = bg.glmm("y ~ x", pd.DataFrame({"x": x, "y": y}), family=family, link=link)
    rows, data, start, _, _ = model.problem
    found = fit(rows, data, start)
    assert found.converged and found.definite
    n, p = 200, 2
    a, b, c, d = np.empty((4, n))

    def value(theta):
        phi = math.exp(theta[p]) if theta.size > p else 1.0
        rows(0, data.obs.offset + theta[:p] @ data.obs.X, data.obs.y, data.obs.w, phi, a, b, c, d)
        return a.sum()

    h, moves = 1e-4, 1e-4 * np.eye(found.theta.size)
    best = value(found.theta)
    gradient = [(value(found.theta + e) - value(found.theta - e)) / (2 * h) for e in moves]
    assert np.max(np.abs(gradient) * np.sqrt(np.diag(found.covariance))) < 1e-5
    hessian = [
        [
            -(value(found.theta + e + f) + best - value(found.theta + e) - value(found.theta + f))
            / h**2
            for e in moves
        ]
        for f in moves
    ]
    np.testing.assert_allclose(found.covariance @ hessian, np.eye(len(moves)), atol=0.02)
    assert found.loglik == pytest.approx(best, abs=1e-10)


def test_random_effects_are_left_out_in_so_many_words():
    data = bg.load_dataset("epil")
    with_effects = bg.glmm("y ~ lbase + (1 | subject)", data, family="poisson").fit("glm")
    without = bg.glmm("y ~ lbase", data, family="poisson").fit("glm")
    np.testing.assert_allclose(with_effects.estimate, without.estimate, rtol=1e-8)
    assert with_effects.parameters == without.parameters == 2
    assert with_effects.loglik == pytest.approx(without.loglik, abs=1e-9)
    assert "left out" in with_effects.warnings[0]


def test_separation_does_not_converge():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(size=80)})
    data["y"] = (data["x"] > 0.1) * 1.0
    with pytest.warns(bg.DataWarning, match="separates"):
        model = bg.glmm("y ~ x", data, family="bernoulli")
    rows, inner, start, _, _ = model.problem
    found = fit(rows, inner, start)
    assert not found.converged
    assert np.all(np.isfinite(found.theta))
