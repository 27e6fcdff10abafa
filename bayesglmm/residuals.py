"""Fitted values and residuals of the rows, at given coefficients and effects."""

from typing import TYPE_CHECKING

import numpy as np

from . import families
from .errors import DataError

if TYPE_CHECKING:
    from .model import Model

KINDS = ("deviance", "pearson", "response")
LARGEST_ETA = 700.0  # stands for infinity where a response fits only at the end of the scale
SMALLEST_MEAN = 1e-300  # of a count of 0 where the link has no infinity
UNSCALED = ("sigma", "shape")  # dispersions that a deviance leaves out, as in R


def linear_predictor(
    model: "Model", beta: np.ndarray, effects: dict[str, np.ndarray]
) -> np.ndarray:
    """Offset + X beta + Z u, shape (rows,)."""
    design = model.design
    eta = design.offset + design.X @ beta
    used: dict[str, int] = {}
    for term in design.terms:
        factor = design.factors[term.factor]
        first = used.get(factor.name, 0)
        used[factor.name] = first + len(term.names)
        own = effects[factor.name][:, first : used[factor.name]]
        eta = eta + (term.z * own[factor.index]).sum(axis=1)
    return np.asarray(eta)


def fitted(
    model: "Model", beta: np.ndarray, effects: dict[str, np.ndarray], kind: str
) -> np.ndarray:
    """Means or linear predictors.

    Raises
    ------
    DataError
        For an unknown kind.
    """
    if kind not in ("response", "link"):
        raise DataError(f"kind has to be 'response' or 'link', not {kind!r}")
    eta = linear_predictor(model, beta, effects)
    return eta if kind == "link" else model.family.linkinv(eta)


def residuals(
    model: "Model", beta: np.ndarray, effects: dict[str, np.ndarray], phi: float, kind: str
) -> np.ndarray:
    """Residuals of the rows.

    ``response``: y - mu (proportions for counts of trials). ``pearson``: that over the square root
    of the variance function, times the square root of the weight; the dispersion of Gaussian and
    Gamma responses is left out, as in R. ``deviance``: its sign, times the square root of twice
    what the row's log-likelihood lacks to the best that any mean could give (McCullagh and Nelder
    1989, section 2.4). Both are 0 for rows without weight or trials, as in R.

    Raises
    ------
    ValueError
        For an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind has to be one of {', '.join(KINDS)}, quantile, not {kind!r}")
    family, response = model.family, model.design.response
    eta = linear_predictor(model, beta, effects)
    trials = np.ones_like(eta) if response.trials is None else response.trials
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(trials > 0.0, response.y / trials, np.nan)
    difference = share - family.linkinv(eta)
    if kind == "response":
        return np.asarray(difference)
    if family.dispersion in UNSCALED:
        phi = 1.0
    y, w, _ = family.prepare(response.y, response.known, model.design.weights)
    rows = families.bind(family)
    a, b, best, spare = np.empty((4, eta.size))
    if kind == "pearson":
        rows(families.IWLS, eta, y, w, phi, a, b, spare, spare)
        # score = w (y - mu) / (V g'), weight = w / (V g'^2)
        scaled = np.divide(np.abs(a), np.sqrt(b), out=np.zeros_like(a), where=b > 0.0)
        return np.where(w > 0.0, np.sign(difference) * scaled, 0.0)
    rows(families.LOGLIK, eta, y, w, phi, a, spare, spare, spare)
    with np.errstate(divide="ignore", invalid="ignore"):
        top = family.linkfun(share)
        gaussian = family.dispersion == "sigma" or response.se is not None
        if family.link in ("identity", "sqrt", "inverse") and not gaussian:
            top = family.linkfun(np.maximum(share, SMALLEST_MEAN))
    top = np.clip(np.nan_to_num(top, posinf=LARGEST_ETA, neginf=-LARGEST_ETA), -1e300, 1e300)
    rows(families.LOGLIK, top, y, w, phi, best, spare, spare, spare)
    lacking = np.sqrt(2.0 * np.maximum(best - a, 0.0))
    return np.where(w > 0.0, np.sign(difference) * lacking, 0.0)
