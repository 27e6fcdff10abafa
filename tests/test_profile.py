"""Profile likelihood: ends known in closed form, ends that do not exist, lme4's."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ml_references import CASES
from scipy import optimize

import bayesglmm as bg
from bayesglmm import profiles
from bayesglmm.covariance import factors
from bayesglmm.fits import mode, profile

Z = 1.959963984540054
CLOSED = 1e-6  # of a standard error
STEPS = 1e-4
DATA = Path(__file__).parent / "data"


class Counted:
    """An objective that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, theta):
        self.calls += 1
        return self.function(theta)


def with_differences(value):
    """An objective with its gradient by differences of fourth order."""

    def objective(theta):
        gradient = np.empty(theta.size)
        for j in range(theta.size):
            e = STEPS * np.eye(theta.size)[j]
            a, b, c, d = (value(theta + k * e) for k in (-2, -1, 1, 2))
            gradient[j] = (a - 8.0 * b + 8.0 * c - d) / (12.0 * STEPS)
        return value(theta), gradient

    return objective


def fit(objective, start):
    """Maximum and inverse of minus the Hessian, by another optimizer."""
    found = optimize.minimize(
        lambda x: -objective(x)[0], start, jac=lambda x: -objective(x)[1], tol=1e-12
    ).x
    rows = [
        (objective(found - e)[1] - objective(found + e)[1]) / 2e-4
        for e in 1e-4 * np.eye(len(start))
    ]
    return found, np.linalg.inv(0.5 * (np.array(rows) + np.array(rows).T))


def ends(objective, theta, covariance, direction, longest=5.0, **bounds):
    return profile.limits(
        objective,
        theta,
        covariance,
        np.asarray(direction, dtype=float),
        np.full(theta.size, longest),
        Z,
        **bounds,
    )


# ---- closed forms --------------------------------------------------------------------------------


def test_a_quadratic_gives_walds_limits():
    rng = np.random.default_rng(1)
    half = rng.normal(size=(4, 4))
    precision, center = half @ half.T + np.eye(4), rng.normal(size=4)

    def quadratic(theta):
        e = theta - center
        return -0.5 * e @ precision @ e, -precision @ e

    covariance = np.linalg.inv(precision)
    a = rng.normal(size=4)
    counted = Counted(quadratic)
    found = ends(counted, center, covariance, a, longest=1e3)
    se = math.sqrt(a @ covariance @ a)
    np.testing.assert_allclose(found[:2], [a @ center - Z * se, a @ center + Z * se], rtol=1e-7)
    assert found.notes == ()
    # The first guess of each end is right.
    assert counted.calls <= 5


def normal_sample():
    """Mean and log sd of a sample: the profiles of both are known."""
    y = np.random.default_rng(2).normal(3.0, 2.0, 12)
    n, mean, s = y.size, float(y.mean()), float(y.std())

    def value(theta):
        mu, log_sigma = theta
        return -n * log_sigma - 0.5 * n * (s**2 + (mean - mu) ** 2) * math.exp(-2.0 * log_sigma)

    covariance = np.diag([s**2 / n, 0.5 / n])
    return with_differences(value), np.array([mean, math.log(s)]), covariance, n, mean, s


def test_mean_and_sd_of_a_sample():
    objective, theta, covariance, n, mean, s = normal_sample()
    half = s * math.sqrt(math.expm1(Z**2 / n))
    found = ends(objective, theta, covariance, [1, 0])
    np.testing.assert_allclose(found[:2], [mean - half, mean + half], rtol=0, atol=CLOSED)

    def drop(log_sigma):
        r = log_sigma - math.log(s)
        return 2.0 * n * (r + 0.5 * math.expm1(-2.0 * r)) - Z**2

    known = [
        optimize.brentq(drop, math.log(s) + lo, math.log(s) + hi) for lo, hi in ((-2, 0), (0, 2))
    ]
    found = ends(objective, theta, covariance, [0, 1])
    np.testing.assert_allclose(found[:2], known, rtol=0, atol=CLOSED)


