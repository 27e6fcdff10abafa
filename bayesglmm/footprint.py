"""What a run takes of memory, counted before anything is allocated.

It is the largest of three: what arranging the data and fitting take for a while, what the chains
take while they move, and what putting their draws together takes. Counted are numbers of 8 bytes
for each row, each effect and each thread, as measured (`tests/test_keep.py`).
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .model import Model

NUMBER = 8  # bytes
ARRANGING = 11  # numbers a row, while rows are put in order
FITTING = 27  # numbers a row of crossed factors, while their fit is searched
DENSE_FITTED = 4000  # effects that a crossed fit holds squares of, at most; see `sampling`
SQUARES = 4
COPIES = 2  # of the draws: as the sampler makes them, and on the user's scale
SUMMARY = 10  # numbers an effect of a summary, while it is made
STREAMED = 3  # numbers an effect, while a draw goes to the disk
JUDGED_COPIES = 3  # of the block of streamed draws that is judged at a time
MEASURED = 6.5  # numbers an effect that the verdict is made of, while they are put together
MOST_DEPTH = 10  # of trees, by default
AT_A_TIME = 34  # numbers an effect of those that are summed up at a time


class Share(NamedTuple):
    """Numbers that a sampler holds beside the draws."""

    fit: float  # for each effect
    program: float  # for each effect, until the chains have moved
    program_row: float
    effect: float  # in the state of each chain
    row: float
    thread: float  # for each effect, while a thread moves a chain
    thread_row: float


def size(
    model: "Model",
    sampler: str,
    keep: str,
    *,
    chains: int,
    draws: int,
    threads: int,
    had: int = 0,
    untouched: bool = False,
) -> int:
    """Return the bytes that a run takes at its peak, beside the model itself.

    Parameters
    ----------
    model : Model
    sampler, keep : str
        As of `Model.sample`, with a sampler that is not "auto".
    chains, draws, threads : int
    had : int
        Draws of each chain that are in memory already.
    untouched : bool
        Whether to count what is allocated and never written to as well, which takes no memory:
        the rows of NUTS for trees that are deeper than its trees get.
    """
    from .chains import sketch, summarized
    from .effects_summary import PART
    from .posterior import BLOCK_BYTES

    rows, effects = len(model.design.X), count(model)
    depth = MOST_DEPTH if untouched else expected_depth(effects)
    share, several = _share(model, sampler, depth), len(model.design.factors) > 1
    problem = 0 if "problem" in vars(model) else _problem(model)
    resident = problem + share.fit * effects
    resident += chains * (share.effect * effects + share.row * rows)
    others = len(model.names.fixed) + len(model.names.sd) + len(model.names.cor) + 8
    resident += chains * (draws * COPIES + had) * others
    moving = share.program * effects + share.program_row * rows
    moving += threads * (share.thread * effects + share.thread_row * rows)
    gathered = 0.0
    if keep == "all":
        resident += chains * (draws + had) * effects
        columns = max((len(term.names) for term in model.design.terms), default=1)
        gathered = chains * draws * effects * (COPIES - 1 + 1 / columns)
    elif keep == "summary":
        resident += chains * effects * sketch.BYTES / NUMBER
        moving += threads * max(effects, summarized.SCRATCH_BYTES / NUMBER)
        gathered = SUMMARY * effects + AT_A_TIME * min(effects, PART)
    else:
        moving += threads * STREAMED * effects
        judged = min(BLOCK_BYTES / NUMBER, chains * (draws + had) * effects)
        gathered = JUDGED_COPIES * judged + MEASURED * effects
    passing = (problem > 0) * ARRANGING * rows
    if several:
        smaller = effects - max(len(factor.levels) for factor in model.design.factors)
        passing = FITTING * rows + SQUARES * min(smaller, DENSE_FITTED) ** 2
    return int(NUMBER * max(problem + passing, resident + max(moving, gathered)))


def count(model: "Model") -> int:
    """Return the number of effects."""
    design = model.design
    return sum(len(design.factors[term.factor].levels) * len(term.names) for term in design.terms)


def _problem(model: "Model") -> float:
    """Numbers of the arrays that compiled code reads."""
    design = model.design
    columns = sum(len(term.names) for term in design.terms)
    ones = design.has_intercept and np.all(design.weights == 1.0)
    each = design.X.shape[1] + 2 + len(design.factors) / 2  # y and offset; levels are of 4 bytes
    each += (columns if columns > 1 else 0) + (0 if ones else 1)
    return each * len(design.X) + 1.5 * max((len(f.levels) for f in design.factors), default=0)


def expected_depth(effects: int) -> int:
    """Return how deep the trees of NUTS are where the coordinates suit the posterior.

    Its steps are then some 1.5 dim^(-1/4) long, and half a turn is pi.
    """
    return min(MOST_DEPTH, math.ceil(math.log2(math.pi / 1.5 * max(effects, 1) ** 0.25)))


def _share(model: "Model", sampler: str, depth: int) -> Share:
    """Numbers by sampler."""
    q = max((len(term.names) for term in model.design.terms), default=1)
    d = model.design.X.shape[1] + len(model.names.sd) + len(model.names.cor)
    fit = d + 2 + q  # modes, their slopes, factors of their curvature
    if sampler == "gibbs" and len(model.design.factors) > 1:
        return Share(fit, 0, 11, 1, 1, 12, 9)
    if sampler == "gibbs":
        # Beside the fit a guess of modes and factors that is linear in theta; of a chain z, and
        # twice v, the guess and what an effect's group adds to the log density.
        linear = 1 + d + (d + 1) * (q + 1) / 2
        return Share(fit, linear, 0, 5 + 2 * q + 2 / q, 0, 0, 0)
    return {
        "classical": Share(fit, 0, 0, 1, 2, 16, 5),
        "collapsed": Share(q + 2, 0, 0, 0, 0, 1, 0),
        # Five vectors for each doubling and one more, eight for the ends, seven for a gradient.
        "nuts": Share(fit, 0, 0, 6, 0, 5 * (depth + 1) + 15, 0),
        "hmc": Share(fit, 0, 0, 6, 0, 16, 0),
    }[sampler]
