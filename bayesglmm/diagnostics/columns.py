"""Columns of draws: blocks of them, their ranks and their quantiles.

Every diagnostic is a function of one column, the (chains, draws) array of one parameter. Here a
block of columns is an array (columns, chains, draws), so that numpy works along contiguous draws.
"""

from collections.abc import Callable, Iterator

import numpy as np

from .normal import normal_quantile

Block = np.ndarray  # (columns, chains, draws), float64, C order

# 1.6 MB of draws at a time stay in the processor's cache: a third faster than 8 MB.
BLOCK_ELEMENTS = 200_000

MIN_DRAWS = 4  # fewer draws than this have no split-chain variance


def blocks(draws: np.ndarray) -> Iterator[tuple[slice, Block]]:
    """Cut draws (chains, draws, k) into blocks of columns, each with its place among the k."""
    chains, length, k = draws.shape
    width = max(1, BLOCK_ELEMENTS // max(1, chains * length))
    for start in range(0, k, width):
        place = slice(start, min(k, start + width))
        yield place, np.ascontiguousarray(np.moveaxis(draws[:, :, place], 2, 0), dtype=float)


def per_column(draws: np.ndarray, measure: Callable[[Block], np.ndarray], rows: int) -> np.ndarray:
    """Apply a measure of blocks to every column.

    Parameters
    ----------
    draws : array (chains, draws, ...)
    measure : function of a block without non-finite values, returning (rows, columns)
    rows : int
        Number of values per column.

    Returns
    -------
    array (rows, ...)
        NaN where a column has a value that is not finite, or fewer than four draws.
    """
    draws = np.asarray(draws)
    if draws.ndim < 2:
        raise ValueError(f"draws must have shape (chains, draws, ...), not {draws.shape}")
    shape = draws.shape[2:]
    flat = draws.reshape(*draws.shape[:2], int(np.prod(shape)))
    result = np.full((rows, flat.shape[2]), np.nan)
    if draws.shape[0] >= 1 and draws.shape[1] >= MIN_DRAWS:
        for place, block in blocks(flat):
            good = np.isfinite(block).all(axis=(1, 2))
            if good.any():
                columns = np.arange(place.start, place.stop)[good]
                result[:, columns] = measure(block if good.all() else block[good])
    return result.reshape(rows, *shape)


def split(block: Block) -> Block:
    """Cut every chain in two halves; the middle draw of an odd number is left out."""
    half = block.shape[2] // 2
    return np.concatenate([block[:, :, :half], block[:, :, -half:]], axis=1)


def flatten(block: Block) -> np.ndarray:
    """All draws of each column in one row: (columns, chains * draws)."""
    return block.reshape(block.shape[0], -1)


def is_constant(block: Block) -> np.ndarray:
    """Whether all draws of a column are equal: (columns,) of bool."""
    flat = flatten(block)
    return flat.max(axis=1) == flat.min(axis=1)


def doubled_ranks(ordered: np.ndarray) -> np.ndarray:
    """Twice the rank (1 = smallest, ties averaged) of values already sorted along the last axis."""
    count = ordered.shape[1]
    place = np.arange(count)
    new = np.ones(ordered.shape, dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=new[:, 1:])
    if new.all():
        return np.broadcast_to(2 * (place + 1), ordered.shape)
    last = np.ones(ordered.shape, dtype=bool)
    last[:, :-1] = new[:, 1:]
    first_of_run = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    reverse = np.where(last, place, count)[:, ::-1]
    last_of_run = np.minimum.accumulate(reverse, axis=1)[:, ::-1]
    return first_of_run + last_of_run + 2


def normal_scores(count: int) -> np.ndarray:
    """Return Blom's (1958) score of each doubled rank 0..2 count: (rank - 3/8) / (count + 1/4)."""
    ranks = np.arange(2 * count + 1) / 2.0
    scores = np.zeros(2 * count + 1)
    scores[2:] = normal_quantile((ranks[2:] - 0.375) / (count + 0.25))
    return scores


def rank_normalised(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the normal scores of draws (columns, draws), their order, and the sorted draws."""
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    z = np.empty_like(flat)
    scores = normal_scores(flat.shape[1])
    np.put_along_axis(z, order, scores[doubled_ranks(ordered)], axis=1)
    return z, order, ordered


def quantile_of_sorted(ordered: np.ndarray, probability: float) -> np.ndarray:
    """Quantile by linear interpolation, with numpy's rounding, of rows sorted along the last axis.

    The rounding matters where draws are tied with the quantile and are then compared with it.
    """
    position = probability * (ordered.shape[1] - 1)
    below = int(np.floor(position))
    above = min(below + 1, ordered.shape[1] - 1)
    fraction = position - below
    step = ordered[:, above] - ordered[:, below]
    if fraction >= 0.5:
        return ordered[:, above] - step * (1.0 - fraction)
    return ordered[:, below] + step * fraction