def test_linear_functions_of_a_regression_against_another_optimizer():
    rng = np.random.default_rng(3)
    X = np.column_stack([np.ones(25), rng.normal(size=(25, 2))])
    y = rng.poisson(np.exp(X @ [0.2, 0.5, -0.4]))

    def poisson(theta):
        eta = X @ theta
        return float(y @ eta - np.exp(eta).sum()), X.T @ (y - np.exp(eta))

    theta, covariance = fit(poisson, np.zeros(3))
    for a in ([0, 1, 0], [1, -1.5, 0.3]):
        counted = Counted(poisson)
        found = ends(counted, theta, covariance, a)
        assert counted.calls < 40
        null = np.linalg.svd(np.array([a]))[2][1:].T
        for end in found[:2]:
            inside = np.linalg.lstsq(np.array([a]), np.array([end]), rcond=None)[0]
            lowest = optimize.minimize(
                lambda w, i=inside, n=null: -poisson(i + n @ w)[0], np.zeros(2), tol=1e-12
            ).fun
            drop = 2.0 * (poisson(theta)[0] + lowest)
            assert abs(math.sqrt(drop) - Z) < 1e-5


# ---- ends that do not exist ----------------------------------------------------------------------


def variance_component(J: int, total: float):
    """y_i ~ N(0, 1 + s^2), log s: an estimate of 0 where the sum of squares is below J."""

    def objective(theta):
        variance = 1.0 + math.exp(2.0 * theta[0])
        slope = (-0.5 * J + 0.5 * total / variance) * 2.0 * (variance - 1.0) / variance
        return -0.5 * (J * math.log(variance) + total / variance), np.array([slope])

    def drop(log_s, highest):
        return 2.0 * (highest - objective([log_s])[0]) - Z**2

    return objective, drop


def test_the_lower_limit_of_an_sd_is_zero_where_the_data_allow_it():
    objective, drop = variance_component(20, 28.0)
    log_s = 0.5 * math.log(0.4)
    theta, covariance = fit(objective, np.array([log_s]))
    assert abs(theta[0] - log_s) < 1e-5
    found = ends(objective, theta, covariance, [1.0], 1.0, lowest=-9.0)
    assert found.lower == -math.inf and found.notes == ()
    known = optimize.brentq(lambda x: drop(x, objective(theta)[0]), log_s, 5.0)
    assert abs(found.upper - known) < CLOSED


def test_the_upper_limit_of_an_sd_estimated_as_zero():
    objective, drop = variance_component(20, 15.0)
    theta = np.array([-8.0])
    found = ends(objective, theta, np.zeros((1, 1)), [1.0], 1.0, lowest=-7.0)
    known = optimize.brentq(lambda x: drop(x, objective(theta)[0]), -3.0, 5.0)
    assert found.lower == -math.inf
    assert abs(found.upper - known) < 1e-4
    assert found.notes == ()


def test_separation_has_no_limit_on_its_side():
    n = 7

    def separated(theta):
        return -n * math.log1p(math.exp(-theta[0])), np.array([n / (1.0 + math.exp(theta[0]))])

    theta = np.array([18.0])  # where a search would stop
    curve = n * math.exp(-18.0)
    found = ends(separated, theta, np.array([[1.0 / curve]]), [1.0])
    assert found.upper == math.inf
    known = -math.log(math.expm1((0.5 * Z**2 - separated(theta)[0]) / n))
    assert abs(found.lower - known) < 1e-5


# ---- what goes wrong is said ---------------------------------------------------------------------


def test_a_fit_that_was_not_the_maximum_is_found_out():
    objective, theta, covariance, *_ = normal_sample()
    off = theta + [0.5, 0.0]
    found = ends(objective, off, covariance, [1, 0])
    assert math.isnan(found.lower) or math.isnan(found.upper)
    assert found.notes == ("the likelihood is higher elsewhere: the fit had not converged",)


def test_a_likelihood_that_fails_everywhere_gives_nan_and_a_sentence():
    objective, theta, covariance, *_ = normal_sample()

    def fragile(x):
        return objective(x) if np.array_equal(x, theta) else (-math.inf, np.zeros(2))

    found = ends(fragile, theta, covariance, [1, 0])
    assert math.isnan(found.lower) and math.isnan(found.upper)
    assert len(found.notes) == 2 and "could not be maximized" in found.notes[0]


