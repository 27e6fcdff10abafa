"""Derivatives by complex step, through the plain Python code of functions of one row.

f(x + ih) = f(x) + ih f'(x) + O(h^2): with h far below rounding the imaginary part is the
derivative, without a difference. What is compared runs as it is written, but for the elementary
functions, which work on bits there and are replaced by numpy's (and their derivatives) here;
comparisons look at the real part. Terms of h^2 are dropped, so that no h has to be chosen.
"""

import math
import types
from functools import cache
from typing import Any

import mpmath as mp
import numpy as np

TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)


class Number:
    """A real number and its imaginary part in units of h.

    `size` is what the terms add up to whose sum the imaginary part is, taken as positive numbers:
    in units of the last place of it the part is exact.
    """

    __slots__ = ("imaginary", "real", "size")

    def __init__(self, real: float, imaginary: float = 0.0, size: float | None = None) -> None:
        self.real, self.imaginary = np.float64(real), np.float64(imaginary)
        self.size = np.float64(abs(imaginary) if size is None else size)

    def __add__(self, other: Any) -> "Number":
        other = _number(other)
        return Number(
            self.real + other.real, self.imaginary + other.imaginary, self.size + other.size
        )

    def __neg__(self) -> "Number":
        return Number(-self.real, -self.imaginary, self.size)

    def __sub__(self, other: Any) -> "Number":
        return self + -_number(other)

    def __rsub__(self, other: Any) -> "Number":
        return _number(other) + -self

    def __mul__(self, other: Any) -> "Number":
        other = _number(other)
        return Number(
            self.real * other.real,
            _times(self.real, other.imaginary) + _times(other.real, self.imaginary),
            _times(abs(self.real), other.size) + _times(abs(other.real), self.size),
        )

    def __truediv__(self, other: Any) -> "Number":
        other = _number(other)
        ratio = self.real / other.real
        rest = (self.imaginary - _times(ratio, other.imaginary)) / other.real
        return Number(ratio, rest, (self.size + _times(abs(ratio), other.size)) / abs(other.real))

    def __rtruediv__(self, other: Any) -> "Number":
        return _number(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __abs__(self) -> "Number":
        return self if self.real > 0.0 else -self  # at 0 as in `if x > 0.0`

    def __lt__(self, other: Any) -> bool:
        return bool(self.real < _number(other).real)

    def __gt__(self, other: Any) -> bool:
        return bool(self.real > _number(other).real)

    def __le__(self, other: Any) -> bool:
        return bool(self.real <= _number(other).real)

    def __ge__(self, other: Any) -> bool:
        return bool(self.real >= _number(other).real)


def _number(value: Any) -> Number:
    return value if isinstance(value, Number) else Number(value)


def _times(value: np.float64, small: np.float64) -> np.float64:
    """The product; what does not move stays so beside an infinite number."""
    return np.float64(0.0) if small == 0.0 else value * small


def _elementary(function: Any, slope: Any) -> Any:
    """A function of numbers, from it and its derivative as functions of floats."""

    def on_numbers(x: Any) -> Number:
        x = _number(x)
        rise = slope(x.real)
        return Number(function(x.real), _times(rise, x.imaginary), _times(abs(rise), x.size))

    return on_numbers


def _expm1mx(x: float) -> float:
    if not abs(x) < 1.0:
        return np.expm1(x) - x
    with mp.workdps(40):
        return float(mp.expm1(mp.mpf(float(x))) - mp.mpf(float(x)))


def _log1pmx(x: float) -> float:
    if not abs(x) < 1.0:
        return np.log1p(x) - x
    with mp.workdps(40):
        return float(mp.log1p(mp.mpf(float(x))) - mp.mpf(float(x)))


EXP = _elementary(np.exp, np.exp)
LOG = _elementary(np.log, lambda x: 1.0 / x)
LOG1P = _elementary(np.log1p, lambda x: 1.0 / (1.0 + x))
ERFC = _elementary(lambda x: math.erfc(x), lambda x: -TWO_OVER_ROOT_PI * np.exp(-x * x))
REPLACED = {
    "exp": EXP,
    "log": LOG,
    "log1p": LOG1P,
    "log1p_unit": LOG1P,
    "log1p_positive": LOG1P,
    "expm1": _elementary(np.expm1, np.exp),
    "expm1mx": _elementary(_expm1mx, np.expm1),
    "log1pmx": _elementary(_log1pmx, lambda x: -x / (1.0 + x)),
    "math": types.SimpleNamespace(exp=EXP, log=LOG, log1p=LOG1P, erfc=ERFC),
}


@cache
def through(function: Any) -> Any:
    """The plain code of a compiled inner function, and of those that it calls, on numbers."""
    plain = getattr(function, "py_func", function)
    names = dict(plain.__globals__)
    for name in plain.__code__.co_names:
        if name in REPLACED:
            names[name] = REPLACED[name]
        elif isinstance(getattr(names.get(name), "py_func", names.get(name)), types.FunctionType):
            names[name] = through(names[name])
    made = types.FunctionType(plain.__code__, names, plain.__name__, None, plain.__closure__)

    def on_numbers(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            value = made(*arguments)
        return value if isinstance(value, tuple) else _number(value)

    return on_numbers
