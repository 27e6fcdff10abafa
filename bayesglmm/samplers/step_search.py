"""The first guess of the step size: doubled or halved until one leapfrog step changes its side.

The side is whether a single step would be accepted with probability above 0.8 (Stan's reading of
Hoffman and Gelman 2014, algorithm 4).
"""

import math

import numpy as np

from .._jit import kernel
from ..adaptation.step_size import STEP_SIZE, restart
from .leapfrog import GRADIENT, MOMENTUM, POSITION, assign, kinetic, refresh

LOG_ACCEPT = math.log(0.8)
MAX_DOUBLINGS = 50  # from 1 to 1e15 or 1e-15: beyond lies only a target without any scale

BEFORE, SIDE, COUNT = 0, 1, 2  # places in the state of a search
FIELDS = 3


@kernel
def begin():
    """State of a search that begins."""
    return np.zeros(FIELDS)


@kernel
def prepare(chain, edge, search):
    """Set out from the chain's position with a new momentum; return the step size to try."""
    assign(edge[POSITION], chain.position)
    assign(edge[GRADIENT], chain.gradient)
    refresh(chain.random, chain.inverse_metric, edge[MOMENTUM])
    search[BEFORE] = kinetic(edge[MOMENTUM], chain.inverse_metric) - chain.value[0]
    return chain.step[STEP_SIZE]


@kernel
def absorb(chain, edge, search, value):
    """Learn from a step; return whether another is to be tried.

    At the end the chain's step size is the longest that was tried and passed.
    """
    change = search[BEFORE] - (kinetic(edge[MOMENTUM], chain.inverse_metric) - value)
    side = 1.0 if change > LOG_ACCEPT else -1.0  # a change that is not a number: too long a step
    step_size = chain.step[STEP_SIZE]
    search[COUNT] += 1.0
    if search[SIDE] == 0.0:
        search[SIDE] = side
    if search[SIDE] != side or search[COUNT] == MAX_DOUBLINGS:
        restart(chain.step, step_size if side > 0.0 or search[SIDE] < 0.0 else 0.5 * step_size)
        return False
    chain.step[STEP_SIZE] = step_size * (2.0 if side > 0.0 else 0.5)
    return True
