"""From blocks to what compiled code reads of them: steps, centrings, and curvature at the fit."""

from typing import TYPE_CHECKING, Any

import numpy as np

from . import families
from .adaptation.proposal import triangle
from .block_plan import Block, data_of
from .conditionals import centring
from .conditionals import classical_state as places
from .covariance import factors
from .density import Data, Map, unwhiten
from .prior_defaults import rescaled
from .programs import stand_in

if TYPE_CHECKING:
    from .model import Model

METHODS = {
    "random_walk": places.WALK,
    "iwls": places.IWLS,
    "conjugate": places.CONJUGATE,
    "slice": places.SLICE,
    "near_conjugate": places.NEAR,
    "centred": places.CENTRED,
    "noncentred": places.NONCENTRED,
}
TARGETS = {
    "beta": places.BETA,
    "u": places.EFFECTS,
    "Sigma": places.SIGMA,
    "dispersion": places.PHI,
}


def steps_of(
    model: "Model", data: Data, blocks: tuple[Block, ...], sds: np.ndarray
) -> tuple[places.Steps, list[int]]:
    """Lay blocks out for compiled code; the parameters that each moves at once."""
    cov, p = data.prior.covariance, data.obs.X.shape[0]
    table = np.zeros((len(blocks), 8), dtype=np.int64)
    members: list[int] = []
    sizes: list[int] = []
    for b, block in enumerate(blocks):
        own = list(block.members)
        if block.target == "Sigma":
            lo, hi = cov.block_start[block.which], cov.block_start[block.which + 1]
            own = [p + e for e in range(cov.row.size) if lo <= cov.row[e] < hi]
        elif block.target == "dispersion":
            own = [sds.size - 1]
        first = len(members)
        if block.target == "u":
            columns = np.flatnonzero(data.factor == block.which)
            first, last = int(columns[0]), int(columns[-1]) + 1
            sizes.append(last - first)
        else:
            members += own
            last = len(members)
            sizes.append(len(own))
        which = 0 if block.method == "centred" else block.which
        table[b, :5] = METHODS[block.method], TARGETS[block.target], first, last, which
    centred = [b for b, block in enumerate(blocks) if block.method == "centred"]
    table[centred, places.WHICH] = range(len(centred))
    pairs = zip(model.priors.beta, model.x_scale, strict=True)
    normal = [stand_in(rescaled(prior, scale))[:2] for prior, scale in pairs]
    steps = places.Steps(
        table,
        np.array(members, dtype=np.int64),
        np.array(normal, dtype=np.float64).reshape(-1, 2),
        centring.WIDTH * sds,
    )
    return steps, sizes


def centres_of(model: "Model", data: Data, blocks: tuple[Block, ...]) -> places.Centres:
    """What the centred steps need, one after the other."""
    parts = []
    for block in blocks:
        if block.method != "centred":
            continue
        own = data_of(data, block.which)
        columns, W = centring.within_groups(own)
        kept = np.isin(columns, block.members)
        columns, W = columns[kept], np.ascontiguousarray(W[kept])
        stand_ins = [
            stand_in(rescaled(model.priors.beta[j], model.x_scale[j])) for j in columns.tolist()
        ]
        part = centring.Centring(
            np.array([(j, s[2]) for j, s in zip(columns, stand_ins, strict=True)], dtype=np.int64),
            W,
            np.ascontiguousarray(np.einsum("akg,blg->klab", W, W)),
            np.array([s[:2] for s in stand_ins], dtype=np.float64),
            np.zeros(0),
        )
        first = int(np.flatnonzero(data.factor == block.which)[0])
        parts.append((first, int(own.levels[0]), part))
    return places.pack(parts)


class Curvature:
    """Curvature of the log posterior at a fit, block by block, all else held."""

    def __init__(self, rows: Any, data: Data, map: Map) -> None:
        self.data = data
        p, m = data.obs.X.shape[0], data.prior.covariance.row.size
        theta = map.center
        position = np.zeros((1, theta.size + map.modes.size))
        u, out = np.empty((1, map.modes.size)), np.empty((1, theta.size))
        unwhiten(data, map, position, out, u)
        eta = data.obs.offset + theta[:p] @ data.obs.X
        for k, f in enumerate(data.factor):
            eta = eta + data.obs.Z[k] * u[0, data.effect[k] + data.level[f]]
        phi = float(np.exp(theta[-1])) if data.prior.phi.shape[0] else 1.0
        score, weight, spare = np.empty((3, eta.size))
        rows(families.IWLS, eta, data.obs.y, data.obs.w, phi, score, weight, spare, spare)
        self.weight = np.where(np.isfinite(weight) & (weight > 0.0), weight, 0.0)
        self.L = factors(data.prior.covariance, theta[p : p + m])

    def effects(self, f: int) -> np.ndarray:
        """Cholesky factors (J, q, q) of the covariances of the effects of a factor's levels."""
        data, own = self.data, np.flatnonzero(self.data.factor == f)
        J, level, q = int(data.levels[f]), data.level[f], own.size
        L = self.L[np.ix_(own, own)]
        A = np.empty((J, q, q))
        for i, k in enumerate(own):
            for j, l in enumerate(own):
                product = data.obs.Z[k] * data.obs.Z[l] * self.weight
                A[:, i, j] = np.bincount(level, product, minlength=J)
        # (Z'WZ + Sigma^-1)^-1 = L (I + L'Z'WZ L)^-1 L'
        inner = np.linalg.cholesky(np.linalg.inv(np.eye(q) + L.T @ A @ L))
        factor: np.ndarray = L @ inner
        return factor

    def coefficients(self, members: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Cholesky factor of the covariance of some coefficients."""
        X = self.data.obs.X[members]
        return triangle(np.linalg.pinv((X * self.weight) @ X.T + np.diag(precision)))
