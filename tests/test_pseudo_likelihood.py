"""Pseudo-likelihood: fixed points by dense algebra, SAS's published tables, R's glmmPQL."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from linear_oracle import dense_sigma, dense_z, likelihood
from references import DATA, csv

import bayesglmm as bg
from bayesglmm.covariance import factors
from bayesglmm.errors import DataError
from bayesglmm.fits.linear import Linear, solve
from bayesglmm.fits.pseudo_likelihood import fit, predictor


def simulated(seed=0, n=300):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "a": rng.integers(0, 12, n),
            "b": rng.integers(0, 20, n),
            "off": rng.normal(size=n) / 5,
            "m": rng.integers(1, 7, n),
        }
    )
    u, v = 0.6 * rng.normal(size=12), 0.5 * rng.normal(size=20)
    eta = 0.4 + 0.5 * data["x"] + u[data["a"]] + v[data["b"]]
    p = 1.0 / (1.0 + np.exp(-eta))
    return data.assign(
        count=rng.poisson(np.exp(eta + data["off"])),
        positive=rng.gamma(3.0, np.exp(eta) / 3.0),
        success=rng.binomial(data["m"], p),
        y=(rng.uniform(size=n) < p) * 1.0,
    )


MODELS = {
    "poisson": ("count ~ x + offset(off) + (1 | a)", "poisson", None),
    "sqrt": ("count ~ x + (1 | a)", "poisson", "sqrt"),
    "binomial": ("success | trials(m) ~ x + (x | b)", "binomial", None),
    "probit": ("success | trials(m) ~ x + (1 | a) + (1 | b)", "binomial", "probit"),
    "cloglog": ("y ~ x + (1 | b)", "bernoulli", "cloglog"),
    "gaussian log": ("positive ~ x + (1 | a)", "gaussian", "log"),
    "gamma": ("positive ~ x + (1 | a) + (1 | b)", "gamma", "log"),
}


def moments(model, eta):
    """Mean, its slope in eta and the variance function, from the family's definition."""
    h = 1e-6
    mu = model.family.linkinv(eta)
    slope = (model.family.linkinv(eta + h) - model.family.linkinv(eta - h)) / (2 * h)
    variance = {
        "poisson": lambda: mu,
        "binomial": lambda: mu * (1 - mu),
        "bernoulli": lambda: mu * (1 - mu),
        "gaussian": lambda: np.ones_like(mu),
        "gamma": lambda: mu**2,
    }[model.family.name]()
    return mu, slope, variance


