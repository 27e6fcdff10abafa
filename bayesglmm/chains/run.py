"""Running chains: from their start or from where they stand, and gathering what they made."""

import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from .. import caller
from ..errors import ConvergenceWarning
from ..progress import display
from .draws import Draws
from .interruption import stopped_by_interrupt
from .program import Program
from .standing import Standing
from .threads import run_on_threads, threads
from .worker import Plan, Worker, empty_outputs

CHUNK_SECONDS = 0.15  # compiled code cannot be interrupted: this is how long Ctrl-C may take


class Recorder(Protocol):
    """What keeps the chains safe while they run."""

    def due(self) -> bool:
        """Whether it is time to write again."""

    def write(self, standings: Sequence[Standing], failures: Mapping[int, str]) -> None:
        """Write where the chains stand, with all their draws so far."""


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
    executor: Any = None,
    effects: Sequence[Any] | None = None,
    recorder: Recorder | None = None,
    standings: Sequence[Standing] = (),
    failures: Mapping[int, str] | None = None,
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
    executor : concurrent.futures.Executor, or a function that makes one
        Where chains run instead of threads; see `tasks`.
    effects : sequence, optional
        One for each chain (of `resume`, each that stands somewhere): what its draws of u are put
        into, by slices of draws, instead of an array.
    recorder : Recorder, optional
        What writes checkpoints.
    standings, failures : optional
        Chains that go on from a checkpoint of this same run, and chains that had failed.

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
    gone = dict(failures or {})
    streams = keys(seed, chains)
    return _collect(
        plan,
        {number: streams[number] for number in range(chains) if number not in gone},
        {standing.number: standing for standing in standings},
        gone,
        seed,
        jobs=jobs,
        progress=progress,
        executor=executor,
        effects=None if effects is None else dict(enumerate(effects)),
        recorder=recorder,
    )


def resume(
    program: Program,
    previous: Draws,
    draws: int,
    *,
    had: int,
    jobs: int | None = None,
    progress: bool | None = None,
    chunk_seconds: float = CHUNK_SECONDS,
    executor: Any = None,
    effects: Sequence[Any] | None = None,
) -> Draws:
    """Go on with a run, and return the new draws only.

    Parameters
    ----------
    program : Program
        The program of the previous run.
    previous : Draws
        Its seed, warmup, thin, standings and failures are used; interrupted or not.
    draws : int
        How many draws each chain makes after those it had.
    had : int
        How many draws each chain had, besides those in the standings.
    jobs, progress, chunk_seconds, executor, effects
        See `run`.

    Raises
    ------
    ValueError
        If there is nothing to go on from.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    if not previous.standings:
        raise ValueError("the states of the chains are not known: sample again with the same seed")
    boundaries = tuple(program.boundaries(previous.warmup))
    plan = Plan(
        program, previous.warmup, had + draws, previous.thin, chunk_seconds, boundaries, had
    )
    standings = {standing.number: standing for standing in previous.standings}
    nowhere = np.zeros(2, dtype=np.uint64)  # chains that stand somewhere need no stream to start
    more = _collect(
        plan,
        dict.fromkeys(standings, nowhere),
        standings,
        {},
        previous.seed,
        jobs=jobs,
        progress=progress,
        executor=executor,
        effects=None if effects is None else dict(zip(standings, effects, strict=True)),
    )
    return replace(more, failures={**previous.failures, **more.failures})


def extend(program: Program, previous: Draws, draws: int, **options: Any) -> Draws:
    """Continue a run: the result equals, bit for bit, one longer run.

    Parameters
    ----------
    program : Program
        The program of the previous run.
    previous : Draws
        A run, interrupted or not; it stays as it is.
    draws : int
        How many more draws of each chain.
    **options
        See `resume`.
    """
    more = resume(program, previous, draws, had=previous.theta.shape[1], **options)
    numbers = [standing.number for standing in previous.standings]
    kept = [numbers.index(standing.number) for standing in more.standings]
    return replace(
        more,
        theta=np.concatenate([previous.theta[kept], more.theta], axis=1),
        u=np.concatenate([previous.u[kept], more.u], axis=1),
        stats={
            name: np.concatenate([previous.stats[name][kept], values], axis=1)
            for name, values in more.stats.items()
        },
        seconds=added(previous.seconds, more.seconds),
    )


def added(seconds: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of two runs by phase."""
    return {name: seconds.get(name, 0.0) + more.get(name, 0.0) for name in {**seconds, **more}}


