"""BFGS for smooth functions of few variables whose gradient is exact.

The search asks and is told: `advance` takes value and gradient at the point it asked for last, and
says what to evaluate next. So one search serves compiled objectives, with which it runs inside one
call (`one_factor`), and objectives in Python (`maximize`). scipy's optimizers would cost a tenth of
a second of import, more than most fits take.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._jit import ENABLED, entry, kernel, typeof, types
from .._linalg import dot

SUFFICIENT = 1e-4  # Armijo's constant (Nocedal and Wright 2006, p. 33)
SHORTEST = 1e-12  # a step scaled below this makes no progress
TOLERANCE = 1e-10  # stop when the gain a Newton step promises, g' H^-1 g / 2, is below this
NEARLY = 1e-6  # the same where no step makes progress any more
MOST = 500  # iterations

SEARCHING, CONVERGED, STOPPED = 0, 1, 2  # states of a search
VALUE, SCALE, GAIN = 0, 1, 2  # of Search.number
STATE, EVALUATIONS, ITERATIONS, FRESH = 0, 1, 2, 3  # of Search.counts


class Search(NamedTuple):
    """A maximization under way, changed in place."""

    x: np.ndarray  # (d,) best so far
    gradient: np.ndarray  # (d,) there
    trial: np.ndarray  # (d,) to be evaluated next
    direction: np.ndarray  # (d,)
    inverse: np.ndarray  # (d, d) approximation of the inverse of minus the Hessian
    longest: np.ndarray  # (d,) largest change of each variable in one step
    number: np.ndarray  # (3,) VALUE, SCALE, GAIN
    counts: np.ndarray  # (4,) int64: STATE, EVALUATIONS, ITERATIONS; FRESH if inverse is new


class Optimum(NamedTuple):
    """Where a maximization ended."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    inverse: np.ndarray  # BFGS approximation of the inverse of minus the Hessian
    evaluations: int
    converged: bool


def begin(x: np.ndarray, inverse: np.ndarray, longest: np.ndarray) -> Search:
    """Start a search.

    Parameters
    ----------
    x : ndarray, shape (d,)
        Start, where the value is finite.
    inverse : ndarray, shape (d, d)
        First guess of the inverse of minus the Hessian.
    longest : ndarray, shape (d,)
        Largest change of each variable in one step.
    """
    d = x.size
    return Search(
        x.copy(),
        np.zeros(d),
        x.copy(),
        np.zeros(d),
        np.ascontiguousarray(inverse),
        longest,
        np.zeros(3),
        np.array([SEARCHING, 0, 0, 1]),
    )


def finished(d: int) -> Search:
    """A search of d variables that is over."""
    search = begin(np.zeros(d), np.eye(d), np.ones(d))
    search.counts[STATE] = STOPPED
    return search


def end(search: Search) -> Optimum:
    """What a search that is over has found."""
    return Optimum(
        search.x,
        float(search.number[VALUE]),
        search.gradient,
        search.inverse,
        int(search.counts[EVALUATIONS]),
        bool(search.counts[STATE] == CONVERGED),
    )


@kernel
def advance(search, value, gradient):
    """Take the value and gradient at `trial`; set the next `trial`, or the final STATE.

    BFGS with backtracking (Nocedal and Wright 2006, chapter 6). A value that is not finite rejects
    the step.
    """
    x, trial, number, count = search.x, search.trial, search.number, search.counts
    d = x.size
    count[EVALUATIONS] += 1
    finite = np.isfinite(value)
    for i in range(d):
        finite = finite and np.isfinite(gradient[i])
    if count[EVALUATIONS] > 1:
        before, scale, gain = number[VALUE], number[SCALE], number[GAIN]
        good = finite and value >= before + SUFFICIENT * scale * gain
        # The last digits of the value cannot show a gain this small: trust the gradient.
        noise = 1e-13 * abs(before)
        good = good or (finite and scale * gain < 1e3 * noise and value > before - noise)
        if not good:
            if finite:
                # Minimum of the parabola through both values and the slope, kept in bounds.
                drop = before + scale * gain - value
                scale *= min(max(0.5 * scale * gain / drop, 0.1), 0.5)
            else:
                scale *= 0.25
            number[SCALE] = scale
            if scale < SHORTEST:
                count[STATE] = CONVERGED if 0.5 * gain < NEARLY else STOPPED
            for i in range(d):
                trial[i] = x[i] + scale * search.direction[i]
            return
        _update(search, gradient)
        count[ITERATIONS] += 1
    elif not finite:
        count[STATE] = STOPPED
        return
    number[VALUE] = value
    for i in range(d):
        x[i] = trial[i]
        search.gradient[i] = gradient[i]
    if count[ITERATIONS] >= MOST:
        count[STATE] = STOPPED
        return
    _aim(search)


