"""Gibbs for crossed and nested factors: its target, its layouts, its chains."""

import numpy as np
import pandas as pd
import pytest
from crossed_cases import BROKEN, CASES, GAUSSIAN, NEGATIVE_BINOMIAL, NESTED, SLOPE, THREE, TYPES
from joint import DRAWS, LARGEST_Z
from joint_crossed import CrossedCase, deviations

import bayesglmm as bg
from bayesglmm import chains, sampling
from bayesglmm.conditionals import crossed, directions, factors
from bayesglmm.crossed_program import CrossedProgram

SMALLEST_ESS = 500  # of the slowest function; of most, thousands
LONG = 5  # times the draws, for a second look and in the slow tests
FAST = [SLOPE, GAUSSIAN, NEGATIVE_BINOMIAL, NESTED, THREE]


def check(case: CrossedCase, sampler: str, draws: int) -> None:
    z, ess = deviations(case, sampler, draws=draws)
    if max(map(abs, z.values())) >= LARGEST_Z:
        # One of some 300 functions may exceed it by chance; not twice, with more draws.
        z, ess = deviations(case, sampler, draws=LONG * draws, seed=2)
    assert ess > SMALLEST_ESS
    assert len(z) >= 20
    broken = {name: round(value, 1) for name, value in z.items() if not abs(value) < LARGEST_Z}
    assert broken == {}


def name(value: object) -> str:
    return getattr(value, "name", str(value))


@pytest.mark.parametrize("case", FAST, ids=name)
def test_joint_distribution(case):
    check(case, "crossed", DRAWS // 2)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name)
@pytest.mark.parametrize("sampler", ["crossed", "crossed, walk"])
def test_joint_distribution_of_all(case, sampler):
    check(case, sampler, LONG * DRAWS)


@pytest.mark.parametrize("broken", BROKEN[:2], ids=name)
def test_broken_copies_are_caught(broken):
    assert max(map(abs, broken.deviations().values())) > LARGEST_Z


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN[2:], ids=name)
def test_all_broken_copies_are_caught(broken):
    assert max(map(abs, broken.deviations().values())) > LARGEST_Z


