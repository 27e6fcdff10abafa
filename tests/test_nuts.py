"""NUTS and HMC on densities with known answers; and broken copies, which the same check catches."""

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mutants import plain_copy
from scipy import stats as distributions
from targets import (
    CELLS,
    CLIFF,
    FUNNEL,
    GAMMA_SHAPE,
    HEAVY_DF,
    NORMAL,
    RING,
    SKEWED,
    TWO_MODES,
    ToyTarget,
    check_normal,
    correlated_normal,
    plain,
    z_scores,
)

from bayesglmm import chains
from bayesglmm._jit import ENABLED
from bayesglmm.diagnostics.verdict import judge
from bayesglmm.samplers import nuts
from bayesglmm.samplers.hamiltonian import HamiltonianProgram
from bayesglmm.samplers.hmc import steps_of_path

KINDS = ["nuts", "hmc"]

# The plain copies below run the same lines; long chains are for compiled code.
compiled = pytest.mark.skipif(not ENABLED, reason="too many iterations for plain Python")


def run(kind, target, *, draws=2000, warmup=300, seed=11, count=4, thin=1, jobs=1, **options):
    program = HamiltonianProgram(kind, target, warmup, **options)
    return chains.run(
        program, seed=seed, chains=count, draws=draws, warmup=warmup, thin=thin, jobs=jobs,
        progress=False,
    )  # fmt: skip


def fixed_state(program, step_size, seed=1):
    """A state past warm-up, with a given step size."""
    state = program.start(np.array([seed, 0], dtype=np.uint64), 0)
    state["phase"][:] = 0
    state["step"][0] = step_size
    return state


def iterate(program, state, n):
    theta, u = np.empty((n, program.dim)), np.empty((n, program.effects))
    stats = np.empty((n, len(program.stats)))
    program.advance(state, n, theta, u, stats, 0)
    return theta, {name: stats[:, k] for k, name in enumerate(program.stats)}


@compiled
@pytest.mark.parametrize("kind", KINDS)
def test_moments_of_a_correlated_normal(kind):
    check_normal(lambda target: run(kind, target, draws=5000).theta)


@compiled
@pytest.mark.parametrize("kind", KINDS)
def test_quantiles_of_heavy_and_skewed_targets(kind):
    draws = run(kind, ToyTarget(SKEWED, 4), draws=5000, target_accept=0.9).theta
    probabilities = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    heavy = distributions.t(HEAVY_DF).ppf(probabilities)
    skewed = np.log(distributions.gamma(GAMMA_SHAPE).ppf(probabilities))
    for column in range(4):
        quantiles = heavy if column % 2 == 0 else skewed
        below = (draws[:, :, column, None] <= quantiles).astype(float)
        assert np.abs(z_scores(below, probabilities)).max() < 4.5


@compiled
@pytest.mark.parametrize("kind", KINDS)
def test_warmup_finds_scales_and_acceptance(kind):
    sd = np.array([0.01, 1.0, 100.0])
    draws = run(kind, ToyTarget(NORMAL, 3, covariance=np.diag(sd**2)), warmup=1000)
    for state in draws.states:
        np.testing.assert_allclose(np.sqrt(state["inverse_metric"][1:]), sd[1:], rtol=0.25)
    assert 0.7 < draws.stats["accept"].mean() < 0.97
    assert draws.stats["divergent"].sum() == 0


@compiled
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("warmup", [10, 20, 50, 100, 300])
def test_short_warmups_are_enough_in_whitened_coordinates(kind, warmup):
    draws = run(kind, ToyTarget(NORMAL, 50), warmup=warmup, draws=200)
    assert (np.abs(draws.stats["accept"].mean(axis=1) - 0.8) < 0.3).all()
    step = draws.stats["step_size"]
    assert (step == step[:, :1]).all(), "the step size must not move after warm-up"


@pytest.mark.parametrize("kind", KINDS)
def test_draws_do_not_depend_on_chunks_threads_or_pauses(kind):
    whole = run(kind, correlated_normal(), draws=60, warmup=60)
    program = HamiltonianProgram(kind, correlated_normal(), 60)
    options = {"seed": 11, "warmup": 60, "progress": False}
    for jobs, chunk in [(4, 0.0), (2, 1e-4)]:
        again = chains.run(program, draws=60, jobs=jobs, chunk_seconds=chunk, **options)
        np.testing.assert_array_equal(again.theta, whole.theta)
    half = pickle.loads(pickle.dumps(chains.run(program, draws=30, **options)))
    more = chains.extend(program, half, 30, progress=False)
    np.testing.assert_array_equal(more.theta, whole.theta)
    for name, values in more.stats.items():
        np.testing.assert_array_equal(values, whole.stats[name])


