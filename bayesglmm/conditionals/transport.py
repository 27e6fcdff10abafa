"""Gibbs sampling in Laplace-transported coordinates, one grouping factor.

The effects of group i are v_i = m_i(theta) + C_i(theta)^-T z_i, where m_i is one Newton step from a
fixed linear guess of the mode and C_i C_i' = I + L'Z'WZL the curvature of that step. The map is a
fixed function of theta, so the target in (theta, z) is exact whatever the step achieved:

    log pi = log p(theta) + sum_i [ l_i(beta, L v_i) - |v_i|^2 / 2 - log det C_i ].

A sweep moves blocks of theta with z held (independence proposals, multivariate t; or random walk),
then all z_i at once given theta (independence proposals from a defensive mixture), then, in
`centring`, beta and Sigma with the effects u held.

Given z, a change of theta of order n^-1/2 changes each group's correction by as much, and their sum
stays of order 1: acceptance does not fall with the number of groups.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import covariance, families, lanes
from .._jit import ENABLED, entry, kernel, simd, types
from .._random import exponential, fill_normals, fill_uniforms, normal, uniform
from .._simd import exp, log, log1p
from ..density import DATA_TYPE, MAP_TYPE, dispersion, dot, theta_logprior
from ..fits.one_factor import linear_predictor, newton_step
from . import centring
from .centring import Centring

DEFENSE = 0.1  # share of the prior in the proposal of z: bounds the weights of all-zero groups
T_DF = 8.0  # degrees of freedom of the proposal of theta: tails above the posterior's
INDEPENDENCE, WALK = 0, 1
NEW, RUNNING, MOVED = 0, 1, 2  # of a chain: not evaluated yet; ready; its proposal was changed
ACCEPT_THETA, ACCEPT_Z, STUCK = 0, 1, 2  # columns of the statistics, with the log density
LOGDENSITY = 3
STATS = ("accept", "accept_u", "stuck_run", "logdensity")


class Proposal(NamedTuple):
    """Proposal of theta, reordered to (psi, log phi, beta): t = center + scale w."""

    order: np.ndarray  # (d,) int64, place in theta of each element of t
    center: np.ndarray  # (d,)
    scale: np.ndarray  # (d, d) lower triangular
    edges: np.ndarray  # (blocks, 2) int64, range of w that each block moves
    kind: np.ndarray  # (blocks,) int64, INDEPENDENCE or WALK
    step: np.ndarray  # (blocks,) scale of a random walk
    tally: np.ndarray  # (blocks, 2) accepted and proposed, since they were last set to 0


class State(NamedTuple):
    """A chain. Arrays with a leading 2 hold the current side and the proposed one."""

    random: np.ndarray  # (2,) uint64
    side: np.ndarray  # (2,) int64: which of the two is current; NEW, RUNNING or MOVED
    theta: np.ndarray  # (2, d)
    w: np.ndarray  # (d,)
    z: np.ndarray  # (q, J)
    v: np.ndarray  # (2, q, J)
    center: np.ndarray  # (2, q, J) m_i(theta)
    C: np.ndarray  # (2, q, q, J)
    fixed: np.ndarray  # (2, n) offset + X beta
    loglik: np.ndarray  # (2, J)
    value: np.ndarray  # (2, 2) log prior of theta; sum over groups
    sweep: np.ndarray  # (2,) int64: sweeps done, run of rejections


def new_state(random: np.ndarray, n: int, d: int, q: int, J: int) -> State:
    """A chain before its first `begin`."""
    return State(
        random,
        np.array([0, NEW]),
        np.zeros((2, d)),
        np.zeros(d),
        np.zeros((q, J)),
        np.zeros((2, q, J)),
        np.zeros((2, q, J)),
        np.zeros((2, q, q, J)),
        np.zeros((2, n)),
        np.zeros((2, J)),
        np.zeros((2, 2)),
        np.zeros(2, dtype=np.int64),
    )


def new_proposal(order, center, scale, edges) -> Proposal:
    """An independence proposal in blocks; order, center and scale as in `Proposal`."""
    blocks = len(edges)
    return Proposal(
        np.asarray(order, dtype=np.int64),
        np.array(center, dtype=float),
        np.ascontiguousarray(scale, dtype=float),
        np.array(edges, dtype=np.int64).reshape(blocks, 2),
        np.zeros(blocks, dtype=np.int64),
        np.full(blocks, 0.5),
        np.zeros((blocks, 2)),
    )


if ENABLED:
    from numba import typeof

    STATE_TYPE = typeof(new_state(np.zeros(2, dtype=np.uint64), 1, 1, 1, 1))
    PROPOSAL_TYPE = typeof(new_proposal([0], [0.0], np.eye(1), [[0, 1]]))
    CENTRING_TYPE = typeof(centring.empty())
else:
    STATE_TYPE = PROPOSAL_TYPE = CENTRING_TYPE = None


@simd
def _finish(groups, q, loglik, v, C, first, total):
    """Sum over groups of l_i - |v_i|^2 / 2 - log det C_i."""
    for g in range(groups):
        determinant = C[0, 0, first + g]
        square = v[0, first + g] * v[0, first + g]
        for k in range(1, q):
            determinant *= C[k, k, first + g]
            square += v[k, first + g] * v[k, first + g]
        total[g] = loglik[first + g] - 0.5 * square - log(determinant)
    value = 0.0
    for g in range(groups):
        value += total[g]
    return value


@kernel
def _start(data, map, c, theta, v):
    """The linear guess of the modes at theta, for the groups of chunk c."""
    q, J = v.shape[0], data.levels[0]
    first = data.lanes.first[c]
    groups = data.lanes.first[c + 1] - first
    for k in range(q):
        for g in range(groups):
            v[k, g] = map.modes[k * J + first + g]
        for j in range(theta.size):
            step = theta[j] - map.center[j]
            if step != 0.0:
                place = k * J + first
                for g in range(groups):
                    v[k, g] += map.slopes[j, place + g] * step


@kernel
def _center(rows, data, map, c, L, phi, theta, center, C, work):
    """m_i(theta) and C_i(theta) of a chunk; work.d must hold the fixed part."""
    q = L.shape[0]
    first, last = data.lanes.row[c], data.lanes.row[c + 1]
    m = last - first
    place = data.lanes.first[c]
    groups = data.lanes.first[c + 1] - place
    _start(data, map, c, theta, work.v)
    linear_predictor(data, c, L, work.v, groups, work)
    y, w = data.y[first:last], data.w[first:last]
    rows(families.IWLS, work.eta[:m], y, w, phi, work.a, work.b, work.a, work.a)
    newton_step(data, c, L, work.v, groups, work)
    for k in range(q):
        for g in range(groups):
            center[k, place + g] = work.v[k, g] + work.step[k, g]
        for l in range(k + 1):
            for g in range(groups):
                C[k, l, place + g] = work.C[k, l, g]


@kernel
def _loglik(rows, data, c, L, phi, v, loglik, work):
    """Log-likelihood of each group of a chunk at v; both counted from the chunk's first group."""
    first, last = data.lanes.row[c], data.lanes.row[c + 1]
    m = last - first
    groups = data.lanes.first[c + 1] - data.lanes.first[c]
    linear_predictor(data, c, L, v, groups, work)
    y, w = data.y[first:last], data.w[first:last]
    rows(families.LOGLIK, work.eta[:m], y, w, phi, work.a, work.a, work.a, work.a)
    lanes.sum_rows(data, c, work.a, work.lane, loglik)


