"""Counts with overdispersion: mean mu, variance mu + mu^2 / size (NB2); phi = size.

With r = mu / size, the terms that depend on the parameters are

    loglik = w [ E(y, size) + y log(mu) - (y + size) log(1 + r) ],
    E      = log Gamma(y + size) - log Gamma(size) - y log(size).

E goes to 0 as size grows, and log(1 + r) to r: nothing of the order of size is ever subtracted, so
that the family turns into the Poisson one without losing digits.
"""

from math import lgamma
from typing import NamedTuple

import numpy as np

from .._jit import simd
from .._simd import INF, exp, log
from .._special import log1p_unit, log1pmx, log_rising, log_rising_slope
from ._registry import Array, Prepared, define


class NegativeBinomialLog(NamedTuple):
    """Marker of the negative binomial family with mu = exp(eta)."""


class NegativeBinomialIdentity(NamedTuple):
    """Marker of the negative binomial family with mu = eta > 0."""


class NegativeBinomialSqrt(NamedTuple):
    """Marker of the negative binomial family with mu = eta^2, eta > 0."""


def prepare(y: Array, trials: Array | None, weights: Array) -> Prepared:
    """Responses, weights, and the sum of -log(y!)."""
    factorials = np.array([lgamma(value + 1.0) for value in y])
    return y.copy(), weights.copy(), -float(weights @ factorials)


def draw(rng, mu, phi, trials):
    """Simulate counts, as Poisson counts with Gamma distributed means."""
    return rng.poisson(rng.gamma(phi, np.asarray(mu) / phi))


@simd
def _loglik(y, w, mu, log_mu, phi):
    ratio = mu / phi
    above = ratio > 1.0
    small = 1.0 / ratio if above else ratio
    log_phi = log(phi)
    linear = y * log_phi - phi * (log_mu - log_phi) if above else y * log_mu
    return w * (linear - (y + phi) * log1p_unit(small) + log_rising(y, phi))


@simd
def _dispersion_score(y, w, mu, log_mu, phi):
    ratio = mu / phi
    above = ratio > 1.0
    small = 1.0 / ratio if above else ratio
    share = 1.0 / (1.0 + small)
    far = (phi + y) * share - phi * (log_mu - log(phi) + log1p_unit(small))
    near = (y - mu) * small * share - phi * log1pmx(small)
    return w * (log_rising_slope(y, phi) + (far if above else near))


@simd
def _log_loglik(y, w, eta, phi):
    return _loglik(y, w, exp(eta), eta, phi)


@simd
def _log_score(y, w, eta, phi):
    mu = exp(eta)
    ratio = mu / phi
    above = ratio > 1.0
    small = 1.0 / ratio if above else ratio
    return w * (y * small - phi if above else y - mu) / (1.0 + small)


@simd
def _log_weight(y, w, eta, phi):
    mu = exp(eta)
    ratio = mu / phi
    above = ratio > 1.0
    small = 1.0 / ratio if above else ratio
    return w * (phi if above else mu) / (1.0 + small)


@simd
def _log_curvature(y, w, eta, phi):
    ratio = exp(eta) / phi
    small = 1.0 / ratio if ratio > 1.0 else ratio
    whole = 1.0 + small
    return w * (y + phi) * small / (whole * whole)


@simd
def _log_slope(y, w, eta, phi):
    ratio = exp(eta) / phi
    above = ratio > 1.0
    small = 1.0 / ratio if above else ratio
    whole = 1.0 + small
    turn = w * (y + phi) * small * (1.0 - small) / (whole * whole * whole)
    return -turn if above else turn


@simd
def _log_dispersion_score(y, w, eta, phi):
    return _dispersion_score(y, w, exp(eta), eta, phi)


@simd
def _identity_loglik(y, w, eta, phi):
    return _loglik(y, w, eta, log(eta), phi) if eta > 0.0 else -INF


@simd
def _identity_score(y, w, eta, phi):
    return w * (y - eta) / (eta * (1.0 + eta / phi))


@simd
def _identity_weight(y, w, eta, phi):
    return w / (eta * (1.0 + eta / phi))


@simd
def _identity_curvature(y, w, eta, phi):
    # y / mu^2 - (y + phi) / (phi + mu)^2, without the difference where phi is small.
    ratio = eta / phi
    whole = 1.0 + ratio
    rise = y / eta / eta * (1.0 + 2.0 * ratio)  # no 0 / 0, however small eta
    return w * (rise - 1.0 / phi) / (whole * whole)


@simd
def _identity_slope(y, w, eta, phi):
    ratio = eta / phi
    whole = 1.0 + ratio
    fall = y / eta / eta / eta * (1.0 + 3.0 * ratio * (1.0 + ratio))
    return 2.0 * w * (1.0 / (phi * phi) - fall) / (whole * whole * whole)


@simd
def _identity_dispersion_score(y, w, eta, phi):
    return _dispersion_score(y, w, eta, log(eta), phi)


@simd
def _sqrt_loglik(y, w, eta, phi):
    return _loglik(y, w, eta * eta, 2.0 * log(eta), phi) if eta > 0.0 else -INF


@simd
def _sqrt_score(y, w, eta, phi):
    return 2.0 * w * (y / eta - eta) / (1.0 + eta * eta / phi)


@simd
def _sqrt_weight(y, w, eta, phi):
    return 4.0 * w / (1.0 + eta * eta / phi)


@simd
def _sqrt_curvature(y, w, eta, phi):
    ratio = eta * eta / phi
    whole = 1.0 + ratio
    rise = y / eta / eta * (1.0 + 3.0 * ratio)
    return 2.0 * w * (rise + 1.0 - ratio) / (whole * whole)


@simd
def _sqrt_slope(y, w, eta, phi):
    ratio = eta * eta / phi
    whole = 1.0 + ratio
    turn = y / eta / eta * (1.0 + 3.0 * ratio * (1.0 + 2.0 * ratio)) + ratio * (3.0 - ratio)
    return -4.0 * w * turn / (eta * whole * whole * whole)


@simd
def _sqrt_dispersion_score(y, w, eta, phi):
    return _dispersion_score(y, w, eta * eta, 2.0 * log(eta), phi)


define(
    "negative_binomial",
    "log",
    loglik=_log_loglik,
    score=_log_score,
    weight=_log_weight,
    curvature=_log_curvature,
    slope=_log_slope,
    dispersion_score=_log_dispersion_score,
    dispersion="size",
    prepare=prepare,
    draw=draw,
    marker=NegativeBinomialLog,
)
define(
    "negative_binomial",
    "identity",
    loglik=_identity_loglik,
    score=_identity_score,
    weight=_identity_weight,
    curvature=_identity_curvature,
    slope=_identity_slope,
    dispersion_score=_identity_dispersion_score,
    dispersion="size",
    prepare=prepare,
    draw=draw,
    marker=NegativeBinomialIdentity,
)
define(
    "negative_binomial",
    "sqrt",
    loglik=_sqrt_loglik,
    score=_sqrt_score,
    weight=_sqrt_weight,
    curvature=_sqrt_curvature,
    slope=_sqrt_slope,
    dispersion_score=_sqrt_dispersion_score,
    dispersion="size",
    prepare=prepare,
    draw=draw,
    marker=NegativeBinomialSqrt,
)
