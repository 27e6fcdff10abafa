"""Draws of any kind, read: arrays, dicts of arrays, data frames, ArviZ objects, posteriors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import product
from typing import Any

import numpy as np

from .columns import Column
from .errors import DataError

# Columns of frames that are no parameters, as SAS, coda, posterior, ArviZ and Stan's programs name
# them, without dots and underscores at the ends.
CHAIN = {"chain", "chains"}
ITERATION = {"iteration", "iter", "draw"}  # in this order where there are several
OTHER = {"lp", "stepsize", "n_leapfrog", "index_level_0"}
# Sampler statistics under the names that they have elsewhere.
STATS = {
    "divergent": "divergent",
    "diverging": "divergent",
    "reached_max_treedepth": "max_depth",
    "maxdepth_reached": "max_depth",
    "max_depth": "max_depth",
    "tree_depth": "depth",
    "treedepth": "depth",
    "depth": "depth",
    "energy": "energy",
    "accept_stat": "accept",
    "acceptance_rate": "accept",
    "accept_prob": "accept",
    "accept": "accept",
    "stuck_run": "stuck_run",
}
SAMPLED = ("chain", "draw")
ARRAY = "array"  # the one source whose parameters have no names
# Of our own variables the label says all: `beta[Intercept]` is `Intercept`.
LABELLED = {"coefficient", "sd_name", "cor_name"}


@dataclass(frozen=True, eq=False)
class AnyDraws:
    """Draws, wherever they come from.

    Attributes
    ----------
    names : tuple of str
        Names of the k parameters.
    values : (chains, draws, k) array
    stats : dict of str to (chains, draws) array
        Statistics of the sampler, under our names.
    source : str
        What they were read from, in words.
    """

    names: tuple[str, ...]
    values: np.ndarray
    stats: dict[str, np.ndarray] = field(default_factory=dict)
    source: str = "draws"


def read(
    draws: Any,
    *,
    names: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
    stats: Mapping[str, Any] | None = None,
    u: bool = False,
) -> AnyDraws:
    """Read draws.

    Parameters
    ----------
    draws : Posterior, array, mapping, data frame or ArviZ object
        An array (chains, draws, k), or (draws,) of one chain and one parameter; with `names` also
        (draws, k). A mapping of arrays (chains, draws, ...), or of one chain (draws, ...) if one of
        them has a single axis. A pandas, polars or pyarrow frame with a column a parameter and, if
        there is more than one chain, a column ``chain``; columns named ``draw`` or ``iteration``
        order the rows, and Stan's statistics are known. A DataTree, InferenceData, Dataset or
        DataArray with dims ``chain`` and ``draw``.
    names : sequence of str, optional
        Names of the parameters of an array.
    parameters : sequence of str, optional
        Which parameters, or variables with all their elements, to take.
    stats : mapping of str to (chains, draws) array, optional
        Statistics of the sampler: "divergent", "max_depth", "depth", "energy", "accept".
    u : bool
        Of a Posterior: whether the effects of all levels are wanted too.

    Raises
    ------
    DataError
        For what is no draws, in words.
    """
    made = _read(draws, names, u)
    if names is not None and made.source != ARRAY:
        raise DataError(f"names are for arrays; the {made.source} has names of its own")
    if made.values.shape[2] == 0:
        raise DataError(f"{made.source} has no parameters")
    if stats is not None:
        made = replace(made, stats={**made.stats, **_stats(stats)})
    for name, values in made.stats.items():
        if values.shape != made.values.shape[:2]:
            raise DataError(
                f"the statistic {name!r} has shape {values.shape}; the draws are "
                f"{made.values.shape[0]} chains of {made.values.shape[1]}"
            )
    return made if parameters is None else _chosen(made, parameters)


def _read(draws: Any, names: Sequence[str] | None, u: bool) -> AnyDraws:
    from .likelihood_fit import Fit
    from .posterior import Posterior

    if isinstance(draws, AnyDraws):
        return draws
    if isinstance(draws, Posterior):
        return _of_posterior(draws, u)
    if isinstance(draws, Fit):
        raise DataError("a maximum-likelihood fit has no draws; sample() makes a posterior")
    group = _group(draws, "posterior")
    if group is not None:
        found = _of_variables(group, "ArviZ object")
        stats = _group(draws, "sample_stats")
        return found if stats is None else replace(found, stats=_of_stats(stats))
    if hasattr(draws, "data_vars"):
        return _of_variables(draws, "Dataset")
    if hasattr(draws, "to_dataset") and hasattr(draws, "dims") and hasattr(draws, "coords"):
        name = getattr(draws, "name", None) or "x"
        return _of_variables({str(name): draws}, "DataArray")
    if isinstance(draws, Mapping):
        return _of_mapping(draws)
    if hasattr(draws, "columns"):
        return _of_frame(draws)
    return _of_array(draws, names)


def _of_posterior(post: Any, u: bool) -> AnyDraws:
    names, values = post.names, post.scalar_draws
    if u:
        names = (*names, *post.effect_names)
        values = np.concatenate([values, post.effect_draws], axis=-1)
    stats = {STATS[name]: x for name, x in post.stats.items() if name in STATS}
    return AnyDraws(names, values, stats, "posterior")


# ---- arrays -------------------------------------------------------------------------------------


def _numbers(values: Any, what: str) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O":
            array = array.astype(float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is no array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} holds {array.dtype}, no numbers")
    return array.astype(float, copy=False)


def _of_array(draws: Any, names: Sequence[str] | None) -> AnyDraws:
    array = _numbers(draws, "what was given as draws")
    if array.ndim == 1:
        array = array[None, :, None]
    elif array.ndim == 2 and names is not None:
        array = array[None]
    elif array.ndim == 2:
        raise DataError(
            "an array with two axes may be (chains, draws) of one parameter or (draws, parameters) "
            "of one chain: give x[..., None] for the former, x[None] for the latter"
        )
    if array.ndim != 3:
        raise DataError(f"draws are an array (chains, draws, parameters), not {array.shape}")
    _refuse_turned(array.shape)
    k = array.shape[2]
    if names is None:
        names = ["x"] if k == 1 else [f"x[{i}]" for i in range(k)]
    if len(names) != k:
        raise DataError(f"there are {k} parameters and {len(names)} names")
    return AnyDraws(tuple(map(str, names)), array, source=ARRAY)


def _refuse_turned(shape: tuple[int, ...]) -> None:
    """Refuse more chains than draws: these are the axes in another order."""
    if shape[0] > shape[1] > 0:
        raise DataError(
            f"{shape[0]} chains of {shape[1]} draws: the first axis is the chain, the second the "
            "draw; use x.swapaxes(0, 1) for axes the other way round, x[None] for one chain"
        )


def _of_mapping(draws: Mapping[Any, Any]) -> AnyDraws:
    arrays = {str(name): _numbers(values, f"{name!r}") for name, values in draws.items()}
    if not arrays:
        raise DataError("the mapping of draws is empty")
    for name, array in arrays.items():
        if array.ndim == 0:
            raise DataError(f"{name!r} is one number, not draws")
    if any(array.ndim == 1 for array in arrays.values()):
        arrays = {name: array[None] for name, array in arrays.items()}
    stats = {}
    for name in list(arrays):
        if STATS.get(_plain(name)) and name.endswith("__"):
            stats[STATS[_plain(name)]] = arrays.pop(name)
    shapes = {name: array.shape[:2] for name, array in arrays.items()}
    first = next(iter(shapes))
    for name, shape in shapes.items():
        _refuse_turned(shape)
        if shape != shapes[first]:
            raise DataError(
                f"{first!r} has {shapes[first]} (chains, draws) and {name!r} has {shape}"
            )
    parts = [(_elements(name, array.shape[2:]), array) for name, array in arrays.items()]
    return _joined(parts, stats, "mapping")


def _elements(name: str, shape: tuple[int, ...], labels: Sequence[Any] | None = None) -> list[str]:
    """Names of the elements of a variable, ``name[a,b]``; labels of an axis are its places else."""
    if not shape:
        return [name]
    texts = [
        [str(k) for k in range(length)] if known is None else [str(label) for label in known]
        for length, known in zip(shape, labels or [None] * len(shape), strict=True)
    ]
    return [f"{name}[{','.join(place)}]" for place in product(*texts)]


def _joined(
    parts: Sequence[tuple[list[str], np.ndarray]], stats: dict[str, np.ndarray], source: str
) -> AnyDraws:
    """Variables (chains, draws, ...), one beside the other, with the names of their elements."""
    if not parts:
        return AnyDraws((), np.empty((0, 0, 0)), stats, source)
    flat = [values.reshape(*values.shape[:2], len(names)) for names, values in parts]
    names = tuple(name for part, _ in parts for name in part)
    return AnyDraws(names, np.concatenate(flat, axis=-1), stats, source)


# ---- ArviZ --------------------------------------------------------------------------------------


def _group(draws: Any, name: str) -> Any:
    """A group of a DataTree or an InferenceData; None if there is none of that name."""
    if hasattr(draws, "children"):
        return draws.children.get(name)
    group = getattr(draws, name, None)
    return group if hasattr(group, "data_vars") else None


def _of_variables(group: Any, source: str) -> AnyDraws:
    variables = group if isinstance(group, dict) else group.data_vars
    ours = getattr(group, "attrs", {}).get("inference_library") == "bayesglmm"
    parts = []
    for name, variable in variables.items():
        array, dims = _sampled(str(name), variable, source)
        if array.dtype.kind not in "biuf":
            continue
        known = [_labels(variable, dim) for dim in dims]
        if ours and len(dims) == 1 and dims[0] in LABELLED:
            names = [str(label) for label in known[0]]
        else:
            names = _elements(str(name), array.shape[2:], known)
        parts.append((names, array.astype(float)))
    return _joined(parts, {}, source)


def _labels(variable: Any, dim: str) -> Any:
    return variable.coords[dim].values if dim in variable.coords else None


def _sampled(name: str, variable: Any, source: str) -> tuple[np.ndarray, list[str]]:
    """Values of a variable with chain and draw first, and its other dims."""
    dims = [str(dim) for dim in variable.dims]
    if "draw" not in dims:
        raise DataError(
            f"the variable {name!r} of the {source} has no dim 'draw' (its dims are "
            f"{', '.join(dims) or 'none'})"
        )
    rest = [dim for dim in dims if dim not in SAMPLED]
    values = np.asarray(variable.transpose(*[d for d in SAMPLED if d in dims], *rest).values)
    return values if "chain" in dims else values[None], rest


def _of_stats(group: Any) -> dict[str, np.ndarray]:
    found = {}
    for name, variable in group.data_vars.items():
        if STATS.get(str(name)) and set(map(str, variable.dims)) == set(SAMPLED):
            found[STATS[str(name)]] = np.asarray(variable.transpose(*SAMPLED).values, dtype=float)
    return found


def _stats(stats: Mapping[str, Any]) -> dict[str, np.ndarray]:
    found = {}
    for name, values in stats.items():
        if _plain(name) not in STATS:
            raise DataError(
                f"{name!r} is no statistic that is judged; those are {', '.join(sorted(STATS))}"
            )
        array = _numbers(values, f"the statistic {name!r}")
        found[STATS[_plain(name)]] = array[None] if array.ndim == 1 else array
    return found


# ---- frames -------------------------------------------------------------------------------------


def _plain(name: str) -> str:
    return name.strip("._").lower()


def of_columns(columns: Mapping[str, Column], source: str) -> AnyDraws:
    """Read columns of `frames.read_columns`: one a parameter, others as `read` says of frames."""
    roles = {name: _plain(name) for name in columns}
    chain = [name for name, role in roles.items() if role in CHAIN]
    if len(chain) > 1:
        raise DataError(f"{source}: {' and '.join(chain)} both say which chain a row is of")
    order = [n for role in ("iteration", "iter", "draw") for n in roles if roles[n] == role]
    special = {n: STATS[roles[n]] for n in roles if n.endswith("__") and roles[n] in STATS}
    left_out = {*chain, *order, *special, *(n for n in roles if roles[n] in OTHER)}
    taken = {name: column for name, column in columns.items() if name not in left_out}
    for name in (*taken, *special, *order):
        if columns[name].kind != "number":
            raise DataError(f"{source}: the column {name!r} holds texts, not draws of a parameter")
    rows, length = _rows(columns, chain, order[:1], source)

    def drawn(name: str) -> np.ndarray:
        return np.asarray(columns[name].numbers()[rows].reshape(-1, length))

    if not taken:
        raise DataError(f"{source} has no column with draws of a parameter")
    values = np.stack([drawn(name) for name in taken], axis=-1)
    return AnyDraws(
        tuple(taken), values, {stat: drawn(name) for name, stat in special.items()}, source
    )


def _rows(
    columns: Mapping[str, Column], chain: list[str], order: list[str], source: str
) -> tuple[np.ndarray, int]:
    """Rows by chain and then by iteration, and how many a chain has."""
    n = len(next(iter(columns.values())))
    place = columns[order[0]].numbers() if order else np.arange(n)
    if not chain:
        return np.argsort(place, kind="stable"), n
    column = columns[chain[0]]
    if column.missing.any():
        raise DataError(f"{source}: the column {chain[0]!r} lacks values")
    levels = column.levels(natural=True)
    code, count = levels.codes, np.bincount(levels.codes)
    if len(set(count.tolist())) > 1:
        told = ", ".join(f"{c} of chain {t}" for t, c in zip(levels.texts, count, strict=True))
        raise DataError(f"{source}: the chains have different numbers of draws: {told}")
    return np.lexsort((place, code)), int(count[0])


def _of_frame(draws: Any) -> AnyDraws:
    from . import series

    names = getattr(getattr(draws, "index", None), "names", None) or []
    if any(name is not None and _plain(str(name)) in CHAIN | ITERATION for name in names):
        draws = draws.reset_index()
    columns, _, read_column = series.opened(draws)
    if len(set(columns)) < len(columns):
        raise DataError("the frame of draws has two columns of the same name")
    return of_columns({name: read_column(k, name) for k, name in enumerate(columns)}, "data frame")


def beside(parts: Sequence[AnyDraws]) -> AnyDraws:
    """Put the chains of several draws of the same parameters together.

    Raises
    ------
    DataError
        If they do not have the same parameters, or not as many draws.
    """
    first = parts[0]
    for part in parts[1:]:
        if set(part.names) != set(first.names):
            odd = sorted(set(part.names) ^ set(first.names))
            raise DataError(f"{first.source} and {part.source} do not both have {odd[0]!r}")
        if part.values.shape[1] != first.values.shape[1]:
            raise DataError(
                f"{first.source} has {first.values.shape[1]} draws a chain and {part.source} "
                f"{part.values.shape[1]}"
            )
    values = [part.values[..., [part.names.index(name) for name in first.names]] for part in parts]
    stats = {
        name: np.concatenate([part.stats[name] for part in parts])
        for name in first.stats
        if all(name in part.stats for part in parts)
    }
    return AnyDraws(first.names, np.concatenate(values), stats, first.source)


def _chosen(draws: AnyDraws, parameters: Iterable[str]) -> AnyDraws:
    wanted = [parameters] if isinstance(parameters, str) else list(parameters)
    places: list[int] = []
    for name in wanted:
        found = [
            i for i, own in enumerate(draws.names) if own == name or own.startswith(f"{name}[")
        ]
        if name in draws.names:
            found = [draws.names.index(name)]
        if not found:
            close = get_close_matches(str(name), draws.names, n=3)
            hint = "did you mean" if close else "there are"
            shown = ", ".join(map(repr, close or draws.names[:12]))
            raise DataError(f"there is no parameter {name!r}; {hint} {shown}")
        places += found
    names = tuple(draws.names[i] for i in places)
    return replace(draws, names=names, values=draws.values[..., places])
