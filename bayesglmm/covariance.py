"""Covariances of the random effects: their unconstrained parameters psi, and the prior of psi.

Sigma = L L' for each term. Row k of L, k = 1 .. q, is given by the log of the sd s_k, its norm, and
by k - 1 angles x_kl on the scale of Fisher's z:

    L_k = s_k (sinh x_k1, ..., sinh x_k,k-1, 1) / N_k,     N_k^2 = 1 + sum_l sinh(x_kl)^2,

so that the correlation of two effects is tanh(x_21). An sd near 0 then leaves the angles as they
are, where raw elements of L would have to shrink with it. With respect to the elements of L,

    log |d L_k / d (log s_k, x_k)| = k log s_k - k log N_k + sum_l log cosh x_kl

(spherical coordinates by gnomonic projection), and then

    log p(psi) = log p(L) + the sum of that over k,
    log p(L) = log p(Sigma) + q log 2 + sum_k (q - k + 1) log L_kk
    log p(Sigma) = sum_k log p(s_k) + log p(R) - q log 2 - q sum_k log s_k     (sd and correlations)
    log p(R) = (eta - 1) log det R - log c(q, eta)                                           (LKJ)

A term without correlations (``||``) has log sds alone: log p(psi) = sum_k log p(s_k) + log s_k.
All densities are normalized. Sds have their priors on the user's scale; Sigma here is on the scale
of the z columns inside, ``s_inside = s_user * z_scale``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._jit import bare, kernel
from ._linalg import solve_lower, solve_upper
from .prior_density import prior_logpdf, prior_slope
from .priors import HuangWand, InverseWishart

SD_CORRELATION, DIAGONAL, INVERSE_WISHART, HUANG_WAND = 0, 1, 2, 3


class Covariance(NamedTuple):
    """Elements of psi and priors of all terms; Q z columns, one block of them a term."""

    row: NDArray[np.int64]  # (elements,) row in L
    col: NDArray[np.int64]  # (elements,) column in L
    block_start: NDArray[np.int64]  # (blocks + 1,) first z column of each block
    kind: NDArray[np.int64]  # (blocks,)
    eta: NDArray[np.float64]  # (blocks,) of LKJ
    constant: NDArray[np.float64]  # (blocks,) what does not depend on psi
    sd_kind: NDArray[np.int64]  # (Q,) prior of each sd, on the user's scale
    sd_a: NDArray[np.float64]
    sd_b: NDArray[np.float64]
    sd_c: NDArray[np.float64]
    z_scale: NDArray[np.float64]  # (Q,)
    df: NDArray[np.float64]  # (blocks,) of an inverse-Wishart, or of Huang and Wand's half-t
    scale: NDArray[np.float64]  # (Q, Q) Cholesky factors of scale matrices, or half-t scales


@dataclass(frozen=True)
class Block:
    """One term: an sd prior for each of its effects and LKJ(eta), or a prior of Sigma."""

    size: int
    correlated: bool = True
    sd: tuple[Any, ...] = ()
    eta: float = 1.0
    sigma: InverseWishart | HuangWand | None = None


def build(blocks: Sequence[Block], z_scale: ArrayLike) -> Covariance:
    """Lay terms out for compiled code.

    Parameters
    ----------
    blocks : sequence of Block
        In the order of the z columns.
    z_scale : array, shape (Q,)
        Scale of each z column: what the user's effects are multiplied by inside.
    """
    scales = np.array(z_scale, dtype=np.float64).reshape(-1)
    start = np.cumsum([0, *(block.size for block in blocks)]).astype(np.int64)
    total = int(start[-1])
    row, col, kind, constant, df = [], [], [], [], []
    codes = [(0, 0.0, 0.0, 0.0)] * total
    scale = np.zeros((total, total))
    for block, first in zip(blocks, start[:-1].tolist(), strict=True):
        q, own = block.size, slice(first, first + block.size)
        for k in range(q):
            for l in range(k + 1) if block.correlated else (k,):
                row.append(first + k)
                col.append(first + l)
        shift = -float(np.log(scales[own]).sum())
        if isinstance(block.sigma, InverseWishart):
            prior = block.sigma.for_size(q, "the term")
            matrix = np.array(prior.scale) * np.outer(scales[own], scales[own])
            scale[own, own] = np.linalg.cholesky(matrix)
            kind.append(INVERSE_WISHART)
            df.append(prior.df)
            constant.append(_inverse_wishart_constant(prior.df, np.diag(scale[own, own])))
        elif isinstance(block.sigma, HuangWand):
            mixture = block.sigma.for_size(q, "the term")
            sds = np.array(mixture.scale) * scales[own]
            scale[own, own] = np.diag(sds)
            kind.append(HUANG_WAND)
            df.append(mixture.df)
            constant.append(_huang_wand_constant(mixture.df, sds))
        else:
            codes[own] = [prior.code() for prior in block.sd]
            kind.append(SD_CORRELATION if block.correlated else DIAGONAL)
            df.append(0.0)
            constant.append(shift - _lkj_constant(q, block.eta) if block.correlated else shift)
    kinds, a, b, c = zip(*codes, strict=True) if codes else ((), (), (), ())
    return Covariance(
        _integers(row),
        _integers(col),
        start,
        _integers(kind),
        _floats([block.eta for block in blocks]),
        _floats(constant),
        _integers(kinds),
        _floats(a),
        _floats(b),
        _floats(c),
        scales,
        _floats(df),
        scale,
    )


def empty() -> Covariance:
    """No random effects."""
    return build([], [])


def _integers(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _floats(values: Sequence[float]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def _lkj_constant(q: int, eta: float) -> float:
    """Log of the integral of det(R)^(eta - 1) (Lewandowski et al. 2009, equation 16)."""
    total = 0.0
    for left in range(1, q):
        a = eta + 0.5 * (left - 1)
        log_beta = 2.0 * math.lgamma(a) - math.lgamma(2.0 * a)
        total += left * ((2.0 * a - 1.0) * math.log(2.0) + log_beta)
    return total


def _log_multigamma(q: int, a: float) -> float:
    gammas = sum(math.lgamma(a - 0.5 * k) for k in range(q))
    return 0.25 * q * (q - 1) * math.log(math.pi) + gammas


def _inverse_wishart_constant(df: float, diagonal: NDArray[np.float64]) -> float:
    q = diagonal.size
    half = 0.5 * df
    log_det = 2.0 * float(np.log(diagonal).sum())
    return half * log_det + (1.0 - half) * q * math.log(2.0) - _log_multigamma(q, half)


def _huang_wand_constant(nu: float, scales: NDArray[np.float64]) -> float:
    # Sigma | a ~ IW(nu + q - 1, 2 nu diag(1 / a_k)), a_k ~ InverseGamma(1/2, 1 / A_k^2); each a_k
    # integrated out.
    q = scales.size
    half = 0.5 * (nu + q - 1.0)
    mixed = q * (math.lgamma(0.5 * (nu + q)) - 0.5 * math.log(math.pi))
    log_scales = float(np.log(scales).sum())
    constant = q * (half * math.log(nu) + math.log(2.0)) - _log_multigamma(q, half)
    return constant + mixed - log_scales


def factors(cov: Covariance, psi: NDArray[np.float64]) -> NDArray[np.float64]:
    """L of draws of psi (..., elements), shape (..., Q, Q)."""
    Q = cov.z_scale.size
    L = np.zeros((*psi.shape[:-1], Q, Q))
    for e, (k, l) in enumerate(zip(cov.row, cov.col, strict=True)):
        L[..., k, l] = np.ones_like(psi[..., e]) if k == l else np.sinh(psi[..., e])
    for e, (k, l) in enumerate(zip(cov.row, cov.col, strict=True)):
        if k == l:
            norm = np.sqrt((L[..., k, :] ** 2).sum(axis=-1))
            L[..., k, :] *= (np.exp(psi[..., e]) / norm)[..., None]
    return L


def coordinates(cov: Covariance, L: NDArray[np.float64]) -> NDArray[np.float64]:
    """Psi (elements,) of one L (Q, Q)."""
    psi = np.empty(cov.row.size)
    for e, (k, l) in enumerate(zip(cov.row, cov.col, strict=True)):
        own = math.log(math.sqrt(float(L[k] @ L[k])))
        psi[e] = own if k == l else math.asinh(L[k, l] / L[k, k])
    return psi


@bare
def fill_L(cov, psi, L):
    """L from psi; 0 elsewhere."""
    for k in range(L.shape[0]):
        for l in range(L.shape[0]):
            L[k, l] = 0.0
    for e in range(psi.size):
        k, l = cov.row[e], cov.col[e]
        if k == l:
            # The diagonal comes last in its row.
            total = 1.0
            for j in range(k):
                total += L[k, j] * L[k, j]
            L[k, k] = math.exp(psi[e]) / math.sqrt(total)
            for j in range(k):
                L[k, j] *= L[k, k]
        else:
            L[k, l] = math.sinh(psi[e])


@bare
def fill_psi(cov, L, psi):
    """Psi from L."""
    for e in range(psi.size):
        k, l = cov.row[e], cov.col[e]
        if k == l:
            total = 0.0
            for j in range(k + 1):
                total += L[k, j] * L[k, j]
            psi[e] = 0.5 * math.log(total)
        else:
            psi[e] = math.asinh(L[k, l] / L[k, k])


@bare
def chain_psi(cov, L, dL, out):
    """Add the gradient with respect to psi, given that with respect to the elements of L."""
    for e in range(cov.row.size):
        k, l = cov.row[e], cov.col[e]
        along = 0.0  # sum_j dL_kj L_kj
        for j in range(k + 1):
            along += dL[k, j] * L[k, j]
        if k == l:
            out[e] += along
        else:
            # t = sinh x: d L_kj / dt = L_kk (j = l) - L_kj L_kl L_kk / s^2, dt / dx = cosh x
            total = 0.0
            for j in range(k + 1):
                total += L[k, j] * L[k, j]
            t = L[k, l] / L[k, k]
            slope = L[k, k] * (dL[k, l] - along * L[k, l] / total)
            out[e] += slope * math.sqrt(1.0 + t * t)


@bare
def row_sd(L, first, k):
    """Standard deviation of effect k: the norm of its row in a block that begins at `first`."""
    total = 0.0
    for l in range(first, k + 1):
        total += L[k, l] * L[k, l]
    return math.sqrt(total)


@bare
def diagonal_power(cov, block, i):
    """Power of L_ii, i from 0, in the density of L, apart from sds and scale matrices."""
    q = cov.block_start[block + 1] - cov.block_start[block]
    if cov.kind[block] == SD_CORRELATION:
        return q - i + 2.0 * (cov.eta[block] - 1.0)
    if cov.kind[block] == INVERSE_WISHART:
        return -1.0 - i - cov.df[block]
    if cov.kind[block] == HUANG_WAND:
        return -i - q - cov.df[block]
    return 0.0


@bare
def sd_power(cov, block):
    """Power of 1 / s_k in the density of a block of sds and correlations, besides its prior."""
    if cov.kind[block] != SD_CORRELATION:
        return 0.0
    q = cov.block_start[block + 1] - cov.block_start[block]
    return q + 2.0 * (cov.eta[block] - 1.0)


@bare
def psi_logdensity(cov, psi, L):
    """Log density of psi, with L filled from psi."""
    value = 0.0
    for e in range(psi.size):
        k, l = cov.row[e], cov.col[e]
        if k == l:
            block = _block_of(cov, k)
            i = k - cov.block_start[block]
            # log L_kk = log s_k - log N_k; the Jacobian of row k has both to the power i + 1.
            power = diagonal_power(cov, block, i)
            log_diagonal = math.log(L[k, k])
            if cov.kind[block] == DIAGONAL:
                value += psi[e]
            else:
                value += power * log_diagonal + (i + 1.0) * log_diagonal
        else:
            t = L[k, l] / L[k, k]
            value += 0.5 * math.log1p(t * t)
    for block in range(cov.kind.size):
        lo, hi = cov.block_start[block], cov.block_start[block + 1]
        value += cov.constant[block]
        if cov.kind[block] == INVERSE_WISHART:
            value += _scale_logdensity(cov, block, L[lo:hi, lo:hi])
        elif cov.kind[block] == HUANG_WAND:
            value += _mixture_logdensity(cov, block, L[lo:hi, lo:hi])
        else:
            power = sd_power(cov, block)
            for k in range(lo, hi):
                s = row_sd(L, lo, k)
                a, b, c = cov.sd_a[k], cov.sd_b[k], cov.sd_c[k]
                value += prior_logpdf(cov.sd_kind[k], a, b, c, s / cov.z_scale[k])
                if power != 0.0:
                    value -= power * math.log(s)
    return value


@kernel
def psi_gradient(cov, psi, L, out):
    """Add d log p(psi) / d psi to out, with L filled from psi."""
    Q = L.shape[0]
    dL = np.zeros((Q, Q))
    for block in range(cov.kind.size):
        lo, hi = cov.block_start[block], cov.block_start[block + 1]
        if cov.kind[block] == INVERSE_WISHART:
            _scale_gradient(cov, block, L[lo:hi, lo:hi], dL[lo:hi, lo:hi])
        elif cov.kind[block] == HUANG_WAND:
            _mixture_gradient(cov, block, L[lo:hi, lo:hi], dL[lo:hi, lo:hi])
        else:
            power = sd_power(cov, block)
            for k in range(lo, hi):
                s, z = row_sd(L, lo, k), cov.z_scale[k]
                a, b, c = cov.sd_a[k], cov.sd_b[k], cov.sd_c[k]
                slope = prior_slope(cov.sd_kind[k], a, b, c, s / z) / z - power / s
                for l in range(lo, k + 1):
                    dL[k, l] += slope * L[k, l] / s
        if cov.kind[block] != DIAGONAL:
            for k in range(lo, hi):
                dL[k, k] += (diagonal_power(cov, block, k - lo) + k - lo + 1.0) / L[k, k]
    chain_psi(cov, L, dL, out)
    for e in range(psi.size):
        k, l = cov.row[e], cov.col[e]
        if k != l:
            out[e] += math.tanh(psi[e])
        elif cov.kind[_block_of(cov, k)] == DIAGONAL:
            out[e] += 1.0


@bare
def _block_of(cov, k):
    """Block of z column k."""
    block = 0
    while cov.block_start[block + 1] <= k:
        block += 1
    return block


@bare
def _standardized_scale(cov, block, L, T):
    """T = L^-1 F, where the scale matrix is F F', column by column."""
    lo, q = cov.block_start[block], L.shape[0]
    for l in range(q):
        for k in range(q):
            T[k, l] = cov.scale[lo + k, lo + l]
        solve_lower(L, T[:, l])


