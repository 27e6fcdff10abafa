"""Rows that can be used: missing values, weights, offsets."""

from collections.abc import Mapping

import numpy as np

from ..columns import Rows
from ..errors import DataError
from ..wording import counted, first_rows
from .findings import COUNTS, Findings
from .response import refuse

# exp() overflows beyond 709; one intercept cannot bring two rows this far apart into range.
MAX_OFFSET_RANGE = 700.0


def complete_rows(
    masks: Mapping[str, np.ndarray], size: int, missing: str, *, new: bool = False
) -> tuple[Rows, dict[str, int]]:
    """Positions without a missing value (None for all), and how many each column lacks.

    Of `new` rows the message has no `missing`, which only a model takes.

    Raises
    ------
    DataError
        If there are missing values and `missing` is ``"refuse"``, or no row would be left.
    """
    if missing not in ("refuse", "drop"):
        raise DataError(f"missing has to be 'refuse' or 'drop', not {missing!r}")
    if size == 0:
        raise DataError("the data have no rows")
    gone = {name: mask for name, mask in masks.items() if mask.any()}
    if not gone:
        return None, {}
    for name, mask in gone.items():
        if mask.all():
            raise DataError(f"column {name!r} has no usable value: all {size} are missing")
    if missing == "refuse":
        parts = [
            f"{name!r} in {counted(int(mask.sum()), 'row')} "
            f"({first_rows(np.flatnonzero(mask), None)})"
            for name, mask in gone.items()
        ]
        raise DataError(
            f"values are missing: {'; '.join(parts)}. Fill them in, or leave those rows out"
            + ("" if new else ' with missing="drop" (--missing drop)')
        )
    rows = np.flatnonzero(~np.logical_or.reduce(list(gone.values())))
    if rows.size == 0:
        raise DataError(f"every row lacks a value in one of {', '.join(map(repr, gone))}")
    return rows, {name: int(mask.sum()) for name, mask in gone.items()}


def weights(values: np.ndarray, rows: Rows, findings: Findings) -> None:
    """Frequencies: finite, not negative, not all 0."""
    refuse(~np.isfinite(values), "weights have to be finite", "weight", values, rows)
    refuse(values < 0, "weights have to be 0 or more", "weight", values, rows)
    zero = int((values == 0).sum())
    if zero == values.size:
        raise DataError("all weights are 0: there is nothing to learn from")
    if zero:
        effective = counted(values.size - zero, "row")
        add = "adds" if zero == 1 else "add"
        findings.notes.append(
            f"{counted(zero, 'row')} of weight 0 {add} nothing; {effective} count"
        )


def offset(values: np.ndarray, family: str, has_intercept: bool) -> None:
    """Offsets that a log link can bring into range."""
    if family not in COUNTS:
        return
    low, high = float(values.min()), float(values.max())
    if high - low > MAX_OFFSET_RANGE or (not has_intercept and high > MAX_OFFSET_RANGE):
        raise DataError(
            f"offset range [{low:g}, {high:g}] exceeds +-{MAX_OFFSET_RANGE:g}: exp() overflows at "
            "every intercept; an offset is on the log scale, like offset(log(t))"
        )
