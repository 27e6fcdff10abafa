"""Effective sample size by Geyer's initial monotone sequence, over split chains.

With the autocovariances of m chains of n draws, rho_t = 1 - (W - mean acov_t) / V, where W is the
mean within-chain variance and V the estimate of the posterior variance from within and between
chains; the pairs rho_2t + rho_2t+1 are positive and decreasing for a reversible chain, so the sum
stops at the first pair that is not positive and is made decreasing (Geyer 1992; Vehtari, Gelman,
Simpson, Carpenter and Buerkner 2021, whose definitions ArviZ and posterior follow as well).
"""

import numpy as np

from .columns import (
    Block,
    flatten,
    is_constant,
    per_column,
    quantile_of_sorted,
    rank_normalised,
    split,
)

TAILS = (0.05, 0.95)  # Vehtari et al. 2021


def ess_bulk(draws: np.ndarray) -> np.ndarray:
    """Effective sample size for the location of each parameter, from rank-normalised draws.

    Parameters
    ----------
    draws : array (chains, draws, ...)

    Returns
    -------
    array (...)
        NaN for columns with non-finite values or fewer than four draws; the number of draws for
        constant ones.
    """

    def measure(block: Block) -> np.ndarray:
        halves = split(block)
        z, _, _ = rank_normalised(flatten(halves))
        return split_ess(z.reshape(halves.shape))[None]

    return per_column(draws, measure, 1)[0]


def ess_tail(draws: np.ndarray) -> np.ndarray:
    """Smaller of the effective sample sizes for the 5% and the 95% quantile; see `ess_bulk`."""

    def measure(block: Block) -> np.ndarray:
        return tail_of_sorted(block, np.sort(flatten(block), axis=1))[None]

    return per_column(draws, measure, 1)[0]


def ess_mean(draws: np.ndarray) -> np.ndarray:
    """Effective sample size for the mean of the draws as they are; see `ess_bulk`."""
    return per_column(draws, lambda block: split_ess(split(block))[None], 1)[0]


def tail_of_sorted(block: Block, ordered: np.ndarray) -> np.ndarray:
    """Tail effective sample size of a block, given its draws sorted: (columns,)."""
    sizes = [quantile_ess(block, quantile_of_sorted(ordered, probability)) for probability in TAILS]
    return np.minimum(*sizes)


def quantile_ess(block: Block, quantile: np.ndarray) -> np.ndarray:
    """Effective sample size of the indicator draw <= quantile: (columns,)."""
    return split_ess(split((block <= quantile[:, None, None]).astype(float)))


def split_ess(halves: Block) -> np.ndarray:
    """Effective sample size of each column of a block of (half-)chains: (columns,)."""
    _, chains, length = halves.shape
    chain_means = halves.mean(axis=2)
    covariance = _mean_autocovariance(halves - chain_means[:, :, None])
    within = covariance[:, 0] * length / (length - 1.0)
    total = covariance[:, 0] + chain_means.var(axis=1, ddof=1)
    constant = is_constant(halves)
    total[constant] = 1.0  # any value: the result is replaced below
    draws = chains * length
    time = _autocorrelation_time(covariance, within, total)
    # Antithetic chains can promise without limit: log10 of the draws is the most that is believed.
    size = draws / np.maximum(time, 1.0 / np.log10(draws))
    size[constant] = draws
    return size


def _mean_autocovariance(centred: Block) -> np.ndarray:
    """Autocovariance at every lag (divisor: the number of draws), averaged over the chains."""
    length = centred.shape[2]
    padded = _fast_length(2 * length)
    spectrum = np.fft.rfft(centred, padded, axis=2)
    # The transform is linear: averaging the spectra leaves one inverse transform per column.
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    return np.fft.irfft(power, padded, axis=1)[:, :length] / length


def _fast_length(least: int) -> int:
    """Smallest 2^a 3^b 5^c that is at least `least`: a quick length for the Fourier transform."""
    best = 2 ** (least - 1).bit_length()
    five = 1
    while five < best:
        odd = five
        while odd < best:
            best = min(best, odd * 2 ** max(0, -(-least // odd) - 1).bit_length())
            odd *= 3
        five *= 5
    return best


def _autocorrelation_time(
    covariance: np.ndarray, within: np.ndarray, total: np.ndarray
) -> np.ndarray:
    length = covariance.shape[1]
    last = max(0, (length - 3) // 2)  # the last pair that Geyer's sequence may use
    lags = 2 * last + 2
    rho = 1.0 - (within[:, None] - covariance[:, :lags]) / total[:, None]
    rho[:, 0] = 1.0
    pairs = rho.reshape(rho.shape[0], last + 1, 2).sum(axis=2)
    positive = pairs > 0.0
    stop = np.where(positive.all(axis=1), last, positive.argmin(axis=1))
    stop = np.minimum(stop, last)
    used = np.arange(last + 1)[None, :] < stop[:, None]
    falling = np.minimum.accumulate(np.where(used, pairs, 0.0), axis=1)
    row = np.arange(rho.shape[0])
    even, pair = rho[row, 2 * stop], pairs[row, stop]
    # The even lag of the pair at which the sequence stopped still improves the estimate.
    even = np.where((pair >= 0.0) | (even > 0.0), even, 0.0)
    return -1.0 + 2.0 * (falling * used).sum(axis=1) + even
