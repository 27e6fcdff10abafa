"""The design: formula and data as arrays, ready for any model.

A random-effects term is a group index and its few columns z; the matrix Z of all effects is never
built. What new data need to get the same columns is frozen in it.
"""

import warnings as _warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from . import checks
from .coding import Categorical, Coder, Frozen, Functions
from .columns import Column, Table
from .errors import DataError, DataWarning
from .expressions import Name
from .formula import FUNCTIONS, Formula, read
from .groups import Factor, Term, among, effects
from .wording import counted, shown_levels

# Frames between the user's call and the warning: build, and the function that called it.
_STACKLEVEL = 3


@dataclass(frozen=True)
class Response:
    """The response.

    Attributes
    ----------
    name : str
        As tables show it.
    y : (n,) float array
        Values; numbers of successes where there are trials.
    trials : (n,) float array or None
        Numbers of trials.
    success_level : str or None
        The level whose probability is modelled, for a response of texts.
    se : (n,) float array or None
        Known standard errors.
    """

    name: str
    y: np.ndarray
    trials: np.ndarray | None
    success_level: str | None
    se: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray | None:
        """What the family's `prepare` takes beside y: trials, or known standard errors."""
        return self.trials if self.se is None else self.se


@dataclass(frozen=True)
class NewData:
    """The arrays of a `Design` for new rows: same columns, same factors, no response.

    ``factors[k].index`` counts in the design's levels; levels the design does not know follow
    after them, and ``factors[k].levels`` is then longer than the design's.
    """

    X: np.ndarray
    factors: tuple[Factor, ...]
    terms: tuple[Term, ...]
    offset: np.ndarray


@dataclass(frozen=True)
class Design:
    """Formula and data as arrays; all float arrays are float64, C-ordered and its own.

    Attributes
    ----------
    formula : str
        As it was written.
    response : Response
        The left of the formula.
    X : (n, p) float array
        Columns of the fixed effects.
    columns : tuple of str
        Their names, which are the rows of every table.
    has_intercept : bool
        Whether the first column is the intercept.
    factors, terms : tuple
        Factors of groups, and the effects that vary by them; terms of a factor are adjacent.
    offset, weights : (n,) float array
        0 and 1 where the user gives none.
    rows : (n,) int64 array
        Positions of the rows in the user's data.
    dropped : dict
        Rows that each column lacked and that were left out for it.
    rows_read : int
        Rows of the user's data; 0 if that was not noted.
    notes, warnings : tuple of str
        What was read in which way, and what the user was warned about.
    frozen : Frozen
        Levels and numbers that code new data alike.
    """

    formula: str
    response: Response
    X: np.ndarray
    columns: tuple[str, ...]
    has_intercept: bool
    factors: tuple[Factor, ...]
    terms: tuple[Term, ...]
    offset: np.ndarray
    weights: np.ndarray
    rows: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)
    rows_read: int = field(default=0, kw_only=True)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    frozen: Frozen = field(default_factory=Frozen)

    def __post_init__(self) -> None:
        # Of many rows every array counts; where none is left out, these are made when asked for.
        all_of_them = np.arange(len(self.X))
        if self.rows.dtype == all_of_them.dtype and np.array_equal(self.rows, all_of_them):
            del self.__dict__["rows"]

    if not TYPE_CHECKING:  # which would take any name for an attribute

        def __getattr__(self, name):
            if name == "rows" and "X" in self.__dict__:
                return np.arange(len(self.X))
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def new_data(
        self, data: object, new_levels: str = "refuse", functions: Functions | None = None
    ) -> NewData:
        """Code other data in the same way; the response is not needed.

        Parameters
        ----------
        data : data frame or mapping
            With every column right of ``~``.
        new_levels : {"refuse", "append"}
            What happens to groups the design does not know.
        functions : mapping, optional
            The user's own functions, where the formula has some.

        Raises
        ------
        DataError
            If a column is missing, holds missing values or an unknown level.
        """
        if new_levels not in ("refuse", "append"):
            raise DataError(f"new_levels has to be 'refuse' or 'append', not {new_levels!r}")
        formula = read(self.formula, functions or ())
        table = Table(data)
        used = formula.columns(with_response=False)
        checks.complete_rows({n: table.column(n).missing for n in used}, table.size, "refuse")
        coder = Coder(table, functions=functions, frozen=self.frozen)
        X, _ = coder.columns(formula.products)
        factors, terms = effects(formula, coder, None)
        return NewData(
            X,
            tuple(
                among(known, new, append=new_levels == "append")
                for known, new in zip(self.factors, factors, strict=True)
            ),
            terms,
            _offset(formula, coder),
        )


