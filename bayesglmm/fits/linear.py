"""Linear mixed models: restricted and full maximum likelihood (REML, ML)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..density import Data
from ..errors import DataError
from .boundary import restricted_inverse
from .linear_search import climb, effect_variances
from .mode import LONGEST_PSI, Start
from .optimizer import CONVERGED, EVALUATIONS, STATE, begin
from .outcome import Outcome
from .pattern import Pattern, arrange, sorted_border, sorted_z
from .weighted import COLLINEAR, FINE, PERFECT

LAST_GAIN = 1e-10  # of log-likelihood by one more step: then a search has arrived
ALIVE = math.log(0.3)  # log of the relative sd from which one that was 0 may grow again
FLATTEST = 1e-5  # least curvature in a log sd or Fisher's z: standard errors of hundreds beyond
PERFECT_WORDS = (
    "the model fits the data without error: the residual variance goes to 0 and the likelihood has "
    "no bound; these are no estimates"
)
FLAT_WORDS = (
    "some variances cannot be told apart by these data (those of a group of one row each and of "
    "the residual, for example)"
)


@dataclass(frozen=True, eq=False)
class Linear:
    """A weighted linear mixed model with all that does not change between fits of it."""

    data: Data
    pattern: Pattern
    z: np.ndarray  # (n, Q) in the order of the pattern

    @classmethod
    def of(cls, data: Data) -> "Linear":
        """Arrange the rows of a model."""
        pattern = arrange(data)
        return cls(data, pattern, sorted_z(pattern, data))


@dataclass(frozen=True, eq=False)
class Solution:
    """A weighted linear mixed model at its maximum.

    Attributes
    ----------
    beta, covariance : ndarray, shape (p,), (p, p)
        Coefficients and (X'V^-1 X)^-1, of the residual variance s2.
    psi : ndarray, shape (m,)
        Of the covariance of u.
    s2 : float
        Residual variance; 1 where it is not estimated.
    hessian : ndarray, shape (m + 1, m + 1)
        Minus the Hessian with respect to psi and log(s2) / 2.
    profiled : ndarray, shape (m, m)
        Minus the Hessian with respect to `relative`, with s2 at its maximum if it is estimated.
    gradient : ndarray, shape (m,)
        With respect to psi, at fixed beta and s2 their maxima.
    boundary : ndarray of bool, shape (m,)
    modes : ndarray, shape (effects,)
        Standardized effects v.
    value : float
        Log-likelihood without terms of data alone.
    code : float
        FINE, or why there is no solution (`weighted`).
    relative : ndarray, shape (m,)
        Psi of the covariance of u over s2, where another search may begin.
    inverse : ndarray, shape (m, m)
        The search's last guess of its covariance.
    """

    beta: np.ndarray
    covariance: np.ndarray
    psi: np.ndarray
    s2: float
    hessian: np.ndarray
    profiled: np.ndarray
    gradient: np.ndarray
    boundary: np.ndarray
    modes: np.ndarray
    value: float
    converged: bool
    evaluations: int
    code: float
    relative: np.ndarray
    inverse: np.ndarray


def solve(
    linear: Linear,
    response: np.ndarray,
    weights: np.ndarray,
    total: float,
    restricted: bool,
    estimated: bool,
    last: Solution | None = None,
    strict: bool = False,
) -> Solution:
    """Maximize the likelihood of a weighted linear mixed model.

    Parameters
    ----------
    linear : Linear
    response, weights : ndarray, shape (n,)
        In the order of the rows of the data; weights of 0 leave rows out.
    total : float
        Number of observations.
    restricted : bool
        REML.
    estimated : bool
        Whether the residual variance is estimated; else it is 1 over the weight.
    last : Solution, optional
        Of a similar problem, where the search begins.
    strict : bool
        Whether sds that gain next to nothing over 0 are followed all the same, so that solutions of
        similar problems are similar.

    Raises
    ------
    DataError
        If there are no more observations than coefficients.
    """
    data, pattern = linear.data, linear.pattern
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    if total <= p:
        raise DataError(
            f"{total:g} observations cannot estimate {p} coefficients and the variances besides; "
            "leave terms out, or sample the posterior under proper priors"
        )
    diagonal = data.prior.covariance.row == data.prior.covariance.col
    start, guess = (np.zeros(m), np.eye(m)) if last is None else _near(last, diagonal)
    search = begin(start, guess, np.full(m, LONGEST_PSI))
    rule = np.array([restricted, estimated, last is None, strict], dtype=np.int64)
    x = sorted_border(pattern, np.column_stack([data.obs.X.T, response]))
    zero, hessian, gradient = np.zeros(m, dtype=np.int64), np.zeros((m + 1, m + 1)), np.zeros(m)
    beta, inverse = np.zeros(p), np.zeros((p, p))
    modes, number = np.zeros(pattern.origin.size), np.zeros(6)
    number[0] = total - p if restricted else total
    climb(
        data.prior.covariance,
        pattern,
        rule,
        linear.z,
        x,
        np.ascontiguousarray(weights[pattern.row]),
        search,
        zero,
        hessian,
        gradient,
        beta,
        inverse,
        modes,
        number,
    )
    code, s2 = float(number[5]), float(number[2])
    profiled = hessian[:m, :m]
    if estimated and s2 > 0.0:
        profiled = profiled - np.outer(hessian[:m, m], hessian[:m, m]) / hessian[m, m]
        psi = search.x + np.where(diagonal, 0.5 * math.log(s2), 0.0)
        # psi = relative psi + log s: the Hessian in terms of psi and log s.
        change = np.eye(m + 1)
        change[:m, m] = -diagonal.astype(np.float64)
        hessian = change.T @ hessian @ change
    else:
        psi = search.x.copy()
    row, col = data.prior.covariance.row, data.prior.covariance.col
    none = np.zeros(data.factor.size, dtype=bool)
    none[row[diagonal]] = zero[diagonal] == 1
    edge = (zero == 1) | none[row] | none[col]
    return Solution(
        beta,
        inverse * s2,
        psi,
        s2,
        hessian,
        profiled,
        gradient,
        edge,
        modes / math.sqrt(s2) if s2 > 0.0 else modes,
        float(number[1]),
        code == FINE
        and (bool(search.counts[STATE] == CONVERGED) or _arrived(profiled, gradient, edge)),
        int(search.counts[EVALUATIONS]),
        code,
        search.x,
        search.inverse,
    )


def _near(last: Solution, diagonal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a search of a similar problem begins: from a boundary none would get away."""
    start = np.where(last.boundary, np.where(diagonal, ALIVE, 0.0), last.relative)
    guess = last.inverse.copy()
    guess[last.boundary], guess[:, last.boundary] = 0.0, 0.0
    guess[last.boundary, last.boundary] = 1.0
    return start, guess


def dependent() -> DataError:
    """What is said of a solution whose code is COLLINEAR."""
    return DataError(
        "the columns of the fixed effects are linearly dependent: some coefficients have no "
        "unique estimate; leave columns out, or sample the posterior under proper priors"
    )


def variances(linear: Linear, weights: np.ndarray, solution: Solution) -> np.ndarray:
    """Conditional variances of u given the parameters, shape (effects,)."""
    pattern = linear.pattern
    out = np.zeros(pattern.origin.size)
    effect_variances(
        linear.data.prior.covariance,
        pattern,
        linear.z,
        np.ascontiguousarray(weights[pattern.row]),
        solution.relative,
        out,
    )
    return out * solution.s2


def covariance_of(
    solution: Solution, estimated: bool, per_scale: float = 1.0
) -> tuple[np.ndarray, bool, float]:
    """Covariance of (beta, psi, and what the residual variance stands for), definite, and gain.

    Parameters
    ----------
    solution : Solution
    estimated : bool
        Whether the last element is there.
    per_scale : float
        Its change for a unit of log(s2) / 2.
    """
    p, m = solution.beta.size, solution.psi.size
    d = m + 1 if estimated else m
    inner, definite = restricted_inverse(solution.hessian[:d, :d], solution.boundary, 0)
    definite = definite and _curved(solution.profiled[~solution.boundary][:, ~solution.boundary])
    gain = 0.5 * float(solution.gradient @ inner[:m, :m] @ solution.gradient)
    if estimated:
        inner[m] *= per_scale
        inner[:, m] *= per_scale
    covariance = np.zeros((p + d, p + d))
    covariance[:p, :p] = solution.covariance
    covariance[p:, p:] = inner
    return covariance, definite, gain


def _arrived(profiled: np.ndarray, gradient: np.ndarray, boundary: np.ndarray) -> bool:
    """Whether the gradient vanishes in the scale of the curvature, however the search ended.

    On its way to a correlation of 1 a search may stop where rounding hides what is left to gain.
    """
    curve, slope = profiled[~boundary][:, ~boundary], gradient[~boundary]
    if not (np.all(np.isfinite(curve)) and _curved(curve)):
        return False
    return bool(0.5 * slope @ np.linalg.solve(curve, slope) < LAST_GAIN)


def _curved(profiled: np.ndarray) -> bool:
    """Whether a likelihood profiled over s2 is curved in all directions of psi, free of units."""
    return bool(np.linalg.eigvalsh(profiled).min(initial=1.0) > FLATTEST)


def words(solution: Solution, definite: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What has to be said of a solution: why it is no estimate, and what else."""
    if solution.code == PERFECT:
        return (PERFECT_WORDS,), ()
    return (), () if definite else (FLAT_WORDS,)


def fit(rows, data: Data, start: Start, method: str = "reml") -> Outcome:
    """Fit a Gaussian model with identity link by REML or ML.

    Parameters
    ----------
    rows : compiled row function of the family
        Not used: everything comes from cross products.
    data : Data
        Weights are frequencies.
    start : Start
    method : {"reml", "ml"}

    Notes
    -----
    The value is that of the likelihood of the scaled columns of X: for REML the caller subtracts
    the logs of their scales.
    """
    restricted = method == "reml"
    linear = Linear.of(data)
    weights = data.obs.w
    total = float(weights.sum())
    solution = solve(linear, data.obs.y - data.obs.offset, weights, total, restricted, True)
    if solution.code == COLLINEAR:
        raise dependent()
    covariance, definite, gain = covariance_of(solution, True)
    with np.errstate(divide="ignore"):
        theta = np.concatenate([solution.beta, solution.psi, [0.5 * np.log(solution.s2)]])
    p = solution.beta.size
    unbounded, warnings = words(solution, definite)
    return Outcome(
        method,
        theta,
        covariance,
        # n log(2 pi) / 2 is the family's constant; REML has n - p.
        solution.value + (0.5 * p * math.log(2.0 * math.pi) if restricted else 0.0),
        solution.converged,
        definite,
        gain,
        solution.evaluations,
        solution.modes,
        conditional_variances(linear, weights, solution),
        solution.boundary,
        restricted=restricted,
        warnings=warnings,
        unbounded=unbounded,
    )


def conditional_variances(
    linear: Linear, weights: np.ndarray, solution: Solution
) -> Callable[[], np.ndarray]:
    """`variances`, computed when asked for."""
    return lambda: variances(linear, weights, solution)
