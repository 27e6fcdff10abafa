"""Gaussian response with identity link: beta and the effects u integrated out, then drawn exactly.

What is left is t = (psi, log sigma), whose density (`collapsed_density`) has few dimensions. Blocks
of t move by independence proposals, multivariate t, or a random walk; then beta and u are drawn
from their exact distribution given t (`collapsed_draws`).
"""

import math
from typing import NamedTuple

import numpy as np

from .._jit import ENABLED, bare, entry, typeof, types
from .._linalg import copy, dot
from .._random import exponential, normal, uniform
from ..density import empty_data
from ..fits.system import PATTERN_TYPE
from .collapsed_density import LEVELS, evaluate, new_side, new_work
from .collapsed_draws import draw_beta, draw_levels, draw_rest, shifts
from .collapsed_sums import empty

DF = 5  # degrees of freedom of the proposal of t: with 8, tails of few groups' sds stick
WALK_STEP = 2.4  # over the root of the dimension: first step of a random walk
INDEPENDENCE, WALK, IDLE = 0, 1, 2  # how a block moves
MOVED, READY = 0, 1  # State.flag[STATUS]: w does not belong to the proposal yet
STATUS, RUN = 0, 1  # of State.flag; RUN counts iterations without an acceptance
STATS = ("accept", "stuck_run", "logdensity")


class Proposal(NamedTuple):
    """Proposal of x = center + scale w: t, but for log sds with a c > 0 (`sd_coordinate`)."""

    near: np.ndarray  # (d,) c of each element of t, 0 for none
    center: np.ndarray  # (d,)
    scale: np.ndarray  # (d, d) lower triangular
    block: np.ndarray  # (blocks, 3) int64: range of w that each block moves, and how
    tuning: np.ndarray  # (blocks, 3) step of a walk; accepted and proposed since last set to 0


class State(NamedTuple):
    """A chain. Beta and u are drawn anew in every iteration, so they are no part of it."""

    random: np.ndarray  # (2,) uint64
    flag: np.ndarray  # (2,) int64: STATUS, RUN of rejections
    x: np.ndarray  # (d,) coordinates of psi, then of log sigma
    w: np.ndarray  # (d,)


def new_state(random: np.ndarray, t: np.ndarray) -> State:
    """A chain at t."""
    return State(random, np.array([MOVED, 0]), np.array(t, dtype=np.float64), np.zeros(t.size))


def new_proposal(
    near: np.ndarray, center: np.ndarray, scale: np.ndarray, edges: list[tuple[int, int]]
) -> Proposal:
    """Independence proposals of blocks of x; last, a walk of all of x that waits to be needed."""
    d = len(center)
    blocks = [*((*edge, INDEPENDENCE) for edge in edges), (0, d, IDLE)]
    steps = [*(1.0 for _ in edges), WALK_STEP / math.sqrt(max(d, 1))]
    return Proposal(
        np.array(near, dtype=np.float64),
        np.array(center, dtype=np.float64),
        np.array(scale, dtype=np.float64, order="C"),
        np.array(blocks, dtype=np.int64).reshape(-1, 3),
        np.array([(step, 0.0, 0.0) for step in steps]),
    )


@bare
def _propose(proposal, block, random, w, new_w, x):
    """New w of one block, and x; returns the log ratio of proposal densities, old over new."""
    low, high = proposal.block[block, 0], proposal.block[block, 1]
    ratio = 0.0
    for i in range(w.size):
        new_w[i] = normal(random) if low <= i < high else w[i]
    if proposal.block[block, 2] == WALK:
        for i in range(low, high):
            new_w[i] = w[i] + proposal.tuning[block, 0] * new_w[i]
    else:
        # chi-square on 5 degrees of freedom: two exponentials and a normal
        z = normal(random)
        chi_square = z * z + 2.0 * (exponential(random) + exponential(random))
        factor = math.sqrt(DF / chi_square)
        old_square, new_square = 0.0, 0.0
        for i in range(low, high):
            new_w[i] *= factor
            old_square += w[i] * w[i]
            new_square += new_w[i] * new_w[i]
        power = 0.5 * (DF + high - low)
        ratio = power * (math.log1p(new_square / DF) - math.log1p(old_square / DF))
    for i in range(w.size):
        x[i] = proposal.center[i] + dot(proposal.scale[i, : i + 1], new_w[: i + 1])
    return ratio


