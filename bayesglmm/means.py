"""Least-squares means: the means of a factor's levels over the reference grid, as SAS's LSMEANS."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from .coding import Functions
from .coefficients import coefficients
from .errors import DataError
from .expressions import names as names_in
from .expressions import parse
from .grid import Grid, Setting
from .quantities import (
    ADJUSTMENTS,
    LINEAR,
    Drawn,
    Estimates,
    Quantities,
    of_coefficients,
    ratio,
    refuse_unknown,
    response,
)

if TYPE_CHECKING:
    from .derived import Derived

SCALES = ("link", "response")
ROUNDING = 1e-12  # of the largest element of the means' rows: less is no difference
_SEPARATOR = re.compile(r"\s*[*:+]\s*(?![^(]*\))")  # outside of brackets


def means(
    result: "Derived",
    of: str | Sequence[str],
    *,
    at: Setting | None = None,
    scale: str = "link",
    pairwise: bool = False,
    exponentiate: bool = False,
    adjust: str = "none",
    functions: Functions | None = None,
    **limits: Any,
) -> Quantities:
    """Means of the linear predictor by level, other predictors averaged over; or differences.

    They are those of a typical group, whose effects are 0, without offset: numbers stand at their
    means, other factors at all levels with equal weights.

    Parameters
    ----------
    result : Fit or Posterior
    of : str or sequence of str
        Factors, ``"treat"`` or ``"treat * week"``; after a bar those within whose levels pairs are
        compared, ``"treat | week"``. A number may stand here too if `at` gives its values.
    at : dict, optional
        Values of predictors: for those of `of` the levels to show, for others one value, or
        several to average over.
    scale : {"link", "response"}
        Show means of the linear predictor, or what the inverse link makes of them.
    pairwise : bool
        Differences of all pairs instead, the first minus the second; on the response scale
        differences of means (of probabilities, say).
    exponentiate : bool
        Show pairs as ratios (odds ratios, rate ratios).
    adjust : {"none", "bonferroni", "holm"}
        For the number of pairs; of a fit only.
    functions : mapping, optional
        The user's own functions, where the formula has some.
    **limits
        ``level=0.95`` of a fit; ``ci_prob=0.95`` and ``ci_kind="eti"`` of a posterior.

    Returns
    -------
    Estimates or Drawn

    Raises
    ------
    DataError
        For predictors or levels that do not exist.
    """
    from .likelihood_fit import Fit
    from .posterior import Posterior

    refuse_unknown(means, result, limits)
    if scale not in SCALES:
        raise DataError(f"scale has to be 'link' or 'response', not {scale!r}")
    if exponentiate and (scale == "response" or not pairwise):
        raise DataError("exponentiate=True needs pairwise=True on the link scale")
    if adjust != "none" and (isinstance(result, Posterior) or not pairwise):
        raise DataError("adjust is for the pairs of a fit: pairwise=True, not of a posterior")
    if adjust not in ADJUSTMENTS:
        raise DataError(f"adjust has to be one of {', '.join(map(repr, ADJUSTMENTS))}")
    grid = Grid(result.model.design, functions)
    shown, within = _wanted(of)
    names, settings, blocks = _cells(grid, shown, within, at or {})
    family = result.model.family
    L = grid.rows(settings)
    made = of_coefficients(
        result,
        f"Means of {' and '.join([*shown, *within])}" + (" (response)" * (scale == "response")),
        names,
        L,
        scale=response(family) if scale == "response" else replace(LINEAR, null=np.nan),
        notes=_notes(grid, settings[0], [*shown, *within]),
        **limits,
    )
    if isinstance(made, Estimates) and isinstance(result, Fit):
        made = replace(made, df=_degrees(grid, [*shown, *within], L, result.df))
    if not pairwise:
        return made
    pairs = [pair for block in blocks for pair in combinations(block, 2)]
    if not pairs:
        raise DataError("there is one level: nothing to compare pairwise")
    sign = "/" if exponentiate else "-"
    labels = [_pair_label(names[i], names[j], sign, len(blocks) > 1) for i, j in pairs]
    D = np.zeros((len(pairs), len(names)))
    for k, (i, j) in enumerate(pairs):
        D[k, i], D[k, j] = 1.0, -1.0
    on_link = ratio(family) if exponentiate else LINEAR
    made = _settled(made) if scale == "response" else made
    if isinstance(made, Drawn):
        return made.difference(labels, D, on_link)
    return made.difference(labels, D, on_link, adjust)


def _degrees(grid: Grid, asked: list[str], L: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Degrees of freedom of the effect of the predictors asked for, for every mean.

    Where they have no term of their own, the least of the coefficients in which the means differ.
    """
    own = {grid.variable(name).name for name in asked}
    term = np.array(
        [
            {name for part in c.parts for name in names_in(parse(part.factor))} == own
            for c in coefficients(grid.design)
        ]
    )
    differing = np.any(np.abs(L - L[0]) > ROUNDING * np.abs(L).max(), axis=0)
    for columns in (term, differing, np.any(L != 0.0, axis=0)):
        if np.any(columns):
            return np.full(len(L), df[columns].min())
    return np.full(len(L), np.inf)


