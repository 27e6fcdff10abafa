"""Where Laplace's approximation is highest: theta, its covariance, and the modes of the effects.

`find` serves both the maximum-likelihood fit and, with the priors added, the start of a sampler.
"""

from typing import NamedTuple

import numpy as np

from .. import families
from ..covariance import factors
from ..density import BLOCKS, DENSE, IDENTITY, Data, Map, identity_map
from .boundary import FLAT, far_dispersion
from .crossed import Crossed
from .one_factor import evaluate as one_factor
from .optimizer import Optimum, Search, begin, end, finished, invert
from .pattern import arrange, largest_square

RETREATS = 6  # log sds lowered by 1 where a search cannot begin
FIRST_SD = 0.5  # sd of every effect on the scale of eta, where the search begins
LONGEST_PSI = 1.0  # log sd may change by this much in one step: an unbounded first step is lost
LONGEST_BETA = 5.0  # in units of the scaled columns
RIDGE = 1e-6  # keeps the first least-squares steps finite under collinear columns
LARGEST = 2000  # effects of crossed factors for which samplers get a dense factor of the curvature
SMALL_SD = 0.03  # of the spread: the likelihood is linear in the variance up to here
RISING = 1e-6  # slope in log sd at SMALL_SD that is not rounding
TINY = 1e-100  # curvature of columns of which nothing is known, in whatever units
HESSIAN_STEP = 1e-3  # in standard errors; the error of the difference is of its square
ROUNDED = 0.05  # a posterior's curvature, in its own scale, where rounding leaves none
NO_ERROR = 1e3  # a standard error of so many spreads is none: what has run away is begun anew


