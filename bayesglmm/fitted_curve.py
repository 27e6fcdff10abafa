"""Fitted curves: the mean of the response along a predictor, with credible bands.

At effects of 0, averaged over the distribution of groups, or for given groups (`prediction`).
Predictors that are left open are as in `grid`: numbers at their means, factors averaged over their
levels, on the scale of the linear predictor; offsets stay out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .axes import curve, saved
from .coding import Functions
from .coefficients import formula_of
from .columns import level_text
from .errors import DataError
from .expressions import names
from .grid import Grid, Variable
from .new_rows import Rows, rows_at
from .prediction import SCALES, Prediction
from .tables import Table
from .wording import shown_levels

if TYPE_CHECKING:
    import pandas

    from .posterior import Posterior

KINDS = ("population", "marginal")  # of curves that are of no group
WORDS = {"population": "at effects of 0", "marginal": "averaged over groups"}
MAX_CURVES = 30


@dataclass(frozen=True, eq=False)
class FittedCurve:
    """Curves of a posterior along a predictor.

    Attributes
    ----------
    over : Variable
        The predictor.
    values : tuple
        Its values, numbers or levels.
    curves : tuple of str
        What each curve is of; empty text if there is only one.
    predictions : tuple of Prediction
        One a curve, a row for each value.
    response : str
    """

    over: Variable
    values: tuple[Any, ...]
    curves: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    response: str

    @cached_property
    def _tables(self) -> list[Table]:
        """One a curve."""
        return [prediction.table() for prediction in self.predictions]

    @property
    def _what(self) -> str:
        """What the curves are of."""
        first = self.predictions[0]
        if first.scale == "link":
            return f"linear predictor of {self.response}"
        trials = first.model.design.response.trials is not None
        return f"proportion of {self.response}" if trials else f"mean {self.response}"

    @property
    def _offset(self) -> str:
        """What has to be said where the model has an offset."""
        return ", offset at 0" if self.predictions[0].model.design.offset.any() else ""

    def table(self) -> Table:
        """Columns ``mean sd median`` and the limits, a row for each value of each curve."""
        parts = self._tables
        columns = {
            name: np.concatenate([part.columns[name] for part in parts])
            for name in parts[0].columns
        }
        if not self.over.levels:
            x = np.tile(np.array(self.values, dtype=float), len(self.curves))
            columns = {self.over.name: x, **columns}
        labels = tuple(
            ", ".join(filter(None, (curve, label)))
            for curve, part in zip(self.curves, parts, strict=True)
            for label in part.rows
        )
        return Table(labels, columns)

    def frame(self) -> "pandas.DataFrame":
        """Return `table` as a data frame."""
        return self.table().frame()

    def plot(self, ax: Any = None, *, path: str | Path | None = None) -> Any:
        """Plot the posterior medians of the curves with their credible bands.

        Parameters
        ----------
        ax : matplotlib axes, optional
        path : str or Path, optional
            File that the figure is saved to.

        Returns
        -------
        matplotlib axes
        """
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(6.5, 4.2), dpi=150, layout="constrained").subplots()
        factor = bool(self.over.levels)
        count = len(self.curves)
        x = np.arange(len(self.values)) if factor else np.array(self.values, dtype=float)
        for k, (label, table) in enumerate(zip(self.curves, self._tables, strict=True)):
            low, high = (table.columns[name] for name in table.columns if name.endswith("%"))
            # Points of several curves stand side by side.
            beside = 0.5 * (k - 0.5 * (count - 1)) / count if factor else 0.0
            curve(ax, x + beside, table.columns["median"], low, high, label, factor)
        if factor:
            ax.set_xticks(x, self.values)
        ax.set_xlabel(self.over.name)
        ax.set_ylabel(self._what + self._offset)
        if any(self.curves):
            ax.legend(frameon=False, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
        return saved(ax, path)

    def __str__(self) -> str:
        prob = f"{100 * self.predictions[0].ci_prob:g}%"
        what = self._what[0].upper() + self._what[1:]
        title = f"{what} along {self.over.name}{self._offset}, {prob} limits"
        return f"{title}\n{self.table()}"

    def __repr__(self) -> str:
        return f"<FittedCurve of {self.response} along {self.over.name}, {len(self.curves)} curves>"


def fitted_curve(
    post: "Posterior",
    over: Any,
    *,
    by: str | None = None,
    at: Mapping[str, Any] | None = None,
    effects: str | Sequence[str] = "population",
    groups: Mapping[str, Any] | None = None,
    scale: str = "response",
    functions: Functions | None = None,
    ci_prob: float = 0.95,
    ci_kind: str = "eti",
) -> FittedCurve:
    """Curves along a predictor.

    Parameters
    ----------
    post : Posterior
    over : str, or dict of one predictor to values
        Along which predictor, and at which values; without values along the range of the data, or
        at all levels of a factor.
    by : str, optional
        A factor: a curve for each of its levels.
    at : dict, optional
        Values of other predictors.
    effects : {"population", "marginal"}, or both
        At effects of 0, or averaged over the distribution of groups.
    groups : dict, optional
        Curves of given groups instead: a column to one level or several, ``{"id": [101, 104]}``.
        Columns of other groupings that are not named have effects of 0.
    scale : {"response", "link"}
    functions : mapping, optional
        The user's own functions, where the formula has some.
    ci_prob, ci_kind : float, {"eti", "hdi"}
        Of the bands.

    Raises
    ------
    DataError
        For predictors, levels, groups or values that do not fit.
    """
    if scale not in SCALES:
        raise DataError(f"scale has to be one of {', '.join(SCALES)}, not {scale!r}")
    kinds = (effects,) if isinstance(effects, str) else tuple(effects)
    for kind in kinds:
        if kind not in KINDS:
            raise DataError(
                f"effects has to be one of {', '.join(KINDS)}, not {kind!r}; curves of groups are "
                "asked for by groups={...}"
            )
    if not kinds:
        raise DataError(f"effects has to name one of {', '.join(KINDS)}, or both")
    for what, given in (("at", at), ("groups", groups)):
        if given is not None and not isinstance(given, Mapping):
            raise DataError(f"{what} has to be a dict of values by column, not {given!r}")
    grid = Grid(post.model.design, functions)
    along, values = grid.course(over)
    fixed = {k: v for k, v in (at or {}).items() if k in grid.variables}
    setting = grid.setting(fixed)
    others = _others(grid, {k: v for k, v in (at or {}).items() if k not in fixed})
    sides: tuple[Any, ...] = (None,)
    if by is not None:
        side = grid.variable(by)
        if not side.levels:
            raise DataError(f"by has to be a factor, and {by!r} is a number: use at={{...}}")
        if side.name == along.name:
            raise DataError(f"curves along {by!r} cannot differ by it")
        sides = setting.pop(side.name, side.levels)
    curves, made = [], []
    for own, level, kind in product(
        _groupings(grid, groups), sides, kinds if not groups else ("",)
    ):
        chosen = {**setting, **({side.name: (level,)} if level is not None else {})}
        rows = _rows(grid, [{**chosen, along.name: (value,)} for value in values], others, own)
        labels = tuple(f"{along.name}={v if along.levels else format(v, 'g')}" for v in values)
        if len(set(labels)) < len(labels):
            labels = tuple(f"{along.name}={v}" for v in values)
        made.append(
            Prediction(
                post.model, post.values, rows, labels, kind or "conditional",
                "zero" if own is not None else "refuse", scale, ci_prob, ci_kind, post.run.seed,
            )
        )  # fmt: skip
        curves.append(
            ", ".join(
                [f"{k}={v}" for k, v in (own or {}).items()]
                + ([f"{side.name}={level}"] if level is not None else [])
                + ([WORDS[kind]] if len(kinds) > 1 and kind else [])
            )
        )
    if len(curves) > MAX_CURVES:
        raise DataError(f"{len(curves)} curves cannot be told apart; ask for {MAX_CURVES} at most")
    name = post.model.design.response.name
    return FittedCurve(along, values, tuple(curves), tuple(made), name)


def _groupings(grid: Grid, groups: Mapping[str, Any] | None) -> list[dict[str, str] | None]:
    """Levels of columns, one dict a curve; [None] where the curves are of no group."""
    if not groups:
        return [None]
    known = [name for bar in grid.formula.bars for name in bar.group]
    choices = []
    for name, given in groups.items():
        if name not in known:
            raise DataError(f"{name!r} is no grouping column; there are {', '.join(known)}")
        several = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
        choices.append([level_text(v) for v in (given if several else (given,))])
        if not choices[-1]:
            raise DataError(f"groups names no level of {name!r}")
    return [dict(zip(groups, levels, strict=True)) for levels in product(*choices)]


def _others(grid: Grid, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of columns that only the effects' columns use: those given, or means."""
    bars = {name for bar in grid.formula.bars for name in bar.group}
    found: dict[str, Any] = {}
    needed = [
        name
        for bar in grid.formula.bars
        for product_ in bar.products
        for node in product_
        for name in names(node)
        if name not in grid.variables
    ]
    for name in given:
        if name not in needed:
            grid.variable(name)  # says what there is
    for name in dict.fromkeys(needed):
        if name in given:
            found[name] = given[name]
        elif name in grid.design.frozen.means:
            found[name] = grid.design.frozen.means[name]
        else:
            raise DataError(
                f"only effects depend on {name!r}: give it a value, at={{{name!r}: ...}}"
            )
    return {name: value for name, value in found.items() if name not in bars}


