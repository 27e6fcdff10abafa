"""Diagonal metric: the variances of the draws of a window, by Welford's updates.

Shrunk as in Stan: n / (n + 5) times the variance plus 5 / (n + 5) times 0.001.
"""

import numpy as np

from .._jit import kernel

MEAN, SQUARES, COUNT = 0, 1, 2  # rows of the array of moments; the count stands in COUNT, 0
ROWS = 3

PRIOR_DRAWS = 5.0
PRIOR_VARIANCE = 1e-3


@kernel
def collect(moments, position):
    """Add one draw to the moments."""
    moments[COUNT, 0] += 1.0
    weight = 1.0 / moments[COUNT, 0]
    mean, squares = moments[MEAN], moments[SQUARES]
    for i in range(position.size):
        change = position[i] - mean[i]
        mean[i] += weight * change
        squares[i] += change * (position[i] - mean[i])


def inverse_metric(moments: np.ndarray) -> np.ndarray:
    """Return the shrunken variances of the draws collected (at least two)."""
    count = moments[COUNT, 0]
    variance = moments[SQUARES] / (count - 1.0)
    return (count * variance + PRIOR_DRAWS * PRIOR_VARIANCE) / (count + PRIOR_DRAWS)
