"""Modes of the effects of one factor where plain Newton steps fail, compiled.

A full step may leave the domain of the link (an inverse or identity link has eta > 0), or land
where the next one leads away. Here every group halves its step until its density does not fall:
twice the work or more, so `one_factor` comes here only when it has to.
"""

import numpy as np

from .. import families
from .._jit import kernel
from ..lanes import (
    ETA,
    LOGLIK,
    NEW_V,
    STEP,
    TOTAL,
    WEIGHT,
    A,
    B,
    V,
    linear_predictor,
    newton_step,
    sum_rows,
)
from ..layout import GROUP, ROW

STEPS = 200
HALVINGS = 40
CLOSE = 1e-9  # a step below this leaves an error of its square
NOISE = 1e-12  # of the density: a fall within it is rounding


@kernel
def careful_modes(rows, obs, c, L, phi, work):
    """Bring V to the modes, from where it is or from 0; FIXED must hold the fixed part.

    Returns False where the density is 0 at both.
    """
    q = L.shape[0]
    first, last = obs.lanes.chunk[c, ROW], obs.lanes.chunk[c + 1, ROW]
    groups = obs.lanes.chunk[c + 1, GROUP] - obs.lanes.chunk[c, GROUP]
    y, w = obs.y[first:last], obs.w[first:last]
    eta, a, b = work.row[ETA, : last - first], work.row[A], work.row[B]
    v, trial, step = work.vector[V], work.vector[NEW_V], work.vector[STEP]
    height, new, share = work.number[LOGLIK], work.number[WEIGHT], work.number[TOTAL]
    start, largest = True, np.inf
    for count in range(STEPS):
        # The first round only looks where it stands.
        if count > 0:
            linear_predictor(obs, c, L, v, groups, work)
            rows(families.IWLS, eta, y, w, phi, a, b, a, a)
            newton_step(obs, c, L, v, groups, work)
        for g in range(groups):
            share[g] = 1.0
        for _ in range(HALVINGS):
            for k in range(q):
                for g in range(groups):
                    trial[k, g] = v[k, g] if start else v[k, g] + share[g] * step[k, g]
            linear_predictor(obs, c, L, trial, groups, work)
            rows(families.LOGLIK, eta, y, w, phi, a, a, a, a)
            sum_rows(obs.lanes, obs.y, 1, c, a, work.lane, new)
            worse = 0
            for g in range(groups):
                for k in range(q):
                    new[g] -= 0.5 * trial[k, g] * trial[k, g]
                if start and not new[g] > -np.inf:
                    for k in range(q):
                        worse += 1 if v[k, g] != 0.0 else 0
                        v[k, g] = 0.0
                elif not start and not new[g] >= height[g] - NOISE * abs(height[g]):
                    share[g] *= 0.5
                    worse += 1
            if worse == 0:
                break
        largest = 0.0
        for g in range(groups):
            if not new[g] > -np.inf:
                return False
            height[g] = new[g]
            for k in range(q):
                largest = max(largest, abs(trial[k, g] - v[k, g]))
                v[k, g] = trial[k, g]
        if not start and largest < CLOSE:
            break
        start = False
    return True
