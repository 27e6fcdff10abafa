"""Negative binomial and Gamma models: fits, posteriors and tables of what size and shape are."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from references import DATA, csv, disagreements, moments

import bayesglmm as bg

EPIL = "y ~ lbase*trt + lage + V4 + (1|subject)"
OWLS = "SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) + (1 | Nest)"


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "frame", "formula"),
    [
        ("epil__ri_nb2", lambda: bg.load_dataset("epil"), EPIL),
        ("owls__nb2_offset", lambda: csv("owls"), OWLS),
    ],
)
def test_laplace_agrees_with_glmmtmb(name, frame, formula):
    known = json.loads((DATA / "mle" / f"{name}__glmmTMB_Laplace.json").read_text())
    fit = bg.glmm(formula, frame(), "negative_binomial").fit("laplace")
    assert fit.converged and fit.warnings == ()
    assert abs(fit.loglik - known["logLik"]) < 1e-5
    beta, se = (np.array([row[k] for row in known["fixef"]]) for k in ("estimate", "se"))
    assert np.max(np.abs(fit.beta - beta) / se) < 2e-3
    table = fit.summary().estimate
    assert table[fit.model.names.sd[0]] == pytest.approx(known["varcorr"][0]["sdcor"], rel=1e-3)
    assert table["size"] == pytest.approx(known["dispersion"], rel=1e-3)
    assert table["1/size"] == pytest.approx(1.0 / known["dispersion"], rel=1e-3)


# MASS 7.3-58: glm.nb; glm with gamma.shape and dgamma at the maximum, for log likelihoods.
GLMS = {
    "negative_binomial log": (-647.178886439873, 1.923866212386, 2.771583165819),
    "gamma log": (-943.9339281063915, 5.5361326120376, 41.3029684900116),
    "gamma inverse": (-943.882528115, 3.91387282244e-03, 41.3263749287),
    "gamma identity": (-944.13855750133, 252.07242815611, 41.20991713340),
}


@pytest.mark.parametrize("name", GLMS)
def test_fits_without_effects_are_those_of_mass(name):
    family, link = name.split()
    if family == "gamma":
        model = bg.glmm("Reaction ~ Days", bg.load_dataset("sleepstudy"), family, link=link)
    else:
        model = bg.glmm("y ~ lbase*trt + lage + V4", bg.load_dataset("epil"), family, link=link)
    fit = model.fit("glm")
    loglik, intercept, dispersion = GLMS[name]
    assert fit.converged
    assert fit.loglik == pytest.approx(loglik, abs=1e-8)
    assert fit.estimate[[0, -1]] == pytest.approx([intercept, dispersion], rel=1e-7)


def underdispersed() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    g, x = np.repeat(np.arange(25), 8), rng.normal(size=200)
    mu = np.exp(1.5 + 0.3 * x + 0.4 * rng.normal(size=25)[g])
    return pd.DataFrame({"x": x, "g": g, "y": rng.binomial(40, np.minimum(mu / 40, 1))})


@pytest.mark.parametrize("method", ["laplace", "aghq", "glm"])
def test_size_without_bound_is_the_poisson_fit(method):
    data = underdispersed()
    if method == "glm":
        data = data[data.g < 12].assign(y=lambda f: 3 + f.x.round().clip(-2, 2))
    formula = "y ~ x" if method == "glm" else "y ~ x + (1|g)"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* no more than Poisson", bg.DataWarning)
        fit = bg.glmm(formula, data, "negative_binomial").fit(method)
    poisson = bg.glmm(formula, data, "poisson").fit(method)
    assert fit.converged
    (text,) = fit.warnings
    assert text == "size grows without bound: the data show no overdispersion beyond Poisson"
    assert fit.loglik == pytest.approx(poisson.loglik, abs=1e-6)
    assert fit.estimate[:-1] == pytest.approx(poisson.estimate, rel=1e-4)
    assert fit.se[:-1] == pytest.approx(poisson.se, rel=1e-3)
    last = fit.summary().estimate
    assert last["size"] == np.inf and last["1/size"] == 0.0
    assert np.isnan(fit.se[-1]) and "inf" in str(fit)
    assert np.isfinite(fit.residuals("deviance")).all() and np.isfinite(fit.fitted()).all()


def test_overdispersed_counts_have_a_size():
    rng = np.random.default_rng(2)
    x = rng.normal(size=400)
    y = rng.negative_binomial(4.0, 4.0 / (4.0 + np.exp(1.0 + 0.4 * x)))
    fit = bg.glmm("y ~ x", {"x": x, "y": y}, "negative_binomial").fit("glm")
    low, high = fit.summary().loc["size", ["2.5%", "97.5%"]]
    assert fit.warnings == () and low < 4.0 < high < 20.0


def gamma_slopes() -> pd.DataFrame:
    rng = np.random.default_rng(14)
    g, x = np.repeat(np.arange(40), 6), rng.normal(size=240)
    u = rng.multivariate_normal([0, 0], [[0.25, 0.05], [0.05, 0.09]], size=40)
    mu = np.exp(1.2 + 0.3 * x + u[g, 0] + u[g, 1] * x)
    size = rng.negative_binomial(3.0, 3.0 / (3.0 + mu))
    return pd.DataFrame({"x": x, "g": g, "gamma": rng.gamma(5.0, mu / 5.0), "count": size})


POSTERIORS = {
    "epil": (lambda: bg.load_dataset("epil"), EPIL, "negative_binomial"),
    "count slopes": (gamma_slopes, "count ~ x + (x|g)", "negative_binomial"),
    "gamma slopes": (gamma_slopes, "gamma ~ x + (x|g)", "gamma"),
}


@pytest.mark.reference
@pytest.mark.parametrize("name", POSTERIORS)
def test_gibbs_and_nuts_agree(name):
    frame, formula, family = POSTERIORS[name]
    model = bg.glmm(formula, frame(), family)
    found = []
    for sampler, draws in (("gibbs", 8000), ("nuts", 5000)):
        post = model.sample(draws=draws, chains=2, seed=3, sampler=sampler, progress=False)
        assert post.verdict.ok, str(post.verdict)
        values = np.concatenate([post.scalar_draws, post.effect_draws[..., ::7]], axis=-1)
        names = (*post.names, *post.effect_names[::7])
        found.append({n: moments(values[..., i]) for i, n in enumerate(names)})
        if sampler == "gibbs":
            # As a Poisson model does: the dispersion is one more element of the block.
            assert post.stats["accept"].mean() > 0.4
            assert min(found[0][n].ess for n in post.names) > 0.2 * 2 * draws
    assert disagreements(*found) == []


def test_tables_state_the_dispersion_both_ways():
    model = bg.glmm("gamma ~ x + (1|g)", gamma_slopes(), "gamma")
    assert "  1/sqrt(shape) ~ HalfNormal(1)" in str(model).splitlines()
    own = bg.glmm("gamma ~ x", gamma_slopes(), "gamma", priors={"shape": bg.Gamma(2, 0.1)})
    assert "  shape ~ Gamma(2, 0.1)" in str(own).splitlines()
    fit, post = model.fit(), model.sample(draws=50, warmup=50, chains=2, seed=1, progress=False)
    for result in (fit, post):
        table = result.summary()
        assert list(table.index[-2:]) == ["shape", "1/shape"]
        text = str(result).partition("Dispersion")[2]
        assert "\n  shape " in text and "\n  1/shape " in text
    inverse = post.summary().loc["1/shape"]
    draws = 1.0 / post.values["shape"]
    assert inverse["mean"] == pytest.approx(draws.mean())
    assert inverse["97.5%"] == pytest.approx(np.quantile(draws, 0.975))
    shape, inverse = (fit.summary().loc[n] for n in ("shape", "1/shape"))
    assert inverse["se"] / inverse["estimate"] == pytest.approx(shape["se"] / shape["estimate"])
    assert inverse["2.5%"] == pytest.approx(1.0 / shape["97.5%"])


@pytest.mark.parametrize("prior", [bg.PC(1, 0.05), bg.InverseGammaVariance(1, 1), bg.Normal(0, 1)])
def test_a_size_is_no_sd(prior):
    with pytest.raises(bg.PriorError, match=r"priors\['size'\] must be one of .*InverseSqrt"):
        bg.glmm(EPIL, bg.load_dataset("epil"), "negative_binomial", priors={"size": prior})


def test_saved_prior_of_the_inverse_comes_back(tmp_path):
    prior = bg.Inverse(bg.Exponential(2))
    model = bg.glmm("gamma ~ x", gamma_slopes(), "gamma", priors={"shape": prior})
    post = model.sample(draws=20, warmup=50, chains=1, seed=1, progress=False)
    post.save(tmp_path / "fit.nc")
    assert bg.load(tmp_path / "fit.nc").model.priors.dispersion == prior
