"""Leaving out rows and groups, WAIC, shares of variance: closed forms and brute force."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
import results
from scipy import stats

import bayesglmm as bg
from bayesglmm.information import group_log_likelihood


@pytest.fixture(scope="module")
def sampled():
    made = {}
    for name, options in (("sleepstudy", {}), ("cbpp", {}), ("epilepsy", {})):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bg.DataWarning)
            made[name] = results.model(name).sample(
                draws=250, warmup=300, chains=2, seed=4, progress=False, **options
            )
    return made


def test_groups_of_a_gaussian_model_are_multivariate_normal(sampled):
    post = sampled["sleepstudy"]
    made, design = group_log_likelihood(post), post.model.design
    index, X = design.factors[0].index, design.X
    for k in (0, 100):
        sd, cor = post.values["sd"][0, k], post.values["cor"][0, k, 0]
        R = np.array([[1.0, cor], [cor, 1.0]])
        Sigma, sigma = np.outer(sd, sd) * R, post.values["sigma"][0, k]
        for g in range(18):
            rows = index == g
            V = X[rows] @ Sigma @ X[rows].T + sigma**2 * np.eye(rows.sum())
            mean = X[rows] @ post.values["beta"][0, k]
            expected = stats.multivariate_normal(mean, V).logpdf(design.response.y[rows])
            assert made[0, k, g] == pytest.approx(expected, abs=1e-4)


def test_groups_of_counts_of_trials_are_integrated(sampled):
    post = sampled["cbpp"]
    made, design = group_log_likelihood(post), post.model.design
    index, response = design.factors[0].index, design.response
    x = np.linspace(-12, 12, 20_001)
    for k in (0, 200):
        sd = post.values["sd"][1, k, 0]
        eta = design.X @ post.values["beta"][1, k]
        for g in range(15):
            rows = np.flatnonzero(index == g)
            p = 1 / (1 + np.exp(-(eta[rows, None] + sd * x)))
            logs = stats.binom.logpmf(response.y[rows, None], response.trials[rows, None], p)
            integrand = np.exp(logs.sum(axis=0)) * stats.norm.pdf(x)
            expected = math.log(integrand.sum() * (x[1] - x[0]))
            assert made[1, k, g] == pytest.approx(expected, abs=1e-5)


def test_slopes_are_integrated_over_both_effects(sampled):
    post = sampled["epilepsy"]
    made, design = group_log_likelihood(post), post.model.design
    index, y, z = design.factors[0].index, design.response.y, design.terms[0].z
    draws = post.values["u"]["id"].reshape(-1, 59, 2)
    for g in (0, 17, 48):
        rows = np.flatnonzero(index == g)
        sd, cor = post.values["sd"][0, 7], post.values["cor"][0, 7, 0]
        Sigma = np.outer(sd, sd) * [[1.0, cor], [cor, 1.0]]
        mean, spread = draws[:, g].mean(axis=0), draws[:, g].std(axis=0)
        grids = [np.linspace(m - 9 * s, m + 9 * s, 401) for m, s in zip(mean, spread, strict=True)]
        u = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1)
        eta = (design.X[rows] @ post.values["beta"][0, 7])[:, None, None] + np.einsum(
            "nk,abk->nab", z[rows], u
        )
        logs = stats.poisson.logpmf(y[rows][:, None, None], np.exp(eta)).sum(axis=0)
        logs = logs + stats.multivariate_normal(np.zeros(2), Sigma).logpdf(u)
        steps = (grids[0][1] - grids[0][0]) * (grids[1][1] - grids[1][0])
        expected = logs.max() + math.log(np.exp(logs - logs.max()).sum() * steps)
        assert made[0, 7, g] == pytest.approx(expected, abs=1e-4)


def test_groups_are_integrated_in_draws_of_a_small_sd_too():
    """Nodes as far apart as the effects of other draws miss the effects of these."""
    model = results.model("cbpp")
    rng = np.random.default_rng(3)
    sds = np.geomspace(1e-6, 2.0, 40)
    u = rng.normal(size=(1, 40, 15, 1)) * sds[None, :, None, None]
    beta = np.array([-1.4, -1.0, -1.1, -1.6])
    post = results.posterior(model, beta, 1e-12 * np.eye(4), cor=np.zeros(0))
    values = {**post.values, "beta": np.tile(beta, (1, 40, 1)), "sd": sds[None, :, None]}
    values |= {"cor": np.zeros((1, 40, 0)), "u": {"herd": u}}
    made = group_log_likelihood(dataclasses.replace(post, values=values))
    x = np.linspace(-9, 9, 8_001)
    w = stats.norm.pdf(x) * (x[1] - x[0])
    response, index = model.design.response, model.design.factors[0].index
    for k, sd in enumerate(sds):
        p = 1 / (1 + np.exp(-((model.design.X @ beta)[:, None] + sd * x)))
        logs = stats.binom.logpmf(response.y[:, None], response.trials[:, None], p)
        for g in range(15):
            own = np.exp(logs[index == g].sum(axis=0)) @ w
            assert made[0, k, g] == pytest.approx(math.log(own), abs=1e-4)


def test_groups_that_one_draw_knows_far_better_than_all_draws_are_integrated():
    """Few groups of many rows: intercept and effects vary together, much more than given both."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(4), 150)
    data = {"y": rng.normal(np.array([0.0, 3.0, -2.0, 1.0])[g]), "g": g}
    post = bg.glmm("y ~ 1 + (1 | g)", data).sample(
        draws=50, warmup=200, chains=1, seed=1, progress=False
    )
    made = group_log_likelihood(post)
    for k in range(0, 50, 7):
        tau, sigma = post.values["sd"][0, k, 0], post.values["sigma"][0, k]
        V = tau**2 + sigma**2 * np.eye(150)
        normal = stats.multivariate_normal(np.full(150, post.values["beta"][0, k, 0]), V)
        expected = [normal.logpdf(data["y"][g == j]) for j in range(4)]
        np.testing.assert_allclose(made[0, k], expected, atol=1e-6)


