"""Threads inside a chain: the same draws to the last bit, however many and whoever does what."""

import threading

import numpy as np
import pytest
from kernels import with_compilation_off
from test_extend import assert_same

import bayesglmm as bg
from bayesglmm import _atomic
from bayesglmm._jit import ENABLED, entry, types
from bayesglmm.conditionals import crew
from bayesglmm.programs import GibbsProgram

OPTIONS = {"draws": 15, "warmup": 25, "seed": 3, "sampler": "gibbs", "progress": False}


def frame(groups: int) -> dict[str, np.ndarray]:
    """Binary rows of groups of 1 to 5; one group is large."""
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(groups), rng.integers(1, 6, groups))
    g = np.concatenate([g, np.zeros(85, dtype=g.dtype)])
    x = rng.normal(size=g.size)
    eta = 0.4 * x + rng.normal(size=groups)[g] + 0.5 * rng.normal(size=groups)[g] * x
    return {"y": (rng.uniform(size=g.size) < 1 / (1 + np.exp(-eta))).astype(float), "x": x, "g": g}


@pytest.fixture(scope="module", params=["y ~ x + (1 | g)", "y ~ x + (x | g)"])
def model(request):
    return bg.glmm(request.param, frame(1100), "bernoulli")


@pytest.fixture(autouse=True)
def small_data_too(monkeypatch):
    monkeypatch.setattr(crew, "ROWS", 1)


@pytest.mark.parametrize("chains", [1, 2])
def test_draws_do_not_depend_on_the_threads_of_a_chain(model, chains):
    one = model.sample(chains=chains, jobs=1, **OPTIONS)
    for threads in (2, 3):
        assert_same(model.sample(chains=chains, jobs=threads * chains, **OPTIONS), one)
    half = model.sample(chains=chains, jobs=3 * chains, **OPTIONS | {"draws": 5})
    assert_same(half.extend(10, jobs=2 * chains, progress=False), one)


def test_large_data_and_spare_threads_bring_helpers(monkeypatch):
    asked = []

    def at_work(threads, *rest):
        asked.append(threads)
        return kept(threads, *rest)

    kept = crew.at_work
    monkeypatch.setattr(crew, "at_work", at_work)
    small = bg.glmm("y ~ x + (1 | g)", frame(40), "bernoulli")
    options = OPTIONS | {"draws": 2, "warmup": 2}
    for rows, chains, jobs, threads in (
        (1, 1, 3, 3),
        (1, 2, 5, 2),
        (1, 3, 2, 1),
        (10_000, 1, 3, 1),
    ):
        monkeypatch.setattr(crew, "ROWS", rows)
        asked.clear()
        small.sample(chains=chains, jobs=jobs, **options)
        assert set(asked) == {threads if ENABLED else 1}


def test_a_board_without_helpers_gives_the_same(model):
    """What the thread that moves the chain does alone when all others come too late."""
    post = model.sample(chains=1, jobs=1, **OPTIONS)
    program = post.resumption.recipe.program(post.model)
    out = {}
    for name in ("alone", "board"):
        state = {k: v.copy() for k, v in post.resumption.standings[0].state.items()}
        chunks = program.data.obs.lanes.chunk.shape[0] - 1
        team = crew.alone() if name == "alone" else crew.gather(chunks, program.q)
        u = np.empty((3, program.effects))
        moved(program, state, team, u)
        out[name] = state, u
    for name, values in out["alone"][0].items():
        np.testing.assert_array_equal(values, out["board"][0][name])
    np.testing.assert_array_equal(out["alone"][1], out["board"][1])


def moved(program: GibbsProgram, state, team, u) -> None:
    from bayesglmm.conditionals import transport

    transport.advance(
        program.rows,
        program.data,
        program.guess,
        program._proposal(state),
        program.centre,
        transport.State(**{k: state[k] for k in transport.State._fields}),
        team,
        program.every,
        np.empty((len(u), program.dim)),
        u,
        np.empty((len(u), 4)),
    )


def test_no_helper_stays_behind(model):
    post = model.sample(chains=1, jobs=1, **OPTIONS)
    program = post.resumption.recipe.program(post.model)
    state = {k: v.copy() for k, v in post.resumption.standings[0].state.items()}
    program.threads = 3
    u = np.empty((4, program.effects))
    theta, stats = np.empty((4, program.dim)), np.empty((4, 4))
    program.advance(state, 4, theta, u, stats, OPTIONS["warmup"])
    expected = post.extend(4, jobs=1, progress=False)
    np.testing.assert_array_equal(theta, expected.theta[0, -4:])
    assert not [thread for thread in threading.enumerate() if thread.name == "helper"]


if ENABLED:

    @entry(types.void(types.int64[::1], types.int64))
    def count(board, times):
        """Count to `times` in two ways that must not lose a step to another thread."""
        for _ in range(times):
            _atomic.increase(board, 0, 1)
            while True:
                now = _atomic.load(board, 8)
                if _atomic.replace(board, 8, now, now + 2):
                    break
                _atomic.rest()
        _atomic.store(board, 16, 1)


@pytest.mark.skipif(not ENABLED, reason="threads take turns with compilation off")
def test_threads_lose_no_step():
    board = np.zeros(32, dtype=np.int64)
    count(board, 1)
    threads = [threading.Thread(target=count, args=(board, 50_000)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert board[[0, 8, 16]].tolist() == [150_001, 300_002, 1]


TWIN = """
import json, numpy as np
from bayesglmm import _atomic
board = np.array([5])
found = [_atomic.increase(board, 0, 2), _atomic.load(board, 0)]
found += [_atomic.replace(board, 0, 5, 9), _atomic.replace(board, 0, 7, 9)]
_atomic.store(board, 0, int(board[0]) + 1)
_atomic.rest()
print(json.dumps([*found, int(board[0])]))
"""


def test_plain_python_does_the_same():
    assert with_compilation_off(TWIN) == [5, 7, False, True, 10]
