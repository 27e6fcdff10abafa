"""Are the effects normal? Their quantiles against those of a normal distribution."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .axes import saved
from .errors import DataError
from .marginal import as_fit
from .posterior import Posterior, groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .derived import Derived


def effects(
    result: "Derived", group: str | None = None, *, path: str | Path | None = None
) -> "Figure":
    """Normal quantile plot of the effects of a group, a panel for each column.

    Parameters
    ----------
    result : Fit or Posterior
        Conditional modes of a fit; means of a posterior.
    group : str, optional
        A factor; the first if not given.
    path : str or Path, optional
        File that the figure is saved to.

    Raises
    ------
    DataError
        If there is no such group.

    Notes
    -----
    Means and modes are shrunken towards 0, those of groups with few rows the more. An effect far
    off the line is worth a look; a bend is weak evidence where groups are small (Verbeke and
    Lesaffre 1996, J. Am. Stat. Assoc. 91, 217).
    """
    from matplotlib.figure import Figure
    from scipy.special import ndtri

    known = {name: columns for name, _, columns in groups(result.model.design)}
    if not known:
        raise DataError("there are no random effects")
    group = next(iter(known)) if group is None else group
    if group not in known:
        raise DataError(f"there is no group {group!r}; there are {', '.join(known)}")
    if isinstance(result, Posterior):
        values = np.asarray(result.values["u"][group]).mean(axis=(0, 1))
    else:
        values = as_fit(result).effects[group]
    count = len(known[group])
    figure = Figure(figsize=(3.4 * count + 0.4, 3.4), dpi=150)
    panels = figure.subplots(1, count, squeeze=False)[0]
    for axes, column, own in zip(panels, known[group], values.T, strict=True):
        ordered = np.sort(own)
        at = ndtri((np.arange(ordered.size) + 0.5) / ordered.size)
        axes.plot(at, ordered, "o", ms=3.5, mew=0, color="#0072B2")
        # Through the quartiles, as R's qqline: outliers do not turn it.
        quartiles = np.quantile(ordered, (0.25, 0.75))
        slope = float(np.diff(quartiles)[0] / (2.0 * ndtri(0.75)))
        axes.axline((0.0, float(quartiles.mean())), slope=slope, color="#D55E00", lw=1.0)
        axes.set_title(column, fontsize=10)
        axes.set_xlabel("standard normal quantile", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("effect", fontsize=9)
    figure.suptitle(f"Effects of {group}", fontsize=11)
    figure.tight_layout()
    return saved(figure, path)
