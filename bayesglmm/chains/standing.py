"""Where a chain stands: all that another process needs to go on with it."""

from dataclasses import dataclass

import numpy as np

from .program import State


@dataclass(frozen=True, eq=False)
class Standing:
    """One chain after some iteration.

    Attributes
    ----------
    number : int
        The chain's number, from 0.
    iteration : int
        Iterations done, those of warm-up included.
    state : dict of str to array
        The state after them.
    theta, u, stats : (rows, width) arrays
        Draws of this chain beyond those that its `Draws` hold: it had run ahead of the others when
        the run was stopped. `stats` has one row more where events of a draw that is not made yet
        (thinning) have been counted. Where u did not go into an array, it has no rows here.
    """

    number: int
    iteration: int
    state: State
    theta: np.ndarray
    u: np.ndarray
    stats: np.ndarray
