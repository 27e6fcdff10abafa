"""The collapsed sampler: its density, its exact draws of beta and u, its posteriors."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from broken import COLLAPSED_JACOBIAN, GAUSSIAN
from joint import DRAWS, LARGEST_Z
from kernels import callable_
from references import REFERENCES, disagreements
from scipy import stats
from test_joint_distribution import check
from test_joint_distribution import name as name_of

import bayesglmm as bg
from bayesglmm import collapsed_cost
from bayesglmm.choice import choose
from bayesglmm.collapsed_program import CollapsedProgram, start
from bayesglmm.conditionals import collapsed
from bayesglmm.covariance import factors
from bayesglmm.density import theta_logprior

PRIORS = {
    "Intercept": bg.Normal(1, 3),
    "b": bg.Normal(0.3, 2),
    "sd": bg.HalfStudentT(3, 2.5),
    "sigma": bg.HalfStudentT(3, 2.5),
}
FLAT = PRIORS | {"Intercept": bg.Flat(), "b": bg.Flat()}
STRUCTURES = {
    "one": ("y ~ x + (1|g)", PRIORS),
    "slope": ("y ~ x + (x|g)", PRIORS),
    "few levels a class": ("y ~ x + (v|g)", PRIORS),
    "two terms": ("y ~ x + (x||g) + (0 + v|g)", FLAT),
    "wishart": ("y ~ x + (x + v|g)", PRIORS | {"g": bg.InverseWishart(5, np.eye(3))}),
    "offset and weights": ("y | weights(w) ~ x + offset(v) + (x|g)", PRIORS),
    "crossed": ("y ~ x + (1|g) + (1|h)", PRIORS),
    "crossed slopes": ("y | weights(w) ~ x + offset(v) + (x|g) + (v|h) + (1|k)", FLAT),
    "nested": ("y ~ x + (1|k/h)", PRIORS),
    "no effects": ("y ~ x + v", PRIORS),
    "known errors": ("y | se(s) ~ x + (x|g)", {k: v for k, v in PRIORS.items() if k != "sigma"}),
    "nothing to sample": ("y | se(s) ~ x", {"Intercept": bg.Flat(), "b": bg.Normal(0, 1)}),
}


def frame(balanced: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 48
    g = np.arange(n) % 12 if balanced else rng.integers(0, 9, n)
    f = pd.DataFrame(
        {
            "g": [f"g{i}" for i in g],
            "h": [f"h{i}" for i in rng.integers(0, 5, n)],
            "k": [f"k{i}" for i in rng.integers(0, 7, n)],
            "x": (np.arange(n) // 12).astype(float) if balanced else rng.normal(size=n),
            "v": rng.normal(size=n),
            "w": rng.integers(0, 4, n).astype(float),
            "s": rng.uniform(0.5, 2.0, n),
        }
    )
    f["y"] = 2.0 + 0.5 * f.x + rng.normal(size=12)[g] + rng.normal(size=n)
    return f


def model(name: str, balanced: bool = False) -> bg.Model:
    formula, priors = STRUCTURES[name]
    with_effects = "|" in formula.partition("~")[2]
    priors = {k: v for k, v in priors.items() if with_effects or k != "sd"}
    if "g" in priors:
        priors.pop("sd")
    return bg.glmm(formula, frame(balanced), priors=priors, center=False)


class Dense:
    """The same posterior by dense matrices: y ~ N(X beta + offset, V) given t."""

    def __init__(self, model: bg.Model) -> None:
        data = model.problem.data
        obs = data.obs
        self.data, self.m = data, data.prior.covariance.row.size
        rows = np.flatnonzero(obs.w)
        self.y, self.X, self.w = (obs.y - obs.offset)[rows], obs.X.T[rows], obs.w[rows]
        effects = int(sum(data.levels[f] for f in data.factor))
        self.Z = np.zeros((rows.size, effects))
        for k, f in enumerate(data.factor):
            self.Z[range(rows.size), data.effect[k] + data.level[f][rows]] = obs.Z[k, rows]
        kind, mean, sd, _ = data.prior.beta.T
        flat = kind == bg.Flat().code()[0]
        self.mean, self.precision = mean, np.where(flat, 0.0, np.where(flat, 1.0, sd) ** -2.0)

    def parts(self, t: np.ndarray):
        """Covariance of u, and the variances of the rows."""
        L = factors(self.data.prior.covariance, t[: self.m])
        sigma = np.exp(t[self.m]) if t.size > self.m else 1.0
        D = np.zeros((self.Z.shape[1],) * 2)
        S = L @ L.T
        for k, f in enumerate(self.data.factor):
            for l, e in enumerate(self.data.factor):
                J = np.arange(self.data.levels[f])
                if f == e:
                    D[self.data.effect[k] + J, self.data.effect[l] + J] = S[k, l]
        return D, sigma**2 / self.w, sigma

    def logdensity(self, t: np.ndarray) -> float:
        """Log of the likelihood of t, without constants."""
        D, variances, sigma = self.parts(t)
        V = np.diag(variances) + self.Z @ D @ self.Z.T
        inverse = np.linalg.inv(V)
        P = self.X.T @ inverse @ self.X + np.diag(self.precision)
        r = self.X.T @ inverse @ self.y + self.precision * self.mean
        squares = self.y @ inverse @ self.y + self.mean @ (self.precision * self.mean)
        squares -= r @ np.linalg.solve(P, r)
        logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(P)[1] + squares
        # A row of weight w is w observations of the same value.
        return -0.5 * logs - (self.w.sum() - self.w.size) * np.log(sigma)

    def moments(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of (beta, u) given t."""
        D, variances, _ = self.parts(t)
        p = self.X.shape[1]
        C = np.column_stack([self.X, self.Z])
        precision = C.T @ (C / variances[:, None])
        precision[:p, :p] += np.diag(self.precision)
        precision[p:, p:] += np.linalg.inv(D) if D.size else D
        r = C.T @ (self.y / variances)
        r[:p] += self.precision * self.mean
        covariance = np.linalg.inv(precision)
        return covariance @ r, covariance


