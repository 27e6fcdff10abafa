"""Maximum likelihood by Laplace's approximation of the marginal likelihood."""

import numpy as np

from ..covariance import factors
from ..density import Data
from .boundary import at_boundary, restricted_inverse
from .mode import Mode, Start, find
from .outcome import Outcome


def fit(rows, data: Data, start: Start) -> Outcome:
    """Maximize Laplace's approximation; any number of factors."""
    mode = find(rows, data, False, start)
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    boundary = at_boundary(data, mode.theta[p : p + m], start.spread)
    outer = np.concatenate([boundary, np.full(int(mode.endless), True)])
    covariance, definite = restricted_inverse(mode.hessian, outer, p, mode.units)
    return Outcome(
        "laplace",
        mode.theta,
        covariance,
        mode.value,
        mode.converged,
        definite,
        0.5 * float(mode.gradient @ covariance @ mode.gradient),
        mode.evaluations,
        mode.map.modes,
        lambda: variances(mode, data),
        boundary,
        endless=mode.endless,
    )


def variances(mode: Mode, data: Data) -> np.ndarray:
    """Conditional variances of u = L v given theta: the diagonal of L H^-1 L', shape (nv,)."""
    if mode.variances is not None:
        return mode.variances
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, mode.theta[p : p + m])
    out = np.zeros(mode.map.modes.size)
    for k in range(data.factor.size):
        J = int(data.levels[data.factor[k]])
        own = slice(int(data.effect[k]), int(data.effect[k]) + J)
        C = np.tril(np.moveaxis(mode.map.blocks, 2, 0))
        half = np.linalg.solve(C, np.broadcast_to(L[k], (J, L.shape[0]))[..., None])
        out[own] = (half[..., 0] ** 2).sum(axis=1)
    return out
