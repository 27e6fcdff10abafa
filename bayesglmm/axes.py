"""What plots share: curves with bands, logarithmic axes that can be read, saved figures."""

from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError


def curve(
    ax: Any,
    x: np.ndarray,
    y: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    label: str,
    levels: Any,
) -> None:
    """Draw a line with its band, or, along the levels of a factor, points with their limits."""
    if levels:
        ax.errorbar(x, y, yerr=[y - low, high - y], fmt="o", capsize=3, label=label)
    else:
        (line,) = ax.plot(x, y, label=label)
        ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)


def saved(figure: Any, path: str | Path | None) -> Any:
    """Return a figure, or axes, whose figure is saved if there is a path.

    Raises
    ------
    DataError
        For an ending of the file's name that no format has.
    """
    if path is not None:
        whole = getattr(figure, "figure", figure)
        known = whole.canvas.get_supported_filetypes()
        ending = Path(path).suffix.lower().removeprefix(".")
        if ending and ending not in known:
            raise DataError(
                f"{path}: plots are saved as {', '.join(sorted(known))}, not {ending!r}"
            )
        whole.savefig(path)
    return figure


def logarithmic(axis: Any, lower: float, upper: float) -> None:
    """Label a matplotlib axis, already logarithmic, from `lower` to `upper`, by plain numbers."""
    from matplotlib.ticker import LogLocator

    # Few decades need more numbers than the powers of ten.
    subs = (1, 2, 3, 5, 7) if upper < 10.0 * lower else (1, 2, 5) if upper < 100 * lower else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")
