"""Which covariance parameters an estimate has pushed to the edge of what they can be."""

import numpy as np

from ..density import Data
from .optimizer import invert

ZERO_SD = 1e-3  # of the response's spread on the scale of eta: the likelihood is flat below
FAR = 1e4  # a dispersion this many times larger is all but infinite
FLAT = 1e-5  # a log-likelihood that differs by less says nothing of it
ONE = 6.0  # Fisher's z beyond which a correlation is 1 to five digits


def at_boundary(data: Data, psi: np.ndarray, spread: float) -> np.ndarray:
    """Elements of psi at a boundary, shape (m,).

    Parameters
    ----------
    data : Data
    psi : ndarray, shape (m,)
    spread : float
        Of the response on the scale of eta.

    Returns
    -------
    ndarray of bool
        True for the log of an sd that is 0, for the correlations of its effect, which then mean
        nothing, and for a correlation of 1 or -1.
    """
    row, col = data.prior.covariance.row, data.prior.covariance.col
    diagonal = row == col
    sd = np.ones(data.factor.size)
    sd[row[diagonal]] = np.exp(psi[diagonal])
    zero = sd < ZERO_SD * spread
    return np.where(diagonal, zero[row], zero[row] | zero[col] | (np.abs(psi) > ONE))


def far_dispersion(theta: np.ndarray) -> np.ndarray:
    """Theta with the dispersion, its last element, FAR times larger.

    Where the likelihood is no lower there, it grows without bound (counts without overdispersion).
    """
    moved = theta.copy()
    moved[-1] += np.log(FAR)
    return moved


def restricted_inverse(
    hessian: np.ndarray, boundary: np.ndarray, first: int, units: np.ndarray | float = 1.0
) -> tuple[np.ndarray, bool]:
    """Inverse of minus a Hessian without the elements on the boundary, and whether it is definite.

    Parameters
    ----------
    hessian : ndarray, shape (d, d)
    boundary : ndarray of bool, shape (m,)
        Of the elements of theta from `first` on; the rest are not on a boundary.
    first : int
        Where psi begins in theta.
    units : ndarray, shape (d,), or float
        As of `optimizer.invert`.
    """
    inner = np.ones(hessian.shape[0], dtype=bool)
    inner[first : first + boundary.size] = ~boundary
    covariance = np.zeros_like(hessian)
    kept = np.ix_(inner, inner)
    covariance[kept], definite = invert(hessian[kept], np.broadcast_to(units, inner.shape)[inner])
    return covariance, definite
