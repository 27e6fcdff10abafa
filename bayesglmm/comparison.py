"""Posterior and maximum-likelihood fits side by side: one table, with what differs and why."""

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from . import comparison_flags, fit_printout, wald
from .errors import DataError
from .likelihood_fit import Fit
from .posterior import Posterior, groups
from .tables import Table, frame_of
from .wording import counted

if TYPE_CHECKING:
    import pandas

    from .comparison_flags import Flag

Result = Posterior | Fit

KINDS = ("fixed", "sd", "cor", "dispersion", "u")
HEADINGS = dict(
    zip(
        KINDS,
        ("Fixed effects", "Sds of effects", "Correlations", "Dispersion", "Effects"),
        strict=True,
    )
)
WIDTH = 120  # columns of a terminal that a printed table fills at most
MAX_EFFECTS = 40  # rows of effects that are printed; `frame()` has all
ERROR_DIGITS = 2  # the spread of a row is printed with three significant digits
MAX_DECIMALS = 8
LONG = 1e6  # values from here on are printed in scientific notation
HANGING: dict[str, Any] = {"subsequent_indent": "  ", "break_long_words": False}


@dataclass(frozen=True, eq=False)
class Column:
    """What one result says of every row; nan where it says nothing.

    Attributes
    ----------
    name : str
        The method: ``posterior``, ``laplace``, ``aghq(9)`` ...
    result : Posterior or Fit
    estimate, se, lower, upper : ndarray, shape (rows,)
        Mean, sd and equal-tailed limits of a posterior; estimate, standard error and Wald limits
        of a fit.
    """

    name: str
    result: Result
    estimate: np.ndarray
    se: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several results of one set of data, row by row.

    Attributes
    ----------
    rows, kinds : tuple of str
        Names of the parameters, and what they are: fixed, sd, cor, dispersion, u.
    columns : tuple of Column
        One for each result; the first is what the others are compared with: the posterior, where
        there is one.
    level : float
        Probability inside the limits.
    """

    rows: tuple[str, ...]
    kinds: tuple[str, ...]
    columns: tuple[Column, ...]
    level: float = 0.95

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the results."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def difference(self) -> np.ndarray:
        """Estimate less that of the first result, in its sds; (rows, results), 0 in the first.

        It is nan for a result under another link, whose numbers are on another scale.
        """
        first = self.columns[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            made = [
                (c.estimate - first.estimate) / first.se
                if self.same_link(c)
                else np.full(len(self.rows), np.nan)
                for c in self.columns
            ]
        return np.stack(made, axis=1)

    def same_link(self, column: Column) -> bool:
        """Whether a result's linear predictor is on the scale of the first one's."""
        links = [c.result.model.family.link for c in (self.columns[0], column)]
        return str(links[0]) == str(links[1])

    @cached_property
    def flags(self) -> "tuple[Flag, ...]":
        """What to beware of, a sentence each."""
        return comparison_flags.flags(self)

    def frame(self) -> "pandas.DataFrame":
        """One row for each parameter and result.

        Returns
        -------
        DataFrame
            Columns ``parameter kind method estimate se``, the limits named by their probability,
            ``difference`` from the first result in its sds, and ``flag``: the kinds of flags that
            name the parameter and the method.
        """
        low, high = wald.percentages(self.level)
        marks: dict[tuple[str, str], list[str]] = {}
        for flag in self.flags:
            for row in flag.rows:
                marks.setdefault((row, flag.method), []).append(flag.kind)
        made = []
        for i, row in enumerate(self.rows):
            for j, column in enumerate(self.columns):
                if np.isnan(column.estimate[i]) and row not in _names(column.result):
                    continue
                made.append(
                    {
                        "parameter": row,
                        "kind": self.kinds[i],
                        "method": column.name,
                        "estimate": column.estimate[i],
                        "se": column.se[i],
                        low: column.lower[i],
                        high: column.upper[i],
                        "difference": self.difference[i, j],
                        "flag": ", ".join(marks.get((row, column.name), [])),
                    }
                )
        return frame_of(made)

    def table(self) -> "pandas.DataFrame":
        """One row for each parameter; columns (method, quantity)."""
        low, high = wald.percentages(self.level)
        parts: dict[Any, np.ndarray] = {}
        for j, column in enumerate(self.columns):
            parts[column.name, "estimate"] = column.estimate
            parts[column.name, "se"] = column.se
            parts[column.name, low] = column.lower
            parts[column.name, high] = column.upper
            if j:
                parts[column.name, "difference"] = self.difference[:, j]
        return Table(self.rows, parts).frame()

    def records(self) -> dict[str, Any]:
        """Return what JSON can hold: rows as in `frame`, and the flags."""
        cells = self.frame().to_dict("records")
        return {
            "methods": list(self.methods),
            "level": self.level,
            "rows": [
                {
                    k: None if isinstance(v, float) and not math.isfinite(v) else v
                    for k, v in cell.items()
                }
                for cell in cells
            ],
            "flags": [flag.record() for flag in self.flags],
        }

    def plot(self, path: str | None = None, **options: Any) -> Any:
        """Forest plot of all results; options go to `fit_plots.forest`.

        Parameters
        ----------
        path : str, optional
            File that the figure is saved to.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from . import fit_plots

        return fit_plots.forest(self, path=path, **options)

    def __str__(self) -> str:
        return _text(self)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.methods)}: {len(self.rows)} parameters>"


