"""Priors as users write them: checked numbers with a name, on the user's scale.

Scalar priors have a ``code``, a kind and three numbers, which compiled code reads
(``prior_density``). Priors of a whole covariance matrix are read by ``covariance``.
"""

import ast
import math
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, ClassVar

from .errors import PriorError

FLAT, NORMAL, STUDENT_T, LAPLACE = 0, 1, 2, 3
HALF_NORMAL, HALF_STUDENT_T, UNIFORM, EXPONENTIAL, INVERSE_GAMMA_VARIANCE = 4, 5, 6, 7, 8
GAMMA = 9
# Added to the kind of a prior that is stated of 1/x or of 1/sqrt(x).
OF_INVERSE, OF_INVERSE_SQRT = 100, 200

Code = tuple[int, float, float, float]

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
ASYMMETRY = 1e-10  # relative difference of S_kl and S_lk that rounding explains
LONGEST_TEXT = 2000  # of a prior on the command line


@dataclass(frozen=True)
class _Prior:
    """What all priors share: checks of their numbers, and how they print."""

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


@dataclass(frozen=True)
class _Scalar(_Prior):
    """A prior of one number."""

    def code(self) -> Code:
        """Kind and numbers for compiled code, log normalizing constants among them."""
        raise NotImplementedError

    def draw(self, rng: Any, size: Any = None) -> Any:
        """Draw from the prior with a numpy Generator.

        Raises
        ------
        PriorError
            If the prior is improper.
        """
        return draw(*self.code(), rng, size)

    def statement(self, name: str) -> str:
        """What the prior says of a parameter, for print: ``sigma ~ HalfNormal(1)``."""
        return f"{name} ~ {self}"


@dataclass(frozen=True)
class Flat(_Scalar):
    """Density 1 everywhere; improper."""

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        return FLAT, 0.0, 0.0, 0.0


@dataclass(frozen=True)
class Normal(_Scalar):
    """Normal prior."""

    mean: float = 0.0
    sd: float = 1.0
    positive = ("sd",)

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        return NORMAL, self.mean, self.sd, -HALF_LOG_TWO_PI - math.log(self.sd)


@dataclass(frozen=True)
class StudentT(_Scalar):
    """Student t prior."""

    df: float
    mean: float = 0.0
    scale: float = 1.0
    positive = ("df", "scale")

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        return STUDENT_T, self.df, self.mean, self.scale


@dataclass(frozen=True)
class Cauchy(_Scalar):
    """Cauchy prior: Student t with one degree of freedom."""

    mean: float = 0.0
    scale: float = 1.0
    positive = ("scale",)

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        return STUDENT_T, 1.0, self.mean, self.scale


@dataclass(frozen=True)
class Laplace(_Scalar):
    """Laplace (double exponential) prior; sd is sqrt(2) scale."""

    mean: float = 0.0
    scale: float = 1.0
    positive = ("scale",)

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        return LAPLACE, self.mean, self.scale, -math.log(2.0 * self.scale)


@dataclass(frozen=True)
class HalfNormal(_Scalar):
    """Normal prior of mean 0 cut to positive values; sd is that of the uncut Normal."""

    sd: float = 1.0
    positive = ("sd",)

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        constant = math.log(2.0) - HALF_LOG_TWO_PI - math.log(self.sd)
        return HALF_NORMAL, self.sd, 0.0, constant


@dataclass(frozen=True)
class HalfStudentT(_Scalar):
    """Student t prior of mean 0 cut to positive values (Gelman 2006, Bayesian Analysis 1(3))."""

    df: float
    scale: float = 1.0
    positive = ("df", "scale")

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        constant = math.log(2.0) + student_t_constant(self.df, self.scale)
        return HALF_STUDENT_T, self.df, self.scale, constant


@dataclass(frozen=True)
class HalfCauchy(_Scalar):
    """Cauchy prior of median 0 cut to positive values; ``scale`` is its median."""

    scale: float = 1.0
    positive = ("scale",)

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        return HalfStudentT(1.0, self.scale).code()


@dataclass(frozen=True)
class Uniform(_Scalar):
    """Uniform prior; with ``high`` infinite, density 1 above ``low``, improper."""

    low: float = 0.0
    high: float = math.inf

    def _number(self, name: str) -> float:
        value = getattr(self, name)
        if name == "high" and isinstance(value, Real) and value == math.inf:
            return math.inf
        number = super()._number(name)
        if name == "high" and number <= self.low:
            raise PriorError(f"Uniform: high must be above low, got {self.low:g} and {number:g}")
        return number

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        constant = 0.0 if self.high == math.inf else -math.log(self.high - self.low)
        return UNIFORM, self.low, self.high, constant


