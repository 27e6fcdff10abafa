"""Parquet files: to columns."""

import os
from pathlib import Path

from .columns import Column
from .errors import DataError


def read_columns(path: str | os.PathLike[str]) -> dict[str, Column]:
    """Read a Parquet file as columns by name.

    Raises
    ------
    DataError
        If it is no such file, or pyarrow is not installed.
    """
    from . import series

    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError("reading Parquet needs pyarrow; save the file as CSV instead") from error
    if not Path(path).is_file():
        raise DataError(f"{path} is no file")
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    names, _, column = series.opened(table)
    return {name: column(k, name) for k, name in enumerate(names)}
