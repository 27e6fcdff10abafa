"""A program: how a chain starts, moves and adapts."""

from typing import Protocol

import numpy as np

State = dict[str, np.ndarray]


class Program(Protocol):
    """What `run` asks of a sampler on its target; nothing of a chain is kept in it."""

    @property
    def dim(self) -> int:
        """Size of theta."""

    @property
    def effects(self) -> int:
        """Size of u."""

    @property
    def stats(self) -> tuple[str, ...]:
        """Names of the statistics of an iteration."""

    def start(self, random_state: np.ndarray, chain: int) -> State:
        """Return the complete state of a chain, given the state (2,) of its random stream."""

    def boundaries(self, warmup: int) -> list[int]:
        """Return the numbers of iterations in (0, warmup] after which `adapt` is to be called."""

    def adapt(self, state: State, iteration: int) -> None:
        """Change the state after that many iterations."""

    def advance(
        self,
        state: State,
        n: int,
        theta_out: np.ndarray,
        u_out: np.ndarray,
        stats_out: np.ndarray,
        iteration: int,
    ) -> None:
        """Do n iterations in place, the first of number `iteration`; fill n rows of each output."""

    def summary(self, stats: np.ndarray) -> str:
        """Return a few words on statistics (n, len(stats)) for the progress display."""
