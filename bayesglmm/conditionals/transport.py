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

from .. import covariance, families
from .._jit import ENABLED, bare, entry, simd, typeof, types
from .._linalg import add, copy, dot, total_of
from .._random import exponential, fill_normals, fill_uniforms, normal, uniform
from .._simd import exp, log
from ..density import DATA_TYPE, dispersion, theta_logprior
from ..lanes import (
    CHOICE,
    CHOLESKY,
    ETA,
    FIXED,
    LOGLIK,
    NEW_V,
    NEW_Z,
    OLD_V,
    OLD_WEIGHT,
    OLD_Z,
    SQUARE,
    STEP,
    TOTAL,
    WEIGHT,
    A,
    B,
    U,
    V,
    fixed_part,
    linear_predictor,
    log_determinants,
    make_work,
    multiply_transposed,
    newton_step,
    solve_backward,
    sum_rows,
)
from ..layout import GROUP, ROW
from . import centring

# Proposal of z: a mixture. The prior bounds the weights of groups whose likelihood is bounded; the
# wide Gaussian reaches the skewed tail of all-zero groups, where a narrow one would stick.
DEFENSE, WIDE, SPREAD = 0.1, 0.15, 2.0  # shares of prior and wide Gaussian; its sd over the narrow
LOG_NEAR, LOG_WIDE, LOG_FAR = math.log(1.0 - DEFENSE - WIDE), math.log(WIDE), math.log(DEFENSE)
LOG_SPREAD = math.log(SPREAD)
T_DF = 8.0  # degrees of freedom of the proposal of theta: tails above the posterior's
INDEPENDENCE, WALK = 0, 1
NEW, RUNNING, MOVED = 0, 1, 2  # of a chain: not evaluated yet; ready; its proposal was changed
SIDE, STATUS, SWEEPS, RUN = 0, 1, 2, 3  # State.flag
PRIOR, GROUPS = 0, 1  # State.value: log prior of theta; sum over groups
STATS = ("accept", "accept_u", "stuck_run", "logdensity")


class Guess(NamedTuple):
    """The linear guess of the modes: modes + slopes' (theta - center)."""

    center: np.ndarray  # (d,)
    modes: np.ndarray  # (q J,)
    slopes: np.ndarray  # (d, q J)


class Proposal(NamedTuple):
    """Proposal of theta, reordered to (psi, log phi, beta): t = center + scale w."""

    order: np.ndarray  # (d,) int64, place in theta of each element of t
    center: np.ndarray  # (d,)
    scale: np.ndarray  # (d, d) lower triangular
    block: np.ndarray  # (blocks, 3) int64: range of w that each block moves; INDEPENDENCE or WALK
    tuning: np.ndarray  # (blocks, 3) step of a walk; accepted and proposed since last set to 0


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
    fixed: np.ndarray  # (2, n) offset + X beta
    loglik: np.ndarray  # (2, J)
    value: np.ndarray  # (2, 2) PRIOR and GROUPS


def new_state(random: np.ndarray, n: int, d: int, q: int, J: int) -> State:
    """A chain before its density is first evaluated."""
    return State(
        random,
        np.array([0, NEW, 0, 0]),
        np.zeros((2, d)),
        np.zeros(d),
        np.zeros((q, J)),
        np.zeros((2, q, J)),
        np.zeros((2, q, J)),
        np.zeros((2, q, q, J)),
        np.zeros((2, n)),
        np.zeros((2, J)),
        np.zeros((2, 2)),
    )


def new_proposal(
    order: np.ndarray,
    center: np.ndarray,
    scale: np.ndarray,
    edges: list[tuple[int, int]],
    walks: list[tuple[int, int]],
) -> Proposal:
    """Independence proposals of blocks of theta, then random walks of others.

    Order, center and scale are as in `Proposal`.
    """
    blocks = [(*edge, INDEPENDENCE) for edge in edges] + [(*edge, WALK) for edge in walks]
    return Proposal(
        np.array(order, dtype=np.int64),
        np.array(center, dtype=np.float64),
        np.array(scale, dtype=np.float64, order="C"),
        np.array(blocks, dtype=np.int64),
        np.array([(1.0, 0.0, 0.0)] * len(blocks)),
    )


