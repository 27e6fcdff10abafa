"""What the verdict needs to know of many parameters: measured from draws, or from sums of them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .rhat import convergence


class Measured(NamedTuple):
    """Of each of k parameters: arrays (k,)."""

    finite: np.ndarray  # whether all draws are
    moved: np.ndarray  # whether not all draws are equal
    r_hat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray


def measure(draws: np.ndarray) -> Measured:
    """Measure draws (chains, draws, k)."""
    flat = draws.reshape(draws.shape[0] * draws.shape[1], draws.shape[2])
    moved = (flat != flat[:1]).any(axis=0) if len(flat) else np.ones(flat.shape[1], bool)
    return Measured(np.isfinite(flat).all(axis=0), moved, *convergence(draws))


def together(parts: Iterable[Measured]) -> Measured:
    """Return what was measured of several groups of parameters, one after the other."""
    return Measured(*map(np.concatenate, zip(*parts, strict=True)))
