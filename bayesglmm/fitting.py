"""From a model to its maximum-likelihood fit: which method, and what it takes."""

import inspect
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks, identified
from .errors import DataError
from .fits import degrees, glm, laplace, linear, pseudo_likelihood, quadrature
from .fits.refinement import Least, slope
from .likelihood_fit import Fit
from .problem import back, to_user

if TYPE_CHECKING:
    from .fits.outcome import Outcome
    from .model import Model

METHODS = ("laplace", "aghq", "rspl", "mspl", "reml", "ml", "glm")
LINEAR, PSEUDO = ("reml", "ml"), ("rspl", "mspl")
SCALES = ("fixed", "estimate")  # of a pseudo-likelihood: the family's variance, or a multiple of it
BY_DEGREES = (*LINEAR, *PSEUDO)  # methods whose coefficients are tested by Student's t
RULES = (*degrees.RULES, "none")
# Rounding costs 1e-13 standard errors: digits only of coefficients that are far below their own.
FAINT = 0.01
REFINEMENTS = 2  # each takes five digits and more
MOST_REFINED = 20_000  # numbers of X: more would take longer than the fit
ROUNDING = 1e-3  # standard errors: what moves further was not rounded, but has not arrived


def fit(
    model: "Model",
    method: str = "laplace",
    *,
    nodes: int | None = None,
    df: str | None = None,
    scale: str | None = None,
    **unknown: Any,
) -> Fit:
    """Fit a model by maximum likelihood; the arguments are those of `Model.fit`.

    Raises
    ------
    DataError
        For a method that does not exist or does not suit the model, or an option that does not
        belong to the method, with what does.
    TypeError
        For an argument that does not exist, with the close ones.
    """
    if unknown:
        allowed = [name for name in inspect.signature(fit).parameters if name != "unknown"]
        checks.unknown_keywords("fit", unknown, allowed[1:])
    if method not in METHODS:
        raise DataError(f"method {method!r} does not exist; there are {', '.join(METHODS)}")
    _belongs("nodes", nodes, method, ("aghq",))
    _belongs("df", df, method, BY_DEGREES)
    _belongs("scale", scale, method, PSEUDO)
    if scale not in (None, *SCALES):
        raise DataError(f"scale has to be one of {', '.join(SCALES)}, not {scale!r}")
    if method in LINEAR and (model.family.name, model.family.link) != ("gaussian", "identity"):
        raise DataError(
            f"method {method!r} is for a gaussian response with identity link; this model is "
            f"{model.family.name} with link {model.family.link}: 'laplace', 'aghq' or 'rspl' fit it"
        )
    if df is not None and df not in RULES:
        raise DataError(f"df has to be one of {', '.join(RULES)}, not {df!r}")
    rule = df or ("containment" if method in BY_DEGREES else "none")
    identified.refuse(model, effects=method != "glm")
    try:
        outcome = _outcome(model, method, nodes, scale or "fixed")
    except (np.linalg.LinAlgError, ArithmeticError) as error:
        raise identified.failed(model, method, error) from error
    outcome = identified.judge(model, _refined(model, outcome))
    made = Fit(model, outcome, "" if rule == "none" else rule)
    if rule == "between-within":
        _ = made.denominator  # refused here where factors are not nested, not when it is printed
    return made


def _outcome(model: "Model", method: str, nodes: int | None, scale: str) -> "Outcome":
    rows, data, start, _, _ = model.problem
    # Where values overflow, the step is rejected: numpy's warnings of it help nobody.
    with np.errstate(all="ignore"):
        if method == "aghq":
            return quadrature.fit(rows, data, start, nodes)
        if method in LINEAR:
            return linear.fit(rows, data, start, method)
        if method in PSEUDO:
            total = float(model.design.weights.sum())
            return pseudo_likelihood.fit(rows, data, start, method, scale, total)
        if method == "glm":
            return glm.fit(rows, data, start)
        return laplace.fit(rows, data, start)


def _refined(model: "Model", outcome: "Outcome") -> "Outcome":
    """Least squares to the last digits: the coefficients of a Gaussian model without effects."""
    design = model.design
    known = design.response.se is not None or outcome.scale or not outcome.converged
    if (model.family.name, str(model.family.link)) != ("gaussian", "identity") or known:
        return outcome
    if design.terms or design.X.size > MOST_REFINED:
        return outcome
    y, weights = design.response.y, design.weights
    least = Least(design.X, model.x_center, model.x_scale, y, design.offset, weights)
    p, sigma = design.X.shape[1], math.exp(outcome.theta[-1])
    if not (sigma > 0.0 and least.safe):
        return outcome
    covariance, slopes = outcome.covariance[:p, :p], back(model)
    errors = np.sqrt(np.diag(slopes @ covariance @ slopes.T))
    faint = np.abs(to_user(model, outcome.theta, None)["beta"]) < FAINT * errors
    if outcome.method in LINEAR and not faint.any():
        return outcome
    theta, inverse = outcome.theta.copy(), covariance / sigma**2
    for _ in range(REFINEMENTS):
        theta[:p] += inverse @ slope(least, to_user(model, theta, None)["beta"])
    moved = np.abs(theta - outcome.theta)[:p]
    small = np.all(moved < ROUNDING * np.sqrt(np.diag(covariance)))
    return replace(outcome, theta=theta) if small else outcome


def _belongs(option: str, value: Any, method: str, methods: tuple[str, ...]) -> None:
    if value is not None and method not in methods:
        raise DataError(
            f"{option} belongs to {', '.join(methods)}; method {method!r} has no use for it"
        )