def compare(
    *results: Result,
    names: Iterable[str] | None = None,
    rows: str | Iterable[str] | None = None,
    u: bool = False,
    level: float = 0.95,
) -> Comparison:
    """Put posteriors and maximum-likelihood fits of the same data side by side.

    Parameters
    ----------
    *results : Posterior or Fit
        Any number of either; differences are from the first posterior, in its sds, or where there
        is none from the first fit, in its standard errors.
    names : iterable of str, optional
        Names of the columns, in the order of the arguments.
    rows : str or iterable of str, optional
        Names of parameters, or of kinds: ``"fixed"``, ``"sd"``, ``"cor"``, ``"dispersion"``,
        ``"u"``.
    u : bool
        Whether the effects of all levels get rows too.
    level : float
        Probability inside the limits.

    Returns
    -------
    Comparison
        `print` it; ``frame()`` and ``table()`` are data frames, ``flags`` what to beware of,
        ``plot()`` the forest plot.
    """
    for result in results:
        if not isinstance(result, Posterior | Fit):
            raise TypeError(f"compare() takes posteriors and fits, not a {type(result).__name__}")
    if not results:
        raise TypeError("compare() needs a posterior or a fit, or several of them")
    given = _labels(results) if names is None else list(names)
    if len(given) != len(results) or len(set(given)) < len(given):
        raise DataError(f"names has to be {counted(len(results), 'name')}, all different")
    labelled = list(zip(given, results, strict=True))
    first = next((i for i, r in enumerate(results) if isinstance(r, Posterior)), 0)
    labelled.insert(0, labelled.pop(first))
    _same_data([result for _, result in labelled])
    asked = {rows} if isinstance(rows, str) else None if rows is None else set(rows)
    with_u = u or (asked is not None and ("u" in asked or any(r.startswith("u(") for r in asked)))
    chosen = _rows([result for _, result in labelled], asked, with_u)
    if not chosen:
        raise DataError("the results have no parameters to compare")
    return Comparison(
        tuple(chosen),
        tuple(chosen.values()),
        tuple(_column(n, r, list(chosen), with_u, level) for n, r in labelled),
        level,
    )


def _labels(results: tuple[Result, ...]) -> list[str]:
    labels: list[str] = []
    for result in results:
        if isinstance(result, Posterior):
            label = "posterior"
        else:
            label = result.method + (f"({result.nodes})" if result.nodes else "")
        same = sum(other.split(" #")[0] == label for other in labels)
        labels.append(f"{label} #{same + 1}" if same else label)
    return labels


def _same_data(results: list[Result]) -> None:
    one = results[0].model.design.response
    for result in results[1:]:
        two = result.model.design.response
        if one.y.size != two.y.size or not np.array_equal(one.y, two.y):
            raise DataError(
                "the results are not of the same data: their responses "
                f"({one.name}, {counted(one.y.size, 'row')}; {two.name}, "
                f"{counted(two.y.size, 'row')}) differ"
            )


def _names(result: Result) -> dict[str, str]:
    """Kind of every parameter of a result, effects apart."""
    names = result.model.names
    kinds = dict.fromkeys(names.fixed, "fixed") | dict.fromkeys(names.sd, "sd")
    kinds |= dict.fromkeys(names.cor, "cor") | dict.fromkeys(names.dispersion, "dispersion")
    return {name: kinds.get(name, "dispersion") for name in result.names}


