"""Likelihood-ratio tests: lme4's figures, and refusals of what does not compare."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

import bayesglmm as bg


def sleep(fixed="Days", effects="(1|Subject)", **more):
    data = bg.load_dataset("sleepstudy")
    return bg.glmm(f"Reaction ~ {fixed} + {effects}", data, **more)


@pytest.fixture(scope="module")
def fits():
    return {
        "intercepts": sleep().fit(),
        "slopes": sleep(effects="(Days|Subject)").fit(),
        "apart": sleep(effects="(Days||Subject)").fit(),
        "null": sleep("1").fit(),
    }


def as_reml(fit):
    """The same numbers with the label of a REML fit."""
    return replace(fit, outcome=replace(fit.outcome, method="reml", restricted=True))


def test_sleepstudy_as_lme4_prints_it(fits):
    # lme4 1.1-31, anova(lmer(Reaction ~ Days + (1 | Subject)), lmer(... (Days | Subject)))
    found = bg.anova(fits["slopes"], fits["intercepts"]).frame()
    assert found["npar"].tolist() == [4, 6]
    assert found["AIC"].tolist() == pytest.approx([1802.0786, 1763.9393], abs=1e-3)
    assert found["BIC"].tolist() == pytest.approx([1814.8505, 1783.0971], abs=1e-3)
    assert found["logLik"].tolist() == pytest.approx([-897.0393, -875.9697], abs=1e-3)
    assert found["deviance"].tolist() == pytest.approx([1794.0786, 1751.9393], abs=1e-3)
    assert found["chi2"].iloc[1] == pytest.approx(42.1393, abs=1e-3)
    assert found["df"].iloc[1] == 2
    assert found["p"].iloc[1] == pytest.approx(7.072e-10, rel=1e-3)
    assert np.isnan(found["p"].iloc[0])


def test_a_variance_at_its_boundary_has_the_p_of_the_mixture(fits):
    one = bg.anova(fits["intercepts"], fits["apart"])
    row = one.frame().iloc[1]
    assert row.p_mixture == pytest.approx(0.5 * chi2.sf(row.chi2, 1), rel=1e-10)
    two = bg.anova(fits["intercepts"], fits["slopes"])
    row = two.frame().iloc[1]
    both = 0.5 * (chi2.sf(row.chi2, 1) + chi2.sf(row.chi2, 2))
    assert row.p_mixture == pytest.approx(both, rel=1e-10)
    (note,) = two.notes
    assert "sd(Days|Subject) = 0 lies on the boundary" in note and "conservative" in note
    assert note in " ".join(str(two).split())
    # A correlation and a coefficient are inside their range.
    assert "p_mixture" not in bg.anova(fits["apart"], fits["slopes"]).frame()
    assert not bg.anova(fits["null"], fits["intercepts"]).notes


def test_no_effects_against_effects(fits):
    alone = sleep(effects="1").fit()
    row = bg.anova(alone, fits["intercepts"]).frame().iloc[1]
    assert row["df"] == 1 and row.p_mixture == pytest.approx(row.p / 2)
    several = bg.anova(alone, fits["apart"])
    assert "p_mixture" not in several.frame()
    assert "lie on the boundary" in several.notes[0]


def test_a_sequence_is_sorted_and_named(fits):
    three = bg.anova(fits["slopes"], fits["null"], fits["intercepts"], names=("c", "a", "b"))
    assert three.table.rows == ("a", "b", "c")
    assert three.frame()["df"].tolist()[1:] == [1, 2]
    text = str(three)
    assert "a: Reaction ~ 1 + (1|Subject)" in text
    lines = [line for line in text.splitlines() if line[:2] in ("a ", "b ", "c ")]
    assert [line.split()[0] for line in lines] == ["a", "b", "c"]


def test_models_that_are_not_nested_have_no_test(fits):
    quadratic = sleep("I(Days**2)").fit()
    other = bg.anova(fits["intercepts"], quadratic)
    assert np.isnan(other.frame()["p"]).all()
    assert "as many parameters" in other.notes[0] and "AIC" in other.notes[0]
    crossed = bg.anova(quadratic, fits["slopes"])
    assert "only the smaller has I(Days" in crossed.notes[0]


def test_a_recoded_column_is_nested(fits):
    recoded = sleep("I(2*Days - 7)").fit()
    larger = sleep("Days + I(Days**2)").fit()
    assert not bg.anova(recoded, larger).notes


REFUSED = {
    "family": (lambda: sleep(family="poisson"), "different families"),
    "response": (
        lambda: bg.glmm("log(Reaction) ~ Days + (1|Subject)", bg.load_dataset("sleepstudy")),
        "different responses",
    ),
    "rows": (
        lambda: bg.glmm("Reaction ~ Days + (1|Subject)", bg.load_dataset("sleepstudy").iloc[:90]),
        "180 and 90 rows",
    ),
    "weights": (lambda: sleep(weights=np.full(180, 2.0)), "different weights"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_compare_is_refused(fits, what):
    model, words = REFUSED[what]
    if what == "family":
        data = bg.load_dataset("sleepstudy").assign(Reaction=lambda f: f.Reaction.round())
        one = bg.glmm("Reaction ~ Days + (1|Subject)", data).fit()
        two = bg.glmm("Reaction ~ Days + (1|Subject)", data, "poisson").fit()
    else:
        one, two = fits["slopes"], model().fit()
    with pytest.raises(bg.DataError, match=words):
        bg.anova(one, two)


def test_restricted_likelihoods(fits):
    one, two, null = (as_reml(fits[name]) for name in ("intercepts", "slopes", "null"))
    assert bg.anova(one, two).objective == "REML"
    with pytest.raises(bg.DataError, match=r"REML fits with different fixed effects.*refit=True"):
        bg.anova(null, one)
    with pytest.raises(bg.DataError, match=r"REML and maximum-likelihood.*refit=True"):
        bg.anova(one, fits["slopes"])


def test_refitting_by_maximum_likelihood(fits):
    pair = [sleep(fixed).fit("reml") for fixed in ("1", "Days")]
    again = bg.anova(*pair, refit=True).frame()
    expected = bg.anova(fits["null"], fits["intercepts"]).frame()
    assert again.to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5, nan_ok=True)


def test_pseudo_likelihoods_are_refused(fits):
    pseudo = replace(fits["slopes"], outcome=replace(fits["slopes"].outcome, method="rspl"))
    with pytest.raises(bg.DataError, match="rspl has no likelihood to compare"):
        bg.anova(fits["intercepts"], pseudo)


def test_objectives_that_differ_are_refused():
    data = bg.load_dataset("cbpp")
    smaller, larger = (
        bg.glmm(f"incidence | trials(size) ~ {x} (1|herd)", data, "binomial")
        for x in ("", "factor(period) +")
    )
    with pytest.raises(bg.DataError, match="different objectives"):
        bg.anova(smaller.fit("laplace"), larger.fit("aghq", nodes=5))
    with pytest.raises(bg.DataError, match="different objectives"):
        bg.anova(smaller.fit("aghq", nodes=7), larger.fit("aghq", nodes=5))
    # lme4 1.1-31, anova of the two glmer fits: Chisq 25.60994 on 3 df, p 1.151e-05
    row = bg.anova(smaller.fit("laplace"), larger.fit("laplace")).frame().iloc[1]
    assert (row.chi2, row["df"]) == (pytest.approx(25.60994, abs=2e-3), 3)


def test_one_fit_has_its_terms_tested(fits):
    assert bg.anova(fits["slopes"]).equals(fits["slopes"].type3())


def test_known_standard_errors_have_to_be_the_same():
    data = {"y": np.arange(8.0) % 5, "x": np.arange(8.0), "s": np.full(8, 0.5), "g": [1, 2] * 4}
    one = bg.glmm("y | se(s) ~ 1 + (1|g)", data).fit()
    two = bg.glmm("y | se(s) ~ x + (1|g)", data | {"s": np.full(8, 0.6)}).fit()
    with pytest.raises(bg.DataError, match="different responses"):
        bg.anova(one, two)


def test_a_fit_that_has_not_converged_is_said(fits):
    lost = replace(fits["slopes"], outcome=replace(fits["slopes"].outcome, converged=False))
    with pytest.warns(bg.ConvergenceWarning, match="model 2 has not converged"):
        found = bg.anova(fits["intercepts"], lost)
    assert "model 2 has not converged" in str(found)


def test_a_larger_model_below_the_smaller_is_said(fits):
    outcome = fits["slopes"].outcome
    low = replace(fits["slopes"], outcome=replace(outcome, loglik=outcome.loglik - 40.0))
    found = bg.anova(fits["intercepts"], low)
    assert found.frame()["chi2"].iloc[1] == 0.0
    assert "one of them is not at its maximum" in "\n".join(found.notes)


def test_wrong_arguments(fits):
    with pytest.raises(TypeError, match="needs a fit"):
        bg.anova()
    with pytest.raises(TypeError, match="not a Model"):
        bg.anova(fits["slopes"].model, fits["null"])
    with pytest.raises(bg.DataError, match="1 name for 2 fits"):
        bg.anova(fits["slopes"], fits["null"], names=("a",))
