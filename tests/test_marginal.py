"""Marginal means and coefficients: closed forms, arbitrary-precision integrals, simulation."""

import mpmath
import numpy as np
import pytest
import results
from scipy import stats

import bayesglmm as bg
from bayesglmm import averages
from bayesglmm.likelihood_fit import Fit
from bayesglmm.marginal import variances

ETAS = np.array([-12.0, -3, -0.4, 0, 0.7, 2, 9])


def integral(link: str, eta: float, v: float) -> float:
    """Return the link of the mean with 30 digits."""
    s = mpmath.sqrt(v)

    def rest(z):  # 1 - mean
        x = eta + s * z
        return 1 / (1 + mpmath.exp(x)) if link == "logit" else mpmath.exp(-mpmath.exp(x))

    def mean(z):
        x = eta + s * z
        return 1 / (1 + mpmath.exp(-x)) if link == "logit" else -mpmath.expm1(-mpmath.exp(x))

    with mpmath.workdps(30):
        ends = [-40, -20, -12, -8, -5, -3, -1, 0, 1, 3, 5, 8, 12, 20, 40]
        mu, nu = (mpmath.quad(lambda z, f=f: f(z) * mpmath.npdf(z), ends) for f in (mean, rest))
        if link == "logit":
            return float(mpmath.log(mu) - mpmath.log(nu))
        return float(mpmath.log(-mpmath.log(nu) if nu < 0.5 else -mpmath.log1p(-mu)))


@pytest.mark.parametrize("v", [1e-4, 0.3, 1.0, 3.0, 25.0, 80.0])
@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_integrals_are_exact_in_the_middle_and_in_the_tails(link, v):
    etas = ETAS if link == "logit" else ETAS[:-1]
    expected = [integral(link, eta, v) for eta in etas]
    np.testing.assert_allclose(averages.linked(link, etas, v), expected, atol=1e-8)


def test_without_effects_the_mean_is_the_conditional_one():
    for link in ("identity", "log", "probit", "logit", "cloglog"):
        made = averages.linked(link, ETAS[:-1], np.zeros(1))
        np.testing.assert_allclose(made, ETAS[:-1], atol=1e-9)
    np.testing.assert_allclose(averages.linked("sqrt", np.array([2.0]), 0.0), [2.0])


@pytest.mark.parametrize("link", ["identity", "log", "probit", "sqrt", "logit", "cloglog"])
def test_means_are_those_of_simulated_effects(link):
    inverse = bg.families.get(
        {"sqrt": "poisson", "log": "poisson", "identity": "gaussian"}.get(link, "bernoulli"), link
    ).linkinv
    u = np.sqrt(0.6) * stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    eta = np.array([-0.8, 0.2, 1.1]) + (5.0 if link == "sqrt" else 0.0)
    simulated = inverse(eta[:, None] + u).mean(axis=1)
    made = inverse(averages.linked(link, eta, np.array(0.6)))
    np.testing.assert_allclose(made, simulated, rtol=2e-4)


def test_c_is_that_of_zeger_liang_and_albert():
    assert abs(averages.LOGISTIC - 1.7) < 0.001
    assert abs(averages.LOGISTIC**-2 - 0.346) < 0.0002
    eta = np.linspace(-3, 3, 13)
    exact = averages.linked("logit", eta, 2.0)
    near = averages.approximate("logit", eta, np.array(2.0))
    assert 1e-4 < np.abs(exact - near).max() < 0.05
    assert averages.approximate("probit", eta, np.array(2.0)) is None


def test_a_mean_that_does_not_exist_is_refused():
    with pytest.raises(bg.DataError, match="does not exist"):
        averages.linked("inverse", np.ones(1), np.ones(1))


@pytest.mark.parametrize(
    ("family", "link", "phi"),
    [
        ("gaussian", "identity", 1.3),
        ("poisson", "log", 1.0),
        ("negative_binomial", "log", 2.5),
        ("gamma", "log", 3.0),
        ("bernoulli", "logit", 1.0),
        ("bernoulli", "probit", 1.0),
        ("bernoulli", "cloglog", 1.0),
        ("binomial", "logit", 1.0),
    ],
)
def test_variances_are_those_of_simulated_responses(family, link, phi):
    chosen = bg.families.get(family, link)
    rng = np.random.default_rng(7)
    n, v, eta = 400_000, 0.5, 0.4
    trials = np.full(n, 5.0 if family == "binomial" else 1.0)
    y = chosen.draw(rng, eta + np.sqrt(v) * rng.normal(size=n), phi, trials)
    made = averages.response_variance(
        family, link, np.array([eta]), np.array([v]), np.array(phi), trials[:1]
    )
    np.testing.assert_allclose(made, [np.var(y / trials)], rtol=0.03)


def test_poisson_variance_has_its_closed_form():
    eta, v = np.array([-1.0, 0.3, 2.0]), np.array([0.2, 1.0, 1.5])
    mean = np.exp(eta + v / 2)
    made = averages.response_variance("poisson", "log", eta, v, np.ones(1), np.ones(1))
    np.testing.assert_allclose(made, mean + mean**2 * np.expm1(v), rtol=1e-12)


