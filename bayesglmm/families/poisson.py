"""Counts: ``y ~ Poisson(mu)``; in sufficient form ``y log(mu) - w mu``, y and w summed."""

from math import lgamma
from typing import NamedTuple

import numpy as np

from .._jit import simd
from .._simd import INF, exp, log
from ._registry import Array, Prepared, define


class PoissonLog(NamedTuple):
    """Marker of the Poisson family with mu = exp(eta)."""


class PoissonIdentity(NamedTuple):
    """Marker of the Poisson family with mu = eta > 0."""


class PoissonSqrt(NamedTuple):
    """Marker of the Poisson family with mu = eta^2, eta > 0."""


def prepare(y: Array, trials: Array | None, weights: Array) -> Prepared:
    """Responses times weights, weights, and the sum of -log(y!)."""
    factorials = np.array([lgamma(value + 1.0) for value in y])
    return y * weights, weights.copy(), -float(weights @ factorials)


def draw(rng, mu, phi, trials):
    """Simulate counts."""
    return rng.poisson(mu)


@simd
def _log_loglik(y, w, eta, phi):
    return y * eta - w * exp(eta)


@simd
def _log_score(y, w, eta, phi):
    return y - w * exp(eta)


@simd
def _log_weight(y, w, eta, phi):
    return w * exp(eta)


@simd
def _identity_loglik(y, w, eta, phi):
    return y * log(eta) - w * eta if eta > 0.0 else -INF


@simd
def _identity_score(y, w, eta, phi):
    return y / eta - w


@simd
def _identity_weight(y, w, eta, phi):
    return w / eta


@simd
def _identity_curvature(y, w, eta, phi):
    return y / eta / eta  # no 0 / 0, however small eta


@simd
def _identity_slope(y, w, eta, phi):
    return -2.0 * y / eta / eta / eta


@simd
def _sqrt_loglik(y, w, eta, phi):
    return 2.0 * y * log(eta) - w * eta * eta if eta > 0.0 else -INF


@simd
def _sqrt_score(y, w, eta, phi):
    return 2.0 * (y / eta - w * eta)


@simd
def _sqrt_weight(y, w, eta, phi):
    return 4.0 * w


@simd
def _sqrt_curvature(y, w, eta, phi):
    return 2.0 * (y / eta / eta + w)


@simd
def _sqrt_slope(y, w, eta, phi):
    return -4.0 * y / eta / eta / eta


define(
    "poisson",
    "log",
    loglik=_log_loglik,
    score=_log_score,
    weight=_log_weight,
    slope=_log_weight,
    prepare=prepare,
    draw=draw,
    marker=PoissonLog,
)
define(
    "poisson",
    "identity",
    loglik=_identity_loglik,
    score=_identity_score,
    weight=_identity_weight,
    curvature=_identity_curvature,
    slope=_identity_slope,
    prepare=prepare,
    draw=draw,
    marker=PoissonIdentity,
)
define(
    "poisson",
    "sqrt",
    loglik=_sqrt_loglik,
    score=_sqrt_score,
    weight=_sqrt_weight,
    curvature=_sqrt_curvature,
    slope=_sqrt_slope,
    prepare=prepare,
    draw=draw,
    marker=PoissonSqrt,
)
