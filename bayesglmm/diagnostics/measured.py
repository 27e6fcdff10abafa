"""What the verdict needs to know of many parameters: measured from draws, or from sums of them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .._jit import ENABLED
from ..chains.threads import processors
from .columns import MIN_DRAWS
from .rhat import convergence

# Compiled code measures a column in an eighth of the time. To load it takes as long as FEW columns;
# to compile it, which is done once on a machine, is worth it where there are MANY in a process.
FEW, MANY = 24, 400


class Measured(NamedTuple):
    """Of each of k parameters: arrays (k,)."""

    finite: np.ndarray  # whether all draws are
    moved: np.ndarray  # whether the draws of every chain differ (of all chains, of two values only)
    r_hat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray


class Tally:
    """Of this process: columns measured by plain code so far, whether compiled code is there.

    Both measure the same to 1e-12.
    """

    plain = 0
    loaded = False


def measure(draws: np.ndarray) -> Measured:
    """Measure draws (chains, draws, k)."""
    columns = draws.shape[2]
    if ENABLED and columns and draws.shape[1] >= MIN_DRAWS and _compiled(columns):
        return _measure_many(draws)
    Tally.plain += columns
    return Measured(np.isfinite(draws).all(axis=(0, 1)), _moved(draws), *convergence(draws))


def _compiled(columns: int) -> bool:
    """Whether compiled code takes less time, with loading or compiling it."""
    if not Tally.loaded and Tally.plain + columns < MANY:
        if columns < FEW:
            return False
        from . import compiled

        return compiled.measure_columns.cached
    return True


def _moved(draws: np.ndarray) -> np.ndarray:
    """Whether every chain moved: among many, R-hat does not see one that stands still.

    An indicator may be the same for a whole chain: of two values one chain has to have both.
    """
    if draws.shape[1] < 2:
        return np.ones(draws.shape[2], dtype=bool)
    chains = (draws != draws[:, :1]).any(axis=1)
    moved = chains.all(axis=0)
    for k in np.flatnonzero(chains.any(axis=0) & ~moved):
        moved[k] = np.unique(draws[:, :, k]).size == 2
    return moved


def _measure_many(draws: np.ndarray) -> Measured:
    from . import compiled

    Tally.loaded = True
    out = compiled.measured(draws, processors())
    left = np.flatnonzero(out[compiled.LEFT])
    if left.size:
        found = convergence(draws[:, :, left])
        for row, values in zip(compiled.CONVERGENCE, found, strict=True):
            out[row, left] = values
    return Measured(
        out[compiled.FINITE] == 1.0,
        out[compiled.MOVED] == 1.0,
        out[compiled.R_HAT],
        out[compiled.BULK],
        out[compiled.TAIL],
    )


def together(parts: Iterable[Measured]) -> Measured:
    """Return what was measured of several groups of parameters, one after the other."""
    return Measured(*map(np.concatenate, zip(*parts, strict=True)))
