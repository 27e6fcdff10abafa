"""Autocorrelations at chosen lags, and the autocorrelation time as SAS computes it."""

from collections.abc import Sequence

import numpy as np

LAGS = (1, 5, 10, 50)
SMALL = 0.05  # an autocorrelation below this ends the sum of the autocorrelation time
LARGEST_LAG = 500  # and a quarter of the draws, where no autocorrelation is small before


def autocorrelation(series: np.ndarray, lags: Sequence[int] = LAGS) -> np.ndarray:
    """Autocorrelations (rows, lags) of series (rows, n), autocovariances with divisor n.

    nan for lags that the series does not have, and for rows that do not move.
    """
    for lag in lags:
        if lag != int(lag) or lag < 0:
            raise ValueError(f"lags have to be whole numbers from 0 up; one is {lag}")
    n = series.shape[1]
    centred = _centred(series)
    power = (centred**2).sum(axis=1)
    out = np.full((len(series), len(lags)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        for k, lag in enumerate(map(int, lags)):
            if lag < n:
                out[:, k] = (centred[:, lag:] * centred[:, : n - lag]).sum(axis=1) / power
    out[~(power > 0.0)] = np.nan
    return out


def time(series: np.ndarray) -> np.ndarray:
    """Autocorrelation time of every row: 1 + 2 sum rho_k, the sum ended where rho_k is small.

    It ends before the first lag k with ``rho_k < .05`` or ``rho_k < 2 s_k``, ``s_k = sqrt((1 + 2
    sum_(j<k) rho_j^2) / n)``, or at the lag min(500, n / 4): the definition of the chapter on
    Bayesian procedures of SAS/STAT, after Kass, Carlin, Gelman and Neal (1998), The American
    Statistician 52, 93-100. Autocovariances of lag k have the divisor n - k there. Negative
    autocorrelations end the sum, so that the time is never below 1.
    """
    rows, n = series.shape
    total, squares = np.ones(rows), np.ones(rows)
    going = np.isfinite(series).all(axis=1) & (np.ptp(series, axis=1) > 0.0 if n else False)
    total[~going] = np.nan
    centred = _centred(series)
    for lag in range(1, min(LARGEST_LAG, n // 4) + 1):
        at = np.flatnonzero(going)
        if not at.size:
            break
        kept = centred[at]
        covariance = (kept[:, lag:] * kept[:, : n - lag]).sum(axis=1) / (n - lag)
        rho = covariance / (kept**2).mean(axis=1)
        small = (rho < SMALL) | (rho < 2.0 * np.sqrt(squares[at] / n))
        going[at[small]] = False
        total[at[~small]] += 2.0 * rho[~small]
        squares[at[~small]] += 2.0 * rho[~small] ** 2
    return total


def _centred(series: np.ndarray) -> np.ndarray:
    """Deviations of every row from its mean; nan for those that are not finite."""
    with np.errstate(invalid="ignore"):
        return series - series.mean(axis=1, keepdims=True) if series.shape[1] else series
