"""A worker: one chain, its state, its draws, and how far it is."""

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..progress import Status
from .program import Program, State
from .standing import Standing

MAX_GROWTH = 10  # of the chunk: one quick iteration does not promise that all are
SCRATCH_BYTES = 32 * 2**20  # for iterations that are not kept: warm-up, thinning

# Events between two kept draws count as events of the second.
EVENTS = frozenset({"divergent", "max_depth", "stuck_run"})

# theta, u and stats, iterations first; u may be anything that rows can be put into.
Outputs = tuple[np.ndarray, Any, np.ndarray]


def empty_outputs(program: Program, *shape: int, effects: bool = True) -> Outputs:
    """Return arrays for the iterations of a program, shaped (*shape, width); zero the stats."""
    return (
        np.empty((*shape, program.dim)),
        np.empty((*shape, program.effects if effects else 0)),
        np.zeros((*shape, len(program.stats))),
    )


@dataclass(frozen=True)
class Plan:
    """What every chain of a run does.

    Attributes
    ----------
    draws : int
        That each chain is to have at the end.
    had : int
        How many of them are elsewhere: row 0 of a worker's outputs is the draw after these.
    """

    program: Program
    warmup: int
    draws: int
    thin: int
    chunk_seconds: float
    boundaries: tuple[int, ...]
    had: int = 0

    @property
    def last(self) -> int:
        """One past the number of the last iteration."""
        return self.warmup + self.draws * self.thin


class Worker:
    """One chain: its state, its draws, and how far it is.

    Parameters
    ----------
    plan : Plan
    number : int
        Of the chain, from 0.
    stream : (2,) array
        State of the chain's random stream, from which it starts.
    outputs : tuple of arrays
        Where draws are put, at least as many rows as there are draws to make.
    standing : Standing, optional
        Where the chain goes on instead of starting; it is left as it is.
    """

    def __init__(
        self,
        plan: Plan,
        number: int,
        stream: np.ndarray,
        outputs: Outputs,
        standing: Standing | None = None,
    ) -> None:
        self.plan, self.number, self.stream = plan, number, stream
        self.theta, self.u, self.stats = outputs
        self.state: State | None = None
        self.iteration, self.chunk = 0, 1
        if standing is not None:
            self.state = {name: array.copy() for name, array in standing.state.items()}
            self.iteration = standing.iteration
            self.theta[: len(standing.theta)] = standing.theta
            self.stats[: len(standing.stats)] = standing.stats
            if isinstance(self.u, np.ndarray):
                self.u[: len(standing.u)] = standing.u
        self.first = self.iteration
        program = plan.program
        width = program.dim + program.effects + len(program.stats)
        self.max_chunk = max(1, SCRATCH_BYTES // (8 * width))
        self.seconds = {"warmup": 0.0, "sampling": 0.0}
        self.text = ""
        self.error: Exception | None = None
        self.lock = threading.Lock()  # held while the chain moves

    @property
    def kept(self) -> int:
        """Draws made so far that are in the outputs."""
        return max(0, self.iteration - self.plan.warmup) // self.plan.thin - self.plan.had

    @property
    def unfinished(self) -> bool:
        """Whether there is more to do, and it can be done."""
        return self.error is None and self.iteration < self.plan.last

    @property
    def phase(self) -> str:
        """What the next iteration belongs to."""
        return "warmup" if self.iteration < self.plan.warmup else "sampling"

    @property
    def status(self) -> Status:
        """For the display."""
        done, total = self.iteration - self.first, self.plan.last - self.first
        return Status(done, total, "failed" if self.error else self.phase, self.text)

    def standing(self, cut: int, moving: bool) -> Standing | None:
        """Return where the chain stands, with its draws after row `cut`; None before its start.

        While it moves the state is copied and draws are views, for they do not change any more;
        after that it is the other way round, so that nothing else of this worker stays in memory.
        """
        with self.lock:
            if self.state is None:
                return None
            kept, plan = max(self.kept, 0), self.plan
            begun = max(0, self.iteration - plan.warmup) % plan.thin > 0
            in_memory = isinstance(self.u, np.ndarray)
            u = self.u[cut:kept] if in_memory else np.empty((0, plan.program.effects))
            theta, stats = self.theta[cut:kept], self.stats[cut : kept + begun].copy()
            if not moving:
                return Standing(
                    self.number, self.iteration, self.state, theta.copy(), u.copy(), stats
                )
            state = {name: array.copy() for name, array in self.state.items()}
            return Standing(self.number, self.iteration, state, theta, u, stats)

    def work(self) -> bool:
        """Do one chunk; return whether there is more to do."""
        with self.lock:
            try:
                self._chunk()
            except Exception as error:  # reported with the chain's number; the others go on
                self.error = error
        return self.unfinished

    def take(self, block: Standing) -> None:
        """Go on from where the chain got to elsewhere, with the draws it made on its way."""
        with self.lock:
            at = max(self.kept, 0)
            self.theta[at : at + len(block.theta)] = block.theta
            self.stats[at : at + len(block.stats)] = block.stats
            if len(block.u):
                self.u[at : at + len(block.u)] = block.u
            self.state, self.iteration = block.state, block.iteration

    def begin(self) -> None:
        """Let a chain that was stopped before its turn stand at its start."""
        try:
            self._start()
        except Exception as error:
            self.error = error

    def _start(self) -> State:
        if self.state is None:
            self.state = self.plan.program.start(self.stream, self.number)
        return self.state

    def _chunk(self) -> None:
        plan, program, phase = self.plan, self.plan.program, self.phase
        begun = time.perf_counter()
        state = self._start()
        stops = (*plan.boundaries, plan.warmup, plan.last)
        stop = min(place for place in stops if place > self.iteration)
        n = min(self.chunk, stop - self.iteration)
        if phase == "sampling" and plan.thin == 1 and isinstance(self.u, np.ndarray):
            kept = slice(self.kept, self.kept + n)
            outputs = self.theta[kept], self.u[kept], self.stats[kept]
            program.advance(state, n, *outputs, self.iteration)
        else:
            scratch = empty_outputs(program, n)
            program.advance(state, n, *scratch, self.iteration)
            self.text = program.summary(scratch[2])
            if phase == "sampling":
                self._thin(*scratch)
        self.iteration += n
        if self.kept > 0:
            self.text = program.summary(self.stats[: self.kept])
        if self.iteration in plan.boundaries:
            program.adapt(state, self.iteration)
        elapsed = time.perf_counter() - begun
        self.seconds[phase] += elapsed
        wanted = n * plan.chunk_seconds / max(elapsed, 1e-9)
        self.chunk = max(1, int(min(wanted, MAX_GROWTH * n, self.max_chunk)))

    def _thin(self, theta: np.ndarray, u: np.ndarray, stats: np.ndarray) -> None:
        """Keep every thin-th of some iterations."""
        thin = self.plan.thin
        offset = self.iteration - self.plan.warmup + np.arange(len(theta))
        kept = np.flatnonzero(offset % thin == thin - 1)
        row = offset // thin - self.plan.had
        if kept.size:
            # The rows kept are consecutive draws.
            place = slice(int(row[kept[0]]), int(row[kept[-1]]) + 1)
            self.theta[place], self.u[place] = theta[kept], u[kept]
        for column, name in enumerate(self.plan.program.stats):
            if name in EVENTS:
                np.maximum.at(self.stats[:, column], row, stats[:, column])
            else:
                self.stats[row[kept], column] = stats[kept, column]
