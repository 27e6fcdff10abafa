"""Laplace for crossed and nested factors: a dense oracle, closed forms, boundaries, large data."""

from dataclasses import replace

import dense_laplace as dense
import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm import sampling
from bayesglmm.covariance import factors
from bayesglmm.density import IDENTITY
from bayesglmm.errors import DataError
from bayesglmm.fits import crossed, mode, newton
from bayesglmm.fits.mode import Objective, describe, find, first_guess
from bayesglmm.fits.optimizer import Optimum
from bayesglmm.recipe import Recipe

STRUCTURES = {
    "crossed": "x + (1|g) + (1|h)",
    "slopes": "x + (x|g) + (x + w|h)",
    "nested": "x + (1|g/h)",
    "row level": "x + (x||g) + (1|row)",
    "two terms": "x + (1|g) + (0 + x|g) + (1|h)",
    "three": "x + (1|g) + (x|h) + (1|k)",
    "none": "x + w",
}


def frame(family: str, n: int = 60, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = pd.DataFrame(
        {
            "x": rng.uniform(-1, 1, n),
            "w": rng.uniform(-1, 1, n),
            "g": rng.integers(0, 6, n),
            "h": rng.integers(0, 9, n),
            "k": rng.integers(0, 4, n),
            "row": np.arange(n),
            "freq": rng.uniform(0.5, 2.0, n),
        }
    )
    eta = 0.5 + f.x + rng.normal(size=6)[f.g] + 0.7 * rng.normal(size=9)[f.h]
    if family == "gaussian":
        f["y"] = eta + rng.normal(size=n)
    elif family == "poisson":
        f["y"] = rng.poisson(np.exp(eta))
    else:
        f["y"] = rng.binomial(1, 1 / (1 + np.exp(-eta)))
    return f


def model(family: str, structure: str, weights: str | None = None):
    return bg.glmm(f"y ~ {STRUCTURES[structure]}", frame(family), family, weights=weights)


def point(made, seed: int = 0) -> np.ndarray:
    """Theta with sds of about a half."""
    data = made.problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    theta = 0.3 * np.random.default_rng(seed).normal(size=p + m + data.prior.phi.shape[0])
    theta[p : p + m] -= np.where(data.prior.covariance.row == data.prior.covariance.col, 0.7, 0.0)
    return theta


def by_dense_matrix(made, penalized: bool, theta: np.ndarray):
    """Value, gradient, modes and Cholesky factor."""
    data = made.problem.data
    effects = int(sum(data.levels[f] for f in data.factor))
    v, gradient = np.zeros(effects), np.zeros(theta.size)
    joint = dense.Joint(made.problem.rows, data)
    value, C = dense.laplace(joint, penalized, theta, v, gradient)
    return value, gradient, v, C


def assert_same(made, objective: Objective, theta: np.ndarray) -> None:
    value, gradient = objective(theta)
    other, slope, v, _ = by_dense_matrix(made, objective.penalized, theta)
    np.testing.assert_allclose(value, other, rtol=1e-11)
    size = np.abs(slope).max()
    np.testing.assert_allclose(gradient, slope, atol=1e-7 * size)
    np.testing.assert_allclose(objective.v, v, atol=1e-7)


@pytest.mark.filterwarnings("ignore:row has one row a level")
@pytest.mark.parametrize("penalized", [False, True])
@pytest.mark.parametrize("family", ["bernoulli", "poisson", "gaussian"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_value_and_gradient_are_those_of_one_dense_matrix(structure, family, penalized):
    made = model(family, structure, "freq" if family != "bernoulli" else None)
    objective = Objective(made.problem.rows, made.problem.data, penalized)
    for seed in range(2):  # the second starts from the modes of the first
        assert_same(made, objective, point(made, seed))


def many_levels(family: str):
    """Two factors of more levels than conjugate gradients take over from."""
    rng = np.random.default_rng(8)
    n, J, K = 1200, 230, 260
    f = pd.DataFrame({"g": rng.integers(0, J, n), "h": rng.integers(0, K, n)})
    eta = rng.normal(size=J)[f.g] + rng.normal(size=K)[f.h]
    noise = rng.normal(size=n)
    f["y"] = eta + noise if family == "gaussian" else (eta + noise > 0).astype(int)
    made = bg.glmm("y ~ 1 + (1|g) + (1|h)", f, family)
    assert np.diff(pattern_of(made).component).max() >= newton.LARGE
    return made


def pattern_of(made):
    return crossed.arrange(made.problem.data)


@pytest.mark.parametrize("family", ["bernoulli", "gaussian"])
def test_conjugate_gradients_find_the_same_modes(family):
    made = many_levels(family)
    objective = Objective(made.problem.rows, made.problem.data, False)
    for seed in range(3):
        assert_same(made, objective, point(made, seed))


def test_gaussian_likelihood_in_closed_form():
    made = model("gaussian", "slopes")
    data, theta = made.problem.data, point(made)
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, theta[p : p + m])
    n = data.obs.y.size
    V = np.exp(2 * theta[-1]) * np.eye(n)
    for f in range(data.levels.size):
        own = data.factor == f
        Z, Sigma = data.obs.Z[own], (L @ L.T)[np.ix_(own, own)]
        V += (data.level[f][:, None] == data.level[f][None, :]) * (Z.T @ Sigma @ Z)
    off = data.obs.y - data.obs.offset - theta[:p] @ data.obs.X
    # The constant of the normal density depends on the data only.
    expected = -0.5 * np.linalg.slogdet(V)[1] - 0.5 * off @ np.linalg.solve(V, off)
    value, _ = Objective(made.problem.rows, data, False)(theta)
    np.testing.assert_allclose(value, expected, rtol=1e-11)


@pytest.mark.parametrize("structure", ["crossed", "slopes", "nested"])
def test_dense_factor_and_variances(structure):
    made = model("poisson", structure)
    data, theta = made.problem.data, point(made)
    objective = Objective(made.problem.rows, data, True)
    d = theta.size
    found = describe(objective, Optimum(theta, 0.0, np.zeros(d), np.eye(d), 0, True))
    _, _, v, C = by_dense_matrix(made, True, theta)
    np.testing.assert_allclose(np.tril(found.map.dense), np.tril(C), atol=1e-8)
    np.testing.assert_allclose(found.map.modes, v, atol=1e-7)
    joint = dense.Joint(made.problem.rows, data)
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, theta[p : p + m])
    G = np.linalg.inv(np.tril(C) @ np.tril(C).T)
    columns = [joint.mix(L, column) for column in np.eye(v.size)]
    big = np.array(columns).T
    np.testing.assert_allclose(found.variances, np.diag(big @ G @ big.T), rtol=1e-8)


@pytest.mark.parametrize(
    ("family", "extra"), [("poisson", "(1|k)"), ("poisson", "(1|row)"), ("gaussian", "(1|k)")]
)
def test_an_sd_without_evidence_goes_to_zero(family, extra):
    f = frame(family, 200)
    f["k"] = np.arange(200) % 25
    rng = np.random.default_rng(1)
    if family == "poisson":
        # Counts closer to their means than a Poisson's: nothing is left for k or for rows.
        f["y"] = np.round(np.exp(0.5 + f.x + rng.normal(size=6)[f.g])).astype(int)
    else:
        f["y"] = f.x + rng.normal(size=6)[f.g] + rng.normal(size=200)
        f["y"] -= f.groupby("k").y.transform("mean")
    with_it = bg.glmm(f"y ~ x + (1|g) + {extra}", f, family)
    without = bg.glmm("y ~ x + (1|g)", f, family)
    a, b = (
        find(m.problem.rows, m.problem.data, False, m.problem.start) for m in (with_it, without)
    )
    assert a.converged
    np.testing.assert_allclose(a.value, b.value, atol=1e-6)
    sds = np.exp(a.theta[2:4])
    assert sds.min() < 1e-2


def test_a_search_that_a_long_step_took_to_zero_is_called_back():
    f = frame("poisson", 200)
    f["k"] = np.arange(200) % 25
    # Counts closer to their means than a Poisson's: g has an effect, nothing is left for k.
    f["y"] = np.round(np.exp(0.5 + f.x + np.linspace(-1, 1, 6)[f.g])).astype(int)
    made = bg.glmm("y ~ x + (1|g) + (1|k)", f, "poisson")
    rows, data, start = made.problem.rows, made.problem.data, made.problem.start
    objective = Objective(rows, data, False)
    right = find(rows, data, False, start).theta
    right[3] = -14.0
    wrong = right.copy()
    wrong[2] = -14.0
    none, some = (
        mode.off_zero(objective, Optimum(x, *objective(x), np.eye(4), 0, True), start.spread)
        for x in (right, wrong)
    )
    assert none is None
    assert some is not None and -6.0 < some[2] < -2.0


@pytest.mark.parametrize("theta", [[0.0, 400.0, 0.0, 0.0], [800.0, 0.0, 0.0, 0.0], [np.nan] * 4])
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_hopeless_points_are_rejected_and_leave_no_trace(family, theta):
    made = model(family, "crossed")
    objective = Objective(made.problem.rows, made.problem.data, False)
    good = point(made)
    before = objective(good)
    value, _ = objective(np.array(theta))
    assert not np.isnan(value)
    after = objective(good)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-12)
    np.testing.assert_allclose(after[1], before[1], rtol=1e-6, atol=1e-8)


