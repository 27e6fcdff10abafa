"""The posterior: tables, verdict first, ArviZ form, log likelihood."""

import subprocess
import sys
from dataclasses import replace

import fakes
import numpy as np
import pytest
from scipy import stats

from bayesglmm.errors import DataError
from bayesglmm.summary import shortest_interval, summarize
from bayesglmm.tables import Table

COLUMNS = ["mean", "sd", "median", "2.5%", "97.5%", "mcse_mean", "ess_bulk", "ess_tail", "r_hat"]


def test_summary_has_the_promised_rows_and_columns():
    table = fakes.posterior("gaussian").summary()
    assert list(table.columns) == COLUMNS
    assert list(table.index) == [
        "Intercept",
        "x",
        "sd(Intercept|a/b)",
        "sd(x|a/b)",
        "cor(Intercept,x|a/b)",
        "sigma",
    ]


def test_summary_recovers_what_was_drawn():
    table = fakes.posterior().summary().loc[["Intercept", "x"]]
    error = fakes.SDS / np.sqrt(fakes.CHAINS * fakes.DRAWS)
    assert np.all(np.abs(table["mean"] - fakes.MEANS) < 4 * error)
    np.testing.assert_allclose(table["sd"], fakes.SDS, rtol=0.1)
    np.testing.assert_allclose(table["2.5%"], fakes.MEANS - 1.96 * fakes.SDS, atol=0.1)


def test_limits_are_named_by_their_probability():
    post = fakes.posterior()
    assert {"5%", "95%"} <= set(post.summary(ci_prob=0.9).columns)
    assert {"hdi_5%", "hdi_95%"} <= set(post.summary(ci_prob=0.9, ci_kind="hdi").columns)


@pytest.mark.parametrize(
    "options", [{"ci_prob": 1.0}, {"ci_prob": 95}, {"ci_prob": "a"}, {"ci_kind": "bca"}]
)
def test_impossible_limits_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        fakes.posterior().summary(**options)


def test_shortest_interval_of_a_skewed_distribution_starts_at_its_mode():
    draws = np.sort(np.random.default_rng(3).exponential(size=(40_000, 2)), axis=0)
    low, high = shortest_interval(draws, 0.9)
    np.testing.assert_allclose(low, 0, atol=0.01)
    np.testing.assert_allclose(high, stats.expon.ppf(0.9), rtol=0.03)


def test_summary_agrees_with_arviz():
    import arviz_stats

    draws = np.random.default_rng(4).gamma(2, size=(4, 400, 1))
    ours = summarize(["x"], draws, ci_prob=0.9, ci_kind="hdi").columns
    np.testing.assert_allclose(
        [ours["hdi_5%"][0], ours["hdi_95%"][0]], arviz_stats.hdi(draws[..., 0].ravel(), prob=0.9)
    )


def test_effects_get_rows_on_request():
    table = fakes.posterior().summary(u=True)
    assert len(table) == 5 + 6
    assert "u(x|a/b[007])" in table.index
    post = fakes.posterior()
    np.testing.assert_allclose(
        table.loc["u(x|a/b[ä])", "mean"], post.values["u"]["a/b"][..., 2, 1].mean()
    )


def test_good_draws_are_said_to_have_converged():
    post = fakes.posterior()
    assert post.verdict.ok
    assert "Converged" in str(post)


def test_a_chain_elsewhere_is_named_before_the_tables():
    post = fakes.posterior(shift=4.0)
    text = str(post)
    assert not post.verdict.ok
    assert text.index("R-hat of Intercept") < text.index("Fixed effects")
    assert "NOT converged" in repr(post)


def test_a_posterior_without_draws_can_be_printed():
    one = fakes.posterior()
    values = {name: x[:, :0] for name, x in one.values.items() if name != "u"}
    values["u"] = {name: x[:, :0] for name, x in one.values["u"].items()}
    stats = {name: x[:, :0] for name, x in one.stats.items()}
    run = replace(one.run, interrupted=True)
    post = replace(one, values=values, stats=stats, theta=one.theta[:, :0], run=run)
    assert "Interrupted: 0 draws of each chain were kept.\nNOT converged" in str(post)
    assert np.isnan(post.table(u=True).columns["mean"]).all()


def test_a_stuck_effect_fails_the_verdict():
    post = fakes.posterior()
    post.values["u"]["a/b"][1, :, 2, 0] += 5
    assert "u(Intercept|a/b[ä])" in str(post.verdict)


def test_printed_posterior_holds_what_has_to_be_reported():
    text = str(fakes.posterior("gaussian"))
    for part in (
        "y ~ x + (x|a/b)",
        "Normal(0, 2.5)",
        "sigma",
        "rows used: 12 of 24",
        "nuts: asked for",
        "4 chains x 500 draws after 200 of warm-up, thin 1, seed 1",
        "acceptance",
    ):
        assert part in text


