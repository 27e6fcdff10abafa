"""Coding: products of factors to columns of numbers, with what is frozen for new data.

Which factors get a column for every level is decided in `redundancy`; poly() and bs() are
formulaic's.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np

from .columns import Column, Rows, Table, level_text
from .errors import DataError
from .expressions import Call, Expression, Name, Number, Operation, Text
from .formula import BASES, CATEGORICAL, Product
from .redundancy import Coded, full_rank
from .wording import counted, first_rows, listed, shown_levels

MAX_COLUMNS = 10_000
LARGEST = 1e150  # whose square is still a number, and so is that of 1 / LARGEST
# A text column that spells numbers and has more levels than this was meant as numbers.
MAX_NUMERIC_LEVELS = 20

# Nearly a number: 12%, 1,234.5, -0,5, $3.
_NUMBER = re.compile(r"\s*[<>$€£]?\s*[-+]?\d[\d.,' ]*\s*%?\s*")
TRUTH = {"true": 1.0, "false": 0.0}

Functions = Mapping[str, Callable[..., Any]]
_ELEMENTWISE: dict[str, Callable[[Any], Any]] = {
    "log": np.log,
    "log1p": np.log1p,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "I": np.asarray,
}


@dataclass(frozen=True)
class Frozen:
    """What new data need to get the same columns.

    Attributes
    ----------
    levels : dict
        Levels of each categorical factor by its text in the formula, the reference first.
    state : dict
        Numbers behind center(), scale(), poly() and bs() by their text in the formula.
    means : dict
        Mean of each column of numbers right of ``~``, where means of a fit are taken.
    ranges : dict
        Its least and largest value.
    """

    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Numeric:
    """A numeric factor: a column, or the several of a basis."""

    names: tuple[str, ...]
    values: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Categorical:
    """A categorical factor: the level of each row."""

    name: str
    codes: np.ndarray
    levels: tuple[str, ...]


class Coder:
    """Evaluates factors on the kept rows of a table.

    Parameters
    ----------
    table : Table
        The data.
    rows : (n,) int array or None
        Positions to keep; None for all.
    functions : mapping
        The user's own functions by name.
    reference : mapping
        Reference levels of columns, where they are not the first ones.
    frozen : Frozen or None
        What an earlier coder found, to code new data alike; None to find it in these data.
    """

    def __init__(
        self,
        table: Table,
        rows: Rows = None,
        functions: Functions | None = None,
        reference: Mapping[str, str] | None = None,
        frozen: Frozen | None = None,
    ) -> None:
        self.table = table
        self.rows = rows
        self.size = table.size if rows is None else len(rows)
        self.functions = functions or {}
        given = (reference or {}).items()
        self.reference = {n: v if isinstance(v, str) else level_text(v) for n, v in given}
        self.fitting = frozen is None
        self.frozen = Frozen() if frozen is None else frozen
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._factors: dict[str, Numeric | Categorical] = {}

    # --- numbers -----------------------------------------------------------------------------

    @cached_property
    def ones(self) -> np.ndarray:
        """A one for each row, to be read only: it is one number, for of many rows arrays count."""
        return np.broadcast_to(np.float64(1.0), self.size)

    def numbers(self, node: Expression) -> np.ndarray:
        """Value of an arithmetic expression in every row, finite or refused."""
        with np.errstate(all="ignore"):
            values = np.array(np.broadcast_to(self._value(node), self.size), dtype=np.float64)
        self._check_finite(str(node), values)
        return values

    def _check_finite(self, name: str, values: np.ndarray) -> None:
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            value = str(values[bad[0]])
            raise DataError(
                f"{name} is {value} in {counted(bad.size, 'row')} ({self.first(bad)}); "
                "correct or remove them"
            )
        largest = float(np.abs(values).max(initial=0.0))
        if largest > LARGEST or 0.0 < largest < 1.0 / LARGEST:
            raise DataError(
                f"{name} is at most {largest:g} in size: the squares of such numbers cannot be "
                "computed; change its units"
            )

    def first(self, where: np.ndarray) -> str:
        """The first rows of some, as positions in the user's data."""
        return first_rows(where, self.rows)

    def _value(self, node: Expression) -> Any:
        if isinstance(node, Number):
            return np.float64(node.text)
        if isinstance(node, Name):
            column = self.table.column(node.name)
            if not column.is_numeric:
                truth = self._truth(column)
                if truth is not None:
                    return truth
                where = self._no_number(column)
                raise DataError(f"column {node.name!r} is text where numbers are needed{where}")
            return column.numbers(self.rows)
        if isinstance(node, Operation):
            operands = [self._value(operand) for operand in node.operands]
            return _operate(node.operator, operands)
        assert isinstance(node, Call)
        arguments = [self._value(argument) for argument in node.arguments]
        if node.function in self.functions:
            return self._user(node, arguments)
        if node.function in ("center", "scale"):
            return self._standardized(node, arguments[0])
        return _ELEMENTWISE[node.function](arguments[0])

    def _truth(self, column: Column) -> np.ndarray | None:
        """Texts "True" and "False" of new data as 1 and 0, where the data had booleans or these.

        A file has no booleans, so that what was one in a data frame comes from it as text.
        """
        if not self._may_be_truth(column):
            return None
        found = column.levels(self.rows)
        words = [TRUTH.get(text.lower()) for text in found.texts]
        if not words or None in words:
            return None
        return np.array([*words, np.nan], dtype=np.float64)[found.codes]

    def _may_be_truth(self, column: Column) -> bool:
        return not self.fitting and self.frozen.ranges.get(column.name) == (0.0, 1.0)

    def _no_number(self, column: Column) -> str:
        """The first text that spells no number, and its row; empty where all do."""
        texts = column.values if column.kind == "text" else ()
        truth = TRUTH if self._may_be_truth(column) else {}
        for k, text in enumerate(texts):
            if str(text).lower() in truth:
                continue
            try:
                float(text)
            except (TypeError, ValueError):
                if not column.missing[k]:
                    return f" ({text!r} at row {k})"
        return ""

    def _user(self, node: Call, arguments: list[Any]) -> np.ndarray:
        arguments = [np.array(np.broadcast_to(a, self.size)) for a in arguments]
        result = np.asarray(self.functions[node.function](*arguments))
        if result.shape != (self.size,) or result.dtype.kind not in "biuf":
            raise DataError(
                f"{node} gave an array of shape {result.shape} and type {result.dtype}; it has to "
                f"give {self.size} numbers"
            )
        return result.astype(np.float64)

    def _standardized(self, node: Call, x: Any) -> np.ndarray:
        x = np.broadcast_to(x, self.size)
        state = self.frozen.state.setdefault(str(node), {})
        if not state:
            state["center"] = float(np.mean(x))
            state["scale"] = 1.0
            if node.function == "scale":
                # The n - 1 of R's scale(); one value, or n equal ones, have no spread to divide by.
                spread = float(np.std(x, ddof=1)) if self.size > 1 else 0.0
                if not spread > 0:
                    raise DataError(f"{node} divides by the spread of a constant")
                state["scale"] = spread
        return (x - state["center"]) / state["scale"]

    def _basis(self, node: Call) -> Numeric:
        from formulaic.transforms import basis_spline, poly

        x = self.numbers(node.arguments[0])
        names = BASES[node.function]
        given = dict(zip(names, node.arguments[1:], strict=False)) | dict(node.options)
        options = {name: int(str(value)) for name, value in given.items()}
        state = self.frozen.state.setdefault(str(node), {})
        degree = options.get("degree", 1 if node.function == "poly" else 3)
        width = max(degree, options.get("df", degree))
        if self.fitting and width >= len(np.unique(x)):
            raise DataError(f"{node} needs more than {width} distinct values of its argument")
        try:
            if node.function == "poly":
                basis = np.asarray(poly(x, _state=state, **options))
                columns = tuple(np.array(column) for column in basis.T)
            else:
                spline = basis_spline(x, _state=state, **options)
                columns = tuple(np.array(spline[key]) for key in sorted(spline))
        except ValueError as error:
            if not self.fitting:
                raise DataError(f"{node}: new values lie outside the range of the data") from error
            raise DataError(f"{node} cannot be made: {error}") from error
        text = str(node)
        return Numeric(tuple(f"{text}[{k + 1}]" for k in range(len(columns))), columns)

    # --- factors -----------------------------------------------------------------------------

    def factor(self, node: Expression) -> Numeric | Categorical:
        """A factor of a product, evaluated once."""
        text = str(node)
        if text not in self._factors:
            self._factors[text] = self._factor(node)
        return self._factors[text]

    def is_categorical(self, node: Expression) -> bool:
        """Whether a factor is categorical; in new data, whether it was one."""
        if not self.fitting:
            return str(node) in self.frozen.levels
        if isinstance(node, Name):
            return not self.table.column(node.name).is_numeric
        return isinstance(node, Call) and node.function in CATEGORICAL

    def _factor(self, node: Expression) -> Numeric | Categorical:
        if self.is_categorical(node):
            return self._categorical(node)
        if isinstance(node, Call) and node.function in BASES:
            basis = self._basis(node)
            for name, values in zip(basis.names, basis.values, strict=True):
                self._check_finite(name, values)
            return basis
        return Numeric((str(node),), (self.numbers(node),))

    def _categorical(self, node: Expression) -> Categorical:
        name, text, level = str(node), str(node), None
        if isinstance(node, Call):
            inner = node.arguments[0]
            assert isinstance(inner, Name)
            column = self.table.column(inner.name)
            if len(node.arguments) == 2:
                assert isinstance(node.arguments[1], Text)
                name, level = str(inner), node.arguments[1].value
        else:
            assert isinstance(node, Name)
            column = self.table.column(node.name)
        found = column.levels(self.rows)
        if not self.fitting:
            return Categorical(name, self._known(column, found.codes, found.texts, text), ())
        self._check_levels(node, column, found.texts)
        if found.unused:
            self.warnings.append(f"{name}: {listed('level', found.unused)} without rows left out")
        if column.ordered:
            self.notes.append(f"{name} is ordered; it is coded by treatment contrasts all the same")
        level = self.reference.get(column.name) if level is None else level
        codes, levels = found.codes, found.texts
        if level is not None:
            codes, levels = _with_reference(column.name, codes, levels, level)
        self.frozen.levels[text] = levels
        return Categorical(name, codes, levels)

    def _known(
        self, column: Column, codes: np.ndarray, texts: tuple[str, ...], text: str
    ) -> np.ndarray:
        """Codes of new data among the levels that the model knows."""
        place = {level: k for k, level in enumerate(self.frozen.levels[text])}
        unseen = [level for level in texts if level not in place]
        if unseen:
            raise DataError(
                f"column {column.name!r} has {listed('level', unseen)} that the model does not "
                f"know; it knows {shown_levels(tuple(place))}"
            )
        return np.array([place[level] for level in texts] + [-1], dtype=np.int32)[codes]

    def _check_levels(self, node: Expression, column: Column, texts: tuple[str, ...]) -> None:
        if len(texts) == 1:
            raise DataError(f"factor {node} has one level, {texts[0]!r}; leave it out")
        if column.mixed:
            self.warnings.append(f"column {column.name!r} mixes texts and numbers; read as texts")
        many = len(texts) > MAX_NUMERIC_LEVELS and isinstance(node, Name)
        if column.kind == "text" and many:
            spelled = column.parsed() is not None
            if spelled or all(map(_NUMBER.fullmatch, texts)):
                like = "that spells numbers," if spelled else f"like {texts[0]!r}"
                raise DataError(
                    f"column {column.name!r} is text {like} and would make {len(texts) - 1} "
                    f"dummies; convert it to numbers, or write factor({node}) if you mean them"
                )
        if len(texts) > self.size / 2 and len(texts) > MAX_NUMERIC_LEVELS:
            self.warnings.append(
                f"{node} has {len(texts)} levels in {self.size} rows, a coefficient each; did you "
                f"mean (1 | {column.name})?"
            )

    # --- columns -----------------------------------------------------------------------------

    def columns(self, products: Iterable[Product]) -> tuple[np.ndarray, tuple[str, ...]]:
        """Columns of a sum of products and their names: (n, p) C-ordered, p names.

        Raises
        ------
        DataError
            If there are more than `MAX_COLUMNS`, or two would have one name.
        """
        products = tuple(products)
        coded = self._coded(products)
        factors = {str(f): self.factor(f) for p in products for f in p}
        parts = [[self._parts(factors[text], text, full) for text, full in c] for c in coded]
        width = sum(int(np.prod([len(part) for part in p], dtype=float)) for p in parts)
        if width > MAX_COLUMNS:
            raise DataError(
                f"the formula makes {width:,} columns; the limit is {MAX_COLUMNS:,}. "
                "A factor of many levels belongs in a term like (1 | g)"
            )
        X = np.empty((self.size, width))
        names: list[str] = []
        for factor_parts in parts:
            # The first factor varies fastest, as in R.
            for reverse in product(*reversed(factor_parts)):
                chosen = reverse[::-1]
                X[:, len(names)] = 1.0
                for _, values in chosen:
                    X[:, len(names)] *= values()
                names.append(":".join(name for name, _ in chosen) or "Intercept")
        if len(set(names)) < len(names):
            double = next(name for name in names if names.count(name) > 1)
            raise DataError(f"two columns would both be called {double!r}; rename a level")
        return X, tuple(names)

    def _coded(self, products: tuple[Product, ...]) -> list[Coded]:
        texts = [tuple(map(str, p)) for p in products]
        categorical = {str(f) for p in products for f in p if self.is_categorical(f)}
        return full_rank(texts, categorical)

    def _parts(
        self, factor: Numeric | Categorical, text: str, full: bool | None
    ) -> list[tuple[str, Callable[[], np.ndarray]]]:
        """Names of a factor's columns, and how to get them: only one is held at a time."""
        if isinstance(factor, Numeric):
            return [
                (name, partial(np.asarray, values))
                for name, values in zip(factor.names, factor.values, strict=True)
            ]
        codes = factor.codes
        return [
            (f"{factor.name}[{level}]", partial(np.equal, codes, k))
            for k, level in enumerate(self.frozen.levels[text])
            if full or k > 0
        ]


def _operate(operator: str, operands: list[Any]) -> Any:
    if operator == "()":
        return operands[0]
    if operator == "-":
        return -operands[0]
    total = operands[0]
    for operand in operands[1:]:
        if operator == "+":
            total = total + operand
        elif operator == "*":
            total = total * operand
        elif operator == "/":
            total = total / operand
        else:
            total = np.power(total, operand)
    return total


def _with_reference(
    name: str, codes: np.ndarray, levels: tuple[str, ...], level: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    if level not in levels:
        raise DataError(f"column {name!r} has no level {level!r}; it has {shown_levels(levels)}")
    k = levels.index(level)
    place = np.arange(len(levels), dtype=np.int32)
    place[:k] += 1
    place[k] = 0
    return place[codes], (level, *levels[:k], *levels[k + 1 :])
