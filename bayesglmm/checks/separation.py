"""Separation: a column or a level that predicts the response without error."""

from collections.abc import Iterable, Sequence

import numpy as np

from ..wording import counted
from .findings import COUNTS, PROPORTIONS, Findings, Observed

SHOWN = 4  # levels of a factor that are warned of, each by its counts


def separation(
    observed: Observed,
    numeric: Iterable[tuple[str, np.ndarray]],
    factors: Iterable[tuple[str, np.ndarray, Sequence[str]]],
    findings: Findings,
) -> None:
    """Single columns and factor levels that predict the response without error.

    Parameters
    ----------
    numeric : iterable of (name, values)
        Columns of X other than the dummies of main effects.
    factors : iterable of (name, codes, levels)
        Factors that have a main effect.
    """
    family, name, y, trials, _ = observed
    if family in PROPORTIONS:
        high = y > 0
        low = y < (1.0 if trials is None else trials)
        if not (high.any() and low.any()):
            return
        for column, x in numeric:
            _numeric_separation(column, x, low, high, name, findings)
    elif family in COUNTS:
        high, low = y > 0, y == 0
        if not high.any():
            return
        for column, x in numeric:
            _empty_cells(column, x, high, name, findings)
    else:
        return
    for factor, codes, levels in factors:
        below = np.bincount(codes[low], minlength=len(levels))
        above = np.bincount(codes[high], minlength=len(levels))
        alone = (above == 0) | (below == 0) if family in PROPORTIONS else above == 0
        found = np.flatnonzero(alone).tolist()
        for k in found[:SHOWN]:
            where = codes == k
            findings.warn(_cell(f"{factor} = {levels[k]}", name, low & where, high & where))
        if found[SHOWN:]:
            more = len(found) - SHOWN
            does = "does" if more == 1 else "do"
            findings.warn(f"so {does} {counted(more, 'more level')} of {factor}")


def _numeric_separation(
    column: str, x: np.ndarray, low: np.ndarray, high: np.ndarray, name: str, findings: Findings
) -> None:
    ends = x[low].min(), x[low].max(), x[high].min(), x[high].max()
    if x.min() == x.max() or not (ends[2] >= ends[1] or ends[0] >= ends[3]):
        return
    if ends[2] > ends[1] or ends[0] > ends[3]:
        findings.warn(
            f"{column} separates {name} perfectly: the likelihood has no maximum, and the estimate "
            "depends on the prior"
        )
        return
    values = np.unique(x)
    if values.size > 2:
        findings.warn(
            f"{column} separates {name} but for ties at one value: the estimate depends on the "
            "prior"
        )
        return
    for value in values:
        where = x == value
        if not (low & where).any() or not (high & where).any():
            findings.warn(_cell(f"{column} = {value:g}", name, low & where, high & where))


def _empty_cells(
    column: str, x: np.ndarray, high: np.ndarray, name: str, findings: Findings
) -> None:
    """Values of a two-valued column at which every count is 0."""
    ends = np.array([x.min(), x.max()])
    if ends[0] < ends[1] and np.isin(x, ends).all():
        for value in ends:
            where = x == value
            if not (high & where).any():
                findings.warn(_cell(f"{column} = {value:g}", name, where, high & where))


def _cell(where: str, name: str, low: np.ndarray, high: np.ndarray) -> str:
    rows = int(low.sum())
    have = "has" if rows == 1 else "have"
    return (
        f"where {where}, {counted(rows, 'row')} {have} {name} at its lowest and "
        f"{int((high & ~low).sum()):,} above: that separates {name}, and the estimate depends on "
        "the prior"
    )
