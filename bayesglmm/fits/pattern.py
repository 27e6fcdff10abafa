"""Which effects meet which: the data structure of block elimination (`elimination`).

One factor, the one with most effects, is eliminated level by level; all other effects are "the
rest". The matrix of all effects has blocks of q x q for the levels of the eliminated factor, cells
for each pair of a level and a rest effect that occur together in a row, and rest by rest. Two rest
effects are connected if a chain of levels leads from one to the other; rest by rest falls apart
into dense squares, one a connected component: a single one for crossed factors, one a parent
for nested factors.
"""

from typing import NamedTuple

import numpy as np

from ..density import Data


class Pattern(NamedTuple):
    """Where everything lies.

    Effects are ordered: level by level of the eliminated factor, then the rest by component, factor
    and level; z columns by factor, the eliminated one first.
    """

    z_order: np.ndarray  # (Q,) int64, z column of the model that each z column here is
    width: np.ndarray  # (Q,) int64, z columns of the factor of each z column here
    origin: np.ndarray  # (effects,) int64, place of each effect here among the model's
    row: np.ndarray  # (n,) int64, row of the data that each row here is
    first: np.ndarray  # (J + 1,) int64, first row of each level
    cell: np.ndarray  # (J + 1,) int64, first cell of each level
    column: np.ndarray  # (cells,) int32, rest effect of each cell, rising within a level
    place: np.ndarray  # (n, others) int32, cell of each row's first effect in each other factor
    group: np.ndarray  # (n, others) int32, first rest effect of each row in each other factor
    rest_z: np.ndarray  # (R,) int64, z column here of each rest effect
    base: np.ndarray  # (R,) int64: element (a, b) of rest by rest lies at base[a] + b
    component: np.ndarray  # (components + 1,) int64, first rest effect of each
    square: np.ndarray  # (components + 1,) int64, where each square begins
    own: np.ndarray  # (1,) int64, z columns of the eliminated factor


class Parts(NamedTuple):
    """A symmetric matrix of the effects and of border columns, by its pattern.

    Rest by rest has the lower triangles of its squares, or all of them where it is an inverse.
    """

    own: np.ndarray  # (J, q, q) blocks of the eliminated factor
    cells: np.ndarray  # (cells, q) rest effect by eliminated effect
    rest: np.ndarray  # (sum of squares,)
    own_border: np.ndarray  # (J, q, b)
    rest_border: np.ndarray  # (R, b)
    border: np.ndarray  # (b, b)


def largest_factor(data: Data) -> int:
    """Factor with most effects; -1 without factors."""
    if data.levels.size == 0:
        return -1
    widths = np.bincount(data.factor, minlength=data.levels.size)
    return int(np.argmax(widths * data.levels))


