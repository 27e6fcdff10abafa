"""New effects of the groups of a chunk given theta, by independence proposals from a mixture."""

import math

from .. import families
from .._jit import bare, simd
from .._linalg import copy, total_of
from .._random import fill_normals, fill_uniforms
from .._simd import exp, log
from ..lanes import (
    CHOICE,
    CHOLESKY,
    ETA,
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
    U,
    linear_predictor,
    log_determinants,
    multiply_transposed,
    solve_backward,
    sum_rows,
)
from ..layout import GROUP, ROW

# Proposal of z: a mixture. The prior bounds the weights of groups whose likelihood is bounded; the
# wide Gaussian reaches the skewed tail of all-zero groups, where a narrow one would stick.
DEFENSE, WIDE, SPREAD = 0.1, 0.15, 2.0  # shares of prior and wide Gaussian; its sd over the narrow
LOG_NEAR, LOG_WIDE, LOG_FAR = math.log(1.0 - DEFENSE - WIDE), math.log(WIDE), math.log(DEFENSE)
LOG_SPREAD = math.log(SPREAD)


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
def renew(rows, obs, L, phi, random, c, v, z, center, C, loglik, work):
    """Move v and z of the groups of chunk c, whose FIXED part is in `work`, and their loglik.

    Leaves log det C in TOTAL. Returns the number of groups that moved.
    """
    q, eta, a = L.shape[0], work.row[ETA], work.row[A]
    noise, step = work.vector[U], work.vector[STEP]
    new_v, new_z = work.vector[NEW_V], work.vector[NEW_Z]
    old_v, old_z = work.vector[OLD_V], work.vector[OLD_Z]
    new_loglik, choice = work.number[LOGLIK], work.number[CHOICE]
    weight, old_weight = work.number[WEIGHT], work.number[OLD_WEIGHT]
    square, total, factor = work.number[SQUARE], work.number[TOTAL], work.matrix[CHOLESKY]
    first, last = obs.lanes.chunk[c, ROW], obs.lanes.chunk[c + 1, ROW]
    place, end = obs.lanes.chunk[c, GROUP], obs.lanes.chunk[c + 1, GROUP]
    m, groups = last - first, end - place
    fill_uniforms(random, choice[:groups])
    for k in range(q):
        fill_normals(random, noise[k, :groups])
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
    linear_predictor(obs, c, L, new_v, groups, work)
    rows(families.LOGLIK, eta[:m], obs.y[first:last], obs.w[first:last], phi, a, a, a, a)
    sum_rows(obs.lanes, obs.y, 1, c, a, work.lane, new_loglik)
    log_determinants(factor, groups, total)
    _log_weights(groups, q, loglik[place:], old_v, old_z, total, square, old_weight)
    _log_weights(groups, q, new_loglik, new_v, new_z, total, square, weight)
    fill_uniforms(random, choice[:groups])
    _logs(choice, groups)
    take = choice[:groups]
    for g in range(take.size):
        take[g] = 1.0 if take[g] < weight[g] - old_weight[g] else 0.0
    accepted = total_of(take)
    _choose(take, new_loglik[:groups], loglik[place:end])
    for k in range(q):
        _choose(take, new_v[k, :groups], v[k, place:end])
        _choose(take, new_z[k, :groups], z[k, place:end])
    return accepted
