"""Profile likelihood: intervals and signed-root curves of linear functions of the parameters.

For a function value c = a'theta, l_p(c) is the largest log-likelihood among all theta with
a'theta = c, and its signed root

    zeta(c) = sign(c - c_hat) sqrt(2 (l(theta_hat) - l_p(c)))

is the standard normal pivot; the interval's ends are where it is plus and minus the normal quantile
(Venzon and Moolgavkar 1988; Bates et al. 2015, section 5.1). Both functions take

    objective    theta -> (log-likelihood, its gradient); -inf is outside its domain
    theta        where it is highest, (d,)
    covariance   inverse of minus its Hessian there, (d, d); rows of 0 for what lies on a boundary
    direction    a, (d,): a unit vector for a log sd, for log phi or for the Fisher's z of a
                 correlation; what gives a coefficient on the user's scale
    longest      (d,) step in each element of theta that is long whatever its standard error says:
                 that of `mode.longest_steps`
    lowest, highest
                 values of a'theta beyond which all is as there: the log of an sd that is all but 0,
                 Fisher's z of a correlation that is all but 1

and return values of a'theta: the caller takes exp or tanh of them. An end that does not exist is
-inf or inf (an sd of 0, a correlation of 1, a coefficient under separation).

Inside, theta = theta_hat + T z. The first axis of T is the direction in which the quadratic
approximation has its constrained maxima, the others do not change a'theta and have curvatures of
nearly 1. zeta is nearly linear in z_1, its slope comes with the gradient, and an inverse Hermite
interpolation needs two or three re-maximizations an end.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from .optimizer import CONVERGED, GAIN, SEARCHING, STATE, Optimum, begin, end, tell
from .optimizer import EVALUATIONS as EVALUATED

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]

TOLERANCE = 1e-9  # gain in log-likelihood at which a re-maximization ends
EVALUATIONS = 150  # at most, in one re-maximization; about five are the rule
LONGEST = 2.0  # largest step of a re-maximization, in standard errors
CLOSE = 0.02  # an end this near in zeta is interpolated: the error is of its fourth power
FARTHEST = 100.0  # standard errors (or longest steps, if shorter); an end beyond is at infinity
MOST = 40  # points tried for one end
HIGHER = 1e-4  # a log-likelihood above the fit's by more than this: the fit had not converged


class Limits(NamedTuple):
    """Ends of an interval; infinite if they do not exist, nan if they were not found."""

    lower: float
    upper: float
    notes: tuple[str, ...]  # sentences on ends that were not found


class Curve(NamedTuple):
    """The signed root at some values, in their order."""

    value: np.ndarray  # (k,) a'theta
    zeta: np.ndarray  # (k,)
    slope: np.ndarray  # (k,) d zeta / d value
    theta: np.ndarray  # (k, d) where the likelihood is highest given the value


class _Point(NamedTuple):
    z: float  # first axis
    rest: np.ndarray  # (d - 1,) the others, where the likelihood is highest
    zeta: float
    slope: float  # d zeta / d z


class _Points(Protocol):
    """An objective that takes several points at once, as those of `mode` do."""

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


class Restricted:
    """REML's likelihood of (psi, log phi), from the full one of a linear mixed model.

    That is quadratic in beta: its gradient at p + 1 points gives the best beta and M = X'V^-1 X,

        log L_R = log L(beta) - log|M| / 2 + p log(2 pi) / 2,

    and the gradient g of log L with respect to the others is quadratic in beta too, so that that of
    log|M| is minus the sum of g(beta + d) - 2 g(beta) + g(beta - d) over d d' = M^-1. No difference
    here leaves an error but that of rounding.

    Parameters
    ----------
    likelihood : object
        Its ``at(points)`` gives values and gradients of log L at points (k, d), beta first.
    beta : ndarray, shape (p,)
        Coefficients, near which the points are.
    """

    def __init__(self, likelihood: _Points, beta: np.ndarray) -> None:
        self.likelihood, self.beta = likelihood, beta

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient at (psi, log phi)."""
        p = self.beta.size
        moves = np.concatenate([np.zeros((1, p)), np.eye(p)])
        _, gradients, _ = self._at(self.beta + moves, theta)
        precision = gradients[0, :p] - gradients[1:, :p]
        try:
            half = np.linalg.cholesky(0.5 * (precision + precision.T))
        except np.linalg.LinAlgError:
            return -math.inf, np.zeros(theta.size)
        sides = np.linalg.inv(half)  # rows d: the sum of d d' is M^-1
        best = self.beta + sides.T @ (sides @ gradients[0, :p])
        moves = np.concatenate([np.zeros((1, p)), sides, -sides])
        values, gradients, _ = self._at(best + moves, theta)
        middle, around = gradients[0, p:], gradients[1:, p:]
        value = float(values[0] - np.log(np.diag(half)).sum() + 0.5 * p * math.log(2.0 * math.pi))
        return value, middle + 0.5 * (around.sum(axis=0) - 2.0 * p * middle)

    def _at(self, beta: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, ...]:
        rest = np.broadcast_to(theta, (beta.shape[0], theta.size))
        return self.likelihood.at(np.concatenate([beta, rest], axis=1))


