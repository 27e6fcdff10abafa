"""BFGS for smooth functions of few variables whose gradient is exact.

scipy's optimizers would cost a tenth of a second of import, more than most fits take.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SUFFICIENT = 1e-4  # Armijo's constant (Nocedal and Wright 2006, p. 33)
SHORTEST = 1e-12  # a step scaled below this makes no progress


class Optimum(NamedTuple):
    """Where a maximization ended."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    inverse: np.ndarray  # BFGS approximation of the inverse of minus the Hessian
    evaluations: int
    converged: bool


def maximize(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    x: np.ndarray,
    inverse: np.ndarray,
    longest: np.ndarray,
    tolerance: float = 1e-10,
    iterations: int = 500,
) -> Optimum:
    """Maximize a function by BFGS with backtracking (Nocedal and Wright 2006, chapter 6).

    Parameters
    ----------
    objective : callable
        Returns the value (-inf: a step there is rejected) and the gradient.
    x : ndarray, shape (d,)
        Start, with a finite value.
    inverse : ndarray, shape (d, d)
        First guess of the inverse of minus the Hessian.
    longest : ndarray, shape (d,)
        Largest change of each variable in one step.
    tolerance : float
        Stop when the gain a Newton step promises, g' H^-1 g / 2, is below this.
    """
    value, gradient = objective(x)
    evaluations, identity = 1, np.eye(x.size)
    fresh = True
    for _ in range(iterations):
        direction = inverse @ gradient
        gain = float(gradient @ direction)
        if not gain > 0.0:
            if fresh:
                break
            inverse, fresh = identity.copy(), True
            continue
        if 0.5 * gain < tolerance:
            return Optimum(x, value, gradient, inverse, evaluations, True)
        scale = min(1.0, 1.0 / max(float(np.max(np.abs(direction) / longest)), 1e-300))
        while True:
            trial = x + scale * direction
            new_value, new_gradient = objective(trial)
            evaluations += 1
            good = np.isfinite(new_value) and bool(np.all(np.isfinite(new_gradient)))
            if good and new_value >= value + SUFFICIENT * scale * gain:
                break
            # The last digits of the value cannot show a gain this small: trust the gradient.
            noise = 1e-13 * abs(value)
            if good and scale * gain < 1e3 * noise and new_value > value - noise:
                break
            if good:
                # Minimum of the parabola through both values and the slope, kept in bounds.
                drop = value + scale * gain - new_value
                scale *= float(np.clip(0.5 * scale * gain / drop, 0.1, 0.5))
            else:
                scale *= 0.25
            if scale < SHORTEST:
                return Optimum(x, value, gradient, inverse, evaluations, 0.5 * gain < 1e-6)
        step, change = trial - x, gradient - new_gradient
        x, value, gradient = trial, new_value, new_gradient
        curve = float(step @ change)
        if curve > 1e-12 * float(np.sqrt((step @ step) * (change @ change))):
            left = identity - np.outer(step, change) / curve
            inverse = left @ inverse @ left.T + np.outer(step, step) / curve
            fresh = False
    return Optimum(x, value, gradient, inverse, evaluations, False)


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


def invert(hessian: np.ndarray, smallest: float = 1e-8) -> tuple[np.ndarray, bool]:
    """Inverse of minus a Hessian, and whether it is positive definite.

    Directions of no or wrong curvature are given the curvature `smallest` in the scale of the
    diagonal, so that the inverse can always serve as a covariance.
    """
    scale = np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-12))
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    definite = bool(values.min(initial=1.0) > smallest)
    half = vectors / np.sqrt(np.maximum(values, smallest)) / scale[:, None]
    return half @ half.T, definite