@kernel
def transport(rows, data, map, L, theta, side, state, work):
    """Carry z to theta: fills side `side` of the state; returns the sum over groups."""
    p, q = data.beta_kind.size, L.shape[0]
    phi = dispersion(data, theta)
    fixed, center, C = state.fixed[side], state.center[side], state.C[side]
    v, loglik = state.v[side], state.loglik[side]
    value = 0.0
    for c in range(data.lanes.direct.size):
        first = data.lanes.row[c]
        m = data.lanes.row[c + 1] - first
        place = data.lanes.first[c]
        groups = data.lanes.first[c + 1] - place
        lanes.fixed_part(data, c, theta[:p], fixed, first)
        for i in range(m):
            work.d[i] = fixed[first + i]
        _center(rows, data, map, c, L, phi, theta, center, C, work)
        for k in range(q):
            for g in range(groups):
                work.v[k, g] = state.z[k, place + g]
        lanes.solve_backward(work.C, work.v, groups)
        for k in range(q):
            for g in range(groups):
                work.v[k, g] += center[k, place + g]
                v[k, place + g] = work.v[k, g]
        _loglik(rows, data, c, L, phi, work.v, loglik[place:], work)
        value += _finish(groups, q, loglik, v, C, place, work.total)
    return value


@kernel
def recenter(rows, data, map, L, side, state, work):
    """Complete side `side` of the state, and z, from its theta and v; returns the sum over groups.

    eta must be the current side's: the log-likelihoods of the groups are taken from there.
    """
    p, q = data.beta_kind.size, L.shape[0]
    theta, v = state.theta[side], state.v[side]
    phi = dispersion(data, theta)
    now = state.side[0]
    fixed, center, C = state.fixed[side], state.center[side], state.C[side]
    value = 0.0
    for c in range(data.lanes.direct.size):
        first = data.lanes.row[c]
        m = data.lanes.row[c + 1] - first
        place = data.lanes.first[c]
        groups = data.lanes.first[c + 1] - place
        lanes.fixed_part(data, c, theta[:p], fixed, first)
        for i in range(m):
            work.d[i] = fixed[first + i]
        _center(rows, data, map, c, L, phi, theta, center, C, work)
        for k in range(q):
            for g in range(groups):
                work.v[k, g] = v[k, place + g] - center[k, place + g]
        lanes.multiply_transposed(work.C, work.v, groups, work.u)
        for k in range(q):
            for g in range(groups):
                state.z[k, place + g] = work.u[k, g]
        for g in range(groups):
            state.loglik[side, place + g] = state.loglik[now, place + g]
        value += _finish(groups, q, state.loglik[side], v, C, place, work.total)
    return value


