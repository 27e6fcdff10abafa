"""SAS's tables under their ODS names, and the deviance information criterion."""

import copy
from types import SimpleNamespace

import fakes
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.posterior import Posterior

EVERY = {
    "NObs", "Parameters", "REParameters", "PostSummaries", "PostIntervals", "PostSumInt", "Corr",
    "Cov", "AutoCorr", "Geweke", "Heidelberger", "Raftery", "ESS", "MCSE", "DIC",
}  # fmt: skip


def real(draws=300, chains=2):
    """A posterior of a real model with independent draws, made without sampling."""
    data = pd.DataFrame(
        {
            "y": np.arange(40) % 5,
            "x": np.linspace(-1, 1, 40),
            "g": np.repeat([*"abcde"], 8),
            "w": [1.0, 2.0] * 20,
        }
    )
    data.loc[[3, 7], "x"] = np.nan
    data.loc[[7, 39], "y"] = np.nan
    model = bg.glmm(
        "y ~ x + (x | g)",
        data,
        family="negative_binomial",
        weights="w",
        missing="drop",
        priors={"b": bg.Normal(0, 3), "size": bg.Inverse(bg.Exponential(2)), "cor": bg.LKJ(2)},
    )
    rng = np.random.default_rng(1)
    made = SimpleNamespace(
        theta=0.2 * rng.normal(size=(chains, draws, 6)),
        u=0.2 * rng.normal(size=(chains, draws, 10)),
        stats={},
        seed=1,
        warmup=0,
        thin=1,
        seconds={},
        interrupted=False,
    )
    return Posterior.from_draws(model, made, sampler="gibbs", reason="a test")


POST = real()


def test_every_table_of_the_list_is_there():
    assert set(POST.ods) == EVERY
    for name in POST.ods:
        table = POST.ods[name]
        assert isinstance(table, pd.DataFrame) and len(table) > 0
        pd.testing.assert_frame_equal(table, getattr(POST.ods, name))
        assert name in repr(POST.ods) and name in dir(POST.ods)
    assert len(POST.ods) == len(EVERY)
    pd.testing.assert_frame_equal(POST.ods["postsummaries"], POST.ods["PostSummaries"])


@pytest.mark.parametrize(
    "name, words",
    [("PostSumaries", "PostSummaries"), ("Gewecke", "Geweke"), ("xyz", "there are NObs")],
)
def test_misspelt_names_are_answered(name, words):
    with pytest.raises(bg.DataError, match=words):
        POST.ods[name]
    assert name not in POST.ods and not hasattr(POST.ods, name)
    assert POST.ods.get(name) is None


def test_a_copy_has_the_same_tables():
    pd.testing.assert_frame_equal(copy.copy(POST.ods).ESS, POST.ods.ESS)


HEADINGS = {
    "PostSummaries": ["Parameter", "N", "Mean", "Standard Deviation", "25%", "50%", "75%"],
    "PostIntervals": [
        *("Parameter", "Alpha", "Equal-Tail Lower", "Equal-Tail Upper", "HPD Lower", "HPD Upper"),
    ],
    "AutoCorr": ["Parameter", "Lag 1", "Lag 5", "Lag 10", "Lag 50"],
    "Geweke": ["Parameter", "Chain", "z", "Pr > |z|"],
    "Raftery": ["Parameter", "Chain", "Burn-In", "Total", "Minimum", "Dependence Factor"],
    "ESS": ["Parameter", "ESS", "Autocorrelation Time", "Efficiency"],
    "MCSE": ["Parameter", "MCSE", "Standard Deviation", "MCSE/SD"],
    "Parameters": [
        *("Block", "Parameter", "Sampling Method", "Initial Value", "Prior Distribution"),
    ],
}


@pytest.mark.parametrize("name", HEADINGS)
def test_headings_are_sas_s(name):
    assert list(POST.ods[name].columns) == HEADINGS[name]


def test_one_chain_needs_no_column_for_it():
    assert list(real(chains=1).ods.Geweke.columns) == ["Parameter", "z", "Pr > |z|"]


