"""Known standard errors, ``y | se(s)``: a Gaussian response without sigma, in meta-analyses."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import bayesglmm as bg

# Trials of BCG vaccine (Colditz et al. 1994): cases and others, vaccinated and not.
BCG = np.array(
    [
        (4, 119, 11, 128),
        (6, 300, 29, 274),
        (3, 228, 11, 209),
        (62, 13536, 248, 12619),
        (33, 5036, 47, 5761),
        (180, 1361, 372, 1079),
        (8, 2537, 10, 619),
        (505, 87886, 499, 87892),
        (29, 7470, 45, 7232),
        (17, 1699, 65, 1600),
        (186, 50448, 141, 27197),
        (5, 2493, 3, 2338),
        (27, 16886, 29, 17825),
    ],
    dtype=float,
)


@pytest.fixture
def trials() -> pd.DataFrame:
    """Log relative risks with their standard errors."""
    a, b, c, d = BCG.T
    y = np.log(a / (a + b)) - np.log(c / (c + d))
    s = np.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))
    return pd.DataFrame({"y": y, "s": s, "trial": np.arange(13), "x": np.arange(13) % 2})


def profile(y: np.ndarray, s: np.ndarray, tau: float, restricted: bool) -> float:
    """Log-likelihood at sd tau, the mean at its best."""
    v = s**2 + tau**2
    mu = (y / v).sum() / (1 / v).sum()
    value = stats.norm.logpdf(y, mu, np.sqrt(v)).sum()
    return value + (0.5 * np.log(2 * np.pi / (1 / v).sum()) if restricted else 0.0)


@pytest.mark.parametrize(("method", "restricted"), [("laplace", False), ("rspl", True)])
def test_meta_analysis_is_the_maximum_of_the_closed_form(trials, method, restricted):
    y, s = trials.y.to_numpy(), trials.s.to_numpy()
    best = optimize.minimize_scalar(
        lambda t: -profile(y, s, np.exp(t), restricted), (-2.0, -0.5), options={"xtol": 1e-12}
    )
    tau = np.exp(best.x)
    v = s**2 + tau**2
    fit = bg.glmm("y | se(s) ~ 1 + (1|trial)", trials).fit(method)
    assert fit.converged and fit.names == ("Intercept", "sd(Intercept|trial)")
    assert fit.estimate == pytest.approx([(y / v).sum() / (1 / v).sum(), tau], rel=1e-6)
    assert fit.se[0] == pytest.approx((1 / v).sum() ** -0.5, rel=1e-6 if restricted else 0.1)
    if restricted:
        # As R's metafor prints: estimate, its error, tau^2.
        printed = [fit.estimate[0], fit.se[0], fit.estimate[1] ** 2]
        assert np.round(printed, 4).tolist() == [-0.7145, 0.1798, 0.3132]
    else:
        assert fit.loglik == pytest.approx(-best.fun, abs=1e-8)


def test_shares_of_variance_are_refused_in_the_words_of_the_formula(trials):
    fit = bg.glmm("y | se(s) ~ 1 + (1|trial)", trials).fit("laplace")
    with pytest.raises(bg.DataError, match="a response with known standard errors has no variance"):
        fit.icc()


def test_weighted_regression_without_effects(trials):
    X = np.column_stack([np.ones(13), trials.x])
    w = trials.s.to_numpy() ** -2.0
    gram = (X.T * w) @ X
    beta = np.linalg.solve(gram, (X.T * w) @ trials.y)
    fit = bg.glmm("y | se(s) ~ x", trials).fit("glm")
    assert fit.estimate == pytest.approx(beta, rel=1e-8)
    assert fit.se == pytest.approx(np.sqrt(np.diag(np.linalg.inv(gram))), rel=1e-8)
    assert fit.loglik == pytest.approx(stats.norm.logpdf(trials.y, X @ beta, trials.s).sum())
    assert fit.residuals("pearson") == pytest.approx(((trials.y - X @ beta) / trials.s).to_numpy())
    assert fit.residuals("deviance") == pytest.approx(fit.residuals("pearson"), rel=1e-6)


def test_log_link_has_no_sigma_either(trials):
    fit = bg.glmm("z | se(s) ~ x", trials.assign(z=np.exp(trials.y)), link="log").fit("glm")
    assert fit.converged and fit.names == ("Intercept", "x")


def test_weights_are_frequencies_beside_the_errors(trials):
    twice = pd.concat([trials, trials[trials.x == 1]])
    weighted = trials.assign(k=1.0 + trials.x)
    one = bg.glmm("y | se(s) ~ x", twice, priors={"b": bg.Normal(0, 9)}).fit("glm")
    other = bg.glmm("y | se(s) + weights(k) ~ x", weighted).fit("glm")
    assert other.estimate == pytest.approx(one.estimate, rel=1e-9)
    assert other.loglik == pytest.approx(one.loglik, rel=1e-12)


def test_posterior_is_the_exact_one(trials, tmp_path):
    """Flat prior on the mean: p(tau | y) is the restricted likelihood times the prior."""
    priors = {"Intercept": bg.Flat(), "sd": bg.HalfNormal(1)}
    model = bg.glmm("y | se(s) ~ 1 + (1|trial)", trials, priors=priors)
    assert "  standard errors of y are known: no sigma" in str(model).splitlines()
    y, s = trials.y.to_numpy(), trials.s.to_numpy()
    tau = np.linspace(0.0, 4.0, 4001)[1:]
    log_density = [profile(y, s, t, True) for t in tau] + stats.halfnorm.logpdf(tau)
    density = np.exp(log_density - np.max(log_density))
    density /= density.sum()
    mean = density @ tau
    sd = np.sqrt(density @ tau**2 - mean**2)
    for sampler in ("gibbs", "nuts"):
        post = model.sample(draws=4000, chains=2, seed=2, sampler=sampler, progress=False)
        row = post.summary().loc["sd(Intercept|trial)"]
        assert abs(row["mean"] - mean) < 4 * row["mcse_mean"]
        assert row["sd"] == pytest.approx(sd, rel=0.08)
    from bayesglmm.pointwise import log_likelihood

    effects = post.values["beta"][0, 5, 0] + post.values["u"]["trial"][0, 5, :, 0]
    want = stats.norm.logpdf(y, effects, s)
    assert log_likelihood(post)[0, 5] == pytest.approx(want, rel=1e-10)
    post.save(tmp_path / "fit.nc")
    again = bg.load(tmp_path / "fit.nc")
    assert again.model.family.name == "gaussian_se"
    assert np.array_equal(again.model.design.response.se, s)


def test_the_family_of_known_errors_needs_them(trials):
    with pytest.raises(bg.DataError, match=r"y \| se\(s\)"):
        bg.glmm("y ~ x", trials, "gaussian_se")
