"""Posterior and fits side by side: the numbers, the flags, the printed table, the plots."""

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm import comparison_flags, fit_plots
from bayesglmm.posterior import Posterior

CHAINS, DRAWS = 4, 600


def draws_around(fit, shift=0.0, width=1.0, seed=1):
    """A posterior of independent draws: normal in theta, centred `shift` sds from a fit."""
    theta, covariance = fit.outcome.theta, fit.outcome.covariance
    rng = np.random.default_rng(seed)
    sd = width * np.sqrt(np.maximum(np.diag(covariance), 1e-4))
    drawn = theta + sd * (shift + rng.normal(size=(CHAINS, DRAWS, theta.size)))
    modes = fit.outcome.modes
    content = SimpleNamespace(
        theta=drawn,
        u=modes + 0.3 * rng.normal(size=(CHAINS, DRAWS, modes.size)),
        stats={"accept": np.full((CHAINS, DRAWS), 0.8)},
        seed=1,
        warmup=100,
        thin=1,
        seconds={"sampling": 1.0},
        interrupted=False,
    )
    return Posterior.from_draws(fit.model, content, sampler="nuts", reason="made for a test")


@pytest.fixture(scope="module")
def model():
    data = bg.load_dataset("epilepsy")
    return bg.glmm("seizures ~ log(base) * treat + visit + (visit|id)", data, "poisson")


@pytest.fixture(scope="module")
def fit(model):
    return model.fit("laplace")


@pytest.fixture(scope="module")
def post(fit):
    return draws_around(fit)


def test_every_number_is_that_of_its_result(post, fit):
    found = bg.compare(fit, post).frame().set_index(["method", "parameter"])
    summary, limits = post.summary(), fit.confint()
    for row in post.names:
        mine = found.loc["posterior", row]
        assert mine.estimate == summary["mean"][row] and mine.se == summary["sd"][row]
        assert mine["2.5%"] == summary["2.5%"][row] and mine.difference == 0.0
        mine = found.loc["laplace", row]
        assert mine.estimate == fit.estimate[fit.names.index(row)]
        assert mine["97.5%"] == limits["97.5%"][row]
        expected = (mine.estimate - summary["mean"][row]) / summary["sd"][row]
        assert mine.difference == pytest.approx(expected, rel=1e-12)
    assert set(found["kind"]) == {"fixed", "sd", "cor"}


def test_the_posterior_comes_first_and_names_are_told_apart(post, fit):
    assert bg.compare(fit, post, fit).methods == ("posterior", "laplace", "laplace #2")
    assert bg.compare(post, post).methods == ("posterior", "posterior #2")
    chosen = bg.compare(fit, post, names=("lme4's", "ours"), level=0.9)
    assert chosen.methods == ("ours", "lme4's")
    assert {"5%", "95%"} <= set(chosen.frame())


def test_the_wide_table_has_a_row_a_parameter(post, fit):
    wide = bg.compare(post, fit).table()
    assert list(wide.index) == list(post.names)
    assert ("laplace", "difference") in wide.columns
    assert ("posterior", "difference") not in wide.columns


def test_rows_can_be_chosen_by_name_and_kind(post, fit):
    assert bg.compare(post, fit, rows="sd").rows == post.model.names.sd
    assert bg.compare(post, fit, rows=("visit", "cor")).rows == ("visit", post.model.names.cor[0])
    with pytest.raises(bg.DataError, match="no row 'vist'"):
        bg.compare(post, fit, rows="vist")


def test_effects_have_rows_on_request(post, fit):
    found = bg.compare(post, fit, u=True)
    effects = [row for row, kind in zip(found.rows, found.kinds, strict=True) if kind == "u"]
    assert tuple(effects) == post.effect_names
    k = effects.index("u(visit|id[7])")
    level = post.model.design.factors[0].levels.index("7")
    column = found.columns[1]
    at = found.rows.index(effects[k])
    assert column.estimate[at] == fit.effects["id"][level, 1]
    assert column.se[at] == fit.effect_sds["id"][level, 1]
    assert bg.compare(post, fit, rows="u").rows == post.effect_names
    text = str(found)
    assert "more effects: see frame()" in text and "conditional modes" in text


def test_a_parameter_that_one_result_lacks_stays_blank(post, model):
    data = bg.load_dataset("epilepsy")
    smaller = bg.glmm("seizures ~ visit + (1|id)", data, "poisson").fit("laplace")
    found = bg.compare(post, smaller)
    frame = found.frame()
    rows = frame[frame.method == "laplace"].parameter
    assert set(rows) == {"Intercept", "visit", "sd(Intercept|id)"}
    line = next(s for s in str(found).splitlines() if s.strip().startswith("log(base) "))
    assert line.rstrip().endswith("-")


