"""Maximum likelihood by quadrature: the integral, its gradient, the fit, what it refuses."""

import math

import numpy as np
import pandas as pd
import pytest
from kernels import with_compilation_off
from ml_references import CASES, FILES, load
from test_gradients import PAIRS, check, model, natural_point

import bayesglmm as bg
from bayesglmm.covariance import factors
from bayesglmm.fits import laplace, mode, quadrature
from bayesglmm.fits.hermite import rule

STRUCTURES = {"intercept": 1, "slope": 2, "diagonal": 2, "three": 3}
EDGED = ("identity", "sqrt", "inverse")  # links whose eta has to stay positive
SAME = 1e-10
EXACT = 1e-8  # relative, of a log-likelihood by a fine grid


def objective(made, nodes: int):
    """Value and gradient at theta; every call begins at the same modes."""
    start = np.zeros(int(made.problem.data.levels[0]) * made.problem.data.factor.size)

    def at(theta: np.ndarray) -> tuple[float, np.ndarray]:
        by = quadrature.Objective(made.problem.rows, made.problem.data, nodes)
        by.v = start.copy()
        return by(theta)

    return at


def fitted(made, nodes: int | None = None):
    problem = made.problem
    return quadrature.fit(problem.rows, problem.data, problem.start, nodes)


def uneven(structure: str = "slope", family: str = "bernoulli"):
    """Groups of 1 to 70 rows, the largest cut into lanes; one chunk of several lanes a group."""
    rng = np.random.default_rng(2)
    g = np.repeat(["a", "b", "c", "d"], [70, 31, 5, 1])
    frame = pd.DataFrame({"g": g, "x": rng.uniform(-1, 1, g.size), "w": rng.normal(size=g.size)})
    frame["y"] = rng.binomial(1, 0.3, g.size) if family == "bernoulli" else rng.poisson(3, g.size)
    right = {"intercept": "(1|g)", "slope": "(x|g)", "three": "(x + w|g)"}[structure]
    return bg.glmm(f"y ~ x + {right}", frame, family)


