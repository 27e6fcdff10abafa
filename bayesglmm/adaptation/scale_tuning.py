"""Tuning of random-walk proposals in loops, by the rules that SAS documents for PROC MCMC.

After a loop of iterations, a block whose acceptance lies within TOLERANCE of its target keeps its
proposal c^2 Sigma. Any other gets (SAS/STAT User's Guide, The MCMC Procedure, "Tuning the Proposal
Distribution")

    c <- c Phi^-1(target / 2) / Phi^-1(acceptance / 2),
    Sigma <- w S + (1 - w) Sigma,

with S the covariance of the loop's draws and w = COVARIANCE_WEIGHT. The first relation is how
acceptance depends on c where the posterior is Normal and the dimension large (Roberts, Gelman and
Gilks 1997, whose optimum 2.38 / sqrt(size) is where c starts).
"""

import math

import numpy as np

from ..diagnostics.normal import normal_quantile

TOLERANCE = 0.075  # ACCEPTTOL=
COVARIANCE_WEIGHT = 0.75  # TUNEWT=
FIRST_SCALE = 2.38  # SCALE=
MIN_LOOPS = 2  # MINTUNE=
LARGEST_CHANGE = 10.0  # of a scale in one loop: the formula has no bound as acceptance nears 1
SMALLEST_VARIANCE = 1e-12  # of S, relative to that of Sigma: a chain that stood still says nothing


def first_scale(size: int) -> float:
    """Return the scale that a block of `size` parameters starts with."""
    return FIRST_SCALE / math.sqrt(size)


def target(size: int) -> float:
    """Return the acceptance that a block of `size` parameters should have (TARGACCEPT=)."""
    return 0.45 if size == 1 else 0.35 if size <= 4 else 0.234


def settled(acceptance: np.ndarray, size: int) -> np.ndarray:
    """Whether acceptance lies within its tolerance."""
    return np.abs(acceptance - target(size)) <= TOLERANCE


def next_scale(
    scale: np.ndarray, acceptance: np.ndarray, size: int, proposals: float
) -> np.ndarray:
    """Return scales for the next loop; of acceptances from that many proposals.

    Acceptance of none or all counts as half a proposal less.
    """
    half = 0.5 / max(proposals, 1.0)
    rate = np.clip(acceptance, half, 1.0 - half)
    change = normal_quantile(np.array(0.5 * target(size))) / normal_quantile(0.5 * rate)
    return scale * np.clip(change, 1.0 / LARGEST_CHANGE, LARGEST_CHANGE)


def next_triangle(triangle: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return Cholesky factors (..., size, size) for the next loop, given covariances of draws.

    Where the draws say nothing, or the mean is not positive definite, the old one stays.
    """
    old = triangle @ np.swapaxes(triangle, -1, -2)
    new = COVARIANCE_WEIGHT * seen + (1.0 - COVARIANCE_WEIGHT) * old
    diagonal = np.diagonal(seen, axis1=-2, axis2=-1)
    floor = SMALLEST_VARIANCE * np.diagonal(old, axis1=-2, axis2=-1)
    moved = np.all(np.isfinite(diagonal) & (diagonal > floor), axis=-1)[..., None, None]
    return np.linalg.cholesky(np.where(moved, new, old))