def _rows(
    grid: Grid,
    settings: list[dict[str, tuple[Any, ...]]],
    others: Mapping[str, Any],
    own: Mapping[str, str] | None,
) -> Rows:
    """Rows at settings, what is open averaged; `own` are levels of grouping columns."""
    found = [grid.combinations(setting) for setting in settings]
    size = sum(map(len, found))
    flat = [values for part in found for values in part]
    columns: dict[str, Any] = {
        name: [float(row[k]) if variable.is_number else row[k] for row in flat]
        for k, (name, variable) in enumerate(grid.variables.items())
    }
    columns |= {name: [value] * size for name, value in others.items()}
    design = grid.design
    formula = formula_of(design, grid.functions)
    used = {name for node in formula.offsets for name in names(node)}
    columns |= {name: [1.0] * size for name in used - set(columns)}
    if own is not None:
        bars = [name for bar in formula.bars for name in bar.group]
        columns |= {name: [own.get(name, "")] * size for name in dict.fromkeys(bars)}
    if not columns:
        columns = {"": [0.0] * size}
    rows, _ = rows_at(design, columns, grid.functions, grouped=own is not None, new_levels="zero")
    if own is not None:
        _refuse_unknown(rows, grid, own)
    starts = np.cumsum([0, *map(len, found)])
    pairs = list(zip(starts, starts[1:], strict=False))

    def mean(x: np.ndarray) -> np.ndarray:
        return np.array([x[a:b].mean(axis=0) for a, b in pairs])

    return rows._replace(
        X=mean(rows.X),
        z=tuple(map(mean, rows.z)),
        offset=np.zeros(len(pairs)),
        trials=np.ones(len(pairs)),
        weights=np.ones(len(pairs)),
        level=tuple(index[starts[:-1]] for index in rows.level),
        se=None,
    )


def _refuse_unknown(rows: Rows, grid: Grid, own: Mapping[str, str]) -> None:
    """Refuse levels that were asked for and do not exist."""
    for factor, index, bar_levels in zip(grid.design.factors, rows.level, rows.levels, strict=True):
        parts = factor.name.split(":")
        if all(name in own for name in parts) and (index >= len(factor.levels)).any():
            there = shown_levels(factor.levels)
            raise DataError(f"{factor.name} has no level {bar_levels[-1]!r}; it has {there}")
