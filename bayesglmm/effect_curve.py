"""The effect of one predictor along another: a rate ratio at values of a covariate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .axes import curve, logarithmic, saved
from .coding import Functions
from .columns import level_text
from .crossing import Crossing, of_draws, of_estimate
from .errors import DataError
from .grid import Grid, Setting, Variable
from .quantities import LINEAR, Drawn, Quantities, of_coefficients, ratio, refuse_unknown
from .tables import Table
from .wording import shown_levels

if TYPE_CHECKING:
    import pandas

    from .derived import Derived


@dataclass(frozen=True, eq=False)
class EffectCurve:
    """The effect of a predictor along another one.

    Attributes
    ----------
    quantities : Estimates or Drawn
        The effect at every value, the values of the first comparison first.
    over : Variable
        The predictor along which it is.
    values : tuple
        Its values, numbers or levels.
    comparisons : tuple of str
        What is compared: ``treat[new] - treat[standard]``.
    settings : callable
        ``settings(comparison, values)``: rows (m, p) of the comparison at values.
    result : Fit or Posterior
    """

    quantities: Quantities
    over: Variable
    values: tuple[Any, ...]
    comparisons: tuple[str, ...]
    settings: Callable[[int, Sequence[Any]], np.ndarray]
    result: "Derived"

    def table(self) -> Table:
        """The effect at every value, as `quantities` tables it; the value itself comes first."""
        made = self.quantities.table()
        if self.over.levels:
            return made
        values = np.tile(np.array(self.values), len(self.comparisons))
        return Table(made.rows, {self.over.name: values, **made.columns})

    def frame(self) -> "pandas.DataFrame":
        """Return `table` as a data frame."""
        return self.table().frame()

    def crossing(self, at: float | None = None) -> "Crossing":
        """Where along the curve the effect has a given size; the first place, if there are several.

        Parameters
        ----------
        at : float, optional
            The size, on the scale shown: 1 for ratios and 0 for differences if not given.

        Returns
        -------
        Crossing

        Raises
        ------
        DataError
            If the curve is along a factor, or a ratio cannot have that size.
        """
        if self.over.levels:
            raise DataError(f"{self.over.name!r} is a factor: nothing lies between its levels")
        scale = self.quantities.scale
        size = scale.null if at is None else float(at)
        if scale is not LINEAR and not size > 0.0:
            raise DataError(f"a {scale.name} is above 0, and cannot be {size}")
        target = size if scale is LINEAR else float(np.log(size))
        within = (min(self.values), max(self.values))
        found = []
        for k in range(len(self.comparisons)):
            rows = partial(self.settings, k)
            if isinstance(self.quantities, Drawn):
                found.append(of_draws(rows, within, target, self.result, self.quantities))
            else:
                found.append(of_estimate(rows, within, target, self.result, self.quantities))
        title = f"{self.over.name} where the {scale.name or 'effect'} is {size:g}"
        return Crossing(title, self.comparisons, within, tuple(found))

    def plot(self, ax: Any = None, *, path: Any = None) -> Any:
        """Plot the curves with their bands, and a line where there is no effect.

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
            import matplotlib.pyplot as plt

            ax = plt.subplots()[1]
        columns = self.quantities.table().columns
        names = list(columns)
        middle = "median" if "median" in columns else "estimate"
        low, high = (n for n in names if n.endswith("%"))
        shape = (len(self.comparisons), -1)
        x = np.arange(len(self.values)) if self.over.levels else np.array(self.values)
        curves = (columns[name].reshape(shape) for name in (middle, low, high))
        for label, y, lower, upper in zip(self.comparisons, *curves, strict=True):
            curve(ax, x, y, lower, upper, label, bool(self.over.levels))
        if self.over.levels:
            ax.set_xticks(x, self.values)
        ax.axhline(self.quantities.scale.null, color="gray", linewidth=0.8, linestyle="--")
        if self.quantities.scale is not LINEAR:
            ax.set_yscale("log")
            logarithmic(ax.yaxis, *ax.get_ylim())
        ax.set_xlabel(self.over.name)
        ax.set_ylabel(self.quantities.scale.name or "effect on the linear predictor")
        ax.legend()
        return saved(ax, path)

    def __str__(self) -> str:
        return str(self.quantities)


