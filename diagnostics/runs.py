"""Runs of the chains with what the evidence needs of them: CPU seconds by phase, smallest ESS.

CPU seconds of the thread that moves the chains, not wall-clock seconds: other work on the machine
changes them little.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bayesglmm import chains, sampling
from bayesglmm.chains import Draws
from bayesglmm.density import Map
from bayesglmm.diagnostics.ess import ess_bulk
from bayesglmm.fits.mode import Mode, find
from bayesglmm.model import Model
from bayesglmm.posterior import Posterior
from bayesglmm.programs import GibbsProgram, HamiltonianTarget
from bayesglmm.samplers.hamiltonian import HamiltonianProgram

ALL_EFFECTS = 120  # up to here every effect counts for the smallest ESS, beyond
SOME_EFFECTS = 40  # these many, evenly spaced
COMPILE_WARMUP = 20  # iterations that reach all compiled code


class Timed:
    """A program that measures the CPU seconds of its phases; otherwise the one it is given."""

    def __init__(self, program: Any, warmup: int) -> None:
        self._program, self._warmup = program, warmup
        self.seconds = {"warmup": 0.0, "sampling": 0.0}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._program, name)

    def _add(self, phase: str, begun: float) -> None:
        self.seconds[phase] += time.thread_time() - begun

    def start(self, random_state: np.ndarray, chain: int) -> dict[str, np.ndarray]:
        """Start a chain: part of warm-up."""
        begun = time.thread_time()
        state = self._program.start(random_state, chain)
        self._add("warmup", begun)
        return state

    def advance(self, state: Any, n: int, *outputs_and_iteration: Any) -> None:
        """Run n iterations."""
        begun = time.thread_time()
        self._program.advance(state, n, *outputs_and_iteration)
        phase = "warmup" if outputs_and_iteration[-1] < self._warmup else "sampling"
        self._add(phase, begun)

    def adapt(self, state: Any, iteration: int) -> None:
        """Adapt a chain."""
        begun = time.thread_time()
        self._program.adapt(state, iteration)
        self._add("warmup", begun)


class Run(NamedTuple):
    """A run and what it cost."""

    draws: Draws
    seconds: dict[str, float]  # CPU, of the phases "warmup" and "sampling"

    @property
    def count(self) -> int:
        """Draws of all chains."""
        return int(np.prod(self.draws.theta.shape[:2]))


def run(make: Callable[[int], Any], *, chain_count: int, warmup: int, draws: int, seed: int) -> Run:
    """Run chains one after the other on one thread, everything compiled before.

    Parameters
    ----------
    make : callable
        Returns the program for a number of warm-up iterations.
    """
    chains.run(
        make(COMPILE_WARMUP), seed=seed, chains=1, warmup=COMPILE_WARMUP, draws=1, progress=False
    )
    timed = Timed(make(warmup), warmup)
    result = chains.run(
        timed,
        seed=seed,
        chains=chain_count,
        draws=draws,
        warmup=warmup,
        jobs=1,
        progress=False,
    )
    return Run(result, timed.seconds)


def smallest_ess(model: Model, draws: Draws) -> float:
    """Smallest bulk ESS of beta, sd, cor, dispersion and the effects (see `SOME_EFFECTS`)."""
    post = Posterior.from_draws(model, draws, sampler="", reason="")
    effects = post.effect_draws
    if effects.shape[-1] > ALL_EFFECTS:
        effects = effects[..., np.linspace(0, effects.shape[-1] - 1, SOME_EFFECTS).astype(int)]
    return float(ess_bulk(np.concatenate([post.scalar_draws, effects], axis=-1)).min())


def centre_of(model: Model) -> tuple[Mode, Mode, float]:
    """Laplace's mode, the quadrature centre, and the CPU seconds of both together."""
    problem = model.problem
    sampling.start(model, "gibbs")  # compiles
    begun = time.thread_time()
    laplace = find(problem.rows, problem.data, True, problem.start)
    centred = sampling.centre(model, laplace)
    return laplace, centred, time.thread_time() - begun


def gibbs(model: Model, mode: Mode) -> Callable[[int], GibbsProgram]:
    """Return a maker of Gibbs programs centred at a mode."""
    return lambda warmup: GibbsProgram(model, mode.map, mode.covariance, warmup)


def nuts(model: Model, coordinates: Map) -> Callable[[int], HamiltonianProgram]:
    """Return a maker of NUTS programs in the given coordinates."""
    return lambda warmup: HamiltonianProgram(
        "nuts", HamiltonianTarget(model, coordinates, None), warmup
    )
