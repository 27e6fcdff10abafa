"""HMC: a trajectory of fixed length in whitened coordinates, accepted or rejected as a whole.

Where the posterior is near a standard normal, momentum and position of all coordinates exchange
after a time of pi / 2, and the end of the trajectory does not depend on its start. The length of
each trajectory is that times a uniform in (1/2, 3/2): coordinates whose scale is not quite 1 would
otherwise come back to where they were (resonance), and the mean correlation of a whitened
coordinate stays 0. The length does not depend on the state, so the move is reversible.
"""

import math

import numpy as np

from .._jit import kernel
from .._random import uniform
from ..adaptation.step_size import STEP_SIZE
from .leapfrog import assign, kinetic, leapfrog, refresh
from .nuts import (
    ACCEPT,
    DEPTH,
    DIVERGENT,
    ENERGY,
    GRADIENT,
    LEAPFROGS,
    LOGDENSITY,
    MAX_ENERGY_ERROR,
    MOMENTUM,
    POSITION,
    STEP,
)
from .nuts import STATS as NUTS_STATS

PATH_LENGTH = 0.5 * math.pi
SHORTEST, SPREAD = 0.5, 1.0  # of the path length: uniform in (SHORTEST, SHORTEST + SPREAD)

STATS = NUTS_STATS[:DEPTH]


@kernel
def steps_of_path(path_length, step_size, max_depth, share):
    """Leapfrog steps for a trajectory, share in (0, 1) drawn; at most 2^max_depth."""
    steps = path_length * (SHORTEST + SPREAD * share) / step_size
    return max(1, int(min(math.ceil(steps), float(1 << max_depth))))


@kernel
def transition(logdensity, rows, data, map, chain, settings, edge, stats):
    """Move the chain once; fill the statistics of the iteration."""
    inverse_metric, random = chain.inverse_metric, chain.random
    step_size = chain.step[STEP_SIZE]
    assign(edge[POSITION], chain.position)
    assign(edge[GRADIENT], chain.gradient)
    refresh(random, inverse_metric, edge[MOMENTUM])
    start = kinetic(edge[MOMENTUM], inverse_metric) - chain.value[0]
    steps = steps_of_path(settings.path_length, step_size, settings.max_depth, uniform(random))
    value, taken = chain.value[0], 0
    while taken < steps:
        value = leapfrog(
            logdensity, rows, data, map,
            edge[POSITION], edge[MOMENTUM], edge[GRADIENT], step_size, inverse_metric,
        )  # fmt: skip
        taken += 1
        if not np.isfinite(value):
            break
    energy = kinetic(edge[MOMENTUM], inverse_metric) - value
    gain = start - energy
    # The comparison is false for numbers that are not: they diverge as well.
    finite = gain > -np.inf and gain < np.inf
    divergent = not (finite and gain > -MAX_ENERGY_ERROR)
    accept = min(1.0, np.exp(gain)) if finite else 0.0
    if uniform(random) < accept:
        assign(chain.position, edge[POSITION])
        assign(chain.gradient, edge[GRADIENT])
        chain.value[0] = value
    else:
        energy = start
    stats[ACCEPT] = accept
    stats[DIVERGENT] = 1.0 if divergent else 0.0
    stats[LEAPFROGS] = taken
    stats[ENERGY] = energy
    stats[STEP] = step_size
    stats[LOGDENSITY] = chain.value[0]
