"""More draws: a posterior that is extended equals one longer run, bit for bit."""

import json
import subprocess
import sys

import numpy as np
import pytest
from interruption import interrupted_at
from test_sampling import frame

import bayesglmm as bg

STRUCTURES = {
    "gibbs": ("count ~ x + (x | g)", "poisson"),
    "nuts": ("real ~ x + w + (1 | g) + (1 | h)", "gaussian"),
    "hmc": ("yes ~ x + (1 | g)", "bernoulli"),
}
OPTIONS = {"warmup": 50, "chains": 3, "seed": 4, "progress": False}


def model(sampler: str) -> bg.Model:
    formula, family = STRUCTURES[sampler]
    return bg.glmm(formula, frame(), family)


def assert_same(one: bg.Posterior, other: bg.Posterior) -> None:
    """Draws, statistics, tables and verdict, and where the chains stand."""
    np.testing.assert_array_equal(one.theta, other.theta)
    np.testing.assert_array_equal(one.scalar_draws, other.scalar_draws)
    np.testing.assert_array_equal(one.effect_draws, other.effect_draws)
    assert one.stats.keys() == other.stats.keys()
    for name, values in one.stats.items():
        np.testing.assert_array_equal(values, other.stats[name])
    assert str(one.verdict) == str(other.verdict)
    assert str(one.table(u=True)) == str(other.table(u=True))
    for a, b in zip(one.resumption.standings, other.resumption.standings, strict=True):
        assert (a.number, a.iteration, a.state.keys()) == (b.number, b.iteration, b.state.keys())
        for name, values in a.state.items():
            np.testing.assert_array_equal(values, b.state[name])


@pytest.mark.parametrize("thin", [1, 3])
@pytest.mark.parametrize("sampler", STRUCTURES)
def test_an_extended_posterior_is_one_longer_run(sampler, thin):
    options = OPTIONS | {"sampler": sampler, "thin": thin}
    first = model(sampler).sample(draws=30, **options)
    before = first.theta.copy(), first.resumption.standings[0].state["random"].copy()
    more = first.extend(15, progress=False).extend(15, jobs=1, progress=False)
    assert_same(more, model(sampler).sample(draws=60, **options))
    # The first posterior is untouched: it extends once more to the same.
    assert first.draws == 30
    np.testing.assert_array_equal(first.theta, before[0])
    np.testing.assert_array_equal(first.resumption.standings[0].state["random"], before[1])
    assert_same(first.extend(30, progress=False), more)
    assert more.run.seconds["sampling"] > first.run.seconds["sampling"]


EXTENDING = (
    "import sys, bayesglmm as bg\nbg.load(sys.argv[1]).extend(20, progress=False).save(sys.argv[2])"
)


@pytest.mark.parametrize("sampler", STRUCTURES)
def test_a_saved_posterior_is_extended_in_another_process(sampler, tmp_path):
    options = OPTIONS | {"sampler": sampler}
    model(sampler).sample(draws=30, **options).save(tmp_path / "first.nc")
    paths = [str(tmp_path / "first.nc"), str(tmp_path / "more.nc")]
    subprocess.run([sys.executable, "-c", EXTENDING, *paths], check=True)
    assert_same(bg.load(paths[1]), model(sampler).sample(draws=50, **options))


@pytest.mark.parametrize(("place", "chains_there"), [(300, 1), (1_300, 1), (1_300, 3)])
def test_an_interrupted_posterior_is_extended(place, chains_there, tmp_path):
    # Stopped in warm-up and in sampling; the chains are then at different iterations.
    options = {"warmup": 1_000, "chains": 3, "seed": 4, "jobs": 2, "sampler": "gibbs"}
    with interrupted_at(place, chains_there=chains_there, longest=97):
        stopped = model("gibbs").sample(draws=200_000, progress=False, **options)
    assert stopped.run.interrupted and stopped.draws < 200_000
    assert stopped.draws >= 300 or chains_there < 3
    stopped.save(tmp_path / "stopped.nc")
    ahead = max(len(standing.theta) for standing in stopped.resumption.standings)
    more = bg.load(tmp_path / "stopped.nc").extend(ahead + 25, progress=False)
    whole = model("gibbs").sample(draws=stopped.draws + ahead + 25, progress=False, **options)
    assert_same(more, whole)
    # Fewer draws than a chain has already: they are there, and the rest is kept for later.
    fewer = stopped.extend(2, progress=False)
    np.testing.assert_array_equal(fewer.theta, whole.theta[:, : stopped.draws + 2])
    assert_same(fewer.extend(ahead + 23, progress=False), whole)
    assert not more.run.interrupted


def test_without_states_the_error_says_what_to_do(tmp_path):
    post = model("gibbs").sample(draws=10, **OPTIONS)
    post.save(tmp_path / "fit.nc", states=False)
    post.save(tmp_path / "whole.nc")
    loaded = bg.load(tmp_path / "fit.nc")
    assert (tmp_path / "fit.nc").stat().st_size < (tmp_path / "whole.nc").stat().st_size
    with pytest.raises(bg.DataError, match="states of its chains.*seed=4"):
        loaded.extend(5)
    with pytest.raises(bg.DataError, match="draws has to be a whole number"):
        post.extend(0)


def test_nothing_is_unpickled_from_a_saved_state(tmp_path):
    post = model("gibbs").sample(draws=10, **OPTIONS)
    post.save(tmp_path / "fit.nc")
    import h5py

    with h5py.File(tmp_path / "fit.nc") as file:
        own = file["bayesglmm"]
        spec = json.loads(own["spec"][()].tobytes())
        kinds = {own[name].dtype.kind for name in own}
    assert kinds <= set("iuf") | {"S"}
    assert spec["resumption"]["noun"] == "Resumption"
