"""Steps of the sds of a term with its standardized effects held: the effects move along.

Given v = L^-1 u a step t of a log sd multiplies that column's effects by exp(t), whatever the
correlations; the density of v stays as it is, so that the step answers to the prior of psi and to
the likelihood. A step given u goes no further than the effects say the sd can be, which is little
where there are many of them and the rows say little of each; this one is free then. Done in turn
they interweave the two forms of the model (Yu and Meng 2011).
"""

import math

import numpy as np

from .. import covariance, families
from .._jit import bare, kernel
from .._linalg import copy, total_of
from .._random import exponential, uniform
from ..density import dispersion
from .classical_state import NEW_ETA, NEW_LOGLIK, SCORE_ROW
from .classical_theta import SHORTEST, STEPS_OUT


@kernel
def move(rows, data, members, width, L, state, scratch):
    """Slices along the log sd of each z column of a term; its effects and eta follow."""
    cov, p, row = data.prior.covariance, data.prior.beta.shape[0], scratch.row
    trial = scratch.trial[0]
    copy(trial, state.theta)
    for i in range(members.size):
        e = members[i] - p
        k = cov.row[e]
        if cov.col[e] != k:
            continue
        f, base = data.factor[k], data.effect[k]
        u, part = state.u[base : base + data.levels[f]], row[SCORE_ROW]
        _spread(data, data.level[f], k, u, part)
        t = _slice(rows, data, members[i], width[members[i]], part, L, trial, state, row)
        if t != 0.0:
            factor = math.exp(t)
            for g in range(u.size):
                u[g] *= factor
            state.theta[members[i]] = trial[members[i]]
            copy(state.eta, row[NEW_ETA])
            copy(state.loglik, row[NEW_LOGLIK])
    covariance.fill_L(cov, state.theta[p : p + cov.row.size], L)


@bare
def _spread(data, level, k, u, part):
    """What the effects of one z column add to the linear predictor of each row."""
    if data.obs.ones[k] == 1:
        for r in range(part.size):
            part[r] = u[level[r]]
    else:
        z = data.obs.Z[k]
        for r in range(part.size):
            part[r] = z[r] * u[level[r]]


@kernel
def _slice(rows, data, place, width, part, L, trial, state, row):
    """A slice along one log sd; returns its step. `trial` equals the new theta afterwards."""
    random, start = state.random, state.theta[place]
    height = _prior(data, state.theta, L) + total_of(state.loglik) - exponential(random)
    left = -width * uniform(random)
    right = left + width
    room = int(uniform(random) * STEPS_OUT)
    for side in range(2):
        t = left if side == 0 else right
        for _ in range(room if side == 0 else STEPS_OUT - 1 - room):
            trial[place] = start + t
            if not _value(rows, data, t, part, L, trial, state, row) > height:
                break
            t += -width if side == 0 else width
        if side == 0:
            left = t
        else:
            right = t
    while right - left > SHORTEST:
        t = left + (right - left) * uniform(random)
        trial[place] = start + t
        if _value(rows, data, t, part, L, trial, state, row) > height:
            return t
        if t < 0.0:
            left = t
        else:
            right = t
    trial[place] = start
    return 0.0


@bare
def _prior(data, theta, L):
    """Log prior of all psi; L becomes that of theta."""
    cov, p = data.prior.covariance, data.prior.beta.shape[0]
    psi = theta[p : p + cov.row.size]
    covariance.fill_L(cov, psi, L)
    return covariance.psi_logdensity(cov, psi, L)


@kernel
def _value(rows, data, t, part, L, trial, state, row):
    """Log density after a step t; NEW_ETA and NEW_LOGLIK are then those of the trial."""
    own = _prior(data, trial, L)
    if not own > -np.inf:
        return -np.inf
    eta, out, growth = row[NEW_ETA], row[NEW_LOGLIK], math.expm1(t)
    for r in range(eta.size):
        eta[r] = state.eta[r] + growth * part[r]
    phi = dispersion(data.prior, state.theta)
    rows(families.LOGLIK, eta, data.obs.y, data.obs.w, phi, out, out, out, out)
    return own + total_of(out)
