"""Data and models of the maximum-likelihood fits that are known from elsewhere, in R's coding."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from references import DATA, csv

import bayesglmm as bg
from bayesglmm.model import Model


@dataclass(frozen=True)
class Case:
    """Data and a model of them, in R's coding."""

    frame: Callable[[], pd.DataFrame]
    formula: str
    family: str

    def model(self) -> Model:
        return _model(self)


@cache
def _model(case: Case) -> Model:
    return bg.glmm(case.formula, case.frame(), family=case.family)


def categories(values: pd.Series, *levels: Any) -> pd.Series:
    """A factor, its reference level first."""
    return values.astype(pd.CategoricalDtype([str(level) for level in levels]))


def abortion() -> pd.DataFrame:
    return csv("abortion").assign(q=lambda f: categories(f.question.astype(str), 3, 1, 2))


def cbpp() -> pd.DataFrame:
    return bg.load_dataset("cbpp").assign(obs=range(1, 57))


def clinics() -> pd.DataFrame:
    return csv("clinics").assign(ct=range(1, 17))


def depression() -> pd.DataFrame:
    """The last of the three visits is the reference of `timef`."""
    return bg.load_dataset("depression").assign(
        timef=lambda f: categories(f.time.astype(int).astype(str), 2, 0, 1), t=lambda f: f.time
    )


def epil() -> pd.DataFrame:
    return bg.load_dataset("epil").assign(vis=lambda f: (2 * f.period - 5) / 10, obs=range(1, 237))


def epil_sas() -> pd.DataFrame:
    return epil().assign(
        seiz=lambda f: f.y,
        lb=lambda f: np.log(f.base / 4),
        treat=lambda f: (f.trt == "progabide") * 1.0,
        la=lambda f: np.log(f.age),
        visit=lambda f: f.period,
        id=lambda f: f.subject,
    )


def epil_logbase() -> pd.DataFrame:
    return epil_sas().assign(lb=lambda f: np.log(f.base))


def epilepsy() -> pd.DataFrame:
    return bg.load_dataset("epilepsy").assign(
        lb=lambda f: np.log(f.base),
        la=lambda f: np.log(f.age),
        tr=lambda f: (f.treat == "Progabide") * 1.0,
        subject=lambda f: f.id,
    )


def verbagg() -> pd.DataFrame:
    return packed("verbagg", id=str).assign(
        y=lambda f: (f.r2 == "Y") * 1.0, mode=lambda f: categories(f["mode"], "want", "do")
    )


def insteval() -> pd.DataFrame:
    return packed("insteval", s=str, d=str).assign(y4=lambda f: (f.y >= 4) * 1.0)


def packed(name: str, **text: type) -> pd.DataFrame:
    """Return a compressed table of the reference data."""
    return pd.read_csv(DATA / f"{name}.csv.gz", dtype=text)


