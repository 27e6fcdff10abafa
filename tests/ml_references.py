"""Maximum-likelihood fits known from elsewhere: data, model, what they found, how far ours is off.

A record is a file of ``tests/data/mle``: ``DATA__MODEL__PACKAGE_METHOD.json``. Where the other
program stopped early, ``..._tight.json`` is the same fit with a tolerance that lets it finish: the
arbiter.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from references import DATA, csv
from scipy import stats

import bayesglmm as bg
from bayesglmm.likelihood_fit import Fit
from bayesglmm.model import Model

FILES = DATA / "mle"
SUMMARY = DATA / "mle_summary.json"
TIGHT = "_tight"
SMALL_SD = 0.01  # below it, sds are compared by their difference, not their ratio

# Ours for each method of the records. glmmPQL maximizes the likelihood of the working data with a
# residual scale; lme4's nAGQ = 0 puts the coefficients at the joint mode with the effects, which is
# another objective than any of ours.
OURS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "Laplace": ("laplace", {}),
    "AGQ0": ("laplace", {}),
    "AGQ5": ("aghq", {"nodes": 5}),
    "AGQ25": ("aghq", {"nodes": 25}),
    "AGQ100": ("aghq", {"nodes": 100}),
    "ML": ("ml", {}),
    "REML": ("reml", {}),
    "RSPL": ("rspl", {}),
    "MSPL": ("mspl", {}),
    "PQL": ("mspl", {"scale": "estimate"}),
}

# Largest differences by measure (see `measure`).
GLMMTMB = {"loglik": 1e-5, "beta/se": 2e-3, "se": 2e-3, "sd": 1e-3, "cor": 1e-3, "mode": 5e-3}
LME4 = {"loglik": 1e-3, "beta/se": 0.01, "se": 0.02, "sd": 2e-3, "cor": 2e-3}
AGHQ = {"loglik": 1e-3, "beta": 1e-4, "sd": 1e-3}
# The restricted likelihood of lme4 and glmmTMB; their optimizers stop at 1e-5 of an sd.
LINEAR = {"loglik": 1e-6, "beta/se": 2e-5, "se": 2e-5, "sd": 2e-5, "cor": 1e-4}
# Fixed points of the linearization: two programs that iterate to the end have all digits in common.
PSEUDO = {"beta": 1e-8, "se": 1e-8, "sd": 1e-7}
# glmmPQL stops when eta moves by less than 1e-3 of its norm.
PQL = {"beta/se": 1e-3, "se": 1e-3, "sd": 5e-3}
LIMITS: Mapping[str, Mapping[str, float]] = {
    "glmmTMB Laplace": GLMMTMB,
    "lme4 Laplace": LME4,
    "lme4 AGQ5": AGHQ,
    "lme4 AGQ25": AGHQ,
    "lme4 AGQ100": AGHQ,
    "lme4 ML": LINEAR,
    "lme4 REML": LINEAR,
    "glmmTMB REML": LINEAR,
    "exact RSPL": PSEUDO,
    "exact MSPL": PSEUDO,
    "MASS PQL": PQL,
}


@dataclass(frozen=True)
class Record:
    """A fit by other software."""

    name: str
    content: dict[str, Any]

    @property
    def case(self) -> str:
        """Data and model."""
        return self.name.rpartition("__")[0]

    @property
    def package(self) -> str:
        return self.name.rpartition("__")[2].split("_")[0]

    @property
    def method(self) -> str:
        return self.name.rpartition("__")[2].split("_")[1]

    @property
    def tight(self) -> bool:
        return self.name.endswith(TIGHT)

    @property
    def limits(self) -> Mapping[str, float]:
        """Largest differences; none where the objective is another one."""
        return LIMITS.get(f"{self.package} {self.method}", {})

    @property
    def loglik(self) -> float | None:
        """Log likelihood on the scale of all constants; None of a pseudo-likelihood.

        lme4's with several nodes leaves out that of the saturated model.
        """
        value = self.content.get("logLik")
        nodes = OURS[self.method][1].get("nodes", 1)
        if value is None or nodes == 1:
            return value
        return value + saturated(CASES[self.case].model())

    def column(self, name: str) -> np.ndarray:
        """Return a column of the coefficients' table: ``estimate`` or ``se``, nan if not there."""
        return np.array([row.get(name, np.nan) for row in self.content["fixef"]])

    def spread(self, model: Model) -> dict[str, float]:
        """Sds, correlations and dispersion by the rows of our tables."""
        found = {}
        for row in self.content.get("varcorr", []):
            group, one, two = row["group"], row["var1"], row["var2"]
            if group == "Residual" or one == "Residual":
                continue
            group = self.content.get("random", f"| {group}").split("|")[-1].strip()
            # lme4 and glmmTMB tell two terms of one group apart by a suffix.
            group = group if group in _groups(model) else group.rpartition(".")[0]
            if one == "corr":  # glmmPQL's table does not name the first of the two
                one = "(Intercept)"
            names = [_ours(x) for x in (one, two) if x]
            found[f"{'cor' if two else 'sd'}({','.join(names)}|{group})"] = row["sdcor"]
        if "G" in self.content:
            found |= _from_matrix(model, np.array(self.content["G"]))
        dispersion = model.names.dispersion
        if "residual_sd" in self.content:
            found[dispersion[0] if dispersion else "scale"] = self.content["residual_sd"] ** (
                1 if dispersion else 2
            )
        elif dispersion and "dispersion" in self.content:
            found[dispersion[0]] = self.content["dispersion"]
        return found


