"""The first guess of the step size: doubled or halved until one leapfrog step changes its side.

The side is whether a single step would be accepted with probability above 0.8 (Stan's reading of
Hoffman and Gelman 2014, algorithm 4).
"""

import math

import numpy as np

from .._jit import kernel
from .leapfrog import assign, kinetic, leapfrog, refresh

LOG_ACCEPT = math.log(0.8)
MAX_DOUBLINGS = 50  # from 1 to 1e15 or 1e-15: beyond lies only a target without any scale


@kernel
def search(logdensity, rows, data, map, chain, step_size):
    """Return the longest step size tried at which one leapfrog step has acceptance 0.8."""
    position, gradient = np.empty_like(chain.position), np.empty_like(chain.gradient)
    momentum = np.empty_like(chain.position)
    side = 0
    for _ in range(MAX_DOUBLINGS):
        refresh(chain.random, chain.inverse_metric, momentum)
        assign(position, chain.position)
        assign(gradient, chain.gradient)
        before = kinetic(momentum, chain.inverse_metric) - chain.value[0]
        value = leapfrog(
            logdensity, rows, data, map,
            position, momentum, gradient, step_size, chain.inverse_metric,
        )  # fmt: skip
        change = before - (kinetic(momentum, chain.inverse_metric) - value)
        now = 1 if change > LOG_ACCEPT else -1  # a change that is not a number is too long a step
        if side == 0:
            side = now
        elif side != now:
            return 0.5 * step_size if side > 0 else step_size
        step_size *= 2.0 if side > 0 else 0.5
    return step_size
