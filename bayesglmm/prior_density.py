"""Densities of scalar priors in compiled code: one branch per prior, normalized.

A prior is a kind and three numbers (`priors`). Positive priors have density 0 at 0 and below.
"""

import math

from . import priors
from ._jit import bare, kernel

FLAT, NORMAL, STUDENT_T, LAPLACE = priors.FLAT, priors.NORMAL, priors.STUDENT_T, priors.LAPLACE
HALF_NORMAL, HALF_STUDENT_T = priors.HALF_NORMAL, priors.HALF_STUDENT_T
UNIFORM, EXPONENTIAL = priors.UNIFORM, priors.EXPONENTIAL
INVERSE_GAMMA_VARIANCE, GAMMA = priors.INVERSE_GAMMA_VARIANCE, priors.GAMMA
OF_INVERSE, OF_INVERSE_SQRT = priors.OF_INVERSE, priors.OF_INVERSE_SQRT
LOG_TWO = math.log(2.0)
HALF_LOG_PI = 0.5 * math.log(math.pi)


@bare
def prior_logpdf(kind, a, b, c, x):
    """Log density at x; -inf outside the support."""
    if kind == FLAT:
        return 0.0
    if kind == NORMAL:
        z = (x - a) / b
        return c - 0.5 * z * z
    if kind == STUDENT_T:
        z = (x - b) / c
        ratio = math.lgamma(0.5 * (a + 1.0)) - math.lgamma(0.5 * a)
        constant = ratio - 0.5 * math.log(a) - HALF_LOG_PI - math.log(c)
        return constant - 0.5 * (a + 1.0) * math.log1p(z * z / a)
    if kind == LAPLACE:
        return c - abs(x - a) / b
    if kind == UNIFORM:
        return c if a <= x <= b else -math.inf
    if not x > 0.0:
        return -math.inf
    if kind == HALF_NORMAL:
        z = x / a
        return c - 0.5 * z * z
    if kind == HALF_STUDENT_T:
        z = x / b
        return c - 0.5 * (a + 1.0) * math.log1p(z * z / a)
    if kind == EXPONENTIAL:
        return c - a * x
    if kind == GAMMA:
        return c + (a - 1.0) * math.log(x) - b * x
    # INVERSE_GAMMA_VARIANCE: p(sd) = p(sd^2) 2 sd
    return c - (2.0 * a + 1.0) * math.log(x) - b / (x * x)


@bare
def prior_slope(kind, a, b, c, x):
    """Derivative of the log density at x, inside the support."""
    if kind == NORMAL:
        return -(x - a) / (b * b)
    if kind == STUDENT_T:
        r = x - b
        return -(a + 1.0) * r / (a * c * c + r * r)
    if kind == LAPLACE:
        return -1.0 / b if x > a else (1.0 / b if x < a else 0.0)
    if kind == HALF_NORMAL:
        return -x / (a * a)
    if kind == HALF_STUDENT_T:
        return -(a + 1.0) * x / (a * b * b + x * x)
    if kind == EXPONENTIAL:
        return -a
    if kind == GAMMA:
        return (a - 1.0) / x - b
    if kind == INVERSE_GAMMA_VARIANCE:
        return (2.0 * b / (x * x) - (2.0 * a + 1.0)) / x
    return 0.0  # FLAT and UNIFORM


@kernel
def dispersion_logpdf(kind, a, b, c, log_phi):
    """Log density of log(phi), for a prior of phi, of 1 / phi or of 1 / sqrt(phi)."""
    if kind >= OF_INVERSE_SQRT:
        x = math.exp(-0.5 * log_phi)
        return prior_logpdf(kind - OF_INVERSE_SQRT, a, b, c, x) - 0.5 * log_phi - LOG_TWO
    if kind >= OF_INVERSE:
        return prior_logpdf(kind - OF_INVERSE, a, b, c, math.exp(-log_phi)) - log_phi
    return prior_logpdf(kind, a, b, c, math.exp(log_phi)) + log_phi


@kernel
def dispersion_slope(kind, a, b, c, log_phi):
    """Derivative of `dispersion_logpdf` by log(phi)."""
    if kind >= OF_INVERSE_SQRT:
        x = math.exp(-0.5 * log_phi)
        return -0.5 * (prior_slope(kind - OF_INVERSE_SQRT, a, b, c, x) * x + 1.0)
    if kind >= OF_INVERSE:
        x = math.exp(-log_phi)
        return -(prior_slope(kind - OF_INVERSE, a, b, c, x) * x + 1.0)
    x = math.exp(log_phi)
    return prior_slope(kind, a, b, c, x) * x + 1.0
