"""Raftery's and Lewis's run length for a quantile.

Raftery and Lewis (1992), How many iterations in the Gibbs sampler?, in Bayesian Statistics 4,
763-773; and One long run with diagnostics, Statistical Science 7, 493-497.
"""

import math
from typing import NamedTuple

import numpy as np

from .normal import normal_quantile

QUANTILE, ACCURACY, PROBABILITY, EPSILON = 0.025, 0.005, 0.95, 0.001
SHORTEST = 4  # draws of a thinned chain, below which transitions of second order mean nothing


class Raftery(NamedTuple):
    """Of every row: arrays (rows,); nan where the chain is too short or stands still.

    Attributes
    ----------
    burn_in, total : array
        Iterations of burn-in, and of burn-in and sampling together, that are needed.
    minimum : array
        Draws that would be needed if they were independent.
    dependence : array
        total / minimum; above 5 the chain is strongly dependent.
    thin : array
        Every how many iterations the indicator of the quantile is a Markov chain.
    """

    burn_in: np.ndarray
    total: np.ndarray
    minimum: np.ndarray
    dependence: np.ndarray
    thin: np.ndarray


def minimum_draws(
    quantile: float = QUANTILE, accuracy: float = ACCURACY, probability: float = PROBABILITY
) -> int:
    """Draws that would do if they were independent: q (1 - q) (Phi^-1((1 + s) / 2) / r)^2."""
    inside = all(0.0 < x < 1.0 for x in (quantile, probability))
    if not inside or not accuracy > 0.0:
        raise ValueError(
            "quantile and probability have to lie in (0, 1) and accuracy has to be positive; they "
            f"are {quantile}, {probability} and {accuracy}"
        )
    width = float(normal_quantile(np.array(0.5 * (1.0 + probability))))
    return math.ceil(quantile * (1.0 - quantile) * (width / accuracy) ** 2)


def raftery(
    series: np.ndarray,
    quantile: float = QUANTILE,
    accuracy: float = ACCURACY,
    probability: float = PROBABILITY,
    epsilon: float = EPSILON,
) -> Raftery:
    """Run length after which P(parameter <= quantile) is known to `accuracy`.

    The indicator ``x <= quantile`` is thinned until BIC prefers a Markov chain of first order to
    one of second order; from its two transition probabilities follow the burn-in, after which they
    are within `epsilon` of the stationary ones, and the number of draws.

    Parameters
    ----------
    series : (rows, n) array
    quantile, accuracy, probability : float
        Estimate this quantile's probability to +- accuracy with this probability.
    epsilon : float
        Distance from the stationary distribution after burn-in.

    Returns
    -------
    Raftery
        All nan but `minimum` where the chain has fewer draws than that.
    """
    rows, n = series.shape
    minimum = minimum_draws(quantile, accuracy, probability)
    found = np.full((4, rows), np.nan)
    if n >= max(minimum, SHORTEST):
        width = float(normal_quantile(np.array(0.5 * (1.0 + probability))))
        for row in range(rows):
            if np.isfinite(series[row]).all():
                below = series[row] <= np.quantile(series[row], quantile)
                found[:, row] = _run_length(below, width / accuracy, epsilon, minimum)
    burn_in, total, dependence, thin = found
    return Raftery(burn_in, total, np.full(rows, float(minimum)), dependence, thin)


def _run_length(
    below: np.ndarray, precision: float, epsilon: float, minimum: int
) -> tuple[float, float, float, float]:
    nothing = (math.nan,) * 4
    thin = 1
    while _second_order_preferred(below[::thin]):
        thin += 1
    chain = below[::thin]
    if chain.size < SHORTEST:
        return nothing
    counts = np.bincount(2 * chain[:-1] + chain[1:], minlength=4).reshape(2, 2)
    if not counts.sum(axis=1).all():
        return nothing
    up = counts[0, 1] / counts[0].sum()
    down = counts[1, 0] / counts[1].sum()
    if up == 0.0 or down == 0.0:
        return nothing
    rate = up + down
    memory = abs(1.0 - up - down)
    burn_in = thin  # without memory the first draw is as good as any
    if memory > 0.0:
        burn_in *= math.ceil(math.log(epsilon * rate / max(up, down)) / math.log(memory))
    keep = math.ceil((2.0 - rate) * up * down * precision**2 / rate**3) * thin
    total = burn_in + keep
    return float(burn_in), float(total), total / minimum, float(thin)


def _second_order_preferred(chain: np.ndarray) -> bool:
    """Whether BIC prefers second order: likelihood-ratio statistic against 2 log(transitions)."""
    transitions = chain.size - 2
    if transitions < SHORTEST - 2:
        return False
    counts = np.bincount(4 * chain[:-2] + 2 * chain[1:-1] + chain[2:], minlength=8)
    table = counts.reshape(2, 2, 2).astype(float)
    middle = table.sum(axis=(0, 2), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        fitted = table.sum(axis=2, keepdims=True) * table.sum(axis=0, keepdims=True) / middle
        terms = np.where(table > 0.0, table * np.log(table / fitted), 0.0)
    return bool(2.0 * terms.sum() >= 2.0 * math.log(transitions))
