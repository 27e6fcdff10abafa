"""Derivatives of the row functions by complex step; those of a model times a vector by differences.

`test_gradients` has the gradient of whole log densities, of every family, link, structure and kind
of prior, against differences.
"""

import math

import dense_laplace as dense
import numpy as np
import pytest
from complex_step import Number, through
from exact_densities import PAIRS, dispersions, positive, responses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_gradients import LINKS, model, natural_point
from test_gradients import PAIRS as LINKED

import bayesglmm as bg
from bayesglmm import families
from bayesglmm._jit import pointer
from bayesglmm.covariance import factors
from bayesglmm.density import identity_map, logdensity

ETAS = (-700.0, -40.0, -1e-8, 0.0, 1e-8, 40.0, 700.0)
RELATIVE = 1e-10
ROUNDING = 1e-14  # of what the terms add up to that cancel in a derivative
SMALLEST = 1e-290  # below, numbers were subnormal on the way
CLOSEST = 1e-150  # of eta to the end of its domain: its square is no subnormal number
LARGEST = 1e290  # above, they may overflow on the way

pairs = pytest.mark.parametrize("family", PAIRS, ids=lambda f: f"{f.name}-{f.link}")
many = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def rows(draw, family):
    """Prepared response and weight, linear predictor, dispersion."""
    y, known = draw(st.sampled_from(responses(family)))
    if family.name in ("poisson", "negative_binomial"):
        y = draw(st.just(y) | st.integers(0, 60).map(float))
    weight = draw(st.sampled_from([0.1, 1.0, 3.0]))
    known = None if known is None else np.array([known])
    y, w, _ = family.prepare(np.array([y]), known, np.array([weight]))
    eta = draw(st.sampled_from(ETAS) | st.floats(-12.0, 12.0) | st.floats(-700.0, 700.0))
    if positive(family):
        eta = max(abs(eta), CLOSEST)
    low, high = min(dispersions(family)), max(dispersions(family))
    phi = draw(
        st.sampled_from(dispersions(family))
        | st.floats(math.log(low), math.log(high)).map(math.exp)
    )
    return float(y[0]), float(w[0]), eta, phi


def derivatives(family, y, w, eta, phi):
    """What each row function should be, as numbers, by complex step of the one it derives from."""
    s, at = family.scalars, Number(eta, 1.0)
    yield "score", through(s.loglik)(y, w, at, phi)
    yield "curvature", -through(s.score)(y, w, at, phi)
    yield "slope", through(s.curvature)(y, w, at, phi)
    if family.dispersion:
        yield "dispersion_score", through(s.loglik)(y, w, eta, Number(phi, phi))


def ours(family, y, w, eta, phi) -> dict[str, float]:
    """The row functions, as compiled code has them."""
    loop, row = families.bind(family), (np.array([eta]), np.array([y]), np.array([w]), phi)
    out = np.empty((4, 1))
    loop(families.FULL, *row, *out)
    found = dict(zip(("score", "curvature", "slope"), out[1:, 0].tolist(), strict=True))
    loop(families.GRADIENT, *row, *out)
    return found | {"dispersion_score": float(out[2, 0])}


def wrong(family, row, factor: float = 1.0) -> list[str]:
    """Row functions that are off at a point, once they are multiplied by a factor."""
    found, values = [], ours(family, *row)
    for name, want in derivatives(family, *row):
        got = values[name] * factor
        if math.isnan(want.imaginary) or max(want.size, abs(got)) > LARGEST:
            continue
        bound = RELATIVE * abs(got) + ROUNDING * want.size + SMALLEST
        if not abs(want.imaginary - got) <= bound:
            found.append(f"{name}: {got!r}, not {want.imaginary!r}")
    return found


@pairs
def test_row_functions_are_derivatives_of_each_other(family):
    seen = set()

    @many
    @given(rows(family))
    def check(row):
        seen.add(row[2])
        assert not wrong(family, row), row

    check()
    wanted = {abs(eta) for eta in ETAS if eta} if positive(family) else set(ETAS)
    assert seen >= wanted


@pairs
def test_a_wrong_derivative_is_found(family):
    y, known = responses(family)[1]
    y, w, _ = family.prepare(
        np.array([y]), None if known is None else np.array([known]), np.ones(1)
    )
    row = (float(y[0]), float(w[0]), 0.7, dispersions(family)[2 % len(dispersions(family))])
    moving = [name for name, want in derivatives(family, *row) if want.imaginary != 0.0]
    assert not wrong(family, row)
    assert [line.split(":")[0] for line in wrong(family, row, 1.0 + 1e-9)] == moving


# ---- second derivatives of a model, times a vector ----------------------------------------------

STEP = 1e-4
DIRECTIONS = 3


def hessian(made, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Minus the second derivatives in (beta, v): J'WJ of the observed curvatures W, and I for v."""
    problem = made.problem
    joint = dense.Joint(problem.rows, problem.data)
    data, p, m = problem.data, joint.p, joint.m
    L = factors(data.prior.covariance, theta[p : p + m])
    phi = math.exp(theta[p + m]) if made.family.dispersion else 1.0
    J = np.empty((data.obs.y.size, p + v.size))
    J[:, :p] = data.obs.X.T
    for k, unit in enumerate(np.eye(v.size), p):
        J[:, k] = joint.add_effects(joint.mix(L, unit))
    eta = data.obs.offset + J @ np.concatenate([theta[:p], v])
    joint.evaluate(families.CURVATURE, eta, phi)
    out = (J.T * joint.b) @ J
    out[p:, p:] += np.eye(v.size)
    return out


@pytest.mark.parametrize(("family", "link"), LINKED)
@pytest.mark.parametrize("structure", ["slope", "crossed"])
def test_curvature_times_a_vector_is_the_change_of_the_gradient(family, link, structure):
    made = model(family, link, structure, {"b": bg.Flat(), "Intercept": bg.Flat()})
    rng = np.random.default_rng(12)
    theta, v = natural_point(made, rng)
    problem, p = made.problem, made.problem.data.obs.X.shape[0]
    rows_, map = pointer(problem.rows), identity_map(theta.size, v.size)
    inner = np.concatenate([np.arange(p), theta.size + np.arange(v.size)])

    def gradient(x):
        out = np.empty(x.size)
        assert np.isfinite(logdensity(rows_, problem.data, map, x, out))
        return out

    H, at = hessian(made, theta, v), np.concatenate([theta, v])
    for _ in range(DIRECTIONS):
        direction = np.zeros(at.size)
        direction[inner] = rng.normal(size=inner.size)
        steps = [gradient(at + k * STEP * direction)[inner] for k in (-2, -1, 1, 2)]
        change = (steps[0] - 8.0 * steps[1] + 8.0 * steps[2] - steps[3]) / (12.0 * STEP)
        product = -H @ direction[inner]
        assert np.abs(change - product).max() < 1e-5 * np.abs(product).max(), (family, link)


def test_every_pair_of_the_package_has_its_derivatives_tested():
    tested = {(family.name, family.link) for family in PAIRS}
    shared = {"bernoulli": "binomial"}
    for family, links in LINKS.items():
        for link in links:
            assert (family, link) in tested or (shared[family], link) in tested
