"""Flows between the states of a step that lie on a lattice (see `detailed_balance`)."""

from collections.abc import Sequence
from typing import Any

import exact_ranks
import numpy as np
from joint import Load
from joint_crossed import CrossedCase
from joint_density import Density
from scripted import Script, sure

STATES = 7
SEED = 5  # such that no term of a density is so large that its rounding shows
ARRIVAL = 1e-11  # relative to the larger of 1 and the coordinate
CERTAIN = 1e-12  # by how much the log of a chance may be off


class Step:
    """A step of a sampler on a lattice.

    Attributes
    ----------
    points : list of ndarray
        Coordinates of the states, as `go` returns them.
    accepted : int
        Place among the decisions of a run of that which accepts.
    """

    accepted = -1
    points: list[np.ndarray]

    def __init__(self, case: CrossedCase, load: Load) -> None:
        self.case, self.load = case, load
        self.rng = np.random.default_rng(SEED)
        self.model = case.model(load)
        self.drawn = exact_ranks.draw(case, self.model, load, self.rng, 1)
        self.y = self.drawn.y[0]
        self.density = Density(case, self.model, self.y)
        self.replaced: list[tuple[Any, str, Any]] = []

    def replace(self, module: str, **new: Any) -> None:
        """Put something else in the place of what a sweep does besides, until `restore`."""
        place = self.load(module)
        for name, value in new.items():
            self.replaced.append((place, name, getattr(place, name)))
            setattr(place, name, value)

    def restore(self) -> None:
        """What was replaced is as it was."""
        for place, name, value in self.replaced:
            setattr(place, name, value)

    def part(self, name: str) -> Any:
        """A part by name (`exact_ranks.PARTS`), given the responses; its numbers are scripted."""
        return self.use(exact_ranks.PARTS[name](self.model, self.load))

    def use(self, moves: Any) -> Any:
        exact_ranks.respond(self.case, moves.data.obs, self.y)
        moves.out = [out[:1] for out in moves.out]
        self.script = Script(self.load)
        return moves

    def first(self) -> tuple[np.ndarray, np.ndarray]:
        """The state inside, theta and u, that the responses are drawn at."""
        return self.drawn.theta[0].copy(), self.drawn.u[0].copy()

    def advance(self, block: int) -> np.ndarray:
        """One iteration of the transported sampler with one of its blocks: (theta, u)."""
        moves = self.moves
        moves.state["proposal_block"] = moves.blocks[block]
        moves.program.advance(moves.state, 1, *moves.out, 0)
        return np.concatenate([moves.out[0][0], moves.out[1][0]])

    def place(self, i: int) -> None:
        """Put the chain at a state."""
        raise NotImplementedError

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        """The numbers that lead from i to j (`Script.begin`); `answers` up to the last one."""
        raise NotImplementedError

    def go(self) -> np.ndarray:
        """Do the step; return the coordinates after."""
        raise NotImplementedError

    def log_target(self, i: int) -> float:
        raise NotImplementedError

    def log_proposal(self, i: int, j: int) -> float:
        raise NotImplementedError

    def to(self, i: int, j: int, accept: bool = True) -> np.ndarray:
        """Propose j from i."""
        self.place(i)
        numbers = self.numbers(i, j)
        before = list(numbers.pop("answers", ()))
        self.script.begin(**numbers, answers=[*before, accept, *[False] * 20])
        return self.go()


def off(x: np.ndarray, y: np.ndarray) -> float:
    """The largest difference, relative to the larger of 1 and the coordinate."""
    return float((np.abs(x - y) / np.maximum(1.0, np.abs(y))).max())


def imbalance(step: Step) -> float:
    """The largest |flow forth / flow back - 1| of two states.

    Fails where a step does not arrive at what it proposes, or leaves where it is rejected.
    """
    states = range(len(step.points))
    target, flow = [step.log_target(i) for i in states], np.zeros((STATES, STATES))
    for i, j in ((i, j) for i in states for j in states if i != j):
        reached = step.to(i, j)
        sure(off(reached, step.points[j]) < ARRIVAL, f"{i} to {j}: elsewhere than proposed")
        limits = list(step.script.limits)
        # A step that need not ask has accepted.
        chance = min(0.0, limits[step.accepted]) if limits else 0.0
        if limits:
            left = step.to(i, j, accept=False)
            sure(off(left, step.points[i]) < ARRIVAL, f"{i} to {j}: rejected, and yet moved")
            sure(step.script.limits[step.accepted] == limits[step.accepted], "another chance")
        flow[i, j] = target[i] + step.log_proposal(i, j) + chance
    return float(np.abs(np.expm1(flow - flow.T)).max())


class OnTheta(Step):
    """Steps of theta (and u) of a part: states are whole, (theta, u)."""

    def setup(self, name: str, members: Sequence[int], spread: float = 0.25) -> None:
        """A lattice along some elements of theta."""
        self.members = np.array(members, dtype=int)
        theta, self.u = self.first()
        self.moves = self.part(name)
        self.thetas = np.tile(theta, (STATES, 1))
        noise = self.rng.normal(size=(STATES, self.members.size))
        self.thetas[:, self.members] += spread * noise
        self.points = [np.concatenate([theta, self.u]) for theta in self.thetas]

    def place(self, i: int) -> None:
        theta, u = np.split(self.points[i], [len(self.thetas[i])])
        self.moves.begin(theta.copy(), u.copy())

    def go(self) -> np.ndarray:
        return np.concatenate(self.moves.step())

    def log_target(self, i: int) -> float:
        return self.density(*np.split(self.points[i], [len(self.thetas[i])]))
