"""A worker: one chain, its state, its draws, and how far it is."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..progress import Status
from .program import Program, State

MAX_GROWTH = 10  # of the chunk: one quick iteration does not promise that all are
SCRATCH_BYTES = 32 * 2**20  # for iterations that are not kept: warm-up, thinning

# Events between two kept draws count as events of the second.
EVENTS = frozenset({"divergent", "max_depth", "stuck_run"})

Outputs = tuple[np.ndarray, np.ndarray, np.ndarray]  # theta, u and stats, iterations first


def empty_outputs(program: Program, *shape: int) -> Outputs:
    """Return arrays for the iterations of a program, shaped (*shape, width); zero the stats."""
    return (
        np.empty((*shape, program.dim)),
        np.empty((*shape, program.effects)),
        np.zeros((*shape, len(program.stats))),
    )


@dataclass(frozen=True)
class Plan:
    """What every chain of a run does."""

    program: Program
    warmup: int
    draws: int
    thin: int
    chunk_seconds: float
    boundaries: tuple[int, ...]
    first: int = 0  # the number of the first iteration

    @property
    def sampling(self) -> int:
        """The number of the first iteration after warm-up, or of an extension."""
        return max(self.warmup, self.first)

    @property
    def last(self) -> int:
        """One past the number of the last iteration."""
        return self.sampling + self.draws * self.thin


class Worker:
    """One chain: its state, its draws, and how far it is."""

    def __init__(
        self, plan: Plan, number: int, begin: Callable[[], State], outputs: Outputs
    ) -> None:
        self.plan, self.number, self.begin = plan, number, begin
        self.theta, self.u, self.stats = outputs
        self.state: State | None = None
        self.iteration, self.chunk = plan.first, 1
        width = sum(array.shape[1] for array in outputs)
        self.max_chunk = max(1, SCRATCH_BYTES // (8 * width))
        self.seconds = {"warmup": 0.0, "sampling": 0.0}
        self.text = ""
        self.error: Exception | None = None

    @property
    def kept(self) -> int:
        """Draws made so far."""
        return max(0, self.iteration - self.plan.sampling) // self.plan.thin

    @property
    def phase(self) -> str:
        """What the next iteration belongs to."""
        return "warmup" if self.iteration < self.plan.sampling else "sampling"

    @property
    def status(self) -> Status:
        """For the display."""
        done, total = self.iteration - self.plan.first, self.plan.last - self.plan.first
        return Status(done, total, "failed" if self.error else self.phase, self.text)

    def work(self) -> bool:
        """Do one chunk; return whether there is more to do."""
        try:
            self._chunk()
        except Exception as error:  # reported with the chain's number; the other chains go on
            self.error = error
            return False
        return self.iteration < self.plan.last

    def _chunk(self) -> None:
        plan, program, phase = self.plan, self.plan.program, self.phase
        begun = time.perf_counter()
        if self.state is None:
            self.state = self.begin()
        stops = (*plan.boundaries, plan.sampling, plan.last)
        stop = min(place for place in stops if place > self.iteration)
        n = min(self.chunk, stop - self.iteration)
        if phase == "sampling" and plan.thin == 1:
            kept = slice(self.kept, self.kept + n)
            outputs = self.theta[kept], self.u[kept], self.stats[kept]
            program.advance(self.state, n, *outputs, self.iteration)
            self.text = program.summary(self.stats[: kept.stop])
        else:
            scratch = empty_outputs(program, n)
            program.advance(self.state, n, *scratch, self.iteration)
            self.text = program.summary(scratch[2])
            if phase == "sampling":
                self._thin(*scratch)
        self.iteration += n
        if self.iteration in plan.boundaries:
            program.adapt(self.state, self.iteration)
        elapsed = time.perf_counter() - begun
        self.seconds[phase] += elapsed
        wanted = n * plan.chunk_seconds / max(elapsed, 1e-9)
        self.chunk = max(1, int(min(wanted, MAX_GROWTH * n, self.max_chunk)))

    def _thin(self, theta: np.ndarray, u: np.ndarray, stats: np.ndarray) -> None:
        """Keep every thin-th of some iterations."""
        thin = self.plan.thin
        offset = self.iteration - self.plan.sampling + np.arange(len(theta))
        kept = np.flatnonzero(offset % thin == thin - 1)
        draw = offset // thin
        self.theta[draw[kept]], self.u[draw[kept]] = theta[kept], u[kept]
        for column, name in enumerate(self.plan.program.stats):
            if name in EVENTS:
                np.maximum.at(self.stats[:, column], draw, stats[:, column])
            else:
                self.stats[draw[kept], column] = stats[kept, column]
