"""Contrasts: texts and numbers to combinations, the algebra of fits, the draws of posteriors."""

import numpy as np
import pytest
import results
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import bayesglmm as bg
from bayesglmm.combinations import read
from bayesglmm.errors import DataError
from bayesglmm.quantities import adjusted

DEPRESSION = (
    "Intercept",
    "diagnose[severe]",
    "treat[new]",
    "factor(week)[2]",
    "factor(week)[4]",
    "treat[new]:factor(week)[2]",
    "treat[new]:factor(week)[4]",
)


def row(**coefficients: float) -> np.ndarray:
    """Return the row of a contrast in the depression model; _2 and _4 are the interactions."""
    places = {"one": 0, "severe": 1, "new": 2, "w2": 3, "w4": 4, "n2": 5, "n4": 6}
    made = np.zeros(7)
    for name, value in coefficients.items():
        made[places[name]] = value
    return made


def design():
    return results.model("depression").design


# --- texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("treat[new] + treat[new]:factor(week)[2]", row(new=1, n2=1)),
        ("treat + treat:week2", row(new=1, n2=1)),
        ("week[4]:treat - treat", row(new=-1, n4=1)),
        ("treat : week2", row(n2=1)),
        ("treat[ 'new' ]:factor(week)[4]", row(n4=1)),
        ("treatnew", row(new=1)),
        ("new + new:week2", row(new=1, n2=1)),
        ("-(treat + 2 * treat:week2) / 4", row(new=-0.25, n2=-0.5)),
        ("treat*2/4 - -1e0*diagnose", row(new=0.5, severe=1)),
        ("(Intercept) + .5*(week2+week4)", row(one=1, w2=0.5, w4=0.5)),
        ("Intercept", row(one=1)),
        ("(1 + 2) * (diagnose)", row(severe=3)),
        # A reference level's coefficient is 0 by the coding.
        ("treat[new] - treat[standard]", row(new=1)),
        ("treat[new]:week1 + diagnose", row(severe=1)),
    ],
)
def test_text_is_read_as_it_is_meant(text, expected):
    assert design().columns == DEPRESSION
    np.testing.assert_allclose(read(text, design()).L[0], expected)