# --- models --------------------------------------------------------------------------------------


def test_variances_of_rows_are_z_sigma_z():
    model = results.model("sleepstudy")
    post = results.posterior(model, np.ones(2), np.eye(2), sd=[24.0, 6.0], cor=[0.3], sigma=25.0)
    z = model.design.terms[0].z
    S = np.array([[24.0**2, 0.3 * 24 * 6], [0.3 * 24 * 6, 36.0]])
    values = [post.values[name].reshape(-1, k)[:2] for name, k in (("sd", 2), ("cor", 1))]
    made = variances(model, (z,), *values)
    np.testing.assert_allclose(made, np.tile(np.einsum("ij,jk,ik->i", z, S, z), (2, 1)))


def crossed(formula: str, family: str, **options):
    """Return a small model of two crossed factors and a number."""
    rng = np.random.default_rng(3)
    n = 120
    data = {
        "y": rng.integers(0, 2, n).astype(float),
        "x": rng.normal(size=n),
        "g": [f"g{k}" for k in rng.integers(0, 8, n)],
        "h": [f"h{k}" for k in rng.integers(0, 6, n)],
    }
    return bg.glmm(formula, data, family, **options)


def test_probit_coefficients_shrink_exactly_by_all_intercepts():
    model = crossed("y ~ x + (1 | g) + (1 | h)", "bernoulli", link="probit")
    post = results.posterior(model, np.array([0.4, 1.2]), 0.01 * np.eye(2), sd=[0.8, 1.5], cor=[])
    made = post.marginal()
    shrunk = post.values["beta"] / np.sqrt(1 + 0.8**2 + 1.5**2)
    np.testing.assert_allclose(made.quantities.draws, shrunk, atol=1e-10)
    assert made.exact and made.approximate is None
    assert "exact" in str(made)
    assert list(made.frame().columns)[-1] == "conditional"


def test_poisson_intercept_grows_by_half_the_variance():
    model = crossed("y ~ x + (1 | g)", "poisson")
    post = results.posterior(model, np.array([0.4, 1.2]), 0.01 * np.eye(2), sd=[0.8], cor=[])
    made = post.marginal()
    np.testing.assert_allclose(made.quantities.draws, post.values["beta"] + [0.32, 0.0], atol=1e-10)
    assert made.exact


def test_logit_coefficients_lie_near_the_approximation():
    model = crossed("y ~ x + (1 | g)", "bernoulli")
    post = results.posterior(model, np.array([0.4, 1.2]), 1e-4 * np.eye(2), sd=[1.5], cor=[])
    made = post.marginal()
    assert not made.exact
    np.testing.assert_allclose(
        made.approximate,
        post.values["beta"].mean(axis=(0, 1)) / np.sqrt(1 + 0.346 * 2.25),
        rtol=1e-3,
    )
    np.testing.assert_allclose(made.quantities.draws.mean(axis=(0, 1)), made.approximate, rtol=0.05)
    assert "c=1.7" in made.frame()


def test_a_saturated_logit_model_has_the_means_of_its_cells():
    fit = results.fit("cbpp")
    made = fit.marginal()
    cells = np.hstack([np.ones((4, 1)), np.eye(4)[:, 1:]])
    v = fit.estimate[4] ** 2
    np.testing.assert_allclose(
        cells @ made.quantities.estimate, averages.linked("logit", cells @ fit.beta, v), atol=1e-9
    )
    assert made.exact


def test_errors_of_marginal_coefficients_are_by_the_delta_method():
    model = crossed("y ~ x + (1 | g)", "bernoulli", link="probit")
    fit = model.fit("laplace")
    made = fit.marginal().quantities
    s, b = fit.estimate[2], fit.beta
    J = np.zeros((2, 3))
    J[:, :2] = np.eye(2) / np.sqrt(1 + s**2)
    J[:, 2] = -b * s * (1 + s**2) ** -1.5
    np.testing.assert_allclose(made.estimate, b / np.sqrt(1 + s**2), rtol=1e-9)
    V = np.nan_to_num(fit.covariance)
    np.testing.assert_allclose(made.se, np.sqrt(np.diag(J @ V @ J.T)), rtol=1e-4)


def test_without_effects_marginal_is_conditional():
    model = results.model("cbpp")
    fit = model.fit("glm")
    assert isinstance(fit, Fit)
    np.testing.assert_allclose(fit.marginal().quantities.estimate, fit.beta, atol=1e-8)
    np.testing.assert_allclose(fit.marginal().quantities.se, fit.se, rtol=1e-4)
    means = fit.marginal_means({"period": ["1", "2"]})
    np.testing.assert_allclose(means.estimate, 1 / (1 + np.exp(-fit.beta[0] - [0, fit.beta[1]])))