@kernel
def _aim(search):
    """Direction and length of the next step, or the final STATE."""
    x, direction, count = search.x, search.direction, search.counts
    d = x.size
    for _ in range(2):
        gain = 0.0
        for i in range(d):
            direction[i] = dot(search.inverse[i], search.gradient)
            gain += direction[i] * search.gradient[i]
        if gain > 0.0 or count[FRESH] == 1:
            break
        for i in range(d):
            for j in range(d):
                search.inverse[i, j] = 1.0 if i == j else 0.0
        count[FRESH] = 1
    if not gain > 0.0:
        zero = True
        for i in range(d):
            zero = zero and search.gradient[i] == 0.0
        count[STATE] = CONVERGED if zero else STOPPED
        return
    if 0.5 * gain < TOLERANCE:
        count[STATE] = CONVERGED
        return
    largest = 1.0
    for i in range(d):
        largest = max(largest, abs(direction[i]) / search.longest[i])
    search.number[SCALE], search.number[GAIN] = 1.0 / largest, gain
    for i in range(d):
        search.trial[i] = x[i] + direction[i] / largest


@kernel
def _update(search, gradient):
    """BFGS update of the inverse by the step from x to trial."""
    d = search.x.size
    step, change, moved = np.empty(d), np.empty(d), np.empty(d)
    curve, steps, changes = 0.0, 0.0, 0.0
    for i in range(d):
        step[i] = search.trial[i] - search.x[i]
        change[i] = search.gradient[i] - gradient[i]
        curve += step[i] * change[i]
        steps += step[i] * step[i]
        changes += change[i] * change[i]
    if not curve > 1e-12 * np.sqrt(steps * changes):
        return
    through = 0.0
    for i in range(d):
        moved[i] = dot(search.inverse[i], change)
        through += moved[i] * change[i]
    factor = (1.0 + through / curve) / curve
    for i in range(d):
        for j in range(d):
            both = moved[i] * step[j] + step[i] * moved[j]
            search.inverse[i, j] += factor * step[i] * step[j] - both / curve
    search.counts[FRESH] = 0


SEARCH_TYPE = typeof(begin(np.zeros(1), np.eye(1), np.ones(1))) if ENABLED else None


@entry(lambda: types.void(SEARCH_TYPE, types.float64, types.float64[::1]))
def tell(search, value, gradient):
    """`advance` for objectives in Python."""
    advance(search, value, gradient)


def maximize(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    x: np.ndarray,
    inverse: np.ndarray,
    longest: np.ndarray,
) -> Optimum:
    """Maximize a function in Python.

    Parameters
    ----------
    objective : callable
        Returns the value (-inf: a step there is rejected) and the gradient.
    x, inverse, longest : ndarray
        As in `begin`.
    """
    search = begin(x, inverse, longest)
    while search.counts[STATE] == SEARCHING:
        value, gradient = objective(search.trial.copy())
        tell(search, float(value), gradient)
    return end(search)


def curvature(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]], x: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Minus the Hessian at x, by central differences of the gradient; steps (d,)."""
    rows = []
    for j, step in enumerate(steps):
        move = np.zeros(x.size)
        move[j] = step
        up, down = objective(x + move)[1].copy(), objective(x - move)[1].copy()
        rows.append((down - up) / (2.0 * step))
    hessian = np.array(rows).reshape(x.size, x.size)
    return 0.5 * (hessian + hessian.T)


def invert(
    hessian: np.ndarray, units: np.ndarray | float = 1.0, smallest: float = 1e-8
) -> tuple[np.ndarray, bool]:
    """Inverse of minus a Hessian, and whether it is positive definite.

    Directions of no or wrong curvature are given the curvature `smallest` in the scale of the
    diagonal, so that the inverse can always serve as a covariance.

    Parameters
    ----------
    hessian : ndarray, shape (d, d)
    units : ndarray, shape (d,), or float
        What each variable is measured in: a standard error of a million of them is none.
    smallest : float
    """
    scale = np.sqrt(np.maximum(np.abs(np.diag(hessian)), (1e-6 / units) ** 2))
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    definite = bool(values.min(initial=1.0) > smallest)
    half = vectors / np.sqrt(np.maximum(values, smallest)) / scale[:, None]
    return half @ half.T, definite
