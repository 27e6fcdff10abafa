"""Priors as users write them: checked numbers with a name, on the user's scale.

Scalar priors have a ``code``, a kind and three numbers, which compiled code reads
(``prior_density``). Those of a whole covariance matrix come from ``matrix_priors``.
"""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

from .errors import PriorError
from .matrix_priors import LKJ as LKJ
from .matrix_priors import MATRIX_PRIORS as MATRIX_PRIORS
from .matrix_priors import HuangWand as HuangWand
from .matrix_priors import InverseWishart as InverseWishart
from .prior_base import CheckedPrior

FLAT, NORMAL, STUDENT_T, LAPLACE = 0, 1, 2, 3
HALF_NORMAL, HALF_STUDENT_T, UNIFORM, EXPONENTIAL, INVERSE_GAMMA_VARIANCE = 4, 5, 6, 7, 8
GAMMA = 9
# Added to the kind of a prior that is stated of 1/x or of 1/sqrt(x).
OF_INVERSE, OF_INVERSE_SQRT = 100, 200

Code = tuple[int, float, float, float]

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class _Scalar(CheckedPrior):
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