def many_groups():
    """Several chunks of groups."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(600), 3)
    frame = pd.DataFrame({"g": g, "x": rng.normal(size=g.size)})
    eta = 0.5 * frame.x + 1.5 * rng.normal(size=600)[g]
    frame["y"] = rng.binomial(1, 1.0 / (1.0 + np.exp(-eta)))
    return bg.glmm("y ~ x + (1|g)", frame, "bernoulli")


# ---- the gradient is that of the very sum --------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_gradient_of_every_family_and_link(family, link, structure):
    made = model(family, link, structure)
    theta, _ = natural_point(made, np.random.default_rng(5))
    if link in EDGED and family != "gaussian":
        cov = made.problem.data.prior.covariance
        theta[made.problem.data.obs.X.shape[0] + np.flatnonzero(cov.row == cov.col)] -= 1.0
    at = objective(made, 3)
    check(lambda x: at(x)[0], at(theta)[1], theta)


@pytest.mark.parametrize("nodes", [1, 2, 5, 8])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_gradient_with_any_number_of_nodes(structure, nodes):
    made = model("bernoulli", "logit", structure)
    theta, _ = natural_point(made, np.random.default_rng(6))
    at = objective(made, nodes)
    check(lambda x: at(x)[0], at(theta)[1], theta)


@pytest.mark.parametrize("structure", ["intercept", "slope", "three"])
def test_gradient_where_groups_are_cut_into_lanes(structure):
    made = uneven(structure)
    theta, _ = natural_point(made, np.random.default_rng(7))
    at = objective(made, 5)
    check(lambda x: at(x)[0], at(theta)[1], theta)


def test_gradient_over_several_chunks():
    made = many_groups()
    at = objective(made, 7)
    theta = np.array([0.2, 0.4, 0.3])
    check(lambda x: at(x)[0], at(theta)[1], theta)


# ---- the value is the integral -------------------------------------------------------------------


def by_grid(made, theta: np.ndarray, width: float = 9.0, points: int = 121) -> float:
    """Log-likelihood by a product trapezoid over v in [-width, width]^q, a group at a time."""
    data, family = made.problem.data, made.family
    q, p = data.factor.size, data.obs.X.shape[0]
    m = data.prior.covariance.row.size
    L = factors(data.prior.covariance, theta[p : p + m])
    line = np.linspace(-width, width, points)
    v = np.stack([x.ravel() for x in np.meshgrid(*[line] * q, indexing="ij")])
    log_cell = q * (math.log(line[1] - line[0]) - 0.5 * math.log(2.0 * math.pi))
    fixed = data.obs.offset + theta[:p] @ data.obs.X
    scalars = family.scalars
    phi = float(np.exp(theta[-1])) if family.dispersion else 1.0
    total = 0.0
    for group in range(int(data.levels[0])):
        value = -0.5 * (v**2).sum(0)
        for r in np.flatnonzero(data.level[0] == group):
            eta = fixed[r] + data.obs.Z[:, r] @ L @ v
            y, w = data.obs.y[r], data.obs.w[r]
            value += np.array([scalars.loglik(y, w, e, phi) for e in eta])
        top = value.max()
        total += top + math.log(np.exp(value - top).sum()) + log_cell
    return total


@pytest.mark.parametrize(("family", "link"), [pair for pair in PAIRS if pair[1] not in EDGED])
def test_many_nodes_give_the_integral(family, link):
    made = model(family, link, "intercept")
    theta, _ = natural_point(made, np.random.default_rng(8))
    exact = by_grid(made, theta, points=1001)
    off = [abs(objective(made, nodes)(theta)[0] - exact) for nodes in (1, 5, 100)]
    assert off[2] < EXACT * abs(exact)
    # Laplace's approximation is what is left with one node; a Gaussian's identity link is exact.
    assert off[0] > off[1] > off[2]


@pytest.mark.parametrize("structure", ["slope", "diagonal"])
def test_many_nodes_give_the_integral_over_two_effects(structure):
    made = model("bernoulli", "logit", structure)
    theta, _ = natural_point(made, np.random.default_rng(8))
    exact = by_grid(made, theta)
    off = [abs(objective(made, nodes)(theta)[0] - exact) for nodes in (1, 3, 5, 9)]
    assert off[3] < EXACT * abs(exact)
    assert off[0] > off[1] > off[2] > off[3]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_gaussian_response_is_integrated_exactly_by_any_number_of_nodes(structure):
    made = model("gaussian", "identity", structure)
    data = made.problem.data
    theta, _ = natural_point(made, np.random.default_rng(9))
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, theta[p : p + m])
    sigma = math.exp(theta[-1])
    same = data.level[0][:, None] == data.level[0][None, :]
    V = np.diag(sigma**2 / data.obs.w) + same * (data.obs.Z.T @ L @ L.T @ data.obs.Z)
    e = data.obs.y - data.obs.offset - theta[:p] @ data.obs.X
    exact = -0.5 * (np.linalg.slogdet(V)[1] + e @ np.linalg.solve(V, e))
    for nodes in (1, 2, 4):
        assert abs(objective(made, nodes)(theta)[0] - exact) < 1e-9 * abs(exact)


# ---- one node is Laplace -------------------------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("family", ["bernoulli", "poisson", "gaussian"])
def test_one_node_is_laplace(family, structure):
    made = model(family, None, structure)
    theta, _ = natural_point(made, np.random.default_rng(9))
    value, gradient = objective(made, 1)(theta)
    other, other_gradient = mode.Objective(made.problem.rows, made.problem.data, False)(theta)
    assert abs(value - other) < SAME
    # The slope in log phi is a difference on both sides.
    tolerance = SAME if made.family.dispersion is None else 1e-7
    np.testing.assert_allclose(gradient, other_gradient, rtol=tolerance, atol=tolerance)


def test_the_fit_with_one_node_is_laplaces():
    made = bg.glmm("y ~ lbase*trt + (1|subject)", bg.load_dataset("epil"), "poisson")
    problem = made.problem
    known = laplace.fit(problem.rows, problem.data, problem.start)
    found = fitted(made, 1)
    assert abs(found.loglik - known.loglik) < SAME
    np.testing.assert_allclose(found.theta, known.theta, atol=1e-6)
    np.testing.assert_allclose(found.covariance, known.covariance, rtol=1e-5, atol=1e-10)
    np.testing.assert_allclose(found.variances(), known.variances(), rtol=1e-5)


# ---- fits ----------------------------------------------------------------------------------------

AGQ = sorted(
    path.stem
    for path in FILES.glob("*__lme4_AGQ*.json")
    if not path.stem.endswith(("AGQ0", "tight"))
)
MAX_COEFFICIENT = 1e-4
MAX_SD = 3e-4


@pytest.mark.reference
@pytest.mark.parametrize("name", AGQ)
def test_coefficients_of_lme4(name):
    known = load(name)
    made = CASES[known.case].model()
    fit = made.fit("aghq", nodes=known.content.get("nAGQ") or int(known.method[3:]))
    assert fit.converged
    assert np.abs(fit.beta - known.column("estimate")).max() < MAX_COEFFICIENT
    rows = dict(zip(fit.names, fit.estimate, strict=True))
    for row, value in known.spread(made).items():
        assert abs(rows[row] - value) < MAX_SD * value


@pytest.mark.reference
def test_abortion_needs_a_hundred_nodes():
    """The values of lme4 with 100 and with 25 nodes; Laplace's sd is 5.6."""
    made = CASES["abortion__ri"].model()
    fit = made.fit("aghq", nodes=100)
    assert fit.converged and fit.warnings == ()
    assert abs(fit.loglik - -2289.250) < 5e-4
    rows = dict(zip(fit.names, fit.estimate, strict=True))
    np.testing.assert_allclose(fit.beta[1:], [0.8348, 0.2925, -0.0126], atol=1e-4)
    assert abs(rows["sd(Intercept|case)"] - 8.75) < 0.005
    few = made.fit("aghq", nodes=25)
    assert abs(dict(zip(few.names, few.estimate, strict=True))["sd(Intercept|case)"] - 9.34) < 0.005
    assert "25 nodes are too few" in few.warnings[0]
    first = made.fit("laplace")
    assert dict(zip(first.names, first.estimate, strict=True))["sd(Intercept|case)"] < 6.0