def frame(seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = np.repeat(np.arange(12), 10), np.tile(np.arange(10), 12)
    x = rng.normal(size=a.size)
    u, v = 0.6 * rng.normal(size=12), 0.5 * rng.normal(size=10)
    eta = 0.4 + 0.3 * x + u[a] + v[b]
    return pd.DataFrame(
        {
            "y": rng.poisson(np.exp(eta)).astype(float),
            "x": x,
            "a": [f"a{k}" for k in a],
            "b": [f"b{k}" for k in b],
            "of_a": np.array([0.3, -1.0, 0.5, 2.0] * 3)[a],
            "c": [f"a{k}c{r % 2}" for k, r in zip(a, b, strict=True)],
        }
    )


PRIORS = {"Intercept": bg.Normal(0, 5), "b": bg.Normal(0, 5), "sd": bg.HalfStudentT(3, 2.5)}


def model(formula: str = "y ~ x + of_a + (1|a) + (1|b)", f: pd.DataFrame | None = None):
    return bg.glmm(formula, frame() if f is None else f, "poisson", priors=PRIORS)


@pytest.mark.parametrize("formula", ["y ~ x + (x|a) + (1|b)", "y ~ x + (1|b) + (1|a/c)"])
def test_every_layout_holds_the_same_rows(formula):
    data = model(formula).problem.data
    table, rows = factors.layouts(data)
    n, place = data.obs.y.size, np.arange(data.obs.y.size)
    rng = np.random.default_rng(3)
    u = rng.normal(size=rows.order.size)
    expected = sum(
        data.obs.Z[k] * u[data.effect[k] + data.level[data.factor[k]]]
        for k in range(data.factor.size)
    )
    total = np.zeros(n)
    for f, own in enumerate(table):
        if f > 0:
            place = place[rows.source[f]]
        np.testing.assert_array_equal(rows.y[f], data.obs.y[place])
        # The level of each row in this layout, from its lanes.
        chunk = rows.chunk[own[factors.CHUNK] : own[factors.CHUNKS]]
        level = rows.level[own[factors.LEVEL] : own[factors.LEVEL_END]]
        lane = rows.lane[own[factors.LANE_FIRST] : own[factors.LANE_END]]
        of = np.empty(n, dtype=int)
        for c in range(chunk.shape[0] - 1):
            for first, count in level[chunk[c, 3] : chunk[c + 1, 3]]:
                of[first : first + count] = chunk[c, 2] + lane[chunk[c, 1] :][:count]
        inside = u[rows.order]
        for k in range(own[factors.COLUMN], own[factors.COLUMNS]):
            at = own[factors.EFFECT] + (k - own[factors.COLUMN]) * own[factors.LEVELS]
            total[place] += rows.Z[k] * inside[at + of]
    np.testing.assert_allclose(total, expected, atol=1e-12)


def test_directions_of_pairs_of_types_are_found():
    made = TYPES.model()
    data = made.problem.data
    table, rows = factors.layouts(data)
    along, loose = directions.find(data, table, rows)
    # Of four coefficients: the intercept and the type of one factor, of the other, and the rest.
    assert table[:, factors.DIRECTIONS].tolist() == [2, 2]
    assert loose.shape == (1, 4)
    T = along.T.reshape(-1, 4)
    assert np.linalg.matrix_rank(np.concatenate([T, loose])) == 4
    for f, own in enumerate(table):
        first, c, J = own[factors.SHIFT], own[factors.DIRECTIONS], own[factors.LEVELS]
        W = along.W[first : first + c * J].reshape(c, J)
        levels = rows.order[own[factors.EFFECT] : own[factors.EFFECT] + J] - own[factors.EFFECT]
        back = np.argsort(levels)
        X = T[own[factors.DIRECTION] // 4 :][:c] @ data.obs.X
        np.testing.assert_allclose(X, W[:, back[data.level[f]]], atol=1e-9)


def run(made, warmup: int, draws: int, seed: int = 5, **options):
    map, covariance = sampling.start(made, "gibbs")
    program = CrossedProgram(made, map, covariance, warmup)
    return chains.run(program, seed=seed, warmup=warmup, draws=draws, progress=False, **options)


def test_draws_do_not_depend_on_how_calls_are_cut():
    made = model()
    map, covariance = sampling.start(made, "gibbs")
    program = CrossedProgram(made, map, covariance, 0)
    shapes = (program.dim, program.effects, len(program.stats))
    outs = []
    for cuts in ([150], [1, 63, 2, 84]):
        state = program.start(np.array([9, 0], dtype=np.uint64), 0)
        out = [np.empty((150, k)) for k in shapes]
        first = 0
        for count in cuts:
            program.advance(state, count, *(o[first:] for o in out), first)
            first += count
        outs.append(out)
    for one, other in zip(*outs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_linear_predictor_that_is_kept_is_that_of_the_draw():
    made = model()
    data = made.problem.data
    map, covariance = sampling.start(made, "gibbs")
    program = CrossedProgram(made, map, covariance, 0)
    state = program.start(np.array([9, 0], dtype=np.uint64), 0)
    out = [np.empty((60, k)) for k in (program.dim, program.effects, len(program.stats))]
    program.advance(state, 60, *out, 0)
    theta, u = out[0][-1], out[1][-1]
    eta = data.obs.offset + theta[: program.p] @ data.obs.X
    for k in range(data.factor.size):
        eta = eta + data.obs.Z[k] * u[data.effect[k] + data.level[data.factor[k]]]
    np.testing.assert_allclose(state["eta"], eta, atol=1e-11)
    loglik = data.obs.y @ eta - np.exp(eta).sum()
    assert abs(state["value"][0] - loglik) < 1e-8


def first_draws(program: CrossedProgram, sweeps: int) -> np.ndarray:
    state = program.start(np.array([9, 0], dtype=np.uint64), 0)
    out = [np.empty((sweeps, k)) for k in (program.dim, program.effects, len(program.stats))]
    program.advance(state, sweeps, *out, 0)
    return np.concatenate([out[0], out[1], out[2][:, 3:4]], axis=1)


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_one_row_a_level_moves_the_chain_as_its_rows_do(family):
    f = frame().assign(weight=lambda f: 1 + f.y % 3)
    made = bg.glmm("y | weights(weight) ~ x + of_a + (1|a) + (1|b)", f, family)
    map, covariance = sampling.start(made, "gibbs")
    one, each = (CrossedProgram(made, map, covariance, 0) for _ in range(2))
    assert (one.plan.table[:, factors.POOLED] != factors.APART).all()
    each.plan.table[:, factors.POOLED] = factors.APART
    np.testing.assert_allclose(first_draws(one, 30), first_draws(each, 30), rtol=1e-7, atol=1e-7)


def test_coefficients_that_centring_hardly_moves_are_loose_too():
    f = frame().assign(row=lambda f: [f"r{k}" for k in range(len(f))])
    made = model("y ~ x + of_a + (1|a) + (1|row)", f)
    map, covariance = sampling.start(made, "gibbs")
    basis = CrossedProgram(made, map, covariance, 0).rest.basis
    # Each column is constant within a row; 12 levels of 10 rows tell the other two.
    np.testing.assert_array_equal(np.abs(basis), [[0.0, 1.0, 0.0]])


def test_a_factor_that_stays_in_a_tail_walks_and_says_so():
    made = model()
    map, covariance = sampling.start(made, "gibbs")
    program = CrossedProgram(made, map, covariance, 100)
    state = program.start(np.array([9, 0], dtype=np.uint64), 0)
    out = [np.empty((50, k)) for k in (program.dim, program.effects, len(program.stats))]
    program.advance(state, 50, *out, 0)
    # The one factor has not left its place for long; of the other nothing is accepted.
    state["proposal_tuning"][0, crossed.LONGEST] = 40.0
    of_other = state["proposal_block"][:, crossed.FACTOR] == 1
    state["proposal_tuning"][of_other, crossed.ACCEPTED] = 0.0
    program.adapt(state, 100)
    assert program.changes(state) == [
        "Sigma of a by random walk as well: the chain had stayed in a tail",
        "Sigma of b by random walk: few of the proposals of the fit's shape were accepted",
    ]
    program.advance(state, 50, *out, 100)
    of_one = state["proposal_block"][:, crossed.FACTOR] == 0
    walks = of_one & (state["proposal_block"][:, crossed.KIND] == crossed.WALK)
    assert state["proposal_tuning"][walks, crossed.PROPOSED] == [50.0]


@pytest.mark.parametrize("start", [0.001, 4.0])
def test_chains_find_back_from_far(start):
    made = model()
    init = {"sd(Intercept|a)": start, "sd(Intercept|b)": start}
    post = made.sample(
        draws=400, warmup=400, chains=2, seed=3, sampler="gibbs", init=init, progress=False
    )
    sds = post.values["sd"].mean(axis=(0, 1))
    assert ((sds > 0.3) & (sds < 1.2)).all()
    assert post.stats["stuck_run"].max() < 100


def test_a_factor_whose_sd_is_0_is_sampled():
    f = frame(4)
    f["none"] = [f"n{k % 7}" for k in range(len(f))]
    post = model("y ~ x + (1|a) + (1|none)", f).sample(
        draws=500, warmup=500, chains=2, seed=3, sampler="gibbs", progress=False
    )
    sd = post.values["sd"][..., 1]
    assert np.isfinite(sd).all() and (sd > 0.0).all() and np.median(sd) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    "formula", ["y ~ x + of_a + (1|a) + (1|b)", "y ~ x + (x|a) + (1|b)", "y ~ x + (1|a/c)"]
)
def test_agreement_with_nuts(formula):
    made, limit = model(formula), 4.0
    found = []
    for sampler, draws in (("gibbs", 8000), ("nuts", 2500)):
        post = made.sample(draws=draws, chains=4, seed=8, sampler=sampler, progress=False)
        rows = post.summary()
        found.append(rows)
    z = (found[0]["mean"] - found[1]["mean"]) / np.hypot(
        found[0]["mcse_mean"], found[1]["mcse_mean"]
    )
    assert np.abs(z).max() < limit