@pytest.mark.parametrize(
    ("text", "words", "position"),
    [
        ("2 * week", r"factor\(week\)\[2\].* or .*factor\(week\)\[4\]", 4),
        ("treatt", "did you mean 'treat", 0),
        ("treat[newer]", "did you mean 'treat", 0),
        ("zzzzzz", "there are 'Intercept'", 0),
        ("1 + treat", "a number alone", 0),
        ("treat - 1", "a number alone", 8),
        ("3", "a number alone", 0),
        ("treat * treat", "multiplied by each other", 8),
        ("2 / treat", "only a number", 4),
        ("treat / 0", "only a number", 8),
        ("(treat", "not closed", 0),
        ("treat)", "unexpected", 5),
        ("treat[new", "not closed", 0),
        ("treat diagnose", "unexpected", 6),
        ("", "ends where", 0),
        ("treat +", "ends where", 7),
        ("__import__('os')", "no coefficient", 0),
        ("-" * 60 + "treat", "too deeply", 50),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text, words, position):
    with pytest.raises(bg.FormulaError, match=words) as caught:
        read(text, design())
    assert caught.value.position == position


@given(st.text(alphabet="treat[new]:wk24()+-*/. 13Intercp'`\\\n", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text):
    try:
        made = read(text, design())
    except (bg.FormulaError, bg.DataError):
        return
    assert made.L.shape == (1, 7)
    assert np.all(np.isfinite(made.L))


@given(st.lists(st.floats(-9, 9).map(lambda x: round(x, 3)), min_size=7, max_size=7))
@settings(max_examples=50, deadline=None)
def test_text_dict_and_numbers_agree(numbers):
    if not any(numbers):
        return
    text = " + ".join(f"{c!r} * {name}" for c, name in zip(numbers, DEPRESSION, strict=True))
    made = read(
        {"text": text, "dict": dict(zip(DEPRESSION, numbers, strict=True)), "numbers": numbers},
        design(),
    )
    np.testing.assert_allclose(made.L, np.tile(numbers, (3, 1)), atol=1e-12)


def test_names_with_operators_in_them():
    model = bg.glmm(
        "y ~ I(x^2) * f + `a b`",
        {
            "y": np.arange(12.0),
            "x": np.arange(12.0) % 5,
            "f": ["a - b", "a + b:c", "x[1]"] * 4,
            "a b": np.arange(12.0) ** 2 % 7,
        },
    )
    for k, name in enumerate(model.design.columns):
        np.testing.assert_array_equal(read(name, model.design).L[0], np.eye(6 + 1)[k])
    both = read("I(x^2):f[x[1]] - `a b` / 2", model.design).L[0]
    assert both[-1] == 1.0 and both[model.design.columns.index("`a b`")] == -0.5


@pytest.mark.parametrize(
    ("rows", "labels", "words"),
    [
        (np.eye(3), None, "7 numbers"),
        ({"a": [1, 2]}, None, "7 numbers"),
        ({"a": [np.nan] * 7}, None, "finite"),
        (np.eye(7), ["a"], "labels"),
        (["treat", "treat"], None, "different"),
        ({"a": "treat"}, ["a"], "twice"),
        ("treat - treat", None, "cancels"),
        ([], None, "no contrast"),
    ],
)
def test_what_cannot_be_used_is_refused(rows, labels, words):
    with pytest.raises(bg.DataError, match=words):
        read(rows, design(), labels)


# --- fits ----------------------------------------------------------------------------------------


def test_estimates_errors_and_tests_are_those_of_the_algebra():
    fit = results.fit("depression")
    L = np.array([row(new=1), row(new=1, n2=1), row(new=1, n4=1)])
    made = fit.contrasts({"w1": "treat", "w2": "treat + treat:week2", "w4": L[2]}, level=0.9)
    se = np.sqrt(np.diag(L @ fit.beta_covariance @ L.T))
    frame = made.frame()
    assert list(frame.columns) == ["estimate", "se", "z", "p", "5%", "95%"]
    np.testing.assert_allclose(frame["estimate"], L @ fit.beta)
    np.testing.assert_allclose(frame["se"], se)
    np.testing.assert_allclose(frame["p"], 2 * stats.norm.sf(np.abs(L @ fit.beta / se)))
    np.testing.assert_allclose(frame["5%"], L @ fit.beta - stats.norm.ppf(0.95) * se)


def test_exponentiated_limits_are_those_of_the_link_scale():
    fit = results.fit("depression")
    plain = fit.contrasts(["treat + treat:week4"]).frame()
    ratio = fit.contrasts(["treat + treat:week4"], exponentiate=True).frame()
    for column in ("estimate", "2.5%", "97.5%"):
        np.testing.assert_allclose(ratio[column], np.exp(plain[column]))
    np.testing.assert_allclose(ratio["se"], np.exp(plain["estimate"]) * plain["se"])
    np.testing.assert_allclose(ratio["p"], plain["p"])


def test_published_odds_ratios():
    # SAS GLIMMIX, method RSPL: new against standard at weeks 1, 2, 4.
    texts = {"week 1": "new + new:week1", "week 2": "new + new:week2", "week 4": "new"}
    made = results.published().contrasts(texts, exponentiate=True)
    expected = [
        [0.9461, 0.5888, 1.5201],
        [2.5780, 1.6250, 4.0899],
        [7.7178, 4.2318, 14.0757],
    ]
    frame = made.frame()[["estimate", "2.5%", "97.5%"]]
    np.testing.assert_allclose(frame, expected, atol=6e-5)
    assert "odds ratio" in str(made)


def test_degrees_of_freedom_are_the_least_of_those_involved():
    fit = results.fit("depression")
    df = np.array([337.0, 337, 336, 676, 676, 676, 676])
    made = results.with_df(fit, df).contrasts({"a": "treat + treat:week2", "b": "week2 - week4"})
    np.testing.assert_array_equal(made.df, [336, 676])
    frame = made.frame()
    np.testing.assert_allclose(frame["p"], 2 * stats.t.sf(np.abs(frame["t"]), made.df))
    half = stats.t.ppf(0.975, made.df) * frame["se"]
    np.testing.assert_allclose(frame["97.5%"], frame["estimate"] + half)
    joint = made.joint().columns
    assert joint["den_df"][0] == 336


def test_joint_test_is_wald_and_counts_redundant_rows_once():
    fit = results.fit("depression")
    L = np.array([row(n2=1), row(n4=1)])
    value = L @ fit.beta
    wald = value @ np.linalg.solve(L @ fit.beta_covariance @ L.T, value)
    two = fit.contrasts({"a": L[0], "b": L[1]}).joint().columns
    three = fit.contrasts({"a": L[0], "b": L[1], "c": L[0] - 3 * L[1]}).joint().columns
    for made in (two, three):
        assert made["df"][0] == 2
        np.testing.assert_allclose(made["chi2"][0], wald, rtol=1e-9)
        np.testing.assert_allclose(made["p"][0], stats.chi2.sf(wald, 2), rtol=1e-9)
    by_f = results.with_df(fit, np.full(7, 50.0)).contrasts({"a": L[0], "b": L[1]}).joint()
    np.testing.assert_allclose(by_f.columns["F"][0], wald / 2, rtol=1e-9)
    np.testing.assert_allclose(by_f.columns["p"][0], stats.f.sf(wald / 2, 2, 50), rtol=1e-9)


def test_settings_are_compared_by_the_frozen_design():
    fit = results.fit("epilepsy")
    made = fit.contrasts(
        {"at 8": "treat + log(base):treat * 2.0794415416798357"},
        between={
            "between": ({"treat": "Progabide", "base": 8}, {"treat": "placebo", "base": 8}),
            "base": ({"base": 32, "treat": "placebo"}, {"base": 8, "treat": "placebo"}),
        },
    )
    np.testing.assert_allclose(made.linear[0], made.linear[1], rtol=1e-12)
    np.testing.assert_allclose(made.linear[2], np.log(4) * fit.beta[1], rtol=1e-12)


def test_settings_name_themselves_and_numbers_may_be_levels():
    made = results.fit("depression").contrasts(
        between=({"treat": "new", "week": 2}, {"treat": "standard", "week": 2})
    )
    assert made.names == ("treat=new - treat=standard @ week=2",)
    expected = read("treat + treat:week2", design()).L[0] @ results.fit("depression").beta
    np.testing.assert_allclose(made.linear, [expected])


@pytest.mark.parametrize(
    ("between", "words"),
    [
        (({"treat": "new"},), "pair"),
        (({"treat": "old"}, {"treat": "new"}), "no level 'old'"),
        (({"tret": "new"}, {"treat": "new"}), "did you mean 'treat'"),
        (({"treat": "new"}, {"treat": "new"}), "the same"),
        (({"treat": []}, {"treat": "new"}), "no value"),
    ],
)
def test_impossible_settings_are_refused(between, words):
    with pytest.raises(bg.DataError, match=words):
        results.fit("depression").contrasts(between=between)


def test_nothing_to_compare_is_refused():
    with pytest.raises(bg.DataError, match="need rows"):
        results.fit("depression").contrasts()


def test_bonferroni_and_holm_on_a_worked_example():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(adjusted(p, "bonferroni"), [0.04, 0.16, 0.12, 0.02])
    np.testing.assert_allclose(adjusted(p, "holm"), [0.03, 0.06, 0.06, 0.02])


# --- posteriors ----------------------------------------------------------------------------------


def test_draws_are_combinations_of_the_draws():
    fit = results.fit("depression")
    post = results.posterior(fit.model, fit.beta, fit.beta_covariance)
    made = post.contrasts({"w2": "treat + treat:week2"}, exponentiate=True)
    beta = post.values["beta"]
    np.testing.assert_allclose(made.draws[..., 0], np.exp(beta[..., 2] + beta[..., 5]))
    frame = made.frame()
    assert list(frame.columns) == [
        *("mean", "sd", "median", "2.5%", "97.5%", "P(>1)"),
        *("mcse_mean", "ess_bulk", "ess_tail", "r_hat"),
    ]
    above = (beta[..., 2] + beta[..., 5] > 0).mean()
    assert frame["P(>1)"].iloc[0] == above
    assert "P(>1)" in str(made)


def test_limits_of_a_posterior_may_be_shortest():
    fit = results.fit("depression")
    post = results.posterior(fit.model, fit.beta, fit.beta_covariance)
    frame = post.contrasts("treat", ci_prob=0.9, ci_kind="hdi").frame()
    assert {"hdi_5%", "hdi_95%", "P(>0)"} <= set(frame.columns)


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda f: f.confint(names=["Dayz"]), DataError, "'Dayz'; did you mean 'Days'"),
        (lambda f: f.contrasts({}), DataError, "there is no contrast"),
        (
            lambda f: f.contrasts("Days", exponentiat=True),
            TypeError,
            r"contrasts\(\).*exponentiate",
        ),
        (lambda f: f.means("Days", pairwse=True), TypeError, r"means\(\).*'pairwise'"),
        (lambda f: f.effect_of("Days", ovr="Days"), TypeError, r"effect_of\(\).*'over'"),
        (lambda f: f.effect_of("Days"), TypeError, r"effect_of\(\) needs over"),
        (lambda f: f.plot_effects(sort=True), TypeError, r"plot_effects\(\).*'sort'.*'group'"),
    ],
)
def test_slips_are_answered_in_words(ask, error, words):
    fit = bg.glmm("Reaction ~ Days + (1|Subject)", bg.load_dataset("sleepstudy")).fit("reml")
    with pytest.raises(error, match=words):
        ask(fit)
