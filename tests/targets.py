"""Densities with closed-form answers, and the check of a sampler against them.

One compiled log density serves all, so that each sampler is compiled once for the tests.
"""

from typing import NamedTuple

import numpy as np

from bayesglmm._jit import entry, types
from bayesglmm._random import fill_normals_into
from bayesglmm.diagnostics import ess

NORMAL, SKEWED, RING, CLIFF, FUNNEL, TWO_MODES = 0, 1, 2, 3, 4, 5
CELLS = 7  # of the ring
HEAVY_DF, GAMMA_SHAPE = 5.0, 2.0


def plain(function):
    """Return the Python function behind an inner one, which compiled has no way in from Python."""
    return getattr(function, "py_func", function)


class Data(NamedTuple):
    kind: np.ndarray
    mean: np.ndarray
    precision: np.ndarray
    table: np.ndarray


def _signature():
    vector, matrix = types.float64[::1], types.float64[:, ::1]
    data = types.NamedTuple((types.int64[::1], vector, matrix, vector), Data)
    return types.float64(types.float64, data, types.float64, vector, vector)


@entry(_signature, cache=False)
def logdensity(rows, data, map, position, gradient):
    n, value = position.size, 0.0
    if data.kind[0] == NORMAL:
        for i in range(n):
            gradient[i] = 0.0
            for j in range(n):
                gradient[i] -= data.precision[i, j] * (position[j] - data.mean[j])
            value += 0.5 * gradient[i] * (position[i] - data.mean[i])
    elif data.kind[0] == SKEWED:
        # Even coordinates: Student t, heavy in both tails; odd ones: logarithm of a gamma.
        for i in range(n):
            x = position[i]
            if i % 2 == 0:
                value -= 0.5 * (HEAVY_DF + 1.0) * np.log1p(x * x / HEAVY_DF)
                gradient[i] = -(HEAVY_DF + 1.0) * x / (HEAVY_DF + x * x)
            else:
                value += GAMMA_SHAPE * x - np.exp(x)
                gradient[i] = GAMMA_SHAPE - np.exp(x)
    elif data.kind[0] == RING:
        # A table of values on a circle, without gradient: momentum is kept and the weights of a
        # trajectory are those of the table.
        gradient[:] = 0.0
        value = data.table[int(np.floor(position[0])) % CELLS]
    elif data.kind[0] == FUNNEL:
        # Neal's: x_0 ~ N(0, 3), the others ~ N(0, exp(x_0 / 2)).
        x = position[0]
        precision = np.exp(-x)
        value = -x * x / 18.0 - 0.5 * (n - 1) * x
        gradient[0] = -x / 9.0 - 0.5 * (n - 1)
        for i in range(1, n):
            value -= 0.5 * precision * position[i] ** 2
            gradient[0] += 0.5 * precision * position[i] ** 2
            gradient[i] = -precision * position[i]
    elif data.kind[0] == TWO_MODES:
        # Normals about -10 and 10 in the first coordinate.
        value = 0.0
        for i in range(n):
            mode = 0.0 if i > 0 else (10.0 if position[0] > 0.0 else -10.0)
            gradient[i] = mode - position[i]
            value -= 0.5 * gradient[i] ** 2
    else:
        # A half-normal without a wall: outside its support the density is not a number.
        value = -0.5 * position[0] * position[0] if position[0] > 0.0 else np.nan
        gradient[:] = -position
    return value


class ToyTarget:
    """A target of the given density, started at random normal points."""

    rows = 1.0
    map = 1.0
    bounded = False
    logdensity = staticmethod(logdensity)

    def __init__(self, kind, dim, mean=None, covariance=None, table=None, effects=0):
        precision = np.eye(dim) if covariance is None else np.linalg.inv(covariance)
        self.data = Data(
            np.array([kind]),
            np.zeros(dim) if mean is None else np.asarray(mean, dtype=float),
            np.ascontiguousarray(precision),
            np.zeros(CELLS) if table is None else table,
        )
        self.dim, self.effects = dim - effects, effects

    def start(self, random_state, chain, away):
        position = np.empty(self.dim + self.effects)
        fill_normals_into(random_state, position)
        return away * position

    def unwhiten(self, positions):
        return positions[:, : self.dim], positions[:, self.dim :]


MEAN = np.array([1.0, -2.0, 0.5])
SD = np.array([0.3, 1.0, 4.0])
CORRELATION = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.5], [0.3, 0.5, 1.0]])
COVARIANCE = CORRELATION * np.outer(SD, SD)


def correlated_normal() -> ToyTarget:
    return ToyTarget(NORMAL, 3, MEAN, COVARIANCE)


def z_scores(draws: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Deviations of the means of draws (chains, draws, k) in Monte Carlo standard errors."""
    size = ess.ess_mean(draws)
    flat = draws.reshape(-1, draws.shape[2])
    return (flat.mean(axis=0) - expected) * np.sqrt(size) / flat.std(axis=0, ddof=1)


def normal_deviations(draws: np.ndarray, mean=MEAN, covariance=COVARIANCE) -> np.ndarray:
    """Deviations of all first and second moments of a normal from their closed form."""
    centred = draws - mean
    i, j = np.triu_indices(mean.size)
    return np.concatenate(
        [
            z_scores(draws, mean),
            z_scores(centred[:, :, i] * centred[:, :, j], covariance[i, j]),
        ]
    )


LARGEST_Z = 4.5  # 9 moments: a false alarm in 16,000 checks


def check_normal(sample) -> None:
    """Raise AssertionError unless `sample(target)`, draws (chains, draws, 3), are exact."""
    draws = sample(correlated_normal())
    assert np.ptp(draws, axis=(0, 1)).min() > 0.0, "the chains did not move"
    worst = np.abs(normal_deviations(draws)).max()
    assert worst < LARGEST_Z, f"a moment is {worst:.1f} standard errors off"
