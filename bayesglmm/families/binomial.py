"""Successes in trials: ``y ~ Binomial(trials, p)``.

A row is ``y log p + (w - y) log(1 - p)``: w is trials times weight, y successes times weight.
Successes and failures never meet in one difference of nearly equal numbers, so that the tails keep
their relative accuracy.
"""

import math
from typing import NamedTuple

import numpy as np

from .._jit import simd
from .._simd import exp, log
from .._special import expm1, log1p_unit, log_ndtr, normal_hazard
from ._registry import Array, Prepared, define

LARGEST_RATE = 746.0  # e^-746 = 0: beyond it the success terms of cloglog are all 0
SERIES_RATE = 0.35  # below it six terms of the Bernoulli series are exact
LEFT_TAIL = -37.0  # below it log(1 - exp(-e^eta)) is eta - e^eta / 2 to the last bit


class BinomialLogit(NamedTuple):
    """Marker of the binomial family with p = 1 / (1 + exp(-eta))."""


class BinomialProbit(NamedTuple):
    """Marker of the binomial family with p = Phi(eta)."""


class BinomialCloglog(NamedTuple):
    """Marker of the binomial family with p = 1 - exp(-exp(eta))."""


def prepare(y: Array, trials: Array | None, weights: Array) -> Prepared:
    """Successes and trials times weights, and the summed log binomial coefficients."""
    if trials is None:
        trials = np.ones_like(y)
    counts = zip(y.tolist(), trials.tolist(), strict=True)
    choices = np.array([_log_choose(successes, total) for successes, total in counts])
    return y * weights, trials * weights, float(weights @ choices)


def _log_choose(successes: float, total: float) -> float:
    failures = total - successes
    return math.lgamma(total + 1.0) - math.lgamma(successes + 1.0) - math.lgamma(failures + 1.0)


def draw(rng, mu, phi, trials):
    """Simulate counts of successes."""
    return rng.binomial(1 if trials is None else np.asarray(trials, dtype=np.int64), mu)


@simd
def _logit_loglik(y, w, eta, phi):
    linear = (y - w) * eta if eta > 0.0 else y * eta
    return linear - w * log1p_unit(exp(-abs(eta)))


@simd
def _logit_score(y, w, eta, phi):
    small = exp(-abs(eta))
    failures = w - y
    up = y * small - failures if eta > 0.0 else y - failures * small
    return up / (1.0 + small)


@simd
def _logit_weight(y, w, eta, phi):
    small = exp(-abs(eta))
    whole = 1.0 + small
    return w * small / (whole * whole)


@simd
def _logit_slope(y, w, eta, phi):
    small = exp(-abs(eta))
    whole = 1.0 + small
    turn = w * small * (1.0 - small) / (whole * whole * whole)
    return -turn if eta > 0.0 else turn


@simd
def _probit_loglik(y, w, eta, phi):
    failures = w - y
    up = y * log_ndtr(eta) if y > 0.0 else 0.0
    down = failures * log_ndtr(-eta) if failures > 0.0 else 0.0
    return up + down


@simd
def _probit_score(y, w, eta, phi):
    up, _, _ = normal_hazard(eta)
    down, _, _ = normal_hazard(-eta)
    return y * up - (w - y) * down


@simd
def _probit_weight(y, w, eta, phi):
    up, _, _ = normal_hazard(eta)
    down, _, _ = normal_hazard(-eta)
    return w * up * down


@simd
def _probit_curvature(y, w, eta, phi):
    up, up_excess, _ = normal_hazard(eta)
    down, down_excess, _ = normal_hazard(-eta)
    return y * up * up_excess + (w - y) * down * down_excess


@simd
def _probit_slope(y, w, eta, phi):
    _, _, up_turn = normal_hazard(eta)
    _, _, down_turn = normal_hazard(-eta)
    return y * up_turn - (w - y) * down_turn


@simd
def _log_success(eta):
    """log(1 - exp(-rate)) with rate = e^eta, by one logarithm wherever it is."""
    rate = exp(eta)
    failure = exp(-rate)
    near = -expm1(-rate)
    far = 1.0 - failure
    small = rate < 0.5
    value = log(near if small else far)
    # What 1 - failure lost by rounding, to first order.
    value += 0.0 if small else (1.0 - far - failure) / far
    return eta - 0.5 * rate if eta < LEFT_TAIL else value


@simd
def _pull(rate):
    """Derivative of log p, rate / (e^rate - 1), for rate <= LARGEST_RATE."""
    quotient = rate * exp(-rate) / -expm1(-rate)
    return quotient if rate > 0.0 else 1.0


@simd
def _lag(rate):
    """The function rate / (1 - e^-rate) - 1, which loses nothing near 0."""
    t = rate * rate
    series = t * (1.0 / 47900160.0)
    series = t * (series - 1.0 / 1209600.0)
    series = t * (series + 1.0 / 30240.0)
    series = t * (series - 1.0 / 720.0)
    series = t * (series + 1.0 / 12.0) + 0.5 * rate
    gone = -expm1(-rate)
    return series if rate < SERIES_RATE else (rate - gone) / gone


@simd
def _cloglog_loglik(y, w, eta, phi):
    failures = w - y
    up = y * _log_success(eta) if y > 0.0 else 0.0
    down = failures * exp(eta) if failures > 0.0 else 0.0
    return up - down


@simd
def _cloglog_score(y, w, eta, phi):
    failures = w - y
    rate = exp(eta)
    down = failures * rate if failures > 0.0 else 0.0
    return y * _pull(min(rate, LARGEST_RATE)) - down


@simd
def _cloglog_weight(y, w, eta, phi):
    rate = min(exp(eta), LARGEST_RATE)
    return w * rate * _pull(rate)


@simd
def _cloglog_curvature(y, w, eta, phi):
    failures = w - y
    rate = exp(eta)
    down = failures * rate if failures > 0.0 else 0.0
    near = min(rate, LARGEST_RATE)
    return y * _pull(near) * _lag(near) + down


@simd
def _cloglog_slope(y, w, eta, phi):
    failures = w - y
    rate = exp(eta)
    down = failures * rate if failures > 0.0 else 0.0
    near = min(rate, LARGEST_RATE)
    pull, lag = _pull(near), _lag(near)
    return y * pull * (near - lag * (lag + pull)) + down


PAIRS = (
    define(
        "binomial",
        "logit",
        loglik=_logit_loglik,
        score=_logit_score,
        weight=_logit_weight,
        slope=_logit_slope,
        prepare=prepare,
        draw=draw,
        marker=BinomialLogit,
    ),
    define(
        "binomial",
        "probit",
        loglik=_probit_loglik,
        score=_probit_score,
        weight=_probit_weight,
        curvature=_probit_curvature,
        slope=_probit_slope,
        prepare=prepare,
        draw=draw,
        marker=BinomialProbit,
    ),
    define(
        "binomial",
        "cloglog",
        loglik=_cloglog_loglik,
        score=_cloglog_score,
        weight=_cloglog_weight,
        curvature=_cloglog_curvature,
        slope=_cloglog_slope,
        prepare=prepare,
        draw=draw,
        marker=BinomialCloglog,
    ),
)
