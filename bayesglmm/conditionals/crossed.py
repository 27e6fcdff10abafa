"""Gibbs sampling for several grouping factors, crossed or nested.

Given all else, the effects of one factor are those of a one-factor model whose offset is what the
rest puts into eta, and they are moved as in `transport`: u = L v, v = m(psi) + C(psi)^-T z, level
by level. The map is a function of what is held fixed alone. Two Newton steps find it, one on the
quadratic model of the rows at the fit, which needs no pass over exponentials, and one at the point
u0 where the first arrives. With b = Z's + A u0 and A = Z'WZ there,

    H = I + L'A L = C C',    m = H^-1 L'b,
    log pi(psi, z | rest) = log p(psi) + sum over levels [ l(L v) - |v|^2 / 2 - log det C ].

The second step is taken before psi is known, so a proposal of psi costs one pass over the rows for
its likelihood and no other. Where a factor has intercepts alone, the rows of a level of counts with
a log link are, as a function of u, one row of y = sum y and weight sum w exp(rest of eta); those of
measurements are one row too. The log-likelihoods differ by what does not depend on u, and one pass
over the rows is all. A sweep does, for each factor in turn:

1. psi with z held: independence proposals (multivariate t) or random walks, in blocks;
2. all levels given psi (`levels`);
3. with u + W d held, the coefficients that the factor's z columns span (`directions`);
4. Sigma given u (`centring`).

Then nested pairs of factors (`nested`), the other coefficients and the dispersion (`loose`).
"""

import math
from typing import NamedTuple

import numpy as np

from .. import covariance, families
from .._jit import ENABLED, bare, entry, kernel, typeof, types
from .._linalg import copy, total_of
from .._random import exponential, normal, uniform
from ..density import DATA_TYPE, Prior, dispersion, fill_eta, theta_logprior
from . import centring, directions, levels, loose, nested
from .factors import (
    APART,
    COLUMN,
    COLUMNS,
    CROSS,
    DIRECTION,
    DIRECTIONS,
    EFFECT,
    FIELDS,
    LEVELS,
    POOLED,
    PSI,
    PSIS,
    SHIFT,
    SQUARE,
    Directions,
    Plan,
    Reference,
    Rows,
)
from .portions import covariance_of, make_scratch, observations, one_a_level, work_of

T_DF = 8.0  # degrees of freedom of the proposal of psi: tails above the posterior's
INDEPENDENCE, WALK = 0, 1
NEW, RUNNING = 0, 1  # of a chain: eta not summed yet; ready
STATUS, SWEEPS, RUN = 0, 1, 2  # State.flag
RESUM = 64  # sweeps after which eta is summed anew: rounding adds up
STATS = ("accept", "accept_u", "stuck_run", "logdensity", "accept_beta")
STEP_SIZE, ACCEPTED, PROPOSED = 0, 1, 2  # columns of every tuning
REJECTED, LONGEST = 3, 4  # of that of psi besides
LOW, HIGH, KIND, FACTOR, EVERY = 0, 1, 2, 3, 4  # columns of Proposal.block
UNTUNED = (1.0, 0.0, 0.0, 0.0, 0.0)


class Proposal(NamedTuple):
    """Proposals of psi, factor by factor: psi = center + scale w; and steps of all walks."""

    center: np.ndarray  # (psi,)
    scale: np.ndarray  # (psi, psi) lower triangular, one block a factor
    block: np.ndarray  # (blocks, 5) int64: range of psi, INDEPENDENCE or WALK, factor, every how
    #                    many sweeps
    tuning: np.ndarray  # (blocks, 5) step of a walk; since last set to 0 how many were accepted and
    #                     proposed; how many the last ones rejected are, and the longest such run
    loose: np.ndarray  # (2, 3) the first three likewise, of coefficients and of the dispersion
    nested: np.ndarray  # (pairs, KINDS, 3) likewise


class State(NamedTuple):
    """A chain."""

    random: np.ndarray  # (2,) uint64
    flag: np.ndarray  # (3,) int64: STATUS, SWEEPS done, RUN of rejections
    theta: np.ndarray  # (d,)
    u: np.ndarray  # (nv,) effects, each factor's in the order of its layout
    eta: np.ndarray  # (n,) at home
    value: np.ndarray  # (1,) log-likelihood


