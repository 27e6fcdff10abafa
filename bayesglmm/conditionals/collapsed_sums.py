"""Cross products of a Gaussian model by class of levels: all that its collapsed posterior reads.

The factor with most effects is eliminated level by level (`fits.pattern`). Levels whose rows look
the same to the likelihood, with the same Z'WZ and the same rest effects beside them, share every
matrix; what differs is Z'W[X y], of which sums of squares over a class are enough. So the cost of a
value of the density depends on neither rows nor levels where a design repeats itself: one class in
a balanced design, one for every size of a group with random intercepts alone.

The response enters as residuals of least squares, so that large numbers cancel before they are
squared; coefficients are then deviations from `start`.
"""

from typing import NamedTuple

import numpy as np

from ..density import Data
from ..fits.pattern import Pattern, arrange, parts, sorted_border, sorted_z
from ..fits.system import gram
from ..priors import FLAT, NORMAL

PAIR_COST = 8  # of an operation on sums over a class, against one on levels, which are vectors
MOST_KEYS = 20_000_000  # numbers compared to find classes; beyond, every level is its own class


class Sums(NamedTuple):
    """Cross products, weighted; columns X and y are the border, b = p + 1 of them.

    E = b (b + 1) / 2 counts pairs of border columns, row by row of a lower triangle.
    """

    levels: np.ndarray  # (C,) of each class, how many
    own: np.ndarray  # (q, q, C) Z'WZ of a level
    total: np.ndarray  # (C, b, q) sum over levels of a = Z'W[X y]
    pairs: np.ndarray  # (C or 0, q (q + 1) / 2, E) sum of a_k a_l' + a_l a_k' (k > l), of a_k a_k'
    member: np.ndarray  # (J,) int32 class of each level
    border: np.ndarray  # (b, q, J) a of each level
    cell: np.ndarray  # (C + 1,) int64 first cell of each class
    column: np.ndarray  # (cells,) int64 rest effect of each cell
    cells: np.ndarray  # (cells, q) rest effect by eliminated effect
    rest: np.ndarray  # rest by rest, as in `Parts`
    rest_border: np.ndarray  # (R, b)
    fixed: np.ndarray  # (b, b) [X y]'W[X y]
    start: np.ndarray  # (p,) coefficients of least squares
    normal: np.ndarray  # (p, 2) mean about `start` and precision of the priors of beta
    size: np.ndarray  # (1,) sum of the weights
    place: np.ndarray  # (q + R,) int64 where in u the effects of each column, or each effect, lie


def empty() -> Sums:
    """Cross products of nothing, of the type that compiled functions take."""
    f, i = np.zeros, np.zeros(0, dtype=np.int64)
    return Sums(
        f(0), f((0, 0, 0)), f((0, 0, 0)), f((0, 0, 0)), i.astype(np.int32), f((0, 0, 0)), i, i,
        f((0, 0)), f(0), f((0, 0)), f((0, 0)), f(0), f((0, 2)), f(1), i,
    )  # fmt: skip


def usable(data: Data) -> bool:
    """Whether all priors of beta are flat or Normal."""
    return bool(np.isin(data.prior.beta[:, 0], (FLAT, NORMAL)).all())