def test_summaries_and_intervals_are_those_of_the_summary():
    table, ours = POST.ods["PostSummaries"], POST.summary().iloc[:-1]
    np.testing.assert_allclose(table["Mean"], ours["mean"])
    np.testing.assert_allclose(table["Standard Deviation"], ours["sd"])
    np.testing.assert_allclose(table["50%"], ours["median"])
    assert set(table["N"]) == {600}
    both = POST.ods(alpha=[0.05, 0.2]).PostIntervals
    assert list(both["Alpha"]) == [0.05] * 6 + [0.2] * 6
    hdi = POST.summary(ci_prob=0.8, ci_kind="hdi").iloc[:-1]
    eti = POST.summary(ci_prob=0.8).iloc[:-1]
    np.testing.assert_allclose(both["HPD Upper"][6:], hdi["hdi_90%"])
    np.testing.assert_allclose(both["Equal-Tail Lower"][6:], eti["10%"])


def test_matrices():
    flat = POST.scalar_draws.reshape(600, 6)
    np.testing.assert_allclose(POST.ods.Cov.iloc[:, 1:], np.cov(flat.T))
    np.testing.assert_allclose(POST.ods.Corr.iloc[:, 1:], np.corrcoef(flat.T))


def test_observations_parameters_and_effects():
    counts = dict(zip(POST.ods.NObs["Label"], POST.ods.NObs["N"], strict=True))
    assert counts["Number of Observations Read"] == 40
    assert counts["Number of Observations Used"] == 37
    assert counts["Sum of Frequencies Used"] == POST.model.design.weights.sum()
    table = POST.ods.Parameters.set_index("Parameter")["Prior Distribution"]
    assert list(table.index) == list(POST.names)
    assert table["x"] == "Normal(0, 3)"
    assert "HalfStudentT" in table["sd(x|g)"]
    assert table["cor(Intercept,x|g)"] == "LKJ(2)"
    assert table["size"] == "1/size ~ Exponential(2)"
    effects = POST.ods.REParameters.iloc[0]
    assert effects["Parameter"] == "u(Intercept, x|g)" and effects["Number of Subjects"] == 5


def test_a_prior_of_sigma_stands_at_each_of_its_rows():
    model = bg.glmm(
        "Reaction ~ Days + (Days | Subject)",
        bg.load_dataset("sleepstudy"),
        priors={"Subject": bg.InverseWishart(4, np.eye(2))},
    )
    made = SimpleNamespace(
        **{**vars(fakes.draws(6)), "u": np.zeros((fakes.CHAINS, fakes.DRAWS, 36)), "stats": {}}
    )
    post = Posterior.from_draws(model, made, sampler="nuts", reason="a test")
    table = post.ods.Parameters.set_index("Parameter")["Prior Distribution"]
    for row in ("sd(Days|Subject)", "cor(Intercept,Days|Subject)"):
        assert "InverseWishart" in table[row]


# ---- options ----------------------------------------------------------------------------------


def test_printing_shows_the_verdict_and_what_is_asked_for():
    text = str(POST.ods)
    assert text.startswith(("Converged", "NOT converged"))
    for title in ("Number of Observations", "Posterior Summaries", "Geweke", "Effective Sample"):
        assert f"\n{title}" in text
    for title in ("Raftery-Lewis Diagnostics", "Deviance", "Posterior Correlation"):
        assert f"\n{title}" not in text
    text = str(POST.ods(statistics="none", diag=["rl", "heidel"], dic=True))
    for title in ("Raftery-Lewis Diagnostics", "Heidelberger-Welch Diag", "Deviance Information"):
        assert f"\n{title}" in text
    assert "\nPosterior Summaries" not in text and "\nGeweke Diag" not in text
    assert "\nPosterior Covariance" in str(POST.ods(statistics="all", diag="none"))


