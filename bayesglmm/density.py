"""The posterior density of a model, and the data that compiled code reads.

    log p(theta, v | y) = sum_r loglik(y_r, eta_r, phi) + log p(beta) + log p(psi) + log p(phi)
                          - |v|^2 / 2
    eta_r = offset_r + x_r' beta + sum_k Z_rk u_k[level_k(r)],   u = L v,   Sigma = L L'

theta = (beta, psi, log phi); psi holds the log sds and angles of Sigma (`covariance`). Terms are
stacked: z column k of the model belongs to one factor, and its effects lie at u[effect_k + level].
So the size of a model never enters a type, and one compiled function serves all models.
"""

import math
from typing import NamedTuple

import numpy as np

from . import covariance, families
from ._jit import ENABLED, bare, entry, kernel, pointer_type, typeof, types
from ._linalg import dot
from .coordinates import from_standard, to_standard
from .covariance import Covariance
from .layout import Lanes
from .prior_density import dispersion_logpdf, dispersion_slope, prior_logpdf, prior_slope

BLOCK = 512  # rows worked at once: eta, scores and log-likelihoods stay in the first-level cache


class Observations(NamedTuple):
    """Rows in the order of `layout`; X and Z on the internal scale."""

    y: np.ndarray  # (n,) response totals, as the family prepares them
    w: np.ndarray  # (n,) row weights, as the family prepares them
    offset: np.ndarray  # (n,)
    X: np.ndarray  # (p, n)
    Z: np.ndarray  # (Q, n)
    ones: np.ndarray  # (Q,) int64, 1 where the z column is constant 1
    lanes: Lanes  # of factor 0


class Prior(NamedTuple):
    """Priors of theta on the internal scale: kind and three numbers each."""

    beta: np.ndarray  # (p, 4)
    phi: np.ndarray  # (1, 4); (0, 4) without a dispersion
    covariance: Covariance


class Data(NamedTuple):
    """All that compiled code reads of a model. Parts go to the functions that need them."""

    obs: Observations
    prior: Prior
    level: np.ndarray  # (F, n) int32, level of each row in each factor
    levels: np.ndarray  # (F,) int64
    factor: np.ndarray  # (Q,) int64, factor of each z column
    effect: np.ndarray  # (Q,) int64, where the effects of each z column begin in u


class Map(NamedTuple):
    """Linear coordinates w, z in which the posterior is near a standard normal.

    theta = center + scale w;  v = modes + slopes' (theta - center) + C^-T z, with C C' the
    curvature of each group at the fit: one lower triangle a group (`blocks`), one for all effects
    (`dense`), or the identity (kind IDENTITY).

    With an `information`, what is linear so is not v but x, from which v is made (`coordinates`).
    """

    kind: np.ndarray  # (1,) int64: IDENTITY, BLOCKS or DENSE
    center: np.ndarray  # (d,)
    scale: np.ndarray  # (d, d) lower triangular
    modes: np.ndarray  # (nv,)
    slopes: np.ndarray  # (d, nv), d modes / d theta; (0, 0) without
    blocks: np.ndarray  # (Q, Q, J) lower triangles, one factor
    dense: np.ndarray  # (nv, nv) lower triangle
    information: np.ndarray = np.zeros((0, 0))  # (Q, nv), A of each level; (0, 0) without
    total: np.ndarray = np.zeros(0)  # (nv,) c of each level at the center
    fall: np.ndarray = np.zeros((0, 0))  # (d, nv), d c / d theta


IDENTITY, BLOCKS, DENSE = 0, 1, 2


def empty_data() -> Data:
    """Data of no rows, of the type that every compiled function takes."""
    f = np.zeros
    i = np.zeros(0, dtype=np.int64)
    lanes = Lanes(
        np.zeros((1, 5), dtype=np.int64), np.zeros((0, 2), dtype=np.int64), i.astype(np.int32)
    )
    return Data(
        Observations(f(0), f(0), f(0), f((0, 0)), f((0, 0)), i, lanes),
        Prior(f((0, 4)), f((0, 4)), covariance.empty()),
        np.zeros((0, 0), dtype=np.int32),
        i,
        i,
        i,
    )


