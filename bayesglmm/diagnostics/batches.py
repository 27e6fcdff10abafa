"""Convergence from sums of draws: R-hat of the halves of chains, and batch means.

R-hat is the classical one (Gelman and Rubin 1992) of the halves of all chains, cut between two
batches; the Monte Carlo variance of a mean is that of the batch means (Flegal and Jones 2010). Both
are of the draws as they are, not of their ranks.
"""

from typing import NamedTuple

import numpy as np

from .measured import Measured

LEAST = 4  # full batches of all chains; with fewer nothing is said


class Sums(NamedTuple):
    """Sums of the draws of one chain, of k parameters."""

    draws: int
    mean: np.ndarray  # (k,)
    squares: np.ndarray  # (k,) about the mean
    size: int  # draws a batch
    batches: np.ndarray  # (full batches, k) their means


class Moments(NamedTuple):
    """Of all chains together: arrays (k,)."""

    mean: np.ndarray
    sd: np.ndarray
    mcse: np.ndarray
    measured: Measured


def merge(chains: list[Sums]) -> Moments:
    """Put the sums of chains together."""
    total = sum(chain.draws for chain in chains)
    if total == 0:
        nothing = np.full_like(chains[0].mean, np.nan)
        no = np.zeros(nothing.size, dtype=bool)
        return Moments(nothing, nothing, nothing, Measured(no, no, nothing, nothing, nothing))
    mean = np.zeros_like(chains[0].mean)
    squares = np.zeros_like(mean)
    for chain in chains:
        mean += chain.mean * (chain.draws / total)
    for chain in chains:
        squares += chain.squares + chain.draws * (chain.mean - mean) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares / (total - 1)
        error = _variance_of_batches(chains, mean)
        ess = np.minimum(total * variance / error, total * np.log10(max(total, 2)))
        ess = np.where(squares > 0.0, ess, total)
        finite = np.isfinite(squares)
        moved = squares > 0.0
        for chain in chains:
            moved &= (chain.squares > 0.0) | (chain.draws < 2)
        r_hat = _r_hat(chains)
        mcse = np.sqrt(error / total)
    # Nothing is known of tails: that check passes.
    tail = np.where(finite, np.inf, np.nan)
    measured = Measured(finite, moved, r_hat, ess, tail)
    return Moments(mean, np.sqrt(variance), mcse, measured)


def _variance_of_batches(chains: list[Sums], mean: np.ndarray) -> np.ndarray:
    """Draws times the variance of their mean, from batches of all chains about the common mean."""
    count = sum(len(chain.batches) for chain in chains)
    if count < LEAST:
        return np.full_like(mean, np.nan)
    total = sum(
        chain.size * ((chain.batches - mean) ** 2).sum(axis=0, dtype=np.float64) for chain in chains
    )
    return np.asarray(total / (count - 1))


def _r_hat(chains: list[Sums]) -> np.ndarray:
    means, lengths = [], []
    within = np.zeros_like(chains[0].mean)
    for chain in chains:
        half = chain.size * round(chain.draws / (2 * chain.size)) if chain.draws else 0
        parts = (half, chain.draws - half)
        if min(parts) < 2:
            return np.full_like(chain.mean, np.nan)
        first = chain.batches[: half // chain.size].mean(axis=0, dtype=np.float64)
        second = (chain.draws * chain.mean - half * first) / parts[1]
        within += chain.squares
        for length, mean in zip(parts, (first, second), strict=True):
            within -= length * (mean - chain.mean) ** 2
            means.append(mean)
            lengths.append(length)
    within /= sum(lengths) - len(lengths)
    average = sum(lengths) / len(lengths)
    between = np.var(means, axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = np.sqrt((average - 1.0) / average + between / within)
    return np.asarray(np.where(within > 0.0, r_hat, np.nan))
