"""What holds for chains of every sampler: reproducible, extended, sent, summed up, kept safe."""

import pickle
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from interruption import interrupted_at
from test_extend import assert_same
from test_sampling import frame

import bayesglmm as bg
from bayesglmm.chains import tasks

# sampler, formula, family
EVERY = {
    "gibbs": ("gibbs", "count ~ x + (x | g)", "poisson"),
    "crossed gibbs": ("gibbs", "count ~ x + w + (1 | g) + (1 | h)", "poisson"),
    "collapsed": ("collapsed", "real ~ x + w + (1 | g) + (1 | h)", "gaussian"),
    "classical": ("classical", "yes ~ x + (1 | g)", "bernoulli"),
    "nuts": ("nuts", "real ~ x + (x || g)", "gaussian"),
    "hmc": ("hmc", "yes ~ x + (1 | g)", "bernoulli"),
}
OPTIONS = {"draws": 24, "warmup": 40, "chains": 3, "seed": 4, "progress": False}


class Elsewhere(ThreadPoolExecutor):
    """As a pool of processes: what goes in and what comes out is sent as bytes."""

    def submit(self, function, order) -> Future:
        return super().submit(lambda: sent(function(sent(order))))


def sent(value):
    return pickle.loads(pickle.dumps(value))


@pytest.fixture(scope="module", params=EVERY)
def case(request):
    """A model, the options of its sampler, and a run."""
    sampler, formula, family = EVERY[request.param]
    model = bg.glmm(formula, frame(), family)
    options = OPTIONS | {"sampler": sampler}
    return model, options, model.sample(**options, jobs=1)


def test_draws_depend_on_nothing_but_the_seed(case):
    model, options, whole = case
    assert_same(model.sample(**options, jobs=3), whole)
    alone = model.sample(**options | {"chains": 1})
    np.testing.assert_array_equal(alone.theta[0], whole.theta[0])
    np.testing.assert_array_equal(alone.effect_draws[0], whole.effect_draws[0])


def test_a_run_is_extended(case, tmp_path):
    model, options, whole = case
    first = model.sample(**options | {"draws": 9})
    assert_same(first.extend(15, progress=False), whole)
    first.save(tmp_path / "first.nc")
    assert_same(bg.load(tmp_path / "first.nc").extend(15, progress=False), whole)


def test_chains_are_sent_to_workers_and_back(case, monkeypatch):
    model, options, whole = case
    monkeypatch.setattr(tasks, "BLOCK_SECONDS", 0.0)
    with Elsewhere(2) as executor:
        assert_same(model.sample(executor=executor, **options), whole)


def test_effects_are_summed_up(case):
    model, options, whole = case
    post = model.sample(keep="summary", **options)
    np.testing.assert_array_equal(post.theta, whole.theta)
    np.testing.assert_array_equal(post.scalar_draws, whole.scalar_draws)
    draws = whole.effect_draws.reshape(-1, len(whole.effect_names))
    np.testing.assert_allclose(post.effects.mean, draws.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(post.effects.sd, draws.std(axis=0, ddof=1), rtol=1e-9)


def test_a_run_that_was_stopped_goes_on_from_its_checkpoint_and_stream(case, tmp_path):
    model, options, whole = case
    kept = {"checkpoint": tmp_path / "run.ckpt", "keep": "stream", "stream": tmp_path / "u.nc"}
    with interrupted_at(OPTIONS["warmup"] + 6, longest=7):
        first = model.sample(**options, **kept, jobs=1)
    assert first.run.interrupted and first.draws < whole.draws
    np.testing.assert_array_equal(first.theta, whole.theta[:, : first.draws])
    np.testing.assert_array_equal(first.effect_draws, whole.effect_draws[:, : first.draws])
    assert_same(model.sample(**options, **kept), whole)