class Mode(NamedTuple):
    """A maximum of Laplace's approximation.

    Attributes
    ----------
    theta : ndarray, shape (d,)
    value : float
        Log-likelihood (plus log prior if penalized), data-only constants left out.
    gradient : ndarray, shape (d,)
    covariance : ndarray, shape (d, d)
        Inverse of minus the Hessian.
    hessian : ndarray, shape (d, d)
        Minus the Hessian.
    definite : bool
        Whether minus the Hessian is positive definite.
    endless : bool
        Whether the dispersion grows without bound (`boundary.far_dispersion`).
    converged : bool
    map : Map
        Modes v and C at theta, and the slopes d v / d theta; scale is the Cholesky factor of the
        covariance. C of crossed factors is the identity unless penalized, for up to LARGEST
        effects.
    variances : ndarray, shape (nv,), or None
        Conditional variances of u; None for one factor, where the map has them.
    units : ndarray, shape (d,)
        What each element of theta is measured in.
    evaluations : int
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    covariance: np.ndarray
    hessian: np.ndarray
    definite: bool
    endless: bool
    converged: bool
    map: Map
    variances: np.ndarray | None
    units: np.ndarray
    evaluations: int


class Objective:
    """Laplace's approximation of one model, which remembers the modes it found last.

    `spread` is that of the response on the scale of eta.
    """

    def __init__(self, rows, data: Data, penalized: bool, spread: float = 1.0) -> None:
        self.rows, self.data, self.penalized = rows, data, penalized
        q = data.factor.size
        self.single = data.levels.size == 1
        self.J = int(data.levels[0]) if self.single else 0
        self.v = np.zeros(int(sum(data.levels[f] for f in data.factor)))
        self.blocks = np.zeros((q, q, self.J))
        self.crossed = None if self.single else Crossed(rows, data)
        self.d = data.obs.X.shape[0] + data.prior.covariance.row.size + data.prior.phi.shape[0]
        # Coefficients are in units of eta; psi and log phi have none.
        self.units = np.ones(self.d)
        self.units[: data.obs.X.shape[0]] = spread

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient at theta; modes in self.v."""
        values, gradients, found = self.at(theta[None])
        if np.isfinite(values[0]):
            self.v = found[0]
        return float(values[0]), gradients[0]

    def climb(self, x: np.ndarray, inverse: np.ndarray, longest: np.ndarray) -> Optimum:
        """Maximize from x; arguments as of `optimizer.begin`."""
        search = begin(x, inverse, longest)
        self._evaluate(search, np.zeros((0, self.d)))
        return end(search)

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values (k,), gradients (k, d) and modes (k, nv) at points (k, d) near the modes' own."""
        return self._evaluate(finished(self.d), points)

    def _evaluate(
        self, search: Search, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.crossed is not None:
            return self.crossed.evaluate(self.penalized, search, points, self.v)
        k = points.shape[0]
        values, gradients, found = np.empty(k), np.empty((k, self.d)), np.empty((k, self.v.size))
        one_factor(
            self.rows,
            self.data,
            int(self.penalized),
            search,
            np.ascontiguousarray(points),
            values,
            gradients,
            found,
            self.v,
            self.blocks,
        )
        return values, gradients, found


class Start(NamedTuple):
    """Where a search begins, on the internal scale."""

    beta: np.ndarray  # (p,) inside the link's domain
    spread: float  # of the response on the scale of eta
    phi: float  # dispersion
    noise: bool  # whether phi is the sd of an error on the scale of eta


def first_guess(rows, data: Data, start: Start) -> tuple[np.ndarray, np.ndarray]:
    """Start of the search and a guess of the covariance: a fit without effects, moderate sds."""
    p, n = data.obs.X.shape
    m, with_phi = data.prior.covariance.row.size, data.prior.phi.shape[0]
    beta, phi = start.beta, start.phi
    score, weight, spare = np.empty(n), np.ones(n), np.empty(n)
    gram = np.eye(p)
    good = beta
    for _ in range(50):
        eta = data.obs.offset + beta @ data.obs.X
        rows(families.LOGLIK, eta, data.obs.y, data.obs.w, phi, spare, spare, spare, spare)
        if not np.all(np.isfinite(spare)) and beta is not good:
            beta = 0.5 * (good + beta)  # outside the link's domain
            continue
        rows(families.IWLS, eta, data.obs.y, data.obs.w, phi, score, weight, spare, spare)
        if not (np.all(np.isfinite(score)) and np.all(np.isfinite(weight))):
            beta = good
            break
        good = beta
        gram = (data.obs.X * weight) @ data.obs.X.T
        gram += np.eye(p) * (RIDGE * max(TINY, float(np.trace(gram)) / max(p, 1)))
        step = np.linalg.solve(gram, data.obs.X @ score)
        largest = max(float(np.abs(step).max(initial=0.0)), 1e-300)
        step *= min(1.0, 2.0 * start.spread / largest)
        beta = beta + step
        if np.abs(step).max(initial=0.0) < 1e-6 * start.spread:
            break
    if with_phi:
        phi = _dispersion_without_effects(rows, data, beta, phi)
    share = FIRST_SD * start.spread
    if start.noise:
        share = phi = phi * np.sqrt(0.5)  # half of the variance is the effects'
    diagonal = data.prior.covariance.row == data.prior.covariance.col
    psi = np.where(diagonal, np.log(max(share, 1e-8)), 0.0)
    theta = np.concatenate([beta, psi, [np.log(max(phi, 1e-8))] if with_phi else []])
    guess = np.zeros((theta.size, theta.size))
    guess[:p, :p] = 2.0 * np.linalg.inv(gram)
    levels = data.levels[data.factor[data.prior.covariance.row]] if m else np.zeros(0)
    guess[range(p, p + m), range(p, p + m)] = 1.0 / np.maximum(levels, 1.0)
    if with_phi:
        guess[p + m, p + m] = 1.0 / max(n, 1)
    return theta, guess


def held(theta: np.ndarray, guess: np.ndarray, data: Data, start: Start) -> None:
    """Put coefficients back that have run away: the likelihood may have no maximum in them.

    Where all responses are 1, the first guess, which knows no prior, ends where rows say nothing
    any more; a search from there would take its covariance of 1e18 for a scale.
    """
    p = data.obs.X.shape[0]
    spread = max(start.spread, TINY)
    if p and np.linalg.eigvalsh(guess[:p, :p])[-1] > (NO_ERROR * spread) ** 2:
        theta[:p] = start.beta
        guess[:p, :p] = spread**2 * np.eye(p)


def _dispersion_without_effects(rows, data: Data, beta: np.ndarray, phi: float) -> float:
    """Dispersion at which the rows' score in log phi vanishes, by bisection on its sign."""
    a, b, c = np.empty((3, data.obs.y.size))
    eta = data.obs.offset + beta @ data.obs.X
    low, high = phi * 1e-6, phi * 1e3
    for _ in range(60):
        middle = np.sqrt(low * high)
        rows(families.GRADIENT, eta, data.obs.y, data.obs.w, middle, a, b, c, c)
        if c.sum() > 0.0:
            low = middle
        else:
            high = middle
    return float(np.sqrt(low * high))


def find(rows, data: Data, penalized: bool, start: Start) -> Mode:
    """Maximize Laplace's approximation over theta.

    Parameters
    ----------
    rows : compiled row function of the family
    data : Data
        Any number of factors.
    penalized : bool
        Whether the log prior of theta is added.
    start : Start
        Where the search begins.

    Raises
    ------
    DataError
        For crossed factors of which even the smaller ones have more effects than fit in memory.
    """
    objective = Objective(rows, data, penalized, start.spread)
    theta, guess = first_guess(rows, data, start)
    if penalized:
        held(theta, guess, data, start)
    for _ in range(RETREATS):
        if np.isfinite(objective(theta)[0]):
            break
        # Effects of that size leave the link's domain, or have no mode within.
        p, row = data.obs.X.shape[0], data.prior.covariance.row
        theta[p : p + row.size] -= row == data.prior.covariance.col
    longest = longest_steps(data, start)
    optimum = objective.climb(theta, guess, longest)
    if not optimum.converged:
        # A fresh start of BFGS from where it stood: its memory of curvature may be what is wrong.
        diagonal = np.diag(np.diag(guess))
        again = objective.climb(optimum.x, diagonal, longest)
        optimum = again if again.value >= optimum.value else optimum
    raised = off_zero(objective, optimum, start.spread)
    if raised is not None:
        again = objective.climb(raised, guess, longest)
        optimum = again if again.value > optimum.value else optimum
    if data.prior.phi.shape[0] > 0:
        # Where the likelihood levels off, the search ends early.
        beyond = far_dispersion(optimum.x)
        if objective(beyond)[0] > optimum.value:
            optimum = objective.climb(beyond, guess, longest)
    return describe(objective, optimum)


def off_zero(objective: Objective, optimum: Optimum, spread: float) -> np.ndarray | None:
    """Theta with those sds raised that have gone to 0 though the likelihood rises from there.

    The slope in log sd vanishes at 0 whatever the slope in the variance, so that a search which a
    long step has taken there ends. None if no sd has a slope upwards.
    """
    data = objective.data
    row, col = data.prior.covariance.row, data.prior.covariance.col
    p = data.obs.X.shape[0]
    small = np.log(SMALL_SD * spread)
    lost = p + np.flatnonzero((row == col) & (optimum.x[p : p + row.size] < small))
    if not lost.size:
        return None
    points = np.tile(optimum.x, (lost.size, 1))
    points[np.arange(lost.size), lost] = small
    _, gradients, _ = objective.at(points)
    rising = lost[gradients[np.arange(lost.size), lost] > RISING]
    raised = optimum.x.copy()
    raised[rising] = small
    return raised if rising.size else None


def describe(objective: Objective, optimum: Optimum) -> Mode:
    """Curvature at an optimum, and how the modes move with theta."""
    d = objective.d
    units = objective.units
    # The search's own memory of curvature may have lost its positive sign by rounding.
    known = np.diag(optimum.inverse)
    errors = np.sqrt(np.where(known > 0.0, known, units**2))
    steps = HESSIAN_STEP * units * np.clip(errors / units, 1e-6, 1.0)
    moves = np.diag(steps)
    with_phi = objective.data.prior.phi.shape[0] > 0
    beyond = far_dispersion(optimum.x) if with_phi else optimum.x
    # The optimum comes last: the objective then holds its curvature.
    points = np.concatenate([optimum.x + moves, optimum.x - moves, [beyond, optimum.x]])
    values, gradients, modes = objective.at(points)
    endless = with_phi and bool(values[-2] > values[-1] - FLAT)
    objective.v = modes[-1].copy()
    hessian = (gradients[d : 2 * d] - gradients[:d]) / (2.0 * steps[:, None])
    hessian = 0.5 * (hessian + hessian.T)
    slopes = (modes[:d] - modes[d : 2 * d]) / (2.0 * steps[:, None])
    covariance, definite = invert(hessian, units)
    if objective.penalized and not definite:
        # The prior alone bends it, so the differences were rounded. A sampler that took
        # flatness for a scale would start nowhere.
        covariance, _ = invert(hessian, units, ROUNDED)
    kind, dense, variances = BLOCKS, np.zeros((0, 0)), None
    if objective.crossed is not None:
        p, m = objective.data.obs.X.shape[0], objective.data.prior.covariance.row.size
        L = factors(objective.data.prior.covariance, optimum.x[p : p + m])
        variances = objective.crossed.variances(L)
        kind = IDENTITY
        if objective.penalized and objective.v.size <= LARGEST:
            kind, dense = DENSE, objective.crossed.cholesky(L)
    map = Map(
        np.array([kind]),
        optimum.x.copy(),
        np.linalg.cholesky(covariance),
        objective.v.copy(),
        slopes,
        objective.blocks.copy(),
        dense,
    )
    return Mode(
        optimum.x,
        optimum.value if np.isfinite(values[-1]) else -np.inf,
        optimum.gradient,
        covariance,
        hessian,
        definite,
        endless,
        optimum.converged,
        map,
        variances,
        units,
        optimum.evaluations,
    )


def most_connected(data: Data) -> int:
    """Largest number of effects, those of the largest factor aside, that the data connect."""
    return largest_square(arrange(data)) if data.levels.size > 1 else 0


def unfitted(rows, data: Data, start: Start) -> Map:
    """Coordinates without a fit: effects as they are, theta scaled roughly."""
    theta, guess = first_guess(rows, data, start)
    held(theta, guess, data, start)
    effects = int(sum(data.levels[f] for f in data.factor))
    map = identity_map(theta.size, effects)
    return map._replace(center=theta, scale=np.diag(np.sqrt(np.diag(guess))))


def longest_steps(data: Data, start: Start) -> np.ndarray:
    """Largest step of each element of theta."""
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    return np.concatenate(
        [
            np.full(p, LONGEST_BETA * start.spread),
            np.full(m, LONGEST_PSI),
            np.full(data.prior.phi.shape[0], 1.0),
        ]
    )


def at_theta(objective: Objective, mode: Mode, theta: np.ndarray) -> Mode:
    """The same coordinates, centred elsewhere: modes, curvature and slopes anew."""
    optimum = Optimum(theta, 0.0, np.zeros(theta.size), mode.covariance, 0, True)
    return describe(objective, optimum)
