"""Vectorizing functions against exact values; random streams against their distributions."""

import math

import mpmath as mp
import numpy as np
import pytest
from kernels import callable_, with_compilation_off
from scipy import stats

from bayesglmm import _random, _simd
from bayesglmm._jit import ENABLED

ALPHA = 1e-3
rng = np.random.default_rng(8)


def relative_error(found, exact):
    return float(abs(mp.mpf(found) - exact) / abs(exact))


@pytest.mark.parametrize(
    "x", [0.0, -0.0, 1e-300, -1e-17, 0.34657, 0.34658, -700.0, 709.78, *rng.uniform(-700, 709, 200)]
)
def test_exp(x):
    assert relative_error(callable_(_simd.exp)(x), mp.exp(mp.mpf(x))) < 4e-16


def test_exp_at_its_edges():
    assert callable_(_simd.exp)(710.0) == callable_(_simd.exp)(math.inf) == math.inf
    assert callable_(_simd.exp)(-746.0) == callable_(_simd.exp)(-math.inf) == 0.0
    assert callable_(_simd.exp)(-745.0) == pytest.approx(math.exp(-745.0), abs=5e-324)
    assert math.isnan(callable_(_simd.exp)(math.nan))


@pytest.mark.parametrize(
    "x",
    [
        5e-324,
        1e-310,
        0.7071,
        0.70711,
        1 - 1e-16,
        1 + 3e-16,
        1.5,
        *np.exp(rng.uniform(-700, 700, 200)),
    ],
)
def test_log(x):
    assert relative_error(callable_(_simd.log)(x), mp.log(mp.mpf(x))) < 4e-16


def test_log_at_its_edges():
    assert callable_(_simd.log)(0.0) == -math.inf
    assert callable_(_simd.log)(math.inf) == math.inf
    assert callable_(_simd.log)(1.0) == 0.0
    assert math.isnan(callable_(_simd.log)(-1.0))
    assert math.isnan(callable_(_simd.log)(math.nan))


@pytest.mark.parametrize(
    "x", [1e-300, -1e-17, 1e-9, -0.999999, 0.41, 1e18, *rng.uniform(-0.99, 3.0, 100)]
)
def test_log1p(x):
    assert relative_error(callable_(_simd.log1p)(x), mp.log1p(mp.mpf(x))) < 6e-16


def test_log1p_at_its_edges():
    assert callable_(_simd.log1p)(0.0) == 0.0
    assert callable_(_simd.log1p)(math.inf) == math.inf


@pytest.mark.parametrize("x", [-745.0, -40.0, -1e-8, 0.0, 1e-8, 40.0, 700.0, *rng.normal(0, 5, 50)])
def test_softplus_and_expit(x):
    with mp.workdps(400):
        small = mp.exp(mp.mpf(x))
        # 5e-324: results below the smallest normal number have fewer digits.
        assert callable_(_simd.softplus)(x) == pytest.approx(
            float(mp.log1p(small)), rel=8e-16, abs=5e-324
        )
        assert callable_(_simd.expit)(x) == pytest.approx(
            float(small / (1 + small)), rel=8e-16, abs=5e-324
        )


TWIN = """
import json
import numpy as np
from bayesglmm import _random, _simd
x = np.exp(np.linspace(-3, 5, 50)).tolist()
names = ("exp", "log", "log1p", "softplus", "expit")
found = [[getattr(_simd, name)(v) for v in x] for name in names]
state, normals = _random.keys(7, 1)[0], np.empty(21)
with np.errstate(over="ignore"):
    _random.fill_normals(state, normals)
print(json.dumps([x, found, normals.tolist()]))
"""


@pytest.mark.skipif(not ENABLED, reason="nothing is compiled")
def test_compiled_is_the_python_twin():
    x, found, normals = with_compilation_off(TWIN)
    for name, values in zip(("exp", "log", "log1p", "softplus", "expit"), found, strict=True):
        function = callable_(getattr(_simd, name))
        # Contracted to fused multiply-add, the compiled one rounds less often.
        assert [function(v) for v in x] == pytest.approx(values, rel=8e-16)
    mine = filled(_random.fill_normals, _random.keys(7, 1)[0], 21)
    assert mine == pytest.approx(np.array(normals), rel=1e-13)


