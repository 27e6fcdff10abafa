"""Columns of the user's data: numbers or texts, whatever library holds them.

Rows are positions: an index, sorted or not, unique or not, has no meaning here. A column of whole
or decimal numbers or of booleans is numeric, one of texts or categories is not; everything else
(dates, complex numbers, lists) is refused with what to do. pandas is imported when a table is made.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Rows = np.ndarray | None  # positions to keep; None is all of them
_SHOWN_NAMES = 12


@dataclass(frozen=True)
class Levels:
    """A column as a factor: a code for each row (-1 where missing) and the texts of the levels."""

    codes: np.ndarray
    texts: tuple[str, ...]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    kind : str
        ``"number"``, ``"text"``, or ``"categorical"`` when its levels came with an order.
    mixed : bool
        A text column that also holds numbers; they are read as text.
    """

    name: str
    kind: str
    values: "pd.Series"
    mixed: bool = False

    @cached_property
    def missing(self) -> np.ndarray:
        """Rows without a value, as a mask."""
        return np.asarray(self.values.isna().to_numpy(), dtype=bool)

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.kind == "number"

    @property
    def ordered(self) -> bool:
        """Whether its levels are an ordered scale."""
        return self.kind == "categorical" and bool(self.values.cat.ordered)

    def numbers(self, rows: Rows = None) -> np.ndarray:
        """The values as float64, NaN where missing; a copy. Booleans are 0 and 1."""
        values = self.values if rows is None else self.values.iloc[rows]
        if values.dtype == object:
            missing = self.missing if rows is None else self.missing[rows]
            pairs = zip(values, missing, strict=True)
            return np.array([np.nan if gone else float(v) for v, gone in pairs], dtype=np.float64)
        return np.array(values.to_numpy(dtype=np.float64, na_value=np.nan))

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
        import pandas as pd

        values = self.values if rows is None else self.values.iloc[rows]
        if self.kind == "categorical":
            codes = np.array(values.cat.codes, dtype=np.int64)
            texts = [_level_text(v) for v in values.cat.categories]
            order = list(range(len(texts)))
        else:
            codes, uniques = pd.factorize(values, use_na_sentinel=True)
            codes = np.asarray(codes, dtype=np.int64)
            kept = list(uniques)
            texts = [_level_text(v) for v in kept]
            numeric_text = natural and all(t.isascii() and t.isdigit() for t in texts)
            if self.is_numeric:
                order = sorted(range(len(kept)), key=kept.__getitem__)
            elif numeric_text:
                order = sorted(range(len(kept)), key=lambda k: (int(texts[k]), texts[k]))
            else:
                # As R sorts in most locales: placebo before Progabide.
                order = sorted(range(len(kept)), key=lambda k: (texts[k].casefold(), texts[k]))
        return _relabelled(codes, texts, order)


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


