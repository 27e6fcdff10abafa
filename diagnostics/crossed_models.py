"""Models with several grouping factors on real data: crossed, nested, with a slope.

Data and priors are those of the benchmark against peers; tvsfp is the nested one that is not in it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import bayesglmm as bg
from bayesglmm.model import Model

from .peers_cases import CASES, Case, build

PERSONS = 80  # of VerbAgg where the whole of it is not needed
TVSFP = Case(
    lambda: bg.load_dataset("tvsfp").astype({"school": str, "class": str}),
    "thksbin ~ thkspre + cc * tv + (1 | school / class)",
    "bernoulli",
    None,
)


def make(case: Case, keep: int = 0, **priors: Any) -> Model:
    """Return the model of a case, or of its first `keep` persons; `priors` replace the rule."""
    frame = case.frame()
    if keep:
        frame = frame[frame.id.isin(frame.id.unique()[:keep])]
    model, _ = build(case, frame)
    if not priors:
        return model
    fixed = dict(zip(model.design.columns, model.priors.beta, strict=True))
    sd = bg.HalfStudentT(3, 2.5)
    return bg.glmm(case.formula, frame, case.family, priors=fixed | {"sd": sd} | priors)


def whole() -> dict[str, Callable[[], Model]]:
    """The models whose speed is measured."""
    names = (
        "VerbAgg",
        "VerbAgg slope",
        "salamander",
        "crossed Poisson",
        "grouseticks",
        "penicillin",
        "InstEval binary",
    )
    found = {name: lambda name=name: make(CASES[name]) for name in names}
    return found | {"tvsfp": lambda: make(TVSFP)}


def compared() -> dict[str, Callable[[], Model]]:
    """The models that are small enough for another sampler."""
    slope = CASES["VerbAgg slope"]
    scale = np.diag([1.0, 0.5]).tolist()
    return {
        "salamander": lambda: make(CASES["salamander"]),
        "penicillin": lambda: make(CASES["penicillin"]),
        "tvsfp": lambda: make(TVSFP),
        "grouseticks": lambda: make(CASES["grouseticks"]),
        "VerbAgg": lambda: make(CASES["VerbAgg"], PERSONS),
        "VerbAgg slope": lambda: make(slope, PERSONS),
        "VerbAgg slope, inverse-Wishart": lambda: make(
            slope, PERSONS, id=bg.InverseWishart(6, scale)
        ),
        "VerbAgg slope, Huang-Wand": lambda: make(slope, PERSONS, id=bg.HuangWand(2.5)),
    }
