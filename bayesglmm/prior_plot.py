"""Prior and posterior densities of sds, correlations, the dispersion and the ICC."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import prior_draws
from .axes import saved
from .errors import DataError, PriorError
from .marginal import Values
from .prior_curve import logpdf
from .quantities import Drawn
from .shares import icc, icc_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .posterior import Posterior

MOST = 12  # panels
POINTS = 400  # of a curve
BINS = 50
TALLEST = 1.4  # of a panel, times the posterior's height
DRAWS = 20_000  # from priors that have no formula for a density
POSTERIOR, PRIOR = "#0072B2", "#D55E00"


class Shown(NamedTuple):
    """A parameter: its draws, and its prior, a formula (`prior`) or draws of it."""

    name: str
    draws: np.ndarray
    prior: Any
    from_prior: np.ndarray | None
    low: float
    high: float


def priors(post: "Posterior", *, path: str | Path | None = None) -> "Figure | None":
    """Plot the densities, a panel for each parameter; None if there are no such parameters.

    Priors of single sds and dispersions are drawn by their formulas. Those that have none, sds and
    correlations under an inverse-Wishart prior, correlations of several effects, and intraclass
    correlations, are histograms of draws from the prior; improper ones are left out.

    Parameters
    ----------
    post : Posterior
    path : str or Path, optional
        File that the figure is saved to.
    """
    from matplotlib.figure import Figure

    shown = _shown(post)[:MOST]
    if not shown:
        return None
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(3.0 * across, 2.1 * down + 0.3), dpi=150)
    panels = figure.subplots(down, across, squeeze=False).reshape(-1)
    for axes, each in zip(panels, shown, strict=False):
        _panel(axes, each)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    panels[0].legend(frameon=False, fontsize=7)
    figure.tight_layout()
    return saved(figure, path)


def _panel(axes: "Axes", each: Shown) -> None:
    x = each.draws.reshape(-1)
    heights, *_ = axes.hist(
        x, bins=BINS, density=True, color=POSTERIOR, alpha=0.55, label="posterior"
    )
    low, high = axes.get_xlim()
    low, high = max(low, each.low), min(high, each.high)
    if np.isfinite(each.low) and np.isfinite(each.high):
        low, high = each.low, each.high
    if each.from_prior is not None:
        counts, edges = np.histogram(each.from_prior, BINS, (low, high))
        density = counts / (each.from_prior.size * np.diff(edges))
        axes.stairs(density, edges, color=PRIOR, lw=1.4, label="prior")
    elif each.prior is not None:
        grid = np.linspace(low, high, POINTS)
        with np.errstate(divide="ignore"):
            axes.plot(grid, np.exp(logpdf(each.prior, grid)), color=PRIOR, lw=1.4, label="prior")
    # A prior that piles up in a place must not flatten the posterior.
    axes.set_ylim(0.0, min(axes.get_ylim()[1], TALLEST * float(np.max(heights))))
    axes.set_title(each.name, fontsize=8)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _shown(post: "Posterior") -> list[Shown]:
    model, values = post.model, post.values
    names, drawn = model.names, _drawn(post)
    out = []
    place = pair = 0
    for term, prior in zip(model.design.terms, model.priors.terms, strict=True):
        q = len(term.names)
        for k in range(place, place + q):
            formula = prior.sd[k - place] if prior.sigma is None else None
            own = None if formula is not None or drawn is None else drawn.sd[:, k]
            out.append(Shown(names.sd[k], values["sd"][..., k], formula, own, 0.0, np.inf))
        pairs = q * (q - 1) // 2 if term.correlated else 0
        for k in range(pair, pair + pairs):
            own = None if drawn is None else drawn.cor[:, k]
            out.append(Shown(names.cor[k], values["cor"][..., k], None, own, -1.0, 1.0))
        place, pair = place + q, pair + pairs
    for name in names.dispersion:
        out.append(Shown(name, values[name], model.priors.dispersion, None, 0.0, np.inf))
    return out + _shares(post, drawn)


def _drawn(post: "Posterior") -> Values | None:
    """Draws from the priors, None where one of them is improper."""
    model = post.model
    try:
        made = prior_draws.draw(model, DRAWS, post.run.seed, effects=False)
    except PriorError:
        return None
    name = model.names.dispersion
    phi = made[name[0]][0] if name else np.ones(DRAWS)
    return Values(made["beta"][0], made["sd"][0], made["cor"][0], phi)


def _shares(post: "Posterior", drawn: Values | None) -> list[Shown]:
    """Intraclass correlations, where they exist; of counts they also depend on the coefficients."""
    try:
        found = icc(post)
    except DataError:
        return []
    assert isinstance(found, Drawn)
    few = None if drawn is None else Values(*(x[:: max(1, DRAWS // 2000)] for x in drawn))
    with np.errstate(over="ignore", invalid="ignore"):
        own = None if few is None else icc_of(post.model, few)
    return [
        Shown(name, found.draws[..., k], None, None if own is None else own[:, k], 0.0, 1.0)
        for k, name in enumerate(found.names)
    ]