def test_more_connected_effects_than_memory_holds(monkeypatch):
    made = model("poisson", "crossed")
    rows, data, start = made.problem.rows, made.problem.data, made.problem.start
    assert mode.most_connected(data) == 6
    monkeypatch.setattr(crossed, "MOST_CONNECTED", 5)
    with pytest.raises(DataError, match="6 effects .* at most 5"):
        find(rows, data, False, start)
    monkeypatch.setattr(sampling, "LARGEST_FITTED", 5)
    map, covariance = sampling.start(made, "nuts")
    assert map.kind[0] == IDENTITY and np.all(np.diag(covariance) > 0.0)


def test_many_small_families_take_linear_time():
    """Twice the parents, twice the work: no square of parents by parents anywhere."""
    parents = np.repeat(np.arange(2000), 10)
    f = pd.DataFrame({"p": parents, "c": np.arange(20_000) // 2, "y": np.arange(20_000) % 3})
    made = bg.glmm("y ~ 1 + (1|p) + (1|c)", f, "poisson")
    objective = Objective(made.problem.rows, made.problem.data, False)
    sizes = [part.size for part in (*objective.crossed.work.A, *objective.crossed.pattern)]
    assert max(sizes) <= 20_000
    theta, _ = first_guess(made.problem.rows, made.problem.data, made.problem.start)
    assert np.isfinite(objective(theta)[0])


@pytest.mark.parametrize("terms", ["(1|g)", "(1|g) + (1|h)", "(1|g/h)"])
@pytest.mark.parametrize(("family", "y"), [("bernoulli", 1), ("bernoulli", 0), ("poisson", 0)])
def test_start_of_responses_that_are_all_alike(family, y, terms):
    """The likelihood has no maximum, the posterior has: the fit that samplers start from is it."""
    row = np.arange(20)
    f = {"y": row % 2, "x": np.cos(row), "g": row // 4, "h": row % 4 // (1 + ("/" in terms))}
    priors = {"Intercept": bg.Normal(0.2, 0.8), "b": bg.Normal(0, 0.5), "sd": bg.HalfStudentT(6, 1)}
    if "h" in terms:
        priors |= {"g:h" if "/" in terms else "h": bg.InverseWishart(8, 0.7)}
    made = bg.glmm(f"y ~ x + {terms}", f, family, priors=priors)
    response = replace(made.design.response, y=np.full(20, float(y)))
    made = replace(made, design=replace(made.design, response=response))
    rows, data, first, _, _ = made.problem
    found = find(rows, data, True, first)
    assert found.converged
    assert found.definite
    assert np.all(np.abs(found.gradient) < 1e-2)
    map, _ = sampling.start(made, "nuts")
    assert np.all(np.abs(map.center) < 6.0)


@pytest.mark.parametrize("seed", range(4, 10))
def test_start_of_responses_almost_without_error(seed):
    """A shape of 1e6: the curvature of log sds, by differences, is lost in rounding."""
    rng = np.random.default_rng(seed)
    row = np.arange(20)
    f = {"x": np.cos(row), "g": row // 4, "h": row % 4}
    eta = 0.5 - 0.5 * f["x"] + rng.normal(0, 1.5, 5)[f["g"]] + rng.normal(0, 0.2, 4)[f["h"]]
    f["y"] = np.exp(eta) * (1 + 1e-3 * rng.normal(size=20))
    priors = {"Intercept": bg.Normal(0.5, 0.5), "b": bg.Normal(0, 0.5), "sd": bg.HalfNormal(0.5)}
    made = bg.glmm("y ~ x + (1 | g) + (1 | h)", f, "gamma", priors=priors)
    map, covariance = sampling.start(made, "gibbs")
    assert np.all(np.sqrt(np.diag(covariance)) < 10.0)  # 3,500 with one of these seeds
    program = Recipe("gibbs", 100, 0.8, 10, map._asdict(), covariance, None).program(made)
    program.covariance = np.diag([1.0, 1.0, 1e7, 1e7, 1.0])  # sds of e to the 3,000
    state = program.start(np.array([1, 2, 3, seed], dtype=np.uint64), 0)
    assert np.isfinite(state["value"]).all()
    assert np.isfinite(state["u"]).all()
