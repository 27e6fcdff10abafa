"""Means over the population: E of the inverse link of a normal linear predictor, and variances.

With eta + N(0, v) on the scale of the link:

    identity  eta                  log   exp(eta + v / 2)
    probit    Phi(eta / sqrt(1 + v))     sqrt  eta^2 + v

and for logit and cloglog an integral. The trapezoidal rule finds it: for a function that is
analytic in a strip of half-width a around the real line its error is of the order
exp(-2 pi a / h) (Trefethen and Weideman 2014, SIAM Review 56, 385), whatever eta is, and the strip
is as wide as the link's nearest singularity, pi / sqrt(v) for the logit. Gauss-Hermite's nodes
would have to be many for a large v.
"""

import math

import numpy as np

from . import links
from .errors import DataError

# Step of the trapezoidal rule: at most WIDEST, and STEP / sqrt(v) for a link; errors below 1e-10.
WIDEST = 0.45
STEP = {"logit": 0.75, "cloglog": 0.4}
REACH = 9.0  # standard deviations on either side: what is beyond is less than 1e-18
FARTHEST = 12.0  # by which the integrand's peak may lie away from 0: by sqrt(v) under logit
RARE = 1e-4  # probabilities below this are not found as 1 minus the other
# Zeger, Liang and Albert (1988), Biometrics 44, 1049: a logistic curve is about the normal one with
# sd 15 pi / (16 sqrt 3) = 1.7, so that coefficients shrink by 1 / sqrt(1 + v / 1.7^2).
LOGISTIC = 15.0 * math.pi / (16.0 * math.sqrt(3.0))


def linked(link: str, eta: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Link of the mean, g(E[g^-1(eta + N(0, v))]), as accurate in the tails as in the middle.

    Parameters
    ----------
    link : str
    eta, v : ndarray
        Linear predictor and variance, broadcast against each other.

    Raises
    ------
    DataError
        For a link under which the mean does not exist.
    """
    eta, v = np.broadcast_arrays(np.asarray(eta, dtype=float), np.asarray(v, dtype=float))
    if link == "identity":
        return eta.copy()
    if link == "log":
        return np.asarray(eta + 0.5 * v)
    if link == "probit":
        return np.asarray(eta / np.sqrt(1.0 + v))
    if link == "sqrt":
        return np.sqrt(eta**2 + v)
    if link == "logit":
        return _logit(eta, v)
    if link == "cloglog":
        return _cloglog(eta, v)
    raise DataError(f"under the {link} link the mean over normal effects does not exist")


def approximate(link: str, eta: np.ndarray, v: np.ndarray) -> np.ndarray | None:
    """What the c = 1.7 approximation makes of `linked`; None for links it is not for."""
    return np.asarray(eta / np.sqrt(1.0 + v / LOGISTIC**2)) if link == "logit" else None


def response_variance(
    family: str, link: str, eta: np.ndarray, v: np.ndarray, phi: np.ndarray, trials: np.ndarray
) -> np.ndarray:
    """Variance of a response over the population: E[Var(Y | u)] + Var(E[Y | u]).

    For counts of trials it is that of the proportion. Under the log link
    ``Var(E[Y | u]) = E^2 (exp(v) - 1)``.

    Parameters
    ----------
    family, link : str
    eta, v : ndarray
        Linear predictor and variance of its effects.
    phi : ndarray
        Dispersion: sigma, size or shape.
    trials : ndarray

    Raises
    ------
    DataError
        For a family whose variance is not known here, or a link without moments.
    """
    eta, v = np.broadcast_arrays(np.asarray(eta, dtype=float), np.asarray(v, dtype=float))
    mean = links.get(link).inverse(linked(link, eta, v))
    square = _mean_square(link, eta, v)
    within = {
        "gaussian": lambda: np.broadcast_to(np.asarray(phi) ** 2, mean.shape),
        "poisson": lambda: mean,
        "bernoulli": lambda: mean - square,
        "binomial": lambda: (mean - square) / trials,
        "negative_binomial": lambda: mean + square / phi,
        "gamma": lambda: square / phi,
    }
    if family not in within:
        raise DataError(f"the variance of family {family!r} is not known")
    with np.errstate(divide="ignore", invalid="ignore"):
        made = within[family]() + square - mean**2
    # Of no trials there is no proportion.
    return np.where(np.asarray(trials) > 0.0, made, np.nan)


def _mean_square(link: str, eta: np.ndarray, v: np.ndarray) -> np.ndarray:
    """E of the squared mean given the effects."""
    if link == "identity":
        return np.asarray(eta**2 + v)
    if link == "log":
        return np.exp(2.0 * eta + 2.0 * v)
    if link == "sqrt":
        return np.asarray(eta**4 + 6.0 * eta**2 * v + 3.0 * v**2)
    inverse = links.get(link).inverse
    nodes, weights, sd = _rule(link, v)
    total = np.zeros_like(eta)
    for x, w in zip(nodes, weights, strict=True):
        total += w * inverse(eta + sd * x) ** 2
    return total


def _rule(link: str, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and weights for the largest variance, and standard deviations."""
    sd = np.sqrt(v)
    largest = float(sd.max(initial=0.0))
    step = min(WIDEST, STEP.get(link, STEP["cloglog"]) / max(largest, 1e-300))
    farthest = min(largest, FARTHEST) if link == "logit" else FARTHEST
    half = math.ceil((REACH + farthest) / step)
    nodes = step * np.arange(-half, half + 1)
    weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum(), sd


def _logit(eta: np.ndarray, v: np.ndarray) -> np.ndarray:
    """By the smaller of the two probabilities."""
    nodes, weights, sd = _rule("logit", v)
    distance = np.abs(eta)
    small = np.zeros_like(eta)
    with np.errstate(over="ignore"):  # 1 / (1 + inf) is 0
        for x, w in zip(nodes, weights, strict=True):
            small += w / (1.0 + np.exp(distance - sd * x))
    return np.sign(eta) * (np.log1p(-small) - np.log(small))


def _cloglog(eta: np.ndarray, v: np.ndarray) -> np.ndarray:
    """By the probability of no event; by that of an event where it is small."""
    nodes, weights, sd = _rule("cloglog", v)
    rest = np.zeros_like(eta)
    with np.errstate(over="ignore"):  # exp(-inf) is 0
        for x, w in zip(nodes, weights, strict=True):
            rest += w * np.exp(-np.exp(eta + sd * x))
    rare = rest > 1.0 - RARE
    with np.errstate(divide="ignore", invalid="ignore"):  # a rest of 0; one that rounds above 1
        made = np.log(-np.log(rest))
    if np.any(rare):
        own, spread = eta[rare], sd[rare]
        mean = np.zeros_like(own)
        with np.errstate(over="ignore"):
            for x, w in zip(nodes, weights, strict=True):
                mean -= w * np.expm1(-np.exp(own + spread * x))
        made[rare] = np.log(-np.log1p(-mean))
    return made
