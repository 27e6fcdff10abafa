"""Slices, counted out on a lattice."""

import math
from typing import Any

import numpy as np
from balance import ARRIVAL, CERTAIN, STATES, OnTheta, off
from joint import Load
from joint_crossed import CrossedCase
from scripted import sure


class Point:
    """A uniform on an interval that is one of the lattice points there."""

    __array_ufunc__ = None  # numpy leaves the multiplication to us

    def __init__(self, pick: Any) -> None:
        self.pick = pick

    def __rmul__(self, span: float) -> "Point":
        self.span = float(span)
        return self

    def __radd__(self, left: float) -> float:
        return self.pick(float(left), float(left) + self.span)


class Slice(OnTheta):
    """A slice along one element of theta (Neal 2003), on a lattice finer than its width.

    Where the first interval lies, how it may grow and which of its points is tried are counted out:
    given the height, the chance from i to j is that from j to i. States may move past the lattice.
    """

    WIDE, OUT = 2, 3  # lattice steps of a width; steps out allowed
    HEIGHTS = (0.15, 0.4, 0.65, 0.9)  # quantiles of the density about the lattice

    def __init__(
        self,
        case: CrossedCase,
        load: Load,
        name: str,
        member: int,
        module: str,
        along: bool = False,
    ) -> None:
        super().__init__(case, load)
        self.setup(name, [])
        self.along, self.member, self.step = along, member, 0.45
        self.replace(f"conditionals.{module}", STEPS_OUT=self.OUT)
        steps = self.moves.program.steps
        steps.width[member] = self.WIDE * self.step
        place = load("conditionals.classical_state")
        row = steps.step[0]
        # Of several elements that are moved in turn, this one alone.
        own = list(steps.member[row[place.FIRST] : row[place.LAST]])
        at = row[place.FIRST] + own.index(member)
        row[[place.FIRST, place.LAST]] = at, at + 1
        self.reach = self.WIDE * self.OUT
        self.begun = self.thetas[0].copy()
        self.marks = [self.state(k) for k in range(-self.reach, STATES + self.reach)]
        self.levels = np.array([self.log_density(k) for k in range(len(self.marks))])

    def state(self, k: int) -> np.ndarray:
        theta = self.begun.copy()
        theta[self.member] += (k - STATES // 2) * self.step
        grown = math.exp(theta[self.member] - self.begun[self.member]) if self.along else 1.0
        return np.concatenate([theta, grown * self.u])

    def log_density(self, k: int) -> float:
        point = self.marks[k]
        value = self.density(*np.split(point, [len(self.begun)]))
        # Of the effects over the sd, which are held.
        return value + self.along * self.u.size * point[self.member]

    def pick(self, left: float, right: float) -> float:
        """One of the lattice points between, as the script has it."""
        start = self.marks[0][self.member] - self.origin
        first = math.floor((left - start) / self.step + 1.25)
        last = math.floor((right - start) / self.step - 0.25)
        sure(last >= first, "nothing left of a slice")
        self.options.append(last - first + 1)
        return self.marks[first + next(self.choices, 0)][self.member] - self.origin

    def chances(self, i: int, height: float) -> np.ndarray:
        """Chance of each lattice point after a slice from i at a height."""
        found, i = np.zeros(len(self.marks)), i + self.reach
        # Steps along a log sd are counted from where it is.
        self.origin = self.marks[i][self.member] if self.along else 0.0
        for part, room in np.ndindex(self.WIDE, self.OUT):
            open_: list[list[int]] = [[]]
            while open_:
                choices = open_.pop()
                self.choices, self.options = iter(choices), []
                begin = [(part + 0.5) / self.WIDE, (room + 0.5) / self.OUT]
                self.script.begin(
                    exponentials=[self.levels[i] - height],
                    uniforms=[*begin, *[Point(self.pick)] * 30],
                )
                theta, u = np.split(self.marks[i], [len(self.begun)])
                self.moves.begin(theta.copy(), u.copy())
                reached = np.concatenate(self.moves.step())
                taken = choices + [0] * (len(self.options) - len(choices))
                for k in range(len(choices), len(taken)):
                    open_ += [[*taken[:k], other] for other in range(1, self.options[k])]
                end = round((reached[self.member] - self.marks[0][self.member]) / self.step)
                sure(off(reached, self.marks[end]) < ARRIVAL, f"{i}: off the lattice")
                found[end] += 1.0 / math.prod(self.options) / self.WIDE / self.OUT
        sure(abs(found.sum() - 1.0) < CERTAIN, "the chances do not add up to 1")
        return found[self.reach : self.reach + STATES]

    def imbalance(self) -> float:
        """The largest |chance forth / chance back - 1| at any height."""
        worst, moved = 0.0, 0
        order = np.sort(self.levels)
        for share in self.HEIGHTS:
            place = int(share * (len(order) - 1))
            height = 0.5 * (order[place] + order[place + 1])
            inside = [i for i in range(STATES) if self.levels[i + self.reach] > height]
            chance = np.zeros((STATES, STATES))
            for i in inside:
                chance[i] = self.chances(i, height)
            larger = np.maximum(chance, chance.T)
            moved += int((larger > 0.0).sum()) - len(inside)
            apart = np.abs(chance - chance.T)[larger > 0.0] / larger[larger > 0.0]
            worst = max(worst, float(apart.max()))
        sure(moved > 2 * STATES, "hardly any flow")
        return worst