def _groups(model: Model) -> set[str]:
    return {factor.name for factor in model.design.factors}


def _ours(name: str) -> str:
    return "Intercept" if name == "(Intercept)" else name


def _from_matrix(model: Model, G: np.ndarray) -> dict[str, float]:
    """Rows of our table for the covariance matrix of the only term."""
    sd = np.sqrt(np.diag(G))
    cor = (G / np.outer(sd, sd))[np.tril_indices(len(G), -1)]
    return dict(zip((*model.names.sd, *model.names.cor), (*sd, *cor), strict=True))


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


@cache
def fit(case: str, method: str) -> Fit:
    """Our fit by the method of a record."""
    ours, options = OURS[method]
    return CASES[case].model().fit(ours, **options)


def saturated(model: Model) -> float:
    """Log likelihood with a mean for every row."""
    y, trials = model.design.response.y, model.design.response.trials
    if model.family.name == "poisson":
        return float(stats.poisson.logpmf(y, y).sum())
    trials = np.ones_like(y) if trials is None else trials
    return float(stats.binom.logpmf(y, trials, y / trials).sum())


def measure(record: Record, ours: Fit) -> dict[str, float]:
    """How far our fit is from a record.

    ``loglik`` is ours minus theirs, the others are sizes: ``beta``, ``beta/se`` (in their standard
    errors), ``se`` (ratio), ``sd`` (ratio, of dispersion too), ``cor``, ``mode`` of the effects (in
    conditional sds).
    """
    theirs, se = record.column("estimate"), record.column("se")
    found = {} if record.loglik is None else {"loglik": ours.loglik - record.loglik}
    error, our_se = np.abs(ours.beta - theirs), np.sqrt(np.diag(ours.beta_covariance))
    found["beta"], found["beta/se"] = float(error.max()), float((error / our_se).max())
    if np.isfinite(se).all():
        found["se"] = float(np.abs(our_se / se - 1.0).max())
    rows = dict(zip(ours.names, ours.estimate, strict=True))
    for name, value in record.spread(ours.model).items():
        kind = "cor" if name.startswith("cor") else "sd"
        off = abs(rows[name] - value)
        if kind == "sd" and value > SMALL_SD:
            off /= value
        found[kind] = max(found.get(kind, 0.0), off)
    modes = [_mode_error(ours, *item) for item in record.content.get("ranef", {}).items()]
    if modes:
        found["mode"] = max(modes)
    return found


def _mode_error(ours: Fit, group: str, known: dict[str, Any]) -> float:
    factor = next(f for f in ours.model.design.factors if f.name == group)
    place = [list(factor.levels).index(level) for level in known["levels"]]
    modes, sd = np.array(known["cond_mode"]), np.array(known["cond_sd"], dtype=float)
    return float((np.abs(ours.effects[group][place] - modes) / np.maximum(sd, SMALL_SD)).max())


@dataclass(frozen=True)
class Comparison:
    """A record beside our fit: differences, the measures beyond their limits, and why."""

    record: Record
    found: dict[str, float]
    broken: tuple[str, ...]
    reason: str  # why it is broken or not compared; empty where nothing is known

    @property
    def verdict(self) -> str:
        if not self.found:
            return "-"
        if not self.record.limits:
            return "other"
        if not self.broken:
            return "agrees"
        return "explained" if self.reason else "MISS"


def compare(record: Record) -> Comparison:
    """Compare a record with our fit of the same model by the same method."""
    if record.case in MISSING:
        return Comparison(record, {}, (), MISSING[record.case])
    found = measure(record, fit(record.case, record.method))
    limits = record.limits
    broken = tuple(
        f"{name} {found[name]:.1e}" for name in limits if abs(found.get(name, 0.0)) > limits[name]
    )
    return Comparison(record, found, broken, _reason(record, found, broken))


def _reason(record: Record, found: dict[str, float], broken: tuple[str, ...]) -> str:
    if record.method in REMARKS and not broken:
        return REMARKS[record.method]
    if not broken:
        return ""
    other = f"{record.name}{TIGHT}"
    if not (FILES / f"{other}.json").exists() or found.get("loglik", 0.0) < -GLMMTMB["loglik"]:
        return ""
    arbiter = compare(load(other))
    if arbiter.broken:
        return ""
    what = "its iterations" if record.loglik is None else record.package
    return f"{what} stopped early: given time, the same agrees ({TIGHT})"


def load(name: str) -> Record:
    """Return a record by its name."""
    return Record(name, json.loads((FILES / f"{name}.json").read_text()))


def records() -> list[Record]:
    """All records, the arbiters beside what they settle, and the short ones last."""
    found = [load(path.stem) for path in sorted(FILES.glob("*.json"))]
    short = json.loads(SUMMARY.read_text())
    return found + [Record(content["name"], content) for content in short]


# ---- data, in R's coding -----------------------------------------------------------------------


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

MISSING = {"owls__zip_offset": "not fitted: zero-inflated Poisson is no family of this release"}

# What a method's row shows whether or not it is within its limits.
REMARKS = {
    "AGQ0": "nAGQ 0 puts the coefficients at the joint mode with the effects: a lower likelihood",
    "PQL": "glmmPQL is ML of the working data with a residual scale (ours: mspl, scale estimated)",
}
