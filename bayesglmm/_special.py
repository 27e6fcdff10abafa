"""Special functions of one number, accurate to a few rounding units in their tails.

The hazard of the normal, h(x) = phi(x) / Phi(x), is about -x far on the left; what the probit link
needs are differences like h(x) + x, which its continued fraction gives without cancellation
(Abramowitz and Stegun 1964, 26.2.14).
"""

import math

from ._jit import kernel, simd
from ._simd import exp

SQRT_HALF = math.sqrt(0.5)
SQRT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
LOG_TWO = math.log(2.0)
HALF_LOG_TWO = 0.5 * LOG_TWO
SPLIT = math.sqrt(2.0) - 1.0
TAIL = -5.0  # from here on 25 terms of the continued fraction are exact to 1e-15
TAIL_TERMS = 25


@simd
def expm1(x):
    """e^x - 1, without cancellation near 0; vectorizes."""
    r = x if abs(x) < HALF_LOG_TWO else 0.0
    p = 1.0 / 87178291200.0
    p = p * r + 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    near = r + r * r * p
    return near if abs(x) < HALF_LOG_TWO else exp(x) - 1.0


@simd
def log1p_unit(x):
    """log(1 + x) for x in [0, 1], half the cost of the general one; vectorizes."""
    high = x > SPLIT
    # 2 atanh(s) = log(1 + x), or log((1 + x) / 2) above the split, so that |s| < 0.172.
    s = (x - 1.0 if high else x) / (x + 3.0 if high else x + 2.0)
    t = s * s
    p = 1.479819860511658591e-01  # minimax coefficients of FreeBSD's msun, as in _simd.log
    p = p * t + 1.531383769920937332e-01
    p = p * t + 1.818357216161805012e-01
    p = p * t + 2.222219843214978396e-01
    p = p * t + 2.857142874366239149e-01
    p = p * t + 3.999999999940941908e-01
    p = p * t + 6.666666666666735130e-01
    return s * (2.0 + t * p) + (LOG_TWO if high else 0.0)


@kernel
def normal_hazard(x):
    """Hazard of the standard normal and what derives from it.

    Returns
    -------
    h : float
        phi(x) / Phi(x), the derivative of log Phi.
    excess : float
        h + x, so that the second derivative of log Phi is -h excess.
    turn : float
        The derivative of h excess.
    """
    if x < TAIL:
        q = -x
        for n in range(TAIL_TERMS, 3, -1):
            q = n / q - x
        q = 3.0 / q
        r = 2.0 / (q - x)
        s = 1.0 / (r - x)
        h = s - x
        return h, s, h * s * s * r * (r - q)
    h = SQRT_TWO_OVER_PI * math.exp(-0.5 * x * x) / math.erfc(-x * SQRT_HALF)
    excess = h + x
    bend = h * excess
    return h, excess, h * (1.0 - bend) - bend * excess


@kernel
def log_ndtr(x):
    """Logarithm of the standard normal distribution function."""
    if x < TAIL:
        h, _, _ = normal_hazard(x)
        return -0.5 * x * x - HALF_LOG_TWO_PI - math.log(h)
    if x < 0.0:
        return math.log(0.5 * math.erfc(-x * SQRT_HALF))
    return math.log1p(-0.5 * math.erfc(x * SQRT_HALF))
