"""Steps of the effects of one factor: given all else its levels are independent, and move at once.

Each level is accepted by itself. Effects of other factors are part of the linear predictor.
"""

import numpy as np

from .. import families
from .._jit import bare, kernel, simd
from .._linalg import add, copy, total_of
from .._random import fill_normals, fill_uniforms
from .._simd import log
from ..density import dispersion
from ..lanes import (
    CHOICE,
    CHOLESKY,
    CURVE,
    LOGLIK,
    NEW_V,
    NEW_Z,
    OLD_WEIGHT,
    SCORE,
    STEP,
    TOTAL,
    WEIGHT,
    U,
    V,
    factorize,
    log_determinants,
    mix,
    multiply_transposed,
    pull_back,
    solve_backward,
    solve_forward,
)
from .classical_state import (
    ACCEPTS,
    CONJUGATE,
    FIRST,
    LAST,
    LEVEL,
    METHOD,
    NEW_ETA,
    NEW_LOGLIK,
    SCALES,
    SCORE_ROW,
    TRIANGLE,
    WALK,
    WEIGHT_ROW,
    WHICH,
    of_factor,
)


@simd
def _logs(x):
    """Logarithms in place."""
    for i in range(x.size):
        x[i] = log(x[i])


@bare
def standardized(L, u, v):
    """V = L^-1 u for each level."""
    for k in range(L.shape[0]):
        copy(v[k], u[k])
        for l in range(k):
            if L[k, l] != 0.0:
                add(v[k], v[l], -L[k, l])
        own, factor = v[k], L[k, k]
        for g in range(own.size):
            own[g] /= factor


@bare
def _add_squares(out, x, factor):
    """out_g += factor |x_g|^2."""
    for k in range(x.shape[0]):
        own = x[k]
        for g in range(out.size):
            out[g] += factor * own[g] * own[g]


@bare
def _step_eta(data, level, first, step, eta, out):
    """Linear predictors after the effects of one factor have changed by `step` (q, J)."""
    copy(out, eta)
    for k in range(step.shape[0]):
        own = step[k]
        if data.obs.ones[first + k] == 1:
            for r in range(out.size):
                out[r] += own[level[r]]
        else:
            z = data.obs.Z[first + k]
            for r in range(out.size):
                out[r] += z[r] * own[level[r]]


@bare
def _sum_levels(level, x, out):
    for g in range(out.size):
        out[g] = 0.0
    for r in range(level.size):
        out[level[r]] += x[r]


@bare
def _curvatures(rows, data, level, first, eta, phi, row, work, q):
    """SCORE, the sums of z s, and CURVE, those of W z z', of each level."""
    obs, a, b = data.obs, row[SCORE_ROW], row[WEIGHT_ROW]
    rows(families.IWLS, eta, obs.y, obs.w, phi, a, b, b, b)
    for k in range(q):
        z, out = obs.Z[first + k], work.vector[SCORE, k]
        for g in range(out.size):
            out[g] = 0.0
        for r in range(level.size):
            out[level[r]] += z[r] * a[r]
        for l in range(k + 1):
            x, total = obs.Z[first + l], work.matrix[CURVE, k, l]
            for g in range(total.size):
                total[g] = 0.0
            for r in range(level.size):
                total[level[r]] += z[r] * x[r] * b[r]


@bare
def _newton_mean(L, v, J, work):
    """STEP = mean of the proposal from v: v + H^-1 (L'Z's - v), with CHOLESKY of H = I + L'Z'WZL.

    TOTAL becomes log det C.
    """
    step = work.vector[STEP]
    factorize(L, J, work.matrix)
    pull_back(L, work.vector[SCORE], J, step)
    for k in range(L.shape[0]):
        add(step[k], v[k], -1.0)
    solve_forward(work.matrix[CHOLESKY], step, J)
    solve_backward(work.matrix[CHOLESKY], step, J)
    for k in range(L.shape[0]):
        add(step[k], v[k], 1.0)
    log_determinants(work.matrix[CHOLESKY], J, work.number[TOTAL])