def test_other_data_are_refused(post):
    data = bg.load_dataset("epilepsy").iloc[:100]
    other = bg.glmm("seizures ~ visit + (1|id)", data, "poisson").fit("laplace")
    with pytest.raises(bg.DataError, match="236 rows; seizures, 100 rows"):
        bg.compare(post, other)


def test_nothing_to_compare_is_refused(model):
    data = bg.load_dataset("epilepsy")
    alone = bg.glmm("seizures ~ 0 + (1|id)", data, "poisson").fit("glm")
    with pytest.raises(bg.DataError, match="no parameters to compare"):
        bg.compare(alone, u=True)


def test_wrong_arguments(post, fit):
    with pytest.raises(TypeError, match="needs a posterior or a fit"):
        bg.compare()
    with pytest.raises(TypeError, match="not a Model"):
        bg.compare(post, fit.model)
    with pytest.raises(bg.DataError, match="names has to be 2 names"):
        bg.compare(post, fit, names=("a",))
    with pytest.raises(bg.DataError, match="all different"):
        bg.compare(post, fit, names=("a", "a"))


def test_fits_alone_compare_in_standard_errors(fit):
    moved = replace(fit, outcome=replace(fit.outcome, theta=fit.outcome.theta + 0.1))
    found = bg.compare(fit, moved)
    expected = (moved.estimate - fit.estimate) / fit.se
    np.testing.assert_allclose(found.difference[:, 1], expected, rtol=1e-12)
    assert "standard errors of laplace" in str(found)


# --- flags ---------------------------------------------------------------------------------------


def kinds(found):
    return {flag.kind for flag in found.flags}


def test_agreement_is_said(post, fit):
    found = bg.compare(post, fit, rows=("fixed",))
    assert kinds(found) == {"agrees"}
    assert "laplace: agrees with posterior within 0.25 posterior sds" in str(found)


@pytest.mark.parametrize(("shift", "mark"), [(0.0, ""), (0.37, "!"), (0.8, "!!")])
def test_differences_are_flagged_and_marked(fit, shift, mark):
    found = bg.compare(draws_around(fit, shift), fit, rows=("log(base)", "visit"))
    rows = [flag.rows for flag in found.flags if flag.kind == "difference"]
    assert rows == ([("log(base)", "visit")] if mark else []) or set(rows[0]) == {
        "log(base)",
        "visit",
    }
    line = next(s for s in str(found).splitlines() if s.strip().startswith("visit"))
    assert line.count("!") == len(mark)
    flagged = found.frame().query("method == 'laplace' and parameter == 'visit'").flag.item()
    assert flagged == ("difference" if mark else "")


def test_a_flat_likelihood_is_said(fit):
    found = bg.compare(draws_around(fit, width=0.3), fit)
    (flag,) = [flag for flag in found.flags if flag.kind == "prior"]
    assert flag.method == "laplace" and "visit" in flag.rows
    assert "the likelihood is flat there" in flag.sentence


def test_a_prior_that_dominates_is_said():
    data = bg.load_dataset("epilepsy")
    tight = {"visit": bg.Normal(-0.05, 0.02), "sd": bg.HalfNormal(0.5)}
    model = bg.glmm("seizures ~ visit + (1|id)", data, "poisson", priors=tight)
    fit = model.fit("laplace")
    post = draws_around(fit)
    (flag,) = [flag for flag in bg.compare(post).flags if flag.kind == "prior"]
    assert flag.rows == ("visit",)
    widths = comparison_flags.prior_width(post)
    # 16th to 84th percentile: 1.989 sds of a normal, .2027 to 1.4051 of a half-normal.
    assert widths["visit"] == pytest.approx(1.989 * 0.02, rel=0.05)
    assert widths["sd(Intercept|id)"] == pytest.approx(0.5 * 1.2024, rel=0.05)
    assert "Intercept" not in widths


def test_widths_of_priors_of_correlations_and_matrices(post):
    widths = comparison_flags.prior_width(post)
    assert widths["cor(Intercept,visit|id)"] == pytest.approx(2 * 0.68, rel=0.05)  # uniform
    data = bg.load_dataset("epilepsy")
    wishart = {"id": bg.InverseWishart(4, 1.0), "b": bg.Flat()}
    model = bg.glmm("seizures ~ visit + (visit|id)", data, "poisson", priors=wishart)
    widths = comparison_flags.prior_width(SimpleNamespace(model=model))
    assert set(widths) == {*model.names.sd, *model.names.cor}


