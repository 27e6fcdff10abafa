"""Predictions for the rows of the data or for new ones, by the draws of a posterior.

Three linear predictors can be meant (Skrondal and Rabe-Hesketh 2009, J. R. Stat. Soc. A 172, 659):
``conditional`` on the effects of the row's own groups; at effects of 0, the ``population`` level of
lme4 and nlme; and the link of the ``marginal`` mean, over the distribution of groups.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from . import averages
from .coding import Functions
from .errors import DataError
from .marginal import variances
from .memory import available, gibibytes
from .new_rows import NEW_LEVELS, Rows, rows_at
from .summary import check_limits, described
from .tables import Table

if TYPE_CHECKING:
    import pandas

    from .model import Model
    from .posterior import Posterior

EFFECTS = ("conditional", "population", "marginal")
SCALES = ("response", "link")
BLOCK_VALUES = 4_000_000  # linear predictors held at once (32 MB)
SHARE = 0.5  # of the free memory that draws of all rows may take
SHOWN = 20  # rows that print shows


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions of a posterior, row by row; made when they are looked at.

    Attributes
    ----------
    model : Model
    values : dict
        Draws of the parameters and effects, arrays (chains, draws, ...) as `Model.to_user` names
        them.
    rows : Rows
    labels : tuple of str
        One a row.
    effects : {"conditional", "population", "marginal"}
    new_levels : {"refuse", "sample", "zero"}
    scale : {"response", "link"}
    ci_prob, ci_kind : float, str
        Probability and kind of the limits, ``"eti"`` or ``"hdi"``.
    seed : int
        Of the effects of new levels.
    """

    model: "Model"
    values: dict[str, Any]
    rows: Rows
    labels: tuple[str, ...]
    effects: str = "conditional"
    new_levels: str = "refuse"
    scale: str = "response"
    ci_prob: float = 0.95
    ci_kind: str = "eti"
    seed: int = 0

    def __post_init__(self) -> None:
        check_limits(self.ci_prob, self.ci_kind)

    @property
    def draws(self) -> np.ndarray:
        """All draws, shape (chains, draws, n).

        Raises
        ------
        DataError
            If they would not fit into memory; `blocks` gives some rows at a time.
        """
        shape = (*self.values["beta"].shape[:2], len(self.labels))
        need, free = 8 * shape[0] * shape[1] * shape[2], available()
        if free is not None and need > SHARE * free:
            raise DataError(
                f"draws of {shape[2]:,} predictions take {gibibytes(need)}; table() and frame() "
                "need some rows of them at a time only, which is what blocks() gives"
            )
        return np.concatenate([block for _, block in self.blocks()], axis=-1)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield rows and their draws (chains, draws, rows)."""
        n = len(self.labels)
        step = max(1, BLOCK_VALUES // max(1, math.prod(self.values["beta"].shape[:2])))
        inverse = self.model.family.linkinv
        for start in range(0, n, step):
            rows = slice(start, min(n, start + step))
            eta = self.linear(rows)
            yield rows, np.asarray(inverse(eta)) if self.scale == "response" else eta

    def linear(self, rows: slice) -> np.ndarray:
        """Linear predictors of some rows, shape (chains, draws, rows)."""
        own = self.rows.part(rows)
        beta = self.values["beta"]
        eta = np.broadcast_to(own.offset, (*beta.shape[:2], own.offset.size)).copy()
        # Column by column: a matrix product may round a row by its place among the others.
        for j in range(beta.shape[-1]):
            eta += beta[..., j, None] * own.X[:, j]
        if self.effects == "marginal":
            shape = eta.shape
            flat = (-1, shape[-1])
            sd, cor = (self.values[k].reshape(shape[0] * shape[1], -1) for k in ("sd", "cor"))
            v = variances(self.model, own.z, sd, cor)
            return averages.linked(self.model.family.link, eta.reshape(flat), v).reshape(shape)
        if self.effects == "conditional":
            self._add_effects(own, eta)
        return np.asarray(eta)

    def _add_effects(self, own: Rows, eta: np.ndarray) -> None:
        design = self.model.design
        for f, factor in enumerate(design.factors):
            index = own.level[f]
            levels, place = np.unique(index, return_inverse=True)
            terms = [k for k, term in enumerate(design.terms) if term.factor == f]
            z = np.concatenate([own.z[k] for k in terms], axis=1)
            u = np.empty((*eta.shape[:2], levels.size, z.shape[1]))
            known = levels < len(factor.levels)
            if known.any():
                u[:, :, known] = self.values["u"][factor.name][:, :, levels[known]]
            for i in np.flatnonzero(~known):
                u[:, :, i] = self._new_effects(f, self.rows.levels[f][levels[i]])
            for k in range(z.shape[1]):
                eta += u[:, :, place, k] * z[:, k]

    def _new_effects(self, f: int, level: str) -> np.ndarray | float:
        """Effects of a level that the model has not seen, (chains, draws, q).

        They are the same whatever other levels are asked for.
        """
        if self.new_levels == "zero":
            return 0.0
        design = self.model.design
        own = np.flatnonzero([t.factor == f for t in design.terms for _ in t.names])
        key = crc32(f"{design.factors[f].name}\0{level}".encode())
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(key,)))
        L = self._factors[:, :, own[:, None], own]
        noise = rng.standard_normal((*L.shape[:2], own.size, 1))
        return np.asarray((L @ noise)[..., 0])

    @cached_property
    def _factors(self) -> np.ndarray:
        """Cholesky factors of the covariances of all terms, (chains, draws, Q, Q)."""
        return factors(self.model, self.values["sd"], self.values["cor"])

    def table(self) -> Table:
        """Columns ``mean sd median`` and the limits, one row a prediction."""
        parts = [described(values, self.ci_prob, self.ci_kind) for _, values in self.blocks()]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Table(self.labels, columns)

    def frame(self) -> "pandas.DataFrame":
        """Return `table` as a data frame."""
        return self.table().frame()

    def __len__(self) -> int:
        return len(self.labels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Posterior means, shape (n,): what scikit-learn's metrics and numpy take."""
        means = np.concatenate([block.mean(axis=(0, 1)) for _, block in self.blocks()])
        return means if dtype is None else means.astype(dtype)

    def __str__(self) -> str:
        name = self.model.design.response.name
        what = {
            "conditional": "given the effects of the groups",
            "population": "at effects of 0",
            "marginal": "averaged over the distribution of groups",
        }[self.effects]
        what = f", {what}" if self.model.design.factors else ""
        rows = self.rows.part(slice(0, SHOWN))
        few = replace(self, rows=rows, labels=self.labels[:SHOWN])
        trials = self.model.design.response.trials is not None
        on = "proportions" if trials else "means"
        on = "linear predictors" if self.scale == "link" else on
        lines = [f"Predicted {on} of {name}{what}"]
        lines += [f"  {line}" for line in str(few.table()).splitlines()]
        if len(self.labels) > SHOWN:
            lines.append(f"  ... {len(self.labels) - SHOWN:,} more rows: frame() has them all")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Prediction of {len(self.labels):,} rows, {self.effects}>"


