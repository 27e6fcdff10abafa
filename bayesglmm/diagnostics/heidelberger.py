"""Heidelberger's and Welch's tests: is the chain stationary, and is its mean known well enough.

Heidelberger and Welch (1983), Simulation run length control in the presence of an initial
transient, Operations Research 31, 1109-1144. The distribution of the Cramer-von Mises statistic is
Anderson's and Darling's (1952), Annals of Mathematical Statistics 23, 193-212, equation 4.35.
"""

import math
from typing import NamedTuple

import numpy as np

from . import spectrum

EPS, LEVEL = 0.1, 0.05  # half-width in shares of the mean; level of the test
CONFIDENCE = 1.96  # half-widths are 95% limits, with the two decimals that coda uses
STEPS = 10  # the chain is cut by a tenth at a time, to a half at most
TERMS = 12  # of the series; the next is below 1e-16 up to a statistic of 10


class Heidelberger(NamedTuple):
    """Of every row: arrays (rows,); nan where there is no such number.

    Attributes
    ----------
    stationary : array of bool
        Whether the stationarity test passed, perhaps of what is left after a cut.
    statistic, p : array
        The Cramer-von Mises statistic of the last test made, and its p-value.
    discarded : array
        Iterations cut from the start until the test passed.
    mean, half_width : array
        Of what is left; nan if the test never passed.
    precise : array of bool
        Whether the half-width is at most `eps` times the mean.
    """

    stationary: np.ndarray
    statistic: np.ndarray
    p: np.ndarray
    discarded: np.ndarray
    mean: np.ndarray
    half_width: np.ndarray
    precise: np.ndarray


def heidelberger(series: np.ndarray, eps: float = EPS, level: float = LEVEL) -> Heidelberger:
    """Test every row for stationarity, and its mean for precision.

    With S the spectral density of the second half at frequency zero, the statistic is the mean of
    ``B_t^2``, where ``B_t = (sum_1^t x - t mean) / sqrt(n S)`` is asymptotically a Brownian bridge.
    While it is significant the chain is cut by a further tenth of its length; after a half the
    chain has failed. The half-width of the mean of the rest is 1.96 sqrt(S / n).

    Parameters
    ----------
    series : (rows, n) array
    eps : float
        The half-width that is precise enough, in shares of the mean.
    level : float
        Level of the stationarity test.
    """
    if not 0.0 < level < 1.0 or not eps > 0.0:
        raise ValueError(f"eps has to be positive and level in (0, 1); they are {eps} and {level}")
    rows, n = series.shape
    statistic, p, discarded, mean, half_width = np.full((5, rows), np.nan)
    stationary = np.zeros(rows, dtype=bool)
    density = spectrum.at_zero(series[:, max(0, math.ceil(n / 2) - 1) :]).density
    open_rows = np.flatnonzero(density > 0.0)
    for start in _starts(n):
        if not open_rows.size:
            break
        rest = series[open_rows, start:]
        statistic[open_rows] = cramer_von_mises(rest, density[open_rows])
        p[open_rows] = 1.0 - distribution(statistic[open_rows])
        passed = p[open_rows] > level
        done, rest = open_rows[passed], rest[passed]
        stationary[done] = True
        discarded[done] = start
        mean[done] = rest.mean(axis=1)
        half_width[done] = CONFIDENCE * spectrum.mean_error(rest)
        open_rows = open_rows[~passed]
    with np.errstate(invalid="ignore"):
        precise = half_width <= eps * np.abs(mean)
    return Heidelberger(stationary, statistic, p, discarded, mean, half_width, precise)


def _starts(n: int) -> list[int]:
    """Draws left out at every stage: whole draws after 0, n/10, ... up to n/2 from the first."""
    stages = (k * n / STEPS for k in range(STEPS) if 1.0 + k * n / STEPS <= n / 2.0)
    return [math.ceil(stage) for stage in stages]


def cramer_von_mises(series: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Mean square of the bridge of every row, given its spectral density at zero."""
    n = series.shape[1]
    bridge = np.cumsum(series - series.mean(axis=1, keepdims=True), axis=1)
    return np.asarray((bridge**2).mean(axis=1) / (n * density))


def distribution(statistic: np.ndarray) -> np.ndarray:
    """Probability that the integral of the square of a Brownian bridge is at most `statistic`."""
    from scipy.special import gammaln, kve

    x = np.asarray(statistic, dtype=float)[..., None]
    k = np.arange(TERMS)
    binomial = np.exp(gammaln(k + 0.5) - gammaln(k + 1.0)) / math.sqrt(math.pi)  # (-1)^k C(-1/2, k)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        at = (4.0 * k + 1.0) ** 2 / (16.0 * x)
        # kve is exp(at) K(at), and the series has exp(-at) K(at).
        terms = binomial * np.sqrt(4.0 * k + 1.0) * kve(0.25, at) * np.exp(-2.0 * at)
        total = terms.sum(axis=-1) / (math.pi * np.sqrt(x[..., 0]))
    return np.clip(np.where(x[..., 0] > 0.0, total, 0.0), 0.0, 1.0)