SAS_UN = "(1 + visit | id)"
OWLS = "SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) + (1 | Nest)"
VERBAGG = "Anger + Gender + btype + situ"
CASES = {
    "abortion__ri": Case(abortion, "response ~ q + gender + (1 | case)", "bernoulli"),
    "cbpp__period": Case(
        cbpp, "cbind(incidence, size - incidence) ~ period + (1 | herd)", "binomial"
    ),
    "cbpp__period_olre": Case(
        cbpp, "cbind(incidence, size - incidence) ~ period + (1 | herd) + (1 | obs)", "binomial"
    ),
    "clinics__ri": Case(
        clinics, "cbind(favorable, unfavorable) ~ treatment + (1 | clinic)", "binomial"
    ),
    "clinics__ri_int": Case(
        clinics, "cbind(favorable, unfavorable) ~ treatment + (1 | clinic) + (1 | ct)", "binomial"
    ),
    "depression__timeclass": Case(
        depression, "outcome ~ diagnose + treat * timef + (1 | case)", "bernoulli"
    ),
    "depression__timelin": Case(
        depression, "outcome ~ diagnose + treat * t + (1 | case)", "bernoulli"
    ),
    "dyestuff__ri": Case(lambda: csv("dyestuff"), "Yield ~ 1 + (1 | Batch)", "gaussian"),
    "dyestuff2__ri": Case(lambda: csv("dyestuff2"), "Yield ~ 1 + (1 | Batch)", "gaussian"),
    "epil__ri": Case(epil, "y ~ lbase * trt + lage + V4 + (1 | subject)", "poisson"),
    "epil__ri_olre": Case(
        epil, "y ~ lbase * trt + lage + V4 + (1 | subject) + (1 | obs)", "poisson"
    ),
    "epil__ri_nb2": Case(epil, "y ~ lbase * trt + lage + V4 + (1 | subject)", "negative_binomial"),
    "epil__bc4": Case(epil, "y ~ lbase * trt + lage + vis + (1 + vis | subject)", "poisson"),
    "epil__sas_un": Case(epil_sas, f"seiz ~ lb * treat + la + visit + {SAS_UN}", "poisson"),
    "epil__sas_un_logbase": Case(
        epil_logbase, f"seiz ~ lb * treat + la + visit + {SAS_UN}", "poisson"
    ),
    "epilepsy_hsaur3__sas_un": Case(
        epilepsy, "seizures ~ lb * tr + la + visit + (1 + visit | subject)", "poisson"
    ),
    "insteval__bin_null": Case(insteval, "y4 ~ 1 + (1 | s) + (1 | d)", "bernoulli"),
    "insteval__lmm_null": Case(insteval, "y ~ 1 + (1 | s) + (1 | d)", "gaussian"),
    "orobanche__ri": Case(
        lambda: csv("orobanche_seeds"), "prop(germ, n) ~ gen * extract + (1 | plate)", "binomial"
    ),
    "owls__pois_offset": Case(lambda: csv("owls"), OWLS, "poisson"),
    "owls__nb2_offset": Case(lambda: csv("owls"), OWLS, "negative_binomial"),
    "pastes__nested": Case(
        lambda: csv("pastes"), "strength ~ 1 + (1 | batch) + (1 | batch:cask)", "gaussian"
    ),
    "penicillin__crossed": Case(
        lambda: bg.load_dataset("penicillin"),
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        "gaussian",
    ),
    "rikz__nap_beach": Case(
        lambda: bg.load_dataset("rikz"), "Richness ~ NAP + (1 | Beach)", "poisson"
    ),
    "rikz__nap_beach_olre": Case(
        lambda: bg.load_dataset("rikz"), "Richness ~ NAP + (1 | Beach) + (1 | Sample)", "poisson"
    ),
    "rikz__lmm_ri": Case(
        lambda: bg.load_dataset("rikz"), "Richness ~ NAP + (1 | Beach)", "gaussian"
    ),
    "rikz__lmm_rs": Case(
        lambda: bg.load_dataset("rikz"), "Richness ~ NAP + (1 + NAP | Beach)", "gaussian"
    ),
    "salamander__crossed": Case(
        lambda: bg.load_dataset("salamander"),
        "Mate ~ 0 + Cross + (1 | Female) + (1 | Male)",
        "bernoulli",
    ),
    "sim_logit_500x10__rs": Case(
        lambda: csv("sim_logit_500x10"), "y ~ x1 + x2 + x3 + x4 + (1 + x1 | g)", "bernoulli"
    ),
    "sleepstudy__ri": Case(
        lambda: bg.load_dataset("sleepstudy"), "Reaction ~ Days + (1 | Subject)", "gaussian"
    ),
    "sleepstudy__slope": Case(
        lambda: bg.load_dataset("sleepstudy"), "Reaction ~ Days + (Days | Subject)", "gaussian"
    ),
    "sleepstudy__uncorr": Case(
        lambda: bg.load_dataset("sleepstudy"),
        "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)",
        "gaussian",
    ),
    "tvsfp__lmm_ord": Case(
        lambda: bg.load_dataset("tvsfp"),
        "thksord ~ thkspre + cc * tv + (1 | school) + (1 | class)",
        "gaussian",
    ),
    "tvsfp__nested": Case(
        lambda: bg.load_dataset("tvsfp"),
        "thksbin ~ thkspre + cc * tv + (1 | school) + (1 | class)",
        "bernoulli",
    ),
    "verbagg__crossed": Case(verbagg, f"y ~ {VERBAGG} + mode + (1 | id) + (1 | item)", "bernoulli"),
    "verbagg__nomode": Case(verbagg, f"y ~ {VERBAGG} + (1 | id) + (1 | item)", "bernoulli"),
}
