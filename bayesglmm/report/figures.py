"""The figures of a report, as images inside the page."""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import chain_plot, fit_plots, prior_plot
from ..posterior import groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..comparison import Comparison
    from ..posterior import Posterior

DPI = 130
COLOURS = 128
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
    from PIL import Image as Pixels

    drawn, out = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, transparent=True)
    # Few colours are all that such figures have, and a third of the bytes.
    fewer = Pixels.open(drawn).quantize(COLOURS, method=Pixels.Quantize.FASTOCTREE)
    fewer.save(out, format="png", optimize=True)
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
    """Traces, ranks and autocorrelations of the main parameters."""
    return image(
        chain_plot.chains(post, post.names[: chain_plot.MOST]),
        "Chains",
        "Left: every draw, a colour for each chain; all should cover the same range without "
        "drifting. Middle: how often each chain has draws of each rank; the lines should be about "
        "level. Right: autocorrelations, which should fall to 0 soon.",
    )


def priors(post: "Posterior") -> Image | None:
    """Posterior and prior densities of sds, correlations, the dispersion and the ICC."""
    figure = prior_plot.priors(post)
    if figure is None:
        return None
    return image(
        figure,
        "Prior and posterior",
        "Where the two agree, the data have said little; where the posterior is narrow in a wide "
        "prior, the prior matters little.",
    )


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
