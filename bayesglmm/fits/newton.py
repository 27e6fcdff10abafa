"""Modes of crossed and nested effects: Newton's method on one system of all effects.

Steps have Fisher weights, so that H = I + L'Z'WZL is positive definite, and are halved until the
density rises. Where the rest is large, a step costs little against a new factor of H: conjugate
gradients, preconditioned by the factor at the mode found last, take its place.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import families
from .._jit import ENABLED, kernel, typeof
from .._linalg import add, copy, dot
from ..density import Data, empty_data
from .elimination import factorize, gram, solve
from .pattern import Parts, Pattern, arrange, largest_square, parts, sorted_z
from .products import collect, mix, predict, pull_back

STEPS = 100  # Newton steps; 3-6 are the rule
CLOSE = 1e-9  # error of the modes that is left, in units of their prior sd
SLACK = 1e-10  # fall of the density that is rounding, relative to it or to 1
SHORTEST = 1e-8  # halving of a Newton step ends here
RESIDUAL = 1e-3  # at which conjugate gradients stop, relative
LARGE = 64  # rows of a square from which conjugate gradients replace new factors
ROUNDS = 25  # of conjugate gradients: beyond, a new factor is cheaper


class Rows(NamedTuple):
    """Observations in the order of the pattern."""

    y: np.ndarray
    w: np.ndarray
    offset: np.ndarray
    X: np.ndarray  # (p, n)
    z: np.ndarray  # (n, Q)
    none: np.ndarray  # (n, 0), the border


class Work(NamedTuple):
    """Matrices of the effects, kept between evaluations."""

    A: Parts  # Z'KZ
    factor: Parts  # of I + L'AL
    G: Parts  # its inverse
    usable: np.ndarray  # (1,) int64, 1 if `factor` is of some H near by
    large: np.ndarray  # (1,) int64, 1 if a new factor costs much


# Rows of the work arrays.
ETA, FIXED, LL, SCORE, BEND, TURN, LEVER, SHIFT = range(8)
# Vectors of effects.
U, NEW_V, GRADIENT, STEP, RESIDUE, AIM, IMAGE, B = range(8)


def sort_rows(data: Data, pattern: Pattern) -> Rows:
    """Observations in the order of the pattern."""
    obs, row = data.obs, pattern.row
    return Rows(
        obs.y[row],
        obs.w[row],
        obs.offset[row],
        np.ascontiguousarray(obs.X[:, row]),
        sorted_z(pattern, data),
        np.zeros((row.size, 0)),
    )


def make_work(pattern: Pattern) -> Work:
    """Empty matrices."""
    large = largest_square(pattern) >= LARGE
    empty = parts(pattern), parts(pattern), parts(pattern)
    return Work(*empty, np.zeros(1, dtype=np.int64), np.array([int(large)]))


if ENABLED:
    _none = arrange(empty_data())
    ROWS_OF_PATTERN = typeof(sort_rows(empty_data(), _none))
    WORK_TYPE = typeof(make_work(_none))
else:
    ROWS_OF_PATTERN = WORK_TYPE = None


@kernel
def _height(rows, obs, pattern, L, phi, v, u, line):
    """Log density of the rows and of v, with eta filled."""
    eta, ll = line[ETA], line[LL]
    mix(pattern, L, v, u)
    copy(eta, line[FIXED])
    predict(pattern, obs.z, u, eta)
    rows(families.LOGLIK, eta, obs.y, obs.w, phi, ll, ll, ll, ll)
    value = -0.5 * dot(v, v)
    for r in range(eta.size):
        value += ll[r]
    return value


@kernel
def modes(rows, obs, pattern, L, phi, work, line, effect, v):
    """Bring v to the mode; FIXED must hold the fixed part of eta. False if that fails."""
    if v.size == 0:
        copy(line[ETA], line[FIXED])
        return True
    u, trial, gradient, step = effect[U], effect[NEW_V], effect[GRADIENT], effect[STEP]
    score, weight = line[SCORE], line[BEND]
    value = _height(rows, obs, pattern, L, phi, v, u, line)
    if not value > -math.inf:
        for i in range(v.size):
            v[i] = 0.0
        value = _height(rows, obs, pattern, L, phi, v, u, line)
        if not value > -math.inf:
            return False
    before = 1.0
    for _ in range(STEPS):
        rows(families.IWLS, line[ETA], obs.y, obs.w, phi, score, weight, score, score)
        collect(pattern, obs.z, score, u)
        pull_back(pattern, L, u, gradient)
        add(gradient, v, -1.0)
        if not _newton_step(obs, pattern, L, work, line, effect):
            return False
        scale = 1.0
        while True:
            for i in range(v.size):
                trial[i] = v[i] + scale * step[i]
            new = _height(rows, obs, pattern, L, phi, trial, u, line)
            # Written so that nan is a fall.
            if new >= value - SLACK * (1.0 + abs(value)):
                break
            scale *= 0.5
            if scale < SHORTEST:
                return False
        value = new
        size = 0.0
        for i in range(v.size):
            v[i] = trial[i]
            size = max(size, scale * abs(step[i]))
        # What is left is the next step: this one times how much steps shrink.
        if size * min(1.0, size / before) < CLOSE:
            return True
        before = size
    return False


@kernel
def _newton_step(obs, pattern, L, work, line, effect):
    """STEP = H^-1 GRADIENT with the weights in BEND; False if H is not finite."""
    gradient, step = effect[GRADIENT], effect[STEP]
    if (
        work.large[0] == 1
        and work.usable[0] == 1
        and _conjugate_gradients(obs, pattern, L, work, line, effect)
    ):
        return True
    gram(pattern, obs.z, obs.none, line[BEND], work.A)
    half = factorize(pattern, L, work.A, work.factor)
    work.usable[0] = 1 if half > -math.inf else 0
    copy(step, gradient)
    solve(pattern, work.factor, step)
    return half > -math.inf


@kernel
def _conjugate_gradients(obs, pattern, L, work, line, effect):
    """Solve for STEP with an older factor of H as preconditioner; False if that takes long."""
    step, residue, aim, image = effect[STEP], effect[RESIDUE], effect[AIM], effect[IMAGE]
    u, solved, along, weight = effect[U], effect[B], line[SHIFT], line[BEND]
    for i in range(step.size):
        step[i] = 0.0
        residue[i] = effect[GRADIENT, i]
        aim[i] = residue[i]
    solve(pattern, work.factor, aim)
    product = dot(residue, aim)
    if product == 0.0:
        return True
    goal = RESIDUAL * RESIDUAL * product
    for _ in range(ROUNDS):
        # image = H aim
        mix(pattern, L, aim, u)
        for r in range(along.size):
            along[r] = 0.0
        predict(pattern, obs.z, u, along)
        for r in range(along.size):
            along[r] *= weight[r]
        collect(pattern, obs.z, along, u)
        pull_back(pattern, L, u, image)
        add(image, aim, 1.0)
        curve = dot(aim, image)
        if not (curve > 0.0 and product < math.inf):
            return False
        add(step, aim, product / curve)
        add(residue, image, -product / curve)
        copy(solved, residue)
        solve(pattern, work.factor, solved)
        new = dot(residue, solved)
        if new <= goal:
            return True
        for i in range(aim.size):
            aim[i] = solved[i] + new / product * aim[i]
        product = new
    return False