def _collect(
    plan: Plan,
    streams: Mapping[int, np.ndarray],
    standings: Mapping[int, Standing],
    failures: dict[int, str],
    seed: int,
    *,
    jobs: int | None,
    progress: bool | None,
    executor: Any = None,
    effects: Mapping[int, Any] | None = None,
    recorder: Recorder | None = None,
) -> Draws:
    """Run chains to their end, and gather what they made."""
    jobs = threads(jobs, max(1, len(streams)))
    begun = time.perf_counter()
    program, new = plan.program, plan.draws - plan.had
    # A chain that had run ahead may have more draws than are asked for.
    rows = max([new, *(len(standing.stats) for standing in standings.values())])
    theta, u, stats = empty_outputs(program, len(streams), rows, effects=effects is None)
    workers = [
        Worker(
            plan,
            number,
            stream,
            (theta[row], u[row] if effects is None else effects[number], stats[row]),
            standings.get(number),
        )
        for row, (number, stream) in enumerate(streams.items())
    ]
    stop = threading.Event()
    if executor is None:
        _first_call(workers)
    first_call = time.perf_counter() - begun
    with stopped_by_interrupt(stop), display(progress) as shown:

        def look() -> None:
            shown.show([worker.status for worker in workers])
            if recorder is not None and recorder.due():
                recorder.write(*_standings(workers, failures))

        todo = any(worker.unfinished for worker in workers)
        try:
            if executor is None:
                run_on_threads(workers, jobs, stop, look)
            else:
                from .tasks import run_as_tasks

                run_as_tasks(workers, executor, stop, look)
        finally:
            if recorder is not None and todo:
                recorder.write(*_standings(workers, failures))
    wall = time.perf_counter() - begun - first_call

    for worker in workers:
        if worker.error is None:
            worker.begin()
    good = [worker for worker in workers if worker.error is None]
    failed = {worker.number: _reason(worker.error) for worker in workers if worker.error}
    if not good:
        error = workers[0].error if workers else RuntimeError("; ".join(failures.values()))
        assert error is not None
        error.add_note(
            f"All {len(streams) + len(failures)} chains failed; this is the first error."
        )
        raise error
    for number, reason in {**failures, **failed}.items():
        warnings.warn(
            f"chain {number + 1} failed and is left out: {reason}",
            ConvergenceWarning,
            stacklevel=caller.level(),
        )
    length = min(new, *(max(worker.kept, 0) for worker in good))
    spent = {name: sum(w.seconds[name] for w in workers) for name in ("warmup", "sampling")}
    total = max(sum(spent.values()), 1e-9)
    if failed or length < rows:
        kept = [row for row, worker in enumerate(workers) if worker.error is None]
        theta, stats = theta[kept, :length], stats[kept, :length]
        u = u[kept, :length]
    return Draws(
        theta=theta,
        u=u,
        stats={
            name: np.ascontiguousarray(stats[:, :, column])
            for column, name in enumerate(program.stats)
        },
        seed=seed,
        warmup=plan.warmup,
        thin=plan.thin,
        # Threads share the wall clock between them: each phase has its part of their time.
        seconds={"first_call": first_call}
        | {name: wall * seconds / total for name, seconds in spent.items()},
        interrupted=any(worker.unfinished for worker in good),
        lengths=tuple(plan.had + max(worker.kept, 0) for worker in good),
        standings=tuple(filter(None, (worker.standing(length, moving=False) for worker in good))),
        failures={**failures, **failed},
    )


def _reason(error: Exception) -> str:
    """Why a chain failed, in words."""
    if isinstance(error, MemoryError):
        return f"out of memory ({error})" if str(error) else "out of memory"
    return str(error) or type(error).__name__


def _first_call(workers: list[Worker]) -> None:
    """Let one thread do what compiles; an interruption here ends the run."""
    worker = next((worker for worker in workers if worker.unfinished), None)
    if worker is not None:
        worker.work()
        worker.seconds = dict.fromkeys(worker.seconds, 0.0)
        worker.chunk = 1  # the time of the first chunk was not that of its iterations


def _standings(
    workers: list[Worker], failures: Mapping[int, str]
) -> tuple[list[Standing], dict[int, str]]:
    """Return where the chains stand, all their draws included, and those that failed."""
    failed = {worker.number: _reason(worker.error) for worker in workers if worker.error}
    standings = [worker.standing(0, moving=True) for worker in workers if worker.error is None]
    return [standing for standing in standings if standing], {**failures, **failed}
