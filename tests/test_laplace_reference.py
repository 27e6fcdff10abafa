"""Laplace fits agree with glmmTMB's: log likelihood, coefficients, covariance parameters."""

import json

import numpy as np
import pandas as pd
import pytest
from references import DATA, csv

import bayesglmm as bg

pytestmark = pytest.mark.reference

MAX_LOGLIK = 1e-5
MAX_BETA = 2e-3  # of a standard error
MAX_SD = 1e-3  # relative, for sds above .01


def depression() -> pd.DataFrame:
    data = bg.load_dataset("depression")
    return data.assign(
        new=(data.treat == "new") * 1.0,
        severe=(data.diagnose == "severe") * 1.0,
        t=data.time.astype(float),
        # The last of the three visits is the reference.
        first=(data.time.astype(int) == 0) * 1.0,
        second=(data.time.astype(int) == 1) * 1.0,
    )


def abortion() -> pd.DataFrame:
    data = csv("abortion")
    return data.assign(
        q1=(data.question == 1) * 1.0,
        q2=(data.question == 2) * 1.0,
        male=(data.gender == "male") * 1.0,
    )


def epil() -> pd.DataFrame:
    data = bg.load_dataset("epil")
    return data.assign(
        vis=(2 * data.period - 5) / 10,
        lb=np.log(data.base / 4),
        la=np.log(data.age),
        treated=(data.trt == "progabide") * 1.0,
    )


def epilepsy() -> pd.DataFrame:
    data = bg.load_dataset("epilepsy")
    return data.assign(
        lb=np.log(data.base.astype(float)),
        la=np.log(data.age.astype(float)),
        treated=(data.treat.str.lower() == "progabide") * 1.0,
        visit=data.visit.astype(float),
    )


# Columns in the order of glmmTMB's coefficients.
FITS = {
    "abortion__ri": (abortion, "response ~ q1 + q2 + male + (1|case)", "bernoulli"),
    "cbpp__period": (
        lambda: bg.load_dataset("cbpp").astype({"period": str}),
        "cbind(incidence, size - incidence) ~ period + (1|herd)",
        "binomial",
    ),
    "clinics__ri": (
        lambda: csv("clinics"),
        "cbind(favorable, unfavorable) ~ treatment + (1|clinic)",
        "binomial",
    ),
    "depression__timeclass": (
        depression,
        "outcome ~ severe + new + first + second + new:first + new:second + (1|case)",
        "bernoulli",
    ),
    "depression__timelin": (depression, "outcome ~ severe + new * t + (1|case)", "bernoulli"),
    "epil__ri": (epil, "y ~ lbase*trt + lage + V4 + (1|subject)", "poisson"),
    "epil__bc4": (epil, "y ~ lbase*trt + lage + vis + (vis|subject)", "poisson"),
    "epil__sas_un": (epil, "y ~ lb*treated + la + period + (period|subject)", "poisson"),
    "epilepsy_hsaur3__sas_un": (
        epilepsy,
        "seizures ~ lb*treated + la + visit + (visit|id)",
        "poisson",
    ),
    "orobanche__ri": (
        lambda: csv("orobanche_seeds"),
        "prop(germ, n) ~ gen * extract + (1|plate)",
        "binomial",
    ),
    "rikz__nap_beach": (lambda: bg.load_dataset("rikz"), "Richness ~ NAP + (1|Beach)", "poisson"),
    "sim_logit_500x10__rs": (
        lambda: csv("sim_logit_500x10"),
        "y ~ x1 + x2 + x3 + x4 + (x1|g)",
        "bernoulli",
    ),
    "sleepstudy__slope": (
        lambda: bg.load_dataset("sleepstudy"),
        "Reaction ~ Days + (Days|Subject)",
        "gaussian",
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_laplace_agrees_with_glmmtmb(name):
    frame, formula, family = FITS[name]
    known = json.loads((DATA / "mle" / f"{name}.json").read_text())
    model = bg.glmm(formula, frame(), family=family)
    fit = model.fit("laplace")
    assert abs(fit.loglik - known["logLik"]) < MAX_LOGLIK
    table = fit.summary()
    beta = table.loc[list(model.names.fixed), "estimate"].to_numpy()
    estimate = np.array([row["estimate"] for row in known["fixef"]])
    se = np.array([row["se"] for row in known["fixef"]])
    assert np.max(np.abs(beta - estimate) / se) < MAX_BETA
    rows = [row for row in known["varcorr"] if row["group"] != "Residual"]
    sd = np.array([row["sdcor"] for row in rows if row["var2"] is None])
    ours = table.loc[list(model.names.sd), "estimate"].to_numpy()
    np.testing.assert_allclose(ours[sd > 0.01], sd[sd > 0.01], rtol=MAX_SD)
    cor = np.array([row["sdcor"] for row in rows if row["var2"] is not None])
    if cor.size:
        np.testing.assert_allclose(table.loc[list(model.names.cor), "estimate"], cor, atol=MAX_SD)
    if family == "gaussian":
        np.testing.assert_allclose(
            table.loc["sigma", "estimate"], known["residual_sd"], rtol=MAX_SD
        )