@kernel
def move(rows, data, step, L_all, tuning, state, scratch):
    """Move the effects of one factor by random walk, by IWLS or exactly; returns the acceptance.

    `step` is a row of `Steps.step`, and L_all the factor of all terms.
    """
    first, q, f = step[FIRST], step[LAST] - step[FIRST], step[WHICH]
    J, level, row = data.levels[f], data.level[f], scratch.row
    base = data.effect[first]
    u, L = state.u[base : base + q * J].reshape((q, J)), np.zeros((q, q))
    for k in range(q):
        for l in range(k + 1):
            L[k, l] = L_all[first + k, first + l]
    work = of_factor(scratch, q, J)
    v, new_v, change = work.vector[V], work.vector[NEW_V], work.vector[U]
    weight = work.number[WEIGHT]
    new_eta, new_loglik = row[NEW_ETA], row[NEW_LOGLIK]
    phi = dispersion(data.prior, state.theta)
    standardized(L, u, v)
    if step[METHOD] == WALK:
        _walk(tuning, step, q, J, state, work)
        for k in range(q):
            copy(work.vector[STEP, k], u[k])
            add(work.vector[STEP, k], change[k], 1.0)
        standardized(L, work.vector[STEP], new_v)
    else:
        _curvatures(rows, data, level, first, state.eta, phi, row, work, q)
        _newton_mean(L, v, J, work)
        for k in range(q):
            fill_normals(state.random, new_v[k])
        old = work.number[OLD_WEIGHT]
        copy(old, work.number[TOTAL])
        _add_squares(old, new_v, -0.5)
        solve_backward(work.matrix[CHOLESKY], new_v, J)
        for k in range(q):
            add(new_v[k], work.vector[STEP, k], 1.0)
        mix(L, new_v, J, change)
        for k in range(q):
            add(change[k], u[k], -1.0)
    _step_eta(data, level, first, change, state.eta, new_eta)
    obs = data.obs
    rows(
        families.LOGLIK, new_eta, obs.y, obs.w, phi, new_loglik, new_loglik, new_loglik, new_loglik
    )
    if step[METHOD] == CONJUGATE:
        copy(state.eta, new_eta)
        copy(state.loglik, new_loglik)
        for k in range(q):
            add(u[k], change[k], 1.0)
        return 1.0
    _sum_levels(level, new_loglik, weight)
    _sum_levels(level, state.loglik, work.number[LOGLIK])
    add(weight, work.number[LOGLIK], -1.0)
    _add_squares(weight, v, 0.5)
    _add_squares(weight, new_v, -0.5)
    if step[METHOD] != WALK:
        # The way back: a scoring step from the proposed effects.
        _curvatures(rows, data, level, first, new_eta, phi, row, work, q)
        _newton_mean(L, new_v, J, work)
        for k in range(q):
            add(v[k], work.vector[STEP, k], -1.0)
        multiply_transposed(work.matrix[CHOLESKY], v, J, work.vector[NEW_Z])
        add(weight, work.number[TOTAL], 1.0)
        _add_squares(weight, work.vector[NEW_Z], -0.5)
        add(weight, work.number[OLD_WEIGHT], -1.0)
    return _accept(tuning, step, level, u, change, state, row, work)


@bare
def _walk(tuning, step, q, J, state, work):
    """U = the change of each level's effects: its scale times its triangle times noise."""
    noise, change = work.vector[NEW_Z], work.vector[U]
    scale = tuning.level[SCALES, step[LEVEL] : step[LEVEL] + J]
    for k in range(q):
        fill_normals(state.random, noise[k])
    for k in range(q):
        out = change[k]
        for g in range(J):
            out[g] = 0.0
        for l in range(k + 1):
            place = step[TRIANGLE] + (k * q + l) * J
            own, x = tuning.triangle[place : place + J], noise[l]
            for g in range(out.size):
                out[g] += scale[g] * own[g] * x[g]


@bare
def _accept(tuning, step, level, u, change, state, row, work):
    """Accept each level by its own log ratio in WEIGHT; returns the share accepted."""
    take, weight = work.number[CHOICE], work.number[WEIGHT]
    fill_uniforms(state.random, take)
    _logs(take)
    for g in range(take.size):
        take[g] = 1.0 if take[g] < weight[g] else 0.0
    for k in range(u.shape[0]):
        own, by = u[k], change[k]
        for g in range(take.size):
            own[g] = own[g] + by[g] if take[g] == 1.0 else own[g]
    new_eta, new_loglik = row[NEW_ETA], row[NEW_LOGLIK]
    eta, loglik = state.eta, state.loglik
    for r in range(level.size):
        if take[level[r]] == 1.0:
            eta[r] = new_eta[r]
            loglik[r] = new_loglik[r]
    if step[METHOD] == WALK:
        add(tuning.level[ACCEPTS, step[LEVEL] : step[LEVEL] + take.size], take, 1.0)
    return total_of(take) / take.size