def test_effects_are_the_rest_of_the_position():
    covariance = np.diag([1.0, 4.0, 9.0, 16.0])
    together = run("nuts", ToyTarget(NORMAL, 4, covariance=covariance), draws=50)
    apart = run("nuts", ToyTarget(NORMAL, 4, covariance=covariance, effects=3), draws=50)
    assert apart.u.shape == (4, 50, 3)
    np.testing.assert_array_equal(np.concatenate([apart.theta, apart.u], axis=2), together.theta)


TABLE = np.log(np.array([1.0, 5.0, 2.0, 0.5, 3.0, 8.0, 1.5]))


@compiled
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_selection_along_the_trajectory_is_exact_and_reversible(depth):
    check_balance(depth, 20_000, 1e-5)


@compiled
@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_selection_is_exact_in_a_million_transitions(depth):
    check_balance(depth, 1_000_000, 1e-6)


def check_balance(depth, count, level):
    # One transition from an exact draw, many times: the cells before and after must have the
    # table's probabilities, and i -> j must be as frequent as j -> i.
    p = np.exp(TABLE) / np.exp(TABLE).sum()
    rng = np.random.default_rng(depth)
    program = HamiltonianProgram("nuts", ToyTarget(RING, 1, table=TABLE), 0, max_treedepth=depth)
    state = fixed_state(program, 0.8)
    cells = rng.choice(CELLS, count, p=p)
    flow = np.zeros((CELLS, CELLS))
    for cell, within in zip(cells, rng.random(count), strict=True):
        state["position"][0] = cell + within
        state["value"][0] = TABLE[cell]
        theta, stats = iterate(program, state, 1)
        assert stats["depth"][0] == depth and stats["leapfrogs"][0] == 2**depth - 1
        flow[cell, int(np.floor(theta[0, 0])) % CELLS] += 1
    assert distributions.chisquare(flow.sum(axis=0), count * p).pvalue > level
    i, j = np.triu_indices(CELLS, 1)
    total = flow[i, j] + flow[j, i]
    chi2 = ((flow[i, j] - flow[j, i]) ** 2 / np.maximum(total, 1)).sum()
    assert distributions.chi2(np.count_nonzero(total)).sf(chi2) > level
    assert np.trace(flow) < 0.9 * count


def test_exits_have_names():
    # Too long a step diverges; a long way to go hits the largest depth; else it turns.
    program = HamiltonianProgram("nuts", ToyTarget(NORMAL, 3), 0, max_treedepth=6)
    theta, stats = iterate(program, fixed_state(program, 1e3), 20)
    assert stats["divergent"].all() and not stats["max_depth"].any()
    assert (theta == theta[0]).all()
    _, stats = iterate(program, fixed_state(program, 1e-3), 20)
    assert stats["max_depth"].all() and not stats["divergent"].any()
    assert (stats["depth"] == 6).all() and (stats["leapfrogs"] == 63).all()
    _, stats = iterate(program, fixed_state(program, 0.3), 20)
    assert not stats["max_depth"].any() and not stats["divergent"].any()
    assert stats["lp"].max() <= 0.0


@compiled
@pytest.mark.parametrize("kind", KINDS)
def test_a_density_that_is_not_a_number_diverges_and_is_never_entered(kind):
    program = HamiltonianProgram(kind, ToyTarget(CLIFF, 1), 0)
    state = fixed_state(program, 0.5)
    theta, stats = iterate(program, state, 4000)
    assert (theta > 0.0).all() and np.isfinite(stats["energy"]).all()
    assert 0 < stats["divergent"].sum() < 4000
    below = distributions.halfnorm.cdf(theta[None, :, 0]) <= 0.5
    assert np.abs(z_scores(below[:, :, None].astype(float), np.array([0.5]))) < 4.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_without_density_is_tried_again_and_then_refused(kind):
    draws = run(kind, ToyTarget(CLIFF, 1), draws=10)  # half of the starts are outside
    assert (draws.theta > 0.0).all()

    class Nowhere(ToyTarget):
        def start(self, random_state, chain, away):
            return np.array([-1.0])

    with pytest.raises(ValueError, match="none of 100 starting points"):
        run(kind, Nowhere(CLIFF, 1))


