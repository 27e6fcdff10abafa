"""Gradients against central differences: log density, Laplace objective, quadrature score.

The families are paired with all links, the priors with all kinds, the structures with both
coordinates; differences of fourth order leave an error below the tolerance of 1e-6.
"""

import math

import dense_laplace as dense
import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm._jit import pointer
from bayesglmm.density import IDENTITY, Map, identity_map, logdensity
from bayesglmm.fits import aghq, mode
from bayesglmm.fits.mode import Objective, find

STEP = 1e-3
TOLERANCE = 1e-6  # relative to the size of the gradient
LINKS = {
    "gaussian": ("identity", "log"),
    "bernoulli": ("logit", "probit", "cloglog"),
    "binomial": ("logit", "probit", "cloglog"),
    "poisson": ("log", "identity", "sqrt"),
    "negative_binomial": ("log", "identity", "sqrt"),
    "gamma": ("log", "inverse", "identity"),
}
PAIRS = [(family, link) for family, links in LINKS.items() for link in links]
STRUCTURES = {
    "no effects": "x + f",
    "intercept": "x + f + (1|g)",
    "slope": "x + f + (x|g)",
    "diagonal": "x + f + (x||g)",
    "three": "x + (x + w|g)",
    "crossed": "x + (x|g) + (1|h)",
    "nested": "x + (1|g/h)",
}
BETA = [bg.Flat(), bg.Normal(0.1, 2), bg.StudentT(4, 0.1, 2), bg.Cauchy(0.1, 2), bg.Laplace(9, 2)]
SDS = [
    bg.HalfNormal(1.5),
    bg.HalfStudentT(3, 2),
    bg.HalfCauchy(1.5),
    bg.Uniform(0, 50),
    bg.Exponential(1.2),
    bg.PC(2, 0.1),
    bg.GammaPrecision(2, 1),
    bg.InverseGammaVariance(2, 1),
    bg.Gamma(2.5, 1.2),
]
SHAPES = [
    bg.HalfStudentT(3, 2),
    bg.Gamma(2.5, 0.3),
    bg.Inverse(bg.Exponential(1.2)),
    bg.InverseSqrt(bg.HalfNormal(1)),
]
SIGMAS = [
    {"sd": bg.HalfStudentT(3, 2), "cor": bg.LKJ(1)},
    {"sd": {"Intercept": bg.HalfNormal(1), "x": bg.Exponential(2)}, "cor": bg.LKJ(3.5)},
    bg.InverseWishart(5, [[1.0, 0.2], [0.2, 0.7]]),
    bg.HuangWand((1.0, 2.0), df=3),
]
POSITIVE = ("identity", "sqrt", "log")  # links whose mean or eta must stay positive here