def points(program: CollapsedProgram, count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(8)
    d = program.center.size
    return 0.7 * rng.normal(size=(count, d)) - 0.2


def log_prior(model: bg.Model, t: np.ndarray) -> float:
    """Log prior of t by `density.theta_logprior`, at beta 0."""
    prior = model.problem.data.prior
    L = factors(prior.covariance, t[: prior.covariance.row.size])
    p = len(prior.beta)
    value = callable_(theta_logprior)(prior, np.concatenate([np.zeros(p), t]), L)
    return value


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("name", [name for name in STRUCTURES if name != "nothing to sample"])
def test_the_density_is_that_of_dense_matrices(name, balanced):
    one = model(name, balanced)
    map, covariance = start(one)
    program, dense = CollapsedProgram(one, map.center, covariance, 0), Dense(one)
    at = points(program)
    known = np.array([dense.logdensity(t) + log_prior(one, t) for t in at])
    found = program.values(at)
    np.testing.assert_allclose(found - found[0], known - known[0], rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("name", STRUCTURES)
def test_beta_and_u_have_their_exact_conditional_distribution(name, balanced):
    one = model(name, balanced)
    map, covariance = start(one)
    program, dense = CollapsedProgram(one, map.center, covariance, 0), Dense(one)
    program.rounds = 0  # t stays where it is
    t = points(program, 1)[0]
    state = program.start(np.array([9, 0], dtype=np.uint64), 0)
    state["proposal_near"][:] = 0.0
    state["x"][:] = t
    n = 40_000
    theta, u = np.empty((n, program.dim)), np.empty((n, program.effects))
    program.advance(state, n, theta, u, np.empty((n, 3)), 0)
    np.testing.assert_array_equal(theta[:, program.p :], np.tile(t, (n, 1)))
    draws = np.column_stack([theta[:, : program.p], u])
    mean, covariance = dense.moments(t)
    # Whitened by the exact covariance: independent standard normals.
    white = np.linalg.solve(np.linalg.cholesky(covariance), (draws - mean).T)
    k = len(mean)
    assert np.abs(white.mean(axis=1)).max() < 4.5 / np.sqrt(n)
    assert np.abs(np.cov(white).reshape(k, k) - np.eye(k)).max() < 6.0 / np.sqrt(n)
    assert stats.kstest(white.ravel(), "norm").pvalue > 1e-4


# Six rows of two or three groups; the responses are simulated anew before every transition.
GAUSSIAN_LKJ = replace(
    GAUSSIAN, name="gaussian, LKJ", formula="y ~ x + offset(w) + (x|g)", sd=(0.6, 0.4), eta=1.5,
    groups=3,
)  # fmt: skip
GAUSSIAN_DIAGONAL = replace(
    GAUSSIAN_LKJ, name="gaussian, diagonal", formula="y ~ x + offset(w) + (x||g)", eta=0.0
)
GAUSSIAN_WISHART = replace(
    GAUSSIAN_LKJ, name="gaussian, inverse-Wishart", sd=(), eta=0.0,
    wishart=(14.0, [[2.0, 0.5], [0.5, 1.2]]),
)  # fmt: skip
JOINT = [
    (GAUSSIAN, "collapsed, walk"),
    (GAUSSIAN_LKJ, "collapsed"),
    (GAUSSIAN_DIAGONAL, "collapsed, one block"),
    (GAUSSIAN_WISHART, "collapsed"),
]


@pytest.mark.parametrize(("case", "sampler"), JOINT, ids=name_of)
def test_joint_distribution(case, sampler):
    check(case, sampler, DRAWS // 2)


def test_a_density_without_its_jacobian_is_found():
    assert max(map(abs, COLLAPSED_JACOBIAN.deviations().values())) > LARGEST_Z


@pytest.mark.parametrize(
    "reference", [r for r in REFERENCES if r.family == "gaussian"], ids=lambda r: r.name
)
def test_posterior_agrees_with_reference(reference):
    post = reference.model().sample(draws=5000, seed=1, progress=False)
    assert post.run.sampler == "collapsed"
    assert post.run.reason == "Gaussian: coefficients and effects can be integrated out"
    assert disagreements(reference.ours(post), reference.known()) == []


def test_many_connected_effects_are_left_to_gibbs_and_too_many_are_refused(monkeypatch):
    rng = np.random.default_rng(1)
    f = pd.DataFrame({"g": rng.integers(0, 300, 900), "h": rng.integers(0, 250, 900)})
    f["y"] = rng.normal(size=900)
    priors = {name: PRIORS[name] for name in ("Intercept", "sd", "sigma")}
    crossed = bg.glmm("y ~ 1 + (1|g) + (1|h)", f, priors=priors)
    plan = choose(crossed)
    assert plan.sampler != "collapsed"
    assert re.search(r"out would take about .* [um]s a step, a sweep takes .* [um]s", plan.reason)
    assert choose(crossed, "collapsed").sampler == "collapsed"
    monkeypatch.setattr(collapsed_cost, "LARGEST", 100)
    assert "connected effects of this one are too many" in choose(crossed).reason
    with pytest.raises(bg.DataError, match="connected effects of this one are too many"):
        choose(crossed, "collapsed")
    assert choose(model("nested")).sampler == "collapsed"
    student = bg.glmm("y ~ 1 + (1|g)", f, priors=priors | {"Intercept": bg.StudentT(3, 0, 1)})
    assert choose(student).sampler == "gibbs"


def groups_far_apart(sigma: float) -> bg.Model:
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(20), 10)
    f = pd.DataFrame({"g": g, "x": rng.normal(size=200)})
    f["y"] = 1.0 + 0.3 * f.x + rng.normal(size=20)[g] + sigma * rng.normal(size=200)
    return bg.glmm("y ~ x + (1|g)", f, priors=PRIORS)


def test_rounding_errors_of_groups_far_apart_do_not_spoil_the_start():
    post = groups_far_apart(1e-4).sample(sampler="collapsed", draws=500, warmup=0, seed=1)
    assert post.stats["accept"].mean() > 0.6


def test_a_perfect_fit_is_refused():
    f = pd.DataFrame({"g": np.repeat(np.arange(10), 5), "x": np.arange(50.0)})
    f["y"] = 2.0 + 0.5 * f.x
    with pytest.warns(bg.DataWarning, match="perfectly"):
        perfect = bg.glmm("y ~ x + (1|g)", f, priors=PRIORS)
    with pytest.raises(bg.DataError, match="fits the response perfectly"):
        perfect.sample(sampler="collapsed")


def test_a_chain_that_is_stuck_in_warm_up_walks_besides():
    one = model("one")
    map, covariance = start(one)
    program = CollapsedProgram(one, map.center, covariance, 100)
    state = program.start(np.array([9, 0], dtype=np.uint64), 0)
    kind = state["proposal_block"][:, 2]
    assert kind.tolist() == [collapsed.INDEPENDENCE, collapsed.IDLE]
    moving = np.cumsum(np.ones((70, program.center.size)), axis=0)
    stuck = np.concatenate([moving, np.tile(moving[-1], (30, 1))])
    for history, iteration, last in ((moving, 70, collapsed.IDLE), (stuck, 100, collapsed.WALK)):
        state["history"] = 0.001 * history
        program.adapt(state, iteration)
        assert kind[-1] == last
