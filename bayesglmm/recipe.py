"""What a program is made of beside its model: numbers and arrays, so that it can be saved."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .classical_program import ClassicalProgram
from .collapsed_program import CollapsedProgram
from .crossed_program import CrossedProgram
from .density import Map
from .programs import GibbsProgram, HamiltonianTarget
from .samplers.hamiltonian import HamiltonianProgram

if TYPE_CHECKING:
    from .chains import Program
    from .model import Model


@dataclass(frozen=True, eq=False)
class Recipe:
    """The sampler of a run and the fit it started from.

    With its model it makes the same program again, in another process too, without fitting anew:
    a fit elsewhere might differ in its last digits, and the draws with it.

    Attributes
    ----------
    sampler : {"gibbs", "collapsed", "nuts", "hmc"}
    warmup : int
    target_accept, max_treedepth : float, int
        Of NUTS and HMC.
    map : dict of str to array
        The fields of the fit's `Map`.
    covariance : (d, d) array
        Of theta, at the fit.
    init : (d,) array or None
        Where the user starts all chains.
    keep : {"all", "summary", "stream"}
        What is kept of the effects.
    thin : int
    classical : dict or None
        The settings of a `ClassicalProgram`, by name.
    """

    sampler: str
    warmup: int
    target_accept: float
    max_treedepth: int
    map: dict[str, np.ndarray]
    covariance: np.ndarray
    init: np.ndarray | None
    keep: str = "all"
    thin: int = 1
    classical: dict[str, Any] | None = None

    def program(self, model: "Model", threads: int = 1) -> "Program":
        """Return the program of a model's chains, each of which may use some threads."""
        program = self._moving(model, threads)
        if self.keep != "summary":
            return program
        from .chains.summarized import Summarized

        return Summarized(program, self.warmup, self.thin)

    def _moving(self, model: "Model", threads: int) -> "Program":
        map = Map(**self.map)
        if self.sampler == "gibbs" and len(model.design.factors) > 1:
            return CrossedProgram(model, map, self.covariance, self.warmup, self.init)
        if self.sampler == "gibbs":
            return GibbsProgram(model, map, self.covariance, self.warmup, self.init, threads)
        if self.sampler == "collapsed":
            return CollapsedProgram(model, map.center, self.covariance, self.warmup, self.init)
        if self.classical is not None:
            return ClassicalProgram(
                model, map, self.covariance, self.warmup, self.init, **self.classical
            )
        made: Any = HamiltonianProgram(
            self.sampler,
            HamiltonianTarget(model, map, self.init),
            self.warmup,
            self.target_accept,
            self.max_treedepth,
        )
        return made