def test_means_at_new_rows_need_no_groups_and_count_slopes():
    fit = results.fit("epilepsy")
    at = {"treat": ["placebo", "Progabide"], "base": [8, 30], "age": [20, 30], "visit": [1, 4]}
    made = fit.marginal_means(at)
    assert made.names[0] == "base=8, treat=placebo, age=20, visit=1"
    new = np.array([0.0, 1.0])
    base, age, visit = (np.array(at[name], dtype=float) for name in ("base", "age", "visit"))
    eta = (
        np.column_stack([np.ones(2), np.log(base), new, np.log(age), visit, np.log(base) * new])
        @ fit.beta
    )
    s, t, r = fit.estimate[6:9]
    v = s**2 + 2 * visit * r * s * t + visit**2 * t**2
    np.testing.assert_allclose(made.estimate, np.exp(eta + v / 2))
    spread = fit.marginal_means(at, kind="variance").estimate
    np.testing.assert_allclose(spread, made.estimate + made.estimate**2 * np.expm1(v), rtol=1e-9)


def test_means_of_a_posterior_are_those_of_simulated_groups():
    model = results.model("cbpp")
    beta = results.fit("cbpp").beta
    post = results.posterior(model, beta, 1e-12 * np.eye(4), sd=[0.9], cor=[])
    made = post.marginal_means({"period": ["1", "4"]})
    u = 0.9 * np.random.default_rng(1).normal(size=400_000)
    expected = [np.mean(1 / (1 + np.exp(-(beta[0] + b + u)))) for b in (0, beta[3])]
    np.testing.assert_allclose(made.draws.mean(axis=(0, 1)), expected, rtol=5e-3)
    assert made.draws.shape == (results.CHAINS, results.DRAWS, 2)
    assert len(post.marginal_means().names) == 56


def test_random_slopes_bend_the_marginal_curve():
    # The published form: logit, beta = (3, 1), effects of variance (4, 1), x from -10 to 10.
    rng = np.random.default_rng(5)
    data = {
        "y": rng.integers(0, 2, 60).astype(float),
        "x": np.tile(np.linspace(-10, 10, 20), 3),
        "g": np.repeat(["a", "b", "c"], 20).tolist(),
    }
    model = bg.glmm("y ~ x + (x | g)", data, "bernoulli")
    post = results.posterior(
        model, np.array([3.0, 1.0]), 1e-14 * np.eye(2), sd=[2.0, 1.0], cor=[0.0]
    )
    x = np.array([-10.0, -4, 0, 5, 10])
    made = post.marginal_means({"x": x}).draws.mean(axis=(0, 1))
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    u, v = np.meshgrid(2.0 * nodes, nodes)
    w = np.outer(weights, weights) / (2 * np.pi)
    expected = [np.sum(w / (1 + np.exp(-(3 + u + (1 + v) * at)))) for at in x]
    np.testing.assert_allclose(made, expected, atol=2e-3)  # of the oracle at sd 10
    # Flatter than the curve of a typical group, and not monotone in the odds.
    assert made[0] > 0.1 and made[-1] < 0.9


def test_the_offset_counts_in_marginal_means():
    rng = np.random.default_rng(2)
    data = {
        "y": rng.integers(0, 9, 40).astype(float),
        "t": rng.uniform(1, 3, 40),
        "g": [f"g{k}" for k in range(8)] * 5,
    }
    model = bg.glmm("y ~ 1 + offset(log(t)) + (1 | g)", data, "poisson")
    post = results.posterior(model, np.array([0.3]), 1e-12 * np.eye(1), sd=[0.5], cor=[])
    made = post.marginal_means({"t": [1.0, 2.0]}).draws.mean(axis=(0, 1))
    np.testing.assert_allclose(made, np.exp(0.3 + 0.125) * np.array([1, 2]), rtol=1e-5)
    coefficients = post.marginal().quantities.draws.mean(axis=(0, 1))
    np.testing.assert_allclose(coefficients, [0.425], rtol=1e-5)


def test_draws_do_not_depend_on_the_chunks(monkeypatch):
    from bayesglmm import marginal

    model = crossed("y ~ x + (x | g)", "bernoulli")
    post = results.posterior(
        model, np.array([0.4, 1.2]), 0.01 * np.eye(2), sd=[0.8, 0.4], cor=[0.2]
    )
    whole = post.marginal().quantities.draws
    monkeypatch.setattr(marginal, "CHUNK_VALUES", 1000)
    np.testing.assert_allclose(post.marginal().quantities.draws, whole, atol=1e-9)


def test_what_does_not_fit_is_refused(monkeypatch):
    from bayesglmm import marginal

    fit = results.fit("cbpp")
    with pytest.raises(bg.DataError, match="'mean' or 'variance'"):
        fit.marginal_means(kind="median")
    with pytest.raises(bg.DataError, match="no column 'period'"):
        fit.marginal_means({"perid": ["1"]})
    with pytest.raises(bg.DataError, match="level"):
        fit.marginal_means({"period": ["5"]})
    monkeypatch.setattr(marginal, "MAX_ROWS", 10)
    with pytest.raises(bg.DataError, match="newdata"):
        fit.marginal_means()