@simd
def _log_weights(groups, first, q, loglik, v, z, C, out):
    """log of l_i N(v; 0, I) / proposal density, for the defensive mixture."""
    for g in range(groups):
        determinant = C[0, 0, first + g]
        square = v[0, g] * v[0, g] - z[0, g] * z[0, g]
        for k in range(1, q):
            determinant *= C[k, k, first + g]
            square += v[k, g] * v[k, g] - z[k, g] * z[k, g]
        a = math.log(1.0 - DEFENSE) + log(determinant) + 0.5 * square
        b = math.log(DEFENSE)
        larger = a if a > b else b
        out[g] = loglik[g] - larger - log1p(exp(-abs(a - b)))


class Scratch(NamedTuple):
    """Work arrays of `redraw`, for one chunk."""

    noise: np.ndarray  # (q groups,)
    choice: np.ndarray  # (2 groups,)
    v: np.ndarray  # (q, groups) proposed
    z: np.ndarray  # (q, groups) proposed
    old_v: np.ndarray  # (q, groups)
    old_z: np.ndarray  # (q, groups)
    loglik: np.ndarray  # (groups,) proposed
    weight: np.ndarray  # (groups,) log weight of the proposed
    old_weight: np.ndarray  # (groups,)


@kernel
def make_scratch(q, groups):
    """Work arrays of `redraw`."""
    return Scratch(
        np.empty(q * groups),
        np.empty(2 * groups),
        np.empty((q, groups)),
        np.empty((q, groups)),
        np.empty((q, groups)),
        np.empty((q, groups)),
        np.empty(groups),
        np.empty(groups),
        np.empty(groups),
    )


