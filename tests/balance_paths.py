"""HMC and NUTS along a trajectory."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from balance import ARRIVAL, CERTAIN, STATES, OnTheta
from joint import Load
from joint_crossed import CrossedCase
from scripted import Script, paths, sure


class Trajectory(OnTheta):
    """HMC: states lie along one trajectory, and momenta lead from one to the other."""

    def __init__(self, case: CrossedCase, load: Load) -> None:
        super().__init__(case, load)
        theta, self.u = self.first()
        moves = self.moves = self.part("hmc")
        self.state, self.target = moves.state, moves.program.target
        self.size = self.state["step"][0]
        moves.begin(theta, self.u)
        start, momentum = self.state["position"].copy(), 0.8 * self.rng.normal(size=self.dim)
        self.positions, self.momenta = np.tile(start, (STATES + 1, 1)), np.empty((STATES, self.dim))
        self.momenta[0] = momentum
        for n in range(1, STATES + 1):
            self.put(0)
            self.script.begin(**self.lead(momentum, n), answers=[True])
            self.go()
            self.positions[n] = self.state["position"]
        mass = 1.0 / self.state["inverse_metric"]
        for n in range(STATES):
            self.put(n)
            away = (self.positions[n + 1] - self.positions[n]) * mass / self.size
            self.momenta[n] = away - 0.5 * self.size * self.state["gradient"]
        self.points = list(self.positions[:STATES])

    @property
    def dim(self) -> int:
        return self.state["position"].size

    def put(self, i: int) -> None:
        state, target = self.state, self.target
        state["position"][:] = self.positions[i]
        state["value"][0] = target.logdensity(
            self.moves.rows, target.data, target.map, state["position"], state["gradient"]
        )

    place = put

    def lead(self, momentum: np.ndarray, steps: int) -> dict[str, Any]:
        """Numbers for a trajectory of so many steps."""
        self.moves.program = replace(self.moves.program, path_length=self.size * (steps - 0.25))
        return {
            "normals": momentum * np.sqrt(self.state["inverse_metric"]),
            "uniforms": [0.5],
        }

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        return self.lead(self.momenta[i] if j > i else -self.momenta[i], abs(j - i))

    def go(self) -> np.ndarray:
        out = [*self.moves.out, np.empty((1, len(self.moves.program.stats)))]
        self.moves.program.advance(self.state, 1, *out[:3], 0)
        return self.state["position"].copy()

    def log_proposal(self, i: int, j: int) -> float:
        return -0.5 * float((self.momenta[i] ** 2 * self.state["inverse_metric"]).sum())

    def log_target(self, i: int) -> float:
        moves, x = self.moves, self.positions[i]
        d = moves.program.dim
        shifted = np.tile(x, (self.dim - d + 1, 1))
        shifted[1:, d:] += np.eye(self.dim - d)
        theta, u = self.target.unwhiten(shifted)
        stretch = np.linalg.slogdet(u[1:] - u[0])[1]
        return self.density(theta[0], u[0]) + stretch


class Trees:
    """NUTS: from each of seven points of a trajectory to any other, by every way there is."""

    def __init__(self, load: Load, depth: int, step: float, depths: set[int]) -> None:
        self.precision = np.array([[1.5, 0.6], [0.6, 0.8]])
        self.wanted, self.scale = depths, np.array([0.7, 1.3])  # inverse metric
        first = np.array([0.4, -0.9]), np.array([0.5, 0.8])
        reach = 2**depth
        self.orbit = {0: first}
        for side in (1, -1):
            x, p = first
            for k in range(1, STATES + reach):
                # Backwards in time is forwards with the momentum turned round.
                p = p - 0.5 * side * step * self.precision @ x
                x = x + side * step * self.scale * p
                p = p - 0.5 * side * step * self.precision @ x
                self.orbit[side * k] = x, p
        self.ends = list(self.orbit)
        self.positions = np.array([self.orbit[k][0] for k in self.ends])
        hamiltonian, places = load("samplers.hamiltonian"), load("samplers.state")
        target = Toy(self.precision)
        self.program = hamiltonian.HamiltonianProgram("nuts", target, 0, max_treedepth=depth)
        state = places.initial(np.zeros(2, dtype=np.uint64), np.zeros(2), np.zeros(2), 0.0)
        state.phase[:] = 0
        state.step[0] = step
        state.inverse_metric[:] = self.scale
        self.state, self.script = state._asdict(), Script(load)

    def run(self, i: int, answers: Sequence[bool]) -> int:
        """One transition; returns the place on the trajectory where it ends."""
        (x, p), state = self.orbit[i], self.state
        state["position"][:], state["gradient"][:] = x, -self.precision @ x
        state["value"][0] = -0.5 * x @ self.precision @ x
        self.script.begin(normals=p * np.sqrt(self.scale), answers=answers)
        out = np.empty((1, 2)), np.empty((1, 0)), np.empty((1, len(self.program.stats)))
        self.program.advance(state, 1, *out, 0)
        self.depths.add(int(out[2][0, self.program.stats.index("depth")]))
        distance = np.abs(self.positions - out[0][0]).max(axis=1)
        sure(distance.min() < ARRIVAL, "off the trajectory")
        return self.ends[int(distance.argmin())]

    def imbalance(self) -> float:
        """As `imbalance`, and the probabilities of a state add up to 1."""
        flow, self.depths = np.zeros((STATES, STATES)), set()
        for i in range(STATES):
            total = 0.0
            x, p = self.orbit[i]
            weight = math.exp(-0.5 * x @ self.precision @ x - 0.5 * p**2 @ self.scale)
            for share, end in paths(self.script, lambda answers, i=i: self.run(i, answers)):
                total += share
                if 0 <= end < STATES:
                    flow[i, end] += weight * share
            sure(abs(total - 1.0) < CERTAIN, "the chances do not add up to 1")
        sure((flow > 0.0).sum() > 3 * STATES, "hardly any flow")
        sure(self.depths == self.wanted, "trajectories turn elsewhere")
        either = flow + flow.T > 0.0
        return float(np.abs(flow - flow.T)[either].max() / flow[either].max())


class Toy:
    """A Gaussian of two dimensions as a target."""

    bounded, rows, map, data = 0, 1.0, 1.0, 1.0
    dim, effects, names = 2, 0, ("a", "b")

    def __init__(self, precision: np.ndarray) -> None:
        self.precision = precision

    def logdensity(self, rows, data, map, position, gradient) -> float:
        gradient[:] = -self.precision @ position
        return 0.5 * float(position @ gradient)

    def unwhiten(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return positions, positions[:, :0]
