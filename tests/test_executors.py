"""Chains as tasks of executors: the draws of threads, whatever runs them and whatever dies."""

import os
import re
import signal
import threading
import time
import warnings
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from test_chains import Walk, run, same
from test_extend import STRUCTURES, assert_same, model

from bayesglmm import chains
from bayesglmm.chains import tasks
from bayesglmm.errors import ConvergenceWarning, DataError


@dataclass(frozen=True)
class Deadly(Walk):
    """A walk whose process dies at an iteration of a chain, as often as there are lives."""

    folder: str = ""
    dies_at: int = 33
    lives: int = 1
    chain: int = 1
    by: int = 0  # a signal; without one the process leaves by itself

    def advance(self, state, n, theta_out, u_out, stats_out, iteration):
        super().advance(state, n, theta_out, u_out, stats_out, iteration)
        if state["chain"][0] == self.chain and iteration <= self.dies_at < iteration + n:
            taken = sum(1 for _ in Path(self.folder).iterdir())
            if taken < self.lives:
                (Path(self.folder) / str(taken)).touch()
                if self.by:
                    os.kill(os.getpid(), self.by)
                os._exit(7)


def processes(workers: int = 2) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


class Backwards(Executor):
    """Runs what waits in the reverse of its order, one after the other."""

    def __init__(self):
        self.waiting, self.lock, self.open = [], threading.Lock(), True
        threading.Thread(target=self.work, daemon=True).start()

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        with self.lock:
            self.waiting.append((future, function, args, kwargs))
        return future

    def work(self):
        while self.open:
            with self.lock:
                task = self.waiting.pop() if self.waiting else None
            if task and task[0].set_running_or_notify_cancel():
                task[0].set_result(task[1](*task[2], **task[3]))
            time.sleep(0.001)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("block_seconds", [0.0, 1.0])
def test_draws_of_a_thread_pool_are_those_of_threads(workers, block_seconds, monkeypatch):
    monkeypatch.setattr(tasks, "BLOCK_SECONDS", block_seconds)
    with ThreadPoolExecutor(workers) as executor:
        for thin in (1, 3):
            assert same(run(executor=executor, thin=thin), run(thin=thin))
        assert executor.submit(int, "1").result() == 1  # it is left open
    assert tasks._programs == {}


def test_the_order_of_finishing_does_not_matter(monkeypatch):
    monkeypatch.setattr(tasks, "BLOCK_SECONDS", 0.0)
    executor = Backwards()
    assert same(run(executor=executor, chains=6), run(chains=6))
    executor.open = False


def test_draws_of_processes_are_those_of_threads():
    with processes() as executor:
        first = run(executor=executor)
        assert same(first, run())
        assert same(chains.extend(Walk(), first, 9, executor=executor), run(draws=49))


def test_a_large_program_goes_to_each_process_once(monkeypatch):
    sent = []

    class Counting(ThreadPoolExecutor):
        def submit(self, function, order):
            sent.append(order.program is not None)
            return super().submit(elsewhere, order)

    kept = {}

    def elsewhere(order):
        """As in another process, which does not share the table of programs."""
        if order.program is not None:
            kept[order.token] = order.program
        if order.token not in kept:
            return tasks.Absent()
        return tasks.block(order)

    monkeypatch.setattr(tasks, "BLOCK_SECONDS", 0.0)
    with Counting(1) as executor:
        assert same(run(executor=executor), run())
    assert sum(sent) == 1 and len(sent) > 10


def test_a_process_that_dies_is_replaced_and_the_draws_are_the_same(tmp_path):
    program = Deadly(folder=str(tmp_path), lives=2)
    assert same(run(program, executor=processes), run())
    assert len(list(tmp_path.iterdir())) == 2


ENDS = {0: "with exit code 7", signal.SIGKILL: "by SIGKILL", signal.SIGTERM: "by SIGTERM"}


@pytest.mark.parametrize("by", ENDS)
def test_a_broken_pool_that_cannot_be_replaced_leaves_the_draws_so_far(by, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "BLOCK_SECONDS", 0.0)
    program = Deadly(folder=str(tmp_path), dies_at=50, by=by)
    with (
        processes(1) as executor,
        pytest.warns(ConvergenceWarning, match="worker process died") as heard,
    ):
        draws = run(program, executor=executor, chunk_seconds=0.0)
    text = str(heard[0].message)
    assert f"died, {ENDS[by]}" in text and "can be extended" in text, text
    assert 2 in [int(n) for n in re.findall(r"\d", re.search(r"were chains ([\d, ]+)", text)[1])]
    assert draws.interrupted
    length = draws.theta.shape[1]
    assert same(chains.extend(Walk(), draws, 60 - length, progress=False), run(draws=60))


class Ended:
    """A process that the system knows to have ended after some looks at it."""

    def __init__(self, code, looks=0):
        self.code, self.looks = code, looks

    @property
    def exitcode(self):
        self.looks -= 1
        return self.code if self.looks < 0 else None


def test_the_worker_that_died_is_not_one_that_the_pool_ended(monkeypatch):
    pool = tasks._Pool(ThreadPoolExecutor(1))
    pool.processes = {Ended(None), Ended(0), Ended(-15), Ended(-9, looks=3)}
    assert pool.ended() == "by SIGKILL, as where memory ends"
    pool.processes = {Ended(-200)}
    assert pool.ended() == "by signal 200"
    monkeypatch.setattr(tasks, "KNOWN_SECONDS", 0.0)
    pool.processes = {Ended(None)}
    assert "was killed" in pool.ended()


