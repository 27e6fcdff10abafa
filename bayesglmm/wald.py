"""Wald tests and limits: estimates, their covariance, and Student's t or the normal."""

import math
from typing import TYPE_CHECKING

import numpy as np

from .tables import Table

if TYPE_CHECKING:
    from .likelihood_fit import Fit

RANK_TOLERANCE = 1e-10  # eigenvalues of a correlation matrix that are less count as 0


def two_sided(statistic: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Two-sided p-values of t statistics; of z where df is infinite."""
    size = np.abs(np.asarray(statistic, dtype=np.float64))
    normal = np.array([math.erfc(x / math.sqrt(2.0)) for x in size.ravel()]).reshape(size.shape)
    if np.all(np.isinf(df)):
        return normal
    from scipy.special import stdtr

    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(df), normal, 2.0 * stdtr(df, -size))


def quantile(level: float, df: np.ndarray) -> np.ndarray:
    """Half widths of limits of the given level, in standard errors."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level has to lie between 0 and 1, not {level!r}")
    if np.all(np.isinf(df)):
        from statistics import NormalDist

        return np.full(np.shape(df), NormalDist().inv_cdf(0.5 + level / 2.0))
    from scipy.special import ndtri, stdtrit

    upper = 0.5 + level / 2.0
    return np.where(np.isinf(df), ndtri(upper), stdtrit(np.where(np.isinf(df), 1.0, df), upper))


def joint(estimate: np.ndarray, covariance: np.ndarray, df: float) -> tuple[float, float, float]:
    """Test that several estimates are all 0.

    Parameters
    ----------
    estimate : ndarray, shape (r,)
    covariance : ndarray, shape (r, r)
        May be singular: redundant rows are counted once.
    df : float
        Denominator degrees of freedom of an F test; inf for a chi-squared test.

    Returns
    -------
    rank : float
        Degrees of freedom of the hypothesis.
    statistic : float
        F, or chi-squared where df is infinite.
    p : float
    """
    from scipy.special import chdtrc, fdtrc

    if not np.all(np.isfinite(covariance)):
        return float(estimate.size), math.nan, math.nan
    length = np.sqrt(np.diag(covariance))
    length[~(length > 0.0)] = 1.0
    values, vectors = np.linalg.eigh(covariance / np.outer(length, length))
    kept = values > estimate.size * RANK_TOLERANCE
    z = (vectors[:, kept].T @ (estimate / length)) / np.sqrt(values[kept])
    rank, total = float(kept.sum()), float(z @ z)
    if rank == 0.0:
        return 0.0, math.nan, math.nan
    if math.isinf(df):
        return rank, total, float(chdtrc(rank, total))
    return rank, total / rank, float(fdtrc(rank, df, total / rank))


def percentages(level: float) -> tuple[str, str]:
    """Names of the columns of two limits: ``2.5%`` and ``97.5%``."""
    tail = 50.0 * (1.0 - level)
    return f"{tail:g}%", f"{100.0 - tail:g}%"


def limits(fit: "Fit", level: float) -> tuple[np.ndarray, np.ndarray]:
    """Wald limits; of sds and dispersion on the log scale, of correlations on Fisher's z.

    There are none, nan, of what has a standard error larger than itself.
    """
    names, x = fit.model.names, fit.estimate
    p = len(names.fixed)
    df = np.full(x.size, np.inf)
    df[:p] = fit.df
    half = quantile(level, df) * fit.se
    lower, upper = x - half, x + half
    cor = np.isin(fit.names, names.cor)
    positive = ~cor
    positive[:p] = False
    with np.errstate(all="ignore"):  # an sd of 0 has no limits: nan
        ratio = np.exp(half[positive] / x[positive])
        lower[positive], upper[positive] = x[positive] / ratio, x[positive] * ratio
        z, width = np.arctanh(x[cor]), half[cor] / (1.0 - x[cor] ** 2)
        lower[cor], upper[cor] = np.tanh(z - width), np.tanh(z + width)
    near = near_zero(fit)
    lower[near], upper[near] = np.nan, np.nan
    return lower, upper


def near_zero(fit: "Fit") -> np.ndarray:
    """Sds and dispersion whose limits on the log scale would be absurd, a mask of the rows."""
    near = ~np.isin(fit.names, (*fit.model.names.fixed, *fit.model.names.cor))
    with np.errstate(invalid="ignore"):
        return np.asarray(near & (fit.se > fit.estimate))


def correlation(covariance: np.ndarray) -> np.ndarray:
    """Correlation matrix of a covariance matrix."""
    sd = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(sd, sd))


def variances(fit: "Fit") -> Table:
    """Variances and covariances of the effects, and of the residual, with standard errors.

    Rows ``var(x|g)`` and ``cov(x,y|g)`` in SAS's order of a lower triangle (UN(1,1), UN(2,1) ...);
    standard errors by the delta method from those of sds and correlations.
    """
    model = fit.model
    place = {name: i for i, name in enumerate(fit.names)}
    rows, values, slopes = [], [], []

    def add(name: str, value: float, parts: dict[str, float]) -> None:
        slope = np.zeros(len(fit.names))
        for part, derivative in parts.items():
            slope[place[part]] += derivative
        rows.append(name)
        values.append(value)
        slopes.append(slope)

    terms = model.design.terms if fit.method != "glm" else ()
    for term in terms:
        group = model.design.factors[term.factor].name
        for k, name in enumerate(term.names):
            own = f"sd({name}|{group})"
            s = fit.estimate[place[own]]
            for other in term.names[:k] if term.correlated else ():
                cor, before = f"cor({other},{name}|{group})", f"sd({other}|{group})"
                r, t = fit.estimate[place[cor]], fit.estimate[place[before]]
                add(
                    f"cov({other},{name}|{group})",
                    r * s * t,
                    {cor: s * t, own: r * t, before: r * s},
                )
            add(f"var({name}|{group})", s * s, {own: 2.0 * s})
    for name in model.names.dispersion:
        if name == "sigma":
            s = fit.estimate[place[name]]
            add("var(residual)", s * s, {name: 2.0 * s})
    if fit.outcome.scale:
        add("scale", fit.estimate[-1], {fit.names[-1]: 1.0})
    jacobian = np.array(slopes).reshape(len(rows), len(fit.names))
    known = np.nan_to_num(fit.covariance)
    se = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, known, jacobian))
    lost = (jacobian != 0.0) @ np.isnan(fit.se) | np.isnan(values) | (np.array(values) == 0.0)
    return Table(tuple(rows), {"estimate": np.array(values), "se": np.where(lost, np.nan, se)})
