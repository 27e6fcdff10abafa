"""A table of numbers: named rows, named columns, as text or as a data frame."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    import pandas

WHOLE = frozenset({"ess_bulk", "ess_tail"})  # printed without decimals
RATIOS = frozenset({"r_hat", "t", "z", "F", "chi2"})  # printed with three decimals
PROBABILITIES = frozenset({"p", "P(>0)", "P(>1)", "share"})
DEGREES = frozenset({"df", "num_df", "den_df"})
MAX_DECIMALS = 8  # smaller spreads are printed in scientific notation
ERROR_DIGITS = 2  # the spread of a row is printed with three significant digits


@dataclass(frozen=True)
class Table:
    """Named rows and columns of float64.

    Attributes
    ----------
    rows : tuple of str
        Names of the rows, unique.
    columns : mapping of str to (rows,) array
        One array a column, in the order of printing. ``sd``, or else ``se``, decides how many
        decimals a row is printed with; three where there is neither.
    """

    rows: tuple[str, ...]
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Iterable[str]) -> "Table":
        """Return the table of the named rows, in the order given.

        Raises
        ------
        DataError
            For a name that no row has, with the close ones.
        """
        position = {name: i for i, name in enumerate(self.rows)}
        names = (rows,) if isinstance(rows, str) else tuple(rows)
        for name in names:
            if name not in position:
                close = get_close_matches(str(name), self.rows, n=3)
                hint = "did you mean" if close else "the rows are"
                shown = ", ".join(map(repr, close or self.rows))
                raise DataError(f"there is no row {name!r}; {hint} {shown}")
        index = np.array([position[name] for name in names], dtype=np.int64)
        columns = {name: values[index] for name, values in self.columns.items()}
        return Table(names, columns)

    def select(self, columns: Iterable[str]) -> "Table":
        """Return the table of the named columns, in the order they have here."""
        wanted = set(columns)
        return Table(self.rows, {n: x for n, x in self.columns.items() if n in wanted})

    def frame(self) -> "pandas.DataFrame":
        """Return the table as a pandas DataFrame, the rows' names as its index."""
        import pandas

        return pandas.DataFrame(dict(self.columns), index=list(self.rows))

    def records(self) -> list[dict[str, Any]]:
        """Return one dict a row, for JSON: ``name`` and the columns, what is not finite as None."""
        return [
            {
                "name": name,
                **{
                    column: float(values[i]) if math.isfinite(values[i]) else None
                    for column, values in self.columns.items()
                },
            }
            for i, name in enumerate(self.rows)
        ]

    def cells(self) -> list[list[str]]:
        """The texts that are printed: the names of the columns first, then one list a row."""
        spread = self.columns.get("sd", self.columns.get("se", np.zeros(len(self))))
        made = [["", *self.columns]]
        for i, name in enumerate(self.rows):
            decimals = _decimals(float(spread[i]))
            made.append([name, *(_cell(c, float(v[i]), decimals) for c, v in self.columns.items())])
        return made

    def __str__(self) -> str:
        cells = self.cells()
        widths = [max(len(row[j]) for row in cells) for j in range(len(cells[0]))]
        return "\n".join(
            "  ".join(
                [row[0].ljust(widths[0])]
                + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
            ).rstrip()
            for row in cells
        )


def frame_of(records: Sequence[Mapping[str, Any]]) -> "pandas.DataFrame":
    """Return records, which share their keys, as a pandas DataFrame."""
    import pandas

    return pandas.DataFrame(list(records))


def _decimals(spread: float) -> int | None:
    """Decimals that show a spread with three significant digits; None: scientific notation."""
    if not math.isfinite(spread) or spread <= 0:
        return 3
    decimals = max(0, ERROR_DIGITS - math.floor(math.log10(spread)))
    return decimals if decimals <= MAX_DECIMALS else None


def _cell(column: str, value: float, decimals: int | None) -> str:
    if math.isnan(value):
        return "-"
    if column in WHOLE:
        return f"{value:.0f}"
    if column in DEGREES:
        return f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
    if column in PROBABILITIES:
        return f"{value:.4f}" if value >= 0.00005 else "<.0001"
    if column in RATIOS:
        return f"{value:.3f}"
    if decimals is None:
        return f"{value:.3e}"
    if column.startswith("mcse"):
        return f"{value:.2g}"
    return f"{value:.{decimals}f}"
