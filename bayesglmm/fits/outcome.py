"""What every fitter returns, on the internal scale."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished maximization.

    Attributes
    ----------
    method : str
        Name of the objective: ``"laplace"``, ``"aghq"``, ``"reml"`` ...
    theta : ndarray, shape (d,)
        Estimate of (beta, psi, log phi); with `scale` one more element, the log of the residual
        scale of a pseudo-likelihood.
    covariance : ndarray, shape (d, d)
        Of theta: the inverse of minus the Hessian of the objective. Rows and columns of what lies
        on the boundary are 0.
    loglik : float
        Value of the objective; terms that depend on the data only are left to the caller where the
        family left them out.
    converged : bool
        Whether the gradient vanished in the scale of the curvature.
    definite : bool
        Whether minus the Hessian of what is not on the boundary is positive definite.
    gain : float
        What a further Newton step would add to the objective: g' H^-1 g / 2.
    evaluations : int
    modes : ndarray, shape (nv,)
        Standardized effects v at the estimate.
    variances : callable
        Returns the conditional variances of u = L v given theta, shape (nv,).
    boundary : ndarray of bool, shape (m,)
        Elements of psi that the data push to a boundary: an sd to 0, a correlation to 1 or -1.
    restricted : bool
        Whether the objective integrates beta out (REML).
    scale : bool
        Whether theta ends with the log of a residual scale.
    warnings : tuple of str
    nodes : int or None
        Quadrature nodes a dimension.
    endless : bool
        Whether the dispersion grows without bound: the likelihood is flat there, and the rest of
        theta is what it is in the limit.
    unbounded : tuple of str
        Where the likelihood has no maximum, or repeated linearization no end, so that theta is
        where the search was stopped.
    """

    method: str
    theta: np.ndarray
    covariance: np.ndarray
    loglik: float
    converged: bool
    definite: bool
    gain: float
    evaluations: int
    modes: np.ndarray
    variances: Callable[[], np.ndarray]
    boundary: np.ndarray
    restricted: bool = False
    scale: bool = False
    warnings: tuple[str, ...] = ()
    nodes: int | None = None
    endless: bool = False
    unbounded: tuple[str, ...] = ()
