"""Priors of a covariance matrix: LKJ of its correlations, or of the whole matrix."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from .errors import PriorError
from .prior_base import CheckedPrior

ASYMMETRY = 1e-10  # relative difference of S_kl and S_lk that rounding explains


@dataclass(frozen=True)
class LKJ(CheckedPrior):
    """Prior of a correlation matrix, density proportional to det(R)^(eta - 1).

    Uniform at eta = 1; larger values pull towards 0 (Lewandowski, Kurowicka and Joe 2009, Journal
    of Multivariate Analysis 100(9)).
    """

    eta: float = 1.0
    positive = ("eta",)


@dataclass(frozen=True)
class InverseWishart(CheckedPrior):
    """Inverse-Wishart prior of a covariance matrix; mean scale / (df - q - 1).

    It ties sd and correlation together (Alvarez, Niemi and Simpson 2014), so what it implies for
    both is printed with the model.

    Parameters
    ----------
    df : float
        Degrees of freedom, above q - 1.
    scale : matrix, or float
        Symmetric, positive definite; a number stands for that number on the diagonal.
    """

    df: float
    scale: Any
    positive = ("df",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "df", self._number("df"))
        object.__setattr__(self, "scale", _matrix(self, self.scale))
        if isinstance(self.scale, tuple):
            self._check_df(len(self.scale))

    def _check_df(self, q: int) -> None:
        if not self.df > q - 1:
            raise PriorError(
                f"InverseWishart: df must be above {q - 1} for {q} effects, got {self.df:g}"
            )

    def for_size(self, q: int, group: str) -> "InverseWishart":
        """Return the prior with its scale written out for q effects of a group.

        Raises
        ------
        PriorError
            If the scale is of another size, or df too small for q effects.
        """
        self._check_df(q)
        if not isinstance(self.scale, tuple):
            return InverseWishart(self.df, _diagonal([self.scale] * q))
        if len(self.scale) != q:
            size = len(self.scale)
            raise PriorError(
                f"InverseWishart: scale is {size} x {size}, but {group} has {q} effects"
            )
        return self


@dataclass(frozen=True)
class HuangWand(CheckedPrior):
    """Scale mixture of inverse-Wisharts whose sds are half-Student-t(df, scale).

    With df = 2 each correlation is uniform on (-1, 1) (Huang and Wand 2013, Bayesian Analysis
    8(2)).

    Parameters
    ----------
    scale : float, or one per effect
        Scale of the half-t of each sd.
    df : float
        Degrees of freedom of the half-t.
    """

    scale: Any = 2.5
    df: float = 2.0
    positive = ("df", "scale")

    def __post_init__(self) -> None:
        object.__setattr__(self, "df", self._number("df"))
        values = _listed(self.scale)
        if isinstance(values, list):
            if not values:
                raise PriorError("HuangWand: scale is empty")
            # Each is checked as a prior of one effect is.
            object.__setattr__(self, "scale", tuple(HuangWand(v, self.df).scale for v in values))
        else:
            object.__setattr__(self, "scale", self._number("scale"))

    def for_size(self, q: int, group: str) -> "HuangWand":
        """Return the prior with a scale for each of the q effects of a group.

        Raises
        ------
        PriorError
            If there are scales for another number of effects.
        """
        if not isinstance(self.scale, tuple):
            return HuangWand((self.scale,) * q, self.df)
        if len(self.scale) != q:
            raise PriorError(
                f"HuangWand: {len(self.scale)} scales are given, but {group} has {q} effects"
            )
        return self


MATRIX_PRIORS = (LKJ, InverseWishart, HuangWand)


def _listed(value: Any) -> Any:
    """Nested lists of an array or of tuples; anything else as it is."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return value


def _diagonal(values: list[float]) -> tuple[tuple[float, ...], ...]:
    size = range(len(values))
    return tuple(tuple(values[k] if k == l else 0.0 for l in size) for k in size)


def _matrix(prior: Any, value: Any) -> float | tuple[tuple[float, ...], ...]:
    """Check a scale matrix: numbers, square, symmetric, positive definite."""
    name = type(prior).__name__
    rows = _listed(value)
    if not isinstance(rows, list):
        if isinstance(rows, bool) or not isinstance(rows, Real) or not 0.0 < float(rows) < math.inf:
            raise PriorError(f"{name}: scale must be a positive number or a matrix, got {value!r}")
        return float(rows)
    q = len(rows)
    if q == 0 or any(not isinstance(row, list) or len(row) != q for row in rows):
        raise PriorError(f"{name}: scale must be a square matrix, got {value!r}")
    for row in rows:
        for entry in row:
            if isinstance(entry, bool) or not isinstance(entry, Real) or not math.isfinite(entry):
                raise PriorError(f"{name}: scale must hold finite numbers, got {entry!r}")
    factor = [[0.0] * q for _ in range(q)]
    for k in range(q):
        for l in range(k + 1):
            size = math.sqrt(abs(rows[k][k] * rows[l][l]))
            if abs(rows[k][l] - rows[l][k]) > ASYMMETRY * size:
                raise PriorError(f"{name}: scale is not symmetric: {rows[k][l]} and {rows[l][k]}")
            rest = rows[k][l] - sum(factor[k][i] * factor[l][i] for i in range(l))
            if k == l:
                # Written for rounding: a pivot of a singular matrix need not be exactly 0.
                if not rest > ASYMMETRY * abs(rows[k][k]):
                    raise PriorError(f"{name}: scale is not positive definite")
                factor[k][k] = math.sqrt(rest)
            else:
                factor[k][l] = rest / factor[l][l]
    return tuple(tuple(float(entry) for entry in row) for row in rows)