def frame(family: str, link: str) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 36
    f = pd.DataFrame(
        {
            "x": rng.uniform(-1, 1, n),
            "w": rng.uniform(-1, 1, n),
            "f": rng.permutation(np.repeat(["a", "b", "c"], n // 3)),
            "g": [f"g{k}" for k in rng.integers(0, 5, n)],
            "h": [f"h{k}" for k in rng.integers(0, 4, n)],
            "m": rng.integers(1, 9, n),
            "o": rng.uniform(-0.2, 0.2, n),
        }
    )
    if family == "gaussian":
        f["y"] = rng.uniform(0.5, 4, n)
    elif family in ("poisson", "negative_binomial"):
        f["y"] = rng.poisson(4, n)
        if family == "negative_binomial":
            f["y"] += rng.poisson(3, n) * (f.x > 0)
    elif family == "gamma":
        f["y"] = rng.gamma(3, 0.7, n)
    else:
        f["y"] = rng.binomial(f.m if family == "binomial" else np.ones(n, dtype=int), 0.4)
    return f


def model(family: str, link: str, structure: str = "slope", priors: dict | None = None):
    left = "y | trials(m)" if family == "binomial" else "y"
    return bg.glmm(
        f"{left} ~ {STRUCTURES[structure]} + offset(o)",
        frame(family, link),
        family,
        link=link,
        priors=priors,
    )


def natural_point(made, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Theta and v where the density is finite: eta near the link of 2, small effects."""
    data = made.problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    theta = 0.1 * rng.normal(size=p + m + data.prior.phi.shape[0])
    if made.family.link in ("identity", "sqrt", "inverse"):
        theta[made.intercept] += 3.0
    diagonal = data.prior.covariance.row == data.prior.covariance.col
    theta[p : p + m] += np.where(diagonal, -0.8, 0.2)
    effects = int(sum(data.levels[k] for k in data.factor))
    return theta, 0.5 * rng.normal(size=effects)


def differences(function, x: np.ndarray) -> np.ndarray:
    """Central differences of fourth order, one coordinate at a time."""
    out = np.empty(x.size)
    for i in range(x.size):
        values = []
        for step in (-2, -1, 1, 2):
            moved = x.copy()
            moved[i] += step * STEP
            values.append(function(moved))
        a, b, c, d = values
        out[i] = (a - 8.0 * b + 8.0 * c - d) / (12.0 * STEP)
    return out


def check(function, gradient: np.ndarray, x: np.ndarray, tolerance: float = TOLERANCE) -> None:
    assert np.isfinite(gradient).all()
    off = np.abs(gradient - differences(function, x)).max()
    size = max(1.0, float(np.abs(gradient).max()))
    assert off < tolerance * size, f"{off:.2e} of {size:.3g}"


def check_density(made, map: Map, position: np.ndarray) -> None:
    problem = made.problem
    rows = pointer(problem.rows)

    def value(x):
        return logdensity(rows, problem.data, map, x, np.empty(x.size))

    gradient = np.empty(position.size)
    assert np.isfinite(logdensity(rows, problem.data, map, position, gradient))
    check(value, gradient, position)


def unwhitened(made) -> tuple[Map, np.ndarray]:
    theta, v = natural_point(made, np.random.default_rng(3))
    return identity_map(theta.size, v.size), np.concatenate([theta, v])


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_density_of_every_family_and_link(family, link):
    made = model(family, link)
    check_density(made, *unwhitened(made))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_density_of_every_structure_in_both_coordinates(structure):
    made = model("poisson", "log", structure)
    check_density(made, *unwhitened(made))
    problem = made.problem
    map = find(problem.rows, problem.data, True, problem.start).map
    position = 0.5 * np.random.default_rng(4).normal(size=map.center.size + map.modes.size)
    check_density(made, map, position)


def test_density_about_the_modes_where_a_dense_factor_would_be_too_large(monkeypatch):
    monkeypatch.setattr(mode, "LARGEST", 0)
    problem = (made := model("poisson", "log", "crossed")).problem
    map = find(problem.rows, problem.data, True, problem.start).map
    assert map.kind[0] == IDENTITY and np.abs(map.modes).max() > 0.1
    check_density(made, map, np.full(map.center.size + map.modes.size, 0.3))


@pytest.mark.parametrize("prior", BETA, ids=str)
def test_density_of_every_prior_of_beta(prior):
    made = model("poisson", "log", "intercept", {"b": prior, "Intercept": prior})
    check_density(made, *unwhitened(made))


@pytest.mark.parametrize("prior", SDS, ids=str)
@pytest.mark.parametrize("structure", ["slope", "diagonal"])
def test_density_of_every_prior_of_sds_and_sigma(prior, structure):
    made = model("gaussian", "identity", structure, {"sd": prior, "sigma": prior})
    check_density(made, *unwhitened(made))


@pytest.mark.parametrize("prior", SHAPES, ids=str)
@pytest.mark.parametrize(("family", "name"), [("negative_binomial", "size"), ("gamma", "shape")])
def test_density_of_every_prior_of_shapes(prior, family, name):
    made = model(family, "log", "slope", {name: prior})
    check_density(made, *unwhitened(made))


@pytest.mark.parametrize("prior", SIGMAS, ids=str)
def test_density_of_every_prior_of_covariances(prior):
    made = model("bernoulli", "logit", "slope", {"g": prior})
    check_density(made, *unwhitened(made))


def laplace_pair(made, theta: np.ndarray):
    """Laplace's objective and the same by one dense matrix: value and gradient of each."""
    problem = made.problem
    data = problem.data
    effects = int(sum(data.levels[f] for f in data.factor))
    other = np.zeros(theta.size)
    value, gradient = Objective(problem.rows, data, True)(theta)
    joint = dense.Joint(problem.rows, data)
    joint_value, _ = dense.laplace(joint, True, theta, np.zeros(effects), other)
    return (value, gradient), (joint_value, other)


@pytest.mark.parametrize(("family", "link"), PAIRS)
@pytest.mark.parametrize("structure", ["slope", "crossed"])
def test_laplace_is_laplace_by_one_matrix_and_its_gradient(family, link, structure):
    made = model(family, link, structure)
    theta, _ = natural_point(made, np.random.default_rng(5))
    (value, gradient), (joint_value, other) = laplace_pair(made, theta)
    assert math.isfinite(value)
    assert abs(value - joint_value) < 1e-8 * abs(value)
    np.testing.assert_allclose(gradient, other, rtol=1e-8, atol=1e-8 * np.abs(gradient).max())
    check(lambda x: laplace_pair(made, x)[0][0], gradient, theta)


@pytest.mark.parametrize("structure", [s for s in STRUCTURES if s != "no effects"])
@pytest.mark.parametrize("family", ["poisson", "gaussian", "negative_binomial"])
def test_laplace_gradient_of_every_structure(family, structure):
    made = model(family, LINKS[family][0], structure)
    theta, _ = natural_point(made, np.random.default_rng(6))
    objective = Objective(made.problem.rows, made.problem.data, True)
    gradient = objective(theta)[1]
    check(lambda x: objective(x)[0], gradient, theta)


def quadrature(made, theta: np.ndarray, count: int) -> tuple[float, np.ndarray]:
    """Log-likelihood and Fisher score (with the log prior's gradient) with `count` nodes."""
    problem = made.problem
    data = problem.data
    objective = Objective(problem.rows, data, False)
    objective(theta)
    points, log_weights = aghq.nodes(data.factor.size, count)
    gradient = np.full(theta.size, np.nan)
    value = aghq.score(
        problem.rows, data, theta, objective.v, objective.blocks, points, log_weights, gradient
    )
    return value, gradient


@pytest.mark.parametrize("structure", ["intercept", "slope", "diagonal"])
@pytest.mark.parametrize("family", ["bernoulli", "gaussian", "negative_binomial", "gamma"])
def test_quadrature_score_becomes_the_gradient_of_the_marginal_likelihood(family, structure):
    made = model(family, LINKS[family][0], structure)
    theta, _ = natural_point(made, np.random.default_rng(8))
    many = 25
    prior = np.zeros(theta.size)
    dense.log_prior(made.problem.data, theta, prior)
    exact = differences(lambda x: quadrature(made, x, many)[0], theta)
    size = np.abs(exact).max()
    off = []
    for count in (3, 7, many):
        value, gradient = quadrature(made, theta, count)
        assert math.isfinite(value) and np.isfinite(gradient).all()
        off.append(float(np.abs(gradient - prior - exact).max()))
    assert off[2] < TOLERANCE * max(1.0, size)
    # Exact with any number of nodes above 1 for a Gaussian response, else better with more.
    assert family == "gaussian" or off[2] < off[1] < off[0]


def test_one_node_is_laplace():
    made = model("bernoulli", "logit", "slope")
    theta, _ = natural_point(made, np.random.default_rng(9))
    objective = Objective(made.problem.rows, made.problem.data, False)
    assert abs(quadrature(made, theta, 1)[0] - objective(theta)[0]) < 1e-10
