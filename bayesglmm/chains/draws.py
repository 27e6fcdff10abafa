"""The draws of all chains, and what is known of how they were made."""

from dataclasses import dataclass, field

import numpy as np

from .program import State


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of all chains.

    Attributes
    ----------
    theta : (chains, draws, d) array
    u : (chains, draws, nu) array
    stats : dict of name to (chains, draws) array
        Statistics of the kept iterations; counts of events include the iterations thinned away.
    seed, warmup, thin : int
    seconds : dict of str to float
        Wall-clock time: "first_call" (compilation or loading), "warmup", "sampling".
    interrupted : bool
        Whether the user stopped the run; `theta`, `u` and `stats` are cut to the shortest chain.
    lengths : tuple of int
        Draws that each chain had made before the cut.
    states : tuple of dict
        Each chain's state after its last draw, for `extend`.
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
    states: tuple[State, ...] = ()
    failures: dict[int, str] = field(default_factory=dict)