@dataclass(frozen=True)
class Exponential(_Scalar):
    """Exponential prior of mean 1 / rate."""

    rate: float = 1.0
    positive = ("rate",)

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        return EXPONENTIAL, self.rate, 0.0, math.log(self.rate)


@dataclass(frozen=True)
class Gamma(_Scalar):
    """Gamma prior of mean shape / rate."""

    shape: float
    rate: float = 1.0
    positive = ("shape", "rate")

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        constant = self.shape * math.log(self.rate) - math.lgamma(self.shape)
        return GAMMA, self.shape, self.rate, constant


@dataclass(frozen=True)
class PC(_Scalar):
    """Penalized-complexity prior of an sd: P(sd > upper) = probability.

    It is the exponential of rate -log(probability) / upper (Simpson, Rue, Riebler, Martins and
    Sorbye 2017, Statistical Science 32(1)).
    """

    upper: float
    probability: float
    positive = ("upper", "probability")

    def _number(self, name: str) -> float:
        number = super()._number(name)
        if name == "probability" and number >= 1.0:
            raise PriorError(f"PC: probability must be below 1, got {number:g}")
        return number

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        return Exponential(-math.log(self.probability) / self.upper).code()


@dataclass(frozen=True)
class GammaPrecision(_Scalar):
    """Gamma prior of the precision 1 / sd^2 (the BUGS convention), stated for the sd."""

    shape: float
    rate: float
    positive = ("shape", "rate")

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        # 1 / Gamma(shape, rate) is inverse-gamma of that shape with scale = rate.
        return InverseGammaVariance(self.shape, self.rate).code()


@dataclass(frozen=True)
class InverseGammaVariance(_Scalar):
    """Inverse-gamma prior of the variance sd^2, stated for the sd."""

    shape: float
    scale: float
    positive = ("shape", "scale")

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        constant = math.log(2.0) + self.shape * math.log(self.scale) - math.lgamma(self.shape)
        return INVERSE_GAMMA_VARIANCE, self.shape, self.scale, constant


@dataclass(frozen=True)
class _Transformed(_Scalar):
    """A positive parameter's prior that is stated of a function of it."""

    prior: Any
    kind: ClassVar[int]
    function: ClassVar[str]

    def __post_init__(self) -> None:
        if not isinstance(self.prior, POSITIVE_PRIORS):
            names = ", ".join(kind.__name__ for kind in POSITIVE_PRIORS)
            raise PriorError(
                f"{type(self).__name__}: the prior inside must be one of {names}; "
                f"got {self.prior!r}"
            )

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.prior})"

    def code(self) -> Code:
        """Kind and numbers for compiled code."""
        kind, a, b, c = self.prior.code()
        return kind + self.kind, a, b, c

    def statement(self, name: str) -> str:
        """What the prior says of a parameter, for print: ``1/size ~ Exponential(1)``."""
        return f"{self.function.format(name)} ~ {self.prior}"


@dataclass(frozen=True)
class Inverse(_Transformed):
    """Prior of 1/x, for a dispersion x: ``Inverse(Exponential(1))``."""

    kind = OF_INVERSE
    function = "1/{}"


@dataclass(frozen=True)
class InverseSqrt(_Transformed):
    """Prior of 1/sqrt(x), for a dispersion x: ``InverseSqrt(HalfNormal(1))``.

    Of a Gamma response's shape and of a negative binomial's size it is the coefficient of variation
    (of the response; of the Gamma that mixes Poisson means), and 0 is the case of no dispersion.
    """

    kind = OF_INVERSE_SQRT
    function = "1/sqrt({})"


@dataclass(frozen=True)
class LKJ(_Prior):
    """Prior of a correlation matrix, density proportional to det(R)^(eta - 1).

    Uniform at eta = 1; larger values pull towards 0 (Lewandowski, Kurowicka and Joe 2009, Journal
    of Multivariate Analysis 100(9)).
    """

    eta: float = 1.0
    positive = ("eta",)


@dataclass(frozen=True)
class InverseWishart(_Prior):
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
class HuangWand(_Prior):
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


