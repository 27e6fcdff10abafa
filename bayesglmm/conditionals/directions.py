"""Directions of beta that move together with the effects of a factor, and those that cannot.

Along a direction t of beta, X t may be, within each level of a factor, a combination of the
factor's z columns: X t = sum_k Z_k W_k. Then beta + d t with u - d W leaves the linear predictor as
it is (hierarchical centring; Gelfand, Sahu and Carlin 1995). Not only columns do so: where a column
tells the pair of the types of two crossed factors, sums of such columns tell the type of one.
"""

import math

import numpy as np

from .._jit import kernel
from .._linalg import cholesky, dot, solve_lower, solve_upper
from .._random import normal, uniform
from ..density import Data
from ..prior_density import FLAT, LAPLACE, NORMAL, STUDENT_T, prior_logpdf
from .factors import (
    COLUMN,
    COLUMNS,
    CROSS,
    DIRECTION,
    DIRECTIONS,
    EFFECT,
    LEVELS,
    SHIFT,
    Directions,
    Rows,
)

TOLERANCE = 1e-9  # of X t - sum_k Z_k W_k, relative to X t
# Share of the variance of t'beta that a draw with u + W d held renews, below which beta moves along
# t with u held as well: where levels have few rows or a small sd, u + W d tells more than the rows.
# Where other directions ask for that pass over the rows anyway, it costs little more.
LEAST_SHARE, LEAST_OF_MORE = 0.3, 0.6
INDEPENDENT = 1e-6  # length of what a direction adds to the others, relative to its own


def find(data: Data, table: np.ndarray, layout: Rows) -> tuple[Directions, np.ndarray]:
    """Directions of each factor, whose places are put into the table, and all others.

    Returns
    -------
    Directions
    loose : ndarray, shape (l, p)
        A basis of the directions that belong to no factor; columns of X where possible.
    """
    p = data.obs.X.shape[0]
    Ts, Ws, crosses, places = [], [], [], np.zeros(3, dtype=np.int64)
    for f, own in enumerate(table):
        T, W = _within(data, f, own)
        levels = layout.order[own[EFFECT] : own[EFFECT] + own[LEVELS]] - own[EFFECT]
        W = np.ascontiguousarray(W[:, :, levels])
        cross = np.einsum("akg,blg->klab", W, W)
        own[[DIRECTION, SHIFT, CROSS]] = places
        own[DIRECTIONS] = T.shape[0]
        places = places + [T.size, W.size, cross.size]
        Ts.append(T)
        Ws.append(W.ravel())
        crosses.append(np.ascontiguousarray(cross).ravel())
    return (
        Directions(
            np.concatenate([T.ravel() for T in Ts]),
            np.concatenate(Ws),
            np.concatenate(crosses),
            stand_ins(data.prior.beta),
        ),
        _complement(np.concatenate(Ts) if Ts else np.zeros((0, p)), p),
    )


