"""Shares of variance: intraclass correlations and R2, on the scale of the link.

With the variance of the fixed part V_f, those of the groups V_g (averaged over the rows where there
are slopes, Johnson 2014) and that of one response V_r,

    ICC_g = V_g / (sum V_g + V_r),   R2 marginal = V_f / (V_f + sum V_g + V_r),
    R2 conditional = (V_f + sum V_g) / (V_f + sum V_g + V_r)

(Nakagawa, Johnson and Schielzeth 2017, J. R. Soc. Interface 14: 20170213). V_r is sigma^2 for
Gaussian responses, that of the latent variable for 0/1 responses and counts of trials (pi^2/3 under
logit, 1 under probit, pi^2/6 under cloglog), and by the log-normal approximation for log links:
log(1 + 1/mu + 1/size), log(1 + 1/shape), with mu the mean of the response over the population.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import averages
from .errors import DataError
from .marginal import Values, as_fit, delta, drawn, moved, variances
from .new_rows import Rows, rows_of
from .quantities import SHARE, UNTESTED, Drawn, Estimates, Quantities, refuse_unknown

if TYPE_CHECKING:
    from .derived import Derived
    from .model import Model

LATENT = {"logit": math.pi**2 / 3.0, "probit": 1.0, "cloglog": math.pi**2 / 6.0}
NONE = 1e-8  # a share below is 0: the sd was estimated as 0
CHUNK_VALUES = 2_000_000  # linear predictors held at once (16 MB)


def icc_of(model: "Model", values: Values) -> np.ndarray:
    """Intraclass correlations of draws, shape (draws, factors); see `icc`."""
    return _icc(*_parts(model, rows_of(model.design), values))


def _icc(fixed: np.ndarray, groups: np.ndarray, own: np.ndarray) -> np.ndarray:
    return np.asarray(groups / (groups.sum(axis=1) + own)[:, None])


def icc(result: "Derived", **limits: Any) -> Quantities:
    """Intraclass correlation of each grouping factor, given the predictors.

    Parameters
    ----------
    result : Fit or Posterior
    **limits
        ``level=0.95`` of a fit; ``ci_prob=0.95`` and ``ci_kind="eti"`` of a posterior.

    Raises
    ------
    DataError
        Without groups, or for a family and link whose response has no variance on this scale.
    """
    refuse_unknown(icc, result, limits)
    model = result.model
    factors = model.design.factors
    if not factors:
        raise DataError("a model without groups has no intraclass correlation")
    names = tuple(f"icc({factor.name})" for factor in factors)
    return _quantities(result, "Intraclass correlation", names, _icc, limits)


def r2(result: "Derived", **limits: Any) -> Quantities:
    """R2 of the fixed part (marginal) and of the fixed part and the groups (conditional).

    Parameters
    ----------
    result : Fit or Posterior
    **limits
        As of `icc`.

    Raises
    ------
    DataError
        For a family and link whose response has no variance on this scale.
    """
    refuse_unknown(r2, result, limits)

    def shares(fixed: np.ndarray, groups: np.ndarray, own: np.ndarray) -> np.ndarray:
        all_groups = groups.sum(axis=1)
        total = fixed + all_groups + own
        return np.stack([fixed / total, (fixed + all_groups) / total], axis=1)

    names = ("R2 marginal", "R2 conditional")
    return _quantities(result, "R2 (Nakagawa, Johnson and Schielzeth)", names, shares, limits)


def _quantities(
    result: "Derived",
    title: str,
    names: tuple[str, ...],
    shares: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    limits: dict[str, Any],
) -> Quantities:
    from .posterior import Posterior

    model = result.model
    rows = rows_of(model.design)
    if isinstance(result, Posterior):
        made = shares(*_parts(model, rows, drawn(result)))
        made = made.reshape(result.chains, result.draws, -1)
        return Drawn(title, names, made, UNTESTED, **limits)
    fit = as_fit(result)
    values, covariance = moved(fit)
    made = shares(*_parts(model, rows, values))
    none = made[0] < NONE
    with np.errstate(divide="ignore", invalid="ignore"):
        linear, covariance = delta(np.log(made) - np.log1p(-made), covariance)
    linear[none] = -np.inf
    covariance[none] = covariance[:, none] = np.nan  # at the boundary there is no standard error
    df = np.full(len(names), np.inf)
    return Estimates(title, names, linear, covariance, df, SHARE, **limits)


def _parts(model: "Model", rows: Rows, values: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """V_f (draws,), V_g (draws, factors) and V_r (draws,)."""
    design = model.design
    weights = rows.weights * (rows.trials if design.response.trials is not None else 1.0)
    weights = weights / weights.sum()
    draws, step = len(values.beta), max(1, CHUNK_VALUES // max(1, len(weights)))
    fixed, own = np.empty(draws), np.empty(draws)
    groups = np.zeros((draws, len(design.factors)))
    for start in range(0, draws, step):
        at = slice(start, start + step)
        part = Values(*(x[at] for x in values))
        eta = part.beta @ rows.X.T
        fixed[at] = ((eta - (eta @ weights)[:, None]) ** 2) @ weights
        eta += rows.offset
        total = np.zeros_like(eta)
        for f in range(len(design.factors)):
            z = tuple(
                own_z if term.factor == f else np.zeros_like(own_z)
                for term, own_z in zip(design.terms, rows.z, strict=True)
            )
            v = np.broadcast_to(variances(model, z, part.sd, part.cor), eta.shape)
            groups[at, f] = v @ weights
            total += v
        own[at] = _response_variance(model, eta, total, part.phi, weights)
    return fixed, groups, own


def _response_variance(
    model: "Model", eta: np.ndarray, v: np.ndarray, phi: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    family, link = model.family.name, model.family.link
    if family in ("bernoulli", "binomial"):
        return np.full(len(eta), LATENT[link])
    if (family, link) == ("gaussian", "identity"):
        return np.asarray(phi**2)
    if (family, link) == ("gamma", "log"):
        return np.log1p(1.0 / phi)
    if family in ("poisson", "negative_binomial") and link == "log":
        mean = np.exp(averages.linked(link, eta, v)) @ weights
        more = 1.0 / phi if family == "negative_binomial" else 0.0
        return np.log1p(1.0 / mean + more)
    if (family, link) == ("poisson", "sqrt"):
        return np.full(len(eta), 0.25)
    kind = (
        "response with known standard errors" if family == "gaussian_se" else f"{family} response"
    )
    raise DataError(
        f"a {kind} has no variance on the scale of the {link} link, so that shares of "
        "variance do not exist"
    )