def test_keys_do_not_depend_on_the_number_of_chains():
    two, eight = _random.keys(5, 2), _random.keys(5, 8)
    assert np.array_equal(two, eight[:2])
    assert len(np.unique(eight[:, 0])) == 8
    assert not np.array_equal(two, _random.keys(6, 2))


def filled(function, state, size):
    out = np.empty(size)
    callable_(function)(state, out)
    return out


def test_uniforms():
    draws = filled(_random.fill_uniforms, _random.keys(1, 1)[0], 100_000)
    assert 0.0 < draws.min() and draws.max() < 1.0
    assert stats.kstest(draws, "uniform").pvalue > ALPHA


def test_normals():
    n = 100_000
    draws = filled(_random.fill_normals, _random.keys(2, 1)[0], n)
    assert stats.kstest(draws, "norm").pvalue > ALPHA
    # Standard errors of the first four moments of n standard normals.
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(draws**power) - mean) < 4 * math.sqrt(variance / n)
    for lag in (1, 2, 3, 7):
        assert abs(np.mean(draws[lag:] * draws[:-lag])) < 4 / math.sqrt(n)
        assert abs(np.mean(draws[lag:] ** 2 * draws[:-lag] ** 2) - 1) < 4 * math.sqrt(8 / n)


def test_streams_are_independent():
    n = 50_000
    states = _random.keys(3, 4)
    draws = np.array([filled(_random.fill_normals, state, n) for state in states])
    off = np.corrcoef(draws)[np.triu_indices(4, 1)]
    squares = np.corrcoef(draws**2)[np.triu_indices(4, 1)]
    assert np.all(np.abs([off, squares]) < 4 / math.sqrt(n))


@pytest.mark.parametrize("fill", ["fill_uniforms", "fill_normals"])
def test_a_stream_resumes_from_its_state(fill):
    function, state = getattr(_random, fill), _random.keys(4, 1)[0]
    sizes = (50, 3, 68)
    before, pieces = [], []
    for size in sizes:
        before.append(state.tolist())
        pieces.append(filled(function, state, size))
    for size, saved, piece in zip(sizes, before, pieces, strict=True):
        again = filled(function, np.array(saved, dtype=np.uint64), size)
        assert np.array_equal(again, piece)
    # No number is used twice: pairs of normals take two uniforms, a single one two as well.
    used = {"fill_uniforms": 121, "fill_normals": 122}[fill]
    assert state[1] == used
    assert len(np.unique(np.concatenate(pieces))) == 121


def test_uniforms_do_not_depend_on_how_they_are_asked_for():
    whole, parts = _random.keys(4, 1)[0], _random.keys(4, 1)[0]
    together = filled(_random.fill_uniforms, whole, 120)
    pieces = [filled(_random.fill_uniforms, parts, size) for size in (50, 2, 68)]
    assert np.array_equal(together, np.concatenate(pieces))


def test_single_draws():
    state = _random.keys(5, 1)[0]
    n = 4000
    for function, distribution in (
        (_random.uniform, stats.uniform()),
        (_random.normal, stats.norm()),
        (_random.exponential, stats.expon()),
    ):
        draws = [callable_(function)(state) for _ in range(n)]
        assert stats.kstest(draws, distribution.cdf).pvalue > ALPHA
    for shape in (0.3, 1.0, 2.5, 40.0):
        draws = [callable_(_random.gamma)(state, shape) for _ in range(n)]
        assert stats.kstest(draws, stats.gamma(shape).cdf).pvalue > ALPHA


def test_uniforms_are_those_of_splitmix64():
    key, counter = np.uint64(123456789), np.uint64(42)
    mask = (1 << 64) - 1
    for i in range(5):  # in integers of any size
        x = (123456789 + (42 + i) * _random.GOLDEN) & mask
        x = ((x ^ (x >> 30)) * _random.MULTIPLIER_1) & mask
        x = ((x ^ (x >> 27)) * _random.MULTIPLIER_2) & mask
        x ^= x >> 31
        found = callable_(_random.uniform_at)(key, counter + np.uint64(i))
        assert found == pytest.approx(((x >> 12) + 0.5) / 2**52, rel=1e-15)
