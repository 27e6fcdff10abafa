"""The statistic of simulation-based calibration: how far ranks are from uniform, and its exact p.

A rank is the number of draws below the true value, 0 .. `DRAWS`: uniform if the draws are of the
posterior of data made from the prior. With N ranks and R_i the number of them below i, of expected
share z_i = i / (DRAWS + 1), each R_i is Binomial(N, z_i), and

    gamma = 2 min_i min(P(R_i' <= R_i), P(R_i' >= R_i)),

the smallest two-sided tail over all i (Säilynoja, Bürkner and Vehtari 2022). Their p of a whole
curve is exact here too: R_1, R_2, ... is a Markov chain, R_i+1 - R_i ~ Binomial(N - R_i,
1 / (DRAWS + 1 - i)), so the probability of staying within bounds at every i is a product of small
matrices.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, bdtrc, gammaln

DRAWS = 99  # nearly independent draws a replicate: ranks 0 .. 99
ALPHA = 0.005  # of each quantity, at each of the two stages
SAME = 1.0 + 1e-9  # tails that are equal by symmetry differ in their last digits


class Tails(NamedTuple):
    """P(R <= r) and P(R >= r) of every i and r, shapes (DRAWS, N + 1)."""

    below: np.ndarray
    above: np.ndarray

    @property
    def gamma(self) -> np.ndarray:
        """Twice the smaller."""
        return np.minimum(1.0, 2.0 * np.minimum(self.below, self.above))


@lru_cache(maxsize=8)
def tails(n: int) -> Tails:
    """Tails of the binomials of n ranks."""
    z = (np.arange(1, DRAWS + 1) / (DRAWS + 1.0))[:, None]
    r = np.arange(n + 1)[None]
    above = np.ones((DRAWS, n + 1))
    above[:, 1:] = bdtrc(r[:, :-1], n, z)
    return Tails(bdtr(r, n, z), above)


def counts(ranks: np.ndarray) -> np.ndarray:
    """Numbers of ranks below 1 .. DRAWS, shape (DRAWS,)."""
    return np.cumsum(np.bincount(ranks, minlength=DRAWS + 1))[:-1]


def gamma(ranks: np.ndarray) -> float:
    """The statistic of ranks (N,): small where the curve leaves the diagonal."""
    return float(tails(ranks.size).gamma[np.arange(DRAWS), counts(ranks)].min())


def bounds(n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """First and last R of each i whose tails are larger than the level, shapes (DRAWS,)."""
    inside = tails(n).gamma > level * SAME
    first = inside.argmax(axis=1)
    last = n - inside[:, ::-1].argmax(axis=1)
    return first, last


@lru_cache(maxsize=4096)
def p_of(n: int, level: float) -> float:
    """Probability that gamma of n uniform ranks is at most the level."""
    first, last = bounds(n, level)
    if not (tails(n).gamma > level * SAME).any(axis=1).all():
        return 1.0  # no curve is as near to the diagonal as that
    log_factorial = gammaln(np.arange(n + 1) + 1.0)
    now, chance = np.zeros(1, dtype=np.int64), np.ones(1)
    for i in range(DRAWS):
        share = 1.0 / (DRAWS + 1.0 - i)
        after = np.arange(first[i], last[i] + 1)
        more = after[None, :] - now[:, None]
        left = n - now[:, None]
        possible = (more >= 0) & (more <= left)
        k = np.where(possible, more, 0)
        rest = np.where(possible, left - more, 0)
        logs = log_factorial[left] - log_factorial[k] - log_factorial[rest]
        logs = logs + k * np.log(share) + rest * np.log1p(-share)
        chance = chance @ np.exp(np.where(possible, logs, -np.inf))
        now = after
    return float(np.clip(1.0 - chance.sum(), 0.0, 1.0))


def p_value(ranks: Sequence[int] | np.ndarray) -> float:
    """Probability of ranks that are as far from uniform, or farther."""
    ranks = np.asarray(ranks, dtype=np.int64)
    return p_of(ranks.size, gamma(ranks))


@lru_cache(maxsize=64)
def band(n: int, alpha: float = ALPHA) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of R_i / n - z_i that a curve of n ranks leaves with probability alpha at most."""
    low, high = 0.0, 1.0  # of the level
    for _ in range(40):
        middle = 0.5 * (low + high)
        if p_of(n, middle) <= alpha:
            low = middle
        else:
            high = middle
    first, last = bounds(n, low)
    z = np.arange(1, DRAWS + 1) / (DRAWS + 1.0)
    return first / n - z, last / n - z


def rank(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Ranks (K,) of true values (K,) among draws (DRAWS, K)."""
    return (draws < truth).sum(axis=0)