COEFFICIENT_PRIORS = (Flat, Normal, StudentT, Cauchy, Laplace)
POSITIVE_PRIORS = (
    HalfNormal,
    HalfStudentT,
    HalfCauchy,
    Uniform,
    Exponential,
    Gamma,
    PC,
    GammaPrecision,
    InverseGammaVariance,
    Flat,
)
# Of a dispersion that is no sd: without those that speak of 1/sd^2.
SHAPE_PRIORS = (
    *(k for k in POSITIVE_PRIORS if k not in (PC, GammaPrecision, InverseGammaVariance)),
    Inverse,
    InverseSqrt,
)
SCALAR_PRIORS = tuple(dict.fromkeys((*COEFFICIENT_PRIORS, *POSITIVE_PRIORS, *SHAPE_PRIORS)))
MATRIX_PRIORS = (LKJ, InverseWishart, HuangWand)

_BY_NAME = {kind.__name__.lower(): kind for kind in (*SCALAR_PRIORS, *MATRIX_PRIORS)}


def student_t_constant(df: float, scale: float) -> float:
    """Log density of a Student t at its centre."""
    ratio = math.lgamma(0.5 * (df + 1.0)) - math.lgamma(0.5 * df)
    return ratio - 0.5 * math.log(math.pi * df) - math.log(scale)


def draw(kind: int, a: float, b: float, c: float, rng: Any, size: Any = None) -> Any:
    """Draw from a scalar prior given by its code.

    Raises
    ------
    PriorError
        If the prior is improper.
    """
    if kind >= OF_INVERSE_SQRT:
        return draw(kind - OF_INVERSE_SQRT, a, b, c, rng, size) ** -2.0
    if kind >= OF_INVERSE:
        return 1.0 / draw(kind - OF_INVERSE, a, b, c, rng, size)
    if kind == NORMAL:
        return rng.normal(a, b, size)
    if kind == STUDENT_T:
        return b + c * rng.standard_t(a, size)
    if kind == LAPLACE:
        return rng.laplace(a, b, size)
    if kind == HALF_NORMAL:
        return abs(rng.normal(0.0, a, size))
    if kind == HALF_STUDENT_T:
        return abs(b * rng.standard_t(a, size))
    if kind == UNIFORM and b < math.inf:
        return rng.uniform(a, b, size)
    if kind == EXPONENTIAL:
        return rng.exponential(1.0 / a, size)
    if kind == GAMMA:
        return rng.gamma(a, 1.0 / b, size)
    if kind == INVERSE_GAMMA_VARIANCE:
        return (b / rng.gamma(a, 1.0, size)) ** 0.5
    raise PriorError("nothing can be drawn from an improper prior")


def parse(text: str) -> Any:
    """Read a prior as written on the command line, ``"normal(0, 2.5)"``.

    Names are those of the classes, in any case and with or without underscores; matrices are
    nested lists, and a prior of 1/x or 1/sqrt(x) holds another: ``"inverse(exponential(1))"``.

    Raises
    ------
    PriorError
        If the text is not a prior.
    """
    if len(text) > LONGEST_TEXT:
        raise PriorError(f"a prior of {len(text)} characters is too long")
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _unreadable(text) from None
    return _read(call, text)


def _unreadable(text: str) -> PriorError:
    return PriorError(f"cannot read the prior {text!r}; write it like normal(0, 2.5)")


def _read(call: ast.expr, text: str) -> Any:
    """The prior that a call in the text makes."""
    try:
        if isinstance(call, ast.Name):
            call = ast.Call(call, [], [])
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            raise ValueError("not a name with numbers in parentheses")
        name = call.func.id
        args = [_argument(node, text) for node in call.args]
        keywords = {str(node.arg): _argument(node.value, text) for node in call.keywords}
    except (ValueError, TypeError, MemoryError, RecursionError):
        raise _unreadable(text) from None
    kind = _BY_NAME.get(name.replace("_", "").lower())
    if kind is None:
        known = ", ".join(sorted(_BY_NAME))
        raise PriorError(f"unknown prior {name!r}; there are {known}")
    try:
        return kind(*args, **keywords)
    except TypeError:
        takes = ", ".join(field.name for field in fields(kind))
        raise PriorError(f"{kind.__name__} takes ({takes}), got {text!r}") from None


def _argument(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    if isinstance(node, ast.Call):
        return _read(node, text)
    return ast.literal_eval(node)


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