@bare
def _propose(low, high, first, kind, step, proposal, random, psi, new_psi):
    """New psi of a factor after a move of one block; returns the log ratio of densities.

    The block is from low to high, counted from the factor's `first`.
    """
    m, scale = psi.size, proposal.scale
    # Solve scale w = psi - center in place; then w of the block anew.
    for i in range(m):
        total = psi[i] - proposal.center[first + i]
        for j in range(i):
            total -= scale[first + i, first + j] * new_psi[j]
        new_psi[i] = total / scale[first + i, first + i]
    ratio = 0.0
    if kind == WALK:
        for i in range(low, high):
            new_psi[i] += step * normal(random)
    else:
        # chi-square on 8 degrees of freedom: four exponentials
        chi_square = 0.0
        for _ in range(4):
            chi_square += 2.0 * exponential(random)
        factor = math.sqrt(T_DF / chi_square)
        old_square, new_square = 0.0, 0.0
        for i in range(low, high):
            old_square += new_psi[i] * new_psi[i]
            new_psi[i] = factor * normal(random)
            new_square += new_psi[i] * new_psi[i]
        power = 0.5 * (T_DF + high - low)
        ratio = power * (math.log1p(new_square / T_DF) - math.log1p(old_square / T_DF))
    for i in range(m - 1, -1, -1):
        total = proposal.center[first + i]
        for j in range(i + 1):
            total += scale[first + i, first + j] * new_psi[j]
        new_psi[i] = total
    return ratio


