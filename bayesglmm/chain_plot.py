"""Traces, ranks and autocorrelations of chains."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .axes import saved
from .diagnostics.autocorrelation import autocorrelation
from .errors import DataError
from .fit_plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .posterior import Posterior

MOST = 12  # parameters that are shown if none are chosen
BINS = 20  # of ranks
LAGS = 40


def chains(
    post: "Posterior", names: str | Sequence[str] | None = None, *, path: str | Path | None = None
) -> "Figure":
    """Plot every draw, how ranks spread over the chains, and autocorrelations.

    Parameters
    ----------
    post : Posterior
    names : str or sequence of str, optional
        Parameters, effects too; if not given the first twelve of the summary.
    path : str or Path, optional
        File that the figure is saved to.

    Raises
    ------
    DataError
        For a name that is no parameter.
    """
    from matplotlib.figure import Figure

    if names is None:
        names = post.names[:MOST]
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise DataError("there are no parameters to plot; leave out names for the first twelve")
    draws = [_draws(post, name) for name in names]
    figure = Figure(figsize=(9.0, 0.95 * len(names) + 0.9), dpi=150)
    panels = figure.subplots(len(names), 3, squeeze=False, width_ratios=[2.2, 1.0, 0.8])
    lags = min(LAGS, post.draws - 1)
    for (left, middle, right), name, own in zip(panels, names, draws, strict=True):
        for chain, values in enumerate(own):
            colour = _colour(chain)
            left.plot(values, lw=0.35, color=colour, alpha=0.8, rasterized=True)
            found = autocorrelation(values[None], range(lags + 1))[0]
            right.plot(found, lw=0.8, color=colour)
        _ranks(middle, own)
        left.margins(x=0.01)
        left.set_ylabel(name, fontsize=7, rotation=0, ha="right", va="center")
        right.axhline(0.0, color="0.6", lw=0.6, zorder=0)
        right.set_ylim(-0.2, 1.05)
        right.set_yticks([0.0, 1.0])
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        for axes in (left, middle, right):
            axes.tick_params(labelsize=6)
            if name != names[-1]:
                axes.set_xticklabels([])
    labels = ("draw", "rank among all draws", "lag")
    for axes, label in zip(panels[-1], labels, strict=True):
        axes.set_xlabel(label, fontsize=8)
    figure.tight_layout(h_pad=0.3)
    return saved(figure, path)


def _draws(post: "Posterior", name: str) -> np.ndarray:
    """Draws (chains, draws) of one parameter."""
    if name in post.names:
        return np.asarray(post.scalar_draws[..., post.names.index(name)])
    if post.run.keep != "summary" and name in post.effect_names:
        return np.asarray(post.effect_draws[..., post.effect_names.index(name)])
    raise DataError(f"there is no parameter {name!r}; there are {', '.join(post.names)}")


def _ranks(axes: "Axes", draws: np.ndarray) -> None:
    """Histograms of ranks, a line for each chain, relative to what is expected."""
    count, n = draws.shape
    ranks = np.argsort(np.argsort(draws, axis=None, kind="stable")).reshape(count, n)
    edges = np.linspace(0, count * n, BINS + 1)
    for chain in range(count):
        counts = np.histogram(ranks[chain], edges)[0] / (n / BINS)
        axes.stairs(counts, edges, baseline=None, color=_colour(chain), lw=0.8)
    axes.set_ylim(0.0, 2.0)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)


def _colour(chain: int) -> str:
    return COLOURS[1 + chain % (len(COLOURS) - 1)]
