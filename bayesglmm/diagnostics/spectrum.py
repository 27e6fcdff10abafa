"""The spectral density of a series at frequency zero, by an autoregression, and what follows of it.

n times the variance of the mean of a long stationary series is its spectral density at frequency
zero. As an autoregression of order p with coefficients a and innovation variance v it is
``v / (1 - sum a)^2``. The order is the one of least AIC up to ``10 log10 n``; coefficients and v
are Yule and Walker's, the autocovariances with divisor n, and v is multiplied by n / (n - p - 1).
These are the conventions of R's ``ar`` and of its package coda (Plummer, Best, Cowles and Vines
2006, R News 6:7-11), whose figures they reproduce.

A series here is a row of an array (rows, n).
"""

from typing import NamedTuple

import numpy as np

MAX_ORDER = 10.0  # times log10 n: the largest order that is tried
# Relative to the size of the numbers: a series whose residuals from a straight line are smaller is
# taken for that line, which has no noise to speak of.
ROUNDING = 1e-12


class AtZero(NamedTuple):
    """Spectral density at frequency zero and the order it comes from: arrays (rows,)."""

    density: np.ndarray
    order: np.ndarray


def at_zero(series: np.ndarray) -> AtZero:
    """Spectral density at frequency zero of every row.

    Parameters
    ----------
    series : (rows, n) array

    Returns
    -------
    AtZero
        Density 0 for a constant row or a straight line; nan with fewer than two draws or with what
        is not finite.
    """
    rows, n = series.shape
    density, order = np.full(rows, np.nan), np.zeros(rows, dtype=np.int64)
    if n < 2:
        return AtZero(density, order)
    finite = np.isfinite(series).all(axis=1)
    smooth = finite & _is_line(series)
    density[smooth] = 0.0
    rest = finite & ~smooth
    if rest.any():
        density[rest], order[rest] = _yule_walker(series[rest])
    return AtZero(density, order)


def effective_size(series: np.ndarray) -> np.ndarray:
    """Effective sample size n s^2 / density of every row; 0 where the density is 0.

    Unlike Geyer's, see `ess`, it looks at one chain, and does not notice that chains disagree.
    """
    if series.shape[1] < 2:
        return np.full(len(series), np.nan)
    density = at_zero(series).density
    with np.errstate(divide="ignore", invalid="ignore"):
        size = series.shape[1] * series.var(axis=1, ddof=1) / density
    return np.where(density == 0.0, 0.0, size)


def mean_error(series: np.ndarray) -> np.ndarray:
    """Monte Carlo standard error of the mean of every row: sqrt(density / n)."""
    return np.sqrt(at_zero(series).density / max(1, series.shape[1]))


def _is_line(series: np.ndarray) -> np.ndarray:
    """Whether a row is a straight line in time, to rounding."""
    n = series.shape[1]
    time = np.arange(n) - 0.5 * (n - 1)
    with np.errstate(invalid="ignore", over="ignore"):
        centred = series - series.mean(axis=1, keepdims=True)
        slope = centred @ time / (time @ time)
        rest = np.abs(centred - slope[:, None] * time).max(axis=1)
        return np.asarray(rest <= ROUNDING * np.abs(series).max(axis=1))


def _yule_walker(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density at zero and order by Levinson's and Durbin's recursion, all orders at once."""
    rows, n = series.shape
    largest = min(n - 1, int(MAX_ORDER * np.log10(n)))
    centred = series - series.mean(axis=1, keepdims=True)
    covariance = np.stack(
        [(centred[:, lag:] * centred[:, : n - lag]).sum(axis=1) / n for lag in range(largest + 1)],
        axis=1,
    )
    coefficients = np.zeros((rows, 0))
    variance = covariance[:, 0].copy()
    variances, sums = [variance], [np.zeros(rows)]
    for order in range(1, largest + 1):
        predicted = (coefficients * covariance[:, order - 1 : 0 : -1]).sum(axis=1)
        partial = (covariance[:, order] - predicted) / variance
        coefficients = np.concatenate(
            [coefficients - partial[:, None] * coefficients[:, ::-1], partial[:, None]], axis=1
        )
        variance = variance * (1.0 - partial**2)
        variances.append(variance)
        sums.append(coefficients.sum(axis=1))
    of_order = np.stack(variances, axis=1)
    information = n * np.log(of_order) + 2.0 * np.arange(largest + 1)
    order = information.argmin(axis=1)
    row = np.arange(rows)
    innovation = of_order[row, order] * n / (n - (order + 1))
    return innovation / (1.0 - np.stack(sums, axis=1)[row, order]) ** 2, order
