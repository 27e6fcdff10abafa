"""The reference grid: settings of the predictors as rows of X.

A setting gives some predictors values. What it leaves open is filled in: numbers at their means
over the data (of ``log(x)`` that is the log of the mean of x), factors at all their levels with
equal weights. Offsets stay out: means are those of a unit of exposure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from .coding import Coder, Functions
from .coefficients import column_of, formula_of, is_categorical
from .columns import Column, Table, level_text, plain
from .errors import DataError
from .expressions import names
from .wording import shown_levels

if TYPE_CHECKING:
    from .design import Design

POINTS = 50  # of a curve over the range of the data
MAX_ROWS = 200_000  # of one grid; beyond it some factors have to be fixed

Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Variable:
    """A column of the data that the fixed effects use.

    Attributes
    ----------
    name : str
    levels : tuple of str
        Its levels where it is a factor, the reference first; empty for a number.
    mean : float
        Mean of a number.
    is_number : bool
        Whether it enters as a number somewhere, perhaps beside a factor made of it.
    """

    name: str
    levels: tuple[str, ...]
    mean: float
    is_number: bool


class Grid:
    """The predictors of a design and how to make rows of X from settings of them.

    Parameters
    ----------
    design : Design
    functions : mapping, optional
        The user's own functions, where the formula has some.
    """

    def __init__(self, design: "Design", functions: Functions | None = None) -> None:
        self.design, self.functions = design, functions or {}
        self.formula = formula_of(design, self.functions)
        self.variables = _variables(self.formula.products, design)

    def variable(self, name: str) -> Variable:
        """The predictor called `name`, which may also be written as in the formula.

        Raises
        ------
        DataError
            If the fixed effects do not use it, with the close names.
        """
        if not isinstance(name, str):
            raise DataError(f"a predictor is given by its name, not by {name!r}")
        for product_ in self.formula.products:
            for node in product_:
                if str(node) == name and is_categorical(node, self.design):
                    name = column_of(node)
        if name not in self.variables:
            close = get_close_matches(name, self.variables, n=2)
            there = shown_levels(self.variables) or "no predictors"
            hint = f"did you mean {close[0]!r}?" if close else f"they use {there}"
            raise DataError(f"the fixed effects have no predictor {name!r}; {hint}")
        return self.variables[name]

    def setting(self, given: Setting) -> dict[str, tuple[Any, ...]]:
        """Values by predictor, checked: levels as text, numbers as float; several are averaged."""
        if not isinstance(given, Mapping):
            raise DataError(f"values of predictors are a dict by name, not {given!r}")
        made: dict[str, tuple[Any, ...]] = {}
        for name, value in given.items():
            variable = self.variable(name)
            if variable.name in made:
                raise DataError(f"{variable.name!r} is given twice")
            several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
            values = tuple(value) if several else (value,)
            if not values:
                raise DataError(f"{variable.name!r} is given no value")
            made[variable.name] = tuple(_value(variable, v) for v in values)
        return made

    def course(self, over: Any) -> tuple[Variable, tuple[Any, ...]]:
        """A predictor along which something is shown, and its values there.

        Parameters
        ----------
        over : str, or dict of one predictor to values
            Without values along the range of the data, or at all levels of a factor.

        Raises
        ------
        DataError
            For several predictors, or one whose range is not known.
        """
        if isinstance(over, Mapping):
            if len(over) != 1:
                raise DataError("over has to be one predictor, like {'base': [8, 16, 32]}")
            ((name, given),) = self.setting(over).items()
            return self.variable(name), given
        variable = self.variable(over)
        if variable.levels:
            return variable, variable.levels
        found = self.design.frozen.ranges.get(variable.name)
        if found is None:
            raise DataError(
                f"the range of {over!r} is not known; give values: over={{{over!r}: [...]}}"
            )
        return variable, tuple(np.linspace(*found, POINTS).tolist())

    def rows(self, settings: Sequence[dict[str, tuple[Any, ...]]]) -> np.ndarray:
        """Rows of X at settings that `setting` made, shape (k, p), what is open averaged."""
        combinations = [self.combinations(s) for s in settings]
        total = sum(len(c) for c in combinations)
        if total > MAX_ROWS:
            raise DataError(
                f"the means are over {total:,} combinations of levels; the limit is "
                f"{MAX_ROWS:,}. Fix some of {shown_levels(self.variables)} with at={{...}}"
            )
        flat = [values for found in combinations for values in found]
        X = self.coded(
            {name: [row[k] for row in flat] for k, name in enumerate(self.variables)}, total
        )
        starts = np.cumsum([0, *(len(c) for c in combinations)])
        return np.array([X[a:b].mean(axis=0) for a, b in zip(starts, starts[1:], strict=False)])

    def combinations(self, setting: dict[str, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Values of all predictors, in the order of `variables`, that a setting stands for."""
        choices = []
        for variable in self.variables.values():
            if variable.name in setting:
                choices.append(setting[variable.name])
            elif variable.levels:
                choices.append(variable.levels)
            elif np.isfinite(variable.mean):
                choices.append((variable.mean,))
            else:
                raise DataError(f"the mean of {variable.name!r} is not known; give it a value")
        if np.prod([float(len(c)) for c in choices]) > MAX_ROWS:
            raise DataError(
                f"the means are over more than {MAX_ROWS:,} combinations of levels. "
                f"Fix some of {shown_levels(self.variables)} with at={{...}}"
            )
        return list(product(*choices))

    def coded(self, values: Mapping[str, Any], size: int) -> np.ndarray:
        """X at columns of values, shape (size, p): texts of levels and numbers."""
        columns: dict[str, Any] = {"": plain("", np.zeros(size))}  # a size, also without predictors
        for name, variable in self.variables.items():
            if variable.is_number or not variable.levels:
                columns[name] = plain(name, np.array(values[name], dtype=np.float64))
            else:
                place = {level: k for k, level in enumerate(variable.levels)}
                codes = np.array([place[v] for v in values[name]], dtype=np.int64)
                present = np.zeros(size, dtype=bool)
                columns[name] = Column(name, "categorical", codes, present, variable.levels)
        coder = Coder(Table(columns), functions=self.functions, frozen=self.design.frozen)
        return coder.columns(self.formula.products)[0]


def _variables(products: Any, design: "Design") -> dict[str, Variable]:
    levels: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, None] = {}
    order: dict[str, None] = {}
    for factor in (f for p in products for f in p):
        used = names(factor)
        order.update(dict.fromkeys(used))
        if is_categorical(factor, design):
            levels.setdefault(column_of(factor), design.frozen.levels[str(factor)])
        else:
            numbers.update(dict.fromkeys(used))
    means = design.frozen.means
    return {
        name: Variable(name, levels.get(name, ()), means.get(name, np.nan), name in numbers)
        for name in order
    }


def _value(variable: Variable, value: Any) -> Any:
    if variable.levels:
        text = value if isinstance(value, str) else level_text(value)
        if text not in variable.levels:
            raise DataError(
                f"{variable.name!r} has no level {text!r}; it has {shown_levels(variable.levels)}"
            )
        return text
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"{variable.name!r} has to be a number, not {value!r}")
    return number
