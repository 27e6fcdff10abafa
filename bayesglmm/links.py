"""Links: how the mean meets the linear predictor, ``g(mu) = eta``, over arrays.

These serve starting values, default priors, predictions and simulated responses. The compiled row
functions of ``families`` have each link written into them instead.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Function = Callable[[ArrayLike], NDArray[np.float64]]


@dataclass(frozen=True)
class Link:
    """A link function.

    Attributes
    ----------
    name : str
        What users write, for example ``"logit"``.
    link : callable
        g: mu to eta.
    inverse : callable
        eta to mu; nan where eta is outside the domain.
    derivative : callable
        g': d eta / d mu, as a function of mu.
    """

    name: str
    link: Function
    inverse: Function
    derivative: Function


def _identity(x: ArrayLike) -> NDArray[np.float64]:
    return np.array(x, dtype=np.float64)


def _ones(x: ArrayLike) -> NDArray[np.float64]:
    return np.ones_like(x, dtype=np.float64)


def _positive(eta: ArrayLike) -> NDArray[np.float64]:
    """Keep eta where it is in the domain (0, inf) of the link, nan elsewhere."""
    values = _identity(eta)
    return np.where(values > 0.0, values, np.nan)


def _logit(mu: ArrayLike) -> NDArray[np.float64]:
    return np.log(mu) - np.log1p(-_identity(mu))


def _expit(eta: ArrayLike) -> NDArray[np.float64]:
    values = _identity(eta)
    small = np.exp(-np.abs(values))
    return np.where(values >= 0.0, 1.0, small) / (1.0 + small)


def _probit(mu: ArrayLike) -> NDArray[np.float64]:
    from scipy.special import ndtri

    return np.asarray(ndtri(mu))


def _normal_cdf(eta: ArrayLike) -> NDArray[np.float64]:
    from scipy.special import ndtr

    return np.asarray(ndtr(eta))


def _probit_derivative(mu: ArrayLike) -> NDArray[np.float64]:
    return np.sqrt(2.0 * np.pi) * np.exp(0.5 * _probit(mu) ** 2)


def _cloglog(mu: ArrayLike) -> NDArray[np.float64]:
    return np.log(-np.log1p(-_identity(mu)))


def _cloglog_inverse(eta: ArrayLike) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # e^eta = inf is mu = 1
        return -np.expm1(-np.exp(_identity(eta)))


def _cloglog_derivative(mu: ArrayLike) -> NDArray[np.float64]:
    values = _identity(mu)
    return -1.0 / ((1.0 - values) * np.log1p(-values))


def _exp(eta: ArrayLike) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # the row functions give such rows density 0
        return np.exp(_identity(eta))


LINKS = {
    link.name: link
    for link in (
        Link("identity", _identity, _identity, _ones),
        Link(
            "inverse",
            lambda mu: 1.0 / _identity(mu),
            lambda eta: 1.0 / _positive(eta),
            lambda mu: -(_identity(mu) ** -2.0),
        ),
        Link("log", lambda mu: np.log(_identity(mu)), _exp, lambda mu: 1.0 / _identity(mu)),
        Link("logit", _logit, _expit, lambda mu: 1.0 / (_identity(mu) * (1.0 - _identity(mu)))),
        Link("probit", _probit, _normal_cdf, _probit_derivative),
        Link("cloglog", _cloglog, _cloglog_inverse, _cloglog_derivative),
        Link(
            "sqrt",
            lambda mu: np.sqrt(_identity(mu)),
            lambda eta: _positive(eta) ** 2,
            lambda mu: 0.5 / np.sqrt(_identity(mu)),
        ),
    )
}


def get(name: str) -> Link:
    """Look a link up by name.

    Raises
    ------
    ValueError
        If there is no such link.
    """
    if name not in LINKS:
        raise ValueError(f"unknown link {name!r}; there are {', '.join(sorted(LINKS))}")
    return LINKS[name]
