"""Monte Carlo standard errors of posterior means and quantiles."""

import numpy as np

from .columns import Block, flatten, per_column, quantile_of_sorted, split
from .ess import quantile_ess, split_ess

ONE_SD = (0.1586553, 0.8413447)  # the normal probabilities at -1 and 1, to ArviZ's digits


def mcse_mean(draws: np.ndarray) -> np.ndarray:
    """Compute the standard error of the mean: sd / sqrt(effective sample size of the mean).

    Parameters
    ----------
    draws : array (chains, draws, ...)

    Returns
    -------
    array (...)
        0 for constant columns; NaN with non-finite values or fewer than four draws.
    """

    def measure(block: Block) -> np.ndarray:
        sd = flatten(block).std(axis=1, ddof=1)
        return (sd / np.sqrt(split_ess(split(block))))[None]

    return per_column(draws, measure, 1)[0]


def mcse_quantile(draws: np.ndarray, probability: float) -> np.ndarray:
    """Compute the standard error of a quantile.

    It is half the distance between the order statistics one standard deviation away.
    The number of effective draws below the quantile is beta-binomial; its 16% and 84% points give
    the two order statistics (Vehtari et al. 2021, appendix).

    Parameters
    ----------
    draws : array (chains, draws, ...)
    probability : float in (0, 1)

    Returns
    -------
    array (...)
    """
    from scipy.special import betaincinv

    def measure(block: Block) -> np.ndarray:
        ordered = np.sort(flatten(block), axis=1)
        count = ordered.shape[1]
        size = quantile_ess(block, quantile_of_sorted(ordered, probability))
        below, above = size * probability + 1.0, size * (1.0 - probability) + 1.0
        low = count * betaincinv(below, above, ONE_SD[0]) - 1.0
        high = count * betaincinv(below, above, ONE_SD[1]) - 1.0
        row = np.arange(ordered.shape[0])
        first = np.floor(np.maximum(low, 0)).astype(np.int64)
        last = np.ceil(np.minimum(high, count - 1)).astype(np.int64)
        return (0.5 * (ordered[row, last] - ordered[row, first]))[None]

    return per_column(draws, measure, 1)[0]