def _effect_names(result: Result) -> list[str]:
    return [
        f"u({column}|{name}[{level}])"
        for name, levels, columns in groups(result.model.design)
        for level in levels
        for column in columns
    ]


def _rows(results: list[Result], asked: set[str] | None, u: bool) -> dict[str, str]:
    """Kind of every row, by name, kinds together."""
    all_rows: dict[str, str] = {}
    for result in results:
        all_rows |= _names(result)
        if u and not (isinstance(result, Fit) and result.method == "glm"):
            all_rows |= dict.fromkeys(_effect_names(result), "u")
    if asked is not None:
        unknown = asked - set(all_rows) - set(KINDS)
        if unknown:
            raise DataError(f"there is no row {sorted(unknown)[0]!r}; see frame() without `rows`")
        all_rows = {n: k for n, k in all_rows.items() if n in asked or k in asked}
    return {name: kind for wanted in KINDS for name, kind in all_rows.items() if kind == wanted}


def _column(name: str, result: Result, rows: list[str], u: bool, level: float) -> Column:
    if isinstance(result, Posterior):
        table = result.table(u=u, ci_prob=level)
        low, high = wald.percentages(level)
        own = tuple(table.rows)
        parts = [table.columns[c] for c in ("mean", "sd", low, high)]
    else:
        own = result.names
        parts = [result.estimate, result.se, *wald.limits(result, level)]
        if u and result.method != "glm":
            blocks = [g[0] for g in groups(result.model.design)]
            modes = np.concatenate([result.effects[b].ravel() for b in blocks] or [np.zeros(0)])
            sds = np.concatenate([result.effect_sds[b].ravel() for b in blocks] or [np.zeros(0)])
            half = wald.quantile(level, np.full(modes.size, np.inf)) * sds
            own = (*own, *_effect_names(result))
            more = (modes, sds, modes - half, modes + half)
            parts = [np.concatenate([a, b]) for a, b in zip(parts, more, strict=True)]
    place = {row: i for i, row in enumerate(own)}
    index = np.array([place.get(row, -1) for row in rows], dtype=np.int64)
    values = [np.append(part, np.nan)[index] for part in parts]
    return Column(name, result, *values)


# ---- the printed table --------------------------------------------------------------------------


def _text(comparison: Comparison) -> str:
    first = comparison.columns[0]
    posterior = isinstance(first.result, Posterior)
    unit = "posterior sds" if posterior else f"standard errors of {first.name}"
    what = "mean (sd)" if posterior else "estimate (se)"
    legend = (
        f"{what}, {100 * comparison.level:g}% limits below; diff: distance from {first.name} in "
        f"{unit}, marked ! beyond {comparison_flags.SOME} and !! beyond {comparison_flags.MUCH}"
    )
    if "u" in comparison.kinds:
        legend += "; effects of a fit are conditional modes, whose sds take its estimates for true"
    shown = {kind: [i for i, k in enumerate(comparison.kinds) if k == kind] for kind in KINDS}
    more = len(shown["u"]) - MAX_EFFECTS
    shown["u"] = shown["u"][:MAX_EFFECTS]
    parts = [
        _heading(comparison),
        "\n".join(_state(column) for column in comparison.columns),
        textwrap.fill(legend, WIDTH),
        *_tables(comparison, {kind: index for kind, index in shown.items() if index}),
    ]
    if more > 0:
        parts.append(f"... and {more} more effects: see frame()")
    said: dict[str, list[str]] = {}
    for flag in comparison.flags:
        said.setdefault(flag.sentence, []).append(flag.method)
    for sentence, methods in said.items():
        parts.append(textwrap.fill(f"! {', '.join(methods)}: {sentence}", WIDTH, **HANGING))
    return "\n\n".join(parts)


def _heading(comparison: Comparison) -> str:
    """The model; where the results have several, that of each."""
    models = {}
    for column in comparison.columns:
        model = column.result.model
        text = f"{model.design.formula}   [{model.family.name}, {model.family.link} link]"
        models[column.name] = text
    if len(set(models.values())) == 1:
        return next(iter(models.values()))
    lines = [f"{name}: {text}" for name, text in models.items()]
    others = [c.name for c in comparison.columns if not comparison.same_link(c)]
    if others:
        lines.append(
            f"No differences of {', '.join(others)} from {comparison.columns[0].name}: "
            "the links differ, and so do the scales of the numbers"
        )
    return "\n".join(lines)


