"""Least-squares means: cell means by hand, differences, scales, what stands at its mean."""

import numpy as np
import pytest
import results
from scipy import stats
from scipy.special import expit

import bayesglmm as bg
from bayesglmm.grid import Grid

# Cells of the depression model by hand: one, severe, new, w2, w4, new:w2, new:w4.
WEEKS = {"1": (0, 0), "2": (1, 0), "4": (0, 1)}


def cell(new: float, week: str) -> np.ndarray:
    w2, w4 = WEEKS[week]
    return np.array([1, 0.5, new, w2, w4, new * w2, new * w4])


def test_means_of_two_factors_are_their_cells():
    fit = results.fit("depression")
    made = fit.means("treat * week")
    L = np.array([cell(new, week) for week in WEEKS for new in (0, 1)])
    assert made.names[:3] == (
        "treat[standard]:week[1]",
        "treat[new]:week[1]",
        "treat[standard]:week[2]",
    )
    np.testing.assert_allclose(made.estimate, L @ fit.beta)
    np.testing.assert_allclose(made.se, np.sqrt(np.diag(L @ fit.beta_covariance @ L.T)))
    assert list(made.frame().columns) == ["estimate", "se", "2.5%", "97.5%"]
    assert "diagnose averaged over 2 levels" in str(made)
    assert "effects at 0" in str(made)


def test_a_factor_is_averaged_over_the_others_with_equal_weights():
    fit = results.fit("depression")
    L = np.array([np.mean([cell(new, week) for week in WEEKS], axis=0) for new in (0, 1)])
    np.testing.assert_allclose(fit.means("treat").estimate, L @ fit.beta)
    np.testing.assert_allclose(fit.means(["treat"]).estimate, L @ fit.beta)


def test_levels_may_be_fixed_or_chosen():
    fit = results.fit("depression")
    at = fit.means("treat", at={"week": 4, "diagnose": "severe"})
    row = cell(1, "4")
    row[1] = 1.0
    np.testing.assert_allclose(at.estimate[1], row @ fit.beta)
    some = fit.means("week", at={"week": [1, 4], "treat": "new"})
    assert some.names == ("week[1]", "week[4]")
    np.testing.assert_allclose(some.estimate, [cell(1, w) @ fit.beta for w in ("1", "4")])


def test_numbers_stand_at_their_means_and_functions_of_them_there():
    fit = results.fit("epilepsy")
    data = results.data("epilepsy")
    base, age, visit = (np.mean(data[name]) for name in ("base", "age", "visit"))
    row = np.array([1, np.log(base), 1, np.log(age), visit, np.log(base)])
    made = fit.means("treat")
    np.testing.assert_allclose(made.estimate[1], row @ fit.beta)
    assert "base at its mean" in str(made)
    there = fit.means("treat * base", at={"base": [8, 64]})
    assert there.names[2] == "treat[placebo]:base=64"
    row[[1, 5]] = np.log(64)
    np.testing.assert_allclose(there.estimate[3], row @ fit.beta)


def test_response_scale_is_the_inverse_link_with_its_delta_errors():
    fit = results.fit("depression")
    link, shown = fit.means("week"), fit.means("week", scale="response")
    mu = expit(link.estimate)
    np.testing.assert_allclose(shown.estimate, mu)
    np.testing.assert_allclose(shown.se, mu * (1 - mu) * link.se)
    for a, b in zip(shown.limits, link.limits, strict=True):
        np.testing.assert_allclose(a, expit(b))


def test_a_falling_link_keeps_limits_in_order():
    model = bg.glmm(
        "y ~ f",
        {"y": np.array([1.0, 2, 3, 4, 5, 7, 3, 2]), "f": ["a", "b"] * 4},
        "gamma",
        link="inverse",
    )
    low, high = model.fit("glm").means("f", scale="response").limits
    assert np.all(low < high)