if ENABLED:
    _one = np.zeros(1)
    ADVANCE_SIGNATURE = types.void(
        families.ROWS_TYPE,
        DATA_TYPE,
        typeof(Guess(_one, _one, np.zeros((1, 1)))),
        typeof(new_proposal(_one, _one, np.eye(1), [(0, 1)], [])),
        typeof(centring.empty()),
        typeof(new_state(np.zeros(2, dtype=np.uint64), 1, 1, 1, 1)),
        types.int64,
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
    )
else:
    ADVANCE_SIGNATURE = None


@bare
def carry(rows, obs, guess, L, phi, theta, hold_v, side, state, work):
    """Complete side `side` of the state at theta; returns the sum over groups of log pi.

    With hold_v = 0, z is held: v and the log-likelihoods follow. With hold_v = 1, v of that side is
    held, and eta with it: z follows, and the log-likelihoods are those of the current side.
    """
    q, J, p = L.shape[0], state.loglik.shape[1], obs.X.shape[0]
    fixed, center, C = state.fixed[side], state.center[side], state.C[side]
    v, z, loglik = state.v[side], state.z, state.loglik[side]
    now = state.loglik[state.flag[SIDE]]
    own_fixed, eta, a, b = work.row[FIXED], work.row[ETA], work.row[A], work.row[B]
    own, step, new_z = work.vector[V], work.vector[STEP], work.vector[NEW_Z]
    total, factor = work.number[TOTAL], work.matrix[CHOLESKY]
    value = 0.0
    for c in range(obs.lanes.chunk.shape[0] - 1):
        first = obs.lanes.chunk[c, ROW]
        m = obs.lanes.chunk[c + 1, ROW] - first
        place = obs.lanes.chunk[c, GROUP]
        groups = obs.lanes.chunk[c + 1, GROUP] - place
        y, w = obs.y[first : first + m], obs.w[first : first + m]
        fixed_part(obs, c, theta[:p], own_fixed, 0)
        copy(fixed[first : first + m], own_fixed[:m])
        for k in range(q):
            at = k * J + place
            copy(own[k, :groups], guess.modes[at : at + groups])
            for j in range(theta.size):
                change = theta[j] - guess.center[j]
                add(own[k, :groups], guess.slopes[j, at : at + groups], change)
        linear_predictor(obs, c, L, own, groups, work)
        rows(families.IWLS, eta[:m], y, w, phi, a, b, a, a)
        newton_step(obs, c, L, own, groups, work)
        end = place + groups
        for k in range(q):
            add(step[k, :groups], own[k, :groups], 1.0)
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
        log_determinants(factor, groups, total)
        for k in range(q):
            value -= 0.5 * dot(own[k, :groups], own[k, :groups])
        value += total_of(loglik[place:end]) - total_of(total[:groups])
    return value


@simd
def _log_weights(groups, q, loglik, v, z, log_determinant, square, out):
    """Log of l_i N(v; 0, I) / proposal density, for the mixture that `redraw` proposes from."""
    for g in range(groups):
        out[g] = 0.0
        square[g] = 0.0
    for k in range(q):
        x, y = v[k], z[k]
        for g in range(groups):
            out[g] += 0.5 * x[g] * x[g]
            square[g] += 0.5 * y[g] * y[g]
    for g in range(groups):
        # Densities relative to the prior's, which cancels against the target's.
        base = log_determinant[g] + out[g]
        near = LOG_NEAR + base - square[g]
        wide = LOG_WIDE + base - square[g] / (SPREAD * SPREAD) - q * LOG_SPREAD
        larger = near if near > wide else wide
        larger = larger if larger > LOG_FAR else LOG_FAR
        total = exp(near - larger) + exp(wide - larger) + exp(LOG_FAR - larger)
        out[g] = loglik[g] - larger - log(total)


@bare
def _choose(take, new, old):
    """Old becomes new where take is 1."""
    for g in range(take.size):
        old[g] = new[g] if take[g] == 1.0 else old[g]


@simd
def _logs(x, n):
    """Logarithms in place."""
    for i in range(n):
        x[i] = log(x[i])


