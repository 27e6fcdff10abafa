"""Special functions of one number, accurate to a few rounding units in their tails.

The hazard of the normal, h(x) = phi(x) / Phi(x), is about -x far on the left; what the probit link
needs are differences like h(x) + x, which its continued fraction gives without cancellation
(Abramowitz and Stegun 1964, 26.2.14).

The gamma function enters as differences that stay small where it is large. Its Stirling series
(ibid. 6.1.40, 6.3.18) is summed from an argument of at least 8, to which smaller ones are raised by
the recurrence Gamma(x + 8) = x (x + 1) ... (x + 7) Gamma(x).
"""

import math

from ._jit import kernel, simd
from ._simd import SQRT_HALF_BITS, bits, exp, float_of, log

SQRT_HALF = math.sqrt(0.5)
SQRT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
LOG_TWO = math.log(2.0)
HALF_LOG_TWO = 0.5 * LOG_TWO
SPLIT = math.sqrt(2.0) - 1.0
TAIL = -5.0  # from here on 25 terms of the continued fraction are exact to 1e-15
TAIL_TERMS = 25
RAISE = 8.0  # from here on eight terms of Stirling's series are exact to 2e-16


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
def expm1mx(x):
    """e^x - 1 - x, without cancellation near 0; vectorizes."""
    near = abs(x) < HALF_LOG_TWO
    r = x if near else 0.0
    p = 1.0 / 1307674368000.0
    p = p * r + 1.0 / 87178291200.0
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
    return r * r * p if near else exp(x) - 1.0 - x


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


@simd
def _atanh_terms(s):
    """2 atanh(s) / s - 2, for |s| < 0.172."""
    t = s * s
    p = 1.479819860511658591e-01  # as in log1p_unit
    p = p * t + 1.531383769920937332e-01
    p = p * t + 1.818357216161805012e-01
    p = p * t + 2.222219843214978396e-01
    p = p * t + 2.857142874366239149e-01
    p = p * t + 3.999999999940941908e-01
    p = p * t + 6.666666666666735130e-01
    return t * p


@simd
def _log1p_parts(x):
    """Exponent e and s of log(1 + x) = e log 2 + 2 atanh(s), for x >= 0; e = 0 up to SPLIT."""
    n = bits(1.0 + x)
    k = (n - SQRT_HALF_BITS) >> 52
    near = x < SPLIT
    f = x if near else float_of(n - (k << 52)) - 1.0
    return (0.0 if near else float(k)), f / (2.0 + f)


@simd
def log1p_positive(x):
    """log(1 + x) for finite x >= 0; vectorizes, and shares its work with `log1pmx`."""
    e, s = _log1p_parts(x)
    return e * LOG_TWO + s * (2.0 + _atanh_terms(s))


@simd
def log1pmx(x):
    """log(1 + x) - x for finite x >= 0, without cancellation near 0; vectorizes."""
    e, s = _log1p_parts(x)
    terms = _atanh_terms(s)
    # x = 2 s / (1 - s) where e = 0, so 2 s - x = -s x.
    return s * (terms - x) if x < SPLIT else e * LOG_TWO + s * (2.0 + terms) - x


@simd
def _stirling(x):
    """Remainder of Stirling's formula for log Gamma(x), x >= RAISE."""
    r = 1.0 / x
    t = r * r
    p = -3617.0 / 122400.0
    p = p * t + 1.0 / 156.0
    p = p * t - 691.0 / 360360.0
    p = p * t + 1.0 / 1188.0
    p = p * t - 1.0 / 1680.0
    p = p * t + 1.0 / 1260.0
    p = p * t - 1.0 / 360.0
    p = p * t + 1.0 / 12.0
    return p * r


@simd
def _stirling_slope(x):
    """Remainder of the same formula for digamma(x), sign reversed, x >= RAISE."""
    r = 1.0 / x
    t = r * r
    p = -3617.0 / 8160.0
    p = p * t + 1.0 / 12.0
    p = p * t - 691.0 / 32760.0
    p = p * t + 1.0 / 132.0
    p = p * t - 1.0 / 240.0
    p = p * t + 1.0 / 252.0
    p = p * t - 1.0 / 120.0
    p = p * t + 1.0 / 12.0
    return p * t


@simd
def _raising(x):
    """Gamma(x + 8) / Gamma(x)."""
    low = x * (x + 1.0) * (x + 2.0) * (x + 3.0)
    return low * ((x + 4.0) * (x + 5.0) * (x + 6.0) * (x + 7.0))


@simd
def _raising_slope(x):
    """digamma(x + 8) - digamma(x), by one division."""
    a, b, c, d = x * (x + 7.0), (x + 1.0) * (x + 6.0), (x + 2.0) * (x + 5.0), (x + 3.0) * (x + 4.0)
    top = (a + b) * (c * d) + (c + d) * (a * b)
    return (2.0 * x + 7.0) * top / ((a * b) * (c * d))


@simd
def log_rising(y, x):
    """Compute log Gamma(y + x) - log Gamma(x) - y log(x) for y >= 0 and x > 0; vectorizes over y.

    It is the sum of log(1 + k / x) for k below y, 0 in the limit of large x.
    """
    base = x + 8.0 if x < RAISE else x
    q = y / base
    value = base * log1pmx(q) + (y - 0.5) * log1p_positive(q)
    value += _stirling(y + base) - _stirling(base)
    if x < RAISE:
        value += y * log(base / x) + log(_raising(x) / _raising(y + x))
    # Fused multiplications leave some 1e-19 of terms that cancel: more than all of -w mu of an
    # empty cell, and of either sign.
    return value if y > 0.0 else 0.0


@simd
def log_rising_slope(y, x):
    """Derivative of `log_rising` by log(x): x (digamma(y + x) - digamma(x)) - y."""
    base = x + 8.0 if x < RAISE else x
    q = y / base
    rest = _stirling_slope(base) - _stirling_slope(y + base)
    value = base * log1pmx(q) + 0.5 * y / (y + base) + base * rest
    if x < RAISE:
        # From x + 8 to x: first the factor of the logarithms, then the recurrence.
        value = (value + y) * (x / base) - y
        value += x * (_raising_slope(x) - _raising_slope(y + x))
    return value


@simd
def log_gamma_gap(x):
    """Compute x log(x) - x - log Gamma(x)."""
    base = x + 8.0 if x < RAISE else x
    value = 0.5 * log(base) - HALF_LOG_TWO_PI - _stirling(base)
    if x < RAISE:
        value += 8.0 + x * log(x / base) + log(_raising(x)) - 8.0 * log(base)
    return value


@simd
def log_gamma_gap_slope(x):
    """Derivative of `log_gamma_gap` by log(x): x (log(x) - digamma(x))."""
    base = x + 8.0 if x < RAISE else x
    value = x * (0.5 / base + _stirling_slope(base))
    if x < RAISE:
        value += x * (log(x / base) + _raising_slope(x))
    return value


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