def effect_of(
    result: "Derived",
    of: str,
    *,
    over: Any = None,
    levels: Sequence[Any] | None = None,
    step: float = 1.0,
    at: Setting | None = None,
    exponentiate: bool = False,
    functions: Functions | None = None,
    **limits: Any,
) -> EffectCurve:
    """The effect of a predictor at values of another one.

    Parameters
    ----------
    result : Fit or Posterior
    of : str
        The predictor: a factor, whose levels are compared with the reference, or a number.
    over : str, or dict of one predictor to values
        Along which predictor, and at which values; without values along the range of the data, or
        at all levels of a factor.
    levels : pair, optional
        Compare this level of a factor with that one.
    step : float
        Of a number: the effect of so much more of it.
    at : dict, optional
        Values of other predictors, where they matter; else as in `grid`.
    exponentiate : bool
        Show odds ratios, rate ratios.
    functions : mapping, optional
        The user's own functions, where the formula has some.
    **limits
        ``level=0.95`` of a fit; ``ci_prob=0.95`` and ``ci_kind="eti"`` of a posterior.

    Raises
    ------
    DataError
        For predictors, levels or values that do not fit.
    """
    refuse_unknown(effect_of, result, limits)
    if over is None:
        raise TypeError("effect_of() needs over=, the predictor along which the effect is shown")
    grid = Grid(result.model.design, functions)
    variable = grid.variable(of)
    along, values = grid.course(over)
    others = grid.setting(at or {})
    own = along.name == variable.name
    if own and variable.levels:
        raise DataError(f"the effect of the factor {of!r} has no course along itself")
    if variable.levels:
        sides = _of_levels(variable, levels, "/" if exponentiate else "-")
    else:
        sides = _of_steps(variable, levels, step, None if own else others)

    def rows(comparison: int, points: Sequence[Any]) -> np.ndarray:
        settings = []
        for point in points:
            for value in sides[comparison].values(point):
                settings.append({**others, along.name: (point,), variable.name: (value,)})
        X = grid.rows(settings)
        return np.asarray(X[0::2] - X[1::2])

    labels = tuple(side.label for side in sides)
    shown = [str(v) if along.levels else f"{v:g}" for v in values]
    if len(set(shown)) < len(shown):
        shown = [str(v) for v in values]
    made = of_coefficients(
        result,
        f"Effect of {variable.name} along {along.name}",
        [f"{label} @ {along.name}={value}" for label in labels for value in shown],
        np.concatenate([rows(k, values) for k in range(len(labels))]),
        scale=ratio(result.model.family) if exponentiate else LINEAR,
        **limits,
    )
    return EffectCurve(made, along, tuple(values), labels, rows, result)


class Side(NamedTuple):
    """What is compared: its label, and the two values at a place along the curve."""

    label: str
    values: Callable[[Any], tuple[Any, Any]]


def _of_levels(variable: Variable, levels: Sequence[Any] | None, sign: str) -> list[Side]:
    """Comparisons of levels: all with the reference, or those asked for."""
    name = variable.name
    pairs = [(level, variable.levels[0]) for level in variable.levels[1:]]
    if levels is not None:
        if isinstance(levels, str) or len(levels) != 2:
            raise DataError("levels has to be a pair: this level compared with that one")
        pairs = [(level_text(levels[0]), level_text(levels[1]))]
    for level in (level for pair in pairs for level in pair):
        if level not in variable.levels:
            raise DataError(
                f"{name!r} has no level {level!r}; it has {shown_levels(variable.levels)}"
            )
    return [Side(f"{name}[{a}] {sign} {name}[{b}]", partial(_pair, (a, b))) for a, b in pairs]


def _of_steps(
    variable: Variable,
    levels: Sequence[Any] | None,
    step: float,
    others: dict[str, tuple[Any, ...]] | None,
) -> list[Side]:
    """A step of a number: from its value along the curve, or where the others are fixed."""
    if levels is not None:
        raise DataError(f"{variable.name!r} is a number: it has a step, not levels")
    if not isinstance(step, int | float | np.number) or step == 0 or not np.isfinite(step):
        raise DataError(f"step has to be a number other than 0, not {step!r}")
    label = f"{variable.name} + {step:g}"
    if others is None:
        return [Side(label, partial(_step, step))]
    start = float(others.get(variable.name, (variable.mean,))[0])
    return [Side(label, partial(_pair, (start + step, start)))]


def _pair(pair: tuple[Any, Any], point: Any) -> tuple[Any, Any]:
    return pair


def _step(step: float, point: float) -> tuple[Any, Any]:
    return point + step, point