def test_pairs_are_differences_of_means_with_their_covariance():
    fit = results.fit("cbpp")
    made = fit.means("period", pairwise=True)
    assert made.names[:2] == ("period[1] - period[2]", "period[1] - period[3]")
    V, b = fit.beta_covariance, fit.beta
    np.testing.assert_allclose(made.estimate[:3], -b[1:])
    np.testing.assert_allclose(made.estimate[3], b[1] - b[2])
    np.testing.assert_allclose(made.se[3], np.sqrt(V[1, 1] + V[2, 2] - 2 * V[1, 2]))
    odds = fit.means("period", pairwise=True, exponentiate=True)
    np.testing.assert_allclose(odds.estimate, np.exp(made.estimate))
    assert odds.names[0] == "period[1] / period[2]"


def test_bonferroni_widens_limits_and_holm_only_changes_p():
    fit = results.fit("cbpp")
    plain = fit.means("period", pairwise=True)
    wide = fit.means("period", pairwise=True, adjust="bonferroni")
    np.testing.assert_allclose(wide.p_value, np.minimum(1, 6 * plain.p_value))
    half = stats.norm.ppf(1 - 0.025 / 6) * plain.se
    np.testing.assert_allclose(wide.limits[1], plain.estimate + half)
    holm = fit.means("period", pairwise=True, adjust="holm")
    assert np.all(holm.p_value <= wide.p_value)
    np.testing.assert_allclose(holm.limits, plain.limits)
    assert "Holm" in str(holm)


def test_pairs_within_levels_of_another_factor():
    fit = results.fit("depression")
    made = fit.means("treat | week", pairwise=True)
    assert made.names == tuple(f"treat[standard] - treat[new] @ week[{w}]" for w in WEEKS)
    np.testing.assert_allclose(
        made.estimate, [(cell(0, w) - cell(1, w)) @ fit.beta for w in WEEKS], atol=1e-12
    )


def test_pairs_on_the_response_scale_are_differences_of_probabilities():
    fit = results.fit("depression")
    made = fit.means("treat", pairwise=True, scale="response")

    def risk(beta: np.ndarray) -> float:
        L = [np.mean([cell(new, week) for week in WEEKS], axis=0) for new in (0, 1)]
        return expit(L[0] @ beta) - expit(L[1] @ beta)

    slope = [(risk(fit.beta + h) - risk(fit.beta - h)) / 2e-6 for h in 1e-6 * np.eye(7)]
    np.testing.assert_allclose(made.estimate, [risk(fit.beta)])
    np.testing.assert_allclose(made.se, [np.sqrt(slope @ fit.beta_covariance @ slope)], rtol=1e-6)


def test_degrees_of_freedom_are_those_of_the_effect():
    # SAS's LSMEANS have those of the effect; the intercept's 5 would be those of subjects.
    fit = results.with_df(results.fit("depression"), [5, 30, 40, 50, 50, 60, 60])
    for made in (fit.means("treat"), fit.means("treat", pairwise=True)):
        np.testing.assert_array_equal(made.df, 40)
    np.testing.assert_array_equal(fit.means("week", scale="response").df, 50)
    np.testing.assert_array_equal(fit.means("diagnose | week", pairwise=True).df, 30)
    np.testing.assert_array_equal(fit.means("treat * week").df, 60)
    np.testing.assert_array_equal(fit.means("diagnose * treat").df, 30)
    np.testing.assert_array_equal(fit.means("diagnose", at={"diagnose": "mild"}).df, 30)


def test_means_of_a_posterior_are_draws():
    fit = results.fit("depression")
    post = results.posterior(fit.model, fit.beta, fit.beta_covariance)
    made = post.means("treat | week", pairwise=True, scale="response")
    eta = [post.values["beta"] @ cell(new, "2") for new in (0, 1)]
    np.testing.assert_allclose(made.draws[..., 1], expit(eta[0]) - expit(eta[1]))
    assert "P(>0)" in made.frame()
    assert "P(>0)" not in post.means("treat").frame()


