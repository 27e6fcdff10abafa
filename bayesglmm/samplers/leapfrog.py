"""Leapfrog: one step of Hamiltonian dynamics, reversible and volume-preserving.

    H(position, momentum) = -logdensity(position) + momentum' M^-1 momentum / 2

The inverse metric M^-1 is diagonal. A step is `drift`, then the log density and its gradient at the
new position, then `kick`; its error is O(step_size^2) over a fixed time. The density is called by
the entry points in `advance` and nowhere else: every function that the data of a model pass through
costs a second of compilation, because they are some sixty arrays.
"""

import numpy as np

from .._jit import kernel, reduce
from .._random import fill_normals

# Rows of an edge, the moving end of a trajectory: an array (3, dim).
POSITION, MOMENTUM, GRADIENT = 0, 1, 2


@kernel
def assign(out, values):
    """Copy values into out: slice assignments instead would cost NUTS 3 s of compilation."""
    for i in range(out.size):
        out[i] = values[i]


@kernel
def refresh(random, inverse_metric, momentum):
    """Draw a momentum ~ N(0, M)."""
    fill_normals(random, momentum)
    for i in range(momentum.size):
        momentum[i] /= np.sqrt(inverse_metric[i])


@reduce
def kinetic(momentum, inverse_metric):
    """Kinetic energy momentum' M^-1 momentum / 2."""
    total = 0.0
    for i in range(momentum.size):
        total += momentum[i] * momentum[i] * inverse_metric[i]
    return 0.5 * total


@kernel
def drift(edge, step_size, inverse_metric):
    """First part of a step: half a change of momentum, then the move."""
    position, momentum, gradient = edge[POSITION], edge[MOMENTUM], edge[GRADIENT]
    half = 0.5 * step_size
    for i in range(position.size):
        momentum[i] += half * gradient[i]
        position[i] += step_size * inverse_metric[i] * momentum[i]


@kernel
def kick(edge, step_size):
    """Last part of a step: the other half of the change, with the gradient at the new position."""
    momentum, gradient = edge[MOMENTUM], edge[GRADIENT]
    half = 0.5 * step_size
    for i in range(momentum.size):
        momentum[i] += half * gradient[i]
