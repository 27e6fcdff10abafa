"""The complete state of a Hamiltonian chain: arrays only, so that a copy of it is a checkpoint."""

from typing import NamedTuple

import numpy as np

from .._jit import types
from ..adaptation import metric, step_size

# Places in `ChainState.phase`: what the next iterations do beside moving.
SEARCH, TUNE, COLLECT = 0, 1, 2


class ChainState(NamedTuple):
    """All that a chain carries from one iteration to the next."""

    random: np.ndarray  # (2,) uint64, the random stream
    position: np.ndarray  # (dim,)
    gradient: np.ndarray  # (dim,) of the log density at position
    value: np.ndarray  # (1,) log density at position
    inverse_metric: np.ndarray  # (dim,)
    step: np.ndarray  # (step_size.FIELDS,)
    moments: np.ndarray  # (metric.ROWS, dim), of the current window
    phase: np.ndarray  # (3,) int64: search a step size first, tune it, collect moments


class Settings(NamedTuple):
    """What the user chooses of a Hamiltonian sampler, for compiled code."""

    target_accept: float
    max_depth: int
    path_length: float
    bounded: int  # 1 if a log density of -inf is outside the support, and no divergence


def initial(random: np.ndarray, position: np.ndarray, gradient: np.ndarray, value: float):
    """Return the state of a chain that starts at a position, with a unit metric."""
    phase = np.zeros(3, dtype=np.int64)
    phase[SEARCH] = 1
    return ChainState(
        random=random,
        position=position,
        gradient=gradient,
        value=np.array([value]),
        inverse_metric=np.ones(position.size),
        step=step_size.unset(),
        moments=np.zeros((metric.ROWS, position.size)),
        phase=phase,
    )


def state_type() -> types.NamedTuple:
    """Return numba's type of a ChainState."""
    vector, matrix = types.float64[::1], types.float64[:, ::1]
    counts = types.int64[::1]
    fields = (types.uint64[::1], vector, vector, vector, vector, vector, matrix, counts)
    return types.NamedTuple(fields, ChainState)


def settings_type() -> types.NamedTuple:
    """Return numba's type of Settings."""
    return types.NamedTuple((types.float64, types.int64, types.float64, types.int64), Settings)