def test_settings_of_the_tests_by_sas_s_names():
    changed = POST.ods(
        geweke={"frac1": 0.2},
        heidelberger={"salpha": 0.9, "eps": 5},
        raftery={"q": 0.5, "r": 0.1},
        lags=3,
        percentiles=[10],
    )
    assert not np.allclose(changed.Geweke["z"], POST.ods.Geweke["z"])
    ours = POST.diagnose(geweke={"first": 0.2}).geweke
    np.testing.assert_allclose(changed.Geweke["z"], ours["z"])
    assert set(changed.Heidelberger["Half-Width Test Outcome"]) <= {"Passed", "Failed"}
    failed = [list(o.Heidelberger.iloc[:, 4]).count("Failed") for o in (changed, POST.ods)]
    assert failed[0] > failed[1]
    assert set(changed.Raftery["Minimum"]) == {97}
    assert list(changed.AutoCorr.columns) == ["Parameter", "Lag 3"]
    assert "10%" in changed.PostSummaries


def test_monitor_chooses_parameters_and_effects():
    assert list(POST.ods(monitor=["x", "size"]).ESS["Parameter"]) == ["x", "size"]
    assert len(POST.ods(monitor=["x", "u"]).MCSE) == 11
    one = POST.ods(monitor="u(x|g[b])")
    assert list(one.PostSummaries["Parameter"]) == ["u(x|g[b])"]


def test_outpost_saves_the_draws(tmp_path):
    path = tmp_path / "post.csv"
    POST.ods(outpost=path, monitor=["u"])
    saved = bg.read_csv(path)
    assert len(saved) == 600 and "u(x|g[b])" in saved


@pytest.mark.parametrize(
    "options, words",
    [
        ({"statistics": "means"}, "'means'"),
        ({"diag": ["r"]}, "'r'"),
        ({"alpha": 5}, "alpha"),
        ({"percentiles": [0, 50]}, "percentiles"),
        ({"monitor": ["z"]}, "'z'"),
        ({"geweke": {"frac3": 0.1}}, "'frac3'"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(bg.DataError, match=words):
        POST.ods(**options)


# ---- DIC --------------------------------------------------------------------------------------


def _deviance(post, beta, u, sigma):
    design = post.model.design
    eta = beta @ design.X.T + (u[..., design.factors[0].index, :] * design.terms[0].z).sum(-1)
    eta = eta + design.offset
    y = design.response.y
    if post.model.family.name == "poisson":
        each = stats.poisson.logpmf(y, np.exp(eta))
    else:
        each = stats.norm.logpdf(y, eta, np.asarray(sigma)[..., None])
    return -2.0 * (each * design.weights).sum(-1)


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_dic_is_that_of_scipys_densities(family):
    post = fakes.posterior(family)
    beta, u = post.values["beta"], post.values["u"]["a/b"]
    sigma = post.values.get("sigma", np.ones(beta.shape[:2]))
    dbar = _deviance(post, beta, u, sigma).mean()
    dmean = _deviance(post, beta.mean((0, 1)), u.mean((0, 1)), sigma.mean())
    found = post.dic()
    np.testing.assert_allclose([found.dbar, found.dmean], [dbar, dmean], rtol=1e-10)
    np.testing.assert_allclose([found.pd, found.dic], [dbar - dmean, 2 * dbar - dmean])
    assert "Smaller is Better" in str(found)


def test_effective_number_of_parameters_of_a_normal_posterior():
    # With known sigma and a flat prior, the posterior of p coefficients has pD = p exactly.
    data = bg.load_dataset("sleepstudy").assign(se=30.0)
    model = bg.glmm(
        "Reaction | se(se) ~ Days", data, priors={"b": bg.Flat(), "Intercept": bg.Flat()}
    )
    X = model.design.X
    covariance = np.linalg.inv(X.T @ X / 900.0)
    mean = covariance @ (X.T @ model.design.response.y / 900.0)
    beta = np.random.default_rng(1).multivariate_normal(mean, covariance, size=(2, 4000))
    made = SimpleNamespace(
        **{**vars(fakes.draws(2)), "theta": beta, "u": np.zeros((2, 4000, 0)), "stats": {}}
    )
    post = Posterior.from_draws(model, made, sampler="nuts", reason="a test")
    post.values["beta"] = beta
    assert post.dic().pd == pytest.approx(2.0, abs=0.15)
    assert "REParameters" not in post.ods