def identity_map(d: int, nv: int) -> Map:
    """Whitening that does nothing: theta = w, v = z."""
    return Map(
        np.array([IDENTITY]),
        np.zeros(d),
        np.eye(d),
        np.zeros(nv),
        np.zeros((d, nv)),
        np.zeros((0, 0, 0)),
        np.zeros((0, 0)),
    )


if ENABLED:
    DATA_TYPE = typeof(empty_data())
    MAP_TYPE = typeof(identity_map(1, 1))
    VECTOR, MATRIX = types.float64[::1], types.float64[:, ::1]
    LOGDENSITY_SIGNATURE = types.float64(families.ROWS_TYPE, DATA_TYPE, MAP_TYPE, VECTOR, VECTOR)
    LOGDENSITY_TYPE = pointer_type(LOGDENSITY_SIGNATURE)
else:
    DATA_TYPE = MAP_TYPE = VECTOR = MATRIX = LOGDENSITY_SIGNATURE = LOGDENSITY_TYPE = None


@bare
def theta_logprior(prior, theta, L):
    """Log p(beta) + log p(psi) + log p(log phi), with L filled from psi."""
    p = prior.beta.shape[0]
    m = prior.covariance.row.size
    value = 0.0
    for k in range(p):
        row = prior.beta[k]
        value += prior_logpdf(int(row[0]), row[1], row[2], row[3], theta[k])
    value += covariance.psi_logdensity(prior.covariance, theta[p : p + m], L)
    if prior.phi.shape[0] > 0:
        row = prior.phi[0]
        value += dispersion_logpdf(int(row[0]), row[1], row[2], row[3], theta[p + m])
    return value


@kernel
def theta_logprior_gradient(prior, theta, L, out):
    """Add the gradient of `theta_logprior` to out."""
    p = prior.beta.shape[0]
    m = prior.covariance.row.size
    for k in range(p):
        row = prior.beta[k]
        out[k] += prior_slope(int(row[0]), row[1], row[2], row[3], theta[k])
    covariance.psi_gradient(prior.covariance, theta[p : p + m], L, out[p : p + m])
    if prior.phi.shape[0] > 0:
        row = prior.phi[0]
        out[p + m] += dispersion_slope(int(row[0]), row[1], row[2], row[3], theta[p + m])


@bare
def dispersion(prior, theta):
    """Phi, or 1 for a family without dispersion."""
    return math.exp(theta[theta.size - 1]) if prior.phi.shape[0] > 0 else 1.0


@kernel
def solve_upper(map, z):
    """Solve C' x = z in place: z -> x."""
    if map.kind[0] == BLOCKS:
        q, J = map.blocks.shape[0], map.blocks.shape[2]
        for k in range(q - 1, -1, -1):
            x = z[k * J : (k + 1) * J]
            for l in range(k + 1, q):
                below, other = map.blocks[l, k], z[l * J : (l + 1) * J]
                for g in range(J):
                    x[g] -= below[g] * other[g]
            diagonal = map.blocks[k, k]
            for g in range(J):
                x[g] /= diagonal[g]
    elif map.kind[0] == DENSE:
        for k in range(z.size - 1, -1, -1):
            row = map.dense[k]
            z[k] /= row[k]
            step = z[k]
            for i in range(k):
                z[i] -= row[i] * step


@kernel
def solve_lower(map, z):
    """Solve C x = z in place: z -> x."""
    if map.kind[0] == BLOCKS:
        q, J = map.blocks.shape[0], map.blocks.shape[2]
        for k in range(q):
            x = z[k * J : (k + 1) * J]
            for l in range(k):
                left, other = map.blocks[k, l], z[l * J : (l + 1) * J]
                for g in range(J):
                    x[g] -= left[g] * other[g]
            diagonal = map.blocks[k, k]
            for g in range(J):
                x[g] /= diagonal[g]
    elif map.kind[0] == DENSE:
        for k in range(z.size):
            row = map.dense[k]
            z[k] = (z[k] - dot(row[:k], z[:k])) / row[k]


