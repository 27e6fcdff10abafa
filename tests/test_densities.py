"""Log densities of every family and link against 50 digits, over the whole range of arguments.

The full grid, some 100,000 points, is run by ``python -m diagnostics.densities``.
"""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
from exact_densities import (
    MAX_RELATIVE,
    MAX_ULPS,
    PAIRS,
    Point,
    dispersions,
    error,
    grid,
    ours,
    positive,
    responses,
    terms,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayesglmm as bg
from bayesglmm import families, quantile_residuals

pairs = pytest.mark.parametrize("family", PAIRS, ids=lambda f: f"{f.name}-{f.link}")
EVERY = 97  # a prime: the points of the grid that are tested here meet all values of all arguments
whole = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pairs
def test_grid(family):
    bad = [
        (point, off)
        for point in itertools.islice(grid(family), 0, None, EVERY)
        if not (off := error(family, point)).good
    ]
    assert not bad


@st.composite
def points(draw, family):
    known = None
    if family.name in ("poisson", "negative_binomial"):
        y = float(draw(st.integers(0, 10**9) | st.integers(0, 40)))
    elif family.name in ("binomial", "bernoulli"):
        known = float(draw(st.integers(1, 10**9) | st.integers(1, 20)))
        failures = draw(st.integers(0, min(int(known), 3)))
        y = draw(st.sampled_from([float(failures), known - failures, known // 2]))
    elif family.name == "gamma":
        y = math.exp(draw(st.floats(-600.0, 600.0) | st.floats(-3.0, 3.0)))
    else:
        y = draw(st.floats(-1e6, 1e6))
        known = None if family.name == "gaussian" else 10.0 ** draw(st.floats(-6.0, 6.0))
    low = 1e-300 if positive(family) else -745.0
    near = st.floats(max(low, -8.0), 8.0)
    eta = draw(st.floats(low, 709.0) | near)
    low, high = math.log10(min(dispersions(family))), math.log10(max(dispersions(family)))
    phi = 10.0 ** draw(st.floats(low, high))
    weight = float(draw(st.integers(1, 10**4))) if known else 10.0 ** draw(st.floats(-3.0, 4.0))
    return Point(y, known, weight, eta, phi)


@pairs
def test_points_in_between(family):
    @whole
    @given(points(family))
    def check(point):
        off = error(family, point)
        assert off.good, off

    check()


@pairs
def test_what_is_off_by_more_than_the_limits_is_found(family, monkeypatch):
    y, known = responses(family)[-1]
    point = Point(y, known, 1.0, 0.3, dispersions(family)[0])
    right, largest = ours(family, point), max(abs(float(term)) for term in terms(family, point))
    off = 2.0 * max(MAX_ULPS * math.ulp(largest), MAX_RELATIVE * abs(right))
    for wrong in (right + off, right - off, math.nan, math.inf):
        monkeypatch.setattr("exact_densities.ours", lambda *_, value=wrong: value)
        assert not error(family, point).good


@pytest.mark.parametrize("eta", [-745.0, -300.0, -40.0, -20.0])
@pytest.mark.parametrize("size", [1e-8, 1.0, 7.9999999, 30.0, 1e8, 1e15])
def test_an_empty_cell_weighs_no_more_than_its_mean(eta, size):
    """Rests of terms that cancel were 1e-19: above -mu for small mu, and at times positive."""
    family = families.get("negative_binomial")
    made = ours(family, Point(0.0, None, 1e4, eta, size))
    with mp.workdps(40):
        want = -1e4 * size * mp.log1p(mp.exp(mp.mpf(eta)) / size)
    assert made == pytest.approx(float(want), rel=MAX_RELATIVE, abs=1e-310)


@pytest.mark.parametrize("size", [0.3, 40.0, 1e8, 1e12, 1e15])
@pytest.mark.parametrize(("y", "mu"), [(0.0, 4.0), (2.0, 4.0), (120.0, 100.0), (7.0, math.inf)])
def test_distribution_function_of_counts_keeps_its_digits_for_any_size(size, y, mu):
    below = quantile_residuals._functions()["negative_binomial"]
    made = float(below(np.array([y]), np.array([mu]), np.array([size]), np.ones(1))[0])
    if mu == math.inf:
        assert made == 0.0
        return
    with mp.workdps(40):
        log_ratio, rest = mp.log(mu / (size + mp.mpf(mu))), size * mp.log1p(mp.mpf(mu) / size)
        want = mp.fsum(
            mp.exp(mp.log(mp.rf(size, k)) - mp.loggamma(k + 1) + k * log_ratio - rest)
            for k in range(int(y) + 1)
        )
    assert made == pytest.approx(float(want), rel=1e-10)


@pytest.mark.parametrize("name", sorted({family.name for family in PAIRS} - {"gaussian_se"}))
def test_log_likelihood_of_a_model_with_weights_and_offset(name):
    """Constants, weights and offset of a whole model, at its maximum."""
    rng = np.random.default_rng(31)
    n = 40
    x, offset = rng.normal(size=n), rng.uniform(-2.0, 2.0, size=n)
    trials = rng.integers(1, 10**6, size=n)
    y = {
        "gaussian": lambda: rng.normal(1e4, 3.0, size=n),
        "gamma": lambda: rng.gamma(0.7, 1e-3, size=n) + 1e-9,
        "binomial": lambda: rng.binomial(trials, 0.3),
    }.get(name, lambda: rng.poisson(3.0, size=n))()
    data = {"y": y, "x": x, "o": offset, "n": trials, "w": rng.integers(0, 4, size=n)}
    left = "y | trials(n)" if name == "binomial" else "y"
    fit = bg.glmm(f"{left} ~ x + offset(o)", data, name, weights="w").fit("glm")
    eta = fit.beta[0] + fit.beta[1] * x + offset
    phi = float(fit.estimate[2]) if fit.model.family.dispersion else 1.0
    with mp.workdps(40):
        parts = [
            term
            for i in range(n)
            if data["w"][i]
            for term in terms(
                fit.model.family,
                Point(
                    float(y[i]),
                    float(trials[i]) if name == "binomial" else None,
                    float(data["w"][i]),
                    float(eta[i]),
                    phi,
                ),
            )
        ]
        want, size = mp.fsum(parts), mp.fsum(abs(part) for part in parts)
    assert abs(fit.loglik - want) <= 1e-12 * abs(want) + 1e-15 * size