@bare
def _to_w(proposal, x, w):
    for i in range(w.size):
        total = x[i] - proposal.center[i]
        w[i] = (total - dot(proposal.scale[i, :i], w[:i])) / proposal.scale[i, i]


if ENABLED:
    SUMS_TYPE, PRIOR_TYPE = typeof(empty()), typeof(empty_data().prior)
    STATE_TYPE = typeof(new_state(np.zeros(2, dtype=np.uint64), np.zeros(1)))
    PROPOSAL_TYPE = typeof(new_proposal(np.zeros(1), np.zeros(1), np.eye(1), [(0, 1)]))
    MATRIX, VECTOR = types.float64[:, ::1], types.float64[::1]
else:
    SUMS_TYPE = PRIOR_TYPE = STATE_TYPE = PROPOSAL_TYPE = MATRIX = VECTOR = None


@entry(
    lambda: types.void(
        SUMS_TYPE, PATTERN_TYPE, PRIOR_TYPE, PROPOSAL_TYPE, STATE_TYPE, types.int64,
        MATRIX, MATRIX, MATRIX, MATRIX, VECTOR,
    )
)  # fmt: skip
def advance(sums, pattern, prior, proposal, state, rounds, theta_out, u_out, stats, points, values):
    """Run as many iterations as theta_out has rows, each with so many rounds of moves of t.

    Before that, `values` receives the log densities at points x (k, d).
    """
    p, d, q = sums.start.size, state.x.size, sums.own.shape[0]
    R, C = sums.rest_border.shape[0], sums.levels.size
    one, other = new_side(sums, pattern, d), new_side(sums, pattern, d)
    work, new_x, new_w = new_work(sums, pattern), np.empty(d), np.empty(d)
    weights, rest_v, rest_u = np.empty(p + 1), np.empty(R), np.empty(R)
    shift = np.zeros((q, C))
    score, noise = np.empty((q, LEVELS)), np.empty((q, LEVELS))
    table = np.empty(LEVELS)
    for i in range(values.size):
        values[i] = evaluate(sums, pattern, prior, proposal.near, points[i], one, work)
    if theta_out.shape[0] == 0:
        return
    if state.flag[STATUS] == MOVED:
        _to_w(proposal, state.x, state.w)
        state.flag[STATUS] = READY
    near = proposal.near
    # The same numbers as when this x was proposed: draws do not depend on how calls are cut.
    value, current = evaluate(sums, pattern, prior, near, state.x, one, work), 0
    blocks = proposal.block.shape[0]
    for row in range(theta_out.shape[0]):
        accepted, proposed = 0, 0
        for _ in range(rounds):
            for block in range(blocks):
                if proposal.block[block, 2] == IDLE:
                    continue
                proposed += 1
                ratio = _propose(proposal, block, state.random, state.w, new_w, new_x)
                threshold = math.log(uniform(state.random))
                side = other if current == 0 else one
                new_value = evaluate(sums, pattern, prior, near, new_x, side, work)
                proposal.tuning[block, 2] += 1.0
                if threshold < ratio + new_value - value:
                    accepted += 1
                    proposal.tuning[block, 1] += 1.0
                    value, current = new_value, 1 - current
                    copy(state.x, new_x)
                    copy(state.w, new_w)
        state.flag[RUN] = 0 if accepted > 0 or proposed == 0 else state.flag[RUN] + 1
        side = one if current == 0 else other
        draw_beta(sums, side, state.random, theta_out[row, :p], weights)
        copy(theta_out[row, p:], side.t)
        if R > 0:
            draw_rest(pattern, side, state.random, weights, rest_v, rest_u)
            for a in range(R):
                u_out[row, sums.place[q + a]] = rest_u[a]
            shifts(sums, rest_u, shift)
        if q > 0:
            own = u_out[row]
            draw_levels(sums, side, weights, shift, state.random, score, noise, table, own)
        stats[row, 0] = accepted / max(proposed, 1)
        stats[row, 1] = state.flag[RUN]
        stats[row, 2] = value
