"""The figures of a report, as images inside the page."""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import fit_plots
from ..posterior import groups
from ..prior_curve import logpdf
from ..priors import LKJ

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..comparison import Comparison
    from ..posterior import Posterior

DPI = 130
MAX_TRACES = 12  # parameters whose traces are shown
MAX_FOREST = 40  # parameters of the forest; more are in the tables
POINTS = 400  # of a curve
BINS = 50
POSTERIOR, PRIOR = "#0072B2", "#D55E00"


@dataclass(frozen=True)
class Image:
    """A figure as it stands in the page.

    Attributes
    ----------
    title, caption : str
        What is seen, and how to read it.
    source : str
        A ``data:`` address.
    width : int
        In CSS pixels.
    """

    title: str
    caption: str
    source: str
    width: int


def image(figure: "Figure", title: str, caption: str) -> Image:
    """Draw a figure into an image with a transparent background."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, transparent=True, metadata={"Software": None})
    source = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")
    return Image(title, caption, source, round(96 * figure.get_size_inches()[0]))


def forest(comparison: "Comparison") -> Image:
    """Intervals of the main parameters, the fits' beside the posterior's."""
    several = len(comparison.columns) > 1
    beside = " Maximum-likelihood estimates with Wald limits stand below it." if several else ""
    return image(
        comparison.plot(),
        "Estimates",
        f"Posterior means with {100 * comparison.level:g}% limits; the thick line is the central "
        f"half.{beside} Every row has its own scale.",
    )


def traces(post: "Posterior") -> Image:
    """Traces and autocorrelations of the main parameters."""
    from matplotlib.figure import Figure

    names = post.names[:MAX_TRACES]
    draws = post.scalar_draws
    size = (9.0, 0.95 * len(names) + 0.7)
    figure = Figure(figsize=size, dpi=DPI)
    panels = figure.subplots(len(names), 2, squeeze=False, width_ratios=[2.2, 1.0])
    for k, name in enumerate(names):
        left, right = panels[k]
        for chain in range(post.chains):
            colour = fit_plots.COLOURS[1 + chain % (len(fit_plots.COLOURS) - 1)]
            left.plot(draws[chain, :, k], lw=0.35, color=colour, alpha=0.8, rasterized=True)
        _ranks(right, draws[..., k])
        left.margins(x=0.01)
        left.set_ylabel(name, fontsize=7, rotation=0, ha="right", va="center")
        left.tick_params(labelsize=6)
        left.spines[["top", "right"]].set_visible(False)
        if k + 1 < len(names):
            left.set_xticks([])
            right.set_xticks([])
    panels[-1][0].set_xlabel("draw", fontsize=8)
    panels[-1][1].set_xlabel("rank among all draws", fontsize=8)
    figure.tight_layout(h_pad=0.3)
    return image(
        figure,
        "Chains",
        "Left: every draw, a colour for each chain; all should cover the same range without "
        "drifting. Right: how often each chain has draws of each rank; the lines should be about "
        "level.",
    )


def _ranks(axes: "Axes", draws: np.ndarray) -> None:
    """Histograms of ranks, a line for each chain, relative to what is expected."""
    chains, n = draws.shape
    ranks = np.argsort(np.argsort(draws, axis=None, kind="stable")).reshape(chains, n)
    edges = np.linspace(0, chains * n, 21)
    for chain in range(chains):
        colour = fit_plots.COLOURS[1 + chain % (len(fit_plots.COLOURS) - 1)]
        counts = np.histogram(ranks[chain], edges)[0] / (n / 20)
        axes.stairs(counts, edges, baseline=None, color=colour, lw=0.8)
    axes.set_ylim(0.0, 2.0)
    axes.set_yticks([])
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right", "left"]].set_visible(False)


def priors(post: "Posterior") -> Image | None:
    """Posterior and prior densities of sds, correlations and the dispersion."""
    from matplotlib.figure import Figure

    shown = _with_priors(post)[:MAX_TRACES]
    if not shown:
        return None
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(3.0 * across, 2.1 * down + 0.3), dpi=DPI)
    panels = figure.subplots(down, across, squeeze=False).reshape(-1)
    for axes, (name, draws, prior) in zip(panels, shown, strict=False):
        x = draws.reshape(-1)
        axes.hist(x, bins=BINS, density=True, color=POSTERIOR, alpha=0.55, label="posterior")
        low, high = axes.get_xlim()
        grid = np.linspace(-1.0 if isinstance(prior, LKJ) else max(low, 0.0), high, POINTS)
        if isinstance(prior, LKJ):
            grid = np.linspace(-1.0, 1.0, POINTS)
        with np.errstate(divide="ignore"):
            axes.plot(grid, _density(prior, grid, post), color=PRIOR, lw=1.4, label="prior")
        axes.set_title(name, fontsize=8)
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right", "left"]].set_visible(False)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    panels[0].legend(frameon=False, fontsize=7)
    figure.tight_layout()
    return image(
        figure,
        "Prior and posterior",
        "Where the two agree, the data have said little; where the posterior is narrow in a wide "
        "prior, the prior matters little.",
    )


def _with_priors(post: "Posterior") -> list[tuple[str, np.ndarray, Any]]:
    """Names, draws and priors of what has a prior of its own, coefficients apart."""
    names, values, out = post.model.names, post.values, []
    place = pair = 0
    for term, prior in zip(post.model.design.terms, post.model.priors.terms, strict=True):
        q = len(term.names)
        pairs = q * (q - 1) // 2 if term.correlated else 0
        if prior.sigma is None:
            for k, one in enumerate(prior.sd):
                out.append((names.sd[place + k], values["sd"][..., place + k], one))
            if q == 2 and pairs and isinstance(prior.cor, LKJ):
                out.append((names.cor[pair], values["cor"][..., pair], prior.cor))
        place, pair = place + q, pair + pairs
    for name in names.dispersion:
        out.append((name, values[name], post.model.priors.dispersion))
    return out


def _density(prior: Any, x: np.ndarray, post: "Posterior") -> np.ndarray:
    if isinstance(prior, LKJ):  # of two effects: Beta(eta, eta) on (-1, 1)
        from scipy.stats import beta

        return np.asarray(beta(prior.eta, prior.eta).pdf(0.5 * (x + 1.0)) * 0.5)
    return np.exp(logpdf(prior, x))


def effects(post: "Posterior") -> list[Image]:
    """Caterpillar plots, one for each factor whose draws were kept."""
    if post.run.keep == "summary":
        return []
    return [
        image(
            fit_plots.effects(post, name),
            f"Effects of {name}",
            "Posterior means of the effects in ascending order with 95% intervals; those whose "
            "interval leaves out 0 are blue.",
        )
        for name, _, _ in groups(post.model.design)
    ]


def checks(post: "Posterior") -> Image:
    """Residuals against fitted values, and their quantiles."""
    from matplotlib.figure import Figure
    from scipy.special import ndtri

    figure = Figure(figsize=(9.0, 3.4), dpi=DPI)
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1.0])
    eta, values = post.fitted("link"), post.residuals()
    faint = float(np.clip(40.0 / np.sqrt(max(eta.size, 1)), 0.05, 0.7))
    left.plot(eta, values, "o", ms=2.5, mew=0, color=POSTERIOR, alpha=faint, rasterized=True)
    left.axhline(0.0, color="0.6", lw=0.8)
    left.set_xlabel("posterior mean of the linear predictor", fontsize=8)
    left.set_ylabel("quantile residual", fontsize=8)
    ordered = np.sort(values)
    at = ndtri((np.arange(ordered.size) + 0.5) / ordered.size)
    right.plot(at, ordered, "o", ms=2.5, mew=0, color=POSTERIOR, alpha=faint, rasterized=True)
    ends = [min(at[0], ordered[0]), max(at[-1], ordered[-1])]
    right.plot(ends, ends, color=PRIOR, lw=1.0)
    right.set_xlabel("standard normal quantile", fontsize=8)
    right.set_ylabel("quantile residual", fontsize=8)
    for axes in (left, right):
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return image(
        figure,
        "Residuals",
        "Randomized quantile residuals are standard normal where the model is right: no pattern on "
        "the left, points on the line on the right.",
    )