@bare
def redraw(rows, obs, L, phi, state, work):
    """Move z of every group given theta. Returns the mean acceptance."""
    q, side = L.shape[0], state.flag[SIDE]
    v, C, center, loglik = state.v[side], state.C[side], state.center[side], state.loglik[side]
    z, fixed = state.z, state.fixed[side]
    own_fixed, eta, a = work.row[FIXED], work.row[ETA], work.row[A]
    noise, step = work.vector[U], work.vector[STEP]
    new_v, new_z = work.vector[NEW_V], work.vector[NEW_Z]
    old_v, old_z = work.vector[OLD_V], work.vector[OLD_Z]
    new_loglik, weight, old_weight = (
        work.number[LOGLIK],
        work.number[WEIGHT],
        work.number[OLD_WEIGHT],
    )
    square = work.number[SQUARE]
    choice, total, factor = work.number[CHOICE], work.number[TOTAL], work.matrix[CHOLESKY]
    accepted, value = 0.0, 0.0
    for c in range(obs.lanes.chunk.shape[0] - 1):
        first = obs.lanes.chunk[c, ROW]
        m = obs.lanes.chunk[c + 1, ROW] - first
        place = obs.lanes.chunk[c, GROUP]
        end = obs.lanes.chunk[c + 1, GROUP]
        groups = end - place
        y, w = obs.y[first : first + m], obs.w[first : first + m]
        fill_uniforms(state.random, choice[:groups])
        for k in range(q):
            fill_normals(state.random, noise[k, :groups])
            for l in range(k + 1):
                copy(factor[k, l, :groups], C[k, l, place:end])
            copy(new_v[k, :groups], noise[k, :groups])
            copy(old_v[k, :groups], v[k, place:end])
            copy(old_z[k, :groups], z[k, place:end])
        solve_backward(factor, new_v, groups)
        for k in range(q):
            proposed, middle, far = new_v[k, :groups], center[k, place:end], noise[k, :groups]
            away = step[k, :groups]
            for g in range(away.size):
                spread = SPREAD if choice[g] < DEFENSE + WIDE else 1.0
                near = middle[g] + spread * proposed[g]
                proposed[g] = far[g] if choice[g] < DEFENSE else near
                away[g] = proposed[g] - middle[g]
        multiply_transposed(factor, step, groups, new_z)
        copy(own_fixed[:m], fixed[first : first + m])
        linear_predictor(obs, c, L, new_v, groups, work)
        rows(families.LOGLIK, eta[:m], y, w, phi, a, a, a, a)
        sum_rows(obs.lanes, obs.y, 1, c, a, work.lane, new_loglik)
        log_determinants(factor, groups, total)
        _log_weights(groups, q, loglik[place:], old_v, old_z, total, square, old_weight)
        _log_weights(groups, q, new_loglik, new_v, new_z, total, square, weight)
        fill_uniforms(state.random, choice[:groups])
        _logs(choice, groups)
        take = choice[:groups]
        for g in range(take.size):
            take[g] = 1.0 if take[g] < weight[g] - old_weight[g] else 0.0
        accepted += total_of(take)
        _choose(take, new_loglik[:groups], loglik[place:end])
        for k in range(q):
            _choose(take, new_v[k, :groups], v[k, place:end])
            _choose(take, new_z[k, :groups], z[k, place:end])
            value -= 0.5 * dot(v[k, place:end], v[k, place:end])
        value += total_of(loglik[place:end]) - total_of(total[:groups])
    state.value[side, GROUPS] = value
    return accepted / loglik.size


@bare
def _to_theta(proposal, w, theta):
    for i in range(w.size):
        total = proposal.center[i] + dot(proposal.scale[i, : i + 1], w[: i + 1])
        theta[proposal.order[i]] = total


@bare
def _to_w(proposal, theta, w):
    for i in range(w.size):
        total = theta[proposal.order[i]] - proposal.center[i]
        w[i] = (total - dot(proposal.scale[i, :i], w[:i])) / proposal.scale[i, i]


@bare
def _propose(low, high, kind, step, random, w, new_w):
    """New w of one block; returns the log ratio of proposal densities, old over new."""
    for i in range(w.size):
        new_w[i] = normal(random) if low <= i < high else w[i]
    if kind == WALK:
        for i in range(low, high):
            new_w[i] = w[i] + step * new_w[i]
        return 0.0
    # chi-square on 8 degrees of freedom: four exponentials
    chi_square = 0.0
    for _ in range(4):
        chi_square += 2.0 * exponential(random)
    factor = math.sqrt(T_DF / chi_square)
    old_square, new_square = 0.0, 0.0
    for i in range(low, high):
        new_w[i] *= factor
        old_square += w[i] * w[i]
        new_square += new_w[i] * new_w[i]
    power = 0.5 * (T_DF + high - low)
    return power * (math.log1p(new_square / T_DF) - math.log1p(old_square / T_DF))


