"""Plots of fits: forest of several results, caterpillar of effects."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks, wald
from .axes import logarithmic, saved
from .errors import DataError
from .posterior import Posterior, groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .comparison import Comparison
    from .likelihood_fit import Fit

# Okabe and Ito's colours, which the colour-blind tell apart; black is the posterior's.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vPX"
ROW_HEIGHT = 0.17  # inches that a result takes in a row of the forest
ROW_GAP = 0.30  # inches between rows
MAX_ROWS = 60  # of a forest; more are not readable
CLIP = 6.0  # first result's half widths beyond which limits are cut off and drawn as arrows
NAMED_LEVELS = 60  # levels of a caterpillar that have room for their names
LEVEL_HEIGHT = 0.16  # inches of a level with its name
LINE_LEVELS = 400  # levels above which intervals are drawn as a band
DPI = 150


def forest(
    comparison: "Comparison",
    *,
    scale: str = "value",
    log: bool = False,
    path: str | Path | None = None,
) -> "Figure":
    """Posterior against maximum-likelihood intervals, a row for each parameter.

    Parameters
    ----------
    comparison : Comparison
    scale : {"value", "sd"}
        ``"value"``: the user's scale, each row with an axis of its own. ``"sd"``: distance from the
        first result in its sds, one axis for all rows.
    log : bool
        Whether sds and dispersion have a log axis; only with ``scale="value"``.
    path : str or Path, optional
        File that the figure is saved to.

    Returns
    -------
    Figure
        Thick lines are the central half of a posterior; arrows point to limits far outside.
    """
    from matplotlib.figure import Figure

    if scale not in ("value", "sd"):
        raise DataError(f"scale has to be 'value' or 'sd', not {scale!r}")
    rows = range(len(comparison.rows))
    if not rows:
        raise DataError("there are no rows to plot")
    if len(rows) > MAX_ROWS:
        raise DataError(
            f"a forest of {len(rows)} rows cannot be read; choose with compare(..., rows=...), or "
            "see plot_effects() of a fit"
        )
    results = len(comparison.columns)
    height = ROW_GAP + ROW_HEIGHT * results
    top, bottom = 0.75, 0.6
    if scale == "sd":
        figure = Figure(figsize=(7.5, top + bottom + height * len(rows)), dpi=DPI)
        axes = figure.subplots()
        _standardized(axes, comparison)
    else:
        each = height + 0.22  # the numbers of every row's own axis
        figure = Figure(figsize=(7.5, top + each * len(rows)), dpi=DPI)
        panels = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
        for i, axes in zip(rows, panels, strict=True):
            positive = comparison.kinds[i] in ("sd", "dispersion")
            _row(axes, comparison, i, log and positive)
    handles = [
        _handle(j, isinstance(c.result, Posterior)) for j, c in enumerate(comparison.columns)
    ]
    total = figure.get_size_inches()[1]
    figure.legend(
        handles,
        comparison.methods,
        loc="upper left",
        bbox_to_anchor=(0.02, 1.0 - 0.06 / total),
        ncols=min(results, 5),
        frameon=False,
        fontsize=9,
    )
    low, _ = wald.percentages(comparison.level)
    figure.text(
        0.98,
        1.0 - 0.42 / total,
        f"{100 * comparison.level:g}% intervals",
        ha="right",
        fontsize=8,
        color="0.4",
    )
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 1.0 - 0.5 / total), h_pad=0.4)
    return saved(figure, path)


def _handle(j: int, hollow: bool) -> Any:
    from matplotlib.lines import Line2D

    colour = _colour(j)
    face = "white" if hollow else colour
    return Line2D([], [], color=colour, marker=MARKERS[j % len(MARKERS)], mfc=face, lw=1.4, ms=5)


def _colour(j: int) -> str:
    return COLOURS[j % len(COLOURS)]


def _row(axes: "Axes", comparison: "Comparison", i: int, log: bool) -> None:
    """One parameter on the user's scale."""
    columns = comparison.columns
    kind = comparison.kinds[i]
    lower, upper = _window(comparison, i, log)
    if log:
        axes.set_xscale("log")
        logarithmic(axes.xaxis, lower, upper)
    for j, column in enumerate(columns):
        values = (column.estimate[i], column.lower[i], column.upper[i])
        _interval(axes, j, -float(j), values, (lower, upper), _half(column, comparison.rows[i]))
    axes.set_xlim(lower, upper)
    axes.set_ylim(-len(columns) + 0.3, 0.7)
    if lower < 0.0 < upper and kind in ("fixed", "cor", "u"):
        axes.axvline(0.0, color="0.75", lw=0.8, zorder=0)
    axes.set_yticks([-(len(columns) - 1) / 2.0], [comparison.rows[i]], fontsize=9)
    plain(axes)