@pytest.mark.parametrize("method", ["rspl", "mspl"])
@pytest.mark.parametrize("scale", ["fixed", "estimate"])
@pytest.mark.parametrize("name", MODELS)
def test_fit_is_a_fixed_point_of_the_dense_linear_model(name, scale, method):
    formula, family, link = MODELS[name]
    model = bg.glmm(formula, simulated(), family=family, link=link)
    rows, data, start, _, _ = model.problem
    own = model.family.dispersion is not None
    if own and scale == "estimate":
        with pytest.raises(DataError, match="of its own"):
            fit(rows, data, start, method, scale)
        return
    found = fit(rows, data, start, method, scale)
    assert found.converged and found.definite
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, found.theta[p : p + m])
    Z = dense_z(data)
    v = found.modes
    u = np.zeros_like(v)
    for k, l in zip(*np.nonzero(L), strict=True):
        J = data.levels[data.factor[k]]
        own_place, other = data.effect[k], data.effect[l]
        u[own_place : own_place + J] += L[k, l] * v[other : other + J]
    fixed = found.theta[:p] @ data.obs.X
    eta = data.obs.offset + fixed + Z @ u
    mu, slope, variance = moments(model, eta)
    phi = math.exp(found.theta[-1]) if own or scale == "estimate" else 1.0
    per_row = {"gaussian": phi**2, "gamma": 1.0 / phi}.get(family, phi)
    y, w = data.obs.y, data.obs.w
    if family == "gamma":
        y = np.exp(y)
    elif family != "gaussian":
        y = y / w
    z = eta - data.obs.offset + (y - mu) / slope
    Sigma = dense_sigma(data, L)

    def at(move):
        theta = found.theta[p:] + move
        other = dense_sigma(data, factors(data.prior.covariance, theta[:m]))
        of_row = per_row
        if own or scale == "estimate":
            of_row = per_row * math.exp(move[m] * {"gaussian": 2, "gamma": -1}.get(family, 1))
        variances = of_row * variance / (w * slope**2)
        return likelihood(data.obs.X.T, z, Z, other, variances, method == "rspl")[0]

    variances = per_row * variance / (w * slope**2)
    value, beta, covariance, modes = likelihood(
        data.obs.X.T, z, Z, Sigma, variances, method == "rspl"
    )
    np.testing.assert_allclose(beta, found.theta[:p], atol=1e-6)
    np.testing.assert_allclose(modes, u, atol=1e-6)
    np.testing.assert_allclose(covariance, found.covariance[:p, :p], rtol=1e-5, atol=1e-9)
    assert found.loglik == pytest.approx(value, abs=1e-5)
    d, h = found.theta.size - p, 1e-3
    inner = found.covariance[p:, p:]
    moves = h * np.eye(d)
    gradient = np.array([(at(a) - at(-a)) / (2 * h) for a in moves])
    assert np.max(np.abs(gradient) * np.sqrt(np.diag(inner))) < 1e-4
    hessian = [[-(at(a + b) - at(a - b) - at(b - a) + at(-a - b)) for a in moves] for b in moves]
    free = np.flatnonzero(~np.append(found.boundary, np.zeros(d - m, dtype=bool)))
    both = np.ix_(free, free)
    product = inner[both] @ np.array(hessian)[both] / (4 * h * h)
    np.testing.assert_allclose(product, np.eye(free.size), rtol=0, atol=5e-3)


def test_gaussian_identity_is_reml():
    model = bg.glmm("Reaction ~ Days + (Days | Subject)", bg.load_dataset("sleepstudy"))
    rspl, reml = model.fit("rspl"), model.fit("reml")
    np.testing.assert_allclose(rspl.estimate, reml.estimate, rtol=1e-8)
    np.testing.assert_allclose(rspl.se, reml.se, rtol=1e-5)
    assert rspl.loglik == pytest.approx(reml.loglik, abs=1e-8)


def test_a_search_begun_where_the_last_ended_finds_the_same():
    model = bg.glmm("count ~ x + (1 | a)", simulated(), family="poisson")
    data = model.problem.data
    linear = Linear.of(data)
    y, w = np.log(data.obs.y + 0.5), np.ones(data.obs.y.size)
    first = solve(linear, y, w, 300.0, True, True)
    again = solve(linear, y, w, 300.0, True, True, first)
    np.testing.assert_allclose(again.psi, first.psi, rtol=1e-9)
    assert again.evaluations <= 2
    np.testing.assert_allclose(predictor(data, again), predictor(data, first), rtol=1e-8)


def test_frequencies_count_as_observations_of_the_scale():
    data = simulated().assign(k=lambda d: d["m"])
    repeated = data.loc[np.repeat(data.index, data["k"])]
    formula = "count ~ x + (1 | a)"
    one = bg.glmm(formula, data, family="poisson", weights="k").fit("rspl", scale="estimate")
    other = bg.glmm(formula, repeated, family="poisson").fit("rspl", scale="estimate")
    np.testing.assert_allclose(one.estimate, other.estimate, rtol=1e-6)
    np.testing.assert_allclose(one.se, other.se, rtol=1e-5)


# ---- what has no answer --------------------------------------------------------------------------


def test_separation_does_not_converge():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(size=120), "g": np.arange(120) % 10})
    data["y"] = (data["x"] > 0) * 1.0
    with pytest.warns(bg.DataWarning, match="separates"):
        model = bg.glmm("y ~ x + (1 | g)", data, family="bernoulli")
    rows, inner, start, _, _ = model.problem
    found = fit(rows, inner, start)
    assert not found.converged
    assert "separation" in found.unbounded[0]
    assert np.all(np.isfinite(found.theta))