def predict(
    post: "Posterior",
    newdata: Any = None,
    *,
    effects: str = "conditional",
    new_levels: str = "refuse",
    scale: str = "response",
    functions: Functions | None = None,
    ci_prob: float = 0.95,
    ci_kind: str = "eti",
    seed: int | None = None,
) -> Prediction:
    """Predict means or linear predictors; the arguments are those of `Posterior.predict`.

    Raises
    ------
    DataError
        For columns, levels or arguments that do not fit.
    """
    for what, value, known in (
        ("effects", effects, EFFECTS),
        ("new_levels", new_levels, NEW_LEVELS),
        ("scale", scale, SCALES),
    ):
        if value not in known:
            raise DataError(f"{what} has to be one of {', '.join(known)}, not {value!r}")
    if new_levels != "refuse" and effects != "conditional":
        raise DataError(
            f"new_levels={new_levels!r} is for effects='conditional': with {effects!r} the groups "
            "of the rows do not count"
        )
    conditional = effects == "conditional"
    rows, labels = rows_at(
        post.model.design, newdata, functions, grouped=conditional, new_levels=new_levels
    )
    own = post.run.seed if seed is None else seed
    return Prediction(
        post.model, post.values, rows, labels, effects, new_levels, scale, ci_prob, ci_kind, own
    )


def factors(model: "Model", sd: np.ndarray, cor: np.ndarray) -> np.ndarray:
    """Cholesky factors of the covariances of all terms.

    Parameters
    ----------
    model : Model
    sd, cor : ndarray, shapes (..., Q) and (..., correlations)

    Returns
    -------
    ndarray, shape (..., Q, Q)
    """
    out = np.zeros((*sd.shape, sd.shape[-1]))
    place = pair = 0
    for term in model.design.terms:
        q = len(term.names)
        R = np.broadcast_to(np.eye(q), (*sd.shape[:-1], q, q)).copy()
        for k in range(q):
            for l in range(k if term.correlated else 0):
                # Where an sd is 0 there is no correlation, and none is needed.
                R[..., k, l] = R[..., l, k] = np.nan_to_num(cor[..., pair])
                pair += 1
        own = slice(place, place + q)
        out[..., own, own] = sd[..., own, None] * np.linalg.cholesky(R)
        place += q
    return out
