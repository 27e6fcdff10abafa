"""The draws of all chains, and what is known of how they were made."""

from dataclasses import dataclass, field

import numpy as np

from .program import State
from .standing import Standing


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of all chains.

    Attributes
    ----------
    theta : (chains, draws, d) array
    u : (chains, draws, nu) array
        Or what was given to `run` to put the effects into.
    stats : dict of name to (chains, draws) array
        Statistics of the kept iterations; counts of events include the iterations thinned away.
    seed, warmup, thin : int
    seconds : dict of str to float
        Wall-clock time: "first_call" (compilation or loading), "warmup", "sampling".
    interrupted : bool
        Whether the run was stopped early; `theta`, `u` and `stats` are cut to the shortest chain.
    lengths : tuple of int
        Draws that each chain had made before the cut.
    standings : tuple of Standing
        Where each chain stands after its last draw, for `extend`.
    failures : dict of int to str
        Chains (numbered from 0) that failed and are left out, with the reason.
    """

    theta: np.ndarray
    u: np.ndarray
    stats: dict[str, np.ndarray]
    seed: int
    warmup: int
    thin: int
    seconds: dict[str, float]
    interrupted: bool = False
    lengths: tuple[int, ...] = ()
    standings: tuple[Standing, ...] = ()
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def states(self) -> tuple[State, ...]:
        """Each chain's state after its last draw."""
        return tuple(standing.state for standing in self.standings)
