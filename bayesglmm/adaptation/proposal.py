"""Adaptation of an independence proposal: its centre, scale, blocks and kind, in warm-up only.

The moments of an unmixed chain are worse than those of the fit, so they are weighed by their
effective sample size against the fit's: a chain that does not move changes nothing.
"""

import numpy as np

FIT_WORTH = 20.0  # draws that the fit's moments count for, besides two for each dimension
INFLATE = 1.1  # of variances: too wide a proposal costs a little, too narrow one sticks
POOR = 0.08  # acceptance below which an independence block gives way to a random walk
WALK_TARGET = 0.3  # between the optima of 1 and of many dimensions (Roberts, Gelman, Gilks 1997)
PSI_BLOCK = 5  # covariance parameters moved at once where there are more than SINGLE_PSI
SINGLE_PSI = 4
VAGUE = 0.3  # sd of an element of psi (a log sd, say) above which psi also walks
SINGLE = 30  # elements of theta moved at once
BETA_BLOCK = 25
STAGES = (0.1, 0.2, 0.4, 0.7, 1.0)  # of warm-up, when the proposal is renewed
DISCARD = 3  # the first 1 / DISCARD of what is there is left out of the moments


def boundaries(warmup: int) -> list[int]:
    """Iterations of warm-up after which the proposal is renewed."""
    return sorted({max(1, round(part * warmup)) for part in STAGES}) if warmup > 0 else []


def blocks(psi: int, rest: int) -> list[tuple[int, int]]:
    """Ranges of theta, ordered (psi, others), that move together."""
    if psi <= SINGLE_PSI and psi + rest <= SINGLE:
        return [(0, psi + rest)]
    edges = _split(0, psi, PSI_BLOCK)
    return edges + _split(psi, psi + rest, SINGLE if rest <= SINGLE else BETA_BLOCK)


def walks(sds: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of theta that also walk at random, with z held: psi, where the data say little of it.

    An sd that may be near 0 has a long tail in its logarithm. There an independence proposal is
    rejected for long, and Sigma given u, which the centred moves draw, hardly moves.

    Parameters
    ----------
    sds : ndarray, shape (psi,)
        Of the elements of psi, by the fit.
    """
    return _split(0, sds.size, PSI_BLOCK) if np.any(sds > VAGUE) else []


def _split(low: int, high: int, largest: int) -> list[tuple[int, int]]:
    parts = -(-(high - low) // largest)
    cuts = np.linspace(low, high, parts + 1).round().astype(int) if parts else np.array([low])
    return [(int(a), int(b)) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


def moments(
    history: np.ndarray, center: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centre and covariance of the next proposal.

    Parameters
    ----------
    history : ndarray, shape (n, d)
        Draws of one chain so far.
    center, covariance : ndarray, shapes (d,) and (d, d)
        The fit's.
    """
    recent = history[history.shape[0] // DISCARD :]
    worth = FIT_WORTH + 2.0 * center.size
    size = _effective(recent)
    if size < 2.0:
        return center, INFLATE * covariance
    share = size / (size + worth)
    mean = (1.0 - share) * center + share * recent.mean(axis=0)
    spread = np.cov(recent.T).reshape(covariance.shape)
    return mean, INFLATE * ((1.0 - share) * covariance + share * spread)


def _effective(draws: np.ndarray) -> float:
    """Effective sample size of the slowest coordinate, by its lag-one autocorrelation."""
    n = draws.shape[0]
    if n < 4:
        return 0.0
    x = draws - draws.mean(axis=0)
    variance = (x * x).mean(axis=0)
    if not np.all(variance > 0.0):
        return 0.0
    rho = np.clip((x[1:] * x[:-1]).mean(axis=0) / variance, 0.0, 0.999)
    return float(np.min(n * (1.0 - rho) / (1.0 + rho)))


def triangle(covariance: np.ndarray) -> np.ndarray:
    """Lower Cholesky factor; a matrix that has lost its definiteness is mended on its diagonal."""
    jitter = 0.0
    while True:
        try:
            return np.linalg.cholesky(covariance + jitter * np.diag(np.diag(covariance)))
        except np.linalg.LinAlgError:
            jitter = max(10.0 * jitter, 1e-10)


def tune_step(step: float, rate: float) -> float:
    """Scale of a random walk after a stage with this acceptance."""
    return step * float(np.clip(np.exp(2.0 * (rate - WALK_TARGET)), 0.2, 4.0))
