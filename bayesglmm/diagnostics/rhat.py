"""Rank-normalised split R-hat (Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021)."""

from typing import NamedTuple

import numpy as np

from .columns import (
    Block,
    doubled_ranks,
    flatten,
    normal_scores,
    per_column,
    rank_normalised,
    split,
)
from .ess import split_ess, tail_of_sorted


class Convergence(NamedTuple):
    """R-hat and effective sample sizes, arrays of the shape of one draw."""

    r_hat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray


def convergence(draws: np.ndarray) -> Convergence:
    """R-hat, bulk and tail effective sample size of every parameter, in one pass.

    Parameters
    ----------
    draws : array (chains, draws, ...)

    Returns
    -------
    Convergence
        See `rhat` and `ess.ess_bulk` for what constant and non-finite columns give.
    """
    return Convergence(*per_column(draws, _measure, 3))


def rhat(draws: np.ndarray) -> np.ndarray:
    """Rank-normalised split R-hat: the larger of the bulk's and the folded draws'.

    Parameters
    ----------
    draws : array (chains, draws, ...)
        One chain is enough: its halves are compared.

    Returns
    -------
    array (...)
        NaN for columns that are constant, have non-finite values or fewer than four draws.
    """
    return per_column(draws, lambda block: _rhat(split(block))[0][None], 1)[0]


def _measure(block: Block) -> np.ndarray:
    halves = split(block)
    r_hat, z, ordered = _rhat(halves)
    if halves.size != block.size:  # an odd number of draws: the tails use the middle one too
        ordered = np.sort(flatten(block), axis=1)
    return np.stack([r_hat, split_ess(z), tail_of_sorted(block, ordered)])


def _rhat(halves: Block) -> tuple[np.ndarray, Block, np.ndarray]:
    """R-hat, the rank-normalised draws, and the sorted draws."""
    flat = flatten(halves)
    z, order, ordered = rank_normalised(flat)
    count = flat.shape[1]
    middle = 0.5 * (ordered[:, (count - 1) // 2] + ordered[:, count // 2])
    folded = np.abs(ordered - middle[:, None])  # falls, then rises: a merge for a stable sort
    refold = np.argsort(folded, axis=1, kind="stable")
    ranks = doubled_ranks(np.take_along_axis(folded, refold, axis=1))
    z_folded = np.empty_like(flat)
    place = np.take_along_axis(order, refold, axis=1)
    np.put_along_axis(z_folded, place, normal_scores(count)[ranks], axis=1)

    bulk = _classical(z.reshape(halves.shape))
    tail = _classical(z_folded.reshape(halves.shape))
    # A two-valued parameter folds to a constant, which says nothing: its bulk value stands.
    r_hat = np.where(np.isnan(tail), bulk, np.maximum(bulk, tail))
    r_hat[ordered[:, 0] == ordered[:, -1]] = np.nan
    return r_hat, z.reshape(halves.shape), ordered


def _classical(halves: Block) -> np.ndarray:
    """Square root of posterior variance, within and between chains, over that within."""
    length = halves.shape[2]
    within = halves.var(axis=2, ddof=1).mean(axis=1)
    between = length * halves.mean(axis=2).var(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((between / within + length - 1.0) / length)
