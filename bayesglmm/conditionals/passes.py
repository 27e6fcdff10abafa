"""Passes over the groups of one factor, a chunk at a time.

`carry` takes the groups to another theta, with z or with the effects held; `redraw` moves their z
given theta. What a chunk does depends on no other: it has its own place in the stream of random
numbers, and sums over chunks are taken in the order of the chunks. So chunks may be done in any
order, and by several threads (`crew`), with the same result to the last bit.
"""

from typing import NamedTuple

import numpy as np

from .. import families
from .._jit import apart, bare, kernel, simd
from .._linalg import add, copy, dot, total_of
from .._simd import exp
from ..lanes import (
    CHOLESKY,
    ETA,
    FIXED,
    NEW_Z,
    STEP,
    TOTAL,
    A,
    B,
    V,
    fixed_part,
    linear_predictor,
    log_determinants,
    multiply_transposed,
    newton_step,
    solve_backward,
    sum_rows,
)
from ..layout import GROUP, ROW
from .renewal import renew

SIDE, STATUS, SWEEPS, RUN = 0, 1, 2, 3  # State.flag
PRIOR, GROUPS = 0, 1  # State.value: log prior of theta; sum over groups


class Guess(NamedTuple):
    """What m_i and C_i are at each theta.

    Without `factors`, modes + slopes' (theta - center) is where the Newton step begins. With them
    it is m_i itself, and C_i is linear too, but for the logarithms of its diagonal: no pass over
    rows is needed.
    """

    center: np.ndarray  # (d,)
    modes: np.ndarray  # (q J,)
    slopes: np.ndarray  # (d, q J)
    factors: np.ndarray  # (d + 1, q (q + 1) / 2, J) float32, value and slopes; (1, 1, 0) without


def no_guess() -> Guess:
    """Return a guess for no groups."""
    return Guess(np.zeros(1), np.zeros(0), np.zeros((1, 0)), np.zeros((1, 1, 0), np.float32))


class State(NamedTuple):
    """A chain. Arrays with a leading 2 hold the current side and the proposed one."""

    random: np.ndarray  # (2,) uint64
    flag: np.ndarray  # (4,) int64: SIDE that is current, STATUS, SWEEPS done, RUN of rejections
    theta: np.ndarray  # (2, d)
    w: np.ndarray  # (d,)
    z: np.ndarray  # (q, J)
    v: np.ndarray  # (2, q, J)
    center: np.ndarray  # (2, q, J) m_i(theta)
    C: np.ndarray  # (2, q, q, J)
    loglik: np.ndarray  # (2, J)
    value: np.ndarray  # (2, 2) PRIOR and GROUPS


@bare
def guess_center(guess, theta, place, groups, J, own):
    """Linear guess of m_i for the groups of a chunk."""
    for k in range(own.shape[0]):
        at = k * J + place
        copy(own[k, :groups], guess.modes[at : at + groups])
        for j in range(theta.size):
            change = theta[j] - guess.center[j]
            add(own[k, :groups], guess.slopes[j, at : at + groups], change)


@simd
def _exps(x, n):
    """Exponentials in place."""
    for i in range(n):
        x[i] = exp(x[i])


@bare
def guess_factor(guess, theta, place, groups, q, factor, total):
    """C_i where it is linear in theta, and log det C_i."""
    own_total = total[:groups]
    for g in range(own_total.size):
        own_total[g] = 0.0
    e = 0
    for k in range(q):
        for l in range(k + 1):
            own, value = factor[k, l, :groups], guess.factors[0, e, place : place + groups]
            for g in range(own.size):
                own[g] = value[g]
            for j in range(theta.size):
                change = theta[j] - guess.center[j]
                add(own, guess.factors[1 + j, e, place : place + groups], change)
            if k == l:
                add(own_total, own, 1.0)
                _exps(own, groups)
            e += 1


