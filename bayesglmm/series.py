"""Series of pandas and of the frames that narwhals reads: to columns and back.

A column of whole or decimal numbers or of booleans is numeric, one of texts or categories is not;
everything else (dates, complex numbers, lists) is refused with what to do.
"""

import datetime
from collections.abc import Callable, Mapping
from numbers import Number
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from .columns import Column, level_text
from .errors import DataError


def opened(data: Any) -> tuple[list[str], int, Callable[[int, str], Column]]:
    """Names, number of rows and a way to read a column, for every kind of frame.

    Raises
    ------
    DataError
        If it is no frame that holds its data.
    """
    if isinstance(data, pd.DataFrame):
        names = [str(name) for name in data.columns]
        return names, len(data), lambda k, name: column(name, data.iloc[:, k])
    import narwhals as nw

    frame = nw.from_native(data, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        kind = f"{type(data).__module__}.{type(data).__name__}".removeprefix("builtins.")
        remedy = "a lazy frame has to be collected first"
        if isinstance(data, str | PathLike):
            remedy = f"a file is read by bg.read_csv({str(data)!r})"
        raise DataError(
            f"data has to be a data frame (pandas, polars, pyarrow) or a dict of columns, not "
            f"{kind}; {remedy}"
        )
    eager, names = frame, frame.columns
    return names, len(eager), lambda k, name: column(name, _from_narwhals(eager[names[k]]))


def of_values(name: str, values: Any) -> Column:
    """A column of what pandas makes a series of: a list, an array, a series."""
    if isinstance(values, pd.DataFrame):
        raise DataError(f"column {name!r} is itself a data frame; give one list or array")
    return column(name, pd.Series(values))


def _from_narwhals(series: object) -> pd.Series:
    import narwhals as nw

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


def column(name: str, series: pd.Series) -> Column:
    """A pandas series as a column.

    Raises
    ------
    DataError
        If it holds what is neither numbers nor texts, with what to do.
    """
    if isinstance(series.dtype, pd.SparseDtype):
        series = series.sparse.to_dense()
    dtype = series.dtype
    missing = np.array(series.isna(), dtype=bool)
    if isinstance(dtype, pd.CategoricalDtype):
        codes = np.array(series.cat.codes, dtype=np.int64)
        texts = tuple(level_text(v) for v in series.cat.categories)
        return Column(name, "categorical", codes, missing, texts, bool(series.cat.ordered))
    if types.is_complex_dtype(dtype):
        raise DataError(f"column {name!r} holds complex numbers; use its real part or modulus")
    if types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        raise _dates(name)
    if types.is_timedelta64_dtype(dtype):
        raise DataError(f"column {name!r} holds durations; convert it to a number of days")
    if types.is_bool_dtype(dtype) or types.is_numeric_dtype(dtype):
        return Column(name, "number", _numbers(series), missing)
    objects = np.array(series.astype(object), dtype=object)
    if isinstance(dtype, pd.StringDtype):
        return Column(name, "text", objects, missing)
    return _objects(name, objects, missing)


def _numbers(series: pd.Series) -> np.ndarray:
    """The numbers of a series in a dtype of numpy that holds them all."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return np.asarray(series.to_numpy())
    inner = np.dtype(dtype.numpy_dtype)  # of nullable and Arrow's dtypes
    filler = np.nan if inner.kind == "f" else inner.type(0)
    return np.asarray(series.to_numpy(dtype=inner, na_value=filler))


def _dates(name: str) -> DataError:
    return DataError(
        f"column {name!r} holds dates; convert it to a number, like days since the first one"
    )


def _objects(name: str, values: np.ndarray, missing: np.ndarray) -> Column:
    """A column of Python objects, by what they are."""
    kinds = set(map(type, values[~missing]))
    if not kinds or all(issubclass(kind, Number | np.bool_) for kind in kinds):
        if any(issubclass(kind, complex) for kind in kinds):
            raise DataError(f"column {name!r} holds complex numbers; use its real part or modulus")
        return Column(name, "number", values, missing)
    if any(issubclass(kind, datetime.date | np.datetime64) for kind in kinds):
        raise _dates(name)
    if not all(issubclass(kind, str | Number | np.bool_) for kind in kinds):
        odd = next(k for k in kinds if not issubclass(k, str | Number | np.bool_))
        row = next(i for i, v in enumerate(values) if type(v) is odd)
        raise DataError(
            f"column {name!r} holds a {odd.__name__} (row {row}); a cell is one number or one text"
        )
    mixed = not all(issubclass(kind, str) for kind in kinds)
    return Column(name, "text", values, missing, mixed=mixed)


def frame(columns: Mapping[str, Column]) -> pd.DataFrame:
    """Columns as a data frame: int64 (Int64 with missing values), float64, str, categorical."""
    return pd.DataFrame({name: _series(values) for name, values in columns.items()})


def _series(values: Column) -> Any:
    if values.kind == "categorical":
        return pd.Categorical.from_codes(values.values, categories=list(values.categories))
    if values.kind == "text":
        texts = values.values.copy()
        texts[values.missing] = None
        return pd.Series(texts, dtype="str")
    if values.values.dtype.kind == "i" and values.missing.any():
        return pd.arrays.IntegerArray(values.values, values.missing)
    return values.values
