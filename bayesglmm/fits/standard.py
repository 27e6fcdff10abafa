"""From the coordinates of a fit to those in which the effects' sds leave no funnel (`coordinates`).

Only Hamiltonian samplers move in them: they take steps of one size everywhere.
"""

import numpy as np
from numpy.typing import NDArray

from .. import families
from ..covariance import factors
from ..density import DENSE, IDENTITY, Data, Map

Array = NDArray[np.float64]

PHI_STEP = 1e-4  # in log phi: the difference is good to eight digits
STEP = 1e-4  # of theta, in units of its scale


def standardized(rows, data: Data, map: Map, fitted: bool = True) -> Map:
    """Coordinates whose effects are standardized level by level, given theta.

    Parameters
    ----------
    rows : compiled row function of the family
    data : Data
    map : Map
        Of a fit; itself returned if there are no effects, or no finite weights there.
    fitted : bool
        Whether the map's modes are modes: else the levels' means do not follow their data.
    """
    if not data.factor.size:
        return map
    theta, d = map.center, map.center.size
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, theta[p : p + m])
    u = _mixed(data, L, map.modes)
    place = data.effect[:, None] + data.level[data.factor]  # of each row in u, by z column
    eta = data.obs.offset + theta[:p] @ data.obs.X + (data.obs.Z * u[place]).sum(axis=0)
    phi = float(np.exp(theta[-1])) if data.prior.phi.shape[0] else 1.0
    score, weight = _iwls(rows, data, eta, phi)
    if not (np.isfinite(score).all() and np.isfinite(weight).all()):
        return map

    def gathered(k: int, values: Array) -> Array:
        level = data.level[data.factor[k]]
        J = int(data.levels[data.factor[k]])
        return np.bincount(level, data.obs.Z[k] * values, J).astype(float)

    own = [slice(e, e + data.levels[f]) for e, f in zip(data.effect, data.factor, strict=True)]
    information = np.zeros((data.factor.size, map.modes.size))
    total, fall = np.zeros(map.modes.size), np.zeros((d, map.modes.size))
    for k, at in enumerate(own):
        for l in np.flatnonzero(data.factor == data.factor[k]):
            information[l, at] = gathered(k, weight * data.obs.Z[l])
            total[at] += information[l, at] * u[own[l]]
        total[at] += gathered(k, score)
        for j in range(p):
            fall[j, at] = -gathered(k, weight * data.obs.X[j])
        if data.prior.phi.shape[0]:
            above, _ = _iwls(rows, data, eta, phi * np.exp(PHI_STEP))
            below, _ = _iwls(rows, data, eta, phi * np.exp(-PHI_STEP))
            fall[-1, at] = gathered(k, (above - below) / (2.0 * PHI_STEP))
    if not fitted:
        total[:], fall = 0.0, np.zeros((0, 0))
    made = map._replace(
        kind=np.array([IDENTITY]),
        modes=np.zeros(map.modes.size),
        slopes=np.zeros((0, 0)),
        blocks=np.zeros((0, 0, 0)),
        dense=np.zeros((0, 0)),
        information=information,
        total=total,
        fall=fall,
    )
    return _beside_others(data, map, made) if fitted and data.levels.size > 1 else made


def _iwls(rows, data: Data, eta: Array, phi: float) -> tuple[Array, Array]:
    score, weight, spare = np.empty((3, eta.size))
    rows(families.IWLS, eta, data.obs.y, data.obs.w, phi, score, weight, spare, spare)
    return score, weight


def _mixed(data: Data, L: Array, v: Array) -> Array:
    """Effects u = L v."""
    u = np.zeros_like(v)
    for k, l in zip(*np.nonzero(L), strict=True):
        J = int(data.levels[data.factor[k]])
        u[data.effect[k] : data.effect[k] + J] += L[k, l] * v[data.effect[l] : data.effect[l] + J]
    return u


def _levels(data: Data, made: Map, theta: Array) -> list[tuple[NDArray[np.int64], Array, Array]]:
    """Of each factor at theta: places (J, q) in u, triangles C (J, q, q), means (J, q) of v."""
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, theta[p : p + m])
    c = made.total + (theta - made.center) @ made.fall
    out = []
    for f, J in enumerate(data.levels):
        columns = np.flatnonzero(data.factor == f)
        place = data.effect[columns] + np.arange(J)[:, None]
        own = L[np.ix_(columns, columns)]
        A = made.information[columns][:, place].transpose(1, 2, 0)
        C = np.linalg.cholesky(np.eye(columns.size) + own.T @ A @ own)
        half = np.linalg.solve(C, (c[place] @ own)[..., None])
        out.append((place, C, np.linalg.solve(np.swapaxes(C, 1, 2), half)[..., 0]))
    return out


def _beside_others(data: Data, map: Map, made: Map) -> Map:
    """What the factors have to do with each other, linearly, about the fit."""
    nv, d = map.modes.size, map.center.size

    def means(theta: Array) -> Array:
        out = np.empty(nv)
        for place, _, mean in _levels(data, made, theta):
            out[place] = mean
        return out

    steps = np.diag(STEP * np.sqrt((map.scale**2).sum(axis=1)))
    falls = [means(map.center + s) - means(map.center - s) for s in steps]
    apart = map.modes - means(map.center)
    slopes = map.slopes - np.array(falls).reshape(d, nv) / (2.0 * np.diag(steps)[:, None])
    modes, moved = np.empty(nv), np.empty((d, nv))
    blocks = _levels(data, made, map.center)
    for place, C, _ in blocks:
        modes[place] = np.einsum("glk,gl->gk", C, apart[place])
        moved[:, place] = np.einsum("glk,dgl->dgk", C, slopes[:, place])
    if map.kind[0] != DENSE:
        return made._replace(modes=modes, slopes=moved)
    H = np.tril(map.dense) @ np.tril(map.dense).T
    for _ in range(2):
        for place, C, _ in blocks:
            H[place] = np.linalg.solve(C, H[place])
        H = np.ascontiguousarray(H.T)
    dense = np.linalg.cholesky(H)
    return made._replace(kind=np.array([DENSE]), modes=modes, slopes=moved, dense=dense)
