"""Chains as tasks of an executor: of threads, of processes, of a cluster.

A task moves one chain by a block of iterations: where the chain stands goes in, where it has got to
and the draws on its way come out. Nothing of a chain stays in a worker, so a block that was lost
with its worker is done again, by whichever worker, with the same draws. The program goes to each
process once: a task names it, and a process that does not have it says so and is sent it.
"""

import queue
import secrets
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from multiprocessing.process import active_children
from typing import Any, NamedTuple

import numpy as np

from .. import caller
from ..errors import ConvergenceWarning
from .interruption import ignored_interrupt
from .program import Program
from .standing import Standing
from .threads import REFRESH_SECONDS
from .worker import Plan, Worker, empty_outputs

BLOCK_SECONDS = 1.0  # of a task: far above what it costs to send one, short enough for Ctrl-C
MAX_LOSSES = 3  # in a row, of a chain's tasks or of executors, before giving up
KNOWN_SECONDS = 2.0  # in which the system tells how a process ended
GRACE_SECONDS = 3.0  # what is running is waited for after Ctrl-C
MAX_PROGRAMS = 2  # kept in a process of workers: of this run, and of one beside it

_programs: dict[str, Program] = {}  # in this process, by their token


@dataclass(frozen=True)
class Order:
    """What a task is to do; `program` is None where the process should have it."""

    token: str
    program: Program | None
    chain: tuple[int, np.ndarray, Standing | None]  # number and stream
    plan: tuple[int, int, int, float, tuple[int, ...], int]  # a Plan without its program
    seconds: float


class Block(NamedTuple):
    """What a task has done."""

    standing: Standing | None
    seconds: dict[str, float]
    text: str
    error: Exception | None


class Absent(NamedTuple):
    """The process does not have the program."""


def block(order: Order) -> Block | Absent:
    """Move a chain by some iterations: the task that workers run."""
    if order.program is not None:
        _keep(order.token, order.program)
    program = _programs.get(order.token)
    if program is None:
        return Absent()
    plan = Plan(program, *order.plan)
    number, stream, standing = order.chain
    rows = empty_outputs(program, plan.draws - plan.had)
    worker = Worker(plan, number, stream, rows, standing)
    end = time.perf_counter() + order.seconds
    with ignored_interrupt():
        while worker.work() and time.perf_counter() < end:
            pass
    at = worker.standing(0, moving=False) if worker.error is None else None
    return Block(at, worker.seconds, worker.text, worker.error)


def _keep(token: str, program: Program) -> None:
    if token not in _programs:
        for old in list(_programs)[: len(_programs) + 1 - MAX_PROGRAMS]:
            _programs.pop(old, None)
        _programs[token] = program


def run_as_tasks(
    workers: list[Worker], executor: Any, stop: threading.Event, look: Callable[[], None]
) -> None:
    """Run chains to their end, or until `stop` is set; call `look` now and then.

    Parameters
    ----------
    workers : list of Worker
    executor : concurrent.futures.Executor, or a function that makes one
        One that is made here is shut down here, and made again when it breaks; one that was given
        is left open, and when it breaks the run ends there.
    stop : threading.Event
    look : callable
    """
    pool = _Pool(executor)
    token = secrets.token_hex(8)
    if workers:
        # Executors of threads find it here; nothing is sent to them.
        _programs[token] = workers[0].plan.program
    try:
        _Run(workers, pool, token, stop, look).go()
    finally:
        _programs.pop(token, None)
        pool.close()


class _Pool:
    """The executor, or one after the other of those a function makes."""

    def __init__(self, executor: Any) -> None:
        self.make = None if hasattr(executor, "submit") else executor
        self.executor = executor if self.make is None else self.make()
        self.losses = 0
        self.processes: set[Any] = set()

    def submit(self, order: Order) -> Any:
        """Hand a task over, and note which processes may be at it."""
        future = self.executor.submit(block, order)
        # A pool does not tell of its processes, nor how they ended; they are children of this one.
        self.processes.update(active_children())
        return future

    def ended(self) -> str:
        """How the worker that died did, in words."""
        end = time.monotonic() + KNOWN_SECONDS
        while True:
            codes = {process.exitcode for process in self.processes} - {None, 0}
            # A pool that breaks ends the other workers by SIGTERM.
            first = sorted(codes - {-signal.SIGTERM}) or sorted(codes)
            if codes - {-signal.SIGTERM} or not self.processes or time.monotonic() > end:
                return _how(first[0]) if first else "of memory perhaps, or was killed"
            time.sleep(REFRESH_SECONDS)

    def renew(self, error: BaseException, at_work: list[int]) -> None:
        """Take a new executor for one that broke, or say why there is none."""
        self.losses += 1
        if self.make is None or self.losses > MAX_LOSSES:
            raise _Lost(error, at_work, self.ended())
        self.close()
        self.processes.clear()
        self.executor = self.make()

    def close(self) -> None:
        if self.make is not None:
            self.executor.shutdown(wait=False, cancel_futures=True)