def _level_text(value: object) -> str:
    """A level as text: the id 3.0, which missing values made of 3, is "3"."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value.item() if isinstance(value, np.generic) else value)


class Table:
    """The user's data, read by column name.

    Parameters
    ----------
    data : data frame or mapping
        pandas, polars or any other eager frame that narwhals reads; or a dict of columns.

    Raises
    ------
    DataError
        If it is none of these.
    """

    def __init__(self, data: object) -> None:
        self._columns: dict[str, Column] = {}
        self.respelled: list[str] = []
        self.names, self.size, self._series = _open(data)

    def column(self, name: str) -> Column:
        """The column called `name`."""
        if name not in self._columns:
            position = self.names.index(self._spelled(name))
            series = self._series(position).reset_index(drop=True)
            self._columns[name] = _column(name, series)
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
        close = get_close_matches(name, self.names, n=3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        shown = ", ".join(self.names[:_SHOWN_NAMES])
        more = ", ..." if len(self.names) > _SHOWN_NAMES else ""
        raise DataError(f"the data have no column {name!r}{hint} (columns: {shown}{more})")


def _open(data: Any) -> tuple[list[str], int, Callable[[int], "pd.Series"]]:
    """Names, number of rows and a way to get a column, for every kind of frame."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return [str(name) for name in data.columns], len(data), lambda k: data.iloc[:, k]
    if isinstance(data, Mapping):
        sizes = {name: _length(name, values) for name, values in data.items()}
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{name}: {size}" for name, size in list(sizes.items())[:6])
            raise DataError(f"the columns differ in length ({shown})")
        columns = list(data.values())
        size = next(iter(sizes.values()), 0)
        return [str(name) for name in data], size, lambda k: _as_series(columns[k])
    import narwhals as nw

    frame = nw.from_native(data, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        kind = f"{type(data).__module__}.{type(data).__name__}"
        raise DataError(
            f"data has to be a data frame (pandas, polars, pyarrow) or a dict of columns, not "
            f"{kind}; a lazy frame has to be collected first"
        )
    eager, names = frame, frame.columns
    return names, len(eager), lambda k: _from_narwhals(eager[names[k]])


def _length(name: object, values: object) -> int:
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise DataError(f"column {str(name)!r} is one value; give a list or an array")
    return len(values)


def _as_series(values: Any) -> "pd.Series":
    import pandas as pd

    if isinstance(values, pd.DataFrame):
        raise DataError("a column is itself a data frame; give one list or array a column")
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise DataError(f"a column is an array of {values.ndim} dimensions; it has to have one")
    return pd.Series(values)


def _from_narwhals(series: object) -> "pd.Series":
    import narwhals as nw
    import pandas as pd

    assert isinstance(series, nw.Series)
    dtype = series.dtype
    if isinstance(dtype, nw.Categorical | nw.Enum):
        texts = series.cast(nw.String).to_list()
        if isinstance(dtype, nw.Enum):
            return pd.Series(pd.Categorical(texts, categories=list(dtype.categories)))
        return pd.Series(pd.Categorical(texts))
    if dtype.is_numeric() and not series.is_null().any():
        return pd.Series(series.to_numpy())
    if dtype.is_integer():
        return pd.Series(series.to_list(), dtype="Int64")
    if dtype.is_numeric():
        return pd.Series(series.to_list(), dtype="float64")
    return pd.Series(series.to_list(), dtype=object)


def _column(name: str, series: "pd.Series") -> Column:
    """A pandas series as a Column, or a refusal that says what to do."""
    import pandas as pd
    from pandas.api import types

    if isinstance(series.dtype, pd.SparseDtype):
        series = series.sparse.to_dense()
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return Column(name, "categorical", series)
    if types.is_complex_dtype(dtype):
        raise DataError(f"column {name!r} holds complex numbers; use its real part or modulus")
    if types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        raise _dates(name)
    if types.is_timedelta64_dtype(dtype):
        raise DataError(f"column {name!r} holds durations; convert it to a number of days")
    if types.is_bool_dtype(dtype) or types.is_numeric_dtype(dtype):
        return Column(name, "number", series)
    if isinstance(dtype, pd.StringDtype):
        return Column(name, "text", series)
    return _objects(name, series.astype(object))


def _dates(name: str) -> DataError:
    return DataError(
        f"column {name!r} holds dates; convert it to a number, like days since the first one"
    )


def _objects(name: str, series: "pd.Series") -> Column:
    """A column of Python objects, by what they are."""
    import datetime

    present = series[~series.isna()]
    kinds = set(map(type, present))
    if not kinds or all(issubclass(kind, Number | np.bool_) for kind in kinds):
        if any(issubclass(kind, complex) for kind in kinds):
            raise DataError(f"column {name!r} holds complex numbers; use its real part or modulus")
        return Column(name, "number", series)
    if any(issubclass(kind, datetime.date | np.datetime64) for kind in kinds):
        raise _dates(name)
    if not all(issubclass(kind, str | Number | np.bool_) for kind in kinds):
        odd = next(k for k in kinds if not issubclass(k, str | Number | np.bool_))
        row = next(i for i, v in enumerate(series) if type(v) is odd)
        raise DataError(
            f"column {name!r} holds a {odd.__name__} (row {row}); a cell is one number or one text"
        )
    return Column(name, "text", series, mixed=not all(issubclass(kind, str) for kind in kinds))
