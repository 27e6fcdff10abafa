"""Contrasts: labelled linear combinations of the coefficients, as SAS's ESTIMATE makes them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .coding import Functions
from .combinations import Combinations
from .combinations import read as read_combinations
from .errors import DataError
from .grid import Grid, Setting
from .quantities import LINEAR, Quantities, of_coefficients, ratio, refuse_unknown

if TYPE_CHECKING:
    from .derived import Derived
    from .design import Design

ROUNDING = 1e-12  # relative difference of means over a grid that are the same


def contrasts(
    result: "Derived",
    rows: Any = None,
    *,
    between: Any = None,
    labels: Sequence[str] | None = None,
    exponentiate: bool = False,
    functions: Functions | None = None,
    **limits: Any,
) -> Quantities:
    """Linear combinations of the coefficients of a fit or a posterior.

    Parameters
    ----------
    result : Fit or Posterior
    rows : str, sequence of str, mapping, or (k, p) array, optional
        ``"treat + treat:week1"``; or by label a text, a dict of coefficient by name, or p numbers;
        or a matrix. A variable's name stands for its only coefficient; see `combinations`.
    between : pair of settings, or mapping of label to such a pair, optional
        The first setting minus the second: ``({"treat": "new", "week": 1}, {"treat": "standard",
        "week": 1})``. Other predictors are as in `grid`; offsets stay out. Given instead of `rows`
        or beside it.
    labels : sequence of str, optional
        Labels of the rows of a matrix, or of texts.
    exponentiate : bool
        Show odds ratios, rate ratios: estimates and limits exponentiated, standard errors by the
        delta method; tests are on the linear scale.
    functions : mapping, optional
        The user's own functions, where the formula has some and there are settings.
    **limits
        ``level=0.95`` of a fit; ``ci_prob=0.95`` and ``ci_kind="eti"`` of a posterior.

    Returns
    -------
    Estimates or Drawn
        With `table`, `frame`; of a fit `joint`, the test of all rows at once; of a posterior
        `draws`, shape (chains, draws, k).

    Raises
    ------
    FormulaError, DataError
        For names, levels or shapes that do not fit, with those that do.
    """
    refuse_unknown(contrasts, result, limits)
    design = result.model.design
    found = []
    if rows is not None:
        found.append(read_combinations(rows, design, labels))
    if between is not None:
        found.append(_between(between, design, functions))
    if not found:
        raise DataError("contrasts need rows, or settings between which to compare")
    names = tuple(label for part in found for label in part.labels)
    if len(set(names)) < len(names):
        raise DataError("the labels of contrasts have to be different")
    return of_coefficients(
        result,
        "Contrasts",
        names,
        np.concatenate([part.L for part in found]),
        scale=ratio(result.model.family) if exponentiate else LINEAR,
        **limits,
    )


def coefficients(result: "Derived", *, exponentiate: bool = False, **limits: Any) -> Quantities:
    """All coefficients but the intercept, each as it is or as a ratio.

    Parameters
    ----------
    result : Fit or Posterior
    exponentiate, **limits
        As of `contrasts`.

    Raises
    ------
    DataError
        If there are none.
    """
    refuse_unknown(coefficients, result, limits)
    design = result.model.design
    rows = [j for j, name in enumerate(design.columns) if name != "Intercept"]
    if not rows:
        raise DataError("the model has no coefficients but the intercept")
    names = [design.columns[j] for j in rows]
    scale = ratio(result.model.family) if exponentiate else LINEAR
    title = f"Coefficients of {design.response.name}"
    identity = np.eye(len(design.columns))[rows]
    return of_coefficients(result, title, names, identity, scale=scale, **limits)


def _between(pairs: Any, design: "Design", functions: Functions | None) -> Combinations:
    grid = Grid(design, functions)
    if not isinstance(pairs, Mapping):
        pairs = {_label(pairs): pairs}
    settings = []
    for label, pair in pairs.items():
        if not _is_pair(pair):
            raise DataError(f"contrast {label!r} needs a pair of settings, each a dict")
        settings += [grid.setting(pair[0]), grid.setting(pair[1])]
    X = grid.rows(settings)
    L = X[0::2] - X[1::2]
    L[np.abs(L) <= ROUNDING * np.abs(X[0::2])] = 0.0
    for label, row in zip(pairs, L, strict=True):
        if not np.any(row):
            raise DataError(f"contrast {label!r} compares settings that are the same to the model")
    return Combinations(tuple(map(str, pairs)), L)


def _is_pair(pair: Any) -> bool:
    return (
        isinstance(pair, Sequence)
        and len(pair) == 2
        and all(isinstance(setting, Mapping) for setting in pair)
    )


def _label(pair: Any) -> str:
    """``treat=new - treat=standard @ week=1``: what differs, then what both settings share."""
    if not _is_pair(pair):
        raise DataError("between has to be a pair of settings (dicts), or a dict of such pairs")
    first, second = pair
    shared = [name for name in first if name in second and first[name] == second[name]]
    sides = [_shown({n: v for n, v in side.items() if n not in shared}) for side in pair]
    at = f" @ {_shown({n: first[n] for n in shared})}" if shared else ""
    return f"{sides[0] or 'mean'} - {sides[1] or 'mean'}{at}"


def _shown(setting: Setting) -> str:
    return ", ".join(f"{name}={value}" for name, value in setting.items())
