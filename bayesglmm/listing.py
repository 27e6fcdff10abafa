"""Tables whose columns hold numbers, whole numbers or words: as text, as records, as a frame."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas

DIGITS = "#.5g"  # how numbers are printed where nothing else is said


@dataclass(frozen=True)
class Listing:
    """A table.

    Attributes
    ----------
    title : str
        What it shows.
    columns : mapping of str to sequence
        Arrays or lists of the same length.
    formats : mapping of str to str
        How the numbers of a column are printed.
    index : str, optional
        The column that is the index of the frame.
    """

    title: str
    columns: Mapping[str, Any]
    formats: Mapping[str, str] = field(default_factory=dict)
    index: str | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def frame(self) -> "pandas.DataFrame":
        """Return the table as a pandas DataFrame."""
        import pandas

        columns = {name: x for name, x in self.columns.items() if name != self.index}
        if self.index is None:
            return pandas.DataFrame(columns)
        return pandas.DataFrame(columns, index=pandas.Index(list(self.columns[self.index])))

    def records(self) -> list[dict[str, Any]]:
        """Return one dict a row, for JSON; what is not finite as None."""
        names = list(self.columns)
        return [
            {name: _plain(value) for name, value in zip(names, row, strict=True)}
            for row in zip(*self.columns.values(), strict=True)
        ]

    def take(self, rows: Sequence[int]) -> "Listing":
        """Return the table of some rows, by their places."""
        columns = {name: [x[i] for i in rows] for name, x in self.columns.items()}
        return Listing(self.title, columns, self.formats, self.index)

    def lines(self, most: int | None = None) -> list[str]:
        """Return the lines of the table without its title, of at most so many rows."""
        shown = list(self.columns.items())
        cells = [[name, *map(self._texts(name), values[:most])] for name, values in shown]
        width = [max(map(len, column)) for column in cells]
        # Names and words stand to the left, numbers to the right.
        left = [
            all(isinstance(value, str) for value in values) and len(values) > 0
            for _, values in shown
        ]
        lines = [
            "  ".join(
                text.ljust(w) if to_left else text.rjust(w)
                for text, w, to_left in zip(row, width, left, strict=True)
            ).rstrip()
            for row in zip(*cells, strict=True)
        ]
        if most is not None and len(self) > most:
            lines.append(f"... and {len(self) - most} more rows")
        return lines

    def _texts(self, name: str) -> Any:
        form = self.formats.get(name, DIGITS)

        def text(value: Any) -> str:
            if isinstance(value, str):
                return value
            if isinstance(value, bool | np.bool_):
                return "yes" if value else "no"
            if value is None or math.isnan(value):
                return "-"
            if form == "p":
                return f"{value:.4f}" if value >= 0.00005 else "<.0001"
            return format(value, form)

        return text

    def __str__(self) -> str:
        return "\n".join(titled(self.title, self.lines()))


def titled(title: str, lines: Iterable[str]) -> list[str]:
    """Return a title and the lines under it, set in."""
    return [title, *(f"  {line}" for line in lines)]


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