@bare
def _take(state, log_prior, value, L, new_L):
    """Make the proposed side of the state the current one."""
    other = 1 - state.flag[SIDE]
    state.flag[SIDE] = other
    state.value[other, PRIOR], state.value[other, GROUPS] = log_prior, value
    for k in range(L.shape[0]):
        for l in range(k + 1):
            L[k, l] = new_L[k, l]


@entry(lambda: ADVANCE_SIGNATURE)
def advance(rows, data, guess, proposal, centre, state, every, theta_out, u_out, stats):
    """Run as many sweeps as theta_out has rows; with none, evaluate the density at the start.

    `every` is how often a sweep ends with the centred moves (0: never).
    """
    obs, prior, flag = data.obs, data.prior, state.flag
    q, J, p = obs.Z.shape[0], state.loglik.shape[1], obs.X.shape[0]
    m, d = prior.covariance.row.size, state.w.size
    work = make_work(obs.lanes, q)
    L, new_L, new_w = np.zeros((q, q)), np.zeros((q, q)), np.empty(d)
    # What is kept in the state is never recomputed: draws must not depend on how calls are cut.
    covariance.fill_L(prior.covariance, state.theta[flag[SIDE], p : p + m], L)
    if flag[STATUS] != RUNNING:
        _to_w(proposal, state.theta[flag[SIDE]], state.w)
    blocks = proposal.block.shape[0]
    if flag[STATUS] == NEW:
        side = flag[SIDE]
        theta = state.theta[side]
        phi = dispersion(prior, theta)
        state.value[side, PRIOR] = theta_logprior(prior, theta, L)
        state.value[side, GROUPS] = carry(rows, obs, guess, L, phi, theta, 0, side, state, work)
    flag[STATUS] = RUNNING
    for row in range(theta_out.shape[0]):
        accepted = 0
        for block in range(blocks):
            low, high = proposal.block[block, 0], proposal.block[block, 1]
            kind = proposal.block[block, 2]
            now = flag[SIDE]
            theta = state.theta[1 - now]
            step = proposal.tuning[block, 0]
            ratio = _propose(low, high, kind, step, state.random, state.w, new_w)
            threshold = math.log(uniform(state.random))
            _to_theta(proposal, new_w, theta)
            covariance.fill_L(prior.covariance, theta[p : p + m], new_L)
            log_prior, value = theta_logprior(prior, theta, new_L), -np.inf
            if log_prior > -np.inf:
                phi = dispersion(prior, theta)
                value = carry(rows, obs, guess, new_L, phi, theta, 0, 1 - now, state, work)
            ratio += log_prior + value - state.value[now, PRIOR] - state.value[now, GROUPS]
            proposal.tuning[block, 2] += 1.0
            if threshold < ratio:
                accepted += 1
                proposal.tuning[block, 1] += 1.0
                _take(state, log_prior, value, L, new_L)
                for i in range(d):
                    state.w[i] = new_w[i]
        phi = dispersion(prior, state.theta[flag[SIDE]])
        rate = redraw(rows, obs, L, phi, state, work)
        if every > 0 and flag[SWEEPS] % every == 0:
            now = flag[SIDE]
            theta = state.theta[1 - now]
            for i in range(d):
                theta[i] = state.theta[now, i]
            centring.draw(prior, centre, L, theta, state.v[now], state.v[1 - now], state.random)
            covariance.fill_L(prior.covariance, theta[p : p + m], new_L)
            value = carry(rows, obs, guess, new_L, phi, theta, 1, 1 - now, state, work)
            _take(state, theta_logprior(prior, theta, new_L), value, L, new_L)
            _to_w(proposal, theta, state.w)
        flag[SWEEPS] += 1
        flag[RUN] = 0 if accepted > 0 else flag[RUN] + 1
        now = flag[SIDE]
        for i in range(d):
            theta_out[row, i] = state.theta[now, i]
        for k in range(q):
            own = u_out[row, k * J : (k + 1) * J]
            for g in range(J):
                own[g] = 0.0
            for l in range(k + 1):
                add(own, state.v[now, l], L[k, l])
        stats[row, 0] = accepted / blocks
        stats[row, 1] = rate
        stats[row, 2] = flag[RUN]
        stats[row, 3] = state.value[now, PRIOR] + state.value[now, GROUPS]
