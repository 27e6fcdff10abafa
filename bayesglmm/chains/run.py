"""Running chains: threads take them in turn, a chunk at a time.

So an interruption finds all chains about equally far, even where there are fewer threads.
"""

import os
import queue
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from ..errors import ConvergenceWarning
from ..progress import display
from .draws import Draws
from .program import Program, State
from .worker import Plan, Worker, empty_outputs

CHUNK_SECONDS = 0.15  # compiled code cannot be interrupted: this is how long Ctrl-C may take
REFRESH_SECONDS = 0.1  # between two looks at the chains


def run(
    program: Program,
    *,
    seed: int | None = None,
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 1000,
    thin: int = 1,
    jobs: int | None = None,
    progress: bool | None = None,
    chunk_seconds: float = CHUNK_SECONDS,
) -> Draws:
    """Run chains from their start.

    Parameters
    ----------
    program : Program
    seed : int, optional
        Chain k has the same draws for the same seed, whatever the other arguments; None takes a
        seed from the operating system (it is in the result).
    chains, draws, warmup : int
        Number of chains, and of draws to keep and iterations of warm-up in each.
    thin : int
        Keep every thin-th iteration.
    jobs : int, optional
        Threads; the processors available by default.
    progress : bool, optional
        See `progress.display`.
    chunk_seconds : float
        About how long compiled code runs between two looks at the stop flag.

    Returns
    -------
    Draws

    Raises
    ------
    KeyboardInterrupt
        If interrupted before sampling began. Later, the draws so far are returned.
    Exception
        The first chain's error, if all chains failed.
    """
    from .._random import keys

    least = {"chains": 1, "draws": 1, "warmup": 0, "thin": 1}
    for name, value in (("chains", chains), ("draws", draws), ("warmup", warmup), ("thin", thin)):
        if value < least[name]:
            raise ValueError(f"{name} must be at least {least[name]}, not {value}")
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    plan = Plan(program, warmup, draws, thin, chunk_seconds, tuple(program.boundaries(warmup)))

    def begin(number: int) -> Callable[[], State]:
        return lambda: program.start(streams[number], number)

    streams = keys(seed, chains)
    return _collect([begin(number) for number in range(chains)], plan, seed, jobs, progress)


def extend(
    program: Program,
    previous: Draws,
    draws: int,
    *,
    jobs: int | None = None,
    progress: bool | None = None,
    chunk_seconds: float = CHUNK_SECONDS,
) -> Draws:
    """Continue a run: the result equals, bit for bit, one longer run.

    Parameters
    ----------
    program : Program
        The program of the previous run.
    previous : Draws
        A run that was not interrupted, and in which no chain failed.
    draws : int
        How many more draws of each chain.
    jobs, progress, chunk_seconds
        See `run`.

    Raises
    ------
    ValueError
        If the previous run was interrupted, so that its chains stopped at different iterations,
        or if a chain failed.
    """
    if previous.interrupted or previous.failures:
        fault = "an interrupted run" if previous.interrupted else "a run with failed chains"
        raise ValueError(f"{fault} cannot be extended: sample again with the same seed")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    done = previous.theta.shape[1] * previous.thin
    plan = Plan(
        program, previous.warmup, draws, previous.thin, chunk_seconds, (), previous.warmup + done
    )

    def begin(state: State) -> Callable[[], State]:
        return lambda: {name: array.copy() for name, array in state.items()}

    starts = [begin(state) for state in previous.states]
    more = _collect(starts, plan, previous.seed, jobs, progress)
    kept = [number for number in range(len(starts)) if number not in more.failures]
    return replace(
        more,
        theta=np.concatenate([previous.theta[kept], more.theta], axis=1),
        u=np.concatenate([previous.u[kept], more.u], axis=1),
        stats={
            name: np.concatenate([previous.stats[name][kept], values], axis=1)
            for name, values in more.stats.items()
        },
        seconds={
            name: previous.seconds.get(name, 0.0) + seconds
            for name, seconds in more.seconds.items()
        },
        lengths=tuple(previous.theta.shape[1] + length for length in more.lengths),
    )


