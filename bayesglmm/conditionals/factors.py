"""Several grouping factors for compiled code: the rows once in the layout of each factor.

What belongs to one factor lies end to end with what belongs to the others, in flat arrays; `table`
says where. So the number of factors never enters a type. Rows that are asked for as "home" lie as
in `Data`, which is the layout of factor 0.
"""

from typing import NamedTuple

import numpy as np

from .. import families
from ..covariance import Covariance, factors
from ..density import Data
from ..layout import GROUP, Lanes, arrange

# Columns of the table, one row a factor: first and last of what lies end to end.
COLUMN, COLUMNS = 0, 1  # z columns: first, and the first of the next factor
LEVELS = 2  # number of levels J
EFFECT = 3  # first of the effects, q J of them
SQUARE = 4  # first of the matrices, q q J of them
CHUNK, CHUNKS = 5, 6
LEVEL, LEVEL_END = 7, 8
LANE_FIRST, LANE_END = 9, 10
PSI, PSIS = 11, 12
BLOCK, BLOCKS = 13, 14  # of Sigma; its edges begin at BLOCK + factor
SCALE = 15  # first of the q q scale matrix
DIRECTION, DIRECTIONS = 16, 17  # first of the T of its directions, and how many there are
SHIFT = 18  # first of the W
CROSS = 19
POOLED = 20
FIELDS = 21
APART, COUNTS, MEASUREMENTS = 0, 1, 2  # POOLED: whether the rows of a level are as good as one
POOLS = {
    ("poisson", "log"): COUNTS,
    ("gaussian", "identity"): MEASUREMENTS,
    ("gaussian_se", "identity"): MEASUREMENTS,
}
FEW = 2  # rows a level on average, from which that pays


class Rows(NamedTuple):
    """Rows of the model in the layout of every factor."""

    y: np.ndarray  # (F, n)
    w: np.ndarray  # (F, n)
    Z: np.ndarray  # (Q, n), each column in the layout of its factor
    ones: np.ndarray  # (Q,) int64
    source: np.ndarray  # (F, n) int32, where each row lies in the layout of the factor before
    chunk: np.ndarray  # (chunks, 5) of all factors, as of Lanes
    level: np.ndarray  # (levels, 2)
    lane: np.ndarray  # (lanes,) int32
    pool_chunk: np.ndarray  # (chunks, 5) and
    pool_level: np.ndarray  # (chunks, 2): Lanes of one row a level
    order: np.ndarray  # (nv,) int64, where each effect lies in Data


class Reference(NamedTuple):
    """Quadratic model of the rows at the fit: where the modes of one factor are, given the rest.

    There a level's score is base - sum of z weight (the rest of eta) - curve u.
    """

    weight: np.ndarray  # (F, n) of the rows, in the layout of each factor
    base: np.ndarray  # (nv,) sum of z (score + weight eta)
    curve: np.ndarray  # Z'WZ, (q, q, J) for each factor, flat
    inverse: np.ndarray  # (Z'WZ + Sigma^-1)^-1, likewise


class Directions(NamedTuple):
    """Directions of beta along which X beta is a combination of a factor's z columns."""

    T: np.ndarray  # (c, p) for each factor, flat: beta moves by T'd
    W: np.ndarray  # (c, q, J): X T' = sum over k of Z_k W_k
    cross: np.ndarray  # (q, q, c, c), sum over levels of W[a, k] W[b, l]
    normal: np.ndarray  # (p, 3) mean and precision of a Normal near the prior; 1 if it is that


class Plan(NamedTuple):
    """All that is constant of the crossed sampler beside `Data`."""

    table: np.ndarray  # (F, FIELDS) int64
    rows: Rows
    reference: Reference
    directions: Directions
    covariance: Covariance  # of all factors, places counted within each; scale is flat
    width: np.ndarray  # (psi,) of slices
    pair: np.ndarray  # (pairs, 3) int64: child, parent, first of `parent`
    parent: np.ndarray  # int64, parent of each level of the child, pair after pair