@kernel
def redraw(rows, data, L, phi, state, work, scratch):
    """Move z of every group given theta. Returns the mean acceptance."""
    q = L.shape[0]
    side = state.side[0]
    v, C, center, loglik = state.v[side], state.C[side], state.center[side], state.loglik[side]
    noise, choice = scratch.noise, scratch.choice
    accepted, value = 0, 0.0
    for c in range(data.lanes.direct.size):
        first = data.lanes.row[c]
        m = data.lanes.row[c + 1] - first
        place = data.lanes.first[c]
        groups = data.lanes.first[c + 1] - place
        fill_normals(state.random, noise[: q * groups])
        fill_uniforms(state.random, choice[: 2 * groups])
        for k in range(q):
            for l in range(k + 1):
                for g in range(groups):
                    work.C[k, l, g] = C[k, l, place + g]
            for g in range(groups):
                scratch.v[k, g] = noise[k * groups + g]
                scratch.old_v[k, g] = v[k, place + g]
                scratch.old_z[k, g] = state.z[k, place + g]
        lanes.solve_backward(work.C, scratch.v, groups)
        for k in range(q):
            for g in range(groups):
                near = center[k, place + g] + scratch.v[k, g]
                # With probability DEFENSE the proposal is the prior.
                scratch.v[k, g] = noise[k * groups + g] if choice[g] < DEFENSE else near
                work.step[k, g] = scratch.v[k, g] - center[k, place + g]
        lanes.multiply_transposed(work.C, work.step, groups, scratch.z)
        for i in range(m):
            work.d[i] = state.fixed[side, first + i]
        _loglik(rows, data, c, L, phi, scratch.v, scratch.loglik, work)
        _log_weights(
            groups, place, q, loglik[place:], scratch.old_v, scratch.old_z, C, scratch.old_weight
        )
        _log_weights(groups, place, q, scratch.loglik, scratch.v, scratch.z, C, scratch.weight)
        for g in range(groups):
            if log(choice[groups + g]) < scratch.weight[g] - scratch.old_weight[g]:
                accepted += 1
                loglik[place + g] = scratch.loglik[g]
                for k in range(q):
                    v[k, place + g] = scratch.v[k, g]
                    state.z[k, place + g] = scratch.z[k, g]
        value += _finish(groups, q, loglik, v, C, place, work.total)
    state.value[side, 1] = value
    return accepted / data.levels[0]


@kernel
def _to_theta(proposal, w, theta):
    for i in range(w.size):
        total = proposal.center[i] + dot(proposal.scale[i, : i + 1], w[: i + 1])
        theta[proposal.order[i]] = total


@kernel
def _to_w(proposal, theta, w):
    for i in range(w.size):
        total = theta[proposal.order[i]] - proposal.center[i]
        w[i] = (total - dot(proposal.scale[i, :i], w[:i])) / proposal.scale[i, i]


@kernel
def _propose(proposal, block, random, w, new_w):
    """New w of one block; returns the log ratio of proposal densities, old over new."""
    lo, hi = proposal.edges[block, 0], proposal.edges[block, 1]
    new_w[:] = w
    for i in range(lo, hi):
        new_w[i] = normal(random)
    if proposal.kind[block] == WALK:
        for i in range(lo, hi):
            new_w[i] = w[i] + proposal.step[block] * new_w[i]
        return 0.0
    # chi-square on 8 degrees of freedom: four exponentials
    chi_square = 0.0
    for _ in range(4):
        chi_square += 2.0 * exponential(random)
    factor = math.sqrt(T_DF / chi_square)
    old_square, new_square = 0.0, 0.0
    for i in range(lo, hi):
        new_w[i] *= factor
        old_square += w[i] * w[i]
        new_square += new_w[i] * new_w[i]
    power = 0.5 * (T_DF + hi - lo)
    return power * (math.log1p(new_square / T_DF) - math.log1p(old_square / T_DF))