def test_models_without_coefficients_or_with_one_group():
    data = {"y": [0, 2, 1, 4, 3, 2], "g": [1, 1, 2, 2, 3, 3], "one": ["a"] * 6}
    sample = {"draws": 100, "warmup": 100, "chains": 2, "seed": 1, "progress": False}
    none = bg.glmm("y ~ 0 + (1 | g)", data, family="poisson").sample(**sample)
    assert none.loo(by="group").n_data_points == 3
    with pytest.raises(bg.DataError, match="without coefficients"):
        none.marginal()
    with pytest.warns(bg.DataWarning, match="1 level"):
        alone = bg.glmm("y ~ 1 + (1 | one)", data, family="poisson").sample(**sample)
    with pytest.raises(bg.DataError, match="one has one level"):
        alone.loo(by="group")


def test_groups_of_one_answer_are_integrated_where_the_sd_is_large():
    """Effects with sd 9 are cut off where the response turns, nearly a step."""
    data = {"y": np.repeat([1, 0, 1, 0], [3, 3, 2, 1]), "g": np.repeat([1, 2, 3, 3], [3, 3, 2, 1])}
    post = bg.glmm("y ~ 1 + (1 | g)", data, family="bernoulli").sample(
        draws=100, warmup=100, chains=1, seed=1, progress=False
    )
    values = dict(post.values)
    values["sd"], values["beta"] = np.full((1, 100, 1), 9.0), np.full((1, 100, 1), 0.5)
    effects = np.random.default_rng(1).normal([8.0, -8.0, 0.0], 5.0, (1, 100, 3))
    values["u"] = {"g": effects[..., None]}
    made = group_log_likelihood(dataclasses.replace(post, values=values))
    x = np.linspace(-9, 9, 40_001)
    p = 1 / (1 + np.exp(-0.5 - 9 * x))
    for j, integrand in enumerate((p**3, (1 - p) ** 3, p**2 * (1 - p))):
        expected = math.log((integrand * stats.norm.pdf(x)).sum() * (x[1] - x[0]))
        np.testing.assert_allclose(made[..., j], expected, atol=1e-3)


