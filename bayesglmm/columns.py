"""Columns of the user's data: numbers or texts, whatever library holds them.

Rows are positions: an index, sorted or not, unique or not, has no meaning here. A column is plain
arrays; those of data frames are made so in `series`, which alone needs pandas.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from .errors import DataError

Rows = np.ndarray | None  # positions to keep; None is all of them
_SHOWN_NAMES = 12


@dataclass(frozen=True)
class Levels:
    """A column as a factor: a code for each row (-1 where missing) and the texts of the levels."""

    codes: np.ndarray
    texts: tuple[str, ...]
    unused: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Column:
    """One column.

    Attributes
    ----------
    name : str
        Its name.
    kind : str
        ``"number"``, ``"text"``, or ``"categorical"`` when its levels came with an order.
    values : (n,) array
        Numbers, of any dtype or as objects, or texts as objects, where what stands for a missing
        value has no meaning; or the categories' codes, -1 where missing.
    missing : (n,) bool array
        Rows without a value.
    categories : tuple of str
        Texts of the levels of a categorical column, in their order.
    ordered : bool
        Whether its levels are an ordered scale.
    mixed : bool
        A text column that also holds numbers; they are read as text.
    """

    name: str
    kind: str
    values: np.ndarray
    missing: np.ndarray
    categories: tuple[str, ...] = ()
    ordered: bool = False
    mixed: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.kind == "number"

    def numbers(self, rows: Rows = None) -> np.ndarray:
        """The values as float64, NaN where missing; a copy. Booleans are 0 and 1."""
        assert self.is_numeric  # the codes of categories are no numbers
        values, missing = self._kept(rows)
        if values.dtype == object:
            pairs = zip(values, missing, strict=True)
            return np.array([np.nan if gone else float(v) for v, gone in pairs], dtype=np.float64)
        numbers = np.array(values, dtype=np.float64)
        numbers[missing] = np.nan
        return numbers

    def _kept(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        if rows is None:
            return self.values, self.missing
        return self.values[rows], self.missing[rows]

    def parsed(self) -> np.ndarray | None:
        """Numbers that a text column spells, if every text of it does."""
        found = self.levels()
        try:
            spelled = np.array([*(float(text) for text in found.texts), np.nan])
        except ValueError:
            return None
        return spelled[found.codes]  # code -1, missing, is the NaN at the end

    def levels(self, rows: Rows = None, *, natural: bool = False) -> Levels:
        """The values as levels of a factor, those without rows left out.

        Numbers sort as numbers, categories keep their order, texts sort as texts; `natural` sorts
        texts that are all whole numbers (ids read from a file) as numbers too.
        """
        values, missing = self._kept(rows)
        if self.kind == "categorical":
            codes, texts = values, list(self.categories)
            order = list(range(len(texts)))
        else:
            codes, kept = _factorized(values, ~missing)
            texts = [level_text(v) for v in kept]
            numeric_text = natural and all(t.isascii() and t.isdigit() for t in texts)
            if self.is_numeric:
                order = sorted(range(len(kept)), key=kept.__getitem__)
            elif numeric_text:
                order = sorted(range(len(kept)), key=lambda k: (int(texts[k]), texts[k]))
            else:
                # As R sorts in most locales: placebo before Progabide.
                order = sorted(range(len(kept)), key=lambda k: (texts[k].casefold(), texts[k]))
        return _relabelled(codes, texts, order)

    def with_categories(self, categories: Iterable[str]) -> "Column":
        """The same categorical column with its categories, and perhaps more, in another order."""
        place = {text: k for k, text in enumerate(categories)}
        table = np.array([*(place[text] for text in self.categories), -1], dtype=np.int64)
        return replace(self, values=table[self.values], categories=tuple(place))


def plain(name: str, values: np.ndarray) -> Column:
    """A column of an array of numbers; NaN is missing."""
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    return Column(name, "number", values, missing)


def _factorized(values: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """A code for each value, -1 where it is not present, and the values the codes stand for."""
    codes = np.full(len(values), -1, dtype=np.int64)
    if values.dtype.kind in "biuf":
        kept, codes[present] = np.unique(values[present], return_inverse=True)
        return codes, kept.tolist()
    place: dict[Any, int] = {}
    codes[present] = [place.setdefault(v, len(place)) for v in values[present].tolist()]
    return codes, list(place)


def _relabelled(codes: np.ndarray, texts: list[str], order: list[int]) -> Levels:
    """Codes in the order of the levels; equal texts become one level, empty levels none."""
    used = np.zeros(len(texts) + 1, dtype=bool)  # the last entry collects code -1
    used[codes] = True
    new: dict[str, int] = {}
    table = np.full(len(texts) + 1, -1, dtype=np.int32)
    for k in order:
        if used[k]:
            table[k] = new.setdefault(texts[k], len(new))
    unused = tuple(texts[k] for k in order if not used[k] and texts[k] not in new)
    return Levels(table[codes], tuple(new), unused)


def level_text(value: object) -> str:
    """A level as text: the id 3.0, which missing values made of 3, is "3"."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value.item() if isinstance(value, np.generic) else value)


