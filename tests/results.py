"""Fits of the shipped data, and posteriors whose draws are known."""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np

import bayesglmm as bg
from bayesglmm.likelihood_fit import Fit
from bayesglmm.model import Model
from bayesglmm.posterior import Posterior, Run, versions

CHAINS, DRAWS = 4, 500

MODELS = {
    "depression": ("outcome ~ diagnose + treat * factor(week) + (1 | case)", "bernoulli"),
    "epilepsy": (
        "seizures ~ log(base) * treat + log(age) + visit + (visit | id)",
        "poisson",
    ),
    "cbpp": ("incidence | trials(size) ~ period + (1 | herd)", "binomial"),
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", "gaussian"),
}


def data(name: str):
    """Return a shipped data set; weeks 1, 2, 4 for the depression trial."""
    frame = bg.load_dataset(name)
    if name == "depression":
        frame["week"] = (2 ** frame.pop("time")).astype(int)
    return frame


@cache
def model(name: str, formula: str = "", **options) -> Model:
    """Return a model of a shipped data set, its usual formula unless another is given."""
    usual, family = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.DataWarning)
        return bg.glmm(formula or usual, data(name), family, **options)


@cache
def fit(name: str) -> Fit:
    """Return the Laplace fit of a shipped data set."""
    return model(name).fit("laplace")


@cache
def drawn(name: str) -> Posterior:
    """Return a posterior of a shipped data set."""
    return model(name).sample(draws=500, warmup=500, chains=4, seed=3, progress=False)


def with_df(of: Fit, df: np.ndarray) -> Fit:
    """Return a fit with denominator degrees of freedom of its own."""
    made = replace(of, rule="containment")
    made.__dict__["denominator"] = np.asarray(df, dtype=float)
    return made


@cache
def published() -> Fit:
    """Return the RSPL fit of the depression trial, treatment and diagnosis as 0/1 numbers.

    Published with SAS GLIMMIX: treatment is no class there, so that time is tested at treatment 0.
    """
    frame = data("depression")
    frame["severe"] = (frame.diagnose == "severe").astype(float)
    frame["new"] = (frame.treat == "new").astype(float)
    formula = "outcome ~ severe + new * ref(week, '4') + (1 | case)"
    return bg.glmm(formula, frame, "bernoulli").fit("rspl")


def posterior(of: Model, beta: np.ndarray, covariance: np.ndarray, seed: int = 1, **values):
    """Return a posterior whose coefficients are normal draws and whose other values are given."""
    rng = np.random.default_rng(seed)
    draws = rng.multivariate_normal(beta, covariance, size=(CHAINS, DRAWS))
    shape = (CHAINS, DRAWS)

    def same(x):
        if isinstance(x, dict):
            return {name: same(own) for name, own in x.items()}
        return np.broadcast_to(np.asarray(x, dtype=float), (*shape, *np.shape(x)))

    others = {name: same(x) for name, x in values.items()}
    run = Run("nuts", "asked for", 1, 100, 1, {}, versions=versions())
    return Posterior(of, {"beta": draws, **others}, {}, np.zeros((*shape, 1)), run)
