"""Linear combinations of coefficients: text, names or numbers to rows of a matrix.

``"treat[new] + treat[new]:week[1] / 2"`` is read by a reader of its own, and nothing is evaluated.
A name is looked up as it stands among the rows of the tables first; after that generously:
``week1`` and ``week['1']`` are ``week[1]``; ``treat`` is ``treat[new]`` where that is the only
column of ``treat``, and so is ``new`` where no other factor has such a level; factors of a product
may come in any order; a reference level is 0.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .coefficients import Coefficient, Part, coefficients, references
from .errors import DataError, FormulaError
from .wording import shown_levels

if TYPE_CHECKING:
    from .design import Design

MAX_DEPTH = 50  # nested brackets and signs
MAX_FACTORS = 6  # of a product whose factors may come in any order

EXACT, SPELLED, ALONE = 3, 2, 1  # how well a word fits a part; the best fit wins

_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CLASS = re.compile(r"^(?:factor|C)\((.*)\)$")


class Combinations(NamedTuple):
    """Labels, and coefficients of the coefficients, shape (k, p)."""

    labels: tuple[str, ...]
    L: np.ndarray


def read(rows: Any, design: "Design", labels: Sequence[str] | None = None) -> Combinations:
    """Read combinations in any of the forms a user may give.

    Parameters
    ----------
    rows : str, sequence of str, mapping, or (k, p) array
        Texts; or by label a text, a dict of coefficient by name, or p numbers; or a matrix.
    design : Design
    labels : sequence of str, optional
        Labels of the rows of a matrix, or of texts.

    Raises
    ------
    FormulaError
        If a text cannot be read, or a name is unknown or ambiguous, with the close ones.
    DataError
        If numbers are of the wrong shape, or nothing is left of a combination.
    """
    if isinstance(rows, str):
        rows = [rows]
    by_label = isinstance(rows, Mapping)
    if not (by_label or isinstance(rows, Sequence | np.ndarray)):
        raise DataError(f"a contrast is a text, a dict by label or a matrix, not {rows!r}")
    if by_label and labels is not None:
        raise DataError("labels are given twice: as keys and as an argument")
    values = list(rows.values()) if by_label else list(rows)
    if not values:
        raise DataError("there is no contrast: give texts such as 'treat + treat:week', by label")
    if by_label:
        labels = tuple(rows)
    elif labels is None:
        labels = [v if isinstance(v, str) else f"row {k + 1}" for k, v in enumerate(values)]
    labels = tuple(map(str, labels or ()))
    if len(labels) != len(values) or len(set(labels)) < len(labels):
        raise DataError(f"{len(values)} contrasts need as many labels, all different")
    names = _Names(design)
    L = np.array([_row(value, names) for value in values], dtype=np.float64)
    for label, row in zip(labels, L, strict=True):
        if not np.any(row):
            raise DataError(f"contrast {label!r} has no coefficients: all of it cancels out")
    return Combinations(labels, L + 0.0)  # no -0.0


def _row(value: Any, names: "_Names") -> np.ndarray:
    if isinstance(value, str):
        return _Reader(value, names).whole()
    if isinstance(value, Mapping):
        row = np.zeros(names.size)
        for name, factor in value.items():
            row += float(factor) * names.vector(str(name), str(name), 0)
        values = row
    else:
        values = np.array(value, dtype=np.float64)
    if values.shape != (names.size,):
        raise DataError(
            f"a contrast has {names.size} numbers, one for each of "
            f"{shown_levels(names.places)}; this has shape {values.shape}"
        )
    if not np.all(np.isfinite(values)):
        raise DataError("a contrast's numbers have to be finite")
    return values


class _Names:
    """Looks names of coefficients up."""

    def __init__(self, design: "Design") -> None:
        self.places = {name: k for k, name in enumerate(design.columns)}
        self.size = len(self.places)
        self.known: tuple[Coefficient, ...] = coefficients(design)
        self.zero = references(design)
        self.by_length = sorted([*self.places, "(Intercept)"], key=len, reverse=True)

    def vector(self, word: str, text: str, position: int) -> np.ndarray:
        """The combination that a name stands for: a unit vector, or 0 for a reference level."""
        row = np.zeros(self.size)
        if word in ("(Intercept)", "intercept") and "Intercept" in self.places:
            word = "Intercept"
        if word in self.places:
            row[self.places[word]] = 1.0
            return row
        found = self.close(word)
        if len(found) > 1:
            raise FormulaError(f"{word!r} may be {_either(found)}", text, position)
        if not found:
            close = get_close_matches(word, self.places, n=3, cutoff=0.5)
            hint = f"did you mean {_either(close)}?" if close else f"there are {self.some()}"
            raise FormulaError(f"no coefficient is called {word!r}; {hint}", text, position)
        if found[0] in self.places:
            row[self.places[found[0]]] = 1.0
        return row

    def some(self) -> str:
        return shown_levels(self.places)

    def close(self, word: str) -> list[str]:
        """Names that a word fits best."""
        words = [_squeezed(part) for part in split(word)]
        fits: dict[str, int] = {}
        for coefficient in (*self.known, *self.zero):
            # A variable's name alone never means its reference level.
            least = ALONE if coefficient.name in self.places else SPELLED
            if fit := _fit(words, coefficient.parts, least):
                fits[coefficient.name] = fit
        best = max(fits.values(), default=0)
        return [name for name, fit in fits.items() if fit == best]


def _fit(words: list[str], parts: tuple[Part, ...], least: int) -> int:
    """How well words fit the parts of a coefficient in their best order; 0 if one fits less."""
    if len(words) != len(parts) or len(words) > MAX_FACTORS:
        return 0
    best = 0
    for order in permutations(parts):
        fits = [_word_fits(word, part) for word, part in zip(words, order, strict=True)]
        if min(fits) >= least:
            best = max(best, sum(fits))
    return best


def _word_fits(word: str, part: Part) -> int:
    wrapped = _CLASS.match(part.name)
    inside = wrapped.group(1) if wrapped else part.name
    spelled = {_squeezed(name).strip("`") for name in (part.name, inside)}
    if word == _squeezed(part.label):
        return EXACT
    if part.level is not None:
        level = _squeezed(part.level)
        if any(word in (f"{name}[{level}]", f"{name}{level}") for name in spelled):
            return SPELLED
        if word == level:
            return ALONE
    return ALONE if word in spelled else 0


def _squeezed(text: str) -> str:
    """A word without spaces, and without quotes around a level."""
    text = re.sub(r"\s+", "", text)
    return re.sub(r"\[(['\"])(.*)\1\]$", r"[\2]", text)


def split(name: str) -> list[str]:
    """Parts of a product's name: between the colons outside of brackets and backticks."""
    parts, depth, quoted, start = [], 0, False, 0
    for k, letter in enumerate(name):
        if letter == "`":
            quoted = not quoted
        elif not quoted:
            depth += (letter in "([") - (letter in ")]")
            if letter == ":" and depth == 0:
                parts.append(name[start:k])
                start = k + 1
    return [*parts, name[start:]]