def test_an_sd_that_laplace_misses_is_found():
    """Pairs that agree more often than not: Laplace's sd is 0 for some, the integral's is not."""
    frame = pd.DataFrame(
        {"g": np.repeat(np.arange(40), 2), "y": [0, 0] * 11 + [1, 1] * 11 + [0, 1] * 18}
    )
    made = bg.glmm("y ~ 1 + (1|g)", frame, "bernoulli")
    problem = made.problem
    found = fitted(made, 31)
    line = np.linspace(-4.0, 1.5, 23)
    beta = found.theta[0]
    at = objective(made, 31)
    best = max(at(np.array([beta, s]))[0] for s in line)
    assert found.converged and not found.boundary.any()
    assert found.loglik > best - 1e-3
    assert laplace.fit(problem.rows, problem.data, problem.start).loglik < found.loglik


def test_no_variation_between_groups_is_a_boundary():
    frame = pd.DataFrame({"g": np.repeat(np.arange(30), 4), "y": [0, 1, 0, 1] * 30})
    found = fitted(bg.glmm("y ~ 1 + (1|g)", frame, "bernoulli"))
    assert found.boundary.all() and found.definite and found.converged
    assert np.all(found.covariance[-1] == 0.0)


def test_default_nodes():
    for structure, q in STRUCTURES.items():
        assert fitted(model("poisson", "log", structure)).nodes == {1: 25, 2: 9, 3: 5}[q]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 24, 25, 100, 151])
def test_rule(count):
    x, log_weights = rule(count)
    known, w = np.polynomial.hermite.hermgauss(count)
    np.testing.assert_allclose(x, known, atol=1e-14)
    np.testing.assert_allclose(log_weights, np.log(w) + known**2, atol=1e-12)


@pytest.mark.parametrize("count", [2, 9, 100, 500])
def test_rule_integrates_polynomials(count):
    x, log_weights = rule(count)
    assert np.all(np.diff(x) > 0.0)
    w = np.exp(log_weights - x**2)
    for power in (0, 2, min(6, 2 * count - 2)):
        np.testing.assert_allclose(w @ x**power, math.gamma(0.5 * (power + 1)), rtol=1e-12)
        assert abs(w @ x ** (power + 1)) < 1e-12


# ---- what it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "words"),
    [
        ("x + (1|g) + (1|h)", ("crossed", "laplace")),
        ("x + (1|g/h)", ("crossed", "laplace")),
        ("x", ("none", "glm")),
        ("x + (x + w + x2|g)", ("4", "laplace")),
    ],
)
def test_refusals_name_the_remedy(right, words):
    rng = np.random.default_rng(1)
    n = 60
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=["x", "w", "x2"])
    frame["g"], frame["h"] = np.arange(n) % 6, np.arange(n) // 10
    frame["y"] = rng.poisson(3, n)
    made = bg.glmm(f"y ~ {right}", frame, "poisson")
    with pytest.raises(bg.DataError) as caught:
        fitted(made)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("nodes", [0, -3, 2.5, "many", True, 1000])
def test_nodes_are_a_positive_integer(nodes):
    with pytest.raises(bg.DataError, match="positive integer"):
        fitted(model("poisson", "log", "intercept"), nodes)


def test_without_compilation():
    made = model("gaussian", "log", "intercept")
    theta, _ = natural_point(made, np.random.default_rng(11))
    value, gradient = objective(made, 2)(theta)
    script = f"""
import json, sys
sys.path.insert(0, {str(FILES.parents[1])!r})
import numpy as np
from test_quadrature import model, objective
value, gradient = objective(model("gaussian", "log", "intercept"), 2)(np.array({theta.tolist()}))
print(json.dumps([value, gradient.tolist()]))
"""
    plain, plain_gradient = with_compilation_off(script)
    assert abs(plain - value) < 1e-10 * abs(value)
    np.testing.assert_allclose(plain_gradient, gradient, rtol=1e-6)
