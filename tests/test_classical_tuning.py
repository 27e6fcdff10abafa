"""Loops of tuning by SAS's rules, their history, and options by SAS's names."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_extend import assert_same

import bayesglmm as bg
from bayesglmm import sas_options
from bayesglmm.adaptation import scale_tuning
from bayesglmm.blocks import asked
from bayesglmm.chains import run
from bayesglmm.classical_program import ClassicalProgram
from bayesglmm.errors import DataError
from bayesglmm.sampling import start

WALKS = {"beta": "random_walk", "u": "random_walk", "Sigma": "random_walk"}
OPTIONS = {"blocks": WALKS, "chains": 2, "seed": 4, "nbi": 30, "ntu": 40, "progress": False}


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(8), 5)
    x = rng.normal(size=g.size)
    u = 0.6 * rng.normal(size=8)
    y = rng.poisson(np.exp(0.5 + 0.4 * x + u[g]))
    return pd.DataFrame({"y": y, "x": x, "g": g.astype(str), "h": [f"h{k % 3}" for k in range(40)]})


def model(effects: str = "(x|g)") -> bg.Model:
    return bg.glmm(f"y ~ x + {effects}", frame(), "poisson")


@pytest.mark.parametrize(("size", "target"), [(1, 0.45), (2, 0.35), (4, 0.35), (5, 0.234)])
def test_scales_go_where_the_documented_rule_puts_them(size, target):
    assert scale_tuning.target(size) == target
    assert scale_tuning.first_scale(size) == pytest.approx(2.38 / np.sqrt(size))
    inside = target + np.array([-0.07, 0.0, 0.07])
    assert scale_tuning.settled(inside, size).all()
    assert not scale_tuning.settled(target + np.array([-0.08, 0.08]), size).any()
    for rate in (0.02, 0.6):
        factor = stats.norm.ppf(target / 2) / stats.norm.ppf(rate / 2)
        assert scale_tuning.next_scale(1.3, rate, size, 500) == pytest.approx(1.3 * factor)
    extremes = scale_tuning.next_scale(np.ones(2), np.array([0.0, 1.0]), size, 500)
    assert 0.0 < extremes[0] < 1.0 < extremes[1] <= scale_tuning.LARGEST_CHANGE


def test_covariances_are_weighed_three_to_one_and_a_chain_that_stood_still_says_nothing():
    old, seen = np.diag([1.0, 4.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    new = scale_tuning.next_triangle(np.linalg.cholesky(old), seen)
    np.testing.assert_allclose(new @ new.T, 0.75 * seen + 0.25 * old)
    still = scale_tuning.next_triangle(np.linalg.cholesky(old), np.diag([0.0, 1.0]))
    np.testing.assert_allclose(still @ still.T, old)


@pytest.mark.parametrize("propcov", ["fit", "quanew", "ind"])
def test_walks_are_tuned_into_their_tolerance(propcov):
    post = model().sample(**{**OPTIONS, "ntu": 400}, draws=2000, propcov=propcov)
    history = post.tuning_history()
    sampling = history[history.phase == "Sampling"]
    assert sampling.iterations.eq(2000).all()
    for _, row in sampling.iterrows():
        size = {"beta": 2, "u[g]": 2, "Sigma[g]": 3}[row.block]
        assert abs(row.acceptance - scale_tuning.target(size)) < 0.15
    tuning = history[history.phase == "Tuning"]
    assert tuning.groupby("chain").loop.max().between(scale_tuning.MIN_LOOPS, 24).all()
    # A loop within the tolerance leaves the scale as it is, another does not.
    one = tuning[(tuning.chain == 1) & (tuning.block == "beta")]
    scales = [*one.scale, sampling[sampling.block == "beta"].scale.iloc[0]]
    kept = scale_tuning.settled(one.acceptance.to_numpy(), 2)
    assert (np.equal(scales[1:], scales[:-1]) == kept).all()


def test_moments_of_a_loop_are_those_of_its_draws():
    made = model("(x|g) + (1|h)")
    map, covariance = start(made, "nuts")
    program = ClassicalProgram(
        made, map, covariance, 60, chosen=asked(WALKS), nbi=0, ntu=60, maxtune=1, propcov="ind"
    )
    state = program.start(np.array([7, 0], dtype=np.uint64), 0)
    theta, u = np.empty((60, program.dim)), np.empty((60, program.effects))
    program.advance(state, 60, theta, u, np.empty((60, 2)), 0)
    tuning, J = program.tuning_of(state), 8
    members = [b for b, block in enumerate(program.blocks) if block.target == "Sigma"]
    own = np.cov(theta[:, 2:5].T, bias=True)
    np.testing.assert_allclose(program._covariance(tuning, members[0], 60.0), own, atol=1e-12)
    effects = u[:, : 2 * J].reshape(60, 2, J)
    found = program._covariances(tuning, 1, 60.0)
    for g in range(J):
        np.testing.assert_allclose(found[g], np.cov(effects[:, :, g].T, bias=True), atol=1e-12)


def test_proposals_stand_still_after_tuning():
    first = model().sample(**OPTIONS, draws=20)
    more = first.extend(300, progress=False)
    for a, b in zip(first.resumption.standings, more.resumption.standings, strict=True):
        for name in ("scale", "triangle"):
            np.testing.assert_array_equal(a.state[f"tuning_{name}"], b.state[f"tuning_{name}"])
        np.testing.assert_array_equal(a.state["tuning_level"][0], b.state["tuning_level"][0])
    assert more.tuning_history().iterations.max() == 320


@pytest.mark.parametrize("thin", [1, 3])
def test_an_extended_posterior_is_one_longer_run(thin, tmp_path):
    options = {**OPTIONS, "thin": thin, "propcov": "ind"}
    whole = model("(x|g) + (1|h)").sample(draws=60, **options)
    first = model("(x|g) + (1|h)").sample(draws=40, **options)
    first.save(tmp_path / "a.nc")
    loaded = bg.load(tmp_path / "a.nc")
    pd.testing.assert_frame_equal(loaded.tuning_history(), first.tuning_history())
    pd.testing.assert_frame_equal(loaded.sampler_blocks(), first.sampler_blocks())
    more = loaded.extend(20, progress=False)
    assert_same(more, whole)
    pd.testing.assert_frame_equal(more.tuning_history(), whole.tuning_history())
    # Without the states there is no going on, but the history is still there.
    first.save(tmp_path / "b.nc", states=False)
    pd.testing.assert_frame_equal(
        bg.load(tmp_path / "b.nc").sampler_blocks(), first.sampler_blocks()
    )


def test_draws_do_not_depend_on_chunks_nor_on_who_runs_them():
    made = model()
    map, covariance = start(made, "nuts")
    program = ClassicalProgram(
        made, map, covariance, 24 * 20 + 30, chosen=asked(WALKS), nbi=30, ntu=20
    )
    options = {"seed": 2, "chains": 2, "draws": 200, "warmup": program.warmup, "progress": False}
    known = run(program, **options)
    short = run(pickle.loads(pickle.dumps(program)), chunk_seconds=1e-6, **options)
    np.testing.assert_array_equal(known.theta, short.theta)
    np.testing.assert_array_equal(known.u, short.u)
    with ThreadPoolExecutor(2) as pool:
        np.testing.assert_array_equal(run(program, executor=pool, **options).u, known.u)


def test_a_checkpoint_is_of_its_blocks(tmp_path):
    options = {**OPTIONS, "checkpoint": tmp_path / "c"}
    first = model().sample(draws=20, **options)
    assert_same(model().sample(draws=20, **options), first)
    with pytest.raises(DataError, match="options was"):
        model().sample(draws=20, **{**options, "blocks": {"beta": "iwls"}})


def test_effects_that_are_summed_up_are_those_of_the_same_chains():
    whole = model().sample(draws=60, **OPTIONS)
    kept = model().sample(draws=60, keep="summary", **OPTIONS)
    np.testing.assert_array_equal(kept.theta, whole.theta)
    pd.testing.assert_frame_equal(kept.tuning_history(), whole.tuning_history())


def test_what_is_printed_names_the_blocks_and_their_tuning():
    text = str(model().sample(draws=20, **OPTIONS))
    assert "classical: blocks were chosen" in text
    assert "20 draws after 30 of burn-in" in text
    assert "blocks (acceptance): beta random_walk (0." in text
    assert "loops of 40 iterations in each chain" in text
    plain = model().sample(sampler="classical", draws=20, warmup=10, chains=1, progress=False)
    assert plain.sampler_blocks().method.tolist() == [
        "iwls",
        "iwls",
        "centred",
        "near_conjugate",
        "noncentred",
    ]
    assert plain.run.warmup == 10  # nothing to tune
    assert set(plain.tuning_history().phase) == {"Burn-in", "Sampling"}


def test_other_samplers_have_no_blocks():
    post = model().sample(sampler="gibbs", draws=10, warmup=10, chains=1, progress=False)
    with pytest.raises(DataError, match="of sampler='classical'; this is 'gibbs'"):
        post.tuning_history()


def test_counts_by_names_of_sas():
    assert sas_options.counts(None, None, 1, None, None) == (1000, 1000)
    assert sas_options.counts(None, None, 5, 200, 1000) == (200, 200)
    assert sas_options.counts(200, 200, 5, 200, 1000) == (200, 200)
    post = model().sample(sampler="gibbs", nbi=30, nmc=60, thin=3, chains=1, progress=False)
    assert (post.run.warmup, post.draws) == (30, 20)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 100, "nmc": 300, "thin": 2}, "draws=100 and nmc=300 with thin=2 contradict"),
        ({"warmup": 100, "nbi": 300}, "warmup=100 and nbi=300 contradict"),
        ({"nmc": 2, "thin": 3}, "keep no draw"),
        ({"nmc": 0}, "nmc has to be a whole number of 1 or more"),
        ({"nbi": -1}, "nbi has to be a whole number of 0 or more"),
        ({"ntu": 100}, "ntu is of random walks, which sampler='classical' has, and 'gibbs'"),
        ({"blocks": {}, "ntu": 0.5}, "ntu has to be a whole number"),
        ({"blocks": {}, "propcov": "congra"}, "propcov has to be one of fit, quanew, ind"),
        ({"blocks": {}, "sampler": "nuts"}, "sampler='nuts' has none"),
    ],
)
def test_options_that_contradict_each_other_are_refused_in_words(options, words):
    with pytest.raises(DataError) as error:
        model("(1|g)").sample(chains=1, progress=False, **options)
    assert words in str(error.value)
