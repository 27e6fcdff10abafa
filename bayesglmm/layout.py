"""The order in which rows lie in memory, so that arithmetic vectorizes across groups.

Groups are cut into lanes of at most `longest` rows. Lanes are sorted by length and packed into
chunks; within a chunk the j-th rows of all its lanes lie side by side ("jagged diagonals"), so a
loop over the lanes of one level is a loop over consecutive memory, with no padding. A group that is
cut keeps its lanes in one chunk. Chunks are small enough for their work arrays to stay in cache.
"""

from typing import NamedTuple

import numpy as np

LANES = 256  # lanes in a chunk: work arrays of some ten rows a lane stay in the second-level cache
SHORTEST_CUT = 16  # groups below this many rows are never cut: sums over lanes would cost more
CUTS = 256  # a group that holds all rows becomes this many lanes


ROW, LANE, GROUP, LEVEL, DIRECT = 0, 1, 2, 3, 4  # columns of Lanes.chunk


class Lanes(NamedTuple):
    """Where the rows, lanes and groups of each chunk lie. Few arrays: they go by value."""

    chunk: np.ndarray  # (chunks + 1, 5) first ROW, LANE, GROUP and LEVEL of each chunk; DIRECT is 1
    #                    if lane i of the chunk is group i of the chunk
    level: np.ndarray  # (levels, 2) first row of each level, lanes that reach it
    group: np.ndarray  # (lanes,) int32, group of each lane, counted from the chunk's first


def arrange(index: np.ndarray, groups: int) -> tuple[Lanes, np.ndarray, np.ndarray]:
    """Lay out rows by group.

    Parameters
    ----------
    index : ndarray of int, shape (n,)
        Group of each row, from 0 to groups - 1.
    groups : int
        Number of groups; a group without rows is allowed.

    Returns
    -------
    lanes : Lanes
    rows : ndarray of int64, shape (n,)
        Row of the design that lies at each place.
    order : ndarray of int64, shape (groups,)
        Group of the design that each group of the layout is.
    """
    n = index.size
    sizes = np.bincount(index, minlength=groups).astype(np.int64)
    longest = max(SHORTEST_CUT, -(-n // CUTS))
    pieces = np.maximum(1, -(-sizes // longest))
    # Long groups first, so that neighbours are of like length.
    order = np.argsort(-sizes, kind="stable").astype(np.int64)
    sizes, pieces = sizes[order], pieces[order]
    chunk_of_group = _pack(pieces)
    chunks = int(chunk_of_group[-1]) + 1 if groups else 0

    # Lanes of all groups, each piece as long as the next: a cut group has lanes of equal length.
    lane_group = np.repeat(np.arange(groups), pieces)
    piece = np.arange(lane_group.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    base, extra = np.divmod(sizes, pieces)
    lengths = base[lane_group] + (piece < extra[lane_group])
    lane_chunk = chunk_of_group[lane_group]
    by_length = np.lexsort((np.arange(lane_group.size), -lengths, lane_chunk))
    lane_group, lengths, lane_chunk = (
        lane_group[by_length],
        lengths[by_length],
        lane_chunk[by_length],
    )
    piece = piece[by_length]

    lane_edges = np.searchsorted(lane_chunk, np.arange(chunks + 1))
    group_edges = np.searchsorted(chunk_of_group, np.arange(chunks + 1))
    row_edges = np.concatenate(([0], np.cumsum(np.bincount(lane_chunk, lengths, chunks)))).astype(
        np.int64
    )
    deepest = np.zeros(chunks, dtype=np.int64)
    np.maximum.at(deepest, lane_chunk, lengths)
    level_edges = np.concatenate(([0], np.cumsum(deepest)))
    counts = np.empty(level_edges[-1], dtype=np.int64)
    for c in range(chunks):
        # Lanes that reach level j: lengths are sorted downwards.
        own = lengths[lane_edges[c] : lane_edges[c + 1]]
        reach = np.searchsorted(-own, -np.arange(1, deepest[c] + 1), side="right")
        counts[level_edges[c] : level_edges[c + 1]] = reach
    starts = np.concatenate(([0], np.cumsum(counts)))[:-1].astype(np.int64)

    # Place of each row: the start of its level in its chunk plus its lane's position.
    lane_position = np.arange(lane_group.size) - lane_edges[lane_chunk]
    before = _rows_before(order, np.bincount(index, minlength=groups))
    first_row = before[lane_group] + piece * base[lane_group] + np.minimum(piece, extra[lane_group])
    step = _ranges(lengths)
    places = starts[np.repeat(level_edges[lane_chunk], lengths) + step] + np.repeat(
        lane_position, lengths
    )
    sorted_rows = np.argsort(index, kind="stable")
    rows = np.empty(n, dtype=np.int64)
    rows[places] = sorted_rows[np.repeat(first_row, lengths) + step]

    local = (lane_group - group_edges[lane_chunk]).astype(np.int32)
    table = np.zeros((chunks + 1, 5), dtype=np.int64)
    table[:, ROW], table[:, LANE] = row_edges, lane_edges
    table[:, GROUP], table[:, LEVEL] = group_edges, level_edges
    table[:chunks, DIRECT] = 1
    table[np.unique(lane_chunk[local != lane_position]), DIRECT] = 0
    lanes = Lanes(table, np.ascontiguousarray(np.stack([starts, counts], axis=1)), local)
    return lanes, rows, order


def _pack(pieces: np.ndarray) -> np.ndarray:
    """Chunk of each group: consecutive groups until a chunk holds LANES lanes."""
    if pieces.size and pieces.max() == 1:
        return np.arange(pieces.size) // LANES
    chunk = np.empty(pieces.size, dtype=np.int64)
    current, filled = 0, 0
    for group, lanes in enumerate(pieces.tolist()):
        if filled and filled + lanes > LANES:
            current, filled = current + 1, 0
        chunk[group] = current
        filled += lanes
    return chunk


def _rows_before(order: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """First place of each group of the layout among rows sorted by the design's groups."""
    return (np.cumsum(sizes) - sizes)[order]


def _ranges(lengths: np.ndarray) -> np.ndarray:
    """0 .. length - 1 for each length, end to end."""
    total = int(lengths.sum())
    return np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
