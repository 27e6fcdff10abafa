"""Residuals and plots of a posterior: quantile residuals are normal where the model is right."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import results
from scipy import stats

import bayesglmm as bg

matplotlib.use("Agg")
N = 600
PHI = {"gaussian": 0.7, "negative_binomial": 1.5, "gamma": 2.0}


def simulated(family: str, wrong: bool = False):
    """A posterior concentrated at the truth, of data drawn from the model or from another."""
    rng = np.random.default_rng(12)
    x, m = rng.normal(size=N), rng.integers(1, 9, N)
    effects = rng.normal(size=20) * 0.5
    g = np.arange(N) % 20
    eta = 0.3 + 0.4 * x + effects[g]
    eta_true = eta + (1.2 * rng.normal(size=N) if wrong else 0.0)
    of = bg.families.get(family)
    trials = np.ones(N) if family == "bernoulli" else m
    y = of.draw(rng, eta_true, PHI.get(family, 1.0), trials)
    frame = pd.DataFrame({"y": y, "x": x, "m": m, "g": [f"g{k:02d}" for k in g]})
    left = "y | trials(m)" if family == "binomial" else "y"
    model = bg.glmm(f"{left} ~ x + (1 | g)", frame, family)
    more = {of.dispersion: PHI[family]} if of.dispersion else {}
    return results.posterior(
        model,
        np.array([0.3, 0.4]),
        1e-8 * np.eye(2),
        sd=[0.5],
        cor=np.zeros(0),
        u={"g": effects[:, None]},
        **more,
    )


FAMILIES = ["gaussian", "poisson", "bernoulli", "binomial", "negative_binomial", "gamma"]


@pytest.mark.parametrize("family", FAMILIES)
def test_quantile_residuals_are_standard_normal(family):
    values = simulated(family).residuals()
    assert stats.kstest(values, "norm").pvalue > 1e-3


@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial", "gamma"])
def test_and_are_not_where_the_model_is_wrong(family):
    values = simulated(family, wrong=True).residuals()
    assert stats.kstest(values, "norm").pvalue < 1e-4
    assert values.std() > 1.1


def test_a_fit_has_them_too():
    fit = results.fit("epilepsy")
    values = fit.residuals("quantile")
    y, mean = fit.model.design.response.y, fit.fitted()
    u = stats.norm.cdf(values)
    assert (u <= stats.poisson.cdf(y, mean) + 1e-12).all()
    assert (u >= stats.poisson.cdf(y - 1, mean) - 1e-12).all()
    np.testing.assert_array_equal(values, fit.residuals("quantile"))
    with pytest.raises(ValueError, match="quantile"):
        fit.residuals("standard")


def test_other_residuals_are_those_at_the_posterior_means():
    post = simulated("gaussian")
    design = post.model.design
    np.testing.assert_allclose(post.residuals("response"), design.response.y - post.fitted())
    np.testing.assert_allclose(post.fitted("link"), post.fitted())


def test_plots_of_a_posterior_show_means_and_quantiles():
    post = simulated("poisson")
    figure = post.plot_effects(level=0.9)
    assert "posterior means, 90% intervals" in figure.get_suptitle()
    points = np.concatenate(
        [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "o"]
    )
    means = np.asarray(post.values["u"]["g"]).mean(axis=(0, 1))[:, 0]
    np.testing.assert_allclose(np.sort(points), np.sort(means))
    assert "posterior mean" in post.plot_residuals().axes[0].get_xlabel()
    with pytest.raises(bg.DataError, match="no group 'h'"):
        post.plot_effects("h")
