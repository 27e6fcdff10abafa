"""What of flat arrays belongs to one factor: its rows, its covariance, scratch."""

from typing import NamedTuple

import numpy as np

from .. import covariance
from .._jit import kernel
from ..density import Observations
from ..lanes import Work
from ..layout import GROUP, LANE, ROW, Lanes
from . import centring
from .factors import (
    BLOCK,
    BLOCKS,
    CHUNK,
    CHUNKS,
    COLUMN,
    COLUMNS,
    LANE_END,
    LANE_FIRST,
    LEVEL,
    LEVEL_END,
    LEVELS,
    PSI,
    PSIS,
    SCALE,
)


class Scratch(NamedTuple):
    """Arrays of one factor at a time, flat and large enough for each. Two sides: now, proposed."""

    row: np.ndarray  # (6, rows of a chunk)
    lane: np.ndarray
    vector: np.ndarray
    matrix: np.ndarray
    number: np.ndarray  # (6, groups of a chunk)
    fixed: np.ndarray  # (2, n) eta without the factor's effects, then eta; turn about
    b: np.ndarray  # (q J,)
    curve: np.ndarray  # (q q J,)
    v: np.ndarray  # (2 q J,)
    z: np.ndarray  # (q J,)
    center: np.ndarray  # (2 q J,)
    C: np.ndarray  # (2 q q J,)
    loglik: np.ndarray  # (2 J,)
    pool: np.ndarray  # (3, J) y and w of one row a level, and a fixed part of 0
    theta: np.ndarray  # (d,)
    rate: np.ndarray  # (F, 2) psi: share of blocks accepted; levels: mean acceptance
    nothing: centring.Centring


@kernel
def make_scratch(table, rows, n, d):
    """Scratch for all factors of a table."""
    length, width, groups, effects, squares, longest, size = 0, 0, 0, 0, 0, 0, 0
    for f in range(table.shape[0]):
        own = table[f]
        q, J = own[COLUMNS] - own[COLUMN], own[LEVELS]
        size, longest = max(size, q), max(longest, J)
        effects, squares = max(effects, q * J), max(squares, q * q * J)
        for c in range(own[CHUNK], own[CHUNKS] - 1):
            length = max(length, rows.chunk[c + 1, ROW] - rows.chunk[c, ROW])
            width = max(width, rows.chunk[c + 1, LANE] - rows.chunk[c, LANE])
            groups = max(groups, rows.chunk[c + 1, GROUP] - rows.chunk[c, GROUP])
    return Scratch(
        np.empty((6, max(length, groups))),
        np.empty(width),
        np.empty(8 * size * groups),
        np.empty(3 * size * size * groups),
        np.empty((6, groups)),
        np.empty((2, n)),
        np.empty(effects),
        np.empty(squares),
        np.empty(2 * effects),
        np.empty(effects),
        np.empty(2 * effects),
        np.empty(2 * squares),
        np.empty(2 * longest),
        np.zeros((3, longest)),
        np.empty(d),
        np.zeros((table.shape[0], 2)),
        centring.Centring(
            np.zeros((0, 2), dtype=np.int64),
            np.zeros((0, 0, 0)),
            np.zeros((0, 0, 0, 0)),
            np.zeros((0, 2)),
            np.zeros(0),
        ),
    )


@kernel
def observations(rows, own, f):
    """Rows in the layout of a factor."""
    lanes = Lanes(
        rows.chunk[own[CHUNK] : own[CHUNKS]],
        rows.level[own[LEVEL] : own[LEVEL_END]],
        rows.lane[own[LANE_FIRST] : own[LANE_END]],
    )
    first, last = own[COLUMN], own[COLUMNS]
    return Observations(
        rows.y[f],
        rows.w[f],
        rows.y[f],
        rows.Z[:0],
        rows.Z[first:last],
        rows.ones[first:last],
        lanes,
    )


@kernel
def one_a_level(rows, own, pool):
    """Rows that stand for all of a level each."""
    first, last, J = own[COLUMN], own[COLUMNS], own[LEVELS]
    chunk = rows.pool_chunk[own[CHUNK] : own[CHUNKS]]
    lanes = Lanes(chunk, rows.pool_level[own[CHUNK] : own[CHUNKS]], rows.lane[:0])
    y = pool[0, :J]
    return Observations(
        y, pool[1, :J], y, rows.Z[:0], rows.Z[first:last], rows.ones[first:last], lanes
    )


@kernel
def covariance_of(cov, own, f):
    """Covariance of a factor."""
    first, last = own[COLUMN], own[COLUMNS]
    block, end, psi, psis = own[BLOCK], own[BLOCKS], own[PSI], own[PSIS]
    q = last - first
    return covariance.Covariance(
        cov.row[psi:psis],
        cov.col[psi:psis],
        cov.block_start[block + f : end + f + 1],
        cov.kind[block:end],
        cov.eta[block:end],
        cov.constant[block:end],
        cov.sd_kind[first:last],
        cov.sd_a[first:last],
        cov.sd_b[first:last],
        cov.sd_c[first:last],
        cov.z_scale[first:last],
        cov.df[block:end],
        cov.scale[own[SCALE] : own[SCALE] + q * q].reshape(q, q),
    )


@kernel
def work_of(scratch, q):
    """Scratch of one chunk, as of `lanes`."""
    groups = scratch.number.shape[1]
    return Work(
        scratch.row,
        scratch.lane,
        scratch.vector[: 8 * q * groups].reshape(8, q, groups),
        scratch.matrix[: 3 * q * q * groups].reshape(3, q, q, groups),
        scratch.number,
    )