def test_a_pool_that_breaks_before_there_are_draws_is_an_error_in_words(tmp_path):
    # The first chain, which is alone until its code is compiled.
    program = Deadly(folder=str(tmp_path), dies_at=0, lives=99, chain=0)
    with processes() as executor, pytest.raises(RuntimeError, match="as a function that makes"):
        run(program, executor=executor)
    with pytest.raises(RuntimeError, match="BrokenProcessPool.*died, with exit code 7"):
        run(program, executor=processes)
    assert len(list(tmp_path.iterdir())) == 1 + 1 + tasks.MAX_LOSSES


def test_what_cannot_be_sent_fails_in_words():
    class Local(Walk):
        """Known to this function only, so that it cannot be pickled."""

    with processes(1) as executor, pytest.raises(RuntimeError, match="lost its task 4 times"):
        run(Local(), executor=executor)


def test_a_chain_that_fails_in_a_process_is_named():
    with processes(1) as executor, pytest.warns(ConvergenceWarning, match="chain 3 failed.*lost"):
        draws = run(Walk(failing=2, fails_at=44), executor=executor)
    np.testing.assert_array_equal(draws.theta, run().theta[[0, 1, 3]])


def test_an_executor_that_was_shut_down_is_an_error_in_words():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="the executor broke.* of memory perhaps"):
        run(executor=executor)


@pytest.mark.parametrize("pool", [processes, lambda: ThreadPoolExecutor(2)])
def test_interruption_returns_the_draws_so_far(pool, monkeypatch):
    class Impatient:
        """A display that presses Ctrl-C once all chains have some draws."""

        def show(self, statuses):
            if all(status.done > 40 for status in statuses):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tasks, "BLOCK_SECONDS", 0.05)
    before = signal.getsignal(signal.SIGINT)
    with pool() as executor, monkeypatch.context() as patched:
        patched.setitem(chains.run.__globals__, "display", shown_by(Impatient()))
        draws = run(Walk(pause=2e-4), draws=100_000, chunk_seconds=0.02, executor=executor)
    assert draws.interrupted and signal.getsignal(signal.SIGINT) is before
    length = draws.theta.shape[1]
    assert length > 0
    assert same(chains.extend(Walk(), draws, 10, progress=False), run(draws=length + 10))


def shown_by(display):
    """Return what takes the place of `progress.display`."""

    @contextmanager
    def shown(progress):
        yield display

    return shown


def test_progress_moves_by_blocks(capsys):
    with ThreadPoolExecutor(2) as executor:
        assert same(run(progress=True, executor=executor), run())
    shown = capsys.readouterr().err
    assert "chain 4" in shown and "70/70" in shown


@pytest.mark.parametrize("sampler", STRUCTURES)
def test_models_run_in_processes(sampler, tmp_path):
    options = {"draws": 20, "warmup": 30, "chains": 3, "seed": 4, "sampler": sampler}
    whole = model(sampler).sample(progress=False, **options | {"draws": 30})
    with processes() as executor:
        post = model(sampler).sample(executor=executor, **options)
        assert_same(post.extend(10, executor=executor), whole)
        path = tmp_path / "run.ckpt"
        kept = model(sampler).sample(executor=executor, checkpoint=path, **options)
        assert_same(kept, post)
    assert_same(kept.extend(10, executor=lambda: ThreadPoolExecutor(1)), whole)


def test_a_family_that_the_workers_do_not_know_is_an_error_in_words():
    program = sampling_program()
    program.family = ("mine", "log")
    with processes(1) as executor, pytest.raises(ValueError, match="unknown family 'mine'") as at:
        chains.run(program, seed=1, chains=1, draws=5, warmup=0, executor=executor)
    assert any("module that the workers import" in note for note in at.value.__notes__)


def sampling_program():
    """Return a Gibbs program without warm-up."""
    post = model("gibbs").sample(draws=2, warmup=0, chains=1, progress=False)
    return post.resumption.recipe.program(post.model)


def test_an_executor_has_to_be_one():
    with pytest.raises(DataError, match="executor has to be"):
        model("gibbs").sample(executor=4)


@contextmanager
def cluster():
    """A local cluster of two worker processes, and a client of it."""
    import distributed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the cluster's own start and end
        options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1"}
        with distributed.LocalCluster(dashboard_address=None, **options) as local:
            with distributed.Client(local) as client:
                yield client


def test_draws_of_a_dask_cluster_are_those_of_threads(tmp_path):
    with cluster() as client, client.get_executor(pure=False) as executor:
        first = run(executor=executor)
        assert same(first, run())
        assert same(chains.extend(Walk(), first, 9, executor=executor), run(draws=49))
        large = Walk()
        object.__setattr__(large, "data", np.zeros(2_000_000))  # sent without a warning
        assert same(run(large, executor=executor), run())
        # A worker that dies is replaced by the cluster, and its block done again elsewhere.
        assert same(run(Deadly(folder=str(tmp_path)), executor=executor), run())
        assert len(list(tmp_path.iterdir())) == 1
        options = {"draws": 20, "warmup": 30, "chains": 3, "seed": 4, "progress": False}
        post = model("gibbs").sample(executor=executor, **options)
        assert_same(post, model("gibbs").sample(**options))