def test_a_variance_of_zero_is_said(fit):
    outcome = replace(fit.outcome, boundary=np.array([False, True, True]))
    zero = replace(fit, outcome=outcome)
    found = bg.compare(draws_around(fit), zero)
    (flag,) = [flag for flag in found.flags if flag.kind == "zero variance"]
    assert flag.rows == ("sd(visit|id)",)
    assert "estimated as 0" in flag.sentence and "the posterior reaches to" in flag.sentence


def test_no_maximum_and_no_convergence_are_said(fit, post):
    outcome = replace(fit.outcome, unbounded=("visit separates seizures: no maximum",))
    found = bg.compare(post, replace(fit, outcome=outcome))
    (flag,) = [flag for flag in found.flags if flag.kind == "no maximum"]
    assert flag.rows == ("visit",)
    assert "difference" not in kinds(found) and "agrees" not in kinds(found)
    lost = bg.compare(post, replace(fit, outcome=replace(fit.outcome, converged=False)))
    assert "not converged" in kinds(lost)
    assert "laplace: NOT converged: the optimizer stopped" in " ".join(str(lost).split())


def test_chains_that_have_not_converged_are_said(fit):
    post = draws_around(fit)
    values = {**post.values, "beta": post.values["beta"].copy()}
    values["beta"][0] += 5.0
    found = bg.compare(replace(post, values=values), fit)
    assert "chains have NOT converged" in str(found)


def binary(sd, levels=120, rows=4, seed=0):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), rows)
    x = rng.normal(size=g.size)
    eta = x + sd * rng.normal(size=levels)[g]
    y = (rng.uniform(size=g.size) < 1 / (1 + np.exp(-eta))) * 1
    return bg.glmm("y ~ x + (1|g)", {"y": y, "x": x, "g": g}, "bernoulli")


def test_large_sds_of_binary_data_warn_of_the_approximation():
    model = binary(3.0)
    fit = model.fit("laplace")
    large = kinds(bg.compare(draws_around(fit), fit))
    assert "laplace bias" in large
    nodes = replace(fit, outcome=replace(fit.outcome, method="aghq", nodes=9))
    assert "few nodes" in kinds(bg.compare(nodes))
    many = replace(fit, outcome=replace(fit.outcome, method="aghq", nodes=25))
    assert not kinds(bg.compare(many)) & {"few nodes", "laplace bias"}
    pseudo = replace(fit, outcome=replace(fit.outcome, method="rspl", restricted=True))
    assert "pseudo-likelihood bias" in kinds(bg.compare(pseudo))
    small = binary(0.6).fit("laplace")
    assert "laplace bias" not in kinds(bg.compare(small))


def test_maximum_likelihood_with_few_levels_is_said():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(6), 10)
    y = rng.normal(size=6)[g] + rng.normal(size=60)
    fit = bg.glmm("y ~ 1 + (1|g)", {"y": y, "g": g}).fit("laplace")
    post = draws_around(fit, 0.5)
    (flag,) = [flag for flag in bg.compare(post, fit).flags if flag.kind == "ml bias"]
    assert flag.rows == ("sd(Intercept|g)",) and "REML" in flag.sentence
    restricted = replace(fit, outcome=replace(fit.outcome, method="reml", restricted=True))
    assert "ml bias" not in kinds(bg.compare(post, restricted))


# --- what is printed and saved -------------------------------------------------------------------


def test_the_printed_table_is_aligned_and_narrow(post, fit):
    text = str(bg.compare(post, fit, fit, fit, fit, fit))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    headings = [line for line in lines if line.split()[:1] == ["posterior"]]
    assert len(headings) > 1  # the rest stands below, again beside the posterior
    assert sum(line.count("laplace") for line in headings) == 5
    rows = [line for line in lines if line.strip().startswith("visit ")]
    assert len({line.index("(") for line in rows}) == 1


def test_records_are_plain_json(post, fit):
    outcome = replace(fit.outcome, boundary=np.array([False, True, True]))
    found = bg.compare(post, replace(fit, outcome=outcome))
    record = json.loads(json.dumps(found.records(), allow_nan=False))
    assert record["methods"] == ["posterior", "laplace"]
    zero = [r for r in record["rows"] if r["parameter"] == "sd(visit|id)"][1]
    assert zero["estimate"] == 0.0 and zero["se"] is None
    assert {"kind", "method", "rows", "sentence"} == set(record["flags"][0])