def _either(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names))


class _Value(NamedTuple):
    """A part of a text: a number, or a combination of coefficients."""

    number: float
    row: np.ndarray | None


class _Reader:
    """Reads one text: sums, products with numbers, quotients by numbers, brackets."""

    def __init__(self, text: str, names: _Names) -> None:
        self.text, self.names = text, names
        self.at = 0
        self.depth = 0

    def fail(self, reason: str, position: int | None = None) -> FormulaError:
        return FormulaError(reason, self.text, self.at if position is None else position)

    def whole(self) -> np.ndarray:
        value = self.sum()
        if self.peek():
            raise self.fail(f"unexpected {self.peek()!r}")
        return self.needs_row(value, 0)

    def needs_row(self, value: _Value, position: int) -> np.ndarray:
        if value.row is None:
            raise self.fail("a number alone is no contrast: multiply it by a name", position)
        return value.row

    def peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def take(self, options: str) -> str:
        letter = self.peek()
        if letter and letter in options:
            self.at += 1
            return letter
        return ""

    def sum(self) -> _Value:
        position = self.at
        total = self.product()
        while sign := self.take("+-"):
            self.peek()
            other_position = self.at
            other = self.product()
            factor = 1.0 if sign == "+" else -1.0
            if total.row is None and other.row is None:
                total = _Value(total.number + factor * other.number, None)
            else:
                left = self.needs_row(total, position)
                total = _Value(0.0, left + factor * self.needs_row(other, other_position))
        return total

    def product(self) -> _Value:
        value = self.operand()
        while operator := self.take("*/"):
            self.peek()
            position = self.at
            other = self.operand()
            if operator == "/":
                if other.row is not None or other.number == 0.0:
                    raise self.fail("only a number other than 0 may stand below /", position)
                other = _Value(1.0 / other.number, None)
            if value.row is not None and other.row is not None:
                raise self.fail("two coefficients cannot be multiplied by each other", position)
            if value.row is None:
                value, other = other, value
            row = None if value.row is None else value.row * other.number
            value = _Value(value.number * other.number, row)
        return value

    def operand(self) -> _Value:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail("the contrast is nested too deeply")
        value = self.one()
        self.depth -= 1
        return value

    def one(self) -> _Value:
        if sign := self.take("+-"):
            inner = self.operand()
            factor = 1.0 if sign == "+" else -1.0
            row = None if inner.row is None else factor * inner.row
            return _Value(factor * inner.number, row)
        letter = self.peek()
        if name := self.known_name():
            position, self.at = self.at, self.at + len(name)
            return _Value(0.0, self.names.vector(name, self.text, position))
        if self.take("("):
            position = self.at - 1
            value = self.sum()
            if not self.take(")"):
                raise self.fail("this bracket is not closed", position)
            return value
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            return _Value(float(number.group()), None)
        if not letter:
            raise self.fail("the contrast ends where a name is expected")
        position, word = self.at, self.word()
        if not word:
            raise self.fail(f"a name is expected before {letter!r}")
        return _Value(0.0, self.names.vector(word, self.text, position))

    def known_name(self) -> str:
        """The longest name of a coefficient that stands here and ends here."""
        for name in self.names.by_length:
            end = self.at + len(name)
            if self.text.startswith(name, self.at):
                after = self.text[end:].lstrip()[:1] if self.text[end : end + 1] != "(" else "("
                if not (_in_word(self.text[end : end + 1]) or after in (":", "[", "(")):
                    return name
        return ""

    def word(self) -> str:
        """A name as it is written: letters and brackets, products with colons."""
        start, depth, quoted = self.at, 0, False
        while self.at < len(self.text):
            letter = self.text[self.at]
            if letter == "`":
                quoted = not quoted
            elif not quoted:
                if letter in "([":
                    depth += 1
                elif letter in ")]":
                    if depth == 0:
                        break
                    depth -= 1
                elif depth == 0 and not (_in_word(letter) or letter == ":"):
                    around = self.text[self.at :].lstrip()[:1], self.text[start : self.at].rstrip()
                    if not (letter.isspace() and (around[0] == ":" or around[1].endswith(":"))):
                        break
            self.at += 1
        if depth or quoted:
            raise self.fail("this name is not closed", start)
        return self.text[start : self.at].strip()


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter in ("_", ".") and letter != ""