def test_printing_and_judging_do_not_import_arviz():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import fakes; str(fakes.posterior())\n"
        "print(*sys.modules)"
    )
    folder = fakes.__file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert {"arviz_base", "arviz_stats", "xarray", "pandas"}.isdisjoint(imported)


def test_data_has_named_dims_and_coords():
    data = fakes.posterior("binomial").data
    posterior = data.posterior
    assert posterior["beta"].dims == ("chain", "draw", "coefficient")
    assert list(posterior.coords["sd_name"].values) == ["sd(Intercept|a/b)", "sd(x|a/b)"]
    levels = posterior["u_a∕b"].sel({"a∕b": "007", "a∕b_effect": "x"})
    assert levels.dims == ("chain", "draw")
    assert data.sample_stats["diverging"].dtype == bool
    assert list(data.observed_data["y"].coords["row"].values) == list(range(0, 24, 2))
    assert data.constant_data["trials"].values.tolist() == [9.0] * 12


def test_metadata_is_the_same_for_the_same_content():
    one, two = fakes.posterior().data, fakes.posterior().data
    for node in one.subtree:
        assert node.attrs == two[node.path].attrs
        assert "created_at" not in node.attrs
    attrs = one.posterior.attrs
    assert (attrs["seed"], attrs["sampler"], attrs["link"]) == ("1", "nuts", "log")
    assert "Normal" in attrs["priors"]


def test_a_response_and_a_factor_may_have_any_name():
    post = fakes.posterior()
    design = post.model.design
    design.response = replace(design.response, name="beta")
    post.model.design.factors[0].name = "draw"
    post.values["u"]["draw"] = post.values["u"].pop("a/b")
    assert post.data.posterior["u_draw_column"].dims[2] == "draw_column"
    assert post.data.observed_data["beta_column"].dims == ("row",)


def _scipy_log_likelihood(post, family):
    design, values = post.model.design, post.values
    effects = values["u"]["a/b"][..., design.factors[0].index, :]
    eta = values["beta"] @ design.X.T + (effects * design.terms[0].z).sum(-1) + design.offset
    y = design.response.y
    if family == "poisson":
        out = stats.poisson.logpmf(y, np.exp(eta))
    elif family == "binomial":
        out = stats.binom.logpmf(y, 9, 1 / (1 + np.exp(-eta)))
    else:
        out = stats.norm.logpdf(y, eta, values["sigma"][..., None])
    return out * design.weights


@pytest.mark.parametrize("family", ["poisson", "binomial", "gaussian"])
def test_log_likelihood_is_scipys(family):
    post = fakes.posterior(family)
    ours = post.log_likelihood().log_likelihood["y"]
    assert ours.dims == ("chain", "draw", "row")
    np.testing.assert_allclose(ours.values, _scipy_log_likelihood(post, family), atol=1e-9)
    assert post.log_likelihood() is post.data


def test_arviz_summarizes_the_tree_as_we_do():
    import arviz_stats

    post = fakes.posterior()
    post.log_likelihood()
    theirs = arviz_stats.summary(
        post.data, var_names=["beta", "sd"], round_to="none", ci_prob=0.9, ci_kind="eti"
    )
    ours = post.summary(ci_prob=0.9).iloc[:4]
    for column in ("mean", "ess_bulk", "r_hat", "mcse_mean"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-8)


def test_plot_trace_draws_a_panel(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert fakes.posterior().plot_trace(["beta", "sigma"]) is not None


def test_table_shows_small_and_large_numbers_with_the_digits_they_have():
    columns = {
        "mean": np.array([251.40516, 3.2e-12, np.nan]),
        "sd": np.array([6.8246, 1e-12, np.nan]),
        "ess_bulk": np.array([4012.4, 1.0, np.nan]),
        "r_hat": np.array([1.0004, 1.0, np.nan]),
    }
    lines = str(Table(("Intercept", "x", "z"), columns)).splitlines()
    assert lines[1].split() == ["Intercept", "251.41", "6.82", "4012", "1.000"]
    assert lines[2].split() == ["x", "3.200e-12", "1.000e-12", "1", "1.000"]
    assert lines[3].split() == ["z", "-", "-", "-", "-"]


def test_divergences_are_shown_with_their_parameters():
    post = fakes.posterior()
    assert post.divergences().empty
    post.stats["divergent"][[0, 0, 2], [3, 400, 7]] = 1.0
    found = post.divergences()
    assert list(zip(found.chain, found.draw, strict=True)) == [(1, 4), (1, 401), (3, 8)]
    np.testing.assert_array_equal(
        found[list(post.names)], post.scalar_draws[[0, 0, 2], [3, 400, 7]]
    )
    assert len(post.divergences(most=2)) == 2
    del post.stats["divergent"]
    with pytest.raises(DataError, match="only nuts and hmc"):
        post.divergences()