@kernel
def _move_factor(rows, prior, plan, f, proposal, state, phi, eta, fixed, scratch):
    """All moves of one factor: eta, in the layout of the factor before, goes into `fixed`."""
    own = plan.table[f]
    q, J, p = own[COLUMNS] - own[COLUMN], own[LEVELS], prior.beta.shape[0]
    size, square, effect = q * J, q * q * J, own[EFFECT]
    obs, cov = observations(plan.rows, own, f), covariance_of(plan.covariance, own, f)
    work, random = work_of(scratch, q), state.random
    first, m = own[PSI], own[PSIS] - own[PSI]
    psi = state.theta[p + first : p + first + m]
    new_psi, L, new_L = np.empty(m), np.zeros((q, q)), np.zeros((q, q))
    u = state.u[effect : effect + size].reshape(q, J)
    b, curve = scratch.b[:size].reshape(q, J), scratch.curve[:square].reshape(q, q, J)
    v, center = scratch.v[: 2 * size], scratch.center[: 2 * size]
    v, center = v.reshape(2, q, J), center.reshape(2, q, J)
    C, z = scratch.C[: 2 * square].reshape(2, q, q, J), scratch.z[:size].reshape(q, J)
    loglik = scratch.loglik[: 2 * J].reshape(2, J)
    start = own[SQUARE]
    source, weight = plan.rows.source[f], plan.reference.weight[f]
    base = plan.reference.base[effect : effect + size].reshape(q, J)
    given = plan.reference.curve[start : start + square].reshape(q, q, J)
    inverse = plan.reference.inverse[start : start + square].reshape(q, q, J)
    covariance.fill_L(cov, psi, L)
    levels.unmix(L, u, v[0])
    rest, own_fixed, loglik_rest = obs, fixed, 0.0
    if own[POOLED] == APART:
        levels.prepare(
            rows, obs, eta, source, weight, base, given, inverse, u, phi, fixed, b, curve, work
        )
    else:
        levels.pool(
            rows, obs, own[POOLED], eta, source, weight, base, given, inverse, u, phi, fixed,
            b, curve, scratch.pool[0, :J], scratch.pool[1, :J], work,
        )  # fmt: skip
        rest, own_fixed = one_a_level(plan.rows, own, scratch.pool), scratch.pool[2, :J]
        levels.logliks(rows, rest, L, phi, own_fixed, v[0], loglik[0], work)
        loglik_rest = state.value[0] - total_of(loglik[0])
    value = state.value[0] - loglik_rest + covariance.psi_logdensity(cov, psi, L)
    value += levels.carry(
        rows, rest, L, phi, 1, b, curve, own_fixed, v[0], z, center[0], C[0], loglik[0], work
    )
    side, known, accepted, blocks = 0, False, 0.0, 0.0
    for block in range(proposal.block.shape[0]):
        own_block, tuning = proposal.block[block], proposal.tuning[block]
        if own_block[FACTOR] != f or state.flag[SWEEPS] % own_block[EVERY] != 0:
            continue
        low, high, kind = own_block[LOW] - first, own_block[HIGH] - first, own_block[KIND]
        step = tuning[STEP_SIZE]
        ratio = _propose(low, high, first, kind, step, proposal, random, psi, new_psi)
        threshold = math.log(uniform(random))
        covariance.fill_L(cov, new_psi, new_L)
        new_value, other = covariance.psi_logdensity(cov, new_psi, new_L), 1 - side
        if new_value > -np.inf:
            new_value += levels.carry(
                rows, rest, new_L, phi, 0, b, curve, own_fixed,
                v[other], z, center[other], C[other], loglik[other], work,
            )  # fmt: skip
        tuning[PROPOSED] += 1.0
        tuning[REJECTED] += 1.0
        blocks += 1.0
        if threshold < ratio + new_value - value:
            side, known, value = other, True, new_value
            accepted += 1.0
            tuning[ACCEPTED] += 1.0
            tuning[REJECTED] = 0.0
            for i in range(m):
                psi[i] = new_psi[i]
        tuning[LONGEST] = max(tuning[LONGEST], tuning[REJECTED])
    covariance.fill_L(cov, psi, L)
    if not known:
        levels.logliks(rows, rest, L, phi, own_fixed, v[side], loglik[side], work)
    scratch.rate[f, 0] = accepted / blocks
    scratch.rate[f, 1] = levels.redraw(
        rows, rest, L, phi, random, own_fixed, v[side], z, center[side], C[side], loglik[side], work
    )
    state.value[0] = loglik_rest + total_of(loglik[side])
    levels.put_back(obs, L, v[side], fixed, work)
    levels.mix_all(L, v[side], u)
    # What follows leaves eta as it is.
    c = own[DIRECTIONS]
    if c > 0:
        at, shift, cross = own[DIRECTION], own[SHIFT], own[CROSS]
        directions.draw(
            prior.beta,
            plan.directions.normal,
            plan.directions.T[at : at + c * p].reshape(c, p),
            plan.directions.W[shift : shift + c * size].reshape(c, q, J),
            plan.directions.cross[cross : cross + q * q * c * c].reshape(q, q, c, c),
            L,
            state.theta[:p],
            u,
            scratch.theta[:p],
            random,
        )
        levels.unmix(L, u, v[side])
    none = scratch.nothing
    centre = centring.Centring(
        none.column, none.W, none.cross, none.normal, plan.width[first : first + m]
    )
    given = Prior(prior.beta[:0], prior.phi[:0], cov)
    centring.draw(given, centre, L, psi, v[side], v[1 - side], random)
    covariance.fill_L(cov, psi, L)
    levels.mix_all(L, v[1 - side], u)


@kernel
def _move_pairs(plan, prior, proposal, state, L):
    """Nested pairs of factors."""
    p, cov = prior.beta.shape[0], prior.covariance
    psi = state.theta[p : p + cov.row.size]
    for pair in range(plan.pair.shape[0]):
        child, parent = plan.table[plan.pair[pair, 0]], plan.table[plan.pair[pair, 1]]
        q, J, K = child[COLUMNS] - child[COLUMN], child[LEVELS], parent[LEVELS]
        at, above, place = child[EFFECT], parent[EFFECT], plan.pair[pair, 2]
        nested.move(
            cov,
            child[COLUMN],
            parent[COLUMN],
            q,
            plan.parent[place : place + J],
            state.u[at : at + q * J].reshape(q, J),
            state.u[above : above + q * K].reshape(q, K),
            psi,
            L,
            proposal.nested[pair],
            state.random,
        )


@kernel
def _resum(rows, data, order, phi, state, u, spare):
    """Sum eta and the log-likelihood anew."""
    n, p = data.obs.y.size, data.obs.X.shape[0]
    for i in range(order.size):
        u[order[i]] = state.u[i]
    fill_eta(data, state.theta[:p], u, 0, n, state.eta)
    rows(families.LOGLIK, state.eta, data.obs.y, data.obs.w, phi, spare, spare, spare, spare)
    state.value[0] = total_of(spare)