def layouts(data: Data) -> tuple[np.ndarray, Rows]:
    """Lay the rows out by each factor. Returns the table, directions not yet filled in."""
    F, n = data.level.shape
    Q, nv = data.factor.size, int(sum(data.levels[f] for f in data.factor))
    obs, cov = data.obs, data.prior.covariance
    table = np.zeros((F, FIELDS), dtype=np.int64)
    y, w, Z = np.empty((F, n)), np.empty((F, n)), np.empty((Q, n))
    source, order = np.empty((F, n), dtype=np.int32), np.empty(nv, dtype=np.int64)
    lanes, places = [], []
    squares = scales = 0
    for f in range(F):
        J = int(data.levels[f])
        if f == 0:
            own, rows, levels = obs.lanes, np.arange(n), np.arange(J)
        else:
            own, rows, levels = arrange(data.level[f], J)
        place = np.empty(n, dtype=np.int64)
        place[rows] = np.arange(n)
        lanes.append(own)
        places.append((rows, place))
        y[f], w[f] = obs.y[rows], obs.w[rows]
        columns = np.flatnonzero(data.factor == f)
        q, first = columns.size, int(columns[0])
        if not np.array_equal(columns, np.arange(first, first + q)):
            raise ValueError("the terms of a factor have to stand side by side")
        elements = np.flatnonzero((cov.row >= first) & (cov.row < first + q))
        blocks = np.flatnonzero(
            (cov.block_start[:-1] >= first) & (cov.block_start[1:] <= first + q)
        )
        for k in columns:
            Z[k] = obs.Z[k][rows]
            order[data.effect[k] + np.arange(J)] = data.effect[k] + levels
        table[f, [COLUMN, COLUMNS, LEVELS, EFFECT]] = first, first + q, J, data.effect[first]
        table[f, [PSI, PSIS]] = elements[0], elements[-1] + 1
        table[f, [BLOCK, BLOCKS]] = blocks[0], blocks[-1] + 1
        table[f, SQUARE], table[f, SCALE] = squares, scales
        squares, scales = squares + q * q * J, scales + q * q
    for f in range(F):
        source[f] = places[f - 1][1][places[f][0]]
    for begin, end, name in (
        (CHUNK, CHUNKS, "chunk"),
        (LEVEL, LEVEL_END, "level"),
        (LANE_FIRST, LANE_END, "group"),
    ):
        edges = np.cumsum([0, *(getattr(own, name).shape[0] for own in lanes)])
        table[:, begin], table[:, end] = edges[:-1], edges[1:]
    pools = [_one_a_level(own) for own in lanes]
    return table, Rows(
        y,
        w,
        Z,
        obs.ones,
        source,
        np.concatenate([own.chunk for own in lanes]),
        np.concatenate([own.level for own in lanes]),
        np.concatenate([own.group for own in lanes]),
        np.concatenate([chunk for chunk, _ in pools]),
        np.concatenate([level for _, level in pools]),
        order,
    )


def _one_a_level(lanes: Lanes) -> tuple[np.ndarray, np.ndarray]:
    """Chunks and levels of the layout with one row for each group, chunk by chunk."""
    edges, places = lanes.chunk[:, GROUP], np.arange(lanes.chunk.shape[0])
    chunk = np.stack([edges, edges, edges, places, np.ones_like(edges)], axis=1)
    return chunk, np.stack([edges, np.diff(edges, append=edges[-1])], axis=1)


def pooled(name: str, link: str, data: Data, table: np.ndarray) -> np.ndarray:
    """Of each factor, how its rows can be pooled level by level, or APART."""
    kind, n = POOLS.get((name, link), APART), data.obs.y.size
    alone = (table[:, COLUMNS] - table[:, COLUMN] == 1) & (data.obs.ones[table[:, COLUMN]] == 1)
    return np.where(alone & (FEW * table[:, LEVELS] <= n), kind, APART)


def split(cov: Covariance, table: np.ndarray) -> Covariance:
    """Covariances of the factors end to end, places counted within each factor."""
    row, col, edges, scale = cov.row.copy(), cov.col.copy(), [], []
    for own in table:
        first, last = own[COLUMN], own[COLUMNS]
        row[own[PSI] : own[PSIS]] -= first
        col[own[PSI] : own[PSIS]] -= first
        edges.append(cov.block_start[own[BLOCK] : own[BLOCKS] + 1] - first)
        scale.append(cov.scale[first:last, first:last].ravel())
    return cov._replace(
        row=row, col=col, block_start=np.concatenate(edges), scale=np.concatenate(scale)
    )


