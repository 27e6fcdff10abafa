"""Gaussian response with identity link: beta and the effects u integrated out, then drawn exactly.

With lambda = L / sigma, V = W^-1 + Z lambda lambda' Z' and beta ~ N(m, P_0^-1), flat where the
precision is 0, the density of the rest t = (psi, log sigma) is, up to a constant,

    log p(t) - n log sigma - log|I + lambda'Z'WZ lambda| / 2 - log|P| / 2
             - (y'V^-1 y / sigma^2 + m'P_0 m - r'P^-1 r) / 2,

    P = X'V^-1 X / sigma^2 + P_0,    r = X'V^-1 y / sigma^2 + P_0 m,

with n the sum of the weights (Lindley and Smith 1972; conditioned by Woodbury's identity, as in
`fits.elimination`). Blocks of t move by independence proposals, multivariate t, or a random walk.
Then beta ~ N(P^-1 r, P^-1), the rest effects given beta, and level by level u_i given both, with

    T = lambda C^-T,  C C' = I + lambda'A lambda:   u_i = sigma T (T's_i + z),   z ~ N(0, I),

s_i = Z_i'W_i (y - X beta - what the rest effects say) / sigma. Everything comes from the cross
products of `collapsed_sums`, so the cost does not depend on the number of rows.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import _blocked, covariance
from .._jit import ENABLED, bare, entry, kernel, simd, typeof, types
from .._linalg import add, cholesky, copy, dot, solve_lower, solve_upper
from .._random import exponential, fill_normals, normal, uniform
from .._simd import log
from ..density import empty_data
from ..fits.elimination import border_of_square, scale_rest, square_of
from ..fits.pattern import Parts
from ..fits.products import start_of
from ..fits.system import PATTERN_TYPE
from ..prior_density import dispersion_logpdf
from .collapsed_sums import Sums as Sums
from .collapsed_sums import empty
from .sd_coordinate import log_sd, log_slope

DF = 5  # degrees of freedom of the proposal of t: with 8, tails of few groups' sds stick
INDEPENDENCE, WALK, IDLE = 0, 1, 2  # how a block moves
MOVED, READY = 0, 1  # State.flag[STATUS]: w does not belong to the proposal yet
STATUS, RUN = 0, 1  # of State.flag; RUN counts iterations without an acceptance
STATS = ("accept", "stuck_run", "logdensity")
LEVELS = 256  # worked at once: what lies between their sums and draws stays in cache
SMALL = 24  # rows of a square up to which plain loops factorize it faster than tiles


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


class Side(NamedTuple):
    """What an evaluation of the density leaves for the draw of beta and u."""

    t: np.ndarray  # (d,) psi, then log sigma
    lam: np.ndarray  # (Q, Q) in the order of the pattern
    T: np.ndarray  # (q, q, C)
    factor: Parts  # of the rest, and its border columns
    P: np.ndarray  # (p, p) Cholesky factor
    r: np.ndarray  # (p,) C^-1 r
    sigma: np.ndarray  # (1,)


class Work(NamedTuple):
    """Arrays that an evaluation goes through."""

    L: np.ndarray  # (Q, Q)
    spare: np.ndarray  # (q, LEVELS)
    H: np.ndarray  # (q, q, LEVELS) C, with its diagonal inverted
    log: np.ndarray  # (LEVELS,)
    mixed: np.ndarray  # (b, q, LEVELS) T'a
    M: np.ndarray  # (b, b)
    left: Parts  # of the rest, the levels eliminated


def new_state(random: np.ndarray, t: np.ndarray) -> State:
    """A chain at t."""
    return State(random, np.array([MOVED, 0]), np.array(t, dtype=np.float64), np.zeros(t.size))


def new_proposal(
    near: np.ndarray, center: np.ndarray, scale: np.ndarray, edges: list[tuple[int, int]]
) -> Proposal:
    """Independence proposals of blocks of x."""
    blocks = [(*edge, INDEPENDENCE) for edge in edges]
    return Proposal(
        np.array(near, dtype=np.float64),
        np.array(center, dtype=np.float64),
        np.array(scale, dtype=np.float64, order="C"),
        np.array(blocks, dtype=np.int64).reshape(-1, 3),
        np.array([(1.0, 0.0, 0.0)] * len(blocks)).reshape(-1, 3),
    )


@kernel
def new_side(sums, pattern, d):
    """Zeros of the shapes of a model with d elements of t."""
    q, C, R, b = sums.own.shape[0], sums.levels.size, sums.rest_border.shape[0], sums.start.size + 1
    Q = pattern.z_order.size
    return Side(
        np.zeros(d),
        np.zeros((Q, Q)),
        np.zeros((q, q, C)),
        _rest_parts(sums.rest.size, R, b),
        np.zeros((b - 1, b - 1)),
        np.zeros(b - 1),
        np.ones(1),
    )


@kernel
def new_work(sums, pattern):
    """Zeros of the shapes of a model."""
    q, R, b = sums.own.shape[0], sums.rest_border.shape[0], sums.start.size + 1
    Q, size = pattern.z_order.size, min(LEVELS, sums.levels.size)
    return Work(
        np.zeros((Q, Q)),
        np.zeros((q, size)),
        np.zeros((q, q, size)),
        np.zeros(size),
        np.zeros((b, q, size)),
        np.zeros((b, b)),
        _rest_parts(sums.rest.size, R, b),
    )


@kernel
def _rest_parts(size, R, b):
    return Parts(
        np.zeros((0, 0, 0)),
        np.zeros((0, 0)),
        np.zeros(size),
        np.zeros((0, 0, 0)),
        np.zeros((R, b)),
        np.zeros((b, b)),
    )


@simd
def _take_pivot(x, logs):
    """Logs += log of the root of x, and x becomes 1 over it: a diagonal element of C."""
    for i in range(logs.size):
        logs[i] += 0.5 * log(x[i])
        x[i] = 1.0 / math.sqrt(x[i])


@bare
def clear(out):
    """Out = 0."""
    for i in range(out.size):
        out[i] = 0.0


@bare
def multiply(out, x):
    """Out *= x."""
    for i in range(out.size):
        out[i] *= x[i]


@bare
def add_product(out, x, y):
    """Out += x y."""
    for i in range(out.size):
        out[i] += x[i] * y[i]


@bare
def subtract_product(out, x, y):
    """Out -= x y."""
    for i in range(out.size):
        out[i] -= x[i] * y[i]


@bare
def _condition(own, lam, work, T, first, last):
    """T of classes first .. last - 1; log determinants of their C go into ``work.log``."""
    q, size = T.shape[0], last - first
    H, logs = work.H, work.log[:size]
    clear(logs)
    for l in range(q):
        for k in range(q):
            out = work.spare[k, :size]
            clear(out)
            for m in range(l, q):
                if lam[m, l] != 0.0:
                    add(out, own[k, m, first:last], lam[m, l])
        for k in range(l, q):
            out = H[k, l, :size]
            for c in range(size):
                out[c] = 1.0 if k == l else 0.0
            for m in range(k, q):
                if lam[m, k] != 0.0:
                    add(out, work.spare[m, :size], lam[m, k])
    for k in range(q):
        pivot = H[k, k, :size]
        for l in range(k):
            out = H[k, l, :size]
            for m in range(l):
                subtract_product(out, H[k, m, :size], H[l, m, :size])
            multiply(out, H[l, l, :size])
            subtract_product(pivot, out, out)
        _take_pivot(pivot, logs)
    for i in range(q):
        for j in range(q):
            out = T[i, j, first:last]
            for c in range(size):
                out[c] = lam[i, j]
            for m in range(j):
                subtract_product(out, T[i, m, first:last], H[j, m, :size])
            multiply(out, H[j, j, :size])


@bare
def _levels(sums, side, work):
    """Log determinants of C summed over levels; M = [X y]'W[X y] less what the levels explain.

    M has its lower triangle only.
    """
    M, T, q, C = work.M, side.T, side.T.shape[0], sums.levels.size
    b, paired = M.shape[0], sums.pairs.shape[0] > 0
    value = 0.0
    for i in range(b):
        for j in range(i + 1):
            M[i, j] = sums.fixed[i, j]
    for first in range(0, C, LEVELS):
        last = min(first + LEVELS, C)
        size = last - first
        _condition(sums.own, side.lam, work, T, first, last)
        value += dot(sums.levels[first:last], work.log[:size])
        if paired:
            continue
        for i in range(b):
            for k in range(q):
                out = work.mixed[i, k, :size]
                clear(out)
                for m in range(q):
                    add_product(out, T[m, k, first:last], sums.border[i, m, first:last])
            for j in range(i + 1):
                for k in range(q):
                    M[i, j] -= dot(work.mixed[i, k, :size], work.mixed[j, k, :size])
    if paired:
        for c in range(C):
            place = 0
            for k in range(q):
                for l in range(k + 1):
                    factor, own, e = 0.0, sums.pairs[c, place], 0
                    for j in range(q):
                        factor += T[k, j, c] * T[l, j, c]
                    for i in range(b):
                        for j in range(i + 1):
                            M[i, j] -= factor * own[e]
                            e += 1
                    place += 1
    return value


@kernel
def _eliminate(sums, pattern, side, work):
    """Factorize the rest, the levels eliminated; M loses what the rest explains."""
    left, factor, M = work.left, side.factor, work.M
    q, b = side.T.shape[0], M.shape[0]
    copy(left.rest, sums.rest)
    for a in range(sums.rest_border.shape[0]):
        copy(left.rest_border[a], sums.rest_border[a])
    moved, T = np.empty(q), side.T
    K = np.empty((q, q))
    for c in range(sums.levels.size):
        first, last = sums.cell[c], sums.cell[c + 1]
        for k in range(q):
            for l in range(q):
                K[k, l] = 0.0
                for j in range(q):
                    K[k, l] += T[k, j, c] * T[l, j, c]
        for a in range(first, last):
            own, place = sums.cells[a], sums.column[a]
            for k in range(q):
                moved[k] = 0.0
                for l in range(q):
                    moved[k] += K[k, l] * own[l]
            row, target = pattern.base[place], left.rest_border[place]
            for d in range(first, a + 1):
                total = 0.0
                for k in range(q):
                    total += moved[k] * sums.cells[d, k]
                left.rest[row + sums.column[d]] -= sums.levels[c] * total
            for i in range(b):
                for k in range(q):
                    target[i] -= moved[k] * sums.total[c, i, k]
    scale_rest(pattern, side.lam, left, factor)
    value = 0.0
    for i in range(b):
        for j in range(b):
            factor.border[i, j] = M[i, j]
    for s in range(pattern.component.size - 1):
        square = square_of(pattern, factor.rest, s)
        if square.shape[0] <= SMALL:
            if not cholesky(square):
                return math.nan
            for i in range(square.shape[0]):
                value += math.log(square[i, i])
        else:
            value += _blocked.cholesky(square)
        low, high = pattern.component[s], pattern.component[s + 1]
        border_of_square(square, factor.rest_border[low:high], factor.border)
    for i in range(b):
        for j in range(i + 1):
            M[i, j] = factor.border[i, j]
    return value


@bare
def evaluate(sums, pattern, prior, near, x, side, work):
    """Log density of x, up to a constant; -inf where it has none. Fills the side."""
    cov, p, t = prior.covariance, sums.start.size, side.t
    m, Q = cov.row.size, pattern.z_order.size
    jacobian = 0.0
    for i in range(t.size):
        t[i] = x[i]
        if near[i] > 0.0:
            t[i] = log_sd(x[i], near[i])
            jacobian += log_slope(x[i], near[i])
    sigma = math.exp(t[m]) if prior.phi.shape[0] > 0 else 1.0
    covariance.fill_L(cov, t[:m], work.L)
    value = jacobian + covariance.psi_logdensity(cov, t[:m], work.L)
    if prior.phi.shape[0] > 0:
        row = prior.phi[0]
        value += dispersion_logpdf(int(row[0]), row[1], row[2], row[3], t[m])
        value -= sums.size[0] * t[m]
    if not value > -math.inf:
        return -math.inf
    for k in range(Q):
        for l in range(Q):
            side.lam[k, l] = work.L[pattern.z_order[k], pattern.z_order[l]] / sigma
    side.sigma[0] = sigma
    value -= _levels(sums, side, work)
    if sums.rest_border.shape[0] > 0:
        value -= _eliminate(sums, pattern, side, work)
    M, scale = work.M, 1.0 / (sigma * sigma)
    squares = scale * M[p, p]
    for k in range(p):
        mean, precision = sums.normal[k, 0], sums.normal[k, 1]
        for l in range(k + 1):
            side.P[k, l] = scale * M[k, l]
        side.P[k, k] += precision
        side.r[k] = scale * M[p, k] + precision * mean
        squares += precision * mean * mean
    if not cholesky(side.P):
        return -math.inf
    solve_lower(side.P, side.r)
    for k in range(p):
        squares -= side.r[k] * side.r[k]
        value -= math.log(side.P[k, k])
    value -= 0.5 * squares
    return value if value > -math.inf and value < math.inf else -math.inf


@bare
def _draw_beta(sums, side, random, beta, weights):
    """Beta given t, and the weights (-deviation, 1) of the border columns."""
    p = beta.size
    for k in range(p):
        weights[k] = side.r[k] + normal(random)
    solve_upper(side.P, weights[:p])
    for k in range(p):
        beta[k] = sums.start[k] + weights[k]
        weights[k] = -weights[k]
    weights[p] = 1.0


@kernel
def _draw_rest(pattern, side, random, weights, v, u):
    """The rest effects u (R,) given beta: v = C^-T (C^-1 lambda'a / sigma + z), u = sigma lambda v.

    The pattern has them last among its effects.
    """
    factor, sigma = side.factor, side.sigma[0]
    fill_normals(random, v)
    for s in range(pattern.component.size - 1):
        square = square_of(pattern, factor.rest, s)
        low = pattern.component[s]
        part = v[low : low + square.shape[0]]
        for i in range(part.size):
            part[i] += dot(factor.rest_border[low + i], weights) / sigma
        for i in range(part.size - 1, -1, -1):
            row = square[i]
            part[i] /= row[i]
            for j in range(i):
                part[j] -= row[j] * part[i]
    for a in range(u.size):
        at = pattern.rest_z[a]
        total = 0.0
        for step in range(at - start_of(pattern, at) + 1):
            total += side.lam[at, at - step] * v[a - step]
        u[a] = sigma * total


@bare
def _gather(x, member, out):
    for g in range(out.size):
        out[g] = x[member[g]]


@bare
def _draw_levels(sums, side, weights, shift, random, score, noise, table, u):
    """Effects of the eliminated levels given beta and the rest effects, into u."""
    q, J, sigma = side.T.shape[0], sums.member.size, side.sigma[0]
    with_rest = sums.column.size > 0
    for first in range(0, J, LEVELS):
        size = min(LEVELS, J - first)
        member = sums.member[first : first + size]
        for k in range(q):
            out, gathered = score[k, :size], table[:size]
            fill_normals(random, noise[k, :size])
            for g in range(size):
                out[g] = 0.0
            for i in range(weights.size):
                add(out, sums.border[i, k, first : first + size], weights[i] / sigma)
            if with_rest:
                _gather(shift[k], member, gathered)
                add(out, gathered, -1.0 / sigma)
        for j in range(q):
            out, gathered = noise[j, :size], table[:size]
            for k in range(q):
                own = score[k, :size]
                _gather(side.T[k, j], member, gathered)
                for g in range(size):
                    out[g] += gathered[g] * own[g]
        for k in range(q):
            out, gathered = u[sums.place[k] + first : sums.place[k] + first + size], table[:size]
            for g in range(size):
                out[g] = 0.0
            for j in range(q):
                own = noise[j, :size]
                _gather(side.T[k, j], member, gathered)
                for g in range(size):
                    out[g] += sigma * gathered[g] * own[g]


@bare
def _shifts(sums, rest, shift):
    """What the rest effects say of each class: sum over its cells."""
    for c in range(sums.levels.size):
        for k in range(shift.shape[0]):
            total = 0.0
            for a in range(sums.cell[c], sums.cell[c + 1]):
                total += sums.cells[a, k] * rest[sums.column[a]]
            shift[k, c] = total


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
        _draw_beta(sums, side, state.random, theta_out[row, :p], weights)
        copy(theta_out[row, p:], side.t)
        if R > 0:
            _draw_rest(pattern, side, state.random, weights, rest_v, rest_u)
            for a in range(R):
                u_out[row, sums.place[q + a]] = rest_u[a]
            _shifts(sums, rest_u, shift)
        if q > 0:
            own = u_out[row]
            _draw_levels(sums, side, weights, shift, state.random, score, noise, table, own)
        stats[row, 0] = accepted / max(proposed, 1)
        stats[row, 1] = state.flag[RUN]
        stats[row, 2] = value
