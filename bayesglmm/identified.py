"""What a likelihood alone cannot tell: refused before a fit, or found in what came out of it.

A posterior with proper priors exists for all of it, so every sentence names that way out.
"""

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from . import checks
from .checks.coefficients import PERFECT_FIT
from .checks.findings import COUNTS, PROPORTIONS
from .errors import DataError
from .fits import separation

if TYPE_CHECKING:
    from .fits.outcome import Outcome
    from .model import Model

PRIOR = "a proper prior gives an answer: model.sample()"
NEARLY_DEPENDENT = 1e-6  # least eigenvalue of the columns' correlations that needs no closer look
SCALED = ("gaussian", "gamma")  # families whose dispersion a perfect fit sends to its end
NEARLY_PERFECT = 1e-8  # share of the response's variance left over that needs no closer look
LARGE_SE = 5.0  # of a column of unit spread, on the scale of eta: the data say nothing
ZERO_SIGMA = 1e-6  # of the response's sd
SHOWN = 6  # columns named in one sentence
NO_MAXIMUM = "so it has no maximum and these are no estimates"

# Models that nothing was found against, and whether their random effects were looked at: a fit of a
# small model takes less time than the look.
_PASSED: WeakKeyDictionary["Model", set[bool]] = WeakKeyDictionary()


def refuse(model: "Model", effects: bool = True) -> None:
    """Refuse a model whose parameters the likelihood cannot tell apart; once is enough for a model.

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
    passed = _PASSED.setdefault(model, set())
    if effects in passed:
        return
    _columns(model)
    if effects:
        _groups(model)
    passed.add(effects)


def _groups(model: "Model") -> None:
    """Refuse groups whose sd the likelihood says nothing of."""
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
        if "Intercept" not in term.names:
            continue
        if len(factor.levels) < y.size:
            if family in SCALED:
                _perfect_within(model, term.factor)
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


def _perfect_within(model: "Model", factor: int) -> None:
    """Refuse a response that the fixed effects fit without error but for one value a level."""
    design = model.design
    group, level = design.factors[factor], design.factors[factor].index
    z = model.family.linkfun(design.response.y) - design.offset
    counts = np.maximum(np.bincount(level, minlength=len(group.levels)), 1)

    def centred(x: np.ndarray) -> np.ndarray:
        made: np.ndarray = x - (np.bincount(level, x, counts.size) / counts)[level]
        return made

    z, total = centred(z), float(np.square(z - z.mean()).sum())
    columns = ((design.X - model.x_center) / model.x_scale).T
    X = np.array([centred(x) for x in columns]).reshape(-1, z.size)
    if z @ z > NEARLY_PERFECT * total:
        beta = np.linalg.lstsq(X @ X.T, X @ z, rcond=None)[0]
        if z @ z - beta @ (X @ z) > NEARLY_PERFECT * total:
            return
    left = z - np.linalg.lstsq(X.T, z, rcond=None)[0] @ X if X.size else z
    if left @ left <= PERFECT_FIT**2 * total:
        dispersion = model.family.dispersion
        end = "goes to 0" if dispersion == "sigma" else "goes to infinity"
        raise DataError(
            f"there is no maximum-likelihood fit: the fixed effects and {group.name} fit "
            f"{design.response.name} perfectly, so that {dispersion} {end}, where the likelihood "
            f"has no bound; {PRIOR}"
        )


def judge(model: "Model", outcome: "Outcome") -> "Outcome":
    """Say of an outcome where the likelihood has no maximum."""
    found = _unbounded(model, outcome)
    return replace(outcome, unbounded=found) if found else outcome


def failed(model: "Model", method: str, error: Exception) -> DataError:
    """What to say where the search of a method led out of the numbers."""
    binary = model.family.name in PROPORTIONS and method != "glm"
    found = _separations(model) or (_concordant(model) if binary else ())
    reason = (
        f"method {method!r} found no maximum: its search led out of the numbers ({error}). Look "
        f"for a response that the model fits perfectly, or an effect that the data cannot show; "
        f"{PRIOR}"
    )
    return DataError(found[0] if found else reason)


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
    if family == "negative_binomial" and not model.problem.data.obs.y.any():
        return (
            f"{name} is 0 in all rows: the likelihood rises without end as size goes to 0, "
            f"{NO_MAXIMUM}; {PRIOR}",
        )
    if suspect and (found := _separations(model)):
        return found
    if family in PROPORTIONS and outcome.method != "glm":
        return _concordant(model)
    return ()


def _separations(model: "Model") -> tuple[str, ...]:
    """A sentence for each set of columns that separates the response."""
    sets, name = separating(model), model.design.response.name
    if ("Intercept",) in sets:
        return (
            f"{name} is the same in all rows: the likelihood rises without end with the "
            f"intercept, {NO_MAXIMUM}; {PRIOR}",
        )
    return tuple(_separated(names, name) for names in sets)


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
