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
from .._jit import ENABLED, bare, entry, typeof, types
from .._linalg import add, dot
from .._random import exponential, normal, uniform
from ..density import DATA_TYPE, dispersion, theta_logprior
from ..lanes import make_work
from . import centring
from .crew import alone, carry, help, redraw
from .passes import GROUPS, PRIOR, RUN, SIDE, STATUS, SWEEPS, State, no_guess

HALF_DF = 4  # half the degrees of freedom of t proposals, at least: tails above the posterior's
INDEPENDENCE, WALK = 0, 1
LOW, HIGH, KIND, EVERY = 0, 1, 2, 3  # columns of Proposal.block
STEP, ACCEPTED, PROPOSED, REJECTED, LONGEST = 0, 1, 2, 3, 4  # columns of Proposal.tuning
UNTUNED = (1.0, 0.0, 0.0, 0.0, 0.0)
# Of a chain: not evaluated yet; ready; its proposal was changed; its proposal and its map were.
NEW, RUNNING, MOVED, MAPPED = 0, 1, 2, 3
STATS = ("accept", "accept_u", "stuck_run", "logdensity")


class Proposal(NamedTuple):
    """Proposal of theta, reordered to (psi, log phi, beta): t = center + scale w."""

    order: np.ndarray  # (d,) int64, place in theta of each element of t
    center: np.ndarray  # (d,)
    scale: np.ndarray  # (d, d) lower triangular
    block: np.ndarray  # (blocks, 4) int64: LOW and HIGH end of the range of w that moves, its
    #                    KIND (INDEPENDENCE or WALK), and EVERY how many sweeps
    tuning: np.ndarray  # (blocks, 5) STEP of a walk; since last set to 0 how many were ACCEPTED and
    #                    PROPOSED; how many the last ones REJECTED are, and the LONGEST such run


def new_state(random: np.ndarray, d: int, q: int, J: int) -> State:
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
        np.zeros((2, J)),
        np.zeros((2, 2)),
    )


def new_proposal(
    order: np.ndarray,
    center: np.ndarray,
    scale: np.ndarray,
    edges: list[tuple[int, int]],
    walks: list[tuple[int, int]],
    every: int = 1,
) -> Proposal:
    """Independence proposals of blocks of theta, then random walks of others.

    Walks take place every so many sweeps. Order, center and scale are as in `Proposal`.
    """
    blocks = [(*edge, INDEPENDENCE, 1) for edge in edges]
    blocks += [(*edge, WALK, every) for edge in walks]
    return Proposal(
        np.array(order, dtype=np.int64),
        np.array(center, dtype=np.float64),
        np.array(scale, dtype=np.float64, order="C"),
        np.array(blocks, dtype=np.int64),
        np.array([UNTUNED] * len(blocks)),
    )


if ENABLED:
    _one = np.zeros(1)
    ADVANCE_SIGNATURE = types.void(
        families.ROWS_TYPE,
        DATA_TYPE,
        typeof(no_guess()),
        typeof(new_proposal(_one, _one, np.eye(1), [(0, 1)], [])),
        typeof(centring.empty()),
        typeof(new_state(np.zeros(2, dtype=np.uint64), 1, 1, 1)),
        typeof(alone()),
        types.int64,
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
    )
