"""What a chain of classical Metropolis within Gibbs is made of: its steps, proposals and state.

A sweep does the steps of a table one after the other. A step moves one block (coefficients; the
effects of one factor, all levels at once; the covariance of one term; the dispersion) by one
method, and everything else is held.
"""

from typing import NamedTuple

import numpy as np

from .._jit import kernel
from ..lanes import Work
from . import centring

# Steps.step[:, METHOD]
WALK, IWLS, CONJUGATE, SLICE, NEAR, CENTRED, NONCENTRED = 0, 1, 2, 3, 4, 5, 6
BETA, EFFECTS, SIGMA, PHI = 0, 1, 2, 3  # Steps.step[:, TARGET]
METHOD, TARGET, FIRST, LAST, WHICH, TRIANGLE, LEVEL, MOMENT = 0, 1, 2, 3, 4, 5, 6, 7
NEW, RUNNING = 0, 1
STATUS, SWEEPS = 0, 1  # State.flag
ACCEPTED, PROPOSED = 0, 1  # columns of Tuning.tally
SCALES, ACCEPTS = 0, 1  # rows of Tuning.level
SHIFT, SUM, PRODUCTS = 0, 1, 2  # rows of Tuning.theta: products from there on
NEW_ETA, NEW_LOGLIK, SCORE_ROW, WEIGHT_ROW, PRODUCT_ROW = 0, 1, 2, 3, 4  # Scratch.row


class Steps(NamedTuple):
    """The steps of a sweep.

    Columns of `step`: METHOD and TARGET; FIRST and LAST, a range of `member` (of z columns for
    effects); WHICH covariance block, factor or centring; where its TRIANGLE, LEVEL and MOMENT lie
    in `Tuning`.
    """

    step: np.ndarray  # (steps, 8) int64
    member: np.ndarray  # (members,) int64, places in theta
    normal: np.ndarray  # (p, 2) mean and precision of the Normal that stands for a prior of beta
    width: np.ndarray  # (d,) widths of slices


class Tuning(NamedTuple):
    """Proposals of random walks, and what warm-up learns for them."""

    scale: np.ndarray  # (steps,) of walks; of effects the mean over levels
    tally: np.ndarray  # (steps, 2) ACCEPTED and PROPOSED since last set to 0
    triangle: np.ndarray  # (.,) Cholesky factors (size, size), or (q, q, J) of effects
    level: np.ndarray  # (2, .) SCALES and ACCEPTS of each level
    theta: np.ndarray  # (2 + d, d) SHIFT, SUM and PRODUCTS of theta - shift
    moment: np.ndarray  # (.,) the same of effects that walk: (q, J), (q, J), (q, q, J)


class Centres(NamedTuple):
    """`centring.Centring` of several factors, end to end."""

    # (centrings, 7) int64: columns from and to; first z column; q; J; places of W and of cross
    table: np.ndarray
    column: np.ndarray  # (., 2) int64
    normal: np.ndarray  # (., 2)
    W: np.ndarray  # (.,)
    cross: np.ndarray  # (.,)


class State(NamedTuple):
    """A chain."""

    random: np.ndarray  # (2,) uint64
    flag: np.ndarray  # (2,) int64: STATUS, SWEEPS done
    theta: np.ndarray  # (d,)
    u: np.ndarray  # (effects,)
    eta: np.ndarray  # (n,)
    loglik: np.ndarray  # (n,) of each row


def new_state(random: np.ndarray, theta: np.ndarray, u: np.ndarray, n: int) -> State:
    """A chain before its density is first evaluated."""
    return State(random, np.array([NEW, 0]), theta, u, np.zeros(n), np.zeros(n))


def pack(parts: list[tuple[int, int, centring.Centring]]) -> Centres:
    """Lay centrings of several factors end to end.

    Parameters
    ----------
    parts : list of (first z column, levels, Centring)
    """
    table, columns, weights, crosses = [], 0, 0, 0
    for first, J, part in parts:
        c, q = part.W.shape[:2]
        table.append([columns, columns + c, first, q, J, weights, crosses])
        columns, weights, crosses = columns + c, weights + part.W.size, crosses + part.cross.size

    def joined(arrays: list[np.ndarray], shape: tuple[int, ...], kind: type) -> np.ndarray:
        empty: np.ndarray = np.zeros(shape, dtype=kind)
        return np.ascontiguousarray(np.concatenate([empty, *arrays]), dtype=kind)

    return Centres(
        np.array(table, dtype=np.int64).reshape(-1, 7),
        joined([part.column for _, _, part in parts], (0, 2), np.int64),
        joined([part.normal for _, _, part in parts], (0, 2), np.float64),
        joined([part.W.ravel() for _, _, part in parts], (0,), np.float64),
        joined([part.cross.ravel() for _, _, part in parts], (0,), np.float64),
    )


@kernel
def unpack(centres, which):
    """One of the centrings."""
    row = centres.table[which]
    lo, hi, q, J = row[0], row[1], row[3], row[4]
    c = hi - lo
    return centring.Centring(
        centres.column[lo:hi],
        centres.W[row[5] : row[5] + c * q * J].reshape((c, q, J)),
        centres.cross[row[6] : row[6] + q * q * c * c].reshape((q, q, c, c)),
        centres.normal[lo:hi],
        centres.normal[0, :0],
    )


class Scratch(NamedTuple):
    """Scratch arrays: rows, and what the largest factor needs, flat."""

    row: np.ndarray  # (5, n)
    trial: np.ndarray  # (3, d)
    vector: np.ndarray
    matrix: np.ndarray
    number: np.ndarray


@kernel
def make_scratch(data, d):
    """Scratch arrays large enough for every factor."""
    vector, matrix, number = 0, 0, 0
    for f in range(data.levels.size):
        q, J = 0, data.levels[f]
        for k in range(data.factor.size):
            q += 1 if data.factor[k] == f else 0
        vector, matrix, number = max(vector, q * J), max(matrix, q * q * J), max(number, J)
    return Scratch(
        np.empty((5, data.obs.y.size)),
        np.empty((3, d)),
        np.empty(8 * vector),
        np.empty(3 * matrix),
        np.empty(6 * number),
    )


@kernel
def of_factor(scratch, q, J):
    """Arrays of one factor, as `lanes` names them; rows are not laid out in chunks."""
    return Work(
        scratch.row,
        scratch.number[:0],
        scratch.vector[: 8 * q * J].reshape((8, q, J)),
        scratch.matrix[: 3 * q * q * J].reshape((3, q, q, J)),
        scratch.number[: 6 * J].reshape((6, J)),
    )
