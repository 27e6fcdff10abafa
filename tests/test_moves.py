"""How the one-factor sampler chooses its map, changes what does not move a chain, and says so."""

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.adaptation import proposal as adaptation
from bayesglmm.conditionals import transport
from bayesglmm.fits.aghq import nodes
from bayesglmm.fits.effect_moments import Moments
from bayesglmm.programs import AS_PLANNED, BY_NEWTON, GibbsProgram
from bayesglmm.sampling import start


def simulate(groups: int, p: int, sd: float = 0.9, q: int = 1) -> bg.Model:
    rng = np.random.default_rng([3, groups, p])
    g = np.repeat(np.arange(groups), 10)
    x = rng.normal(size=(g.size, p - 1))
    eta = 0.3 + x @ (0.5 * rng.normal(size=p - 1) / np.sqrt(p)) + sd * rng.normal(size=groups)[g]
    names = [f"x{k}" for k in range(p - 1)]
    y = (rng.random(g.size) < 1.0 / (1.0 + np.exp(-eta))).astype(float)
    frame = pd.DataFrame(x, columns=names).assign(y=y, g=g)
    return bg.glmm(f"y ~ {' + '.join(names)} + ({'x0' if q == 2 else 1} | g)", frame, "bernoulli")


def program_of(model: bg.Model, warmup: int = 100) -> GibbsProgram:
    return GibbsProgram(model, *start(model, "gibbs"), warmup)


@pytest.fixture(scope="module")
def linear() -> GibbsProgram:
    program = program_of(simulate(300, 3))
    assert program.guess.factors.size > 0
    return program


def stuck(program: GibbsProgram, run: float) -> dict[str, np.ndarray]:
    """State of a chain in warm-up whose first block was rejected so often in a row."""
    state = program.start(np.array([8, 0], dtype=np.uint64), 0)
    out = [np.empty((20, k)) for k in (program.dim, program.effects, len(program.stats))]
    program.advance(state, 20, *out, 0)
    state["proposal_tuning"][0] = (1.0, 30.0, 200.0, 0.0, run)
    program.adapt(state, 20)
    return state


def test_a_linear_map_has_to_hold_where_the_sd_may_be_near_0(linear):
    # Few of its draws have an sd near 0, but those that have were not let back.
    assert program_of(simulate(200, 20, sd=0.5)).guess.factors.shape[2] == 0


@pytest.mark.parametrize("q", [1, 2])
def test_slopes_of_moments_are_their_chords(q):
    model = simulate(60, 3, q=q)
    map, covariance = start(model, "gibbs")
    scale = np.linalg.cholesky(covariance)
    known = Moments(model.problem.rows, model.problem.data, map, scale, *nodes(q, 5))
    found = known.linear()
    slopes = np.concatenate([found.slopes.reshape(-1, q, known.J), found.factors[1:]], axis=1)
    for axis in np.eye(known.d):
        chord = 0.5 * (known.at(axis) - known.at(-axis))
        np.testing.assert_allclose(
            np.einsum("j,jeg->eg", scale @ axis, slopes), chord, rtol=1e-4, atol=1e-6
        )


def test_a_chain_in_a_tail_gets_another_map_and_the_same_effects(linear):
    state = stuck(linear, adaptation.STUCK + 1)
    assert state["map"][0] == BY_NEWTON
    side = state["flag"][transport.SIDE]
    v, theta = state["v"][side].copy(), state["theta"][side].copy()
    before = state["C"][side].copy()
    linear.advance(state, 0, *linear._nowhere(), 20)
    np.testing.assert_array_equal(state["v"][side], v)
    np.testing.assert_array_equal(state["theta"][side], theta)
    C, center, z = state["C"][side], state["center"][side], state["z"]
    assert np.abs(C - before).max() > 1e-6
    np.testing.assert_allclose(z, np.einsum("lkg,lg->kg", C, v - center), atol=1e-12)
    # The density is that of a chain that was always carried by this map.
    other = linear._begin(np.zeros(2, dtype=np.uint64))
    other["map"][0], other["theta"][0], other["z"][:] = BY_NEWTON, theta, z
    linear.advance(other, 0, *linear._nowhere(), 20)
    np.testing.assert_allclose(other["v"][0], v, atol=1e-12)
    np.testing.assert_allclose(other["value"][0], state["value"][side], rtol=1e-12)


def test_what_was_changed_is_said(linear):
    assert linear.changes(stuck(linear, 3.0)) == []
    assert stuck(linear, adaptation.LONG_RUN + 1)["map"][0] == AS_PLANNED
    said = linear.changes(stuck(linear, adaptation.STUCK + 1))
    assert [text.split(":")[0] for text in said] == [
        "effects carried along with theta by Newton steps",
        "Sigma by random walk as well",
    ]


def test_the_printed_posterior_says_it(monkeypatch):
    # With every rejection taken for a run of many, all that may be changed is.
    monkeypatch.setattr(adaptation, "STUCK", 0)
    post = simulate(60, 3).sample(sampler="gibbs", warmup=40, draws=20, seed=1, progress=False)
    assert any("by random walk" in text for text in post.run.changes)
    assert all(text in str(post) for text in post.run.changes)


def test_a_start_far_away_is_left(linear):
    # Ten thousand posterior sds: the chain has to come from there in warm-up.
    model = simulate(300, 3)
    far = {"Intercept": 30.0, "sd(Intercept|g)": 0.001}
    post = model.sample(sampler="gibbs", init=far, warmup=300, draws=500, seed=2, progress=False)
    usual = model.sample(sampler="gibbs", warmup=300, draws=500, seed=3, progress=False)
    assert post.verdict.checks[0].passed, str(post.verdict)
    difference = post.values["sd"].mean() - usual.values["sd"].mean()
    assert abs(difference) < 0.3 * usual.values["sd"].std()
