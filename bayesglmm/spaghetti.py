"""Fitted means of every group along a predictor, at the rows of the data."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .axes import saved
from .coding import Functions
from .columns import Table, level_text
from .errors import DataError
from .expressions import Name
from .grid import POINTS, Grid
from .wording import shown_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .design import Design
    from .posterior import Posterior

PANELS = 25  # groups that have a panel of their own if none are chosen
LINES = 200  # groups whose lines can be told apart
ACROSS = 5
DATA, FITTED, POPULATION = "0.35", "#0072B2", "#D55E00"


def spaghetti(
    post: "Posterior",
    over: str,
    group: str | None = None,
    *,
    levels: Sequence[Any] | None = None,
    panels: bool = False,
    data: Any = None,
    functions: Functions | None = None,
    path: str | Path | None = None,
) -> "Figure":
    """Plot posterior means of the rows' means against a predictor, a line for each group.

    Parameters
    ----------
    post : Posterior
    over : str
        A column of numbers.
    group : str, optional
        A factor; the first if not given.
    levels : sequence, optional
        Which groups; all for lines (evenly chosen if there are more than 200), the first 25 for
        panels.
    panels : bool
        A panel for each group, with its data and 95% bands, instead of lines in one plot.
    data : data frame or mapping, optional
        The data, where the formula uses `over` only inside of functions.
    functions : mapping, optional
        The user's own functions, where the formula has some.
    path : str or Path, optional
        File that the figure is saved to.

    Raises
    ------
    DataError
        If there is no such column, group or level.
    """
    from matplotlib.figure import Figure

    design = post.model.design
    factors = {factor.name: factor for factor in design.factors}
    if not factors:
        raise DataError("there are no groups")
    group = next(iter(factors)) if group is None else group
    if group not in factors:
        raise DataError(f"there is no group {group!r}; there are {', '.join(factors)}")
    factor = factors[group]
    x = _numbers(design, over, data)
    chosen = _chosen(factor.levels, levels, PANELS if panels else LINES, panels, group)
    drawn = np.flatnonzero(np.isin(factor.index, chosen))
    everything = post.predict()
    part = replace(
        everything,
        rows=everything.rows.part(drawn),
        labels=tuple(everything.labels[k] for k in drawn),
    )
    columns = part.table().columns
    low, high = (columns[name] for name in columns if name.endswith("%"))
    reach, x = np.unique(x), x[drawn]
    y = design.response.y
    if design.response.trials is not None:
        y = y / design.response.trials
    y, index = y[drawn], np.asarray(factor.index)[drawn]
    rows = [np.flatnonzero(index == k) for k in chosen]
    rows = [own[np.argsort(x[own], kind="stable")] for own in rows]
    mean = f"mean {design.response.name}"
    if panels:
        across = min(ACROSS, len(chosen))
        down = -(-len(chosen) // across)
        figure = Figure(figsize=(1.9 * across + 0.6, 1.7 * down + 0.6), dpi=150)
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).reshape(-1)
        for axes, own, k in zip(grid, rows, chosen, strict=False):
            axes.plot(x[own], y[own], "o", ms=3.0, mew=0, color=DATA)
            axes.plot(x[own], columns["mean"][own], color=FITTED, lw=1.4)
            axes.fill_between(x[own], low[own], high[own], color=FITTED, alpha=0.2, lw=0)
            axes.set_title(factor.levels[k], fontsize=8, pad=2)
            _plain(axes)
        for axes in grid[len(chosen) :]:
            axes.set_visible(False)
        figure.supxlabel(over, fontsize=9)
        figure.supylabel(f"{design.response.name}: data, {mean} and 95% limits", fontsize=9)
    else:
        figure = Figure(figsize=(6.5, 4.2), dpi=150)
        axes = figure.subplots()
        faint = float(np.clip(8.0 / np.sqrt(len(chosen)), 0.25, 0.9))
        for own in rows:
            axes.plot(x[own], columns["mean"][own], color=FITTED, lw=0.8, alpha=faint)
        if over in Grid(design, functions).variables:
            values = reach if reach.size <= PANELS else np.linspace(reach[0], reach[-1], POINTS)
            (curve,) = post.curve({over: values.tolist()}, functions=functions).predictions
            # Curves are without offset; the rows have theirs, beside which it has to stand.
            middle = float(design.offset.mean())
            curve = replace(curve, rows=curve.rows._replace(offset=np.full(len(values), middle)))
            label = "at effects of 0" + (" and the mean offset" if design.offset.any() else "")
            mean_there = curve.table().columns["mean"]
            axes.plot(values, mean_there, color=POPULATION, lw=2.2, label=label)
            axes.legend(frameon=False, fontsize=8)
        axes.set_xlabel(over, fontsize=9)
        axes.set_ylabel(f"{mean} of each {group}", fontsize=9)
        _plain(axes)
    figure.tight_layout()
    return saved(figure, path)


def _numbers(design: "Design", over: str, data: Any) -> np.ndarray:
    """Values (n,) of a column in the rows of the design."""
    if data is not None:
        table = Table(data)
        column = table.column(over)
        if column.kind != "number":
            raise DataError(f"{over!r} is no column of numbers")
        if design.rows_read and table.size != design.rows_read:
            raise DataError(
                f"data has {table.size} rows, and the model was made of {design.rows_read}: give "
                "the same data"
            )
        return np.asarray(column.values, dtype=float)[design.rows]
    for text in (over, str(Name(over, 0))):  # columns with a space are called by their backticks
        if text in design.columns:
            return np.asarray(design.X[:, design.columns.index(text)])
        for term in design.terms:
            if text in term.names:
                return np.asarray(term.z[:, term.names.index(text)])
    raise DataError(
        f"the model keeps no column of numbers {over!r}; give the data, data=frame, to take it from"
    )


def _chosen(
    there: tuple[str, ...], levels: Sequence[Any] | None, most: int, first: bool, group: str
) -> list[int]:
    if levels is None:
        count = min(most, len(there))
        if first:
            return list(range(count))
        return np.unique(np.linspace(0, len(there) - 1, count).astype(int)).tolist()
    place = {name: k for k, name in enumerate(there)}
    texts = [level_text(level) for level in ([levels] if isinstance(levels, str) else levels)]
    if not texts:
        raise DataError("levels names no group; leave it out for all")
    for text in texts:
        if text not in place:
            raise DataError(f"{group} has no level {text!r}; it has {shown_levels(there)}")
    return [place[text] for text in texts]


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