@kernel
def theta_of(map, position, theta):
    """Whitened position -> theta."""
    for i in range(theta.size):
        theta[i] = map.center[i] + dot(map.scale[i, : i + 1], position[: i + 1])


@kernel
def linear(map, position, theta, x):
    """Whitened position -> x, the effects' part of it, at theta."""
    for i in range(x.size):
        x[i] = position[theta.size + i]
    solve_upper(map, x)
    for i in range(x.size):
        x[i] += map.modes[i]
    along(map, map.slopes, theta, x)


@kernel
def along(map, slopes, theta, out):
    """Add to out what it changes by on the way from the center to theta."""
    for j in range(slopes.shape[0]):
        step = theta[j] - map.center[j]
        slope = slopes[j]
        if step != 0.0:
            for i in range(out.size):
                out[i] += slope[i] * step


@kernel
def standing(map, theta, c):
    """What the levels' conditional means are of, at theta: c of `coordinates`."""
    for i in range(c.size):
        c[i] = map.total[i]
    along(map, map.fall, theta, c)


@kernel
def effects(data, L, v, u):
    """U = L v, level by level: z column k mixes the columns of its own factor."""
    for k in range(data.factor.size):
        J = data.levels[data.factor[k]]
        out = u[data.effect[k] : data.effect[k] + J]
        out[:] = 0.0
        for l in range(k + 1):
            if L[k, l] != 0.0 and data.factor[l] == data.factor[k]:
                own = v[data.effect[l] : data.effect[l] + J]
                for g in range(J):
                    out[g] += L[k, l] * own[g]


@kernel
def fill_eta(data, beta, u, first, last, eta):
    """Linear predictor of rows first .. last - 1."""
    m = last - first
    offset = data.obs.offset[first:last]
    for i in range(m):
        eta[i] = offset[i]
    for k in range(beta.size):
        x, b = data.obs.X[k, first:last], beta[k]
        for i in range(m):
            eta[i] += x[i] * b
    for k in range(data.factor.size):
        z, level = data.obs.Z[k, first:last], data.level[data.factor[k], first:last]
        own = u[data.effect[k] : data.effect[k] + data.levels[data.factor[k]]]
        if data.obs.ones[k] == 1:
            for i in range(m):
                eta[i] += own[level[i]]
        else:
            for i in range(m):
                eta[i] += z[i] * own[level[i]]


@kernel
def natural_gradient(rows, data, theta, L, v, d_theta, d_L, d_v):
    """Log density at (theta, v), the constant of the data left out; fills all three gradients.

    That by psi, through L, is left to d_L; L is filled from psi.
    """
    n, p, m = data.obs.y.size, data.prior.beta.shape[0], data.prior.covariance.row.size
    Q, nv = data.factor.size, v.size
    phi = dispersion(data.prior, theta)
    u = np.empty(nv)
    effects(data, L, v, u)
    d_theta[:] = 0.0
    d_u = np.zeros(nv)
    eta, a = np.empty(BLOCK), np.empty(BLOCK)
    b, c = np.empty(BLOCK), np.empty(BLOCK)
    value = 0.0
    for first in range(0, n, BLOCK):
        last = min(first + BLOCK, n)
        size = last - first
        fill_eta(data, theta[:p], u, first, last, eta)
        y, w = data.obs.y[first:last], data.obs.w[first:last]
        rows(families.GRADIENT, eta[:size], y, w, phi, a[:size], b[:size], c[:size], a[:0])
        for i in range(size):
            value += a[i]
        for k in range(p):
            d_theta[k] += dot(data.obs.X[k, first:last], b[:size])
        for k in range(Q):
            z, level = data.obs.Z[k, first:last], data.level[data.factor[k], first:last]
            own = d_u[data.effect[k] : data.effect[k] + data.levels[data.factor[k]]]
            for i in range(size):
                own[level[i]] += z[i] * b[i]
        if data.prior.phi.shape[0] > 0:
            for i in range(size):
                d_theta[p + m] += c[i]
    value += theta_logprior(data.prior, theta, L) - 0.5 * dot(v, v)
    theta_logprior_gradient(data.prior, theta, L, d_theta)

    for i in range(nv):
        d_v[i] = -v[i]
    for k in range(Q):
        J = data.levels[data.factor[k]]
        score = d_u[data.effect[k] : data.effect[k] + J]
        for l in range(k + 1):
            if data.factor[l] == data.factor[k]:
                place = data.effect[l]
                d_L[k, l] = dot(score, v[place : place + J])
                if L[k, l] != 0.0:
                    for g in range(J):
                        d_v[place + g] += L[k, l] * score[g]
    return value