@kernel
def _scale_logdensity(cov, block, L):
    """Minus half the trace of scale Sigma^-1, which is that of T T'."""
    q = L.shape[0]
    T = np.empty((q, q))
    _standardized_scale(cov, block, L, T)
    total = 0.0
    for k in range(q):
        for l in range(k + 1):
            total += T[k, l] * T[k, l]
    return -0.5 * total


@kernel
def _scale_gradient(cov, block, L, dL):
    """Add the gradient of `_scale_logdensity`, the lower triangle of L^-T T T'."""
    q = L.shape[0]
    T, column = np.empty((q, q)), np.empty(q)
    _standardized_scale(cov, block, L, T)
    for j in range(q):
        for k in range(q):
            column[k] = 0.0
            for l in range(min(k, j) + 1):
                column[k] += T[k, l] * T[j, l]
        solve_upper(L, column)
        for k in range(j, q):
            dL[k, j] += column[k]


@bare
def _inverse(L, M):
    """M = L^-1."""
    q = L.shape[0]
    for l in range(q):
        M[:, l] = 0.0
        M[l, l] = 1.0
        solve_lower(L, M[:, l])


@kernel
def _mixture_logdensity(cov, block, L):
    """Sum over k of -(nu + q) / 2 log(nu (Sigma^-1)_kk + 1 / A_k^2) (Huang and Wand 2013)."""
    lo, q, nu = cov.block_start[block], L.shape[0], cov.df[block]
    M = np.empty((q, q))
    _inverse(L, M)
    value = 0.0
    for k in range(q):
        A = cov.scale[lo + k, lo + k]
        precision = 0.0
        for m in range(k, q):
            precision += M[m, k] * M[m, k]
        value -= 0.5 * (nu + q) * math.log(nu * precision + 1.0 / (A * A))
    return value


@kernel
def _mixture_gradient(cov, block, L, dL):
    """Add the gradient of `_mixture_logdensity`: d (Sigma^-1)_kk = -2 (Sigma^-1 dL L^-1)_kk."""
    lo, q, nu = cov.block_start[block], L.shape[0], cov.df[block]
    M, column = np.empty((q, q)), np.empty(q)
    _inverse(L, M)
    for k in range(q):
        A = cov.scale[lo + k, lo + k]
        precision = 0.0
        for m in range(k, q):
            precision += M[m, k] * M[m, k]
        factor = (nu + q) * nu / (nu * precision + 1.0 / (A * A))
        # column = Sigma^-1 e_k = L^-T M e_k
        for m in range(q):
            column[m] = M[m, k]
        solve_upper(L, column)
        for i in range(q):
            for j in range(i + 1):
                dL[i, j] += factor * column[i] * M[j, k]