def test_a_perfect_fit_has_no_maximum():
    data = simulated()
    u = np.random.default_rng(5).normal(size=12)
    data["y"] = np.exp(1.0 + 0.1 * data["x"] + u[data["a"]])
    model = bg.glmm("y ~ x + (1 | a)", data, family="gaussian", link="log")
    rows, inner, start, _, _ = model.problem
    found = fit(rows, inner, start)
    assert not found.converged
    assert found.unbounded
    assert np.all(np.isfinite(found.theta))


def test_a_variance_of_zero_is_an_answer():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(20), 6)
    data = pd.DataFrame({"g": g, "y": np.tile([0, 1, 2, 3, 4, 5], 20)})
    data["x"] = rng.normal(size=120)
    found = bg.glmm("y ~ x + (1 | g)", data, family="poisson").fit("rspl")
    plain = bg.glmm("y ~ x", data, family="poisson").fit("glm")
    assert found.converged
    assert found.estimate[2] == 0.0
    np.testing.assert_allclose(found.estimate[:2], plain.estimate, rtol=1e-7)
    np.testing.assert_allclose(found.se[:2], plain.se, rtol=1e-6)


def test_a_dispersion_that_is_no_scale_is_refused():
    model = bg.glmm("count ~ x + (1 | a)", simulated(), family="negative_binomial")
    with pytest.raises(DataError, match="more than a factor"):
        model.fit("rspl")


def test_unknown_choices_are_refused():
    model = bg.glmm("count ~ x + (1 | a)", simulated(), family="poisson")
    with pytest.raises(DataError, match="scale has to be"):
        model.fit("rspl", scale="free")
    with pytest.raises(DataError, match="belongs to"):
        model.fit("laplace", scale="estimate")


# ---- published -----------------------------------------------------------------------------------


def depression():
    data = bg.load_dataset("depression")
    return data.assign(
        new=(data["treat"] == "new") * 1.0,
        severe=(data["diagnose"] == "severe") * 1.0,
        first=(data["time"].astype(int) == 0) * 1.0,
        second=(data["time"].astype(int) == 1) * 1.0,
    )


def epilepsy():
    data = bg.load_dataset("epilepsy")
    return data.assign(
        lb=np.log(data["base"].astype(float)),
        la=np.log(data["age"].astype(float)),
        treated=(data["treat"].str.lower() == "progabide") * 1.0,
        visit=data["visit"].astype(float),
    )


def epil():
    data = bg.load_dataset("epil")
    return data.assign(
        lb=np.log(data["base"]),
        la=np.log(data["age"]),
        treated=(data["trt"] == "progabide") * 1.0,
        visit=data["period"],
        seizures=data["y"],
        id=data["subject"],
    )


DEPRESSION = "outcome ~ severe + new + first + second + new:first + new:second + (1 | case)"
EPILEPSY = "seizures ~ lb + treated + la + visit + lb:treated + (visit | id)"
REFERENCES = {
    "depression__timeclass": (depression, DEPRESSION, "bernoulli"),
    "clinics__ri": (
        lambda: csv("clinics"),
        "cbind(favorable, unfavorable) ~ treatment + (1 | clinic)",
        "binomial",
    ),
    "rikz__nap_beach": (lambda: bg.load_dataset("rikz"), "Richness ~ NAP + (1 | Beach)", "poisson"),
    "epilepsy_hsaur3__sas_un": (epilepsy, EPILEPSY, "poisson"),
    "epil__sas_un_logbase": (epil, EPILEPSY, "poisson"),
}


def sigma_of(found):
    """Sigma of the one term of a model, on the user's scale."""
    sds = [found.estimate[found.names.index(n)] for n in found.model.names.sd]
    R = np.eye(len(sds))
    for name in found.model.names.cor:
        R[0, 1] = R[1, 0] = found.estimate[found.names.index(name)]
    return R * np.outer(sds, sds)