def test_weights_count_in_the_means_of_numbers():
    data = {"y": np.array([1.0, 2, 3, 5]), "x": np.array([0.0, 1, 2, 9]), "f": ["a", "b"] * 2}
    weights = np.array([1.0, 2, 3, 0])
    model = bg.glmm("y ~ x + f", data, weights=weights)
    assert Grid(model.design).variables["x"].mean == (2 + 6) / 6
    assert model.design.frozen.ranges["x"] == (0.0, 2.0)


@pytest.mark.parametrize(
    ("of", "options", "words"),
    [
        ("tret", {}, "did you mean 'treat'"),
        ("case", {}, "no predictor 'case'"),
        ("", {}, "need a factor"),
        ("treat * treat", {}, "twice"),
        ("treat", {"at": {"week": 3}}, "no level '3'"),
        ("treat", {"scale": "odds"}, "'link' or 'response'"),
        ("treat", {"adjust": "holm"}, "pairwise"),
        ("treat", {"adjust": "tukey", "pairwise": True}, "'bonferroni'"),
        ("treat", {"exponentiate": True}, "pairwise=True"),
        ("treat", {"at": {"treat": "new"}, "pairwise": True}, "one level"),
    ],
)
def test_impossible_means_are_refused(of, options, words):
    with pytest.raises(bg.DataError, match=words):
        results.fit("depression").means(of, **options)


def test_a_number_needs_values_and_finite_ones():
    fit = results.fit("epilepsy")
    with pytest.raises(bg.DataError, match="say where"):
        fit.means("base")
    with pytest.raises(bg.DataError, match="number"):
        fit.means("treat", at={"base": "many"})


def test_a_posterior_has_no_adjustment():
    fit = results.fit("depression")
    post = results.posterior(fit.model, fit.beta, fit.beta_covariance)
    with pytest.raises(bg.DataError, match="posterior"):
        post.means("treat", pairwise=True, adjust="holm")


def test_a_level_outside_of_zero_and_one_is_refused():
    with pytest.raises(ValueError, match="level"):
        results.fit("depression").means("treat", level=95)


def random_posterior(model, **values):
    p = len(model.names.fixed)
    return results.posterior(model, np.linspace(-1, 1, p), 0.01 * np.eye(p), **values)


def test_a_model_without_intercept_has_its_coefficients_as_means():
    model = bg.glmm("Mate ~ 0 + Cross + (1 | Female)", bg.load_dataset("salamander"), "bernoulli")
    post = random_posterior(model)
    np.testing.assert_allclose(post.means("Cross").draws, post.values["beta"], atol=1e-12)
    both = post.contrasts("Cross[R/R] - Cross[W/W]").draws[..., 0]
    np.testing.assert_allclose(both, post.values["beta"][..., 0] - post.values["beta"][..., 3])


def test_a_number_may_also_be_a_factor():
    model = results.model("epilepsy", "seizures ~ factor(visit) + visit:base + (1 | id)")
    post = random_posterior(model)
    beta = post.values["beta"]
    made = post.means("visit", at={"base": 3})
    assert made.names == ("visit[1]", "visit[2]", "visit[3]", "visit[4]")
    np.testing.assert_allclose(made.draws[..., 2], beta[..., 0] + beta[..., 2] + 9 * beta[..., 4])
    np.testing.assert_allclose(post.means("factor(visit)", at={"base": 3}).draws, made.draws)


def test_functions_of_the_user_have_to_be_given_again():
    functions = {"half": lambda x: x / 2}
    model = bg.glmm(
        "seizures ~ half(base) * treat + (1 | id)",
        results.data("epilepsy"),
        "poisson",
        functions=functions,
    )
    post = random_posterior(model)
    beta = post.values["beta"]
    made = post.means("treat", at={"base": 8}, functions=functions)
    np.testing.assert_allclose(made.draws[..., 0], beta[..., 0] + 4 * beta[..., 1])
    with pytest.raises(bg.DataError, match="calls half"):
        post.means("treat")


def test_a_grid_that_would_be_too_large_is_refused():
    from bayesglmm import grid

    model = results.model("depression")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "MAX_ROWS", 5)
        with pytest.raises(bg.DataError, match="Fix some"):
            random_posterior(model).means("treat")
