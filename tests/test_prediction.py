"""Predictions and predictive draws: against the linear algebra, closed forms and simulation."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import results
from kernels import callable_
from scipy import stats
from scipy.integrate import trapezoid

import bayesglmm as bg
from bayesglmm import prior_draws
from bayesglmm.errors import DataError
from bayesglmm.prediction import factors
from bayesglmm.prior_density import dispersion_logpdf, prior_logpdf

matplotlib.use("Agg")
EFFECTS = np.random.default_rng(3).normal(size=(18, 2)) * [20.0, 5.0]


@pytest.fixture(scope="module")
def sleep():
    model = results.model("sleepstudy")
    return results.posterior(
        model,
        np.array([251.0, 10.5]),
        np.diag([40.0, 2.0]),
        sd=[25.0, 6.0],
        cor=[0.3],
        sigma=26.0,
        u={"Subject": EFFECTS},
    )


@pytest.fixture(scope="module")
def herds():
    model = results.model("cbpp")
    return results.posterior(
        model,
        np.array([-1.4, -1.0, -1.1, -1.6]),
        0.01 * np.eye(4),
        sd=[0.7],
        cor=np.zeros(0),
        u={"herd": np.linspace(-1, 1, 15)[:, None]},
    )


def test_conditional_predictions_are_the_linear_algebra(sleep):
    design = sleep.model.design
    beta = sleep.values["beta"]
    Z = np.stack([np.ones(180), design.X[:, 1]], axis=1)
    u = (Z * EFFECTS[design.factors[0].index]).sum(axis=1)
    expected = beta @ design.X.T + u
    np.testing.assert_allclose(sleep.predict().draws, expected, rtol=1e-12)
    np.testing.assert_allclose(
        sleep.predict(effects="population").draws, beta @ design.X.T, rtol=1e-12
    )


def test_new_rows_are_coded_as_the_data_were(herds):
    old = herds.predict()
    frame = bg.load_dataset("cbpp")[["herd", "period"]].iloc[[7, 3, 50]]
    new = herds.predict(frame)
    np.testing.assert_allclose(new.draws, old.draws[..., [7, 3, 50]])
    assert new.labels[0] == f"period={frame.period.iloc[0]}, herd={frame.herd.iloc[0]}"
    frame = new.frame()
    assert list(frame.columns) == ["mean", "sd", "median", "2.5%", "97.5%"]
    assert ((frame["2.5%"] < frame["median"]) & (frame["median"] < frame["97.5%"])).all()


def test_effects_at_zero_and_marginal_ones_need_no_groups(herds):
    frame = pd.DataFrame({"period": ["1", "4"]})
    eta = herds.predict(frame, effects="population", scale="link").draws
    beta = herds.values["beta"]
    np.testing.assert_allclose(eta[..., 0], beta[..., 0])
    np.testing.assert_allclose(eta[..., 1], beta[..., 0] + beta[..., 3])
    marginal = herds.predict(frame, effects="marginal")
    simulated = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000) * 0.7
    expected = (1 / (1 + np.exp(-(eta[0, 0, 0] + simulated)))).mean()
    assert marginal.draws[0, 0, 0] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(bg.DataError, match="herd"):
        herds.predict(frame)


def test_columns_that_do_not_count_may_be_anything(sleep):
    new = pd.DataFrame({"Days": [0.0, 3.0], "Subject": ["308", "309"]})
    expected = sleep.predict(new).draws
    odd = new.assign(when=pd.to_datetime(["2020-01-01", "2020-01-02"]), cells=[[1], {}])
    np.testing.assert_array_equal(sleep.predict(odd).draws, expected)
    unknown = new.assign(Subject=[None, "new"])  # at effects of 0 the groups do not count
    for effects in ("population", "marginal"):
        made = sleep.predict(unknown, effects=effects).draws
        np.testing.assert_array_equal(made, sleep.predict(new, effects=effects).draws)
    with pytest.raises(DataError, match="'Subject' in 1 row"):
        sleep.predict(unknown)


def test_models_without_predictors_predict_rows_of_anything():
    model = bg.glmm("y ~ 1", {"y": [1, 2, 0, 3]}, "poisson")
    post = results.posterior(model, np.array([0.5]), np.array([[0.1]]), sd=[], cor=[])
    np.testing.assert_array_equal(
        post.predict({"day": [1, 2, 3]}).draws, post.predict().draws[..., :3]
    )


def test_labels_have_as_many_digits_as_tell_the_rows_apart(sleep):
    def labels(*days):
        return sleep.predict({"Days": list(days)}, effects="population").labels

    assert labels(0.1257302210933933, 2, 2345.25) == ("Days=0.1257", "Days=2", "Days=2345.25")
    assert labels(0.12573, 0.12571) == ("Days=0.12573", "Days=0.12571")
    assert labels(3.0, 3.0) == ("row 0", "row 1")


def test_new_groups_are_refused_zero_or_drawn_from_the_distribution_of_groups(sleep):
    frame = pd.DataFrame({"Days": [0.0, 5.0, 5.0], "Subject": ["new", "new", "308"]})
    with pytest.raises(bg.DataError, match=r"new.*new_levels='sample'"):
        sleep.predict(frame)
    zero = sleep.predict(frame, new_levels="zero").draws
    population = sleep.predict(frame, effects="population").draws
    np.testing.assert_array_equal(zero[..., :2], population[..., :2])
    drawn = sleep.predict(frame, new_levels="sample").draws
    np.testing.assert_array_equal(drawn[..., 2], sleep.predict(frame.iloc[2:]).draws[..., 0])
    u = (drawn - population)[..., :2].reshape(-1, 2)
    slope = (u[:, 1] - u[:, 0]) / 5.0
    assert stats.kstest(u[:, 0] / 25.0, "norm").pvalue > 1e-4
    assert stats.kstest(slope / 6.0, "norm").pvalue > 1e-4
    assert np.corrcoef(u[:, 0], slope)[0, 1] == pytest.approx(0.3, abs=0.08)
    # The same level has the same effects whatever stands beside it.
    alone = sleep.predict(frame.iloc[1:2], new_levels="sample").draws
    np.testing.assert_array_equal(alone[..., 0], drawn[..., 1])
    other = sleep.predict(frame.iloc[1:2], new_levels="sample", seed=9).draws
    assert not np.array_equal(other, alone)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effects": "fixed"}, "conditional, population, marginal"),
        ({"scale": "odds"}, "response, link"),
        ({"new_levels": "draw"}, "refuse, sample, zero"),
        ({"effects": "marginal", "new_levels": "sample"}, "do not count"),
    ],
)
def test_arguments_that_do_not_fit_are_answered_in_words(herds, options, words):
    with pytest.raises(bg.DataError, match=words):
        herds.predict(**options)


def test_ids_that_lost_their_zeros_are_no_new_groups_in_silence():
    frame = results.data("cbpp")
    frame["herd"] = [f"{int(herd):03d}" for herd in frame.herd]
    post = with_effects(bg.glmm("incidence | trials(size) ~ 1 + (1 | herd)", frame, "binomial"))
    new = {"herd": [1, 99]}
    with pytest.raises(DataError, match=r"knows '001': read '1' as text, with its zeros\. new_lev"):
        post.predict(new)
    with pytest.warns(bg.DataWarning, match="'1', '99' of herd are taken as new groups; it knows"):
        post.predict(new, new_levels="sample")


def test_booleans_may_come_from_a_file():
    frame = results.data("cbpp")
    frame["late"] = frame.period.astype(str) > "2"
    model = bg.glmm("incidence | trials(size) ~ late + (1 | herd)", frame, "binomial")
    post = with_effects(model, np.array([-1.0, 0.5]))
    expected = post.predict({"herd": ["1", "2"], "late": [True, False]})
    made = post.predict({"herd": ["1", "2"], "late": ["TRUE", "False"]})
    np.testing.assert_array_equal(made.draws, expected.draws)
    with pytest.raises(DataError, match=r"'late' is text where numbers are needed \('no' at row 1"):
        post.predict({"herd": ["1", "2"], "late": ["True", "no"]})
    with pytest.raises(DataError, match="or leave those rows out$"):
        post.predict({"herd": ["1", "2"], "late": [True, None]})


def with_effects(model, beta=None):
    beta = np.array([-1.0]) if beta is None else beta
    u = {"herd": np.zeros((15, 1))}
    return results.posterior(model, beta, np.eye(len(beta)), sd=[0.5], cor=np.zeros(0), u=u)


def test_too_many_draws_for_the_memory_are_refused_but_summed_up(herds, monkeypatch):
    monkeypatch.setattr("bayesglmm.prediction.available", lambda: 1000)
    made = herds.predict()
    with pytest.raises(bg.DataError, match="blocks"):
        _ = made.draws
    assert len(made.frame()) == 56


def test_what_is_printed_says_what_it_is(herds):
    text = str(herds.predict(effects="population"))
    assert text.splitlines()[0] == "Predicted proportions of incidence, at effects of 0"
    assert text.splitlines()[-1] == "  ... 36 more rows: frame() has them all"


# --- responses -----------------------------------------------------------------------------------


def test_drawn_responses_follow_the_family_given_the_linear_predictor(sleep, herds):
    drawn, mean = sleep.predictive().draws, sleep.predict().draws
    z = (drawn - mean) / 26.0
    assert stats.kstest(z.reshape(-1)[::50], "norm").pvalue > 1e-4
    counts, share = herds.predictive().draws, herds.predict().draws
    trials = herds.model.design.response.trials
    assert counts.max(axis=(0, 1)) == pytest.approx(trials, abs=trials.max())
    assert (counts <= trials).all()
    expected = (share * trials).mean(axis=(0, 1))
    error = np.sqrt((trials * share * (1 - share)).mean(axis=(0, 1)) / 2000)
    assert np.abs((counts.mean(axis=(0, 1)) - expected) / error).max() < 4.5


def test_a_row_is_drawn_alike_whatever_stands_beside_it(herds):
    frame = bg.load_dataset("cbpp")
    whole = herds.predictive(frame).draws
    np.testing.assert_array_equal(herds.predictive(frame.iloc[:3]).draws, whole[..., :3])
    np.testing.assert_array_equal(herds.predictive().draws, whole)
    with pytest.raises(bg.DataError, match="trials"):
        herds.predictive(frame[["herd", "period"]])


def test_proportions_and_linear_predictors_are_called_so(herds):
    assert str(herds.curve("period")).startswith("Proportion of incidence along period")
    on_link = herds.curve("period", scale="link")
    assert str(on_link).startswith("Linear predictor of incidence along period")
    assert "Marginal proportions of incidence" in str(herds.marginal_means({"period": ["1"]}))


@pytest.mark.parametrize("size", [-3, 2.5])
def test_new_rows_cannot_have_just_any_number_of_trials(herds, size):
    rows = {"period": ["1", "2"], "herd": ["1", "2"], "size": [4, size]}
    with pytest.raises(DataError, match=f"trials have to be whole .* {size} at row 1"):
        herds.predictive(rows)


def test_new_rows_cannot_have_just_any_standard_error():
    data = {"y": [1.0, 2.0, 4.0, 3.0], "s": [1.0, 1.0, 0.5, 1.0], "g": list("aabb")}
    model = bg.glmm("y | se(s) ~ 1 + (1 | g)", data)
    post = results.posterior(
        model,
        np.array([2.0]),
        np.array([[0.1]]),
        sd=[1.0],
        cor=np.zeros(0),
        u={"g": np.zeros((2, 1))},
    )
    with pytest.raises(DataError, match="errors have to be above 0; -1 at row 0"):
        post.predictive({"g": ["a"], "s": [-1.0]})


def test_responses_are_not_drawn_at_a_mean_over_groups(sleep):
    """They would have the variance of one group; that of many comes from new groups."""
    with pytest.raises(DataError, match="new_levels='sample'"):
        sleep.predictive({"Days": [3.0]}, effects="marginal")
    new = {"Days": [3.0] * 400, "Subject": [f"new {k}" for k in range(400)]}
    drawn = sleep.predictive(new, new_levels="sample").draws
    beta = sleep.values["beta"][..., 0] + 3.0 * sleep.values["beta"][..., 1]
    v = 25.0**2 + 2 * 3.0 * 0.3 * 25.0 * 6.0 + 9.0 * 6.0**2 + 26.0**2 + beta.var()
    assert drawn.var() == pytest.approx(v, rel=0.05)


def test_checks_compare_draws_with_the_data(herds, sleep):
    made = herds.predictive()
    drawn, y = made.draws.mean(axis=-1), herds.model.design.response.y.mean()
    assert made.check() == pytest.approx((drawn > y).mean() + 0.5 * (drawn == y).mean())
    assert made.check(lambda y: y.max(axis=-1) - y.min(axis=-1)) <= 1.0
    with pytest.raises(bg.DataError, match="mean, sd, min, max, zeros"):
        made.check("kurtosis")
    with pytest.raises(bg.DataError, match="no observed"):
        herds.predictive(bg.load_dataset("cbpp")).check()


@pytest.mark.parametrize("name", ["sleep", "herds"])
def test_arviz_plots_them(name, request):
    post = request.getfixturevalue(name)
    made = post.predictive()
    response = post.model.design.response.name
    np.testing.assert_array_equal(made.data.posterior_predictive[response], made.draws)
    assert post.plot_ppc() is not None
    with pytest.raises(bg.DataError, match="rootogram"):
        post.plot_ppc("violin")


# --- priors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prior",
    [
        bg.Normal(1, 2),
        bg.StudentT(5, 1, 2),
        bg.Cauchy(1, 2),
        bg.Laplace(1, 2),
        bg.HalfNormal(2),
        bg.HalfStudentT(3, 2.5),
        bg.HalfCauchy(2),
        bg.Uniform(1, 3),
        bg.Exponential(2),
        bg.Gamma(3, 2),
        bg.PC(1, 0.05),
        bg.GammaPrecision(3, 2),
        bg.InverseGammaVariance(3, 2),
        bg.Inverse(bg.Exponential(2)),
        bg.InverseSqrt(bg.HalfNormal(2)),
    ],
    ids=str,
)
def test_draws_from_a_prior_are_of_its_density(prior):
    """Shares of the draws between quantiles, by integrating the density that the samplers use."""
    draws = prior_draws.scalar(prior, np.random.default_rng(8), 20_000)
    kind, *numbers = prior.code()
    of_log = isinstance(prior, bg.Inverse | bg.InverseSqrt)
    logpdf = callable_(dispersion_logpdf if of_log else prior_logpdf)
    draws = np.log(draws) if of_log else draws
    edges = np.quantile(draws, [0.05, 0.3, 0.6, 0.9])
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        x = np.linspace(low, high, 2001)
        density = np.exp([logpdf(int(kind), *numbers, value) for value in x])
        share = trapezoid(density, x)
        seen = ((draws > low) & (draws <= high)).mean()
        assert seen == pytest.approx(share, abs=4.5 * np.sqrt(share * (1 - share) / 20_000))


@pytest.mark.parametrize("eta", [1.0, 2.5])
def test_lkj_draws_have_beta_margins(eta):
    R = prior_draws.correlations(eta, 4, np.random.default_rng(2), 4000)
    a = eta - 1.0 + 2.0  # eta - 1 + q / 2
    for k in range(4):
        for l in range(k):
            assert stats.kstest((R[:, k, l] + 1) / 2, stats.beta(a, a).cdf).pvalue > 1e-4


def test_matrix_priors_have_their_margins():
    rng = np.random.default_rng(2)
    S = prior_draws.covariances(bg.HuangWand((1.0, 2.0), 2.0), 2, rng, 5000)
    for k, scale in enumerate((1.0, 2.0)):
        t = np.sqrt(S[:, k, k]) / scale
        assert stats.kstest(t, lambda x: 2 * stats.t(2).cdf(x) - 1).pvalue > 1e-4
    R = S[:, 0, 1] / np.sqrt(S[:, 0, 0] * S[:, 1, 1])
    assert stats.kstest(R, stats.uniform(-1, 2).cdf).pvalue > 1e-4
    S = prior_draws.covariances(bg.InverseWishart(5, np.diag([1.0, 2.0])), 2, rng, 5000)
    for k, scale in enumerate((1.0, 2.0)):
        assert stats.kstest(S[:, k, k], stats.invgamma(2, scale=scale / 2).cdf).pvalue > 1e-4


def test_factors_give_back_the_covariance_and_survive_an_sd_of_zero():
    model = results.model("sleepstudy")
    L = factors(model, np.array([[2.0, 3.0], [0.0, 1.0]]), np.array([[0.5], [np.nan]]))
    np.testing.assert_allclose(L[0] @ L[0].T, [[4.0, 3.0], [3.0, 9.0]])
    np.testing.assert_allclose(L[1] @ L[1].T, [[0.0, 0.0], [0.0, 1.0]])


def test_responses_from_the_priors():
    """Of a Normal model with one group sd the draws are Normal, with the prior's variance."""
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "g": list("aabb")})
    model = bg.glmm(
        "y ~ 1 + (1 | g)",
        frame,
        priors={"Intercept": bg.Normal(5, 2), "sd": bg.HalfNormal(1), "sigma": bg.HalfNormal(1)},
    )
    made = model.prior_predictive(20_000, seed=4)
    y = made.draws[0]
    assert y.mean() == pytest.approx(5.0, abs=0.06)
    cov = np.cov(y.T)
    np.testing.assert_allclose(np.diag(cov), 6.0, rtol=0.06)
    assert cov[0, 1] == pytest.approx(5.0, abs=0.25)
    assert cov[0, 2] == pytest.approx(4.0, abs=0.25)
    np.testing.assert_array_equal(made.draws, model.prior_predictive(20_000, seed=4).draws)
    assert 0.0 <= made.check("mean") <= 1.0
    flat = bg.glmm("y ~ 1 + (1 | g)", frame, priors={"Intercept": bg.Flat()})
    with pytest.raises(bg.PriorError, match="Intercept ~ Flat"):
        flat.prior_predictive(10)


def test_counts_beyond_all_bounds_are_infinite_not_an_error():
    frame = pd.DataFrame({"y": [1, 2, 0, 3], "g": list("aabb")})
    model = bg.glmm("y ~ 1 + (1 | g)", frame, "poisson", priors={"Intercept": bg.Normal(0, 100)})
    made = model.prior_predictive(2000, seed=1)
    y = made.draws
    assert np.isinf(y).any()
    shown = made.frame()
    assert np.isinf(shown["mean"]).all()
    np.testing.assert_array_equal(shown[["2.5%", "97.5%"]], [[0.0, np.inf]] * 4)
    assert not np.isnan(y).any()