def build(
    formula: str,
    data: object,
    family: str = "gaussian",
    *,
    weights: object = None,
    missing: str = "refuse",
    functions: Functions | None = None,
    reference: Mapping[str, str] | None = None,
) -> Design:
    """Read a formula and data into a design, after every check that needs no compiled code.

    Parameters
    ----------
    formula : str
        In lme4's language, see `bayesglmm.formula`.
    data : data frame or mapping
        pandas, polars, pyarrow or a dict of columns.
    family : str
        Name of the family; the checks of the response depend on it.
    weights : str or array, optional
        Frequencies: a column's name, or one number a row.
    missing : {"refuse", "drop"}
        Whether rows with a missing value in any column that is used are refused or left out.
    functions : mapping, optional
        The user's own functions of numeric arrays by the name that the formula calls.
    reference : mapping, optional
        Reference level by column, where it is not the first.

    Raises
    ------
    FormulaError, DataError
        With what to do about it.
    """
    functions = functions or {}
    for name in functions:
        if name in FUNCTIONS or not name.isidentifier():
            raise DataError(f"a function of your own cannot be called {name!r}")
    read_formula = read(formula, functions)
    if weights is not None and read_formula.response.weights is not None:
        raise DataError("weights are given twice: in the formula and as an argument")
    table = Table(data)
    findings = checks.Findings()
    given_weights = _given_weights(weights, table)
    masks = {name: table.column(name).missing for name in read_formula.columns()}
    if given_weights is not None:
        masks[weights if isinstance(weights, str) else "weights"] = np.isnan(given_weights)
    rows, dropped = checks.complete_rows(masks, table.size, missing)
    coder = Coder(table, rows, functions, reference)
    if coder.size == 1:
        raise DataError("the data have 1 row; a model needs more")
    if dropped:
        left_out = counted(table.size - coder.size, "row")
        lacking = ", ".join(f"{name}: {count}" for name, count in dropped.items())
        findings.notes.append(f"{left_out} left out for missing values ({lacking})")

    response = _response(read_formula, coder, family, findings)
    family = checks.known_errors(family, response.se, rows)
    if response.se is not None:
        findings.notes.append(f"standard errors of {response.name} are known: no sigma")
    observed = checks.Observed(family, response.name, response.y, response.trials, rows)
    checks.response(observed, findings)
    frequency = _weights(read_formula, coder, given_weights)
    checks.weights(frequency, rows, findings)
    offset = _offset(read_formula, coder)
    has_intercept = () in read_formula.products
    checks.offset(offset, family, has_intercept)
    X, columns = coder.columns(read_formula.products)
    factors, terms = effects(read_formula, coder, findings)
    if not columns and not terms:
        raise DataError("the formula has no terms: neither coefficients nor groups")
    _check_effects(read_formula, coder, (X, columns), (factors, terms), (observed, findings))
    _keep_means(read_formula, coder, frequency)
    for text in (*table.respelled, *coder.warnings):
        findings.warn(text)
    for text in findings.warnings:
        _warnings.warn(text, DataWarning, stacklevel=_STACKLEVEL)
    return Design(
        formula=formula,
        response=response,
        X=X,
        columns=columns,
        has_intercept=has_intercept,
        factors=factors,
        terms=terms,
        offset=offset,
        weights=frequency,
        rows=np.arange(table.size) if rows is None else rows,
        dropped=dropped,
        rows_read=table.size,
        notes=(*findings.notes, *coder.notes),
        warnings=tuple(findings.warnings),
        frozen=coder.frozen,
    )


# --- response, weights, offset -------------------------------------------------------------------


def _response(formula: Formula, coder: Coder, family: str, findings: checks.Findings) -> Response:
    part = formula.response
    trials = None if part.trials is None else coder.numbers(part.trials)
    se = None if part.se is None else coder.numbers(part.se)
    if isinstance(part.y, Name):
        column = coder.table.column(part.y.name)
        if not column.is_numeric:
            y, level = _text_response(column, coder, family, findings)
            return Response(part.name, y, trials, level, se)
    return Response(part.name, coder.numbers(part.y), trials, None, se)