def _window(comparison: "Comparison", i: int, log: bool) -> tuple[float, float]:
    """Ends of a row's axis: all limits but those far outside the first result's."""
    first = comparison.columns[0]
    ends = np.array([(c.lower[i], c.upper[i], c.estimate[i]) for c in comparison.columns])
    if np.all(np.isnan(ends)):
        return (0.5, 2.0) if log else (-1.0, 1.0)
    middle, half = first.estimate[i], 0.5 * (first.upper[i] - first.lower[i])
    if np.isnan(middle):
        middle = float(np.nanmedian(ends[:, 2]))
    if not np.isfinite(half) or half <= 0.0:
        finite = ends[np.isfinite(ends)]
        half = float(np.abs(finite - middle).max(initial=1e-9))
    with np.errstate(invalid="ignore"):
        inside = ends[np.abs(ends - middle) <= CLIP * half]
    lower, upper = float(inside.min(initial=middle)), float(inside.max(initial=middle))
    pad = 0.06 * (upper - lower) or 1e-9
    if log:
        positive = inside[inside > 0.0]
        if not positive.size:
            return 0.5, 2.0
        upper = float(positive.max())
        least = 0.3 * first.lower[i] if first.lower[i] > 0.0 else 1e-3 * upper
        return max(float(positive.min()), least) / 1.15, upper * 1.15
    kind = comparison.kinds[i]
    floor = -1.0 if kind == "cor" else 0.0 if kind in ("sd", "dispersion") else -np.inf
    ceiling = 1.0 if kind == "cor" else np.inf
    # Room for the marker of an estimate that lies on the end of its range.
    return max(lower - pad, floor - pad), min(upper + pad, ceiling + pad)


def _half(column: Any, row: str) -> tuple[float, float] | None:
    """Quartiles of a posterior's draws."""
    result = column.result
    if not isinstance(result, Posterior):
        return None
    if row in result.names:
        draws = result.scalar_draws[..., result.names.index(row)]
    elif row in result.effect_names:
        draws = result.effect_draws[..., result.effect_names.index(row)]
    else:
        return None
    low, high = np.percentile(draws, (25.0, 75.0))
    return float(low), float(high)


def _interval(
    axes: "Axes",
    j: int,
    y: float,
    values: tuple[float, float, float],
    window: tuple[float, float],
    half: tuple[float, float] | None = None,
) -> None:
    """Estimate with limits; what leaves the window ends in an arrow there."""
    estimate, low, high = values
    colour = _colour(j)
    if np.isfinite(low) and np.isfinite(high):
        a, b = max(low, window[0]), min(high, window[1])
        axes.plot([a, b], [y, y], color=colour, lw=1.4, solid_capstyle="butt")
        for end, cut, marker in ((a, low < window[0], "<"), (b, high > window[1], ">")):
            if cut:
                axes.plot([end], [y], marker=marker, color=colour, ms=5, clip_on=False)
    if half is not None:
        axes.plot(half, [y, y], color=colour, lw=4.0, solid_capstyle="butt")
    if estimate < window[0]:  # an sd of 0 on a log axis
        axes.plot([window[0]], [y], marker="<", color=colour, ms=5, clip_on=False)
    elif estimate <= window[1]:
        filled = np.isfinite(low)
        axes.plot(
            [estimate],
            [y],
            marker=MARKERS[j % len(MARKERS)],
            ms=5.5,
            color=colour,
            mfc="white" if half is not None or not filled else colour,
            mew=1.2,
            clip_on=False,
            zorder=3,
        )


def _standardized(axes: "Axes", comparison: "Comparison") -> None:
    """All parameters on one axis, in sds of the first result."""
    columns, first = comparison.columns, comparison.columns[0]
    step = len(columns) * ROW_HEIGHT + ROW_GAP
    reach = 1.0
    drawn = []
    for i, row in enumerate(comparison.rows):
        middle, sd = first.estimate[i], first.se[i]
        if not (np.isfinite(sd) and sd > 0.0):
            continue
        for j, column in enumerate(columns):
            y = -i * step - j * ROW_HEIGHT
            values = [
                (v - middle) / sd for v in (column.estimate[i], column.lower[i], column.upper[i])
            ]
            half = _half(column, row)
            drawn.append((j, y, values, half and tuple((h - middle) / sd for h in half)))
            near = [abs(v) for v in values if abs(v) < CLIP]
            reach = max([reach, *near])
    window = (-1.05 * reach, 1.05 * reach)
    for j, y, values, half in drawn:
        _interval(axes, j, y, tuple(values), window, half)
    axes.axvline(0.0, color="0.75", lw=0.8, zorder=0)
    centre = (len(columns) - 1) * ROW_HEIGHT / 2.0
    ticks = [-i * step - centre for i in range(len(comparison.rows))]
    axes.set_yticks(ticks, list(comparison.rows), fontsize=9)
    axes.set_ylim(ticks[-1] - centre - 0.25, centre + 0.1 + ticks[0])
    axes.set_xlim(window)
    unit = "sds" if isinstance(first.result, Posterior) else "standard errors"
    axes.set_xlabel(f"distance from {first.name} in its {unit}", fontsize=9)
    plain(axes)


