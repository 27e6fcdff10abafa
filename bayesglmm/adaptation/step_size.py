"""Step size: dual averaging of the acceptance statistic, from a first guess by doubling.

Hoffman and Gelman (2014), algorithms 4 and 5, with Stan's constants: after update t the step size
is exp(centre - sqrt(t) / SHRINKAGE * error), where error averages target - accept, and the step
size for sampling is a weighted mean of those logarithms.
"""

import numpy as np

from .._jit import kernel

# Places in the array that holds the state of the adaptation.
STEP_SIZE, LOG_MEAN, ERROR, COUNT, CENTRE = 0, 1, 2, 3, 4
FIELDS = 5

SHRINKAGE = 0.05  # gamma of the paper: how strongly an error moves the step size
STABILITY = 10.0  # t0: damps the first updates
FORGETTING = 0.75  # kappa: how quickly the mean forgets the first step sizes
OPTIMISM = 10.0  # the centre is this many times the first guess: long steps are cheap to test


def unset() -> np.ndarray:
    """Return the state before the first guess: step size 1, the scale of whitened coordinates."""
    state = np.zeros(FIELDS)
    state[STEP_SIZE], state[CENTRE] = 1.0, np.log(OPTIMISM)
    return state


def freeze(state: np.ndarray) -> None:
    """End the adaptation: take the mean as the step size."""
    if state[COUNT] > 0:
        state[STEP_SIZE] = np.exp(state[LOG_MEAN])


@kernel
def restart(state, step_size):
    """Begin anew around a guess of the step size."""
    state[STEP_SIZE] = step_size
    state[LOG_MEAN] = np.log(step_size)
    state[ERROR] = 0.0
    state[COUNT] = 0.0
    state[CENTRE] = np.log(OPTIMISM * step_size)


@kernel
def update(state, accept, target):
    """Learn from the acceptance statistic of one iteration."""
    state[COUNT] += 1.0
    count = state[COUNT]
    weight = 1.0 / (count + STABILITY)
    state[ERROR] += weight * (target - accept - state[ERROR])
    log_step = state[CENTRE] - np.sqrt(count) / SHRINKAGE * state[ERROR]
    state[LOG_MEAN] += count**-FORGETTING * (log_step - state[LOG_MEAN])
    state[STEP_SIZE] = np.exp(log_step)
