"""Time of the collapsed sampler's steps, by their numbers of operations.

Nanoseconds on the machine where they were measured: what counts is one against another, and that
the same model has the same sampler everywhere. Within a factor of 2 on 22 models from 18 levels
to InstEval's 2,972 and 1,128, where a value of the density takes 40 ms.
"""

from typing import TYPE_CHECKING

import numpy as np

from .conditionals.collapsed_sums import Sums, collect
from .fits.mode import most_connected
from .fits.pattern import Pattern

if TYPE_CHECKING:
    from .model import Model

VALUE = 1000.0  # of a value of the density: proposal, priors, overheads
CLASS, BORDER, SUM = 0.8, 0.1, 0.4  # of a class's matrices; of products by levels, or by sums
CELL, CELLS, PAIR, SQUARE, CUBE = 10.0, 0.8, 2.3, 4.0, 0.15  # of the elimination of the rest
LEVEL = 4.0  # of a level's draw
ROW, FIXED, EFFECT, SWEEP = 6.0, 1.0, 30.0, 12_000.0  # of a sweep of Gibbs sampling
# A value of the density is worth 1.5 sweeps: it leaves .6 effective draws, where sweeps leave .3
# to .6. Both as measured.
WORTH = 1.5
LARGEST = 4000  # connected effects of the rest: their matrices take .1 GB each


def value(sums: Sums, pattern: Pattern) -> float:
    """Time of a value of the density."""
    q, C, b = sums.own.shape[0], sums.levels.size, sums.start.size + 1
    couples = b * (b + 1) / 2
    total = VALUE + CLASS * q * q * (q + 1) * C
    if sums.pairs.shape[0]:
        total += SUM * q * (q + 1) * couples * C
    else:
        total += BORDER * q * (couples + b * q) * sums.member.size
    cells = np.diff(sums.cell).astype(float)
    squares = np.diff(pattern.component).astype(float)
    total += (
        (1.0 + q)
        / 2.0
        * ((CELL + CELLS * b) * cells.sum() + PAIR * (cells * (cells + 1.0)).sum() / 2.0)
    )
    return float(total + (SQUARE * squares**2 + CUBE * squares**3 / 6.0).sum())


def draw(sums: Sums) -> float:
    """Time of a draw of beta and u."""
    q = sums.own.shape[0]
    return LEVEL * q * (q + 1) * sums.member.size


def sweep(model: "Model") -> float:
    """Time of a sweep of Gibbs sampling."""
    data = model.problem.data
    p, n = data.obs.X.shape
    effects = float(sum(data.levels[f] for f in data.factor))
    return SWEEP + EFFECT * effects + n * (ROW * data.factor.size + FIXED * p)


def too_large(model: "Model") -> str:
    """Why the matrices of the collapsed form would not fit; empty if they do."""
    connected = most_connected(model.problem.data)
    if connected <= LARGEST:
        return ""
    return f"{connected:,} connected effects of this one are too many to be integrated out"


def too_dear(model: "Model") -> str:
    """Why Gibbs sampling of a Gaussian model goes further in the same time; empty if not."""
    large = too_large(model)
    if large:
        return large
    sums, pattern = collect(model.problem.data)
    step, gibbs = value(sums, pattern), sweep(model)
    if step <= WORTH * gibbs:
        return ""
    return (
        f"integrating coefficients and effects out would take about {_time(step)} a step, a sweep "
        f"takes {_time(gibbs)}"
    )


def _time(nanoseconds: float) -> str:
    """A time in words, of two digits."""
    number, unit = nanoseconds / 1e3, "us"
    if number >= 1e3:
        number, unit = number / 1e3, "ms"
    return f"{number:.1f} {unit}" if number < 10.0 else f"{number:,.0f} {unit}"
