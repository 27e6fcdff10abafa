"""CSV files: to columns, or a data frame, without guessing.

A column whose cells are all numbers is a column of numbers, any other a column of texts. Ids with
leading zeros are texts ("007" stays); an id column of plain whole numbers, kept to the last digit,
groups rows in the same way under either reading. `factors` makes categories of numbers.

In a column of numbers the empty cell, ``NA`` and ``NaN`` are missing, in a column of texts only the
empty cell is ("NA" is a country); `na` replaces both lists. What cannot be read for sure is refused
with its line.
"""

import csv
import gzip
import io
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .columns import Column, plain
from .errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MISSING_NUMBERS = frozenset({"", "NA", "NaN", "nan"})
MISSING_TEXTS = frozenset({""})
MAX_CELL = 1_000_000  # characters; a longer one is a quote that was never closed
MAX_LINE = 10_000_000  # characters
MAX_UNPACKED = 2 * 1024**3  # bytes; what a small .gz may become
_BLOCK = 1 << 20
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?[iI]nf(?:inity)?")
_LEADING_ZERO = re.compile(r"[+-]?0\d+")
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def read_csv(
    path: str | os.PathLike[str],
    *,
    na: Sequence[str] | None = None,
    factors: Sequence[str] | None = None,
) -> "pd.DataFrame":
    """Read a CSV file, plain or ``.gz``, separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : str or path
        A regular file; nothing is fetched from an address.
    na : sequence of str, optional
        Cells that mean missing, in every column. By default the empty cell does, and in columns of
        numbers ``NA`` and ``NaN``.
    factors : sequence of str, optional
        Columns to read as factors though they hold numbers; levels sort as numbers.

    Returns
    -------
    pandas.DataFrame
        float64, int64 and text columns; categorical ones for `factors`.

    Raises
    ------
    DataError
        With the line, if the file is not a table: ragged rows, a header that names a column twice
        or not at all, NUL bytes, text that is not UTF-8.
    """
    from . import series

    return series.frame(read_columns(path, na=na, factors=factors))


def read_columns(
    path: str | os.PathLike[str],
    *,
    na: Sequence[str] | None = None,
    factors: Sequence[str] | None = None,
) -> dict[str, Column]:
    """Read what `read_csv` reads as columns by name, which a model takes too, without pandas."""
    path = _regular_file(path)
    text = _decoded(_content(path), path)
    separator = _separator(text)
    header, rows = _records(text, separator, path)
    asked = list(factors or ())
    for name in asked:
        if name not in header:
            raise DataError(f"{path}: there is no column {name!r} to make a factor of")
    columns = {}
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        column = _column(name, cells, na, path, separator)
        columns[name] = _factor(column) if name in asked else column
    return columns


# --- bytes to text -------------------------------------------------------------------------------