def _within(data: Data, f: int, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions T (c, p) of a factor, and their W (c, q, J) in the order of Data."""
    columns, J = range(own[COLUMN], own[COLUMNS]), int(own[LEVELS])
    X, Z, index, p = data.obs.X, data.obs.Z[columns], data.level[f], data.obs.X.shape[0]
    q = Z.shape[0]
    gram = np.empty((J, q, q))
    for k in range(q):
        for l in range(k + 1):
            gram[:, k, l] = gram[:, l, k] = np.bincount(index, Z[k] * Z[l], minlength=J)
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    W, residual = np.empty((p, q, J)), np.empty_like(X)
    for j in range(p):
        sums = np.stack([np.bincount(index, z * X[j], minlength=J) for z in Z], axis=1)
        W[j] = np.einsum("gkl,gl->kg", inverse, sums)
        residual[j] = X[j] - sum(z * w[index] for z, w in zip(Z, W[j], strict=True))
    size = np.abs(X).max(axis=1, initial=0.0)
    single = np.abs(residual).max(axis=1, initial=0.0) <= TOLERANCE * np.maximum(size, 1e-300)
    found = [np.eye(p)[j] for j in np.flatnonzero(single)]
    rest = np.flatnonzero(~single)
    if rest.size:
        # The others' combinations without a residual.
        _, values, basis = np.linalg.svd(residual[rest] @ residual[rest].T)
        for t in basis[values <= 1e-12 * max(float((X[rest] ** 2).sum()), 1e-300)]:
            whole = np.zeros(p)
            whole[rest] = t
            left, moved = np.abs(whole @ residual).max(), np.abs(whole @ X).max()
            if left <= TOLERANCE * moved:
                found.append(whole)
    T = np.array(found).reshape(-1, p)
    return T, np.einsum("cp,pkg->ckg", T, W)


def _complement(T: np.ndarray, p: int) -> np.ndarray:
    """A basis of what the rows of T do not span: columns alone where T knows nothing of them."""
    untouched = np.flatnonzero(~(np.abs(T) > 0.0).any(axis=0))
    touched = np.setdiff1d(np.arange(p), untouched)
    basis = [np.eye(p)[j] for j in untouched]
    if touched.size:
        _, values, rows = np.linalg.svd(T[:, touched])
        rank = int((values > 1e-9).sum())
        for t in rows[rank:]:
            whole = np.zeros(p)
            whole[touched] = t
            basis.append(whole)
    return np.array(basis).reshape(-1, p)


def with_stiff(
    loose: np.ndarray, along: Directions, table: np.ndarray, L: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """Loose directions, and those of factors along which beta would hardly move.

    Parameters
    ----------
    loose : ndarray, shape (l, p)
    L : ndarray, shape (Q, Q)
        At the fit.
    covariance : ndarray, shape (p, p)
        Of beta, by the fit.
    """
    p, found = loose.shape[1], []
    renewed = np.zeros((table.shape[0], p, p))  # covariances of beta in the draws of each factor
    for f, own in enumerate(table):
        c, q = int(own[DIRECTIONS]), int(own[COLUMNS] - own[COLUMN])
        if c == 0:
            continue
        T = along.T[own[DIRECTION] :][: c * p].reshape(c, p)
        cross = along.cross[own[CROSS] :][: q * q * c * c].reshape(q, q, c, c)
        block = np.linalg.inv(L[own[COLUMN] : own[COLUMNS], own[COLUMN] : own[COLUMNS]])
        P = np.einsum("kl,klab->ab", block.T @ block, cross) + (T * along.normal[:, 1]) @ T.T
        renewed[f] = T.T @ np.linalg.pinv(P, hermitian=True) @ T
        found.append(T)
    basis, least = loose, LEAST_OF_MORE if len(loose) else LEAST_SHARE
    for t in np.concatenate(found) if found else loose[:0]:
        share = (renewed @ t @ t).max() / (t @ covariance @ t)
        rest = t - np.linalg.lstsq(basis.T, t, rcond=None)[0] @ basis
        if share < least and np.linalg.norm(rest) > INDEPENDENT * np.linalg.norm(t):
            basis = np.concatenate([basis, t[None]])
    return basis


def stand_ins(priors: np.ndarray) -> np.ndarray:
    """Mean and precision of a Normal near each prior of beta, and whether it is the prior."""
    out = np.zeros((priors.shape[0], 3))
    for own, (kind, a, b, c) in zip(out, priors, strict=True):
        if kind == NORMAL:
            own[:] = a, b**-2, 1.0
        elif kind == STUDENT_T:
            own[:] = b, c**-2, 0.0
        elif kind == LAPLACE:
            own[:] = a, b**-2, 0.0
        else:
            own[2] = 1.0 if kind == FLAT else 0.0
    return out


@kernel
def draw(priors, normals, T, W, cross, L, beta, u, trial, random):
    """Draw beta along the directions T (c, p) given u + W d, in place; u (q, J) moves with it."""
    size, p = T.shape
    q, J = u.shape
    inverse, column = np.zeros((q, q)), np.empty(q)  # Sigma^-1 = L^-T L^-1
    for l in range(q):
        for k in range(q):
            column[k] = 1.0 if k == l else 0.0
        solve_lower(L, column)
        solve_upper(L, column)
        for k in range(q):
            inverse[k, l] = column[k]
    P, d = np.zeros((size, size)), np.zeros(size)
    for k in range(q):
        for l in range(q):
            if inverse[k, l] != 0.0:
                for a in range(size):
                    d[a] += inverse[k, l] * dot(W[a, k], u[l])
                    for b in range(a + 1):
                        P[a, b] += inverse[k, l] * cross[k, l, a, b]
    for j in range(p):
        mean, precision = normals[j, 0], normals[j, 1]
        for a in range(size):
            if T[a, j] != 0.0:
                d[a] -= T[a, j] * precision * (beta[j] - mean)
                for b in range(a + 1):
                    P[a, b] += T[a, j] * precision * T[b, j]
    if not cholesky(P):
        return
    solve_lower(P, d)
    for a in range(size):
        d[a] += normal(random)
    solve_upper(P, d)
    ratio = 0.0
    for j in range(p):
        trial[j] = beta[j]
        for a in range(size):
            trial[j] += d[a] * T[a, j]
        if normals[j, 2] == 0.0:
            ratio += _beyond_normal(priors[j], normals[j], trial[j])
            ratio -= _beyond_normal(priors[j], normals[j], beta[j])
    threshold = math.log(uniform(random))
    if not threshold < ratio:
        return
    for j in range(p):
        beta[j] = trial[j]
    for a in range(size):
        for k in range(q):
            own, w = u[k], W[a, k]
            for g in range(J):
                own[g] -= d[a] * w[g]


@kernel
def _beyond_normal(prior, normals, value):
    """Log prior of a coefficient less that of the Normal that stands for it."""
    distance = value - normals[0]
    density = prior_logpdf(int(prior[0]), prior[1], prior[2], prior[3], value)
    return density + 0.5 * normals[1] * distance * distance