def collect(data: Data) -> tuple[Sums, Pattern]:
    """Cross products of a model with identity link, and where its effects lie.

    The pattern is without what belongs to single rows.
    """
    obs, pattern = data.obs, arrange(data)
    response = obs.y - obs.offset
    root = np.sqrt(obs.w)
    start = np.linalg.lstsq((obs.X * root).T, response * root, rcond=1e-10)[0]
    residual = response - start @ obs.X
    all_parts = parts(pattern, start.size + 1)
    gram(
        pattern,
        sorted_z(pattern, data),
        sorted_border(pattern, np.column_stack([obs.X.T, residual])),
        np.ascontiguousarray(obs.w[pattern.row]),
        all_parts,
    )
    J, q, b = all_parts.own_border.shape
    member, example, count = _classes(pattern, all_parts.own, all_parts.cells)
    C, each = example.size, all_parts.own_border
    pairs = np.zeros((0, q * (q + 1) // 2, b * (b + 1) // 2))
    # Operations of a value by classes and by levels; levels also have to be mixed.
    if PAIR_COST * C * pairs.shape[1] * (b + 1) < J * q * (b + 1 + 2 * q):
        pairs = _pairs(each, member, C)
    else:
        member, example, count = np.arange(J), np.arange(J), np.ones(J)
    total = np.zeros((example.size, b, q))
    np.add.at(total, member, each.transpose(0, 2, 1))
    cells = [np.arange(pattern.cell[i], pattern.cell[i + 1]) for i in example.tolist()]
    chosen = np.concatenate(cells) if cells else np.zeros(0, dtype=np.int64)
    own = int(pattern.own[0])
    prior = data.prior.beta
    precision = np.zeros(start.size)
    normal = prior[:, 0] == NORMAL
    precision[normal] = prior[normal, 2] ** -2.0
    sums = Sums(
        count.astype(np.float64),
        np.ascontiguousarray(all_parts.own[example].transpose(1, 2, 0)),
        total,
        pairs,
        member.astype(np.int32),
        np.ascontiguousarray(each.transpose(2, 1, 0)),
        np.concatenate([[0], np.cumsum([c.size for c in cells])]).astype(np.int64),
        pattern.column[chosen].astype(np.int64),
        np.ascontiguousarray(all_parts.cells[chosen]),
        all_parts.rest,
        all_parts.rest_border,
        all_parts.border,
        start,
        np.column_stack([np.where(normal, prior[:, 1] - start, 0.0), precision]),
        np.array([obs.w.sum()]),
        np.concatenate([data.effect[pattern.z_order[:own]], pattern.origin[J * own :]]),
    )
    none = np.zeros((0, 0), dtype=np.int32)
    small = np.zeros(1, dtype=np.int64)
    return sums, pattern._replace(
        origin=small, row=small, first=small, cell=small, column=none[0:0].ravel(), place=none,
        group=none,
    )  # fmt: skip


def _classes(
    pattern: Pattern, own: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class of each level (J,), a level of each class (C,), levels of each class (C,)."""
    J, q = own.shape[0], own.shape[1]
    sizes = np.diff(pattern.cell)
    widest = int(sizes.max(initial=0))
    if J * (q * q + widest * (q + 1)) > MOST_KEYS:
        return np.arange(J), np.arange(J), np.ones(J)
    keys = np.zeros((J, q * q + widest * (q + 1)))
    keys[:, : q * q] = own.reshape(J, -1)
    level = np.repeat(np.arange(J), sizes)
    step = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    keys[level, q * q + step] = pattern.column + 1.0
    for k in range(q):
        keys[level, q * q + (k + 1) * widest + step] = cells[:, k]
    order = np.lexsort(keys.T) if keys.shape[1] else np.arange(J)
    keys = keys[order]
    new = np.ones(J, dtype=bool)
    new[1:] = np.any(keys[1:] != keys[:-1], axis=1)
    member = np.empty(J, dtype=np.int64)
    member[order] = np.cumsum(new) - 1
    return member, order[new], np.bincount(member).astype(np.float64)


def _pairs(border: np.ndarray, member: np.ndarray, classes: int) -> np.ndarray:
    """Sums over the levels of each class of products of their a (J, q, b)."""
    _, q, b = border.shape
    left, right = np.tril_indices(b)
    out = np.zeros((classes, q * (q + 1) // 2, left.size))
    place = 0
    for k in range(q):
        for l in range(k + 1):
            for e, (i, j) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
                product = border[:, k, i] * border[:, l, j]
                if l < k:
                    product = product + border[:, l, i] * border[:, k, j]
                out[:, place, e] = np.bincount(member, product, classes)
            place += 1
    return out