def _regular_file(path: str | os.PathLike[str]) -> Path:
    if "://" in str(path):
        raise DataError(f"{path} is an address; save it to a file first")
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{str(path)!r} is not a path: {error}") from error
    if stat.S_ISDIR(mode):
        raise DataError(f"{path} is a directory; give a file")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is a device or a pipe; save its content to a file first")
    return path


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as stream:
            return _capped(stream, path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _capped(stream: "IO[bytes] | gzip.GzipFile", path: Path) -> bytes:
    """All of a stream, up to `MAX_UNPACKED`, refusing a line that does not end."""
    blocks = []
    size = line = 0
    while block := stream.read(_BLOCK):
        size += len(block)
        last = block.rfind(b"\n")
        line = line + len(block) if last < 0 else len(block) - last
        if line > MAX_LINE:
            raise DataError(f"{path} has a line of more than {MAX_LINE:,} characters")
        if size > MAX_UNPACKED:
            raise DataError(
                f"{path} is larger than {MAX_UNPACKED / 1024**3:.0f} GiB unpacked; read it with a "
                "data frame library and pass the frame"
            )
        blocks.append(block)
    return b"".join(blocks)


def _decoded(content: bytes, path: Path) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16; save it as UTF-8")
    zero = content.find(b"\0")
    if zero >= 0:
        raise DataError(f"{path}, line {_line(content, zero)}: a NUL byte; the file is damaged")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise DataError(
            f"{path}, line {_line(content, error.start)}: the byte 0x{byte:02x} is not UTF-8; the "
            f"file may be Latin-1 (where it is {chr(byte)!r}): save it as UTF-8"
        ) from error


def _line(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1


# --- text to records -----------------------------------------------------------------------------


def _separator(text: str) -> str:
    """The separator of the header line: the one of the three that occurs most."""
    first = text[:MAX_CELL].lstrip("\r\n").partition("\n")[0]
    outside = re.sub(r'"[^"]*"', "", first)
    return max((",", ";", "\t"), key=outside.count)


def _records(text: str, separator: str, path: Path) -> tuple[list[str], list[list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    previous = csv.field_size_limit(MAX_CELL)
    try:
        records = _numbered(reader)
        _, header = next(records, (0, []))
        header = [name.strip() for name in header]
        _check_header(header, path)
        rows = []
        for line, row in records:
            if len(row) != len(header):
                cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
                raise DataError(
                    f"{path}, line {line}: {cells} where the header has {len(header)} columns"
                )
            rows.append(row)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(previous)
    if not rows:
        raise DataError(f"{path} has a header and no rows")
    return header, rows


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Records that are not blank, with the line on which each starts."""
    start = 1
    for row in reader:
        if row:
            yield start, row
        start = reader.line_num + 1


def _check_header(header: list[str], path: Path) -> None:
    if not any(header):
        raise DataError(f"{path} is empty; its first line has to name the columns")
    for k, name in enumerate(header):
        if not name:
            raise DataError(f"{path}, line 1: column {k + 1} has no name")
        if name in header[:k]:
            raise DataError(f"{path}, line 1: column {name!r} occurs {header.count(name)} times")


# --- cells to columns ----------------------------------------------------------------------------


def _column(
    name: str, cells: tuple[str, ...], na: Sequence[str] | None, path: Path, separator: str
) -> Column:
    """Numbers if every cell that is not missing is one, texts otherwise."""
    stripped = [cell.strip() for cell in cells]
    absent = MISSING_NUMBERS if na is None else frozenset(na)
    present = [cell for cell in stripped if cell not in absent]
    if present and all(map(_NUMBER.fullmatch, present)):
        if not any(map(_LEADING_ZERO.fullmatch, present)):
            return _numbers(name, stripped, absent)
    elif present:
        _refuse_commas(name, present, path, separator)
    elif all(cell in absent for cell in stripped) and na is None:
        return plain(name, np.full(len(cells), np.nan))
    return _texts(name, cells, MISSING_TEXTS if na is None else frozenset(na))


def _texts(name: str, cells: Sequence[str], absent: frozenset[str]) -> Column:
    missing = np.array([cell in absent for cell in cells])
    return Column(name, "text", np.array(cells, dtype=object), missing)


def _numbers(name: str, cells: list[str], absent: frozenset[str]) -> Column:
    """Whole numbers where all are whole, so that ids keep their digits; else float64."""
    missing = np.array([cell in absent for cell in cells])
    try:
        whole = [0 if cell in absent else int(cell) for cell in cells]
        return Column(name, "number", np.array(whole, dtype=np.int64), missing)
    except ValueError:
        numbers = np.array([np.nan if cell in absent else float(cell) for cell in cells])
        return Column(name, "number", numbers, missing)
    except OverflowError:  # ids of more digits than any number here holds
        return _texts(name, cells, absent)


def _refuse_commas(name: str, present: list[str], path: Path, separator: str) -> None:
    """Numbers with decimal commas or thousands separators, which cannot be told apart."""
    for pattern, kind in ((_THOUSANDS, "thousands separators"), (_COMMA_NUMBER, "decimal commas")):
        shaped = [cell for cell in present if pattern.fullmatch(cell)]
        fits = all(pattern.fullmatch(cell) or _NUMBER.fullmatch(cell) for cell in present)
        if shaped and fits:
            if kind == "thousands separators" and separator == ";":
                kind = "decimal commas or thousands separators"
            raise DataError(
                f"{path}: column {name!r} holds numbers with {kind} (like {shaped[0]!r}); write "
                "them with a decimal point and nothing else"
            )


def _factor(column: Column) -> Column:
    """A categorical column whose levels are texts, sorted as the numbers or texts they were."""
    values = column.values.tolist()
    present = [value for value, gone in zip(values, column.missing, strict=True) if not gone]
    place = {level: k for k, level in enumerate(sorted(set(present)))}
    codes = np.full(len(values), -1, dtype=np.int64)
    codes[~column.missing] = [place[value] for value in present]
    return Column(column.name, "categorical", codes, column.missing, tuple(map(str, place)))
