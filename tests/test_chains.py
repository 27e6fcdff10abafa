"""Chains: draws that depend on seed and program alone, interruption, failures, thinning."""

import pickle
import signal
import threading
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
from interruption import interrupted_at

from bayesglmm import chains, progress
from bayesglmm.diagnostics import rhat
from bayesglmm.errors import ConvergenceWarning


@dataclass(frozen=True)
class Walk:
    """An autoregression in numpy, with a scale that warm-up changes."""

    pause: float = 0.0
    failing: int = -1  # number of the chain that fails
    fails_at: int = 0
    dim: int = 2
    effects: int = 3
    stats: tuple[str, ...] = ("accept", "divergent", "stuck_run", "number")

    def start(self, random_state, chain):
        if chain == self.failing and self.fails_at == 0:
            raise ValueError("no finite start")
        return {
            "random": random_state.copy(),
            "x": np.zeros(5),
            "scale": np.ones(1),
            "chain": np.array([chain]),
        }

    def boundaries(self, warmup):
        return [place for place in (warmup // 3, warmup) if place]

    def adapt(self, state, iteration):
        state["scale"] += 1.0 / iteration

    def advance(self, state, n, theta_out, u_out, stats_out, iteration):
        assert len(theta_out) == len(u_out) == len(stats_out) == n
        if self.pause:
            time.sleep(n * self.pause)
        for i in range(n):
            number = iteration + i
            if self.failing == state["chain"][0] and number >= self.fails_at > 0:
                raise FloatingPointError("lost the way")
            key, counter = state["random"]
            noise = np.random.Generator(np.random.Philox(key=int(key), counter=int(counter)))
            state["random"][1] += np.uint64(1000)
            state["x"][:] = 0.3 * state["x"] + state["scale"] * noise.standard_normal(5)
            theta_out[i], u_out[i] = state["x"][:2], state["x"][2:]
            stats_out[i] = (0.5, number % 10 == 3, number % 7, number)

    def summary(self, stats):
        return f"{len(stats)} seen"


def run(program=None, **options):
    options = {"seed": 5, "draws": 40, "warmup": 30, "progress": False} | options
    return chains.run(program or Walk(), **options)


def same(a: chains.Draws, b: chains.Draws) -> bool:
    return (
        np.array_equal(a.theta, b.theta)
        and np.array_equal(a.u, b.u)
        and a.stats.keys() == b.stats.keys()
        and all(np.array_equal(a.stats[name], b.stats[name]) for name in a.stats)
    )


def test_shapes_and_record():
    draws = run()
    assert draws.theta.shape == (4, 40, 2) and draws.u.shape == (4, 40, 3)
    assert draws.stats["accept"].shape == (4, 40)
    np.testing.assert_array_equal(draws.stats["number"], np.tile(np.arange(30, 70), (4, 1)))
    assert (draws.seed, draws.warmup, draws.thin) == (5, 30, 1)
    assert not draws.interrupted and draws.lengths == (40,) * 4 and draws.failures == {}
    assert set(draws.seconds) == {"first_call", "warmup", "sampling"}
    assert min(draws.seconds.values()) > 0.0
    assert rhat.rhat(draws.theta).max() < 1.5  # four streams, not one
    assert len({draws.theta[chain, 0, 0] for chain in range(4)}) == 4


@pytest.mark.parametrize("jobs", [1, 2, 4, 9])
@pytest.mark.parametrize("chunk_seconds", [0.0, 0.001, 10.0])
def test_draws_do_not_depend_on_threads_or_chunks(jobs, chunk_seconds):
    assert same(run(jobs=jobs, chunk_seconds=chunk_seconds), run(jobs=1))


def test_a_chain_does_not_depend_on_the_number_of_chains():
    two, eight = run(chains=2), run(chains=8)
    np.testing.assert_array_equal(two.theta, eight.theta[:2])


def test_seeds():
    assert not same(run(seed=6), run())
    drawn = run(seed=None)
    assert same(run(seed=drawn.seed), drawn)


def test_no_warmup_means_no_adaptation():
    assert (run(warmup=0).states[0]["scale"] == 1.0).all()
    np.testing.assert_allclose(run().states[0]["scale"], 1.0 + 1.0 / 10 + 1.0 / 30)


@pytest.mark.parametrize("chunk_seconds", [0.0, 0.0005, 10.0])
@pytest.mark.parametrize("thin", [2, 7])
def test_thinning_keeps_every_kth_and_loses_no_event(thin, chunk_seconds):
    all_draws = run(draws=20 * thin)
    thinned = run(draws=20, thin=thin, chunk_seconds=chunk_seconds)
    np.testing.assert_array_equal(thinned.theta, all_draws.theta[:, thin - 1 :: thin])
    np.testing.assert_array_equal(thinned.u, all_draws.u[:, thin - 1 :: thin])
    number = all_draws.stats["number"].reshape(4, 20, thin)
    np.testing.assert_array_equal(thinned.stats["number"], number[:, :, -1])
    events = all_draws.stats["divergent"].reshape(4, 20, thin).max(axis=2)
    np.testing.assert_array_equal(thinned.stats["divergent"], events)


@pytest.mark.parametrize("thin", [1, 3])
def test_extension_equals_one_longer_run(thin):
    first = run(draws=15, thin=thin)
    frozen = pickle.dumps(first.states)
    more = chains.extend(Walk(), first, 25, progress=False)
    assert same(more, run(draws=40, thin=thin))
    assert pickle.dumps(first.states) == frozen
    assert more.lengths == (40,) * 4
    assert same(chains.extend(Walk(), more, 10, progress=False), run(draws=50, thin=thin))


@pytest.mark.parametrize("place", [1, 12, 30, 33, 41])
@pytest.mark.parametrize("thin", [1, 3])
def test_extension_of_an_interrupted_run_equals_one_that_was_not(place, thin):
    with interrupted_at(place):
        stopped = run(draws=25, thin=thin, jobs=4, chunk_seconds=0.0)
    length = stopped.theta.shape[1]
    assert stopped.interrupted and length < 25 and len(stopped.standings) == 4
    for draws in (1, 25):
        more = chains.extend(Walk(), stopped, draws, progress=False)
        assert same(more, run(draws=length + draws, thin=thin))
    again = chains.extend(Walk(), chains.extend(Walk(), stopped, 1, progress=False), 24)
    assert same(again, run(draws=length + 25, thin=thin))


def test_a_chain_that_failed_before_the_others_moved_leaves_them_to_be_extended():
    with pytest.warns(ConvergenceWarning):
        first = run(Walk(failing=2))
    with pytest.warns(ConvergenceWarning, match="chain 1 failed"):
        more = chains.extend(Walk(failing=0, fails_at=75), first, 20, progress=False)
    np.testing.assert_array_equal(more.theta, run(draws=60).theta[[1, 3]])
    assert sorted(more.failures) == [0, 2]
    with pytest.raises(ValueError, match="states of the chains are not known"):
        chains.extend(Walk(), replace(first, standings=()), 5)


@pytest.mark.parametrize("jobs", [1, 4])
def test_interruption_returns_the_draws_so_far(jobs):
    before = signal.getsignal(signal.SIGINT)
    with interrupted_at(100, chains_there=4):
        draws = run(draws=100_000, jobs=jobs, chunk_seconds=0.0)
    assert draws.interrupted and signal.getsignal(signal.SIGINT) is before
    length = draws.theta.shape[1]
    assert 70 <= length == min(draws.lengths) and max(draws.lengths) < 100_000
    if jobs == 1:  # chains take turns: all are equally far
        assert max(draws.lengths) <= length + 1
    assert draws.u.shape[1] == draws.stats["accept"].shape[1] == length
    more = chains.extend(Walk(), draws, 500, progress=False)
    whole = run(draws=length + 500)
    np.testing.assert_array_equal(draws.theta, whole.theta[:, :length])
    assert same(more, whole) and not more.interrupted


def test_a_run_outside_the_main_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    thread.join()
    assert same(results[0], run())


def test_a_failed_chain_is_named_and_the_others_kept():
    for program, words in [
        (Walk(failing=2), "chain 3 failed.*no finite start"),
        (Walk(failing=2, fails_at=55), "chain 3 failed.*lost the way"),
        (Walk(failing=0), "chain 1 failed.*no finite start"),
    ]:
        with pytest.warns(ConvergenceWarning, match=words) as heard:
            draws = run(program)
        assert heard[0].filename == __file__
        good = [chain for chain in range(4) if chain != program.failing]
        np.testing.assert_array_equal(draws.theta, run().theta[good])
        assert list(draws.failures) == [program.failing]
        with pytest.warns(ConvergenceWarning, match=words):
            whole = run(program, draws=65)
        more = chains.extend(program, draws, 25, progress=False)
        assert same(more, whole) and list(more.failures) == [program.failing]


def test_when_all_chains_fail_the_error_is_raised():
    class Broken(Walk):
        def advance(self, *arguments):
            raise FloatingPointError("lost the way")

    with pytest.raises(FloatingPointError, match="lost the way") as caught:
        run(Broken())
    assert "All 4 chains failed" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("name", "value"), [("chains", 0), ("draws", 0), ("warmup", -1), ("thin", 0), ("jobs", 0)]
)
def test_senseless_numbers_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        run(**{name: value})


def test_progress_in_a_terminal_does_not_change_draws(capsys):
    assert same(run(progress=True), run())
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "chain 4" in shown.err and "70/70" in shown.err and "40 seen" in shown.err


def test_progress_is_silent_elsewhere(capsys):
    run(progress=None)
    assert capsys.readouterr() == ("", "")


def test_progress_lines():
    early = progress.Status(25, 100, "warmup", "acceptance 0.80, 0 divergent")
    text = progress.line("chain 1", early, 2.0)
    assert "25/100  warmup  6 s left  acceptance 0.80, 0 divergent" in text
    assert "5 s" in progress.line("chain 1", early._replace(done=100), 5.0)
    assert "starting" in progress.line("chain 1", early._replace(done=0), 5.0)
    many = [early._replace(done=done) for done in range(20)]
    ((name, status),) = progress.grouped(many)
    assert (name, status.done, status.total) == ("20 chains", 190, 2000)


def test_progress_in_a_notebook(monkeypatch):
    class Handle:
        texts: list[str] = []

        def update(self, content):
            self.texts.append(repr(content))

    class ZMQInteractiveShell:
        pass

    class Module:
        @staticmethod
        def get_ipython():
            return ZMQInteractiveShell()

        @staticmethod
        def display(content, display_id):
            return Handle()

    monkeypatch.setitem(__import__("sys").modules, "IPython", Module)
    monkeypatch.setitem(__import__("sys").modules, "IPython.display", Module)
    assert same(run(progress=None), run(progress=False))
    assert "chain 4" in Handle.texts[-1] and "70/70" in Handle.texts[-1]
