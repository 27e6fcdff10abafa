"""Effects along a covariate: rate ratios by hand, the published crossing, limits by inversion."""

import numpy as np
import pytest
import results
from scipy import optimize, stats

import bayesglmm as bg


def curve(base, **options):
    return results.fit("epilepsy").effect_of(
        "treat", over={"base": base}, exponentiate=True, **options
    )


def test_rate_ratio_is_the_formula_of_the_coefficients():
    fit = results.fit("epilepsy")
    base = np.array([8.0, 16, 63])
    made = curve(base)
    np.testing.assert_allclose(
        made.quantities.estimate, np.exp(fit.beta[2]) * base ** fit.beta[5], rtol=1e-12
    )
    L = np.zeros((3, 6))
    L[:, 2], L[:, 5] = 1.0, np.log(base)
    se = np.sqrt(np.diag(L @ fit.beta_covariance @ L.T))
    low = np.exp(L @ fit.beta - stats.norm.ppf(0.975) * se)
    frame = made.frame()
    np.testing.assert_allclose(frame["2.5%"], low)
    np.testing.assert_array_equal(frame["base"], base)
    assert frame.index[0] == "treat[Progabide] / treat[placebo] @ base=8"


def test_published_rate_ratio_is_half_at_8_and_1_near_63():
    fit = results.model("epilepsy").fit("rspl")
    made = fit.effect_of("treat", over={"base": [8, 150]}, exponentiate=True)
    assert abs(made.quantities.estimate[0] - 0.5) < 0.01
    at = made.crossing().table().columns["estimate"][0]
    # From the published coefficients: exp(1.3682 / .3304) = 62.9.
    np.testing.assert_allclose(at, np.exp(1.3682 / 0.3304), rtol=0.01)


def test_crossing_and_its_limits_are_those_of_the_formula():
    fit = results.fit("epilepsy")
    found = curve([6.0, 150.0]).crossing().table().columns
    a, b, V = fit.beta[2], fit.beta[5], fit.beta_covariance[np.ix_([2, 5], [2, 5])]
    at = np.exp(-a / b)
    np.testing.assert_allclose(found["estimate"], [at], rtol=1e-7)
    slope = np.array([-1 / b, a / b**2])
    np.testing.assert_allclose(found["se"], [at * np.sqrt(slope @ V @ slope)], rtol=1e-5)
    z = stats.norm.ppf(0.975)

    def fieller(x: float) -> float:
        L = np.array([1.0, np.log(x)])
        return (a + b * np.log(x)) ** 2 - z**2 * (L @ V @ L)

    np.testing.assert_allclose(found["2.5%"], optimize.brentq(fieller, 10, 60), rtol=1e-6)
    assert np.isnan(found["97.5%"][0])  # the band holds 1 up to the end of the range
    assert fieller(150.0) < 0


def test_a_curve_that_does_not_reach_has_no_crossing():
    crossing = curve([6.0, 30.0]).crossing()
    assert np.all(np.isnan(crossing.table().columns["estimate"]))
    assert "-" in str(crossing)


def test_crossings_of_a_posterior_are_those_of_its_draws():
    fit = results.fit("epilepsy")
    post = results.posterior(fit.model, fit.beta, fit.beta_covariance)
    made = post.effect_of("treat", over={"base": [6.0, 150.0]}, exponentiate=True)
    beta = post.values["beta"]
    for size in (1.0, 0.7):
        crossing = made.crossing(size)
        with np.errstate(over="ignore"):
            at = np.exp((np.log(size) - beta[..., 2]) / beta[..., 5])
        at[(at < 6) | (at > 150)] = np.nan
        np.testing.assert_allclose(crossing.draws[..., 0], at, rtol=1e-6)
        columns = crossing.table().columns
        np.testing.assert_allclose(columns["share"], np.mean(~np.isnan(at)))
        np.testing.assert_allclose(columns["median"], np.nanmedian(at), rtol=1e-6)
    hdi = post.effect_of("treat", over={"base": [6.0, 150.0]}, ci_kind="hdi").crossing()
    assert "hdi_2.5%" in hdi.table().columns
    assert "share" in str(hdi)


def test_a_number_has_the_effect_of_a_step():
    fit = results.fit("epilepsy")
    made = fit.effect_of("age", over={"age": [20, 30]}, step=5)
    np.testing.assert_allclose(made.quantities.linear, fit.beta[3] * np.log([25 / 20, 35 / 30]))
    along = fit.effect_of("base", over={"treat": ["placebo", "Progabide"]}, at={"base": 8}, step=8)
    slopes = np.array([fit.beta[1], fit.beta[1] + fit.beta[5]])
    np.testing.assert_allclose(along.quantities.linear, slopes * np.log(2))


def test_levels_compared_may_be_chosen_and_the_range_is_that_of_the_data():
    fit = results.fit("depression")
    weeks = fit.effect_of("week", over="treat", levels=(4, 2), exponentiate=True)
    assert weeks.comparisons == ("week[4] / week[2]",)
    expected = [fit.beta[4] - fit.beta[3], fit.beta[4] - fit.beta[3] + fit.beta[6] - fit.beta[5]]
    np.testing.assert_allclose(weeks.quantities.linear, expected)
    all_weeks = fit.effect_of("week", over="treat")
    assert len(all_weeks.comparisons) == 2 and len(all_weeks.quantities.names) == 4
    along = results.fit("epilepsy").effect_of("treat", over="base")
    data = results.data("epilepsy")
    assert (along.values[0], along.values[-1]) == (data["base"].min(), data["base"].max())


@pytest.mark.parametrize(
    ("of", "options", "words"),
    [
        ("treat", {"over": "treat"}, "no course along itself"),
        ("treat", {"over": {"base": [8], "age": [3]}}, "one predictor"),
        ("treat", {"over": "bass"}, "did you mean 'base'"),
        ("treat", {"over": "base", "levels": ("old", "placebo")}, "no level 'old'"),
        ("treat", {"over": "base", "levels": "old"}, "pair"),
        ("age", {"over": "base", "levels": (1, 2)}, "a step, not levels"),
    ],
)
def test_impossible_curves_are_refused(of, options, words):
    with pytest.raises(bg.DataError, match=words):
        results.fit("epilepsy").effect_of(of, **options)


def test_impossible_crossings_are_refused():
    with pytest.raises(bg.DataError, match="above 0"):
        curve([8, 16]).crossing(-1.0)
    with pytest.raises(bg.DataError, match="two values"):
        curve([8]).crossing()
    with pytest.raises(bg.DataError, match="between its levels"):
        results.fit("epilepsy").effect_of("base", over="treat").crossing()


def test_plots_show_curve_band_and_no_effect():
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    ax = curve([8.0, 16, 63]).plot()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), curve([8.0, 16, 63]).quantities.estimate)
    assert ax.get_xlabel() == "base" and ax.get_ylabel() == "rate ratio"
    assert ax.get_yscale() == "log"
    own = plt.subplots()[1]
    assert results.fit("epilepsy").effect_of("base", over="treat").plot(own) is own
    plt.close("all")