def _text_response(
    column: Column, coder: Coder, family: str, findings: checks.Findings
) -> tuple[np.ndarray, str | None]:
    """Numbers that a text spells, or for two levels of a 0/1 response the second one."""
    spelled = column.parsed()
    if spelled is not None and np.isfinite(spelled[~column.missing]).all():
        findings.notes.append(f"{column.name} is text that spells numbers; read as numbers")
        return (spelled if coder.rows is None else spelled[coder.rows]), None
    found = column.levels(coder.rows)
    levels = found.texts
    if family != "bernoulli":
        raise DataError(f"the response {column.name!r} is text; {family} needs numbers")
    if len(levels) != 2:
        raise DataError(
            f"bernoulli needs two levels; {column.name!r} has {len(levels)}: {shown_levels(levels)}"
        )
    failure = coder.reference.get(column.name, levels[0])
    if failure not in levels:
        raise DataError(f"column {column.name!r} has no level {failure!r}")
    success = levels[1] if failure == levels[0] else levels[0]
    findings.notes.append(f"modelling P({column.name} = {success!r})")
    return (found.codes == levels.index(success)).astype(np.float64), success


def _given_weights(weights: object, table: Table) -> np.ndarray | None:
    """The argument `weights` as numbers for all rows of the data."""
    if weights is None:
        return None
    if isinstance(weights, str):
        column = table.column(weights)
        if not column.is_numeric:
            raise DataError(f"the weights in column {weights!r} are text")
        return column.numbers()
    try:
        values = np.asarray(weights)
    except (TypeError, ValueError) as error:
        raise DataError(f"weights have to be {table.size} numbers, one a row: {error}") from error
    if values.dtype.kind not in "biuf" or values.shape != (table.size,):
        raise DataError(
            f"weights have to be {table.size} numbers, one a row; these are of shape "
            f"{values.shape} and type {values.dtype}"
        )
    return values.astype(np.float64)


def _weights(formula: Formula, coder: Coder, given: np.ndarray | None) -> np.ndarray:
    if formula.response.weights is not None:
        return coder.numbers(formula.response.weights)
    if given is None:
        return coder.ones
    return given if coder.rows is None else given[coder.rows]


def _offset(formula: Formula, coder: Coder) -> np.ndarray:
    total = np.zeros(coder.size)
    for node in formula.offsets:
        total += coder.numbers(node)
    return total


def _keep_means(formula: Formula, coder: Coder, weights: np.ndarray) -> None:
    """Keep means and ranges of the columns of numbers, over all rows that the weights count."""
    for name in formula.columns(with_response=False):
        column = coder.table.column(name)
        if column.is_numeric and np.any(weights > 0.0):
            values = column.numbers(coder.rows)
            coder.frozen.means[name] = float(values @ (weights / weights.sum()))
            counted_values = values[weights > 0.0]
            coder.frozen.ranges[name] = (float(counted_values.min()), float(counted_values.max()))


# --- checks that need all of it ------------------------------------------------------------------


def _check_effects(
    formula: Formula,
    coder: Coder,
    fixed: tuple[np.ndarray, tuple[str, ...]],
    random: tuple[tuple[Factor, ...], tuple[Term, ...]],
    found: tuple[checks.Observed, checks.Findings],
) -> None:
    X, columns = fixed
    factors, terms = random
    observed, findings = found
    checks.fixed_effects(X, columns, observed, findings)
    mains = [coder.factor(p[0]) for p in formula.products if len(p) == 1]
    classes = [factor for factor in mains if isinstance(factor, Categorical)]
    dummies = {f"{f.name}[{level}]" for f in classes for level in f.levels}
    numeric = [
        (name, X[:, k])
        for k, name in enumerate(columns)
        if name != "Intercept" and name not in dummies
    ]
    checks.separation(observed, numeric, [(f.name, f.codes, f.levels) for f in classes], findings)
    combined = {":".join(bar.group) for bar in formula.bars if len(bar.group) > 1}
    groupings = [
        checks.Grouping(f.name, f.index, len(f.levels), f.name in combined) for f in factors
    ]
    checks.groups(groupings, observed, findings)
    for factor in factors:
        if any(factor.name in (c.name, f"factor({c.name})") for c in classes):
            findings.warn(
                f"{factor.name} is both a fixed factor and a group: its levels are explained twice"
            )
    orders: dict[int, np.ndarray] = {}
    for term in terms:
        if any(name != "Intercept" for name in term.names):
            if term.factor not in orders:
                orders[term.factor] = np.argsort(factors[term.factor].index, kind="stable")
            order = orders[term.factor]
            checks.slopes(groupings[term.factor], term.names, term.z, order, findings)
