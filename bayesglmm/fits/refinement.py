"""The last digits of least squares: corrections from residuals of twice the digits.

Inside, columns are centred and scaled, which rounds them. Where the noise is many times what a
column explains, that alone moves coefficients in their eighth digit. At the least squares of the
columns as they were given, X'W (y - X beta) is 0: what it is instead, summed in twice the digits
from the columns as they were given, is what the estimate is corrected by (iterative refinement;
Bjorck 1967, BIT 7, 257-278). Products and sums without error are those of Dekker (1971), Numerische
Mathematik 18, 224-242: numpy's extended precision is not the same everywhere.
"""

import math
from typing import NamedTuple

import numpy as np

SPLITTER = 2.0**27 + 1.0  # cuts the 53 bits of a number into halves
LARGEST = 1e140  # of numbers whose halves and products are all finite


class Least(NamedTuple):
    """A weighted least squares problem as the user gave it."""

    X: np.ndarray  # (n, p)
    center: np.ndarray  # (p,) taken off the columns inside
    scale: np.ndarray  # (p,) that they are divided by inside
    y: np.ndarray  # (n,)
    offset: np.ndarray  # (n,)
    weights: np.ndarray  # (n,)

    @property
    def safe(self) -> bool:
        """Whether no product of its numbers overflows."""
        return all(np.abs(part).max(initial=0.0) < LARGEST for part in self)


def slope(least: Least, beta: np.ndarray) -> np.ndarray:
    """X'W (y - X beta) of the columns inside, shape (p,), from `beta` of those of the user."""
    high, low = _sum(least.y, -least.offset)
    for column, value in zip(least.X.T, beta, strict=True):
        product, rest = _product(column, value)
        high, error = _sum(high, -product)
        low += error - rest
    residual, rest = _product(least.weights, high)
    rest += least.weights * low
    found = np.empty(beta.size)
    for k, (column, center) in enumerate(zip(least.X.T, least.center, strict=True)):
        apart, error = _sum(column, -center)
        product, more = _product(apart, residual)
        more += apart * rest + error * residual
        found[k] = math.fsum([*product, *more]) / least.scale[k]
    return found


def _sum(a: np.ndarray, b: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """A sum, and what rounding takes of it."""
    total = a + b
    taken = total - a
    return total, (a - (total - taken)) + (b - taken)


def _product(a: np.ndarray, b: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """A product, and what rounding takes of it."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, rest


def _halves(a: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    whole = SPLITTER * np.asarray(a)
    high = whole - (whole - a)
    return high, a - high
