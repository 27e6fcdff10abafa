"""Walks that are slow, hungry or walled in, for scripts that do something to them."""

import resource
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from targets import CLIFF, ToyTarget
from test_chains import Walk, run

from bayesglmm.samplers.hamiltonian import HamiltonianProgram

FAR = 8000  # iterations, more than a task makes: some have come back by then
ROOM = 2**30  # bytes that a worker gets beyond what it has


@dataclass(frozen=True)
class Slow(Walk):
    """A walk each of whose chains makes a file once it has draws."""

    place: str = ""

    def advance(self, state, n, theta_out, u_out, stats_out, iteration):
        """Move as a walk does."""
        super().advance(state, n, theta_out, u_out, stats_out, iteration)
        if iteration > FAR:
            Path(f"{self.place}-{state['chain'][0]}").touch()


@dataclass(frozen=True)
class Hungry(Walk):
    """A walk whose second chain asks for more memory than there is."""

    def advance(self, state, n, theta_out, u_out, stats_out, iteration):
        """Move as a walk does."""
        super().advance(state, n, theta_out, u_out, stats_out, iteration)
        if iteration + n > 40 and state["chain"][0] == 1:
            np.ones(4 * ROOM // 8)


def limited() -> None:
    """Limit the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def walled():
    """Return draws by NUTS of a density that is no number beyond a wall."""
    program = HamiltonianProgram("nuts", ToyTarget(CLIFF, 2), 100, 0.8, 10)
    return run(program, draws=200, warmup=100)