def _state(column: Column) -> str:
    """Whether a result converged, in a line."""
    result = column.result
    if isinstance(result, Posterior):
        text = f"{column.name}: {str(result.verdict).splitlines()[0]}"
        return textwrap.fill(text, WIDTH, **HANGING)
    state = "converged" if result.converged else "NOT CONVERGED"
    return (
        f"{column.name}: {fit_printout.TITLES[result.method].format(nodes=result.nodes)}: {state}"
    )


def _tables(comparison: Comparison, shown: dict[str, list[int]]) -> list[str]:
    """As many methods beside the first as fit; the rest in further tables."""
    index = [i for rows in shown.values() for i in rows]
    left = 2 + max(len(comparison.rows[i]) for i in index)
    cells = [_cells(comparison, j, index) for j in range(len(comparison.columns))]
    tables: list[str] = []
    rest = list(range(1, len(cells)))
    while rest or not tables:
        taken, width = [0], left + len(cells[0][0]) + 2
        while rest and (len(taken) == 1 or width + 2 + _ink(cells[rest[0]]) <= WIDTH):
            width += len(cells[rest[0]][0]) + 2
            taken.append(rest.pop(0))
        lines = ["  ".join(["".ljust(left), *(cells[j][0] for j in taken)])]
        place = 0
        for kind, rows in shown.items():
            lines.append(HEADINGS[kind])
            for i in rows:
                for line, name in ((1, f"  {comparison.rows[i]}"), (2, "")):
                    own = [cells[j][2 * place + line] for j in taken]
                    lines.append("  ".join([name.ljust(left), *own]))
                place += 1
        tables.append("\n".join(line.rstrip() for line in lines))
    return tables


def _ink(lines: list[str]) -> int:
    """Columns that lines take without the blanks at their end."""
    return max(len(line.rstrip()) for line in lines)


def _cells(comparison: Comparison, j: int, index: list[int]) -> list[str]:
    """A heading and two lines for each row, all equally wide."""
    column = comparison.columns[j]
    estimates, limits, diffs = [], [], []
    for i in index:
        decimals = _decimals([c.se[i] for c in comparison.columns])
        estimates.append(_value(column.estimate[i], decimals))
        spread = _value(column.se[i], decimals)
        estimates[-1] += f" ({spread})" if estimates[-1] != "-" else ""
        low, high = _value(column.lower[i], decimals), _value(column.upper[i], decimals)
        limits.append(f"[{low}, {high}]" if low != "-" else "")
        diffs.append(_difference(comparison.difference[i, j]) if j else "")
    wide = max(map(len, [*estimates, *limits]), default=0)
    far = max(map(len, [*diffs, "diff  "])) if j else 0
    gap = " " if j else ""
    heading = column.name.rjust(wide) + gap + ("diff  ".rjust(far) if j else "")
    lines = [heading]
    for estimate, limit, diff in zip(estimates, limits, diffs, strict=True):
        lines.append(estimate.rjust(wide) + gap + diff.rjust(far))
        lines.append(limit.rjust(wide) + gap + " " * far)
    widest = max(map(len, lines))
    return [line.rjust(widest) for line in lines]


def _difference(value: float) -> str:
    if math.isnan(value):
        return "  "
    size = abs(value)
    mark = "!!" if size > comparison_flags.MUCH else "! " if size > comparison_flags.SOME else "  "
    return f"{value:+.2f}{mark}" if size < 1000 else f"{value:+.0e}{mark}"


def _decimals(spreads: list[float]) -> int | None:
    """Decimals that show the least spread with three digits; None: scientific notation."""
    known = [s for s in spreads if math.isfinite(s) and s > 0.0]
    if not known:
        return 3
    decimals = max(0, ERROR_DIGITS - math.floor(math.log10(min(known))))
    return decimals if decimals <= MAX_DECIMALS and max(known) < 1e6 else None


def _value(value: float, decimals: int | None) -> str:
    if math.isnan(value):
        return "-"
    if decimals is None or abs(value) >= LONG:
        return f"{value:.2e}"
    return f"{value:.{decimals}f}"
