"""Random numbers of a chain: a counter-based stream whose whole state is a key and a counter.

Draw number c of a stream is splitmix64's output function at key + c * golden (Steele, Lea and Flood
2014): no state is carried but the counter, so loops over draws vectorize, and a chain resumes from
its checkpoint by two integers. Normals are Box and Muller's (1958).
"""

import math

import numpy as np

from ._jit import ENABLED, bare, entry, simd, types
from ._simd import ROUND, ROUND_BITS, bits, float_of, log

GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIER_1 = 0xBF58476D1CE4E5B9
MULTIPLIER_2 = 0x94D049BB133111EB
ONE_BITS = 0x3FF0000000000000
BELOW_ONE = 1.0 - 2.0**-53
HALF_PI = 0.5 * math.pi


def keys(seed: int | None, chains: int) -> np.ndarray:
    """States of the streams of `chains` chains: key and counter 0, shape (chains, 2), uint64.

    Chain k has the same stream however many chains are asked for.
    """
    children = np.random.SeedSequence(seed).spawn(chains)
    states = np.zeros((chains, 2), dtype=np.uint64)
    for chain, child in enumerate(children):
        states[chain, 0] = child.generate_state(1, np.uint64)[0]
    return states


if ENABLED:
    _GOLDEN, _M1, _M2 = np.uint64(GOLDEN), np.uint64(MULTIPLIER_1), np.uint64(MULTIPLIER_2)
    _30, _27, _31, _12 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(12)

    @simd
    def uniform_at(key, counter):
        """The uniform in (0, 1) at one place of a stream; 52 bits."""
        x = key + counter * _GOLDEN
        x = (x ^ (x >> _30)) * _M1
        x = (x ^ (x >> _27)) * _M2
        x = x ^ (x >> _31)
        # The bits become a mantissa: [1, 2) without a conversion of integers, which vectorizes.
        return float_of(np.int64(x >> _12) | ONE_BITS) - BELOW_ONE

else:

    def uniform_at(key, counter):
        """The uniform in (0, 1) at one place of a stream; 52 bits."""
        mask = (1 << 64) - 1
        x = (int(key) + int(counter) * GOLDEN) & mask
        x = ((x ^ (x >> 30)) * MULTIPLIER_1) & mask
        x = ((x ^ (x >> 27)) * MULTIPLIER_2) & mask
        x = x ^ (x >> 31)
        return float_of((x >> 12) | ONE_BITS) - BELOW_ONE


@simd
def _cosine_and_sine(turn):
    """Cos and sin of 2 pi turn, for turn in (0, 1)."""
    shifted = 4.0 * turn + ROUND
    quadrant = bits(shifted) - ROUND_BITS
    r = (4.0 * turn - (shifted - ROUND)) * HALF_PI  # in [-pi/4, pi/4]
    t = r * r
    s = -1.0 / 1307674368000.0
    s = s * t + 1.0 / 6227020800.0
    s = s * t - 1.0 / 39916800.0
    s = s * t + 1.0 / 362880.0
    s = s * t - 1.0 / 5040.0
    s = s * t + 1.0 / 120.0
    s = s * t - 1.0 / 6.0
    s = r + r * t * s
    c = 1.0 / 20922789888000.0
    c = c * t - 1.0 / 87178291200.0
    c = c * t + 1.0 / 479001600.0
    c = c * t - 1.0 / 3628800.0
    c = c * t + 1.0 / 40320.0
    c = c * t - 1.0 / 720.0
    c = c * t + 1.0 / 24.0
    c = c * t - 0.5
    c = 1.0 + t * c
    odd = (quadrant & 1) == 1
    cosine = s if odd else c
    sine = c if odd else s
    cosine = -cosine if ((quadrant + 1) & 2) == 2 else cosine
    sine = -sine if (quadrant & 2) == 2 else sine
    return cosine, sine


@bare
def uniform(state):
    """One uniform in (0, 1)."""
    value = uniform_at(state[0], state[1])
    state[1] += np.uint64(1)
    return value


@simd
def _uniforms(key, counter, out):
    for i in range(out.size):
        out[i] = uniform_at(key, counter + np.uint64(i))


@bare
def fill_uniforms(state, out):
    """Fill a vector with uniforms in (0, 1)."""
    _uniforms(state[0], state[1], out)
    state[1] += np.uint64(out.size)


@simd
def _normal_pairs(key, counter, first, second):
    for i in range(first.size):
        place = counter + np.uint64(2 * i)
        radius = math.sqrt(-2.0 * log(uniform_at(key, place)))
        cosine, sine = _cosine_and_sine(uniform_at(key, place + np.uint64(1)))
        first[i] = radius * cosine
        second[i] = radius * sine


@bare
def fill_normals(state, out):
    """Fill a vector with independent standard normals."""
    pairs = out.size // 2
    _normal_pairs(state[0], state[1], out[:pairs], out[pairs : 2 * pairs])
    state[1] += np.uint64(2 * pairs)
    if out.size > 2 * pairs:
        out[out.size - 1] = normal(state)


@entry(lambda: types.void(types.uint64[::1], types.float64[::1]))
def fill_normals_into(state, out):
    """Fill a vector with independent standard normals, called from Python."""
    fill_normals(state, out)


@bare
def normal(state):
    """One standard normal."""
    radius = math.sqrt(-2.0 * log(uniform(state)))
    cosine, _ = _cosine_and_sine(uniform(state))
    return radius * cosine


@bare
def exponential(state):
    """One exponential of mean 1."""
    return -log(uniform(state))


@bare
def gamma(state, shape):
    """One gamma variate of rate 1, shape > 0 (Marsaglia and Tsang 2000)."""
    boost = 1.0
    if shape < 1.0:
        boost = uniform(state) ** (1.0 / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(state)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        if log(uniform(state)) < 0.5 * x * x + d - d * v + d * log(v):
            return boost * d * v