class Table:
    """The user's data, read by column name.

    Parameters
    ----------
    data : data frame or mapping
        pandas, polars or any other eager frame that narwhals reads; or a dict of columns. pandas is
        imported unless the columns are arrays of numbers or of this module.

    Raises
    ------
    DataError
        If it is none of these.
    """

    def __init__(self, data: object) -> None:
        self._columns: dict[str, Column] = {}
        self.respelled: list[str] = []
        self.names, self.size, self._read = _open(data)

    def column(self, name: str) -> Column:
        """The column called `name`."""
        if name not in self._columns:
            position = self.names.index(self._spelled(name))
            self._columns[name] = self._read(position, name)
        return self._columns[name]

    def _spelled(self, name: str) -> str:
        """The column's name as the data spell it."""
        times = self.names.count(name)
        if times > 1:
            raise DataError(f"column {name!r} occurs {times} times; rename all but one")
        normal = unicodedata.normalize("NFC", name)
        alike = [n for n in self.names if n != name and unicodedata.normalize("NFC", n) == normal]
        if alike:
            self.respelled.append(
                f"the name {name!r} is spelled with other Unicode characters in "
                f"{'another column' if times else 'the data'}; they look alike"
            )
        if times:
            return name
        if len(alike) == 1:
            return alike[0]
        close = [n for n in self.names if n.casefold() == name.casefold()]
        close = close or get_close_matches(name, self.names, n=3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        shown = ", ".join(self.names[:_SHOWN_NAMES])
        more = ", ..." if len(self.names) > _SHOWN_NAMES else ""
        raise DataError(f"the data have no column {name!r}{hint} (columns: {shown}{more})")


def _open(data: Any) -> tuple[list[str], int, Callable[[int, str], Column]]:
    """Names, number of rows and a way to read a column, for every kind of data."""
    if isinstance(data, Mapping):
        sizes = {name: _length(name, values) for name, values in data.items()}
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{name}: {size}" for name, size in list(sizes.items())[:6])
            raise DataError(f"the columns differ in length ({shown})")
        columns = list(data.values())
        size = next(iter(sizes.values()), 0)
        return [str(name) for name in data], size, lambda k, name: _of_values(name, columns[k])
    from . import series

    return series.opened(data)


def _length(name: object, values: object) -> int:
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise DataError(f"column {str(name)!r} is one value; give a list or an array")
    return len(values)


def _of_values(name: str, values: Any) -> Column:
    if isinstance(values, Column):
        return replace(values, name=name)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise DataError(
            f"column {name!r} is an array of {values.ndim} dimensions; it has to have one"
        )
    # Subclasses, like masked arrays, have rules of their own about what is missing.
    if type(values) is np.ndarray and values.dtype.kind in "biuf":
        return plain(name, values)
    from . import series

    return series.of_values(name, values)
