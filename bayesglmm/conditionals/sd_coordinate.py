"""A coordinate of an sd in which a posterior near 0 is no more skew than one far from it.

    sd = c log(1 + exp(sinh y))

grows as exp(y) for large y, as the logarithm of an sd does; is nearly linear about c; and falls
like exp(-exp(-y)) towards 0. An sd that the data cannot tell from 0 has a flat density there: a
tail exp(x) of x = log sd, far longer than a proposal of x that fits the rest, but none of y.
"""

import math

import numpy as np

from .._jit import bare

UNDERFLOW = -700.0  # of the exponent of a double, nearly


@bare
def log_sd(y, c):
    """Log sd at y."""
    s = math.sinh(y)
    if s > 0.0:
        return math.log(c) + math.log(s + math.log1p(math.exp(-s)))
    return math.log(c) + (math.log(math.log1p(math.exp(s))) if s > UNDERFLOW else s)


@bare
def log_slope(y, c):
    """Log of d log sd / d y."""
    s = math.sinh(y)
    value = math.log(math.cosh(y))
    if s > 0.0:
        e = math.exp(-s)
        return value - math.log1p(e) - math.log(s + math.log1p(e))
    if s > UNDERFLOW:
        e = math.exp(s)
        return value + s - math.log1p(e) - math.log(math.log1p(e))
    return value


def coordinate(log_sds: np.ndarray, c: float) -> np.ndarray:
    """Y of logarithms of sds."""
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        ratio = np.exp(log_sds) / c
        s = np.where(ratio > 0.0, ratio + np.log(-np.expm1(-ratio)), log_sds - math.log(c))
    return np.arcsinh(s)
