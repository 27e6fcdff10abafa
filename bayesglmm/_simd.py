"""Exponential and logarithm as branch-free arithmetic, so that LLVM vectorizes loops over them.

``math.exp`` in a compiled loop is a library call (2.9 ns an element). Here exp(x) = 2^k exp(r)
with k = round(x / log 2), found by adding and subtracting 1.5 * 2^52, and |r| <= log(2) / 2, where
a Taylor polynomial of degree 13 is exact to the last bit; log splits off the exponent by its bits
and sums the series of atanh (Muller, *Elementary Functions*, 3rd ed., chapters 5 and 11; the
minimax coefficients of log are those of FreeBSD's msun). Infinities and nan come out as in C.
"""

import struct

from ._jit import ENABLED, intrinsic, simd, types

ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it leaves the rounded integer in the low bits
ROUND_BITS = 0x4338000000000000
LOG2_HIGH = 6.93147180369123816490e-01  # log 2 in two parts (Cody and Waite 1980)
LOG2_LOW = 1.90821492927058770002e-10
LOG2_INVERSE = 1.4426950408889634
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
SMALLEST_NORMAL = 2.2250738585072014e-308
INF = float("inf")
NAN = float("nan")


if ENABLED:
    from llvmlite import ir

    @intrinsic
    def bits(typing_context, x):
        """The 64 bits of a float as a signed integer."""

        def code(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], ir.IntType(64))

        return types.int64(types.float64), code

    @intrinsic
    def float_of(typing_context, n):
        """The float that has the 64 bits of a signed integer."""

        def code(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], ir.DoubleType())

        return types.float64(types.int64), code

else:

    def bits(x: float) -> int:
        """The 64 bits of a float as a signed integer."""
        return struct.unpack("<q", struct.pack("<d", x))[0]

    def float_of(n: int) -> float:
        """The float that has the 64 bits of a signed integer."""
        return struct.unpack("<d", struct.pack("<Q", n & 0xFFFFFFFFFFFFFFFF))[0]


@simd
def exp(x):
    """e^x: relative error below 3e-16, inf above 709.78, gradual underflow to 0."""
    x = 710.0 if x > 710.0 else x
    x = -746.0 if x < -746.0 else x
    shifted = x * LOG2_INVERSE + ROUND
    k = bits(shifted) - ROUND_BITS
    rounded = shifted - ROUND
    r = (x - rounded * LOG2_HIGH) - rounded * LOG2_LOW
    p = 1.0 / 6227020800.0
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
    p = p * r + 1.0
    p = p * r + 1.0
    # In two factors: 2^k alone would overflow at k = 1024 and miss the subnormals.
    half = bits(0.5 * rounded + ROUND) - ROUND_BITS
    rest = k - half
    return p * float_of((half + 1023) << 52) * float_of((rest + 1023) << 52)


@simd
def log(x):
    """Natural logarithm: relative error below 3e-16; log(0) = -inf, nan for negative x."""
    tiny = x < SMALLEST_NORMAL
    scaled = x * 18014398509481984.0 if tiny else x  # 2^54 lifts subnormals
    n = bits(scaled)
    k = (n - SQRT_HALF_BITS) >> 52
    z = float_of(n - (k << 52))  # in [sqrt(1/2), sqrt(2))
    e = float(k) - 54.0 if tiny else float(k)
    f = z - 1.0
    s = f / (2.0 + f)
    t = s * s
    p = 1.479819860511658591e-01
    p = p * t + 1.531383769920937332e-01
    p = p * t + 1.818357216161805012e-01
    p = p * t + 2.222219843214978396e-01
    p = p * t + 2.857142874366239149e-01
    p = p * t + 3.999999999940941908e-01
    p = p * t + 6.666666666666735130e-01
    half_square = 0.5 * f * f
    value = e * LOG2_HIGH + ((s * (half_square + p * t) + e * LOG2_LOW) - half_square + f)
    value = value if x > 0.0 else (-INF if x == 0.0 else NAN)
    return x if x == INF else value


@simd
def log1p(x):
    """log(1 + x) for x > -1: the rounding of 1 + x is put back to first order."""
    u = 1.0 + x
    value = log(u) + (x - (u - 1.0)) / u
    return x if u == 1.0 or u == INF else value


@simd
def softplus(x):
    """log(1 + e^x) without overflow or cancellation (Maechler 2012, Rmpfr vignette log1mexp)."""
    return (x if x > 0.0 else 0.0) + log1p(exp(-abs(x)))


@simd
def expit(x):
    """1 / (1 + e^-x), accurate in both tails."""
    small = exp(-abs(x))
    return (1.0 if x >= 0.0 else small) / (1.0 + small)
