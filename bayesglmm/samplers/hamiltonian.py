"""The program of a Hamiltonian chain: what `chains.run` asks of NUTS and HMC."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .._jit import pointer
from ..adaptation import metric, step_size
from ..adaptation.schedule import windows
from .advance import STATS, entry_point
from .hmc import PATH_LENGTH
from .nuts import ACCEPT, DIVERGENT
from .state import COLLECT, SEARCH, TUNE, ChainState, Settings, initial

TARGET_ACCEPT = 0.8  # Stan's; higher costs steps, lower diverges
MAX_TREEDEPTH = 10  # Stan's: 1,023 steps an iteration
MAX_STARTS = 100  # starting points tried before a chain gives up
NEARER = 0.9  # the middle of the fit, times the last one's way


class Target(Protocol):
    """A density in whitened coordinates: a compiled function and what it is called with.

    `logdensity(rows, data, map, position, gradient) -> value` is an entry point or its pointer.
    `dim` and `effects` are the sizes of theta and u; a position has dim + effects coordinates.
    `bounded` says whether its support ends, and a density of 0 is outside rather than a divergence.
    """

    data: Any
    map: Any
    logdensity: Any
    dim: int
    effects: int
    bounded: bool

    @property
    def rows(self) -> Any:
        """What a density is called with first: a compiled function or its pointer."""

    def start(self, random_state: np.ndarray, chain: int, away: float) -> np.ndarray:
        """Return a starting position (dim + effects,), advancing the stream.

        At `away` = 1 it is dispersed, at 0 in the middle.
        """

    def unwhiten(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return theta (n, dim) and u (n, effects) at positions (n, dim + effects)."""


@dataclass(frozen=True)
class HamiltonianProgram:
    """NUTS or HMC on a target.

    Parameters
    ----------
    kind : {"nuts", "hmc"}
    target : Target
    warmup : int
        Iterations of warm-up that the chains are going to have.
    target_accept : float
        Acceptance statistic that warm-up tunes the step size to.
    max_treedepth : int
        A trajectory has at most 2^max_treedepth - 1 steps (NUTS) or 2^max_treedepth (HMC).
    path_length : float
        Mean length of a trajectory of HMC, in whitened coordinates.
    """

    kind: str
    target: Target
    warmup: int
    target_accept: float = TARGET_ACCEPT
    max_treedepth: int = MAX_TREEDEPTH
    path_length: float = PATH_LENGTH

    @property
    def dim(self) -> int:
        """Size of theta."""
        return self.target.dim

    @property
    def effects(self) -> int:
        """Size of u."""
        return self.target.effects

    @property
    def stats(self) -> tuple[str, ...]:
        """Names of the statistics of an iteration."""
        return STATS[self.kind]

    def start(self, random_state: np.ndarray, chain: int) -> dict[str, np.ndarray]:
        """Return the state of a chain at a dispersed start with a finite density.

        Raises
        ------
        ValueError
            If no start of `MAX_STARTS` has a finite log density and gradient.
        """
        random = random_state.copy()
        target = self.target
        for attempt in range(MAX_STARTS):
            away = NEARER**attempt
            position = np.ascontiguousarray(target.start(random, chain, away), dtype=float)
            gradient = np.empty_like(position)
            value = target.logdensity(
                pointer(target.rows), target.data, target.map, position, gradient
            )
            if np.isfinite(value) and np.isfinite(gradient).all():
                state = initial(random, position, gradient, float(value))
                state.phase[TUNE] = int(self.warmup > 0)
                return state._asdict()
        raise ValueError(
            f"none of {MAX_STARTS} starting points has a finite log density and gradient; "
            "give starting values with init=, or look for extreme responses, offsets or priors"
        )

    def boundaries(self, warmup: int) -> list[int]:
        """Return the iterations at which `adapt` is to be called."""
        if warmup != self.warmup:
            raise ValueError(f"this program was made for a warmup of {self.warmup}, not {warmup}")
        return windows(warmup).boundaries(warmup)

    def adapt(self, state: dict[str, np.ndarray], iteration: int) -> None:
        """Begin or end a window of warm-up, before the given iteration."""
        chain, (start, ends) = ChainState(**state), windows(self.warmup)
        if iteration in ends:
            chain.inverse_metric[:] = metric.inverse_metric(chain.moments)
            # The new metric changes what a step means: its size is searched and tuned anew.
            chain.phase[SEARCH] = 1
        if iteration == start or iteration in ends:
            chain.moments[:] = 0.0
            chain.phase[COLLECT] = int(bool(ends) and iteration < ends[-1])
        if iteration == self.warmup:
            step_size.freeze(chain.step)
            chain.phase[:] = 0

    def advance(
        self,
        state: dict[str, np.ndarray],
        n: int,
        theta_out: np.ndarray,
        u_out: np.ndarray,
        stats_out: np.ndarray,
        iteration: int,
    ) -> None:
        """Do n iterations; fill the first n rows of theta_out, u_out and stats_out."""
        target = self.target
        settings = Settings(
            float(self.target_accept),
            int(self.max_treedepth),
            float(self.path_length),
            int(target.bounded),
        )
        positions = np.empty((n, self.dim + self.effects))
        stats = np.empty((n, len(self.stats)))
        entry_point(self.kind, target.logdensity)(
            pointer(target.logdensity), pointer(target.rows), target.data, target.map,
            ChainState(**state), settings, positions, stats,
        )  # fmt: skip
        stats_out[:n] = stats
        theta_out[:n], u_out[:n] = target.unwhiten(positions)

    def summary(self, stats: np.ndarray) -> str:
        """Return the progress line of some iterations: rows of statistics (n, len(stats))."""
        divergences = int(stats[:, DIVERGENT].sum())
        return f"acceptance {stats[:, ACCEPT].mean():.2f}, {divergences} divergent"
