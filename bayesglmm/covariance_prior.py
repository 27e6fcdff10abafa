"""Draws from the priors of covariances, and what a prior of Sigma implies for sds and correlations.

Plain numpy: prior predictive checks and printed models use it, samplers do not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import priors
from .covariance import DIAGONAL, HUANG_WAND, INVERSE_WISHART, Covariance
from .priors import HuangWand, InverseWishart

Matrix = NDArray[np.float64]

PROBABILITIES = (0.025, 0.5, 0.975)
SIMULATED = 20_000  # draws behind an implied correlation: its limits are then good to 0.01
SEED = 20130801  # fixed, so that a model prints the same every time


def draw_sigma(cov: Covariance, rng: np.random.Generator) -> Matrix:
    """Draw the covariance matrix of all effects from its prior, on the scale inside.

    Parameters
    ----------
    cov : Covariance
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (Q, Q)
        0 between terms.

    Raises
    ------
    PriorError
        If the prior of an sd is improper.
    """
    total = cov.z_scale.size
    sigma = np.zeros((total, total))
    for block in range(cov.kind.size):
        own = slice(int(cov.block_start[block]), int(cov.block_start[block + 1]))
        if cov.kind[block] == INVERSE_WISHART:
            sigma[own, own] = draw_inverse_wishart(cov.df[block], cov.scale[own, own], rng)
        elif cov.kind[block] == HUANG_WAND:
            sigma[own, own] = draw_huang_wand(cov.df[block], np.diag(cov.scale[own, own]), rng)
        else:
            sd = cov.z_scale[own] * [
                priors.draw(int(cov.sd_kind[k]), cov.sd_a[k], cov.sd_b[k], cov.sd_c[k], rng)
                for k in range(own.start, own.stop)
            ]
            size = own.stop - own.start
            alone = cov.kind[block] == DIAGONAL
            R = np.eye(size) if alone else draw_correlation(size, float(cov.eta[block]), rng)
            sigma[own, own] = sd[:, None] * R * sd
    return sigma


def draw_correlation(q: int, eta: float, rng: np.random.Generator) -> Matrix:
    """Draw from LKJ(eta) by partial correlations (Lewandowski et al. 2009, C-vine)."""
    L = np.zeros((q, q))
    L[0, 0] = 1.0
    for k in range(1, q):
        rest = 1.0
        for l in range(k):
            a = eta + 0.5 * (q - 2 - l)
            partial = 2.0 * rng.beta(a, a) - 1.0
            L[k, l] = partial * np.sqrt(rest)
            rest *= 1.0 - partial * partial
        L[k, k] = np.sqrt(rest)
    return L @ L.T


def draw_inverse_wishart(df: float, factor: Matrix, rng: np.random.Generator) -> Matrix:
    """Draw from the inverse-Wishart of scale F F' by Bartlett's decomposition.

    Parameters
    ----------
    df : float
    factor : ndarray, shape (..., q, q)
        F, lower triangular; one draw for each.
    rng : numpy.random.Generator
    """
    q = factor.shape[-1]
    # Sigma^-1 = F^-T A A' F^-1, A lower triangular, so Sigma = T T' with T = F A^-T.
    A = np.tril(rng.standard_normal(factor.shape), -1)
    diagonal = np.arange(q)
    A[..., diagonal, diagonal] = np.sqrt(rng.chisquare(df - diagonal, factor.shape[:-1]))
    T = np.swapaxes(np.linalg.solve(A, np.swapaxes(factor, -1, -2)), -1, -2)
    return T @ np.swapaxes(T, -1, -2)


def draw_huang_wand(nu: float, scales: Matrix, rng: np.random.Generator) -> Matrix:
    """Draw from Huang and Wand's mixture of inverse-Wisharts with half-t(nu, scales) sds.

    Parameters
    ----------
    nu : float
    scales : ndarray, shape (..., q)
        One draw for each row of them.
    rng : numpy.random.Generator
    """
    q = scales.shape[-1]
    roots = np.sqrt(2.0 * nu * rng.gamma(0.5, 1.0, scales.shape)) * scales
    return draw_inverse_wishart(nu + q - 1.0, roots[..., None] * np.eye(q), rng)


def implied(
    prior: InverseWishart | HuangWand, size: int, probabilities: tuple[float, ...] = PROBABILITIES
) -> tuple[Matrix, Matrix]:
    """Quantiles of the sds and correlations that a prior of Sigma implies.

    Sds in closed form (square root of inverse-gamma((df - q + 1) / 2, S_kk / 2), or half-t),
    correlations by simulation with a fixed seed.

    Returns
    -------
    sd : ndarray, shape (size, len(probabilities))
    cor : ndarray, shape (size * (size - 1) / 2, len(probabilities))
        In the order (2,1), (3,1), (3,2), ...
    """
    from scipy.special import gammainccinv, stdtrit

    rng = np.random.default_rng(SEED)
    levels = np.array(probabilities)
    if isinstance(prior, InverseWishart):
        prior = prior.for_size(size, "the term")
        S = np.array(prior.scale)
        half = 0.5 * (prior.df - size + 1.0)
        sd = np.sqrt(0.5 * np.diag(S)[:, None] / gammainccinv(half, levels))
        factors = np.broadcast_to(np.linalg.cholesky(S), (SIMULATED, size, size))
        sigma = draw_inverse_wishart(prior.df, factors, rng)
    else:
        prior = prior.for_size(size, "the term")
        scales = np.array(prior.scale)
        sd = scales[:, None] * stdtrit(prior.df, 0.5 * (1.0 + levels))
        sigma = draw_huang_wand(prior.df, np.broadcast_to(scales, (SIMULATED, size)), rng)
    k, l = np.tril_indices(size, -1)
    cor = sigma[:, k, l] / np.sqrt(sigma[:, k, k] * sigma[:, l, l])
    return sd, np.quantile(cor, levels, axis=0).T


def implied_lines(prior: Any, names: tuple[str, ...]) -> list[str]:
    """Say what a prior of Sigma implies: median and 95% interval of sds and correlations."""
    sd, cor = implied(prior, len(names))
    lines = [
        f"implies sd({name}): median {middle:.3g}, 95% in [{low:.3g}, {high:.3g}]"
        for name, (low, middle, high) in zip(names, sd, strict=True)
    ]
    pairs = [(k, l) for k in range(len(names)) for l in range(k)]
    for (k, l), (low, middle, high) in zip(pairs, cor, strict=True):
        # The order of names that tables use: the earlier column first.
        lines.append(
            f"implies cor({names[l]},{names[k]}): median {middle:.2f}, "
            f"95% in [{low:.2f}, {high:.2f}]"
        )
    return lines