def new_state(random: np.ndarray, n: int, d: int, nv: int, F: int) -> State:
    """A chain before its eta is first summed."""
    flag = np.zeros(RUN + F, dtype=np.int64)
    return State(random, flag, np.zeros(d), np.zeros(nv), np.zeros(n), np.zeros(1))


if ENABLED:
    _i, _one = np.zeros(1, dtype=np.int64), np.zeros(1)
    _two = np.zeros((1, 1))
    PLAN_TYPE = typeof(
        Plan(
            np.zeros((1, FIELDS), dtype=np.int64),
            Rows(
                _two,
                _two,
                _two,
                _i,
                np.zeros((1, 1), dtype=np.int32),
                np.zeros((1, 5), dtype=np.int64),
                np.zeros((1, 2), dtype=np.int64),
                np.zeros(1, dtype=np.int32),
                np.zeros((1, 5), dtype=np.int64),
                np.zeros((1, 2), dtype=np.int64),
                _i,
            ),
            Reference(_two, _one, _one, _one),
            Directions(_one, _one, _one, _two),
            covariance.empty()._replace(scale=_one),
            _one,
            np.zeros((1, 3), dtype=np.int64),
            _i,
        )
    )
    ADVANCE_SIGNATURE = types.void(
        families.ROWS_TYPE,
        DATA_TYPE,
        PLAN_TYPE,
        typeof(loose.empty()),
        typeof(
            Proposal(_one, _two, np.zeros((1, 5), dtype=np.int64), _two, _two, np.zeros((1, 1, 1)))
        ),
        typeof(new_state(np.zeros(2, dtype=np.uint64), 1, 1, 1, 1)),
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
    )
else:
    ADVANCE_SIGNATURE = None


@entry(lambda: ADVANCE_SIGNATURE)
def advance(rows, data, plan, rest, proposal, state, theta_out, u_out, stats):
    """Run as many sweeps as theta_out has rows; with none, evaluate the density at the start."""
    prior, flag, order = data.prior, state.flag, plan.rows.order
    F, n, d, Q = plan.table.shape[0], state.eta.size, state.theta.size, plan.rows.ones.size
    p, m = prior.beta.shape[0], prior.covariance.row.size
    scratch = make_scratch(plan.table, plan.rows, n, d)
    L, u, gradient = np.zeros((Q, Q)), np.empty(order.size), np.empty((3, n))
    if flag[STATUS] == NEW:
        _resum(rows, data, order, dispersion(prior, state.theta), state, u, gradient[0])
        flag[STATUS] = RUNNING
    for row in range(theta_out.shape[0]):
        if flag[SWEEPS] % RESUM == 0:
            _resum(rows, data, order, dispersion(prior, state.theta), state, u, gradient[0])
        phi = dispersion(prior, state.theta)
        for turn in range(F):
            # The first factor comes last: eta then lies at home.
            f = (turn + 1) % F
            eta = state.eta if turn == 0 else scratch.fixed[(turn + 1) % 2]
            out = scratch.fixed[turn % 2]
            _move_factor(rows, prior, plan, f, proposal, state, phi, eta, out, scratch)
        copy(state.eta, scratch.fixed[(F + 1) % 2])
        if plan.pair.shape[0] > 0:
            _move_pairs(plan, prior, proposal, state, L)
        stats[row, 4] = loose.move(rows, data.obs, prior, rest, proposal.loose, state, gradient)
        flag[SWEEPS] += 1
        longest, accepted, moved = 0, 0.0, 0.0
        for f in range(F):
            flag[RUN + f] = 0 if scratch.rate[f, 0] > 0.0 else flag[RUN + f] + 1
            longest = max(longest, flag[RUN + f])
            accepted += scratch.rate[f, 0] / F
            moved += scratch.rate[f, 1] / F
            stats[row, 5 + 2 * f] = scratch.rate[f, 0]
            stats[row, 6 + 2 * f] = scratch.rate[f, 1]
        for i in range(d):
            theta_out[row, i] = state.theta[i]
        for i in range(order.size):
            u_out[row, order[i]] = state.u[i]
        covariance.fill_L(prior.covariance, state.theta[p : p + m], L)
        stats[row, 0] = accepted
        stats[row, 1] = moved
        stats[row, 2] = longest
        stats[row, 3] = state.value[0] + theta_logprior(prior, state.theta, L)
