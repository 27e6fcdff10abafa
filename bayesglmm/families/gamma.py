"""Positive measurements: ``y ~ Gamma(shape, mean mu)``, variance mu^2 / shape; phi = shape.

The prepared response is log y. With t = log y - log mu, a row is

    loglik = w [ C(shape) - shape (e^t - 1 - t) ],
    C      = shape log(shape) - shape - log Gamma(shape),

whose second term is the unit deviance: a sum of positive terms without cancellation, however large
the shape.
"""

from typing import NamedTuple

import numpy as np

from .._jit import simd
from .._simd import INF, exp, log
from .._special import expm1, expm1mx, log_gamma_gap, log_gamma_gap_slope
from ._registry import Array, Prepared, define


class GammaLog(NamedTuple):
    """Marker of the Gamma family with mu = exp(eta)."""


class GammaInverse(NamedTuple):
    """Marker of the Gamma family with mu = 1 / eta, eta > 0."""


class GammaIdentity(NamedTuple):
    """Marker of the Gamma family with mu = eta > 0."""


def prepare(y: Array, trials: Array | None, weights: Array) -> Prepared:
    """Logarithms of the responses, weights, and the sum of -log(y), from the density of log y."""
    logs = np.log(y)
    return logs, weights.copy(), -float(weights @ logs)


def draw(rng, mu, phi, trials):
    """Simulate measurements."""
    return rng.gamma(phi, np.asarray(mu) / phi)


@simd
def _loglik(w, t, phi):
    return w * (log_gamma_gap(phi) - phi * expm1mx(t))


@simd
def _dispersion_score(w, t, phi):
    return w * (log_gamma_gap_slope(phi) - phi * expm1mx(t))


@simd
def _log_loglik(y, w, eta, phi):
    return _loglik(w, y - eta, phi)


@simd
def _log_score(y, w, eta, phi):
    return w * phi * expm1(y - eta)


@simd
def _log_weight(y, w, eta, phi):
    return w * phi


@simd
def _log_curvature(y, w, eta, phi):
    return w * phi * exp(y - eta)


@simd
def _log_slope(y, w, eta, phi):
    return -w * phi * exp(y - eta)


@simd
def _log_dispersion_score(y, w, eta, phi):
    return _dispersion_score(w, y - eta, phi)


@simd
def _inverse_loglik(y, w, eta, phi):
    return _loglik(w, y + log(eta), phi) if eta > 0.0 else -INF


@simd
def _inverse_score(y, w, eta, phi):
    return -w * phi * expm1(y + log(eta)) / eta


@simd
def _inverse_weight(y, w, eta, phi):
    return w * phi / (eta * eta)


@simd
def _inverse_slope(y, w, eta, phi):
    return -2.0 * w * phi / (eta * eta * eta)


@simd
def _inverse_dispersion_score(y, w, eta, phi):
    return _dispersion_score(w, y + log(eta), phi)


@simd
def _identity_loglik(y, w, eta, phi):
    return _loglik(w, y - log(eta), phi) if eta > 0.0 else -INF


@simd
def _identity_score(y, w, eta, phi):
    return w * phi * expm1(y - log(eta)) / eta


@simd
def _identity_curvature(y, w, eta, phi):
    return w * phi * (2.0 * exp(y) / eta - 1.0) / (eta * eta)


@simd
def _identity_slope(y, w, eta, phi):
    return w * phi * (2.0 - 6.0 * exp(y) / eta) / (eta * eta * eta)


@simd
def _identity_dispersion_score(y, w, eta, phi):
    return _dispersion_score(w, y - log(eta), phi)


define(
    "gamma",
    "log",
    loglik=_log_loglik,
    score=_log_score,
    weight=_log_weight,
    curvature=_log_curvature,
    slope=_log_slope,
    dispersion_score=_log_dispersion_score,
    dispersion="shape",
    prepare=prepare,
    draw=draw,
    marker=GammaLog,
)
define(
    "gamma",
    "inverse",
    loglik=_inverse_loglik,
    score=_inverse_score,
    weight=_inverse_weight,
    slope=_inverse_slope,
    dispersion_score=_inverse_dispersion_score,
    dispersion="shape",
    prepare=prepare,
    draw=draw,
    marker=GammaInverse,
)
define(
    "gamma",
    "identity",
    loglik=_identity_loglik,
    score=_identity_score,
    weight=_inverse_weight,
    curvature=_identity_curvature,
    slope=_identity_slope,
    dispersion_score=_identity_dispersion_score,
    dispersion="shape",
    prepare=prepare,
    draw=draw,
    marker=GammaIdentity,
)
