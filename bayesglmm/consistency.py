"""Whether what was read from a file fits together: compiled code does not look.

A checksum says that a file is as it was written, not who wrote it. So types are checked as the file
is read (`codec`), and here the shapes and places that compiled code takes on trust.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .density import BLOCKS, DENSE, IDENTITY
from .errors import DataError, LoadError

if TYPE_CHECKING:
    from .chains import Program, Standing
    from .design import Design
    from .model import Model
    from .prior_defaults import Priors
    from .recipe import Recipe

# Arrays of a chain's state that grow while it adapts, by how their names end.
GROWING = ("history", "proposal_block", "proposal_tuning")
FLOAT = np.dtype(np.float64)


@contextmanager
def refused(what: object) -> Iterator[None]:
    """Turn whatever goes wrong with what a file holds into a refusal of the file.

    Raises
    ------
    LoadError
        With ``what`` does not fit together, and the reason.
    """
    try:
        yield
    except (DataError, LoadError):
        raise
    except Exception as error:
        words = f"{error}" or type(error).__name__
        raise LoadError(f"{what} does not fit together: {words:.500}") from error


def model(made: "Model") -> None:
    """Refuse a model whose arrays and names do not belong together.

    Raises
    ------
    ValueError
        With what does not fit.
    """
    design(made.design)
    priors(made.priors, made.design)


def design(made: "Design") -> None:
    """Refuse a design whose arrays differ in length, or that names what it does not have."""
    n, response = len(made.rows), made.response
    _array("rows", made.rows, (n,), np.dtype(np.int64))
    _array("X", made.X, (n, len(made.columns)))
    for name, values in (
        *(("y", response.y), ("offset", made.offset), ("weights", made.weights)),
        *(("trials", response.trials), ("se", response.se)),
    ):
        if values is not None:
            _array(name, values, (n,))
    if not n or (made.has_intercept and not made.columns):
        raise ValueError("a design without rows or columns")
    if (made.weights < 0.0).any():
        raise ValueError("a weight is negative")
    for factor in made.factors:
        _array(f"index of {factor.name}", factor.index, (n,), np.dtype(np.int32))
        _within(f"index of {factor.name}", factor.index, len(factor.levels))
    for term in made.terms:
        _array(f"z of {term.text}", term.z, (n, len(term.names)))
        if not (0 <= term.factor < len(made.factors) and term.names):
            raise ValueError(f"{term.text} has no factor or no columns")


def priors(made: "Priors", of: "Design") -> None:
    """Refuse priors that are not those of a design's parameters."""
    if len(made.beta) != len(of.columns) or len(made.terms) != len(of.terms):
        raise ValueError("the priors are not those of the coefficients and terms")
    for own, term in zip(made.terms, of.terms, strict=True):
        if own.sigma is None and len(own.sd) != len(term.names):
            raise ValueError(f"the priors are not those of {term.text}")


def draws(
    made: "Model",
    theta: np.ndarray,
    values: Mapping[str, Any],
    stats: Mapping[str, np.ndarray],
    kept: bool,
) -> None:
    """Refuse draws of other parameters than a model has; effects only where they were kept."""
    # A run that was interrupted may have no draws.
    if theta.ndim != 3 or not theta.shape[0]:
        raise ValueError(f"draws of shape {theta.shape}")
    sampled, names = theta.shape[:2], made.names
    rows = {"beta": len(names.fixed), "sd": len(names.sd), "cor": len(names.cor)}
    width = sum(rows.values()) + len(names.dispersion)
    _array("theta", theta, (*sampled, width))
    for name, count in rows.items():
        _array(name, values[name], (*sampled, count))
    for name in names.dispersion:
        _array(name, values[name], sampled)
    for name, own in stats.items():
        _array(name, own, sampled)
    if kept:
        for factor, shape in _effects(made.design).items():
            _array(f"effects of {factor}", values["u"][factor], (*sampled, *shape))


def _effects(of: "Design") -> dict[str, tuple[int, int]]:
    """Levels and columns of the effects of each factor."""
    found: dict[str, tuple[int, int]] = {}
    for term in of.terms:
        factor = of.factors[term.factor]
        had = found.get(factor.name, (0, 0))[1]
        found[factor.name] = len(factor.levels), had + len(term.names)
    return found


