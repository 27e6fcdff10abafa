"""Groups: the bars of a formula as factors and the terms that vary by them."""

import warnings
from dataclasses import dataclass

import numpy as np

from . import checks
from .coding import Coder
from .columns import Column
from .errors import DataError, DataWarning
from .formula import Bar, Formula, Product
from .wording import counted, shown_levels


@dataclass(frozen=True)
class Factor:
    """A factor of groups.

    Attributes
    ----------
    name : str
        Its column, or ``"a:b"``.
    index : (n,) int32 array
        Level of each row.
    levels : tuple of str
        Texts of the levels that have rows; numeric ids in numeric order.
    """

    name: str
    index: np.ndarray
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Term:
    """Effects that vary by the levels of one factor and have one covariance matrix.

    Attributes
    ----------
    factor : int
        Which of the design's factors.
    names : tuple of str
        Names of the columns of `z`, ``"Intercept"`` first if it is there.
    z : (n, q) float array
        Columns that the effects multiply.
    correlated : bool
        Whether the q effects of a level may be correlated.
    text : str
        The term as the formula has it.
    """

    factor: int
    names: tuple[str, ...]
    z: np.ndarray
    correlated: bool
    text: str


def effects(
    formula: Formula, coder: Coder, findings: checks.Findings | None
) -> tuple[tuple[Factor, ...], tuple[Term, ...]]:
    """Factors and terms of the bars; terms of one factor made adjacent."""
    # a:b and b:a are one factor, under the name that comes first.
    groups = dict.fromkeys(frozenset(bar.group) for bar in formula.bars)
    place = {group: k for k, group in enumerate(groups)}
    factors: dict[int, Factor] = {}
    terms: list[Term] = []
    for bar in sorted(formula.bars, key=lambda bar: place[frozenset(bar.group)]):
        k = place[frozenset(bar.group)]
        if k not in factors:
            factors[k] = _factor(bar.group, coder, findings)
        terms += _terms(bar, k, coder)
    return tuple(factors.values()), tuple(terms)


def _terms(bar: Bar, factor: int, coder: Coder) -> list[Term]:
    """One term; but ``(x + f || g)``, f categorical, is ``(x || g) + (0 + f | g)`` as in lme4."""
    if bar.correlated:
        parts: list[tuple[list[Product], bool]] = [(list(bar.products), True)]
    else:
        classes = [p for p in bar.products if any(map(coder.is_categorical, p))]
        numeric = [p for p in bar.products if p not in classes]
        parts = [(numeric, False)] * bool(numeric) + [([p], True) for p in classes]
    terms = []
    for products, correlated in parts:
        z, names = coder.columns(products)
        if products == [()]:
            z = coder.ones[:, None]
        terms.append(Term(factor, names, z, correlated, bar.text))
    return terms


def _factor(group: tuple[str, ...], coder: Coder, findings: checks.Findings | None) -> Factor:
    """The levels of a column, or the combinations of levels of several that have rows."""
    levels: tuple[str, ...] = ()
    index = np.zeros(0, dtype=np.int32)
    for k, name in enumerate(group):
        column = coder.table.column(name)
        found = column.levels(coder.rows, natural=True)
        if findings is not None:
            _check_group_column(column, found.texts, coder, findings)
            if found.unused:
                unused = counted(len(found.unused), "level")
                findings.notes.append(f"{name}: {unused} without rows not counted")
        if k == 0:
            index, levels = found.codes, found.texts
        else:
            index, levels = _combined((index, levels), (found.codes, found.texts))
    return Factor(":".join(group), index, levels)


def _combined(
    left: tuple[np.ndarray, tuple[str, ...]], right: tuple[np.ndarray, tuple[str, ...]]
) -> tuple[np.ndarray, tuple[str, ...]]:
    pair = left[0].astype(np.int64) * len(right[1]) + right[0]
    observed, index = np.unique(pair, return_inverse=True)
    first, second = np.divmod(observed, len(right[1]))
    texts = [f"{left[1][i]}:{right[1][j]}" for i, j in zip(first, second, strict=True)]
    if len(set(texts)) < len(texts):
        double = next(text for text in texts if texts.count(text) > 1)
        raise DataError(f"two combinations of levels would both be called {double!r}; rename one")
    return index.astype(np.int32), tuple(texts)


def _check_group_column(
    column: Column, texts: tuple[str, ...], coder: Coder, findings: checks.Findings
) -> None:
    values: np.ndarray | None = None
    if column.is_numeric and column.values.dtype.kind == "f":
        values = column.numbers(coder.rows)
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            where = coder.first(infinite)
            raise DataError(f"column {column.name!r}, used as a group, is infinite ({where})")
    if column.mixed:
        findings.warn(
            f"column {column.name!r} mixes texts and numbers; 1 and '1' are taken as one level"
        )
    checks.group_column(column.name, values, texts, coder.size, findings)


def _lost_zeros(known: tuple[str, ...], unseen: list[str]) -> str:
    """What to say where levels are known but for leading zeros, which readers of numbers drop."""
    padded = {level.lstrip("0") or "0": level for level in known if level[:1] == "0"}
    for level in unseen:
        if level in padded:
            return f"; it knows {padded[level]!r}: read {level!r} as text, with its zeros"
    return ""


def among(known: Factor, new: Factor, *, append: bool) -> Factor:
    """New rows' levels as levels of the design."""
    place = {level: k for k, level in enumerate(known.levels)}
    unseen = [level for level in new.levels if level not in place]
    if unseen and not append:
        raise DataError(
            f"{known.name} has {counted(len(unseen), 'level')} that the model does not know "
            f"({shown_levels(unseen)}){_lost_zeros(known.levels, unseen)}"
        )
    lost = _lost_zeros(known.levels, unseen)
    if lost:
        warnings.warn(
            f"{shown_levels(unseen)} of {known.name} are taken as new groups{lost}",
            DataWarning,
            stacklevel=2,
        )
    levels = (*known.levels, *unseen)
    place.update({level: len(known.levels) + k for k, level in enumerate(unseen)})
    table = np.array([place[level] for level in new.levels], dtype=np.int32)
    return Factor(known.name, table[new.index], levels)
