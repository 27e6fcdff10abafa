"""Steps of the covariance of one term given its effects: they read the sums of u u' alone."""

import math

import numpy as np

from .. import covariance
from .._jit import bare, kernel
from .._linalg import dot
from .._random import gamma, normal, uniform
from . import centring
from .classical_state import CONJUGATE, METHOD, NEAR, WALK, WHICH
from .classical_theta import draw_variance


@bare
def fill_sums(data, first, last, J, u, sums):
    """Sums over levels of u u' of the z columns of one term."""
    for k in range(first, last):
        own = u[data.effect[k] : data.effect[k] + J]
        for l in range(first, k + 1):
            other = u[data.effect[l] : data.effect[l] + J]
            sums[k, l] = dot(own, other)
            sums[l, k] = sums[k, l]


@kernel
def move(data, step, members, scale, triangle, width, L, state):
    """Move psi of one term; L follows. Returns the share accepted of what was proposed."""
    cov, block, random = data.prior.covariance, step[WHICH], state.random
    p, Q = data.prior.beta.shape[0], L.shape[0]
    first, last = cov.block_start[block], cov.block_start[block + 1]
    J = data.levels[data.factor[first]]
    psi = state.theta[p : p + cov.row.size]
    sums, trial, before = np.zeros((Q, Q)), np.empty(psi.size), np.empty(psi.size)
    fill_sums(data, first, last, J, state.u, sums)
    for e in range(psi.size):
        trial[e] = before[e] = psi[e]
    accepted = 1.0
    if step[METHOD] == WALK:
        accepted = _walk(cov, block, members, p, scale, triangle, sums, J, psi, L, trial, random)
    elif step[METHOD] == CONJUGATE:
        if cov.kind[block] == covariance.INVERSE_WISHART:
            centring._draw_conjugate(cov, block, sums, J, psi, L, trial, random)
        elif cov.kind[block] == covariance.HUANG_WAND:
            _draw_mixture(cov, block, sums, J, psi, L, trial, random)
        else:
            _draw_variances(cov, block, sums, J, psi, random)
    elif step[METHOD] == NEAR and cov.kind[block] == covariance.DIAGONAL:
        centring._draw_sds(cov, block, sums, J, psi, L, random)
    elif step[METHOD] == NEAR:
        centring._draw_nearly_conjugate(cov, block, sums, J, psi, L, trial, random)
    else:
        centring._slice_block(cov, block, width[p : p + psi.size], sums, J, psi, L, trial, random)
    if step[METHOD] == NEAR:
        accepted = _share_changed(members, p, psi, before)
    covariance.fill_L(cov, psi, L)
    return accepted


@bare
def _share_changed(members, p, psi, before):
    changed = 0.0
    for i in range(members.size):
        e = members[i] - p
        changed += 1.0 if psi[e] != before[e] else 0.0
    return changed / members.size


@kernel
def _walk(cov, block, members, p, scale, triangle, sums, J, psi, L, trial, random):
    """Random walk of the elements of psi of a term (log sds, and correlations on Fisher's z)."""
    size, q = members.size, cov.block_start[block + 1] - cov.block_start[block]
    noise, inverse = np.empty(size), np.zeros((q, q))
    ratio = -centring._given_u(cov, block, sums, J, psi, L, inverse)
    for i in range(size):
        noise[i] = normal(random)
        own = triangle[i * size : i * size + i + 1]
        trial[members[i] - p] += scale * dot(own, noise[: i + 1])
    threshold = math.log(uniform(random))
    ratio += centring._given_u(cov, block, sums, J, trial, L, inverse)
    if not threshold < ratio:
        return 0.0
    for e in range(psi.size):
        psi[e] = trial[e]
    return 1.0


@bare
def _draw_variances(cov, block, sums, J, psi, random):
    """Variances of uncorrelated effects, exactly; priors are stated on the user's scale."""
    for e in range(psi.size):
        k = cov.row[e]
        if cov.block_start[block] <= k < cov.block_start[block + 1]:
            z = cov.z_scale[k]
            now = math.exp(2.0 * psi[e]) / (z * z)
            squares = sums[k, k] / (z * z)
            drawn = draw_variance(
                cov.sd_kind[k], cov.sd_a[k], cov.sd_b[k], now, float(J), squares, random
            )
            if drawn > 0.0 and drawn < np.inf:
                psi[e] = 0.5 * math.log(drawn) + math.log(z)


@kernel
def _draw_mixture(cov, block, sums, J, psi, L, trial, random):
    """Sigma under Huang and Wand's prior (2013): its mixing scales given Sigma, then Sigma.

    a_k | Sigma ~ IG((nu + q) / 2, nu (Sigma^-1)_kk + 1 / A_k^2),
    Sigma | a, u ~ IW(nu + q - 1 + J, 2 nu diag(1 / a) + sum u u').
    """
    lo, hi = cov.block_start[block], cov.block_start[block + 1]
    q, nu = hi - lo, cov.df[block]
    S, sigma, M = np.empty((q, q)), np.empty((q, q)), np.zeros((q, q))
    for k in range(q):
        for l in range(k + 1):
            total = 1.0 if k == l else 0.0
            for i in range(l, k):
                total -= L[lo + k, lo + i] * M[i, l]
            M[k, l] = total / L[lo + k, lo + k]
    for k in range(q):
        for l in range(q):
            S[k, l] = sums[lo + k, lo + l]
        precision = 0.0
        for i in range(k, q):
            precision += M[i, k] * M[i, k]
        A = cov.scale[lo + k, lo + k]
        rate = nu * precision + 1.0 / (A * A)
        S[k, k] += 2.0 * nu * gamma(random, 0.5 * (nu + q)) / rate
    if centring._wishart_factor(S, nu + q - 1.0 + J, random, sigma):
        centring._place(cov, block, sigma, L, psi, trial)


@kernel
def log_effects(data, theta, u, L):
    """Log density of all effects given Sigma, up to a constant."""
    Q, value = L.shape[0], 0.0
    if Q == 0:
        return 0.0
    cov, p = data.prior.covariance, data.prior.beta.shape[0]
    covariance.fill_L(cov, theta[p : p + cov.row.size], L)
    sums, column = np.zeros((Q, Q)), np.empty(Q)
    for block in range(cov.kind.size):
        lo, hi = cov.block_start[block], cov.block_start[block + 1]
        J = data.levels[data.factor[lo]]
        fill_sums(data, lo, hi, J, u, sums)
        for k in range(lo, hi):
            value -= J * math.log(L[k, k])
            # row k of L^-1, from its diagonal to the left
            for l in range(k, lo - 1, -1):
                total = 1.0 if k == l else 0.0
                for i in range(l + 1, k + 1):
                    total -= column[i] * L[i, l]
                column[l] = total / L[l, l]
            for l in range(lo, k + 1):
                for i in range(lo, k + 1):
                    value -= 0.5 * column[l] * column[i] * sums[l, i]
    return value
