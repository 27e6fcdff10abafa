"""Adaptation of an independence proposal: its centre, scale, blocks and kind, in warm-up only.

The moments of an unmixed chain are worse than those of the fit, so they are weighed by their
effective sample size against the fit's: a chain that does not move changes nothing.
"""

import numpy as np

FIT_WORTH = 20.0  # draws that the fit's moments count for besides
INFLATE = 1.1  # of variances: too wide a proposal costs a little, too narrow one sticks
POOR = 0.08  # acceptance below which an independence block gives way to a random walk
LONG_RUN = 25  # rejections in a row in warm-up that show a tail which the proposal does not reach
STUCK = 100  # as many that a verdict would not let pass
WALK_TARGET = 0.3  # between the optima of 1 and of many dimensions (Roberts, Gelman, Gilks 1997)
PSI_BLOCK = 5  # covariance parameters moved at once where there are more than SINGLE_PSI
SINGLE_PSI = 4
VAGUE = 0.3  # sd of an element of psi (a log sd, say) above which psi also walks, every sweep
UNSURE, RARELY = 0.12, 4  # sd above which it does so every so many sweeps
SINGLE = 30  # elements of theta moved at once
BETA_BLOCK = 25
STAGES = (0.1, 0.2, 0.4, 0.7, 1.0)  # of warm-up, when the proposal is renewed
MOST_JITTER = 1e3  # of the variances, added to mend a covariance; far above what rounding takes
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


def walks(psi: int, largest: float) -> tuple[list[tuple[int, int]], int]:
    """Ranges of theta that also walk at random, with z held, and every how many sweeps.

    They are psi, where the data say little of it. An sd that may be near 0 has a long tail in its
    logarithm. There an independence proposal is rejected for long, and Sigma given u, which the
    centred moves draw, hardly moves.

    Parameters
    ----------
    psi : int
        Number of its elements.
    largest : float
        Largest of their sds, by the fit.
    """
    if largest > VAGUE:
        return parts(psi), 1
    return (parts(psi), RARELY) if largest > UNSURE else ([], 1)


def parts(psi: int) -> list[tuple[int, int]]:
    """Ranges of psi that walk."""
    return _split(0, psi, PSI_BLOCK)


def _split(low: int, high: int, largest: int) -> list[tuple[int, int]]:
    parts = -(-(high - low) // largest)
    cuts = np.linspace(low, high, parts + 1).round().astype(int) if parts else np.array([low])
    return [(int(a), int(b)) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


def moments(
    history: np.ndarray, center: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centre and covariance of the next proposal.

    They move from the fit's towards the chain's as far as the chain shows that they differ: in
    coordinates where the fit's are 0 and I, what scatters about these as it would by chance is not
    believed. Means and variances shrink one by one (positive-part James and Stein), correlations
    together (Ledoit and Wolf 2004). Moments of a short chain taken as they are would spoil the
    proposal of many parameters.

    Parameters
    ----------
    history : ndarray, shape (n, d)
        Draws of one chain so far.
    center, covariance : ndarray, shapes (d,) and (d, d)
        The fit's.
    """
    recent = history[history.shape[0] // DISCARD :]
    size = _effective(recent)
    if size < 2.0:
        return center, INFLATE * covariance
    scale = triangle(covariance)
    w = np.linalg.solve(scale, (recent - center).T)
    mean, spread = w.mean(axis=1), np.atleast_2d(np.cov(w))
    variance = np.diag(spread)
    trust = size / (size + FIT_WORTH)
    mean = mean * trust * _beyond_chance(mean**2, variance / size)
    change = variance - 1.0
    sd = np.sqrt(1.0 + change * trust * _beyond_chance(change**2, 2.0 * variance**2 / size))
    R = spread / np.sqrt(np.outer(variance, variance))
    off = float((R * R).sum()) - variance.size
    share = trust * _beyond_chance(off, variance.size * (variance.size - 1) / size)
    R = share * R + (1.0 - share) * np.eye(variance.size)
    half = scale * sd
    return center + scale @ mean, INFLATE * half @ R @ half.T


def _beyond_chance(squares, by_chance):
    """Share of squared deviations that is more than what chance makes of them."""
    return np.maximum(0.0, 1.0 - by_chance / np.maximum(squares, 1e-300))


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
    """Lower Cholesky factor; a matrix that has lost its definiteness is mended on its diagonal.

    Raises
    ------
    FloatingPointError
        If it cannot be mended so: numbers that are none, or variances that are not positive.
    """
    variances = np.diag(covariance)
    if np.isfinite(covariance).all() and (variances > 0.0).all():
        jitter = 0.0
        while jitter <= MOST_JITTER:
            try:
                return np.linalg.cholesky(covariance + jitter * np.diag(variances))
            except np.linalg.LinAlgError:
                jitter = max(10.0 * jitter, 1e-10)
    raise FloatingPointError("the covariance of proposals has variances that are not positive")


def tune_step(step: float, rate: float) -> float:
    """Scale of a random walk after a stage with this acceptance."""
    return step * float(np.clip(np.exp(2.0 * (rate - WALK_TARGET)), 0.2, 4.0))