def _wanted(of: str | Sequence[str]) -> tuple[list[str], list[str]]:
    """Predictors whose means are asked for, and those within which pairs are made."""
    if not isinstance(of, str | Sequence):
        raise DataError(f"means are of a factor, like means('treat'), not of {of!r}")
    if not isinstance(of, str):
        shown, within = list(of), []
    else:
        left, _, right = of.partition("|")
        shown, within = (
            [word for word in _SEPARATOR.split(side.strip()) if word] for side in (left, right)
        )
    if not shown:
        raise DataError("means need a factor, like means('treat')")
    return shown, within


def _cells(
    grid: Grid, shown: list[str], within: list[str], at: Setting
) -> tuple[list[str], list[dict[str, tuple[Any, ...]]], list[list[int]]]:
    """Labels and settings of the means, and which of them may be compared."""
    fixed = grid.setting(at)
    variables = [grid.variable(name) for name in (*shown, *within)]
    if len({v.name for v in variables}) < len(variables):
        raise DataError("a predictor is asked for twice")
    choices = []
    for variable in variables:
        values = fixed.pop(variable.name, variable.levels)
        if not values:
            raise DataError(
                f"{variable.name!r} is a number: say where with at={{{variable.name!r}: [...]}}"
            )
        choices.append(values)
    names: list[str] = []
    settings: list[dict[str, tuple[Any, ...]]] = []
    blocks: dict[tuple[Any, ...], list[int]] = {}
    # The first factor varies fastest.
    for reverse in product(*reversed(choices)):
        cell = reverse[::-1]
        parts = [
            f"{v.name}[{value}]" if v.levels else f"{v.name}={value:g}"
            for v, value in zip(variables, cell, strict=True)
        ]
        inner = ":".join(parts[: len(shown)])
        outer = " @ " + ":".join(parts[len(shown) :]) if within else ""
        blocks.setdefault(cell[len(shown) :], []).append(len(names))
        names.append(inner + outer)
        own = {v.name: (value,) for v, value in zip(variables, cell, strict=True)}
        settings.append(fixed | own)
    return names, settings, list(blocks.values())


def _pair_label(first: str, second: str, sign: str, within: bool) -> str:
    if not within:
        return f"{first} {sign} {second}"
    left, _, at = first.rpartition(" @ ")
    right = second.rpartition(" @ ")[0]
    return f"{left} {sign} {right} @ {at}"


def _settled(made: Quantities) -> Quantities:
    """The same quantities with the scale they are shown on as their linear one."""
    if isinstance(made, Drawn):
        return replace(made, linear=made.draws, scale=LINEAR)
    slope = made.scale.slope(made.linear)
    covariance = slope[:, None] * made.covariance * slope
    assert isinstance(made, Estimates)
    return replace(made, linear=made.estimate, covariance=covariance, scale=LINEAR)


def _notes(grid: Grid, setting: dict[str, tuple[Any, ...]], asked: list[str]) -> tuple[str, ...]:
    """What the other predictors stand at."""
    own = {grid.variable(name).name for name in asked}
    lines = []
    for variable in grid.variables.values():
        if variable.name in own:
            continue
        if variable.name in setting:
            values = setting[variable.name]
            shown = [v if isinstance(v, str) else f"{v:g}" for v in values]
            lines.append(f"{variable.name} at {', '.join(shown)}")
        elif variable.levels:
            lines.append(f"{variable.name} averaged over {len(variable.levels)} levels")
        else:
            lines.append(f"{variable.name} at its mean {variable.mean:.4g}")
    if grid.design.offset.any():
        lines.append("offset at 0")
    typical = ("of a typical group: effects at 0",) if grid.design.terms else ()
    return (*typical, "; ".join(lines)) if lines else typical