def arrange(data: Data) -> Pattern:
    """Order rows and effects for elimination, in time linear but for sorting."""
    if data.levels.size == 1:
        return _single(data)
    eliminated = largest_factor(data)
    n = data.obs.y.size
    if eliminated < 0:
        # All rows belong to one level without effects.
        own, J, index = 0, 1, np.zeros(n, dtype=np.int64)
    else:
        own = int(np.sum(data.factor == eliminated))
        J, index = int(data.levels[eliminated]), data.level[eliminated].astype(np.int64)
    others = [f for f in range(data.levels.size) if f != eliminated]
    columns = [np.flatnonzero(data.factor == f) for f in (eliminated, *others)]
    z_order = np.concatenate(columns).astype(np.int64)
    width = np.repeat([c.size for c in columns], [c.size for c in columns]).astype(np.int64)

    row = np.argsort(index, kind="stable")
    index = index[row]
    first = np.searchsorted(index, np.arange(J + 1))

    # Groups: levels of the other factors, end to end.
    sizes = np.array([data.levels[f] for f in others], dtype=np.int64)
    begin = np.concatenate(([0], np.cumsum(sizes)))
    groups = int(begin[-1])
    member = np.empty((n, len(others)), dtype=np.int64)
    for f, factor in enumerate(others):
        member[:, f] = begin[f] + data.level[factor][row]
    pairs = np.unique((index[:, None] * groups + member).ravel()) if groups else index[:0]
    level, group = np.divmod(pairs, max(groups, 1))
    label = _components(level, group, groups)

    # Groups renumbered by component; each has as many rest effects as its factor has z columns.
    factor_of = np.repeat(np.arange(len(others)), sizes)
    order = np.lexsort((np.arange(groups), label))
    rank = np.empty(groups, dtype=np.int64)
    rank[order] = np.arange(groups)
    q = np.array([c.size for c in columns[1:]], dtype=np.int64)
    z_first = own + np.cumsum(q) - q
    group_q, group_z = q[factor_of][order], z_first[factor_of][order]
    group_first = np.concatenate(([0], np.cumsum(group_q)))
    pairs = np.sort(level * groups + rank[group]) if groups else pairs
    level, group = np.divmod(pairs, max(groups, 1))
    cell_first = np.concatenate(([0], np.cumsum(group_q[group])))
    step = _steps(group_q[group])
    column = np.repeat(group_first[group], group_q[group]) + step
    cell = cell_first[np.searchsorted(level, np.arange(J + 1))]
    found = np.searchsorted(pairs, index[:, None] * groups + rank[member])
    place = cell_first[found]

    rest_z = np.repeat(group_z, group_q) + _steps(group_q)
    _, counts = np.unique(np.repeat(label[order], group_q), return_counts=True)
    component = np.concatenate(([0], np.cumsum(counts)))
    square = np.concatenate(([0], np.cumsum(counts**2)))
    size, corner = np.repeat(counts, counts), np.repeat(component[:-1], counts)
    base = np.repeat(square[:-1], counts) + (np.arange(size.size) - corner) * size - corner

    level_of = (np.arange(groups) - begin[factor_of])[order]
    rest_origin = data.effect[z_order[rest_z]] + np.repeat(level_of, group_q)
    own_origin = data.effect[z_order[:own]][None, :] + np.arange(J)[:, None]
    return Pattern(
        z_order,
        width,
        np.concatenate([own_origin.ravel(), rest_origin]).astype(np.int64),
        row.astype(np.int64),
        first.astype(np.int64),
        cell.astype(np.int64),
        column.astype(np.int32),
        place.astype(np.int32).reshape(n, len(others)),
        group_first[rank[member]].astype(np.int32).reshape(n, len(others)),
        rest_z.astype(np.int64),
        base.astype(np.int64),
        component.astype(np.int64),
        square.astype(np.int64),
        np.array([own]),
    )


def _single(data: Data) -> Pattern:
    """The pattern of one factor: what `arrange` would find, without the search for cells."""
    own, J = data.factor.size, int(data.levels[0])
    index = data.level[0]
    none, start = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    first = np.zeros(J + 1, dtype=np.int64)
    np.cumsum(np.bincount(index, minlength=J), out=first[1:])
    empty = np.zeros((index.size, 0), dtype=np.int32)
    return Pattern(
        np.arange(own),
        np.full(own, own),
        (np.arange(J)[:, None] + data.effect).ravel(),
        np.argsort(index, kind="stable"),
        first,
        np.zeros(J + 1, dtype=np.int64),
        np.zeros(0, dtype=np.int32),
        empty,
        empty,
        none,
        none,
        start,
        start,
        np.array([own]),
    )


def largest_square(pattern: Pattern) -> int:
    """Rest effects in the largest component."""
    return int(np.diff(pattern.component).max(initial=0))


def _components(level: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Smallest group connected to each group, over levels (sorted) that have both."""
    label = np.arange(groups)
    if not level.size:
        return label
    starts = np.flatnonzero(np.diff(level, prepend=-1))
    counts = np.diff(starts, append=level.size)
    while True:
        lowest = np.repeat(np.minimum.reduceat(label[group], starts), counts)
        new = label.copy()
        np.minimum.at(new, group, lowest)
        # What a label points to moves along with it, so that long chains take few rounds.
        np.minimum.at(new, label[group], lowest)
        new = new[new]
        if np.array_equal(new, label):
            return label
        label = new


def _steps(counts: np.ndarray) -> np.ndarray:
    """0 .. count - 1 for each count, end to end."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)


def parts(pattern: Pattern, border: int = 0) -> Parts:
    """Zeros of the shapes that a pattern has, with so many border columns."""
    J, q, R = pattern.first.size - 1, int(pattern.own[0]), pattern.base.size
    return Parts(
        np.zeros((J, q, q)),
        np.zeros((pattern.column.size, q)),
        np.zeros(int(pattern.square[-1])),
        np.zeros((J, q, border)),
        np.zeros((R, border)),
        np.zeros((border, border)),
    )


def sorted_z(pattern: Pattern, data: Data) -> np.ndarray:
    """Z of the rows and z columns here, shape (n, Q)."""
    return np.ascontiguousarray(data.obs.Z[pattern.z_order][:, pattern.row].T)


def sorted_border(pattern: Pattern, border: np.ndarray) -> np.ndarray:
    """Border columns (n, b) in the order of the rows here."""
    return np.ascontiguousarray(border[pattern.row], dtype=np.float64)