@kernel
def move_theta(rows, data, map, proposal, block, L, new_L, new_w, state, work):
    """Move one block of theta with z held. Returns whether it was accepted."""
    p, m = data.beta_kind.size, data.covariance.row.size
    now = state.side[0]
    other = 1 - now
    theta = state.theta[other]
    ratio = _propose(proposal, block, state.random, state.w, new_w)
    _to_theta(proposal, new_w, theta)
    covariance.fill_L(data.covariance, theta[p : p + m], new_L)
    prior = theta_logprior(data, theta, new_L)
    threshold = math.log(uniform(state.random))
    proposal.tally[block, 1] += 1.0
    if not prior > -np.inf:
        return False
    value = transport(rows, data, map, new_L, theta, other, state, work)
    ratio += prior + value - state.value[now, 0] - state.value[now, 1]
    if not threshold < ratio:
        return False
    state.value[other, 0], state.value[other, 1] = prior, value
    state.side[0] = other
    state.w[:] = new_w
    L[:] = new_L
    proposal.tally[block, 0] += 1.0
    return True


if ENABLED:
    ADVANCE_SIGNATURE = types.void(
        families.ROWS_TYPE,
        DATA_TYPE,
        MAP_TYPE,
        PROPOSAL_TYPE,
        CENTRING_TYPE,
        STATE_TYPE,
        types.int64,
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
    )
else:
    ADVANCE_SIGNATURE = None


@entry(lambda: ADVANCE_SIGNATURE)
def advance(rows, data, map, proposal, centre, state, every, theta_out, u_out, stats):
    """Run as many sweeps as theta_out has rows; no sweeps: evaluate the density at the start.

    `every` is how often a sweep ends with the centred moves (0: never).
    """
    q, J, p = data.factor.size, data.levels[0], data.beta_kind.size
    work = lanes.make_work(data)
    scratch = make_scratch(q, work.total.size)
    L, new_L, new_w = np.zeros((q, q)), np.zeros((q, q)), np.empty(state.w.size)
    theta = state.theta[state.side[0]]
    # What is kept in the state is never recomputed: draws must not depend on how calls are cut.
    covariance.fill_L(data.covariance, theta[p : p + data.covariance.row.size], L)
    if state.side[1] != RUNNING:
        _to_w(proposal, theta, state.w)
    if state.side[1] == NEW:
        side = state.side[0]
        state.value[side, 0] = theta_logprior(data, theta, L)
        state.value[side, 1] = transport(rows, data, map, L, theta, side, state, work)
    state.side[1] = RUNNING
    blocks = proposal.kind.size
    for row in range(theta_out.shape[0]):
        accepted = 0
        for block in range(blocks):
            if move_theta(rows, data, map, proposal, block, L, new_L, new_w, state, work):
                accepted += 1
        phi = dispersion(data, state.theta[state.side[0]])
        z_rate = redraw(rows, data, L, phi, state, work, scratch)
        if every > 0 and state.sweep[0] % every == 0:
            centring.draw(data, centre, L, state)
            side = state.side[0]
            other = 1 - side
            state.value[other, 0] = theta_logprior(data, state.theta[other], L)
            state.value[other, 1] = recenter(rows, data, map, L, other, state, work)
            state.side[0] = other
            _to_w(proposal, state.theta[other], state.w)
        state.sweep[0] += 1
        state.sweep[1] = 0 if accepted > 0 else state.sweep[1] + 1
        side = state.side[0]
        theta_out[row] = state.theta[side]
        for k in range(q):
            out = u_out[row, k * J : (k + 1) * J]
            out[:] = 0.0
            for l in range(k + 1):
                if L[k, l] != 0.0:
                    for g in range(J):
                        out[g] += L[k, l] * state.v[side, l, g]
        stats[row, ACCEPT_THETA] = accepted / blocks
        stats[row, ACCEPT_Z] = z_rate
        stats[row, STUCK] = state.sweep[1]
        stats[row, LOGDENSITY] = state.value[side, 0] + state.value[side, 1]
