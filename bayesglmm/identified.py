"""What a likelihood alone cannot tell: refused before a fit, or found in what came out of it.

A posterior with proper priors exists for all of it, so every sentence names that way out.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from . import checks
from .checks.findings import COUNTS, PROPORTIONS
from .errors import DataError
from .fits import separation

if TYPE_CHECKING:
    from .fits.outcome import Outcome
    from .model import Model

PRIOR = "a proper prior gives an answer: model.sample()"
NEARLY_DEPENDENT = 1e-6  # least eigenvalue of the columns' correlations that needs no closer look
NEARLY_PERFECT = 1e-8  # share of the response's variance left over that needs no closer look
LARGE_SE = 5.0  # of a column of unit spread, on the scale of eta: the data say nothing
ZERO_SIGMA = 1e-6  # of the response's sd
SHOWN = 6  # columns named in one sentence
NO_MAXIMUM = "so it has no maximum and these are no estimates"


def refuse(model: "Model", effects: bool = True) -> None:
    """Refuse a model whose parameters the likelihood cannot tell apart.

    Parameters
    ----------
    model : Model
    effects : bool
        Whether the method fits the random effects.

    Raises
    ------
    DataError
        Naming the columns or the group.
    """
    _columns(model)
    if not effects:
        return
    design = model.design
    family, y = model.family.name, design.response.y
    trials = np.ones_like(y) if design.response.trials is None else design.response.trials
    single = np.max(trials * design.weights) <= 1.0
    for term in design.terms:
        factor = design.factors[term.factor]
        if len(factor.levels) == 1:
            raise DataError(
                f"{factor.name} has 1 level: the likelihood says nothing of its sd. Leave "
                f"{term.text} out; {PRIOR}"
            )
        if "Intercept" not in term.names or len(factor.levels) < y.size:
            continue
        if family == "gaussian":
            raise DataError(
                f"{factor.name} has one row a level: sd(Intercept|{factor.name}) and sigma cannot "
                f"be told apart. Leave {term.text} out; {PRIOR}"
            )
        if family in PROPORTIONS and single:
            raise DataError(
                f"{factor.name} has one row a level: sd(Intercept|{factor.name}) is not identified "
                f"by a 0/1 response. Leave {term.text} out; {PRIOR}"
            )


def _columns(model: "Model") -> None:
    """Refuse dependent columns, and a Gaussian response that they fit without error."""
    design = model.design
    n, p = design.X.shape
    if p == 0:
        return
    X = model.problem.data.obs.X
    gaussian = model.family.name == "gaussian"
    gram = X @ X.T
    scale = np.sqrt(np.diag(gram))
    suspect = p > n or not np.all(scale > 0.0)
    if not suspect:
        suspect = np.linalg.eigvalsh(gram / np.outer(scale, scale))[0] < NEARLY_DEPENDENT
    if gaussian and not suspect:
        y = model.problem.data.obs.y - model.problem.data.obs.offset
        y = y - y.mean()
        left = y @ y - (X @ y) @ np.linalg.solve(gram, X @ y)
        suspect = left < NEARLY_PERFECT * (y @ y)
    if not suspect:
        return
    observed = checks.Observed(
        model.family.name,
        design.response.name,
        design.response.y - (design.offset if gaussian else 0.0),
        None,
        None,
    )
    findings = checks.Findings()
    checks.fixed_effects(design.X, design.columns, observed, findings)
    for text in findings.warnings:
        raise DataError(f"there is no maximum-likelihood fit: {text}; {PRIOR}")


def judge(model: "Model", outcome: "Outcome") -> "Outcome":
    """Say of an outcome where the likelihood has no maximum."""
    found = _unbounded(model, outcome)
    return replace(outcome, unbounded=found) if found else outcome


def _unbounded(model: "Model", outcome: "Outcome") -> tuple[str, ...]:
    design, family = model.design, model.family.name
    p, name = design.X.shape[1], design.response.name
    if family == "gaussian":
        last = outcome.theta.size - (2 if outcome.scale else 1)
        if np.exp(outcome.theta[last]) < ZERO_SIGMA * design.response.y.std():
            return (
                f"sigma goes to 0, since the model fits {name} perfectly: the likelihood rises "
                f"without end, {NO_MAXIMUM}; {PRIOR}",
            )
        return ()
    with np.errstate(invalid="ignore"):
        se = np.sqrt(np.diag(outcome.covariance)[:p])
    suspect = not (outcome.converged and outcome.definite and np.all(se < LARGE_SE))
    if suspect:
        sets = separating(model)
        if ("Intercept",) in sets:
            return (
                f"{name} is the same in all rows: the likelihood rises without end with the "
                f"intercept, {NO_MAXIMUM}; {PRIOR}",
            )
        if sets:
            return tuple(_separated(names, name) for names in sets)
    if family in PROPORTIONS and outcome.method != "glm":
        return _concordant(model)
    return ()


def separating(model: "Model") -> list[tuple[str, ...]]:
    """Names of the columns of each set that separates the response."""
    obs, family = model.problem.data.obs, model.family
    if family.name in PROPORTIONS:
        rows = separation.proportions(obs.X, obs.y, obs.w)
    elif family.name in COUNTS and family.link == "log":
        rows = separation.counts(obs.X, obs.y, obs.w)
    else:
        return []
    return [
        tuple(model.design.columns[j] for j in columns) for columns in separation.separating(rows)
    ]


def _separated(names: tuple[str, ...], response: str) -> str:
    others = [name for name in names if name != "Intercept"]
    one = len(others) == 1
    shown = ", ".join(others[:SHOWN]) + (", ..." if len(others) > SHOWN else "")
    return (
        f"{shown} {'separates' if one else 'together separate'} {response}: the likelihood rises "
        f"without end with {'its coefficient' if one else 'their coefficients'}, {NO_MAXIMUM}; "
        f"{PRIOR}"
    )


def _concordant(model: "Model") -> tuple[str, ...]:
    """Factors within whose levels a 0/1 response never varies, so that their sd runs away.

    A level whose responses are all alike is the likelier, the larger the sd; an approximation of
    the likelihood may have a maximum all the same.
    """
    data, design = model.problem.data, model.design
    lines = []
    for term in design.terms:
        factor = design.factors[term.factor]
        if "Intercept" not in term.names:
            continue
        level, levels = data.level[term.factor], len(factor.levels)
        sums = np.bincount(level, data.obs.y, levels)
        totals = np.bincount(level, data.obs.w, levels)
        if np.all((sums == 0.0) | (sums == totals)) and totals.max() > 1.0:
            lines.append(
                f"{design.response.name} never varies within a level of {factor.name}: the data "
                f"set no upper limit to sd(Intercept|{factor.name}), whose estimate depends on "
                f"where the search stopped; {PRIOR}"
            )
    return tuple(lines)
