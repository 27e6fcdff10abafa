"""HMC: a trajectory of fixed length in whitened coordinates, accepted or rejected as a whole.

Where the posterior is near a standard normal, momentum and position of all coordinates exchange
after a time of pi / 2, and the end of the trajectory does not depend on its start. The length of
each trajectory is that times a uniform in (1/2, 3/2): coordinates whose scale is not quite 1 would
otherwise come back to where they were (resonance), and the mean correlation of a whitened
coordinate stays 0. The length does not depend on the state, so the move is reversible.
"""

import math
from typing import NamedTuple

import numpy as np

from .._jit import kernel
from .._random import uniform
from ..adaptation.step_size import STEP_SIZE
from .leapfrog import GRADIENT, MOMENTUM, POSITION, assign, kinetic, refresh
from .nuts import (
    ACCEPT,
    DEPTH,
    DIVERGENT,
    ENERGY,
    LEAPFROGS,
    LOGDENSITY,
    MAX_ENERGY_ERROR,
    STEP,
)
from .nuts import STATS as NUTS_STATS

PATH_LENGTH = 0.5 * math.pi
SHORTEST, SPREAD = 0.5, 1.0  # of the path length: uniform in (SHORTEST, SHORTEST + SPREAD)

STATS = NUTS_STATS[:DEPTH]


class Path(NamedTuple):
    """A trajectory under way."""

    edge: np.ndarray  # (POSITION MOMENTUM GRADIENT, dim)
    start: np.ndarray  # (1,) energy at the start
    counts: np.ndarray  # (STEPS PLANNED) int64


STEPS, PLANNED = 0, 1


@kernel
def steps_of_path(path_length, step_size, max_depth, share):
    """Leapfrog steps for a trajectory, share in (0, 1) drawn; at most 2^max_depth."""
    steps = path_length * (SHORTEST + SPREAD * share) / step_size
    return max(1, int(min(math.ceil(steps), float(1 << max_depth))))


@kernel
def workspace(dim):
    """An edge, and the sums and counts of a trajectory."""
    return Path(np.empty((3, dim)), np.empty(1), np.empty(2, dtype=np.int64))


@kernel
def begin(chain, settings, path):
    """Begin a trajectory of random length at the chain's position with a new momentum."""
    assign(path.edge[POSITION], chain.position)
    assign(path.edge[GRADIENT], chain.gradient)
    refresh(chain.random, chain.inverse_metric, path.edge[MOMENTUM])
    path.start[0] = kinetic(path.edge[MOMENTUM], chain.inverse_metric) - chain.value[0]
    path.counts[STEPS] = 0
    path.counts[PLANNED] = steps_of_path(
        settings.path_length, chain.step[STEP_SIZE], settings.max_depth, uniform(chain.random)
    )


@kernel
def absorb(path, value):
    """Count one step; return whether there are more."""
    path.counts[STEPS] += 1
    return path.counts[STEPS] < path.counts[PLANNED] and np.isfinite(value)


@kernel
def record(chain, settings, path, value, stats):
    """Accept or reject the end of the trajectory; fill the statistics of the iteration."""
    start, edge = path.start[0], path.edge
    energy = kinetic(edge[MOMENTUM], chain.inverse_metric) - value
    gain = start - energy
    # The comparisons are false for numbers that are not: they diverge as well.
    finite = gain > -np.inf and gain < np.inf
    divergent = not (finite and gain > -MAX_ENERGY_ERROR)
    if settings.bounded == 1 and value == -np.inf:
        divergent = False
    accept = np.exp(min(0.0, gain)) if finite else 0.0
    if uniform(chain.random) < accept:
        assign(chain.position, edge[POSITION])
        assign(chain.gradient, edge[GRADIENT])
        chain.value[0] = value
    else:
        energy = start
    stats[ACCEPT] = accept
    stats[DIVERGENT] = 1.0 if divergent else 0.0
    stats[LEAPFROGS] = path.counts[STEPS]
    stats[ENERGY] = energy
    stats[STEP] = chain.step[STEP_SIZE]
    stats[LOGDENSITY] = chain.value[0]
