"""A picture of ranks: for each cell and sampler, how far their curves are from the diagonal."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from . import sbc_runs
from .sbc_cells import BY_NAME
from .sbc_ranks import ALPHA, DRAWS, band, counts, p_value
from .sbc_runs import Line

COLUMNS = 4
WIDTH, HEIGHT = 3.4, 2.6  # inches of a panel
INSIDE, OUTSIDE = "0.55", ("tab:red", "tab:orange", "tab:purple", "tab:brown")


def draw(lines: Iterable[Line], path: Path) -> None:
    """Draw the first stage: a panel for each cell and sampler, a curve for each quantity.

    The grey band holds the whole curve of a quantity with probability 1 - `ALPHA` if its ranks are
    uniform; curves that leave it are coloured and named.
    """
    from matplotlib.figure import Figure

    from .sbc import names_of

    found = {key: own for key, own in sbc_runs.tables(lines).items() if key[2] == 1}
    count = -(-len(found) // COLUMNS)
    figure = Figure((COLUMNS * WIDTH, count * HEIGHT + 0.5), layout="constrained")
    axes = figure.subplots(count, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    z = np.arange(1, DRAWS + 1) / (DRAWS + 1.0)
    for ax, ((cell, sampler, _), own) in zip(axes, found.items(), strict=False):
        ranks = np.array([line.ranks for line in own if not line.failure])
        low, high = band(len(ranks))
        ax.fill_between(z, low, high, step="mid", color="0.9", lw=0)
        ax.axhline(0.0, color="0.3", lw=0.6)
        outside = iter(OUTSIDE * len(z))
        for k, name in enumerate(names_of(BY_NAME[cell])):
            red = p_value(ranks[:, k]) < ALPHA
            curve = counts(ranks[:, k]) / len(ranks) - z
            style = {"color": next(outside), "label": name} if red else {"color": INSIDE}
            ax.plot(z, curve, lw=1.4 if red else 0.7, zorder=3 if red else 2, **style)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=7, loc="best", frameon=False)
        ax.set_title(f"{cell}\n{sampler}, {len(ranks):,} replicates", fontsize=8)
        ax.tick_params(labelsize=7)
    for ax in axes[len(found) :]:
        ax.set_axis_off()
    figure.supxlabel("rank / 100", fontsize=9)
    figure.supylabel("share of ranks below, minus expected", fontsize=9)
    figure.savefig(path, dpi=110)
