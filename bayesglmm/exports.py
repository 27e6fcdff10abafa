"""Tables as files: comma-separated values, Markdown, or LaTeX."""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import sealed
from .errors import DataError

SUFFIXES = (".csv", ".md", ".tex")
READ_DIGITS = 5  # of numbers in tables that are read rather than computed with
# A spreadsheet takes a text that starts like this for a formula and runs it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

NUMBER = re.compile(r"([+-]?[0-9.]+)(?:e([+-]?[0-9]+))?")
SPECIAL = {
    **{c: rf"\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def save(path: str | Path, records: Sequence[dict[str, Any]]) -> None:
    """Save records, which share their keys, as a table.

    Parameters
    ----------
    path : str or Path
        ``.csv``, ``.md`` or ``.tex``.
    records : sequence of dict
        One a row; None and nan are empty cells.

    Raises
    ------
    DataError
        For another suffix.
    """
    path = check(path)
    header = list(records[0]) if records else []
    digits = 10 if path.suffix == ".csv" else READ_DIGITS
    rows = [[_cell(record.get(key), digits) for key in header] for record in records]
    with sealed.replacing(path, force=True) as temporary:
        temporary.write_text(text(path.suffix, header, rows), encoding="utf-8")


def text(suffix: str, header: list[str], rows: list[list[str]]) -> str:
    """Return a table of texts as a file of this kind has it."""
    return {".csv": _csv, ".md": _markdown, ".tex": _latex}[suffix](header, rows)


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


def _cell(value: Any, digits: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


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


def _latex(header: list[str], rows: list[list[str]]) -> str:
    """A tabular with the rules of LaTeX itself, so that no package is needed."""

    def line(cells: list[str]) -> str:
        return " & ".join(map(_escaped, cells)) + r" \\" + "\n"

    columns = "l" + "r" * (len(header) - 1)
    top = rf"\begin{{tabular}}{{{columns}}}" + "\n\\hline\n"
    return (
        f"{top}{line(header)}\\hline\n{''.join(map(line, rows))}\\hline\n" + r"\end{tabular}" + "\n"
    )


def _escaped(text: str) -> str:
    """Text as LaTeX sets it; a number's minus sign and power of ten become such."""
    number = NUMBER.fullmatch(text)
    if number is None:
        return "".join(SPECIAL.get(character, character) for character in text)
    mantissa, power = number.groups()
    tail = "" if power is None else rf" \times 10^{{{int(power)}}}"
    return f"${mantissa}{tail}$" if tail or text.startswith("-") else text