def at_fit(
    rows, data: Data, table: np.ndarray, layout: Rows, theta: np.ndarray, v: np.ndarray
) -> tuple[Reference, np.ndarray]:
    """Quadratic model at theta and standardized effects v, and the rows' weights at home."""
    p, n = data.obs.X.shape
    L = factors(data.prior.covariance, theta[p : p + data.prior.covariance.row.size])
    eta = data.obs.offset + theta[:p] @ data.obs.X
    for k, l in zip(*np.nonzero(L), strict=True):
        J = int(data.levels[data.factor[k]])
        own = L[k, l] * v[data.effect[l] : data.effect[l] + J]
        eta += data.obs.Z[k] * own[data.level[data.factor[k]]]
    phi = float(np.exp(theta[-1])) if data.prior.phi.shape[0] else 1.0
    score, weight, spare = np.zeros(n), np.zeros(n), np.empty(n)
    rows(families.IWLS, eta, data.obs.y, data.obs.w, phi, score, weight, spare, spare)
    lost = ~(np.isfinite(score) & np.isfinite(weight) & np.isfinite(eta))
    score[lost] = weight[lost] = eta[lost] = 0.0
    base, curves, inverses = np.empty(layout.order.size), [], []
    for f, own in enumerate(table):
        first, last, J = own[COLUMN], own[COLUMNS], int(own[LEVELS])
        q, level = last - first, data.level[f]
        curve = np.empty((q, q, J))
        for k in range(q):
            zw = data.obs.Z[first + k] * weight
            working = data.obs.Z[first + k] * (score + weight * eta)
            place = data.effect[first + k]
            base[place : place + J] = np.bincount(level, working, minlength=J)
            for l in range(q):
                curve[k, l] = np.bincount(level, zw * data.obs.Z[first + l], minlength=J)
        moved = layout.order[own[EFFECT] : own[EFFECT] + J] - own[EFFECT]
        curve = np.ascontiguousarray(curve[:, :, moved])
        block = L[first:last, first:last]
        H = np.eye(q) + np.einsum("ka,klg,lb->gab", block, curve, block)
        inverse = np.einsum("ka,gab,lb->klg", block, np.linalg.inv(H), block)
        curves.append(curve.ravel())
        inverses.append(np.ascontiguousarray(inverse).ravel())
    weights = np.empty((table.shape[0], n))
    moved = np.arange(n)
    weights[0] = weight
    for f in range(1, table.shape[0]):
        moved = moved[layout.source[f]]
        weights[f] = weight[moved]
    return (
        Reference(weights, base[layout.order], np.concatenate(curves), np.concatenate(inverses)),
        weight,
    )


def nested_pairs(data: Data, table: np.ndarray, layout: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (child, parent) of factors, and the parent of each level of each child.

    Every level of the child lies in one level of the parent, and both have the same z columns,
    term by term.
    """
    pairs, parents, place = [], [], 0
    cov = data.prior.covariance
    for c, child in enumerate(table):
        for g, parent in enumerate(table):
            q = child[COLUMNS] - child[COLUMN]
            if c == g or q != parent[COLUMNS] - parent[COLUMN] or child[LEVELS] <= parent[LEVELS]:
                continue
            own, other = (
                range(child[COLUMN], child[COLUMNS]),
                range(parent[COLUMN], parent[COLUMNS]),
            )
            if not np.array_equal(data.obs.Z[own], data.obs.Z[other]):
                continue
            pattern = [
                (cov.row[t[PSI] : t[PSIS]] - t[COLUMN]).tolist()
                + (cov.col[t[PSI] : t[PSIS]] - t[COLUMN]).tolist()
                for t in (child, parent)
            ]
            if pattern[0] != pattern[1]:
                continue
            J = int(child[LEVELS])
            of = np.full(J, -1, dtype=np.int64)
            of[data.level[c]] = data.level[g]
            if (of[data.level[c]] != data.level[g]).any() or (of < 0).any():
                continue
            # In the order of the layouts, both ways.
            inner = np.empty(int(parent[LEVELS]), dtype=np.int64)
            inner[_levels(layout, parent)] = np.arange(inner.size)
            parents.append(inner[of[_levels(layout, child)]])
            pairs.append((c, g, place))
            place += J
    return (
        np.array(pairs, dtype=np.int64).reshape(-1, 3),
        np.concatenate(parents) if parents else np.zeros(0, dtype=np.int64),
    )


def _levels(layout: Rows, own: np.ndarray) -> np.ndarray:
    """Level of the model at each place of a factor's layout."""
    return layout.order[own[EFFECT] : own[EFFECT] + own[LEVELS]] - own[EFFECT]
