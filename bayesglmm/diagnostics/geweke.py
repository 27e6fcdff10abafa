"""Geweke's test that the beginning and the end of a chain have the same mean.

Geweke (1992), Evaluating the accuracy of sampling-based approaches to the calculation of posterior
moments, in Bayesian Statistics 4, 169-193.
"""

import math
from typing import NamedTuple

import numpy as np

from . import spectrum

FIRST, LAST = 0.1, 0.5  # shares of the chain that are compared
EDGE = 1e-9  # of an iteration: rounding of a window's end


class Geweke(NamedTuple):
    """Of every row: arrays (rows,)."""

    z: np.ndarray
    p: np.ndarray  # two-sided


def geweke(series: np.ndarray, first: float = FIRST, last: float = LAST) -> Geweke:
    """Compare the means of the first and the last part of every row.

    ``z = (mean_1 - mean_2) / sqrt(S_1 / n_1 + S_2 / n_2)``, S the spectral density of the part at
    frequency zero; asymptotically standard normal if the chain was stationary from its start.

    Parameters
    ----------
    series : (rows, n) array
    first, last : float
        Shares of the chain, in time from the first iteration to the last, together below 1.

    Returns
    -------
    Geweke
        nan where a part has too few draws or does not move.

    Raises
    ------
    ValueError
        For shares outside (0, 1) or that overlap.
    """
    if not (0.0 < first < 1.0 and 0.0 < last < 1.0 and first + last <= 1.0):
        raise ValueError(
            f"the shares of Geweke's test have to be positive and sum up to 1 at most; they are "
            f"{first} and {last}"
        )
    n = series.shape[1]
    if n < 2:
        return Geweke(np.full(len(series), np.nan), np.full(len(series), np.nan))
    # A part that ends between two iterations has both, as coda's has since 0.19-4.
    begin = series[:, : math.ceil(first * (n - 1) - EDGE) + 1]
    end = series[:, math.floor((1.0 - last) * (n - 1) + EDGE) :]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.hypot(spectrum.mean_error(begin), spectrum.mean_error(end))
        z = (begin.mean(axis=1) - end.mean(axis=1)) / error
    z = np.where(error > 0.0, z, np.nan)
    return Geweke(z, two_sided(z))


def two_sided(z: np.ndarray) -> np.ndarray:
    """Two-sided p-value of standard normal statistics."""
    from scipy.special import ndtr

    return np.asarray(2.0 * ndtr(-np.abs(z)))
