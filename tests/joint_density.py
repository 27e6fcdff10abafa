"""An independent log density of the models of `joint_crossed`: scipy's on the user's scale."""

import math
from collections.abc import Iterator
from typing import Any

import joint_crossed
import numpy as np
from joint_crossed import CrossedCase, Effects
from scipy import stats


def correlations(x: np.ndarray) -> np.ndarray:
    """R of angles x (q, q), below the diagonal: rows (sinh x, 1) of length 1; x may be complex."""
    rows = np.tril(np.sinh(x), -1) + np.eye(len(x))
    rows = rows / np.sqrt((rows**2).sum(axis=1))[:, None]
    return rows @ rows.T


def log_slope_of_correlations(R: np.ndarray) -> float:
    """Log |dR / dx|, by complex steps."""
    q = len(R)
    below = np.tril_indices(q, -1)
    if q == 1:
        return 0.0
    L = np.linalg.cholesky(R)
    x = np.arcsinh(np.tril(L, -1) / np.diag(L)[:, None])
    slopes = []
    for k, l in zip(*below, strict=True):
        step = np.zeros((q, q), dtype=complex)
        step[k, l] = 1e-30j
        slopes.append(correlations(x + step)[below].imag / 1e-30)
    return float(np.linalg.slogdet(np.array(slopes))[1])


def covariance_of(term: Effects, sd: np.ndarray, cor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R and Sigma of a term."""
    R = np.eye(term.q)
    if term.correlated:
        k, l = np.tril_indices(term.q, -1)
        R[k, l] = R[l, k] = cor
    return R, sd[:, None] * R * sd


def log_of_sigma(sd: np.ndarray, R: np.ndarray) -> float:
    """Log |d Sigma / d (log sds, angles)|."""
    q = len(sd)
    return q * math.log(2.0) + (q + 1) * np.log(sd).sum() + log_slope_of_correlations(R)


def log_prior_of_term(term: Effects, sd: np.ndarray, R: np.ndarray, sigma: np.ndarray) -> float:
    """Log prior of log sds and angles."""
    if term.wishart is not None:
        return stats.invwishart(*term.wishart).logpdf(sigma) + log_of_sigma(sd, R)
    if term.huang is not None:
        # Huang and Wand (2013), equation 4, up to a constant.
        scales, nu = np.array(term.huang[0]), term.huang[1]
        precision = np.diag(np.linalg.inv(sigma))
        value = -0.5 * (nu + 2.0 * term.q) * np.linalg.slogdet(sigma)[1]
        value -= 0.5 * (nu + term.q) * np.log(nu * precision + scales**-2.0).sum()
        return value + log_of_sigma(sd, R)
    if term.gamma is not None:
        a, b = term.gamma
        value = (stats.invgamma.logpdf(sd**2, a, scale=b) + np.log(2.0 * sd)).sum()
    elif term.df:
        value = stats.t.logpdf(sd, term.df, scale=term.sd).sum()
    else:
        value = stats.halfnorm.logpdf(sd, scale=term.sd).sum()
    if term.correlated:
        value += (term.eta - 1.0) * np.linalg.slogdet(R)[1] + log_slope_of_correlations(R)
    return value + np.log(sd).sum()


def log_prior_of_dispersion(case: CrossedCase, phi: float) -> float:
    """Log prior of the log dispersion."""
    if case.sigma:
        a, b = case.sigma
        return stats.invgamma.logpdf(phi**2, a, scale=b) + 2.0 * math.log(phi)
    a, rate = case.root
    return stats.gamma.logpdf(phi**-0.5, a, scale=1.0 / rate) - 0.5 * math.log(phi)


class Density:
    """Log density of (beta, log sds, angles, log dispersion, effects) and its parts.

    Parameters
    ----------
    y : ndarray
        Responses, rows as in the frame.
    """

    def __init__(self, case: CrossedCase, model: Any, y: np.ndarray) -> None:
        self.case, self.model, self.y = case, model, y

    def values(self, theta: np.ndarray, u: np.ndarray) -> dict[str, Any]:
        """What inside is theta and u, on the user's scale."""
        found = self.model.to_user(theta[None], u[None])
        found["u"] = {
            term.factor: joint_crossed.by_column(
                self.case, term, self.model, found["u"][self.case.group(term)]
            )
            for term in self.case.effects
        }
        return found

    def terms(self, values: dict[str, Any]) -> Iterator[tuple[Effects, np.ndarray, np.ndarray]]:
        """Each term with its sds and its R."""
        place = at = 0
        for term in self.case.effects:
            sd = values["sd"][0, place : place + term.q]
            size = term.q * (term.q - 1) // 2 if term.correlated else 0
            yield term, sd, covariance_of(term, sd, values["cor"][0, at : at + size])[0]
            place, at = place + term.q, at + size

    def of_beta(self, beta: np.ndarray) -> float:
        mean, scale = np.array(self.case.beta).T
        if self.case.laplace:
            return stats.laplace.logpdf(beta, mean, scale).sum()
        if self.case.beta_df:
            return stats.t.logpdf(beta, self.case.beta_df, mean, scale).sum()
        return stats.norm.logpdf(beta, mean, scale).sum()

    def of_scales(self, values: dict[str, Any]) -> float:
        """Prior of all sds and angles, and of the dispersion."""
        total = 0.0
        for term, sd, R in self.terms(values):
            total += log_prior_of_term(term, sd, R, sd[:, None] * R * sd)
        if self.case.dispersion:
            total += log_prior_of_dispersion(self.case, float(values[self.case.dispersion][0]))
        return total

    def __call__(self, theta: np.ndarray, u: np.ndarray) -> float:
        values = self.values(theta, u)
        phi = values[self.case.dispersion][0] if self.case.dispersion else 1.0
        total = self.case.loglik(self.y, self.case.eta_of(values)[0], phi)
        total += self.of_beta(values["beta"][0]) + self.of_scales(values)
        for term, sd, R in self.terms(values):
            law = stats.multivariate_normal(cov=sd[:, None] * R * sd)
            total += np.sum(law.logpdf(values["u"][term.factor][0]))
        return float(total)