def test_an_end_near_the_edge_of_the_domain_is_found():
    """A Poisson mean with the identity link: nothing at or below 0."""
    y, n = 6.0, 3.0

    def poisson(theta):
        if theta[0] <= 0.0:
            return -math.inf, np.zeros(1)
        return y * math.log(theta[0]) - n * theta[0], np.array([y / theta[0] - n])

    theta = np.array([y / n])
    found = ends(poisson, theta, np.array([[y / n**2]]), [1.0])
    for end, bracket in zip(found[:2], ((1e-3, 2.0), (2.0, 20.0)), strict=True):
        known = optimize.brentq(
            lambda x: 2.0 * (poisson(theta)[0] - poisson(np.array([x]))[0]) - Z**2, *bracket
        )
        assert abs(end - known) < 1e-5


# ---- the curve -----------------------------------------------------------------------------------


def test_the_curve_is_the_signed_root():
    objective, theta, covariance, n, mean, s = normal_sample()
    found = profile.curve(
        objective, theta, covariance, np.array([1.0, 0.0]), np.full(2, 5.0), 2.6, points=8
    )
    r = found.value - mean
    zeta = np.sign(r) * np.sqrt(n * np.log1p((r / s) ** 2))
    np.testing.assert_allclose(found.zeta, zeta, atol=CLOSED)
    inner = np.abs(r) > 0.0
    slope = n * r[inner] / (s**2 + r[inner] ** 2) / zeta[inner]
    np.testing.assert_allclose(found.slope[inner], slope, rtol=1e-5)
    np.testing.assert_allclose(found.slope[~inner], math.sqrt(n) / s, rtol=1e-5)
    np.testing.assert_allclose(found.theta[:, 1], np.log(np.sqrt(s**2 + r**2)), atol=1e-4)
    assert np.all(np.diff(found.value) > 0.0) and found.zeta[0] < -2.6 and found.zeta[-1] > 2.6
    assert 14 <= found.value.size <= 22


def test_the_curve_ends_where_the_signed_root_levels_off():
    objective, _ = variance_component(20, 28.0)
    theta, covariance = fit(objective, np.array([0.5 * math.log(0.4)]))
    found = profile.curve(objective, theta, covariance, np.ones(1), np.ones(1), 2.6, lowest=-9.0)
    assert abs(found.value[0] - -9.0) < 1e-9 and -2.6 < found.zeta[0] < 0.0
    assert found.zeta[-1] > 2.6


# ---- mixed models --------------------------------------------------------------------------------

# confint(profile(fit, maxpts=500, delta.cutoff=1/16)) by lme4 1.1-31 in R 4.2.2; ML by bobyqa with
# rhoend 1e-10, glmer with tolPwrss 1e-12 and rhoend 1e-9 (which still stops 1e-3 se early on epil).
LME4 = {
    "sleepstudy__slope": {
        "sd(Intercept|Subject)": (14.381392735, 37.716054696),
        "cor(Intercept,Days|Subject)": (-0.481492521, 0.685015921),
        "sd(Days|Subject)": (3.801177318, 8.753391932),
        "sigma": (22.898256500, 28.857999199),
        "Intercept": (237.680691198, 265.129518507),
        "Days": (7.358652288, 13.575919633),
    },
    "cbpp__period": {
        "sd(Intercept|herd)": (0.34609295, 1.099936119),
        "Intercept": (-1.90117046, -0.947789148),
        "period[2]": (-1.61673893, -0.407806073),
        "period[3]": (-1.80097587, -0.511580983),
        "period[4]": (-2.50069549, -0.800802582),
    },
    "epil__ri": {
        "sd(Intercept|subject)": (0.4012296021, 0.6343323702),
        "Intercept": (1.6207875165, 2.0409204583),
        "lbase": (0.6221055317, 1.1449405156),
        "trt[progabide]": (-0.6310149672, -0.0421837177),
        "lage": (-0.2140566652, 1.1670580798),
        "V4": (-0.2678410333, -0.0538272729),
        "lbase:trt[progabide]": (-0.0646989736, 0.7440547158),
    },
    # An sd whose limits are 0 and .575: the coefficients' limits have it far from its estimate.
    "depression__timeclass": {
        "sd(Intercept|case)": (0.0, 0.575034599),
        "Intercept": (0.630905183, 1.351763414),
        "diagnose[severe]": (-1.625420549, -1.027709418),
        "treat[new]": (1.464884063, 2.684708397),
        "timef[0]": (-1.419136781, -0.514642137),
        "timef[1]": (-1.066812364, -0.182536891),
        "treat[new]:timef[0]": (-2.892941691, -1.348711734),
        "treat[new]:timef[1]": (-1.868183906, -0.355777842),
    },
}
MAX_SHARE = 1e-3  # of an interval's length