@compiled
@pytest.mark.parametrize(
    ("target", "ok"),
    [
        (correlated_normal(), True),
        (ToyTarget(SKEWED, 4), True),
        (ToyTarget(FUNNEL, 8), False),
        (ToyTarget(TWO_MODES, 3), False),
    ],
    ids=["normal", "skewed", "funnel", "two modes"],
)
def test_the_verdict_knows_hard_targets(target, ok):
    draws = run("nuts", target, draws=1000, warmup=500)
    verdict = judge([(draws.theta, str)], draws.stats)
    assert verdict.ok is ok, str(verdict)


def test_a_program_is_for_one_warmup():
    program = HamiltonianProgram("nuts", correlated_normal(), 100)
    with pytest.raises(ValueError, match="made for a warmup of 100, not 50"):
        chains.run(program, warmup=50)


def test_summary_line():
    program = HamiltonianProgram("hmc", correlated_normal(), 100)
    stats = np.zeros((4, len(program.stats)))
    stats[:, nuts.ACCEPT], stats[1, nuts.DIVERGENT] = 0.75, 1.0
    assert program.summary(stats) == "acceptance 0.75, 1 divergent"


def test_path_of_hmc():
    steps = plain(steps_of_path)
    assert [steps(1.5, 0.5, 10, share) for share in (1e-9, 0.5, 1.0 - 1e-9)] == [2, 3, 5]
    assert steps(1.5, 100.0, 10, 0.5) == 1
    assert steps(1.5, 1e-9, 6, 0.5) == 64


BROKEN = {
    "NUTS without energy in the weights": (
        "nuts",
        "samplers/nuts.py",
        "push(trees, top, edge, gain, value, hamiltonian)",
        "push(trees, top, edge, 0.0, value, hamiltonian)",
    ),
    "NUTS with the weights upside down": (
        "nuts",
        "samplers/nuts.py",
        "gain = trees.sums[START] - hamiltonian",
        "gain = hamiltonian - trees.sums[START]",
    ),
    "HMC accepts without looking": (
        "hmc",
        "samplers/hmc.py",
        "if uniform(chain.random) < accept:",
        "if uniform(chain.random) < 1.0 and finite:",
    ),
    "HMC accepts by the density alone": (
        "hmc",
        "samplers/hmc.py",
        "gain = start - energy",
        "gain = value - chain.value[0]",
    ),
}


def sample_plainly(kind: str, package, target, *, step_size=0.75, draws=2500):
    """Draws of a plain-Python copy of the package, at a fixed, long step and unit scales."""
    hamiltonian, state_module = package("samplers.hamiltonian"), package("samplers.state")
    target.rows = 1.0
    target.logdensity = plain_density(target)
    program = hamiltonian.HamiltonianProgram(kind, target, 0, max_treedepth=5)
    results = []
    for chain in range(2):
        gradient, position = np.empty(3), target.data.mean.copy()
        value = target.logdensity(1.0, target.data, 1.0, position, gradient)
        random = np.array([chain + 5, 0], dtype=np.uint64)
        state = state_module.initial(random, position, gradient, value)
        state.phase[:] = 0
        state.step[0] = step_size
        state.inverse_metric[:] = np.diag(np.linalg.inv(target.data.precision))
        theta, stats = np.empty((draws, 3)), np.empty((draws, len(program.stats)))
        program.advance(state._asdict(), draws, theta, np.empty((draws, 0)), stats, 0)
        results.append(theta)
    return np.stack(results)


def plain_density(target):
    mean, precision = target.data.mean, target.data.precision

    def logdensity(rows, data, map, position, gradient):
        gradient[:] = -precision @ (position - mean)
        return float(0.5 * gradient @ (position - mean))

    return logdensity


def sampler_of_copy(folder: Path, kind: str, change=None):
    return partial(sample_plainly, kind, plain_copy(folder, change))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unchanged_plain_copy_passes(kind, tmp_path):
    check_normal(sampler_of_copy(tmp_path, kind))


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_copies_are_caught(fault, tmp_path):
    kind, *change = BROKEN[fault]
    with pytest.raises(AssertionError, match="standard errors off|did not move"):
        check_normal(sampler_of_copy(tmp_path, kind, change))
