"""Leapfrog: one step of Hamiltonian dynamics, reversible and volume-preserving.

    H(position, momentum) = -logdensity(position) + momentum' M^-1 momentum / 2

The inverse metric M^-1 is diagonal. With error O(step_size^2) over a fixed time.
"""

import numpy as np

from .._jit import kernel, reduce
from .._random import fill_normals


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
def leapfrog(
    logdensity, rows, data, map, position, momentum, gradient, step_size, inverse_metric
):  # fmt: skip
    """Move position, momentum and gradient one step, in place; return the new log density."""
    half = 0.5 * step_size
    for i in range(position.size):
        momentum[i] += half * gradient[i]
        position[i] += step_size * inverse_metric[i] * momentum[i]
    value = logdensity(rows, data, map, position, gradient)
    for i in range(position.size):
        momentum[i] += half * gradient[i]
    return value