@pytest.mark.reference
@pytest.mark.parametrize("name", LME4)
def test_limits_of_lme4(name, monkeypatch):
    calls = []
    at = mode.Objective.at
    monkeypatch.setattr(mode.Objective, "at", lambda self, x: calls.append(len(x)) or at(self, x))
    made = CASES[name].model().fit("laplace")
    calls.clear()
    found = made.confint(method="profile")
    assert set(found.index) == LME4[name].keys()
    for row, (lower, upper) in LME4[name].items():
        off = np.abs(found.loc[row].to_numpy() - [lower, upper]).max()
        assert off < MAX_SHARE * (upper - lower), row
    # lme4 takes some hundred evaluations of the deviance a parameter, without gradients.
    assert sum(calls) < 100 * len(found)


def small(right: str = "x + (x + w|g)", family: str = "gaussian"):
    rng = np.random.default_rng(5)
    n, J = 180, 15
    g = np.arange(n) % J
    frame = pd.DataFrame({"g": g, "h": np.arange(n) // 30, "x": rng.normal(size=n)})
    frame["w"] = rng.normal(size=n)
    u = rng.normal(size=(J, 3)) @ np.array([[0.9, 0.3, 0.2], [0.0, 0.7, -0.3], [0.0, 0.0, 0.6]])
    eta = 1.0 + 0.5 * frame.x + u[g, 0] + u[g, 1] * frame.x + u[g, 2] * frame.w
    frame["y"] = eta + rng.normal(size=n) if family == "gaussian" else rng.poisson(np.exp(eta / 3))
    return bg.glmm(f"y ~ {right}", frame, family)


def dense(made, restricted: bool):
    """Log-likelihood of a linear mixed model at psi and log sigma, group by group.

    Coefficients at their best, or integrated out.
    """
    data = made.problem.data
    order, J = np.argsort(data.level[0], kind="stable"), int(data.levels[0])
    X = data.obs.X.T[order].reshape(J, -1, data.obs.X.shape[0])
    Z = data.obs.Z.T[order].reshape(J, -1, data.obs.Z.shape[0])
    y = data.obs.y[order].reshape(J, -1, 1)

    def value(theta):
        B = Z @ factors(data.prior.covariance, theta[:-1])
        V = np.exp(2.0 * theta[-1]) * np.eye(y.shape[1]) + B @ np.swapaxes(B, 1, 2)
        half = np.linalg.cholesky(V)
        x = np.linalg.solve(half, X).reshape(y.size, -1)
        e = np.linalg.solve(half, y).ravel()
        rest = e - x @ np.linalg.lstsq(x, e, rcond=None)[0]
        total = -np.log(np.diagonal(half, axis1=1, axis2=2)).sum() - 0.5 * rest @ rest
        return total - 0.5 * np.linalg.slogdet(x.T @ x)[1] * restricted

    return value


def drop_at(value, best: float, theta: np.ndarray, function, end: float) -> float:
    """Signed root where `function` of theta is `end`, by a constrained optimizer."""
    found = optimize.minimize(
        lambda x: -value(x),
        theta,
        method="SLSQP",
        constraints={"type": "eq", "fun": lambda x: function(x) - end},
        options={"ftol": 1e-12, "maxiter": 300},
    )
    return math.sqrt(2.0 * (best + found.fun))


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_variances_of_linear_models_against_dense_algebra(method):
    made = small("x + (x|g)").fit(method)
    model, data = made.model, made.model.problem.data
    value = dense(model, method == "reml")
    theta = made.outcome.theta[data.obs.X.shape[0] :]
    best, table = value(theta), made.confint(method="profile")
    assert all(np.isfinite(table.to_numpy().ravel()))
    assert (method == "ml") == ("x" in table.index)
    cov = data.prior.covariance
    for name, e, back in [
        (model.names.sd[0], 0, lambda v: math.log(v * model.z_scale[0])),
        (model.names.cor[0], 1, math.atanh),
        (model.names.sd[1], 2, lambda v: math.log(v * model.z_scale[1])),
        ("sigma", 3, math.log),
    ]:
        assert e == 3 or (cov.row[e] == cov.col[e]) == name.startswith("sd")
        for end in table.loc[name]:
            zeta = drop_at(value, best, theta, lambda x, e=e: x[e], back(end))
            assert abs(zeta - Z) < 2e-3, name


def test_restricted_likelihood_from_the_full_one():
    made = small("x + w + (x|g)")
    problem = made.problem
    p = problem.data.obs.X.shape[0]
    known = dense(made, True)
    fitted = made.fit("reml")
    full = mode.Objective(problem.rows, problem.data, False)
    restricted = profile.Restricted(full, fitted.outcome.theta[:p])
    theta = fitted.outcome.theta[p:]
    value, gradient = restricted(theta)
    assert abs(value - fitted.outcome.loglik) < 1e-8 * abs(value)
    assert np.abs(gradient).max() < 1e-5
    moved = theta + [0.2, -0.1, 0.1, 0.05]
    _, gradient = restricted(moved)
    _, differences = with_differences(known)(moved)
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-6)
    # Wherever the coefficients are thought to be.
    far = profile.Restricted(full, fitted.outcome.theta[:p] + 3.0)
    assert abs(far(moved)[0] - restricted(moved)[0]) < 1e-9 * abs(value)


def test_every_correlation_of_three_effects():
    made = small().fit("ml")
    data = made.model.problem.data
    p = data.obs.X.shape[0]
    value, theta = dense(made.model, False), made.outcome.theta[p:]
    table = made.confint(method="profile", names=made.model.names.cor)
    assert tuple(table.index) == made.model.names.cor

    def correlation(x, k, l):
        L = factors(data.prior.covariance, x[:-1])
        rows = L / np.linalg.norm(L, axis=1)[:, None]
        return float(rows[k] @ rows[l])

    for name, (k, l) in zip(made.model.names.cor, [(1, 0), (2, 0), (2, 1)], strict=True):
        for end in table.loc[name]:
            assert abs(end) < 0.999
            zeta = drop_at(
                value, value(theta), theta, lambda x, k=k, l=l: correlation(x, k, l), end
            )
            assert abs(zeta - Z) < 2e-3, name


def test_profiles_by_quadrature():
    made = small("x + (1|g)", "poisson")
    one, laplace = made.fit("aghq", nodes=1), made.fit("laplace")
    np.testing.assert_allclose(
        one.confint(method="profile"), laplace.confint(method="profile"), atol=1e-5
    )
    many = made.fit("aghq", nodes=15)
    off = many.confint(method="profile") - laplace.confint(method="profile")
    assert 1e-5 < np.abs(off.to_numpy()).max() < 0.1


def test_generalized_linear_models():
    made = small("x + w", "poisson").fit("glm")
    table = made.confint(method="profile")
    X, y = made.model.design.X, made.model.design.response.y
    for j, name in enumerate(made.names):
        for end in table.loc[name]:
            free = np.delete(X, j, axis=1)
            fixed = X[:, j] * end

            def negative(b, free=free, fixed=fixed):
                eta = fixed + free @ b
                return -(y @ eta - np.exp(eta).sum())

            best = -(y @ (X @ made.beta) - np.exp(X @ made.beta).sum())
            lowest = optimize.minimize(negative, np.delete(made.beta, j), tol=1e-12).fun
            assert abs(math.sqrt(2.0 * (lowest - best)) - Z) < 1e-4


def test_an_sd_of_zero_has_an_upper_limit_only():
    frame = pd.DataFrame({"g": np.repeat(np.arange(30), 4), "y": [0, 1, 0, 1] * 30})
    table = bg.glmm("y ~ 1 + (1|g)", frame, "bernoulli").fit().confint(method="profile")
    lower, upper = table.loc["sd(Intercept|g)"]
    assert lower == 0.0 and 0.01 < upper < 1.0
    narrow = bg.glmm("y ~ 1 + (1|g)", frame, "bernoulli").fit().confint(0.5, "profile")
    assert list(narrow.columns) == ["25%", "75%"]
    assert narrow.loc["sd(Intercept|g)"].iloc[1] < upper


def test_a_size_without_upper_limit():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": np.arange(200) % 20, "y": rng.poisson(3.0, 200)})
    table = bg.glmm("y ~ 1 + (1|g)", frame, "negative_binomial").fit().confint(method="profile")
    lower, upper = table.loc["size"]
    assert upper == math.inf and 1.0 < lower < 1e4


def test_a_correlation_of_one_has_a_limit_on_its_other_side():
    rng = np.random.default_rng(3)
    g, x = np.arange(120) % 12, rng.normal(size=120)
    frame = pd.DataFrame({"g": g, "x": x})
    u = rng.normal(size=12)[g]
    frame["y"] = 1.0 + u + 0.7 * u * x + 0.3 * rng.normal(size=120)
    made = bg.glmm("y ~ x + (x|g)", frame).fit("laplace")
    cor = made.model.names.cor[0]
    lower, upper = made.confint(method="profile", names=[cor]).loc[cor]
    assert 0.5 < lower < 0.9999 and upper == 1.0


def test_what_has_no_profile_is_refused():
    made = small("x + (1|g)")
    with pytest.raises(bg.DataError, match="'x'.*'ml'"):
        made.fit("reml").confint(method="profile", names=["x"])
    with pytest.raises(bg.DataError, match="no row 'z'"):
        made.fit("ml").confint(method="profile", names=["z"])
    with pytest.raises(bg.DataError, match="wald"):
        made.fit("rspl").confint(method="profile")


def test_curve_on_the_users_scale():
    made = small("x + (1|g)").fit("ml")
    name = "sd(Intercept|g)"
    found = profiles.curve(made, name)
    ends = made.confint(method="profile", names=[name]).loc[name]
    np.testing.assert_allclose(np.interp([-Z, Z], found.zeta, found.value), ends, rtol=0.02)
    chords = np.diff(found.zeta) / np.diff(found.value)
    np.testing.assert_allclose(0.5 * (found.slope[1:] + found.slope[:-1]), chords, rtol=0.01)


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_an_sd_that_a_linear_fit_estimates_as_zero(method):
    """The search for it ends far below any sd that matters."""
    frame = pd.read_csv(DATA / "dyestuff2.csv")
    model = bg.glmm("Yield ~ 1 + (1|Batch)", frame)
    found = model.fit(method).confint(method="profile").loc["sd(Intercept|Batch)"]
    assert found.iloc[0] == 0.0 and 1.9 < found.iloc[1] < 2.6
    if method == "ml":
        assert abs(found.iloc[1] - 2.084) < 1e-3  # of lme4


def test_an_sd_of_zero_of_counts_that_vary_less_than_poissons():
    frame = pd.DataFrame({"g": np.repeat(np.arange(12), 8), "y": 5})
    name = "sd(Intercept|g)"
    tables = [
        bg.glmm("y ~ 1 + (1|g)", frame, family).fit("laplace").confint(method="profile")
        for family in ("poisson", "negative_binomial")
    ]
    poisson, binomial = (table.loc[name] for table in tables)
    assert poisson.iloc[0] == binomial.iloc[0] == 0.0
    assert abs(binomial.iloc[1] - poisson.iloc[1]) < 1e-4