def _collect(
    starts: list[Callable[[], State]],
    plan: Plan,
    seed: int,
    jobs: int | None,
    progress: bool | None,
) -> Draws:
    """Run chains from their first states to their end, and gather what they made."""
    jobs = _jobs(jobs, len(starts))
    begun = time.perf_counter()
    theta, u, stats = empty_outputs(plan.program, len(starts), plan.draws)
    workers = [
        Worker(plan, number, start, (theta[number], u[number], stats[number]))
        for number, start in enumerate(starts)
    ]
    # The first call compiles; one thread does it, and an interruption here ends the run.
    workers[0].work()
    first_call = time.perf_counter() - begun
    workers[0].seconds = dict.fromkeys(workers[0].seconds, 0.0)
    workers[0].chunk = 1  # the time of the first chunk was not that of its iterations
    interrupted = _run_all(workers, jobs, progress)
    wall = time.perf_counter() - begun - first_call

    good = [worker for worker in workers if worker.error is None]
    failures = {worker.number: str(worker.error) for worker in workers if worker.error}
    if not good:
        error = workers[0].error
        assert error is not None
        error.add_note(f"All {len(workers)} chains failed; this is the error of chain 1.")
        raise error
    for number, reason in failures.items():
        warnings.warn(
            f"chain {number + 1} failed and is left out: {reason}", ConvergenceWarning, stacklevel=3
        )
    length = min(worker.kept for worker in good)
    spent = {name: sum(w.seconds[name] for w in workers) for name in ("warmup", "sampling")}
    total = max(sum(spent.values()), 1e-9)
    if failures or length < plan.draws:
        kept = [worker.number for worker in good]
        theta, u, stats = theta[kept, :length], u[kept, :length], stats[kept, :length]
    return Draws(
        theta=theta,
        u=u,
        stats={
            name: np.ascontiguousarray(stats[:, :, column])
            for column, name in enumerate(plan.program.stats)
        },
        seed=seed,
        warmup=plan.warmup,
        thin=plan.thin,
        # Threads share the wall clock between them: each phase has its part of their time.
        seconds={"first_call": first_call}
        | {name: wall * seconds / total for name, seconds in spent.items()},
        interrupted=interrupted,
        lengths=tuple(worker.kept for worker in good),
        states=tuple(worker.state for worker in good if worker.state is not None),
        failures=failures,
    )


def _run_all(workers: list[Worker], jobs: int, progress: bool | None) -> bool:
    """Run all chains to their end; return whether they were interrupted."""
    stop = threading.Event()
    waiting: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in workers:
        if worker.error is None and worker.iteration < worker.plan.last:
            waiting.put(worker)

    def take_turns() -> None:
        while not stop.is_set():
            try:
                worker = waiting.get_nowait()
            except queue.Empty:
                return
            if worker.work():
                waiting.put(worker)

    with _stopped_by_interrupt(stop), display(progress) as shown:
        with ThreadPoolExecutor(jobs, thread_name_prefix="chain") as pool:
            pending = {pool.submit(take_turns) for _ in range(jobs)}
            try:
                while pending:
                    done, pending = wait(pending, timeout=REFRESH_SECONDS)
                    shown.show([worker.status for worker in workers])
                    for future in done:
                        future.result()
            finally:
                stop.set()
    return any(worker.error is None and worker.iteration < worker.plan.last for worker in workers)


@contextmanager
def _stopped_by_interrupt(stop: threading.Event) -> Iterator[None]:
    """Make Ctrl-C set the flag instead of raising: chains end at their next chunk.

    Signals reach the main thread only; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _jobs(jobs: int | None, chains: int) -> int:
    if jobs is None:
        can_ask = hasattr(os, "sched_getaffinity")
        jobs = len(os.sched_getaffinity(0)) if can_ask else os.cpu_count() or 1
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    return min(jobs, chains)
