"""Maximum-likelihood fits known from elsewhere: what they found, and how far ours is off.

A record is a file of ``tests/data/mle``: ``DATA__MODEL__PACKAGE_METHOD.json``. Where the other
program stopped early, ``..._tight.json`` is the same fit with a tolerance that lets it finish: the
arbiter.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ml_cases import CASES
from references import DATA
from scipy import stats

from bayesglmm.fits.mode import Objective
from bayesglmm.likelihood_fit import Fit
from bayesglmm.model import Model

FILES = DATA / "mle"
SUMMARY = DATA / "mle_summary.json"
TIGHT = "_tight"
SMALL_SD = 0.01  # below it, sds are compared by their difference, not their ratio

# Ours for each method of the records. glmmPQL maximizes the likelihood of the working data with a
# residual scale. lme4's nAGQ = 0 puts the coefficients at the joint mode with the effects, which is
# another objective than any of ours: what has to agree is Laplace's likelihood at its estimates.
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
AGQ0 = {"at": 1e-5}
LIMITS: Mapping[str, Mapping[str, float]] = {
    "glmmTMB Laplace": GLMMTMB,
    "lme4 Laplace": LME4,
    "lme4 AGQ0": AGQ0,
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

MISSING = {"owls__zip_offset": "not fitted: zero-inflated Poisson is no family of this release"}

# What a method's row shows whether or not it is within its limits.
REMARKS = {
    "AGQ0": "nAGQ 0 puts the coefficients at the joint mode with the effects: a lower likelihood, "
    "but Laplace's at its estimates",
    "PQL": "glmmPQL is ML of the working data with a residual scale (ours: mspl, scale estimated)",
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

    ``loglik`` is ours minus theirs; ``at`` is ours at lme4's estimates minus what it reports there,
    positive where its inner iterations stopped before the modes; the others are sizes: ``beta``,
    ``beta/se`` (in their standard errors), ``se`` (ratio), ``sd`` (ratio, of dispersion too),
    ``cor``, ``mode`` of the effects (in conditional sds).
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
    if record.package == "lme4" and record.method in ("Laplace", "AGQ0"):
        found |= _at_theirs(record, ours.model)
    modes = [_mode_error(ours, *item) for item in record.content.get("ranef", {}).items()]
    if modes:
        found["mode"] = max(modes)
    return found


def _at_theirs(record: Record, model: Model) -> dict[str, float]:
    """Laplace's log likelihood at a record's estimates minus its own; intercepts only."""
    if model.names.cor or model.names.dispersion:
        return {}
    rows, data, _, constant, _ = model.problem
    beta, sds = record.column("estimate"), record.spread(model)
    inner = beta * model.x_scale
    if model.design.has_intercept:
        inner[model.intercept] += beta @ model.x_center
    psi = np.log([sds[name] for name in model.names.sd] * model.z_scale)
    value, _ = Objective(rows, data, False)(np.concatenate([inner, psi]))
    return {"at": value + constant - record.content["logLik"]}


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
