"""The models of the benchmark: data, formula, priors in numbers, and the goal of each.

A case is written into a folder for programs that know nothing of this package: the table, the
formula with its priors, and the arrays of the model (centred columns, groups, response), so that
every program samples the same posterior. Priors follow one rule, evaluated once: with s = sd(y) and
m = mean(y) for a Gaussian response, else 1 and 0, predictors are centred; intercept Normal(m,
2.5 s), coefficients Normal(0, 2.5 s / sd(x)), sds and sigma half-Student-t(3, 2.5 s), LKJ(1).
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ml_cases
import numpy as np
import pandas as pd

import bayesglmm as bg
from bayesglmm.model import Model

from . import ROOT, acceptance

DATA = Path(__file__).parent / "data"
PRIOR_SDS, SD_DF, LKJ = 2.5, 3.0, 1.0
GROUPS = 10_000


@dataclass(frozen=True)
class Case:
    """A model of the benchmark.

    Attributes
    ----------
    frame : callable
        Returns the data; columns of text or categories are written as text.
    formula, family : str
    goal : float or None
        Effective draws a second of sampling, ours over those of the best converged peer.
    centred : tuple of bool
        Parametrizations of the effects that a peer's user would try, the likelier one first.
    hard : bool
        Whether the goal is to converge at all, where peers may not.
    """

    frame: Callable[[], pd.DataFrame]
    formula: str
    family: str
    goal: float | None
    centred: tuple[bool, ...] = (False,)
    hard: bool = False

    @property
    def correlated(self) -> bool:
        """Whether a term has more than an intercept."""
        return re.search(r"\((?!1 \|)[^()]*\|", self.formula) is not None


def _text(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return frame.astype(dict.fromkeys(columns, str))


def _binary() -> pd.DataFrame:
    design = acceptance.simulate("slope", GROUPS).design
    (term,), (factor,) = design.terms, design.factors
    return pd.DataFrame({"y": design.response.y.astype(int), "x": term.z[:, 1], "g": factor.index})


def _grouseticks() -> pd.DataFrame:
    frame = pd.read_csv(DATA / "grouseticks.csv")
    return _text(frame, "INDEX", "BROOD", "YEAR", "LOCATION")


VERBAGG = "y ~ Anger + Gender + btype + situ + mode"
BOTH = (False, True)  # neither is at home everywhere where a group has many rows

CASES = {
    "epil": Case(
        lambda: bg.load_dataset("epil"),
        "y ~ lbase * trt + lage + V4 + (1 | subject)",
        "poisson",
        100,
        BOTH,
    ),
    "epil slope": Case(
        lambda: bg.load_dataset("epil").assign(vis=lambda f: (2 * f.period - 5) / 10),
        "y ~ lbase * trt + lage + vis + (vis | subject)",
        "poisson",
        250,
        BOTH,
    ),
    "cbpp": Case(
        lambda: _text(bg.load_dataset("cbpp"), "period"),
        "incidence | trials(size) ~ period + (1 | herd)",
        "binomial",
        15,
        BOTH,
    ),
    "sleepstudy": Case(
        lambda: bg.load_dataset("sleepstudy"),
        "Reaction ~ Days + (Days | Subject)",
        "gaussian",
        50,
        (True, False),
    ),
    "sim_logit 500x10": Case(
        lambda: pd.read_csv(ROOT / "tests" / "data" / "sim_logit_500x10.csv"),
        "y ~ x1 + x2 + x3 + x4 + (x1 | g)",
        "bernoulli",
        150,
    ),
    "binary 10,000x10": Case(_binary, "y ~ x + (x | g)", "bernoulli", None),
    "crossed Poisson": Case(
        lambda: pd.read_csv(DATA / "crossed_poisson.csv.gz"),
        "y ~ x1 + x2 + (1 | a) + (1 | b)",
        "poisson",
        200,
        (True, False),
    ),
    "VerbAgg": Case(ml_cases.verbagg, f"{VERBAGG} + (1 | id) + (1 | item)", "bernoulli", 60, BOTH),
    "VerbAgg slope": Case(
        ml_cases.verbagg, f"{VERBAGG} + (mode | id) + (1 | item)", "bernoulli", 40
    ),
    "salamander": Case(
        lambda: bg.load_dataset("salamander"),
        "Mate ~ Cross + (1 | Female) + (1 | Male)",
        "bernoulli",
        3,
    ),
    "penicillin": Case(
        lambda: bg.load_dataset("penicillin"),
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        "gaussian",
        None,
        (True, False),
        hard=True,
    ),
    "grouseticks": Case(
        _grouseticks,
        "TICKS ~ YEAR + cHEIGHT + (1 | LOCATION) + (1 | BROOD) + (1 | INDEX)",
        "poisson",
        None,
        hard=True,
    ),
    "InstEval Gaussian": Case(
        ml_cases.insteval, "y ~ 1 + (1 | s) + (1 | d)", "gaussian", 15, (True, False)
    ),
    "InstEval binary": Case(ml_cases.insteval, "y4 ~ 1 + (1 | s) + (1 | d)", "bernoulli", 100),
}


def build(case: Case, frame: pd.DataFrame) -> tuple[Model, dict[str, dict]]:
    """Return the model, and its priors in numbers by row as keyword arguments."""
    design = bg.glmm(case.formula, frame, family=case.family).design
    y = design.response.y
    s, m = (float(y.std()), float(y.mean())) if case.family == "gaussian" else (1.0, 0.0)
    normal = {
        name: {"mean": 0.0, "sd": PRIOR_SDS * s / float(x.std())}
        for name, x in zip(design.columns, design.X.T, strict=True)
        if name != "Intercept"
    }
    normal["Intercept"] = {"mean": m, "sd": PRIOR_SDS * s}
    positive = {"sd": {"df": SD_DF, "scale": PRIOR_SDS * s}}
    if case.family == "gaussian":
        positive["sigma"] = positive["sd"]
    priors = {"normal": normal, "half_student_t": positive, "lkj": {"cor": {"eta": LKJ}}}
    return bg.glmm(case.formula, frame, family=case.family, priors=ours(priors)), priors


def ours(priors: dict[str, dict]) -> dict:
    """Return priors in numbers as this package states them."""
    return {
        **{name: bg.Normal(**numbers) for name, numbers in priors["normal"].items()},
        **{name: bg.HalfStudentT(**numbers) for name, numbers in priors["half_student_t"].items()},
        **{name: bg.LKJ(**numbers) for name, numbers in priors["lkj"].items()},
    }


def write(case: Case, folder: Path) -> str:
    """Write what programs read into a folder; return its fingerprint."""
    frame = case.frame()
    text = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    frame = frame.astype(dict.fromkeys(text, str))
    model, priors = build(case, frame)
    design = model.design
    slopes = [name for name in design.columns if name != "Intercept"]
    X = design.X[:, [design.columns.index(name) for name in slopes]]
    arrays = {"y": design.response.y, "center": X.mean(axis=0), "X": X - X.mean(axis=0)}
    if design.response.trials is not None:
        arrays["trials"] = design.response.trials
    for k, term in enumerate(design.terms):
        arrays[f"index{k}"], arrays[f"z{k}"] = design.factors[term.factor].index, term.z
    problem = {
        "formula": case.formula,
        "family": case.family,
        "text": text,
        "columns": slopes,
        "groups": [design.factors[term.factor].name for term in design.terms],
        "levels": [len(design.factors[term.factor].levels) for term in design.terms],
        "priors": priors,
    }
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "frame.csv", index=False)
    np.savez(folder / "arrays.npz", **arrays)
    (folder / "problem.json").write_text(json.dumps(problem, indent=1), encoding="utf-8")
    digest = hashlib.sha256(json.dumps(problem, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(np.round(arrays[name], 9), float).tobytes())
    return digest.hexdigest()[:12]
