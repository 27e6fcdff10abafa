"""Measurements: ``y ~ Normal(mu, sigma)``; phi = sigma, weights are frequencies.

With known standard errors s, the family ``gaussian_se``, there is no dispersion: its row functions
are those of sigma = 1, and a row weighs 1 / s^2.
"""

import math
from typing import NamedTuple

import numpy as np

from .._jit import simd
from .._simd import exp, log
from ._registry import Array, Prepared, define


class GaussianIdentity(NamedTuple):
    """Marker of the Gaussian family with mu = eta."""


class GaussianLog(NamedTuple):
    """Marker of the Gaussian family with mu = exp(eta)."""


class GaussianKnownIdentity(NamedTuple):
    """Marker of the Gaussian family with known standard errors and mu = eta."""


class GaussianKnownLog(NamedTuple):
    """Marker of the Gaussian family with known standard errors and mu = exp(eta)."""


def prepare(y: Array, trials: Array | None, weights: Array) -> Prepared:
    """Responses, weights, and the constant -log(2 pi) / 2 of each row."""
    return y.copy(), weights.copy(), -0.5 * math.log(2.0 * math.pi) * float(weights.sum())


def draw(rng, mu, phi, trials):
    """Simulate measurements."""
    return rng.normal(mu, phi)


def prepare_known(y: Array, se: Array | None, weights: Array) -> Prepared:
    """Responses, weights over se^2, and the sum of -log(2 pi) / 2 - log(se)."""
    se = np.ones_like(y) if se is None else se
    constants = -0.5 * math.log(2.0 * math.pi) - np.log(se)
    return y.copy(), weights / se**2, float(weights @ constants)


def draw_known(rng, mu, phi, se):
    """Simulate measurements with their standard errors."""
    return rng.normal(mu, 1.0 if se is None else se)


@simd
def _identity_loglik(y, w, eta, phi):
    z = (y - eta) / phi
    return -w * (log(phi) + 0.5 * z * z)


@simd
def _identity_score(y, w, eta, phi):
    return w * (y - eta) / (phi * phi)


@simd
def _identity_weight(y, w, eta, phi):
    return w / (phi * phi)


@simd
def _identity_slope(y, w, eta, phi):
    return 0.0


@simd
def _identity_dispersion_score(y, w, eta, phi):
    z = (y - eta) / phi
    return w * (z * z - 1.0)


@simd
def _log_loglik(y, w, eta, phi):
    return _identity_loglik(y, w, exp(eta), phi)


@simd
def _log_score(y, w, eta, phi):
    mu = exp(eta)
    return w * (y - mu) * mu / (phi * phi)


@simd
def _log_weight(y, w, eta, phi):
    mu = exp(eta)
    return w * mu * mu / (phi * phi)


@simd
def _log_curvature(y, w, eta, phi):
    mu = exp(eta)
    return w * mu * (2.0 * mu - y) / (phi * phi)


@simd
def _log_slope(y, w, eta, phi):
    mu = exp(eta)
    return w * mu * (4.0 * mu - y) / (phi * phi)


@simd
def _log_dispersion_score(y, w, eta, phi):
    return _identity_dispersion_score(y, w, exp(eta), phi)


define(
    "gaussian",
    "identity",
    loglik=_identity_loglik,
    score=_identity_score,
    weight=_identity_weight,
    slope=_identity_slope,
    dispersion_score=_identity_dispersion_score,
    dispersion="sigma",
    prepare=prepare,
    draw=draw,
    marker=GaussianIdentity,
)
define(
    "gaussian",
    "log",
    loglik=_log_loglik,
    score=_log_score,
    weight=_log_weight,
    curvature=_log_curvature,
    slope=_log_slope,
    dispersion_score=_log_dispersion_score,
    dispersion="sigma",
    prepare=prepare,
    draw=draw,
    marker=GaussianLog,
)
define(
    "gaussian_se",
    "identity",
    loglik=_identity_loglik,
    score=_identity_score,
    weight=_identity_weight,
    slope=_identity_slope,
    prepare=prepare_known,
    draw=draw_known,
    marker=GaussianKnownIdentity,
)
define(
    "gaussian_se",
    "log",
    loglik=_log_loglik,
    score=_log_score,
    weight=_log_weight,
    curvature=_log_curvature,
    slope=_log_slope,
    prepare=prepare_known,
    draw=draw_known,
    marker=GaussianKnownLog,
)
