"""The Monte Carlo standard error of a mean by batch means.

The means of long batches are nearly independent (Ripley 1987, Stochastic Simulation, section 6.1),
so that the variance of the mean of n draws is that of the mean of a batch of b times b / n. Draws
after the last full batch are left out of the former only.
"""

import numpy as np

SIZE = 100  # draws a batch


def batch_error(draws: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Standard error of the mean over all chains.

    Parameters
    ----------
    draws : (chains, draws, k) array
    size : int
        Draws a batch; shorter chains count as one batch each.

    Returns
    -------
    (k,) array
        The sd of the batch means of all chains about their common mean times sqrt(b / n); nan with
        fewer than two batches.
    """
    if size < 1:
        raise ValueError(f"a batch has to have at least one draw, not {size}")
    chains, length, k = draws.shape
    size = min(size, length)
    count = length // size if size else 0
    if chains * count < 2:
        return np.full(k, np.nan)
    means = draws[:, : count * size].reshape(chains * count, size, k).mean(axis=1)
    return np.asarray(means.std(axis=0, ddof=1) * np.sqrt(size / (chains * length)))
