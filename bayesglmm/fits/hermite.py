"""Gauss-Hermite rules, for sums over densities: weights times exp(x^2), which never underflow.

Roots by Newton's method on the orthonormal Hermite functions psi_n, from Tricomi's expansion
(Gautschi 2004, section 1.4.2; Townsend, Trogdon and Olver 2016), and weights by

    w_k exp(x_k^2) = 1 / sum over j < n of psi_j(x_k)^2.

numpy's ``hermgauss`` takes the eigenvalues of a dense matrix: 50 ms for 200 nodes, more than most
fits take.
"""

import math
from functools import lru_cache

import numpy as np

NEWTON_STEPS = 12  # three are the rule
CLOSE = 1e-15


@lru_cache(maxsize=16)
def rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes x (count,) in ascending order and log(w exp(x^2)), for the weight exp(-x^2)."""
    x = _guess(count)
    for _ in range(NEWTON_STEPS):
        last, before, _ = _functions(count, x)
        # psi_n' = sqrt(2 n) psi_(n-1) - x psi_n
        step = last / (math.sqrt(2.0 * count) * before - x * last)
        x = x - step
        if np.max(np.abs(step), initial=0.0) < CLOSE * (1.0 + np.max(x, initial=0.0)):
            break
    log_weights = -np.log(_functions(count, x)[2])
    odd = count % 2  # then the first of x is 0
    nodes = np.concatenate([-x[odd:][::-1], x])
    logs = np.concatenate([log_weights[odd:][::-1], log_weights])
    nodes.flags.writeable = logs.flags.writeable = False
    return nodes, logs


def _guess(count: int) -> np.ndarray:
    """Roots of psi_n that are not negative, ascending, by Tricomi's expansion."""
    half, nu = count // 2, 2.0 * count + 1.0
    k = np.arange(1, half + 1)
    target = (4.0 * half - 4.0 * k + 3.0) * math.pi / nu
    tau = np.full(half, 0.5 * math.pi)
    for _ in range(NEWTON_STEPS):
        tau -= (tau - np.sin(tau) - target) / (1.0 - np.cos(tau))
    sigma = np.cos(0.5 * tau) ** 2
    rest = 1.0 - sigma
    square = nu * sigma - (1.25 / rest**2 - 1.0 / rest - 0.25) / (3.0 * nu)
    return np.concatenate([np.zeros(count % 2), np.sqrt(square)])


def _functions(count: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """psi_n, psi_(n-1), and the sum of squares of psi_0 to psi_(n-1)."""
    before, last = np.zeros_like(x), math.pi**-0.25 * np.exp(-0.5 * x * x)
    total = np.zeros_like(x)
    for j in range(count):
        total += last * last
        before, last = last, math.sqrt(2.0 / (j + 1)) * x * last - math.sqrt(j / (j + 1)) * before
    return last, before, total