class NotHighest(Exception):
    """A likelihood above that of the fit."""


def limits(
    objective: Objective,
    theta: np.ndarray,
    covariance: np.ndarray,
    direction: np.ndarray,
    longest: np.ndarray,
    quantile: float,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Limits:
    """Ends of a profile-likelihood interval.

    Parameters
    ----------
    objective, theta, covariance, direction, longest, lowest, highest
        As at the top of this file.
    quantile : float
        Of the standard normal, 1.96 for 95%: its square is that of chi-square on 1 df.
    """
    profile = _Profile(objective, theta, covariance, direction, longest)
    ends, notes = [], []
    for sign, bound, side in ((-1.0, lowest, "lower"), (1.0, highest, "upper")):
        try:
            z = profile.end(sign, quantile, profile.z_of(bound))
        except NotHighest:
            z = math.nan
            notes.append("the likelihood is higher elsewhere: the fit had not converged")
        else:
            if math.isnan(z):
                notes.append(f"{side} end: the likelihood could not be maximized on the way to it")
        ends.append(profile.value_of(z))
    return Limits(ends[0], ends[1], tuple(dict.fromkeys(notes)))


def curve(
    objective: Objective,
    theta: np.ndarray,
    covariance: np.ndarray,
    direction: np.ndarray,
    longest: np.ndarray,
    reach: float,
    points: int = 8,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Curve:
    """Signed root from -`reach` to `reach`, as far as it gets, at about `points` values a side.

    The other parameters are as in `limits`. A side ends early where the signed root levels off, or
    the likelihood cannot be maximized.
    """
    profile = _Profile(objective, theta, covariance, direction, longest)
    for sign, bound in ((-1.0, lowest), (1.0, highest)):
        profile.march(sign, reach, reach / points, profile.z_of(bound))
    found = sorted([profile.origin, *profile.points], key=lambda point: point.z)
    return Curve(
        np.array([profile.value_of(point.z) for point in found]),
        np.array([point.zeta for point in found]),
        np.array([point.slope for point in found]) / profile.unit,
        np.array([profile.theta_at(point.z, point.rest) for point in found]),
    )


class _Profile:
    """The profile of one linear function, which remembers the points it has been to."""

    def __init__(
        self,
        objective: Objective,
        theta: np.ndarray,
        covariance: np.ndarray,
        direction: np.ndarray,
        longest: np.ndarray,
    ) -> None:
        self.objective, self.theta = objective, theta
        on_edge = np.diag(covariance) <= 0.0
        # Without a curvature of its own, an element moves by its longest step.
        wide = np.diag(longest**2)
        spread = np.where(np.diag(on_edge), wide, covariance)
        # Precisions added: no axis is longer than the longest steps, however flat the likelihood.
        capped = spread @ np.linalg.solve(spread + wide, wide)
        half = np.linalg.cholesky(0.5 * (capped + capped.T))
        along = half.T @ direction
        self.unit = float(np.linalg.norm(along))  # of a'theta: its standard error, if that is short
        self.axes = half @ np.linalg.qr(np.column_stack([along, np.eye(theta.size)]))[0]
        towards = spread @ direction
        variance = float(direction @ towards)
        self.axes[:, 0] = towards * (self.unit / variance)
        self.value = float(direction @ theta)
        self.highest, gradient = objective(theta)
        self.converged = 0.5 * float(gradient @ covariance @ gradient) < HIGHER
        self.edge = bool(np.all(on_edge[direction != 0.0]))
        slope = 0.0 if self.edge else self.unit / math.sqrt(variance)
        self.origin = _Point(0.0, np.zeros(theta.size - 1), 0.0, slope)
        self.points: list[_Point] = []
        self.inverse = np.eye(theta.size - 1)

    def z_of(self, value: float) -> float:
        return (value - self.value) / self.unit

    def value_of(self, z: float) -> float:
        return self.value + self.unit * z

    def theta_at(self, z: float, rest: np.ndarray) -> np.ndarray:
        made: np.ndarray = self.theta + self.axes @ np.concatenate([[z], rest])
        return made

    def at(self, z: float) -> _Point | None:
        """Maximize over the other axes at z; None if that fails."""
        slopes: dict[bytes, float] = {}

        def inner(rest: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self.objective(self.theta_at(z, rest))
            turned = self.axes.T @ gradient
            slopes[rest.tobytes()] = float(turned[0])
            return value, turned[1:]

        if not self.converged:
            raise NotHighest
        start = self._start(z, inner)
        if start is None:
            return None
        best = _climb(inner, start, self.inverse)
        if best is None:
            best = _climb(inner, start, np.eye(start.size))
        if best is None:
            return None
        if best.value > self.highest + HIGHER:
            raise NotHighest
        self.inverse = best.inverse
        zeta = math.copysign(math.sqrt(2.0 * max(self.highest - best.value, 0.0)), z)
        slope = -slopes[best.x.tobytes()] / zeta if zeta != 0.0 else self.origin.slope
        point = _Point(z, best.x, zeta, slope)
        self.points.append(point)
        return point

    def _start(self, z: float, inner: Objective) -> np.ndarray | None:
        """Where a re-maximization begins: rest / z^2 interpolated through the nearest points.

        At the fit rest and its slope are 0, so this has the right beginning.
        """
        near = sorted(self.points, key=lambda point: abs(point.z - z))[:3]
        guesses = [_interpolate([p.z for p in near], [p.rest / p.z**2 for p in near], z) * z * z]
        guesses += [point.rest for point in near[:1]] + [self.origin.rest]
        for guess in guesses:
            start = np.zeros(self.origin.rest.size) + guess
            if np.isfinite(inner(start)[0]):
                return start
        return None

    def end(self, sign: float, quantile: float, bound: float) -> float:
        """Return z where |zeta| is the quantile, on the side of the sign.

        Infinite if |zeta| stays below it up to `bound` or FARTHEST, nan if it is not found.
        """
        if sign * bound <= 0.0:
            return sign * math.inf  # the estimate itself lies there
        inner, outer, failed = self.origin, math.inf, True
        z = sign * (1.0 if self.edge else quantile)
        tried = [self.origin] if not self.edge else []
        for _ in range(MOST):
            z = sign * min(abs(z), sign * bound, FARTHEST)
            point = self.at(z)
            if point is None:
                outer = abs(z)
            elif abs(point.zeta) >= quantile:
                outer, failed = abs(z), False
            else:
                inner = point
                if abs(z) >= min(sign * bound, FARTHEST):
                    return sign * math.inf
            if point is not None:
                tried.append(point)
                if abs(abs(point.zeta) - quantile) < CLOSE and point.slope > 0.0:
                    return _inverse_hermite(tried, sign * quantile)
            z = self._next(sign, quantile, inner, outer, tried)
            if outer - abs(inner.z) < 1e-9 * outer:
                break
        return math.nan if failed else z

    def _next(
        self, sign: float, quantile: float, inner: _Point, outer: float, tried: Sequence[_Point]
    ) -> float:
        """Guess of the end between the innermost and the outermost value it can have."""
        guesses = []
        if tried and all(point.slope > 0.0 for point in tried[-2:]):
            last = tried[-1]
            newton = last.z + (sign * quantile - last.zeta) / last.slope
            guesses = [sign * _inverse_hermite(tried, sign * quantile), sign * newton]
        low = abs(inner.z)
        # As long as nothing is known to be beyond: no farther than three times as far.
        high = outer if outer < math.inf else max(3.0 * low, quantile)
        margin = 1e-3 * (high - low)
        for guess in guesses:
            if low + margin < guess < high - margin:
                return sign * guess
        return sign * (high if outer == math.inf else 0.5 * (low + high))

    def march(self, sign: float, reach: float, step: float, bound: float) -> None:
        """Visit points that lie about `step` in zeta apart, as far as `reach`."""
        point, z = self.origin, 0.0
        farthest = min(sign * bound, FARTHEST)
        for _ in range(MOST if farthest > 0.0 else 0):
            stride = step / max(point.slope, 0.25) if point.slope > 0.0 else 0.5
            z = sign * min(abs(z) + stride, farthest)
            try:
                made = self.at(z)
            except NotHighest:
                return
            if made is None or abs(made.zeta) >= reach or abs(z) >= farthest:
                return
            point = made


def _climb(objective: Objective, start: np.ndarray, inverse: np.ndarray) -> Optimum | None:
    """Maximize in few evaluations, or not at all."""
    search = begin(start, inverse, np.full(start.size, LONGEST))
    while search.counts[STATE] == SEARCHING and search.counts[EVALUATED] < EVALUATIONS:
        value, gradient = objective(search.trial.copy())
        tell(search, float(value), gradient)
        if search.counts[STATE] == SEARCHING and 0.5 * search.number[GAIN] < TOLERANCE:
            return end(search)
    return end(search) if search.counts[STATE] == CONVERGED else None


def _interpolate(x: Sequence[float], y: Sequence[np.ndarray], at: float) -> np.ndarray | float:
    """Lagrange's polynomial through some points; 0 through none."""
    total: np.ndarray | float = 0.0
    for i, own in enumerate(y):
        share = 1.0
        for j, other in enumerate(x):
            if j != i:
                share *= (at - other) / (x[i] - other)
        total = total + share * own
    return total


def _inverse_hermite(points: Sequence[_Point], zeta: float) -> float:
    """Return z at zeta, by the polynomial through the two nearest points and their slopes.

    One of the points at least has a positive slope; those without, where all is flat, are left out.
    """
    rising = [point for point in points if point.slope > 0.0]
    near = sorted(rising, key=lambda point: abs(point.zeta - zeta))[:2]
    a = near[0]
    straight = a.z + (zeta - a.zeta) / a.slope
    if len(near) == 1 or near[1].zeta == a.zeta:
        return straight
    b = near[1]
    # Newton's divided differences over the nodes a, a, b, b.
    width = b.zeta - a.zeta
    chord = (b.z - a.z) / width
    second = (chord - 1.0 / a.slope) / width
    third = ((1.0 / b.slope - chord) / width - second) / width
    x = zeta - a.zeta
    return straight + x * x * (second + third * (x - width))
