"""Tables as files: comma-separated values, or Markdown."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import DataError

SUFFIXES = (".csv", ".md")
# A spreadsheet takes a text that starts like this for a formula and runs it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def save(path: str | Path, records: Sequence[dict[str, Any]]) -> None:
    """Save records, which share their keys, as a table.

    Parameters
    ----------
    path : str or Path
        ``.csv`` or ``.md``.
    records : sequence of dict
        One a row; None and nan are empty cells.

    Raises
    ------
    DataError
        For another suffix.
    """
    path = check(path)
    header = list(records[0]) if records else []
    rows = [[_cell(record.get(key)) for key in header] for record in records]
    text = _csv(header, rows) if path.suffix == ".csv" else _markdown(header, rows)
    path.write_text(text, encoding="utf-8")


def check(path: str | Path) -> Path:
    """Return the path, if a table can have that suffix.

    Raises
    ------
    DataError
        With those that it can have.
    """
    if Path(path).suffix not in SUFFIXES:
        raise DataError(f"a table is saved as {' or '.join(SUFFIXES)}, not as {str(path)!r}")
    return Path(path)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _csv(header: list[str], rows: list[list[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_harmless, header))
    writer.writerows([_harmless(row[0]), *map(_number_or_harmless, row[1:])] for row in rows if row)
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _number_or_harmless(text: str) -> str:
    try:
        float(text)
    except ValueError:
        return _harmless(text)
    return text


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"

    rule = "|" + "|".join([" --- ", *([" ---: "] * (len(header) - 1))]) + "|\n"
    return line(header) + rule + "".join(map(line, rows))
