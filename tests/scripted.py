"""Random numbers in our hands: a plain copy of the package whose every number is scripted.

A uniform that decides stays unknown (`Unknown`): what it is compared with is the chance of the
branch, exactly, and the script answers.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from joint import Load


class Broken(AssertionError):
    """A step does something else than it says."""


def sure(true: Any, what: str) -> None:
    """Raise `Broken` unless something is true."""
    if not true:
        raise Broken(what)


class Unknown:
    """A uniform that has not been drawn, or its logarithm."""

    def __init__(self, script: "Script", logged: bool = False) -> None:
        self.script, self.logged = script, logged

    def log(self) -> "Unknown":
        return Unknown(self.script, True)

    def __lt__(self, limit: float) -> bool:
        return self.script.decide(float(limit) if self.logged else log_of(limit))


def log_of(x: Any) -> Any:
    """As `mutants.QUIET` has it, of what is known; else what is to be compared."""
    if isinstance(x, Unknown):
        return x.log()
    return math.log(x) if x > 0.0 else -math.inf if x == 0.0 else math.nan


class Script:
    """The random numbers of a plain copy of the package, in place of its stream."""

    def __init__(self, load: Load) -> None:
        quiet = load("quiet_math")
        quiet.log = log_of
        package = quiet.__name__.rpartition(".")[0]
        for name, module in list(sys.modules.items()):
            if name.startswith(package + ".") and not name.endswith("._random"):
                for own in ("uniform", "normal", "exponential", "gamma"):
                    if hasattr(module, own):
                        setattr(module, own, getattr(self, own))
                for own in ("fill_uniforms", "fill_normals"):
                    if hasattr(module, own):
                        setattr(module, own, getattr(self, own))
        self.askers: set[str] = set()  # who has drawn uniforms
        self.begin()

    def begin(
        self,
        normals: Sequence[float] = (),
        exponentials: Sequence[float] = (),
        gammas: Sequence[float] = (),
        answers: Sequence[bool] = (),
        uniforms: Sequence[Any] = (),
    ) -> None:
        """What comes next; comparisons without an answer are said to be true."""
        self.normals, self.exponentials = iter(normals), iter(exponentials)
        self.gammas, self.answers, self.uniforms = iter(gammas), iter(answers), iter(uniforms)
        self.limits: list[float] = []  # logs of the chances of what was decided
        self.shapes: list[float] = []  # of gamma variates

    def decide(self, limit: float) -> bool:
        self.limits.append(limit)
        return next(self.answers, True)

    def _note(self) -> None:
        asker = sys._getframe(2)
        package = asker.f_globals["__name__"].partition(".")[2]
        self.askers.add(f"{package}.{asker.f_code.co_name}")

    def uniform(self, state: Any) -> Any:
        self._note()
        return next(self.uniforms, Unknown(self))

    def normal(self, state: Any) -> float:
        return next(self.normals)

    def exponential(self, state: Any) -> float:
        return next(self.exponentials)

    def gamma(self, state: Any, shape: float) -> float:
        self.shapes.append(shape)
        return next(self.gammas)

    def fill_normals(self, state: Any, out: np.ndarray) -> None:
        out[:] = [next(self.normals) for _ in out]

    def fill_uniforms(self, state: Any, out: np.ndarray) -> None:
        self._note()
        out[:] = next(self.uniforms)


def paths(script: Script, run: Any) -> Iterator[tuple[float, Any]]:
    """Every way that decisions can go: its probability, and what `run` returns there."""
    open_ = [[]]
    while open_:
        answers = open_.pop()
        made = run(answers)
        chances = [math.exp(min(0.0, limit)) for limit in script.limits]
        taken = answers + [True] * (len(chances) - len(answers))
        for k in range(len(answers), len(chances)):
            open_.append([*taken[:k], False])
        share = math.prod(p if yes else 1.0 - p for p, yes in zip(chances, taken, strict=True))
        if share > 0.0:
            yield share, made
