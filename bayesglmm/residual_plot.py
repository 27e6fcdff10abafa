"""Residuals of fits and posteriors, against fitted values or by group."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .axes import saved
from .errors import DataError
from .fit_plots import plain
from .posterior import Posterior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .likelihood_fit import Fit

DPI = 150
MOST = 60  # groups that have a box each; of more only the means are drawn


def residuals(
    fit: "Fit | Posterior",
    kind: str = "pearson",
    *,
    by: str | None = None,
    path: str | Path | None = None,
) -> "Figure":
    """Residuals against linear predictors, with the mean of each twentieth of the rows.

    Parameters
    ----------
    fit : Fit or Posterior
        At the conditional modes of a fit; at the posterior mean of the linear predictor.
    kind : {"pearson", "deviance", "response", "quantile"}
    by : str, optional
        A factor: the residuals of each of its levels instead.
    path : str or Path, optional
        File that the figure is saved to.
    """
    from matplotlib.figure import Figure

    if by is not None:
        return saved(_by_group(fit, kind, by), path)
    eta, values = fit.fitted("link"), fit.residuals(kind)
    kept = np.isfinite(values)
    eta, values = eta[kept], values[kept]
    figure = Figure(figsize=(6.5, 4.2), dpi=DPI)
    axes = figure.subplots()
    faint = float(np.clip(40.0 / np.sqrt(max(eta.size, 1)), 0.05, 0.7))
    axes.plot(eta, values, "o", ms=3.0, mew=0, color="#0072B2", alpha=faint, rasterized=True)
    parts = np.array_split(np.argsort(eta, kind="stable"), min(20, max(eta.size // 10, 1)))
    means = np.array([(eta[p].mean(), values[p].mean()) for p in parts if p.size])
    axes.plot(means[:, 0], means[:, 1], color="#D55E00", lw=1.8, label="mean of nearby rows")
    axes.axhline(0.0, color="0.6", lw=0.8, zorder=0)
    label = "fitted value" if fit.model.family.link == "identity" else "linear predictor"
    where = "posterior mean of the " if isinstance(fit, Posterior) else ""
    at = "" if where else " at the conditional modes"
    axes.set_xlabel(f"{where}{label}{at}", fontsize=9)
    axes.set_ylabel(f"{kind} residual", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    plain(axes)
    axes.tick_params(axis="y", labelsize=8)
    figure.tight_layout()
    return saved(figure, path)


def _by_group(fit: "Fit | Posterior", kind: str, by: str) -> "Figure":
    """Boxes of the residuals of each level of a factor, in the order of their medians."""
    from matplotlib.figure import Figure

    factors = {factor.name: factor for factor in fit.model.design.factors}
    if by not in factors:
        there = ", ".join(factors) or "no groups"
        raise DataError(f"there is no group {by!r}; there are {there}")
    factor = factors[by]
    values, index = fit.residuals(kind), np.asarray(factor.index)
    kept = np.isfinite(values)
    values, index = values[kept], index[kept]
    order = np.argsort(index, kind="stable")
    cuts = np.searchsorted(index[order], np.arange(1, len(factor.levels)))
    parts = np.split(values[order], cuts)
    middle = np.array([np.median(part) if part.size else np.nan for part in parts])
    ranked = np.argsort(middle, kind="stable")
    ranked = ranked[np.isfinite(middle[ranked])]
    figure = Figure(figsize=(min(3.0 + 0.16 * len(ranked), 12.0), 4.0), dpi=DPI)
    axes = figure.subplots()
    axes.axhline(0.0, color="0.6", lw=0.8, zorder=0)
    if len(ranked) <= MOST:
        axes.boxplot(
            [parts[k] for k in ranked],
            widths=0.6,
            flierprops={"marker": "o", "markersize": 2.0, "markeredgecolor": "0.4"},
            medianprops={"color": "#D55E00"},
            boxprops={"color": "#0072B2"},
            whiskerprops={"color": "#0072B2"},
            capprops={"color": "#0072B2"},
        )
        names = [factor.levels[k] for k in ranked]
        axes.set_xticks(np.arange(1, len(ranked) + 1), names, rotation=90, fontsize=7)
        axes.set_xlabel(by, fontsize=9)
    else:
        means = np.sort([parts[k].mean() for k in ranked])
        axes.plot(means, ".", ms=2.0, color="#0072B2", rasterized=True)
        axes.set_xlabel(f"{len(ranked):,} levels of {by}, by their mean residual", fontsize=9)
    axes.set_ylabel(f"{kind} residual", fontsize=9)
    plain(axes)
    axes.tick_params(axis="y", labelsize=8)
    figure.tight_layout()
    return figure
