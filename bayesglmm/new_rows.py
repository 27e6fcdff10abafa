"""Rows that quantities are wanted at: those of the data, or new ones coded alike."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import checks, groups
from .coding import Coder, Functions
from .coefficients import formula_of
from .columns import Column, Table, level_text, plain
from .errors import DataError
from .expressions import Expression, names

if TYPE_CHECKING:
    from .design import Design

DIGITS, WHOLE = 4, 1000.0  # of a number in a label; from WHOLE on all digits stand there
NEW_LEVELS = ("refuse", "sample", "zero")


class Rows(NamedTuple):
    """Rows of a design.

    Attributes
    ----------
    X : ndarray, shape (n, p)
    z : tuple of ndarray
        Columns of each term, (n, q).
    offset : ndarray, shape (n,)
    trials : ndarray, shape (n,)
        1 where the response has none.
    weights : ndarray, shape (n,)
    level : tuple of ndarray
        Level of each row by factor, (n,); empty if the groups were left out.
    levels : tuple of tuple of str
        Levels by factor: those of the design, then new ones.
    se : ndarray or None, shape (n,)
        Known standard errors of the response.
    has_trials : bool
        False where the response needs trials and new rows have none.
    """

    X: np.ndarray
    z: tuple[np.ndarray, ...]
    offset: np.ndarray
    trials: np.ndarray
    weights: np.ndarray
    level: tuple[np.ndarray, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    se: np.ndarray | None = None
    has_trials: bool = True

    def part(self, rows: slice | np.ndarray) -> "Rows":
        """Some of the rows."""
        return self._replace(
            X=self.X[rows],
            z=tuple(z[rows] for z in self.z),
            offset=self.offset[rows],
            trials=self.trials[rows],
            weights=self.weights[rows],
            level=tuple(i[rows] for i in self.level),
            se=None if self.se is None else self.se[rows],
        )


def rows_of(design: "Design") -> Rows:
    """The rows of the data."""
    response = design.response
    return Rows(
        design.X,
        tuple(term.z for term in design.terms),
        design.offset,
        np.ones(len(design.offset)) if response.trials is None else response.trials,
        design.weights,
        tuple(np.asarray(f.index) for f in design.factors),
        tuple(f.levels for f in design.factors),
        response.se,
    )


def rows_at(
    design: "Design",
    newdata: Any,
    functions: Functions | None,
    *,
    grouped: bool = False,
    new_levels: str = "refuse",
) -> tuple[Rows, tuple[str, ...]]:
    """Rows of new data, or of the data if there are none, and their labels.

    Parameters
    ----------
    design : Design
    newdata : data frame, mapping or None
    functions : mapping, optional
        The user's own functions, where the formula has some.
    grouped : bool
        Whether the groups of the rows count. If not, their columns may be missing.
    new_levels : {"refuse", "sample", "zero"}
        If they count, whether levels that the design does not know are refused.

    Raises
    ------
    DataError
        For columns or levels that do not fit.
    """
    if newdata is None:
        return rows_of(design), tuple(f"row {k}" for k in design.rows)
    given = Table(newdata)
    formula = formula_of(design, functions or {})
    bars = {name for bar in formula.bars for name in bar.group}
    nodes = [f for product in formula.products for f in product] + list(formula.offsets)
    nodes += [f for bar in formula.bars for product in bar.products for f in product]
    alone = bars.difference(name for node in nodes for name in names(node))
    columns: dict[str, Column] = {}
    for name in formula.columns(with_response=False):
        if name in alone and not grouped:
            texts = np.full(given.size, "any", dtype=object)
            columns[name] = Column(name, "text", texts, np.zeros(given.size, dtype=bool))
        else:
            columns[name] = given.column(name)
    beside = [n for n in (formula.response.trials, formula.response.se) if n is not None]
    known = [name for node in beside for name in names(node) if name in given.names]
    # Other columns of the frame may be anything; one of none gives the size without predictors.
    size = {"": plain("", np.zeros(given.size))}
    table = Table(size | {name: given.column(name) for name in known} | columns)
    checks.complete_rows({n: c.missing for n, c in columns.items()}, table.size, "refuse", new=True)
    coder = Coder(table, functions=functions, frozen=design.frozen)
    X, _ = coder.columns(formula.products)
    factors, terms = groups.effects(formula, coder, None)
    trials = _numbers(formula.response.trials, coder, given)
    rows = Rows(
        X,
        tuple(t.z for t in terms),
        sum((coder.numbers(node) for node in formula.offsets), np.zeros(table.size)),
        np.ones(table.size) if trials is None else trials,
        np.ones(table.size),
        se=_numbers(formula.response.se, coder, given),
        has_trials=trials is not None,
    )
    if grouped:
        both = [
            _known(old, new, new_levels) for old, new in zip(design.factors, factors, strict=True)
        ]
        rows = rows._replace(
            level=tuple(np.asarray(f.index) for f in both), levels=tuple(f.levels for f in both)
        )
    shown = [name for name in columns if name not in bars or grouped]
    return rows, _labels({name: _plain(columns[name]) for name in shown}, table.size)


def _known(old: groups.Factor, new: groups.Factor, new_levels: str) -> groups.Factor:
    try:
        return groups.among(old, new, append=new_levels != "refuse")
    except DataError as error:
        raise DataError(
            f"{error}. new_levels='sample' (--new-levels sample) draws their effects from the "
            "distribution of groups, 'zero' takes them as 0"
        ) from None


def _numbers(node: Expression | None, coder: Coder, given: Table) -> np.ndarray | None:
    """Numbers of the response's side, None where new data do not have them."""
    if node is None or not all(name in given.names for name in names(node)):
        return None
    return coder.numbers(node)


def _labels(values: dict[str, list[Any]], size: int) -> tuple[str, ...]:
    """``x=0.126, f=a`` for each row, with as many digits as tell the rows apart."""
    for text in (_short, level_text):
        texts = {name: [text(v) for v in own] for name, own in values.items()}
        labels = tuple(
            ", ".join(f"{name}={own[k]}" for name, own in texts.items()) for k in range(size)
        )
        if len(set(labels)) == size:
            return labels
    return tuple(f"row {k}" for k in range(size))


def _short(value: Any) -> str:
    if isinstance(value, float | np.floating) and abs(float(value)) < WHOLE:
        return f"{value:.{DIGITS}g}"
    return level_text(value)


def _plain(column: Column) -> list[Any]:
    if column.kind == "categorical":
        return [column.categories[code] for code in column.values]
    return list(column.values)
