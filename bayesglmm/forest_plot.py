"""Forest plots of quantities: contrasts, means, odds ratios, with their limits."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .axes import logarithmic, saved
from .errors import DataError
from .quantities import Drawn

if TYPE_CHECKING:
    from .quantities import Quantities

MOST = 80  # rows that can be read
HEIGHT = 0.3  # inches a row


def forest(quantities: "Quantities", ax: Any = None, *, path: str | Path | None = None) -> Any:
    """Plot a row for each quantity: estimate or posterior median, with limits.

    Ratios have a logarithmic axis. A posterior's thick line is its central half.

    Parameters
    ----------
    quantities : Estimates or Drawn
    ax : matplotlib axes, optional
    path : str or Path, optional
        File that the figure is saved to.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    DataError
        For more rows than can be read.
    """
    names = quantities.names
    if not 0 < len(names) <= MOST:
        raise DataError(f"a forest has 1 to {MOST} rows, not {len(names)}")
    if ax is None:
        from matplotlib.figure import Figure

        size = (6.5, HEIGHT * len(names) + 1.1)
        ax = Figure(figsize=size, dpi=150, layout="constrained").subplots()
    columns = quantities.table().columns
    middle = columns["median" if "median" in columns else "estimate"]
    low, high = (columns[name] for name in columns if name.endswith("%"))
    y = -np.arange(len(names), dtype=float)
    ax.hlines(y, low, high, color="#0072B2", lw=1.4)
    if isinstance(quantities, Drawn):
        quarter, three = np.quantile(quantities.draws, (0.25, 0.75), axis=(0, 1))
        ax.hlines(y, quarter, three, color="#0072B2", lw=4.0)
    ax.plot(middle, y, "o", ms=5.0, color="#0072B2", mfc="white", mew=1.3)
    null = quantities.scale.null
    ratios = bool(quantities.scale.name) and null == 1.0
    if ratios:
        ax.set_xscale("log")
        reach = np.concatenate([low, high])
        reach = reach[np.isfinite(reach) & (reach > 0.0)]
        if reach.size:
            logarithmic(ax.xaxis, float(reach.min()), float(reach.max()))
    if np.isfinite(null):
        ax.axvline(null, color="0.6", lw=0.8, ls="--", zorder=0)
    ax.set_yticks(y, names, fontsize=9)
    ax.set_ylim(y[-1] - 0.6, 0.6)
    prob = quantities.ci_prob if isinstance(quantities, Drawn) else quantities.level
    what = quantities.scale.name or "value"
    ax.set_xlabel(f"{what}, {100 * prob:g}% limits", fontsize=9)
    ax.set_title(quantities.title, fontsize=10)
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return saved(ax, path)
