"""What all priors share: checks of their numbers, and how they print."""

import math
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, ClassVar

from .errors import PriorError


@dataclass(frozen=True)
class CheckedPrior:
    """A prior whose fields are checked numbers."""

    positive: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, self._number(field.name))

    def _number(self, name: str) -> float:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, Real):
            raise PriorError(f"{type(self).__name__}: {name} must be a number, got {value!r}")
        if not math.isfinite(value):
            raise PriorError(f"{type(self).__name__}: {name} must be finite, got {value}")
        if name in self.positive and not float(value) > 0.0:
            raise PriorError(f"{type(self).__name__}: {name} must be positive, got {value}")
        return float(value)

    def __str__(self) -> str:
        numbers = ", ".join(_text(getattr(self, field.name)) for field in fields(self))
        return f"{type(self).__name__}({numbers})"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    return f"{value:.6g}"