@apart
def carry_chunk(rows, obs, guess, L, phi, theta, hold_v, side, state, work, c):
    """What `carry` does for the groups of chunk c."""
    q, J, p = L.shape[0], state.loglik.shape[1], obs.X.shape[0]
    center, C = state.center[side], state.C[side]
    v, z, loglik = state.v[side], state.z, state.loglik[side]
    now = state.loglik[state.flag[SIDE]]
    own_fixed, eta, a, b = work.row[FIXED], work.row[ETA], work.row[A], work.row[B]
    own, step, new_z = work.vector[V], work.vector[STEP], work.vector[NEW_Z]
    total, factor = work.number[TOTAL], work.matrix[CHOLESKY]
    first = obs.lanes.chunk[c, ROW]
    m = obs.lanes.chunk[c + 1, ROW] - first
    place = obs.lanes.chunk[c, GROUP]
    groups = obs.lanes.chunk[c + 1, GROUP] - place
    end = place + groups
    y, w = obs.y[first : first + m], obs.w[first : first + m]
    if guess.factors.shape[2] > 0:
        if hold_v == 0:
            fixed_part(obs, c, theta[:p], own_fixed, 0)
        guess_center(guess, theta, place, groups, J, step)
        guess_factor(guess, theta, place, groups, q, factor, total)
    else:
        fixed_part(obs, c, theta[:p], own_fixed, 0)
        guess_center(guess, theta, place, groups, J, own)
        linear_predictor(obs, c, L, own, groups, work)
        rows(families.IWLS, eta[:m], y, w, phi, a, b, a, a)
        newton_step(obs, c, L, own, groups, work)
        for k in range(q):
            add(step[k, :groups], own[k, :groups], 1.0)
        log_determinants(factor, groups, total)
    for k in range(q):
        copy(center[k, place:end], step[k, :groups])
        for l in range(k + 1):
            copy(C[k, l, place:end], factor[k, l, :groups])
    if hold_v == 1:
        for k in range(q):
            copy(own[k, :groups], v[k, place:end])
            copy(step[k, :groups], v[k, place:end])
            add(step[k, :groups], center[k, place:end], -1.0)
        multiply_transposed(factor, step, groups, new_z)
        for k in range(q):
            copy(z[k, place:end], new_z[k, :groups])
        copy(loglik[place:end], now[place:end])
    else:
        for k in range(q):
            copy(own[k, :groups], z[k, place:end])
        solve_backward(factor, own, groups)
        for k in range(q):
            add(own[k, :groups], center[k, place:end], 1.0)
            copy(v[k, place:end], own[k, :groups])
        linear_predictor(obs, c, L, own, groups, work)
        rows(families.LOGLIK, eta[:m], y, w, phi, a, a, a, a)
        sum_rows(obs.lanes, obs.y, 1, c, a, work.lane, loglik[place:])
    value = total_of(loglik[place:end]) - total_of(total[:groups])
    for k in range(q):
        value -= 0.5 * dot(own[k, :groups], own[k, :groups])
    return value


@kernel
def carry(rows, obs, guess, L, phi, theta, hold_v, side, state, work):
    """Complete side `side` of the state at theta; returns the sum over groups of log pi.

    With hold_v = 0, z is held: v and the log-likelihoods follow. With hold_v = 1, v of that side is
    held, and eta with it: z follows, and the log-likelihoods are those of the current side.
    """
    value = 0.0
    for c in range(obs.lanes.chunk.shape[0] - 1):
        # One type whatever the call says, so that there is one compiled function.
        hold = np.int64(hold_v)
        value += carry_chunk(rows, obs, guess, L, phi, theta, hold, side, state, work, c)
    return value


@apart
def redraw_chunk(rows, obs, L, phi, side, state, random, work, c):
    """What `redraw` does for the groups of chunk c, with numbers of its own part of the stream.

    Returns the groups' log pi and the number of groups that moved.
    """
    q, p = L.shape[0], obs.X.shape[0]
    v, C, center, loglik = state.v[side], state.C[side], state.center[side], state.loglik[side]
    place, end = obs.lanes.chunk[c, GROUP], obs.lanes.chunk[c + 1, GROUP]
    fixed_part(obs, c, state.theta[side, :p], work.row[FIXED], 0)
    accepted = renew(rows, obs, L, phi, random, c, v, state.z, center, C, loglik, work)
    value = total_of(loglik[place:end]) - total_of(work.number[TOTAL, : end - place])
    for k in range(q):
        value -= 0.5 * dot(v[k, place:end], v[k, place:end])
    return value, accepted


@bare
def numbers_before(obs, q, c):
    """Random numbers that `redraw` uses for the chunks before chunk c."""
    used = 0
    for before in range(c):
        groups = obs.lanes.chunk[before + 1, GROUP] - obs.lanes.chunk[before, GROUP]
        used += 2 * groups + 2 * q * ((groups + 1) // 2)
    return used


@kernel
def redraw(rows, obs, L, phi, state, work):
    """Move z of every group given theta. Returns the mean acceptance."""
    side, value, accepted = state.flag[SIDE], 0.0, 0.0
    for c in range(obs.lanes.chunk.shape[0] - 1):
        part, moved = redraw_chunk(rows, obs, L, phi, side, state, state.random, work, c)
        value += part
        accepted += moved
    state.value[side, GROUPS] = value
    return accepted / state.loglik.shape[1]
