"""The same seed, the same draws: bit for bit, wherever and however the chains run (R18).

Every sampler: Gibbs with one factor and with two, collapsed, classical, NUTS, HMC. What each row
changes must not change anything; what the last rows change must.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest
from test_sampling import frame

import bayesglmm as bg

SAMPLERS = {
    "gibbs": ("count ~ x + (x | g)", "poisson"),
    "gibbs crossed": ("count ~ x + (1 | g) + (1 | h)", "poisson"),
    "collapsed": ("real ~ x + (1 | g)", "gaussian"),
    "classical": ("count ~ x + (1 | g)", "poisson"),
    "nuts": ("yes ~ x + (1 | g)", "bernoulli"),
    "hmc": ("yes ~ x + (1 | g)", "bernoulli"),
}
OPTIONS: dict[str, Any] = {"draws": 24, "warmup": 36, "chains": 3, "seed": 11, "progress": False}


@cache
def model(name: str) -> bg.Model:
    formula, family = SAMPLERS[name]
    return bg.glmm(formula, frame(), family)


def sampled(name: str, **more: Any) -> bg.Posterior:
    return model(name).sample(sampler=name.partition(" ")[0], **{**OPTIONS, **more})


def draws(post: bg.Posterior) -> tuple[np.ndarray, np.ndarray]:
    return post.theta, np.asarray(post.effect_draws)


def digest(post: bg.Posterior) -> str:
    """Return a hash of all draws."""
    return hashlib.sha256(b"".join(each.tobytes() for each in draws(post))).hexdigest()


@cache
def reference(name: str) -> str:
    return digest(sampled(name, jobs=1))


def on_threads(name: str, folder: Any) -> bg.Posterior:
    with ThreadPoolExecutor(3) as executor:
        return sampled(name, executor=executor)


def shown(name: str, folder: Any) -> bg.Posterior:
    return sampled(name, progress=True)


def streamed(name: str, folder: Any) -> bg.Posterior:
    return sampled(name, keep="stream", stream=folder / "u.nc")


def extended(name: str, folder: Any) -> bg.Posterior:
    return sampled(name, draws=9).extend(15, progress=False)


def saved(name: str, folder: Any) -> bg.Posterior:
    sampled(name, draws=9).save(folder / "fit.nc")
    return bg.load(folder / "fit.nc").extend(15, progress=False)


def checkpointed(name: str, folder: Any) -> bg.Posterior:
    path = folder / "run.ckpt"
    sampled(name, checkpoint=path, checkpoint_seconds=0.0)
    return sampled(name, checkpoint=path)


def rebuilt(name: str, folder: Any) -> bg.Posterior:
    formula, family = SAMPLERS[name]
    again = bg.glmm(formula, frame(), family)
    return again.sample(sampler=name.partition(" ")[0], **OPTIONS)


WAYS: dict[str, Callable[[str, Any], bg.Posterior]] = {
    "2 jobs": lambda name, folder: sampled(name, jobs=2),
    "3 jobs": lambda name, folder: sampled(name, jobs=3),
    "8 jobs, threads inside a chain": lambda name, folder: sampled(name, jobs=8),
    "executor of threads": on_threads,
    "progress shown": shown,
    "effects streamed": streamed,
    "extended": extended,
    "saved, loaded, extended": saved,
    "checkpoint": checkpointed,
    "model built again": rebuilt,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_draws_do_not_depend_on(name, way, tmp_path):
    assert digest(WAYS[way](name, tmp_path)) == reference(name)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_chain_does_not_depend_on_how_many_there_are(name):
    few, many = sampled(name, chains=2), sampled(name, chains=8)
    for one, other in zip(draws(few), draws(many), strict=True):
        np.testing.assert_array_equal(one, other[:2])
    assert digest(sampled(name, chains=3)) == reference(name)


@pytest.mark.parametrize("name", SAMPLERS)
def test_another_seed_gives_other_draws_and_so_does_another_chain(name):
    other = sampled(name, seed=12)
    assert digest(other) != reference(name)
    theta, _ = draws(other)
    assert len({chain.tobytes() for chain in theta}) == len(theta)


def test_a_large_model_does_not_depend_on_threads_inside_a_chain():
    """Enough rows that a chain has threads of its own."""
    from bayesglmm.conditionals import crew

    rng = np.random.default_rng(1)
    n = crew.ROWS + 100
    data = {"x": rng.normal(size=n), "g": rng.integers(0, n // 8, n)}
    data["y"] = rng.poisson(np.exp(0.2 * data["x"]))
    large = bg.glmm("y ~ x + (1 | g)", data, "poisson")
    options = {"draws": 4, "warmup": 4, "chains": 1, "seed": 1, "progress": False}
    first, second = (large.sample(sampler="gibbs", jobs=jobs, **options) for jobs in (1, 2))
    assert digest(first) == digest(second)