def recipe(made: "Recipe") -> None:
    """Refuse the recipe of a program whose map has parts that differ in size."""
    map = made.map
    kind, d, nv = map["kind"], map["center"].size, map["modes"].size
    _array("kind", kind, (1,), np.dtype(np.int64))
    _array("center", map["center"], (d,))
    _array("modes", map["modes"], (nv,))
    _array("covariance", made.covariance, (d, d))
    _array("scale", map["scale"], (d, d))
    for name, values in (*map.items(), ("covariance", made.covariance)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has numbers that are none")
    if not (np.diag(made.covariance) > 0.0).all():
        raise ValueError("the covariance has variances that are not positive")
    if made.init is not None:
        _array("init", made.init, (d,))
    for name, shape in (("slopes", (d, nv)), ("fall", (d, nv)), ("total", (nv,))):
        values = map.get(name, np.zeros(0))
        _array(name, values, shape if values.size else values.shape)
    information = map.get("information", np.zeros((0, 0)))
    _array("information", information, (len(information), nv if information.size else 0))
    if kind[0] not in (IDENTITY, BLOCKS, DENSE):
        raise ValueError(f"a map of kind {kind[0]}")
    if kind[0] == DENSE:
        _array("dense", map["dense"], (nv, nv))
    if kind[0] == BLOCKS:
        Q = len(map["blocks"])
        _array("blocks", map["blocks"], (Q, Q, nv // max(Q, 1)))


def standings(
    program: "Program",
    found: "Sequence[Standing]",
    *,
    seed: int,
    chains: int,
    last: int,
    whole: bool = False,
) -> None:
    """Refuse chains that stand where a program's chains cannot stand.

    Parameters
    ----------
    program : Program
    found : sequence of Standing
    seed, chains : int
        Of the run.
    last : int
        Iterations that a chain can have done.
    whole : bool
        Whether all draws of the chains are to be there, as in a checkpoint.

    Raises
    ------
    ValueError
        With what does not fit.
    """
    if not found:
        return
    from ._random import keys

    numbers = [standing.number for standing in found]
    if len(set(numbers)) < len(numbers) or not all(0 <= k < chains for k in numbers):
        raise ValueError(f"chains {numbers} of {chains}")
    # What a state is made of is known from one: that of a chain which did start.
    like = program.start(keys(seed, chains)[numbers[0]], numbers[0])
    for one in found:
        if not 0 <= one.iteration <= last:
            raise ValueError(f"chain {one.number} at iteration {one.iteration} of {last}")
        if one.state.keys() != like.keys():
            raise ValueError(f"the state of chain {one.number} is of another sampler")
        for name, expected in like.items():
            own, shape = one.state[name], expected.shape
            if name.endswith(GROWING):
                shape = (len(own) if own.ndim else 0, *shape[1:])
            _array(name, own, shape, expected.dtype)
        rows = len(one.theta) if one.theta.ndim else 0
        _array("theta", one.theta, (rows, program.dim))
        _array("u", one.u, (len(one.u) if one.u.ndim else 0, program.effects))
        count = len(one.stats) if one.stats.ndim else 0
        _array("stats", one.stats, (count, len(program.stats)))
        if len(one.u) not in (0, rows) or count not in (rows, rows + 1) or rows > one.iteration:
            raise ValueError(f"chain {one.number} has draws of different numbers")
        if whole and len(one.u) < rows and program.effects:
            raise ValueError(f"chain {one.number} lacks its effects")


def _array(
    name: str,
    values: Any,
    shape: Sequence[int],
    dtype: np.dtype[Any] = FLOAT,
) -> None:
    kind = getattr(values, "dtype", None)
    if kind != dtype or tuple(values.shape) != tuple(shape):
        found = f"{kind} {getattr(values, 'shape', '')}"
        raise ValueError(f"{name} is {found}, not {dtype} {tuple(shape)}")


def _within(name: str, index: np.ndarray, levels: int) -> None:
    if not levels or index.min() < 0 or index.max() >= levels:
        raise ValueError(f"{name} is outside its {levels} levels")