else:
    ADVANCE_SIGNATURE = None


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
    # Among many dimensions a length varies little, and the scale of the proposal should not more.
    half = max(HALF_DF, (high - low + 1) // 2)
    df, chi_square = 2.0 * half, 0.0
    for _ in range(half):
        chi_square += 2.0 * exponential(random)
    factor = math.sqrt(df / chi_square)
    old_square, new_square = 0.0, 0.0
    for i in range(low, high):
        new_w[i] *= factor
        old_square += w[i] * w[i]
        new_square += new_w[i] * new_w[i]
    power = 0.5 * (df + high - low)
    return power * (math.log1p(new_square / df) - math.log1p(old_square / df))


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
def advance(rows, data, guess, proposal, centre, state, crew, every, theta_out, u_out, stats):
    """Run as many sweeps as theta_out has rows; with none, evaluate the density at the start.

    `every` is how often a sweep ends with the centred moves (0: never). A helper of the crew moves
    nothing by itself.
    """
    obs, prior, flag = data.obs, data.prior, state.flag
    q, J, p = obs.Z.shape[0], state.loglik.shape[1], obs.X.shape[0]
    m, d = prior.covariance.row.size, state.w.size
    work = make_work(obs.lanes, q)
    if crew.helps == 1:
        help(rows, obs, guess, q, state, work, crew)
        return
    L, new_L, new_w = np.zeros((q, q)), np.zeros((q, q)), np.empty(d)
    # What is kept in the state is never recomputed: draws must not depend on how calls are cut.
    covariance.fill_L(prior.covariance, state.theta[flag[SIDE], p : p + m], L)
    if flag[STATUS] != RUNNING:
        _to_w(proposal, state.theta[flag[SIDE]], state.w)
    blocks = proposal.block.shape[0]
    if flag[STATUS] == NEW or flag[STATUS] == MAPPED:
        side, hold_v = flag[SIDE], 1 if flag[STATUS] == MAPPED else 0
        theta = state.theta[side]
        phi = dispersion(prior, theta)
        state.value[side, PRIOR] = theta_logprior(prior, theta, L)
        state.value[side, GROUPS] = carry(
            rows, obs, guess, L, phi, theta, hold_v, side, state, work, crew
        )
    flag[STATUS] = RUNNING
    for row in range(theta_out.shape[0]):
        accepted, tried = 0, 0
        for block in range(blocks):
            if flag[SWEEPS] % proposal.block[block, EVERY] != 0:
                continue
            tried += 1
            low, high = proposal.block[block, LOW], proposal.block[block, HIGH]
            kind = proposal.block[block, KIND]
            now = flag[SIDE]
            theta = state.theta[1 - now]
            tuning = proposal.tuning[block]
            step = tuning[STEP]
            ratio = _propose(low, high, kind, step, state.random, state.w, new_w)
            threshold = math.log(uniform(state.random))
            _to_theta(proposal, new_w, theta)
            covariance.fill_L(prior.covariance, theta[p : p + m], new_L)
            log_prior, value = theta_logprior(prior, theta, new_L), -np.inf
            if log_prior > -np.inf:
                phi = dispersion(prior, theta)
                value = carry(rows, obs, guess, new_L, phi, theta, 0, 1 - now, state, work, crew)
            ratio += log_prior + value - state.value[now, PRIOR] - state.value[now, GROUPS]
            tuning[PROPOSED] += 1.0
            tuning[REJECTED] += 1.0
            if threshold < ratio:
                accepted += 1
                tuning[ACCEPTED] += 1.0
                tuning[REJECTED] = 0.0
                _take(state, log_prior, value, L, new_L)
                for i in range(d):
                    state.w[i] = new_w[i]
            tuning[LONGEST] = max(tuning[LONGEST], tuning[REJECTED])
        phi = dispersion(prior, state.theta[flag[SIDE]])
        rate = redraw(rows, obs, guess, L, phi, state, work, crew)
        if every > 0 and flag[SWEEPS] % every == 0:
            now = flag[SIDE]
            theta = state.theta[1 - now]
            for i in range(d):
                theta[i] = state.theta[now, i]
            centring.draw(prior, centre, L, theta, state.v[now], state.v[1 - now], state.random)
            covariance.fill_L(prior.covariance, theta[p : p + m], new_L)
            value = carry(rows, obs, guess, new_L, phi, theta, 1, 1 - now, state, work, crew)
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
        stats[row, 0] = accepted / tried
        stats[row, 1] = rate
        stats[row, 2] = flag[RUN]
        stats[row, 3] = state.value[now, PRIOR] + state.value[now, GROUPS]