@entry(lambda: LOGDENSITY_SIGNATURE)
def logdensity(rows, data, map, position, gradient):
    """Log density in whitened coordinates up to a constant; fills the gradient."""
    d, Q, covariance_ = map.center.size, data.factor.size, data.prior.covariance
    p, m = data.prior.beta.shape[0], data.prior.covariance.row.size
    nv = position.size - d
    theta, v, L = np.empty(d), np.empty(nv), np.zeros((Q, Q))
    theta_of(map, position, theta)
    covariance.fill_L(covariance_, theta[p : p + m], L)
    d_theta, d_v, d_L = np.empty(d), np.empty(nv), np.zeros((Q, Q))
    linear(map, position, theta, v)
    if map.information.shape[0] > 0:
        x, c, d_x, d_c = v, np.empty(nv), np.empty(nv), np.empty(nv)
        C = np.empty((Q, nv))
        v = np.empty(nv)
        standing(map, theta, c)
        factor, levels, effect, A = data.factor, data.levels, data.effect, map.information
        jacobian = from_standard(factor, levels, effect, A, L, c, x, C, v)
        value = jacobian + natural_gradient(rows, data, theta, L, v, d_theta, d_L, d_v)
        to_standard(factor, levels, effect, A, L, c, x, v, C, d_v, d_x, d_c, d_L)
        for j in range(map.fall.shape[0]):
            d_theta[j] += dot(map.fall[j], d_c)
        d_v = d_x
    else:
        value = natural_gradient(rows, data, theta, L, v, d_theta, d_L, d_v)
    covariance.chain_psi(covariance_, L, d_L, d_theta[p : p + m])
    for j in range(map.slopes.shape[0]):
        d_theta[j] += dot(map.slopes[j], d_v)
    for j in range(d):
        total = 0.0
        for i in range(j, d):
            total += map.scale[i, j] * d_theta[i]
        gradient[j] = total
    solve_lower(map, d_v)
    for i in range(nv):
        gradient[d + i] = d_v[i]
    return value


@kernel
def effects_of(data, map, theta, L, x, C, v):
    """Fill v from x."""
    if map.information.shape[0] > 0:
        c = np.empty(x.size)
        standing(map, theta, c)
        A = map.information
        from_standard(data.factor, data.levels, data.effect, A, L, c, x, C, v)
    else:
        for i in range(x.size):
            v[i] = x[i]


@entry(lambda: types.void(DATA_TYPE, MAP_TYPE, MATRIX, MATRIX, MATRIX))
def unwhiten(data, map, positions, theta, u):
    """Positions (n, d + nv) -> theta (n, d) and effects u (n, nv)."""
    p, m = data.prior.beta.shape[0], data.prior.covariance.row.size
    Q, nv = data.factor.size, u.shape[1]
    x, v, L, C = np.empty(nv), np.empty(nv), np.zeros((Q, Q)), np.empty((Q, nv))
    for i in range(positions.shape[0]):
        theta_of(map, positions[i], theta[i])
        covariance.fill_L(data.prior.covariance, theta[i, p : p + m], L)
        linear(map, positions[i], theta[i], x)
        effects_of(data, map, theta[i], L, x, C, v)
        effects(data, L, v, u[i])