# --- plots ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"scale": "sd"}, {"log": True}])
def test_the_forest_has_a_row_a_parameter(post, fit, tmp_path, options):
    pytest.importorskip("matplotlib")
    found = bg.compare(post, fit)
    path = tmp_path / "forest.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = found.plot(path, **options)
    assert path.read_bytes().startswith(b"\x89PNG")
    labels = [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    assert labels == list(found.rows)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["posterior", "laplace"]
    if options.get("log"):
        assert [a.get_xscale() for a in figure.axes].count("log") == 2


def test_limits_far_outside_end_in_arrows(post, fit):
    wide = replace(fit, outcome=replace(fit.outcome, covariance=1e4 * fit.outcome.covariance))
    figure = bg.compare(post, wide, rows="visit").plot()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    assert high - low < 20 * fit.se[fit.names.index("visit")]
    assert {line.get_marker() for line in axes.lines} >= {"<", ">"}


@pytest.mark.parametrize("log", [False, True])
def test_rows_without_numbers_leave_their_place_empty(fit, log):
    outcome = replace(fit.outcome, boundary=np.array([False, True, True]))
    zero = replace(fit, outcome=outcome)  # an sd of 0 without limits, a correlation that is lost
    figure = bg.compare(zero, zero).plot(log=log)
    assert len(figure.axes) == len(fit.names)


def test_a_forest_that_nobody_could_read_is_refused(post, fit):
    with pytest.raises(bg.DataError, match="cannot be read"):
        bg.compare(post, fit, u=True).plot()
    with pytest.raises(bg.DataError, match="'value' or 'sd'"):
        bg.compare(post, fit).plot(scale="log")


def test_caterpillars_are_sorted(fit, tmp_path):
    figure = fit.plot_effects(path=tmp_path / "effects.png")
    assert [axes.get_title() for axes in figure.axes] == ["Intercept", "visit"]
    order = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    by_mode = np.argsort(fit.effects["id"][:, 0], kind="stable")
    assert order == [fit.model.design.factors[0].levels[i] for i in by_mode]
    with pytest.raises(bg.DataError, match="no group 'nobody'; there are id"):
        fit.plot_effects("nobody")


def test_thousands_of_levels_are_a_band(fit, monkeypatch):
    monkeypatch.setattr(fit_plots, "NAMED_LEVELS", 10)
    assert not fit.plot_effects().axes[0].get_yticks().size
    monkeypatch.setattr(fit_plots, "LINE_LEVELS", 10)
    axes = fit.plot_effects().axes[0]
    assert "59 levels of id" in axes.get_ylabel()
    assert len(axes.collections) == 1


@pytest.mark.parametrize("kind", ["pearson", "deviance", "response"])
def test_residuals_are_plotted_against_the_linear_predictor(fit, kind):
    (axes,) = fit.plot_residuals(kind).axes
    shown = axes.lines[0].get_xydata()
    np.testing.assert_array_equal(shown[:, 0], fit.fitted("link"))
    np.testing.assert_array_equal(shown[:, 1], fit.residuals(kind))


def test_rows_that_count_otherwise_are_said(fit, model):
    """An offset stands in no name of a parameter, but moves the intercept."""
    made = replace(model.design, offset=np.full(len(model.design.offset), 2.0))
    other = replace(fit, model=replace(model, design=made))
    (flag,) = [f for f in bg.compare(fit, other).flags if f.kind == "other model"]
    assert "with other offset: the differences are of models" in flag.sentence
    assert not [f for f in bg.compare(fit, fit).flags if f.kind == "other model"]


def test_each_model_is_named_where_they_differ_and_links_are_not_compared():
    data = bg.load_dataset("cbpp")
    formula = "incidence | trials(size) ~ factor(period) + (1 | herd)"
    short = "incidence | trials(size) ~ 1 + (1 | herd)"
    logit, probit, small = (
        bg.glmm(f, data, family="binomial", link=link).fit()
        for f, link in ((formula, "logit"), (formula, "probit"), (short, "logit"))
    )
    found = bg.compare(logit, probit, small, names=["one", "two", "three"])
    text = str(found)
    for name, of, link in (("one", formula, "logit"), ("two", formula, "probit")):
        assert f"{name}: {of}   [binomial, {link} link]" in text
    assert f"three: {short}   [binomial, logit link]" in text
    assert "No differences of two from one" in text
    assert np.all(np.isnan(found.difference[:, 1]))
    assert np.isfinite(found.difference[0, 2])
    assert not [f for f in found.flags if f.method == "two" and f.kind in ("difference", "agrees")]
    assert "No differences" not in str(bg.compare(logit, small))
    assert str(bg.compare(logit, logit)).startswith(f"{formula}   [binomial, logit link]")
