"""Axes of plots: logarithmic ones with numbers that can be read."""

from typing import Any


def logarithmic(axis: Any, lower: float, upper: float) -> None:
    """Label a matplotlib axis, already logarithmic, from `lower` to `upper`, by plain numbers."""
    from matplotlib.ticker import LogLocator

    # Few decades need more numbers than the powers of ten.
    subs = (1, 2, 3, 5, 7) if upper < 10.0 * lower else (1, 2, 5) if upper < 100 * lower else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")
