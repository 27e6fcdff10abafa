"""Weights are frequencies: everything that is said of a weighted model is that of repeated rows."""

import dataclasses

import numpy as np
import pytest

import bayesglmm as bg


def pair(formula: str, family: str):
    """A model with weights, some of them 0, and the model of the rows so many times."""
    rng = np.random.default_rng(7)
    n = 40
    w = rng.integers(0, 5, n)
    x = rng.gamma(2.0, 3.0, n)
    g = rng.integers(0, 5, n)
    f = rng.choice(["a", "b", "c"], n)
    data = {"y": rng.poisson(3.0, n), "v": x + rng.normal(size=n), "x": x, "f": f, "g": g, "w": w}
    every = {name: np.repeat(column, w) for name, column in data.items()}
    return bg.glmm(formula, data, family=family, weights="w"), bg.glmm(
        formula, every, family=family
    )


def numbers(prior) -> list[float]:
    return [getattr(prior, field.name) for field in dataclasses.fields(prior)]


@pytest.mark.parametrize(
    ("formula", "family"), [("y ~ x * f + (x | g)", "poisson"), ("v ~ x + f + (1 | g)", "gaussian")]
)
def test_default_priors_are_those_of_repeated_rows(formula, family):
    weighted, repeated = pair(formula, family)
    np.testing.assert_allclose(weighted.x_center, repeated.x_center, rtol=1e-12)
    for own, other in zip(weighted.priors.beta, repeated.priors.beta, strict=True):
        np.testing.assert_allclose(numbers(own), numbers(other), rtol=1e-12)
    for own, other in zip(weighted.priors.terms, repeated.priors.terms, strict=True):
        np.testing.assert_allclose(
            [numbers(p) for p in own.sd], [numbers(p) for p in other.sd], rtol=1e-12
        )


def test_fits_are_those_of_repeated_rows():
    weighted, repeated = (model.fit("ml") for model in pair("v ~ x + f + (1 | g)", "gaussian"))
    for name in ("loglik", "aic", "bic"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), abs=1e-8)
    np.testing.assert_allclose(weighted.df, repeated.df)
    for name in ("r2", "icc"):
        np.testing.assert_allclose(
            getattr(weighted, name)().estimate, getattr(repeated, name)().estimate, atol=1e-8
        )


@pytest.mark.parametrize("kind", ["pearson", "deviance"])
def test_rows_without_weight_have_no_residual(kind):
    weighted, _ = pair("y ~ x + (1 | g)", "poisson")
    left = weighted.fit("laplace").residuals(kind)
    np.testing.assert_array_equal(left == 0.0, weighted.design.weights == 0.0)


def test_rows_without_trials_have_no_residual_and_no_proportion():
    data = {"y": [0, 3, 0, 1, 4, 1], "n": [0, 4, 0, 4, 4, 4], "g": [1, 1, 2, 2, 3, 3]}
    fit = bg.glmm("y | trials(n) ~ 1 + (1 | g)", data, family="binomial").fit("laplace")
    empty = np.array(data["n"]) == 0
    for kind in ("pearson", "deviance"):
        np.testing.assert_array_equal(fit.residuals(kind) == 0.0, empty)
    np.testing.assert_array_equal(np.isnan(fit.residuals("response")), empty)
    np.testing.assert_array_equal(np.isnan(fit.marginal_means(kind="variance").estimate), empty)


def test_rows_and_groups_without_weight_are_not_left_out():
    """Nothing of them is in the data: the criteria are those of the data without them."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(6), 5)
    data = {"y": rng.poisson(2.0, 30), "g": g, "w": np.where((g == 3) | (np.arange(30) == 1), 0, 1)}
    post = bg.glmm("y ~ 1 + (1 | g)", data, family="poisson", weights="w").sample(
        draws=200, warmup=100, chains=2, seed=1, progress=False
    )
    rows, groups = post.loo(pointwise=True), post.loo(by="group", pointwise=True)
    assert (rows.n_data_points, groups.n_data_points, post.waic().n_data_points) == (24, 5, 24)
    assert list(rows.elpd_i["row"].to_numpy()) == np.flatnonzero(data["w"]).tolist()
    assert list(groups.elpd_i["g"].to_numpy()) == ["0", "1", "2", "4", "5"]