def test_leaving_out_groups_and_rows_are_arviz_objects(sampled):
    post = sampled["epilepsy"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ warns of large Pareto k
        rows, groups = post.loo(), post.loo(by="group")
    assert rows.n_data_points == 236
    assert groups.n_data_points == 59
    # Groups that are not known are predicted worse than rows of groups that are.
    assert groups.elpd < rows.elpd
    with pytest.raises(bg.DataError, match="'row' or 'group'"):
        post.loo(by="subject")


def test_waic_is_its_formula_and_near_loo(sampled):
    post = sampled["cbpp"]
    made = post.waic()
    logs = np.asarray(post.log_likelihood()["log_likelihood"]["incidence"]).reshape(500, -1)
    expected = np.log(np.exp(logs).mean(axis=0)) - logs.var(axis=0, ddof=1)
    assert made.elpd == pytest.approx(expected.sum())
    assert made.se == pytest.approx(math.sqrt(56 * expected.var()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert made.elpd == pytest.approx(post.loo().elpd, abs=2.0)
    assert "elpd_waic" in str(made)


def test_what_cannot_be_left_out_is_said():
    frame = results.data("cbpp")
    frame["row"] = np.arange(len(frame)).astype(str)
    model = bg.glmm("incidence | trials(size) ~ 1 + (1 | row)", frame, "binomial")
    post = results.posterior(
        model,
        np.array([-1.0]),
        np.eye(1) * 0.01,
        sd=[0.5],
        cor=np.zeros(0),
        u={"row": np.zeros((56, 1))},
    )
    with pytest.warns(bg.DataWarning, match="own level of row"):
        post.waic()
    crossed = bg.glmm("incidence | trials(size) ~ 1 + (1 | herd) + (1 | period)", frame, "binomial")
    other = results.posterior(crossed, np.array([-1.0]), np.eye(1))
    with pytest.raises(bg.DataError, match="one grouping factor; this model has 2"):
        other.loo(by="group")


# --- shares of variance --------------------------------------------------------------------------


def test_intraclass_correlation_and_r2_are_their_formulas():
    frame = results.data("cbpp")
    model = bg.glmm("incidence | trials(size) ~ period + (1 | herd)", frame, "binomial")
    post = results.posterior(
        model, np.array([-1.4, -1.0, -1.1, -1.6]), 1e-12 * np.eye(4), sd=[0.7], cor=np.zeros(0)
    )
    own = math.pi**2 / 3
    assert post.icc().draws.mean() == pytest.approx(0.49 / (0.49 + own))
    eta = model.design.X @ [-1.4, -1.0, -1.1, -1.6]
    fixed = np.cov(eta, aweights=model.design.response.trials, bias=True)
    marginal, conditional = post.r2().draws[0, 0]
    total = fixed + 0.49 + own
    assert marginal == pytest.approx(fixed / total, rel=1e-5)
    assert conditional == pytest.approx((fixed + 0.49) / total, rel=1e-5)


def test_slopes_count_by_the_mean_of_their_variance_over_the_rows():
    model = results.model("sleepstudy")
    fit = model.fit("reml")
    sd, cor, sigma = fit.estimate[2:4], fit.estimate[4], fit.estimate[5]
    days = model.design.X[:, 1]
    v = sd[0] ** 2 + 2 * cor * sd[0] * sd[1] * days + sd[1] ** 2 * days**2
    expected = v.mean() / (v.mean() + sigma**2)
    table = fit.icc()
    assert table.estimate[0] == pytest.approx(expected, rel=1e-6)
    assert 0.0 < table.se[0] < 0.2
    low, high = table.limits
    assert 0.0 < low[0] < expected < high[0] < 1.0
    assert list(table.frame().columns) == ["estimate", "se", "2.5%", "97.5%"]


def test_a_share_of_a_variance_estimated_as_0_has_no_standard_error():
    rng = np.random.default_rng(0)
    data = {"y": np.tile([0, 1], 30), "g": np.repeat(np.arange(6), 10), "x": rng.normal(size=60)}
    fit = bg.glmm("y ~ x + (1 | g)", data, family="bernoulli").fit("laplace")
    assert fit.estimate[2] == 0.0
    shown = fit.icc().frame().iloc[0]
    assert shown["estimate"] == 0.0
    assert np.isnan(shown[["se", "2.5%", "97.5%"]].to_numpy()).all()
    assert np.isfinite(fit.r2().frame().to_numpy()).all()


def test_counts_have_the_log_normal_variance():
    model = results.model("epilepsy", "seizures ~ treat + (1 | id)")
    fit = model.fit("laplace")
    beta, sd = fit.beta, fit.estimate[2]
    mean = np.exp(model.design.X @ beta + sd**2 / 2).mean()
    own = math.log1p(1 / mean)
    assert fit.icc().estimate[0] == pytest.approx(sd**2 / (sd**2 + own), rel=1e-6)


def test_shares_that_do_not_exist_are_refused():
    frame = results.data("epilepsy")
    model = bg.glmm("seizures ~ treat + (1 | id)", frame, "poisson", link="identity")
    post = results.posterior(model, np.array([8.0, 0.0]), np.eye(2), sd=[1.0], cor=np.zeros(0))
    with pytest.raises(bg.DataError, match="identity link"):
        post.icc()
    alone = results.posterior(results.model("epilepsy", "seizures ~ treat"), np.ones(2), np.eye(2))
    with pytest.raises(bg.DataError, match="without groups"):
        alone.icc()