class _Lost(Exception):
    """There is no executor any more: why, which chains were at work, how a worker died."""


class _Run:
    """The chains of one run, and the tasks that are out for them."""

    def __init__(
        self,
        workers: list[Worker],
        pool: _Pool,
        token: str,
        stop: threading.Event,
        look: Callable[[], None],
    ) -> None:
        self.workers, self.pool, self.token = workers, pool, token
        self.stop, self.look = stop, look
        self.done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.out: dict[Any, Worker] = {}
        self.losses = {worker.number: 0 for worker in workers}
        self.held = [worker for worker in workers if worker.unfinished]

    def go(self) -> None:
        """Run all chains."""
        try:
            if self.held:
                # One task first: it compiles, and the others then find the code cached.
                self._submit(self.held.pop(0), compiles=True)
            while self.out and not self.stop.is_set():
                self._wait(REFRESH_SECONDS)
        except _Lost as lost:
            self.stop.set()
            _, chains, how = lost.args
            at_work = ", ".join(str(number + 1) for number in chains)
            words = (
                f"the executor broke: {_words(lost.args[0])}. A worker process died, {how} "
                f"(at work were chains {at_work or 'none'}); "
                "or a script that starts processes lacks `if __name__ == "
                "'__main__':`. Give executor= as a function that makes an executor, and a new one "
                "takes the place of one that breaks; the draws do not change"
            )
            without = [worker for worker in self.workers if worker.kept <= 0]
            if len(without) == len(self.workers):
                raise RuntimeError(words) from lost.args[0]
            for worker in without:
                worker.error = worker.error or RuntimeError("no draw of it had come back")
            warnings.warn(
                f"{words}. The draws so far are kept, and can be extended.",
                ConvergenceWarning,
                stacklevel=caller.level(),
            )
        finally:
            self.stop.set()
            self._end()

    def _submit(self, worker: Worker, *, compiles: bool = False, send: bool = False) -> None:
        plan, kept = worker.plan, max(worker.kept, 0)
        had = plan.had + kept
        order = Order(
            self.token,
            plan.program if send else None,
            (worker.number, worker.stream, worker.standing(kept, moving=False)),
            (
                plan.warmup,
                min(plan.draws, had + worker.max_chunk),
                plan.thin,
                plan.chunk_seconds,
                plan.boundaries,
                had,
            ),
            0.0 if compiles else BLOCK_SECONDS,
        )
        try:
            with warnings.catch_warnings():
                # Dask's, of the one time that a worker is sent the program.
                warnings.filterwarnings("ignore", message="Sending large graph")
                future = self.pool.submit(order)
        except BrokenExecutor as error:
            self._lose(worker, error)
        except RuntimeError as error:  # it has been shut down
            raise _Lost(error, [], self.pool.ended()) from error
        else:
            self.out[future] = worker
            future.add_done_callback(self.done.put)

    def _wait(self, seconds: float) -> None:
        """Take the results that are there, or wait for one a little."""
        try:
            self._finish(self.done.get(timeout=seconds))
        except queue.Empty:
            pass
        self.look()

    def _finish(self, future: Any) -> None:
        worker = self.out.pop(future, None)
        if worker is None:
            return  # of an executor that was given up
        try:
            result = future.result()
        except KeyboardInterrupt:
            self.stop.set()
            return
        except Exception as error:
            if not self.stop.is_set():
                self._lose(worker, error)
            return
        if isinstance(result, Absent):
            if not self.stop.is_set():
                self._submit(worker, send=True)
            return
        self.losses[worker.number] = 0
        worker.text, worker.error = result.text, result.error
        for phase, seconds in result.seconds.items():
            worker.seconds[phase] += seconds
        if result.standing is not None:
            worker.take(result.standing)
        if self.stop.is_set():
            return
        if worker.unfinished:
            self._submit(worker)
        while self.held:
            self._submit(self.held.pop())

    def _lose(self, worker: Worker, error: Exception) -> None:
        """Do a lost task again, up to a point."""
        if isinstance(error, BrokenExecutor):
            lost = [worker, *self.out.values()]
            self.out.clear()
            self.pool.renew(error, sorted(each.number for each in lost))
            for each in lost:
                self._submit(each)
            return
        self.losses[worker.number] += 1
        if self.losses[worker.number] <= MAX_LOSSES:
            self._submit(worker)
            return
        worker.error = RuntimeError(
            f"the executor lost its task {MAX_LOSSES + 1} times in a row: {_words(error)}"
        )
        while self.held:
            self._submit(self.held.pop())

    def _end(self) -> None:
        """Cancel what waits, and take what is running if it comes soon."""
        for future in self.out:
            future.cancel()
        end = time.monotonic() + GRACE_SECONDS
        while self.out and time.monotonic() < end:
            self._wait(REFRESH_SECONDS)


def _how(code: int) -> str:
    """How a process ended, by its exit code."""
    if code > 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # one that has no name here
        name = f"signal {-code}"
    return f"by {name}" + ", as where memory ends" * (name == "SIGKILL")


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