BY_MSPL = ("depression__timeclass", "epil__sas_un_logbase")


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "method"), [*((n, "rspl") for n in REFERENCES), *((n, "mspl") for n in BY_MSPL)]
)
def test_fits_agree_with_another_implementation(name, method):
    path = DATA / "mle" / f"{name}__exact_{method.upper()}.json"
    known = json.loads(path.read_text())
    frame, formula, family = REFERENCES[name]
    found = bg.glmm(formula, frame(), family=family).fit(method)
    p = len(known["fixef"])
    se = np.array([row["se"] for row in known["fixef"]])
    theirs = np.array([row["estimate"] for row in known["fixef"]])
    assert np.max(np.abs(found.estimate[:p] - theirs) / se) < 1e-5
    np.testing.assert_allclose(found.se[:p], se, rtol=1e-5)
    # The reference stops its search for variances at a tolerance of 1e-5.
    np.testing.assert_allclose(sigma_of(found), known["G"], rtol=1e-4, atol=5e-6)
    assert -2.0 * found.loglik == pytest.approx(known["minus2_pseudo_loglik"], abs=1e-3)
    assert found.converged
    # Nothing is to be said but of an sd, rightly estimated, that is near 0 beside its error.
    near = [n for n, e, s in zip(found.names, found.estimate, found.se, strict=True) if s > e]
    near = [name for name in near if name.startswith("sd(")]
    assert [line.split(" is near 0")[0] for line in found.warnings] == near


# Digits as SAS prints them.
DEPRESSION_BETA = "0.9813 -1.3119 2.0435 -0.9599 -0.6205 -2.0989 -1.0965"
DEPRESSION_SE = "0.1813 0.1470 0.3060 0.2290 0.2245 0.3894 0.3838"
EPILEPSY_BETA = "-2.3423 0.8700 -1.3682 0.4627 -0.05276 0.3304"
EPILEPSY_SE = "1.2616 0.1351 0.6884 0.3568 0.03137 0.2090"


def agree(values, printed):
    for value, text in zip(values, printed.split(), strict=True):
        digits = len(text.partition(".")[2])
        assert f"{value:.{digits}f}" == text


@pytest.mark.reference
def test_depression_has_the_digits_that_sas_prints():
    found = bg.glmm(DEPRESSION, depression(), family="bernoulli").fit("rspl")
    agree(found.estimate[:7], DEPRESSION_BETA)
    agree(found.se[:7], DEPRESSION_SE)
    sd, se = found.estimate[7], found.se[7]
    agree([sd**2], "0.01838")
    assert 2.0 * sd * se == pytest.approx(0.1330, rel=0.01)


@pytest.mark.reference
def test_epilepsy_has_the_digits_that_sas_prints():
    found = bg.glmm(EPILEPSY, epilepsy(), family="poisson").fit("rspl")
    agree(found.estimate[:6], EPILEPSY_BETA)
    agree(found.se[:6], EPILEPSY_SE)
    Sigma = sigma_of(found)
    agree([Sigma[0, 0], Sigma[0, 1], Sigma[1, 1]], "0.4052 -0.05393 0.02174")
    # Standard errors of the elements of Sigma, from those of sds and correlation.
    s, t, r = found.estimate[6:9]
    jacobian = np.array([[2 * s, 0, 0], [r * t, r * s, s * t], [0, 2 * t, 0]])
    covariance = jacobian @ found.covariance[6:9, 6:9] @ jacobian.T
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0.1251, 0.02964, 0.009264], rtol=0.01)


@pytest.mark.reference
@pytest.mark.parametrize("name", REFERENCES)
def test_estimated_scales_agree_with_glmmpql(name):
    path = DATA / "mle" / f"{name.removesuffix('_logbase')}__MASS_PQL.json"
    known = json.loads(path.read_text())
    frame, formula, family = REFERENCES[name]
    found = bg.glmm(formula, frame(), family=family).fit("mspl", scale="estimate")
    scale = found.estimate[-1]
    # glmmPQL stops when eta moves by 1e-3 of its size.
    assert scale == pytest.approx(known["residual_sd"] ** 2, rel=2e-3)
    sds = [row["sdcor"] for row in known["varcorr"] if row["var1"] in ("(Intercept)", "visit")]
    ours = [found.estimate[found.names.index(n)] for n in found.model.names.sd]
    np.testing.assert_allclose(ours, sds, rtol=6e-3)