def effects(
    fit: "Fit | Posterior",
    group: str | None = None,
    *,
    level: float = 0.95,
    path: str | Path | None = None,
    **unknown: Any,
) -> "Figure":
    """Caterpillar plot: effects in ascending order with their intervals.

    Parameters
    ----------
    fit : Fit or Posterior
        Conditional modes of a fit; means and equal-tailed intervals of a posterior.
    group : str, optional
        A factor; the first if not given.
    level : float
        Of the intervals; those of a fit take its estimates for true.
    path : str or Path, optional
        File that the figure is saved to.
    """
    from matplotlib.figure import Figure

    checks.unknown_keywords("plot_effects", unknown, ("group", "level", "path"))
    known = {name: (levels, columns) for name, levels, columns in groups(fit.model.design)}
    drawn = isinstance(fit, Posterior)
    if not known or (not isinstance(fit, Posterior) and fit.method == "glm"):
        raise DataError("there are no random effects")
    group = next(iter(known)) if group is None else group
    if group not in known:
        raise DataError(f"there is no group {group!r}; there are {', '.join(known)}")
    levels, columns = known[group]
    modes, low, high = _intervals(fit, group, level)
    named = len(levels) <= NAMED_LEVELS
    size = (min(3.2 * len(columns) + 1.0, 13.0), max(LEVEL_HEIGHT * len(levels), 2.0) + 1.0)
    if not named:
        size = (size[0], 5.5)
    figure = Figure(figsize=size, dpi=DPI)
    panels = figure.subplots(1, len(columns), squeeze=False)[0]
    for k, (axes, column) in enumerate(zip(panels, columns, strict=True)):
        order = np.argsort(modes[:, k], kind="stable")
        x, left, right = modes[order, k], low[order, k], high[order, k]
        y = np.arange(len(levels))
        clear = (left > 0.0) | (right < 0.0)
        axes.axvline(0.0, color="0.6", lw=0.8, zorder=0)
        if len(levels) > LINE_LEVELS:
            axes.fill_betweenx(y, left, right, color="#56B4E9", alpha=0.45, lw=0)
            axes.plot(x, y, color="black", lw=1.0)
        else:
            width = 1.2 if named else 0.7
            for mask, colour in ((~clear, "0.55"), (clear, "#0072B2")):
                axes.hlines(y[mask], left[mask], right[mask], color=colour, lw=width)
                axes.plot(x[mask], y[mask], "o", color=colour, ms=3.5 if named else 1.8)
        axes.set_title(column, fontsize=10)
        axes.set_ylim(-0.8, len(levels) - 0.2)
        if named:
            axes.set_yticks(y, [levels[i] for i in order], fontsize=7)
        elif k == 0:
            axes.set_ylabel(f"{len(levels):,} levels of {group}, in ascending order", fontsize=9)
        if not named:
            axes.set_yticks([])
        axes.set_xlabel("effect", fontsize=9)
        plain(axes)
    what = "posterior means" if drawn else "conditional modes"
    figure.suptitle(f"Effects of {group}: {what}, {100 * level:g}% intervals", fontsize=11)
    figure.tight_layout()
    return saved(figure, path)


def _intervals(
    result: "Fit | Posterior", group: str, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects (levels, columns) of a group, and the ends of their intervals."""
    if isinstance(result, Posterior):
        draws = np.asarray(result.values["u"][group])
        tail = 0.5 * (1.0 - level)
        low, high = np.quantile(draws, [tail, 1.0 - tail], axis=(0, 1))
        return draws.mean(axis=(0, 1)), low, high
    modes = result.effects[group]
    half = wald.quantile(level, np.full(1, np.inf))[0] * result.effect_sds[group]
    return modes, modes - half, modes + half


def check(path: str | Path) -> None:
    """Refuse a file whose kind no figure can be saved as.

    Raises
    ------
    DataError
        With the kinds that there are.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    suffix = Path(path).suffix
    if suffix and suffix[1:].lower() not in kinds:
        raise DataError(f"a plot is saved as .{', .'.join(kinds)}, not as {str(path)!r}")


def plain(axes: "Axes") -> None:
    """Leave out the lines that say nothing."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
