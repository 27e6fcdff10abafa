"""A program whose effects are summed up as they are drawn instead of being kept."""

import numpy as np

from . import sketch
from .program import Program, State

SCRATCH_BYTES = 2**20  # of draws of effects at a time: they are summed up while in the cache


class Summarized:
    """A program like another one, without effects: their sums are part of a chain's state.

    Parameters
    ----------
    program : Program
    warmup, thin : int
        Of the run: only draws that would be kept are summed up.
    """

    effects = 0

    def __init__(self, program: Program, warmup: int, thin: int) -> None:
        self.program, self.warmup, self.thin = program, warmup, thin
        self.dim, self.stats = program.dim, program.stats

    def start(self, random_state: np.ndarray, chain: int) -> State:
        """Return the state of the program's chain, and sums of no draws."""
        return {**self.program.start(random_state, chain), **sketch.new(self.program.effects)}

    def boundaries(self, warmup: int) -> list[int]:
        """Return the iterations after which `adapt` is to be called."""
        return self.program.boundaries(warmup)

    def adapt(self, state: State, iteration: int) -> None:
        """Change the state after that many iterations."""
        inner = _without_sums(state)
        self.program.adapt(inner, iteration)
        state.update(inner)

    def advance(
        self,
        state: State,
        n: int,
        theta_out: np.ndarray,
        u_out: np.ndarray,
        stats_out: np.ndarray,
        iteration: int,
    ) -> None:
        """Do n iterations in place; `u_out` has no columns."""
        width = self.program.effects
        step = max(1, SCRATCH_BYTES // (8 * max(1, width)))
        inner = _without_sums(state)
        for first in range(0, n, step):
            rows = slice(first, min(n, first + step))
            count = rows.stop - rows.start
            u = np.empty((count, width))
            at = iteration + first
            self.program.advance(inner, count, theta_out[rows], u, stats_out[rows], at)
            number = at + np.arange(count) - self.warmup
            kept = (number >= 0) & (number % self.thin == self.thin - 1)
            if kept.any():
                sketch.update(state, u if kept.all() else u[kept])
        state.update(inner)

    def summary(self, stats: np.ndarray) -> str:
        """Return a few words on statistics (n, len(stats)) for the progress display."""
        return self.program.summary(stats)


def _without_sums(state: State) -> State:
    return {name: x for name, x in state.items() if not name.startswith(sketch.PREFIX)}
