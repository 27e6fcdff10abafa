"""The summary of draws: moments, limits and convergence of many quantities at once."""

import math
from collections.abc import Sequence

import numpy as np

from .diagnostics.mcse import mcse_mean
from .diagnostics.rhat import convergence
from .errors import DataError
from .tables import Table

CI_KINDS = ("eti", "hdi")


def summarize(
    names: Sequence[str], draws: np.ndarray, *, ci_prob: float = 0.95, ci_kind: str = "eti"
) -> Table:
    """Summarize draws of several scalars.

    Parameters
    ----------
    names : sequence of str
        Names of the k quantities.
    draws : (chains, draws, k) array
        Their draws.
    ci_prob : float
        Probability inside the limits, in (0, 1).
    ci_kind : {"eti", "hdi"}
        Equal-tailed limits (columns ``2.5%``, ``97.5%``), or the shortest interval
        (``hdi_2.5%``, ``hdi_97.5%``).

    Returns
    -------
    Table
        Columns ``mean sd median``, the limits, ``mcse_mean ess_bulk ess_tail r_hat``.

    Raises
    ------
    DataError
        For a probability outside (0, 1) or an unknown kind of interval.
    """
    moments = described(draws, ci_prob, ci_kind)
    if draws.shape[1] == 0:
        draws = _nothing(draws)
    converged = convergence(draws)
    columns = {
        **moments,
        "mcse_mean": mcse_mean(draws),
        "ess_bulk": converged.ess_bulk,
        "ess_tail": converged.ess_tail,
        "r_hat": converged.r_hat,
    }
    return Table(tuple(names), columns)


def check_limits(ci_prob: float, ci_kind: str) -> None:
    """Refuse limits that cannot be had, before anything is computed; see `summarize`."""
    if not isinstance(ci_prob, int | float | np.number) or not 0 < ci_prob < 1:
        raise DataError(f"ci_prob must lie between 0 and 1; it is {ci_prob!r}")
    if ci_kind not in CI_KINDS:
        raise DataError(f"ci_kind must be one of {', '.join(CI_KINDS)}; it is {ci_kind!r}")


def described(draws: np.ndarray, ci_prob: float, ci_kind: str) -> dict[str, np.ndarray]:
    """Columns ``mean sd median`` and the limits of `summarize`, which says what is raised."""
    check_limits(ci_prob, ci_kind)
    if draws.shape[1] == 0:
        draws = _nothing(draws)
    pooled = np.sort(draws.reshape(-1, draws.shape[-1]), axis=0)
    tail = (1 - ci_prob) / 2
    if ci_kind == "eti":
        low, median, high = _quantiles(pooled, [tail, 0.5, 1 - tail])
        prefix = ""
    else:
        (median,) = _quantiles(pooled, [0.5])
        low, high = shortest_interval(pooled, ci_prob)
        prefix = "hdi_"
    with np.errstate(invalid="ignore"):  # counts beyond all bounds are infinite
        mean, sd = draws.mean(axis=(0, 1)), pooled.std(axis=0, ddof=1)
    return {
        "mean": mean,
        "sd": sd,
        "median": median,
        f"{prefix}{100 * tail:g}%": low,
        f"{prefix}{100 * (1 - tail):g}%": high,
    }


def _quantiles(pooled: np.ndarray, shares: list[float]) -> np.ndarray:
    """Quantiles of columns in ascending order; numpy finds none between two infinite draws."""
    with np.errstate(invalid="ignore"):
        made = np.quantile(pooled, shares, axis=0)
    if np.any(np.isinf(pooled[-1])):
        higher = np.quantile(pooled, shares, axis=0, method="higher")
        made = np.where(np.isnan(made), higher, made)
    return np.asarray(made)


def _nothing(draws: np.ndarray) -> np.ndarray:
    """Of a run that was stopped before sampling began nothing is known."""
    return np.full((draws.shape[0], 1, draws.shape[2]), np.nan)


def shortest_interval(pooled: np.ndarray, probability: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the shortest intervals that hold a share of the draws.

    Parameters
    ----------
    pooled : (n, k) array
        Draws of k quantities, each column in ascending order.
    probability : float
        The share, in (0, 1).

    Returns
    -------
    low, high : (k,) arrays
        The ends: among intervals between draws that lie ``floor(probability n)`` apart, the first
        of least width (Chen and Shao 1999).
    """
    n = pooled.shape[0]
    apart = math.floor(probability * n)
    first = np.argmin(pooled[apart:] - pooled[: n - apart], axis=0)
    column = np.arange(pooled.shape[1])
    return pooled[first, column], pooled[first + apart, column]
