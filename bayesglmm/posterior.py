"""The posterior: draws on the user's scale with their verdict, tables and ArviZ form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .diagnostics.measured import measure, together
from .diagnostics.verdict import NameOf, Verdict, judge
from .errors import DataError
from .posterior_derived import PosteriorDerived
from .resumption import Resumption
from .summary import summarize
from .tables import Table

if TYPE_CHECKING:
    import pandas
    import xarray

    from .chains import Draws
    from .design import Design
    from .effects_summary import EffectsSummary
    from .model import Model
    from .recipe import Recipe

BLOCK_BYTES = 64 * 2**20  # of draws of effects that are judged at a time
LIBRARIES = ("numpy", "numba", "scipy")  # whose versions may change the draws


@dataclass(frozen=True)
class Run:
    """How the draws were made.

    Attributes
    ----------
    sampler, reason : str
        The sampler, and why it was taken.
    seed : int
        The seed of all chains.
    warmup, thin : int
        Iterations of warm-up; iterations per draw kept.
    seconds : dict
        Seconds by phase.
    interrupted : bool
        Whether the user stopped the chains, so that there are fewer draws than asked for.
    created : str
        Time of creation as text; empty where the content has to be reproducible.
    versions : dict
        Versions of what the draws depend on.
    keep : str
        What was kept of the effects: "all", "summary" or "stream".
    classical : dict or None
        Blocks of a classical run and their history, as `sampling_history` reads them.
    changes : list of str
        What warm-up changed in how chains move, where the sampler did not work as planned.
    """

    sampler: str
    reason: str
    seed: int
    warmup: int
    thin: int
    seconds: dict[str, float]
    interrupted: bool = False
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    keep: str = "all"
    classical: dict[str, Any] | None = None
    changes: list[str] = field(default_factory=list)


class NotKept(dict[str, Any]):
    """Draws of effects by factor, of which there are none: the effects were summed up."""

    def __missing__(self, name: str) -> Any:
        raise DataError(
            "the draws of effects were not kept (keep='summary'): summary(u=True) has their "
            "moments and quantiles. For what needs the draws sample with keep='all' or 'stream'"
        )


@dataclass(frozen=True, eq=False)
class Posterior(PosteriorDerived):
    """Draws from a model's posterior.

    Attributes
    ----------
    model : Model
        The model.
    values : dict
        Draws on the user's scale, arrays (chains, draws, ...) named as in `Model.to_user`; those of
        effects are read from their file when they are indexed if they were streamed to it.
    stats : dict of str to (chains, draws) array
        The sampler's statistics.
    theta : (chains, draws, d) array
        The same draws in the model's own coordinates, without the effects.
    run : Run
        How the draws were made.
    resumption : Resumption or None
        Where the chains stand, for `extend`.
    effects : EffectsSummary or None
        What is known of the effects if their draws were not kept.
    """

    model: "Model"
    values: dict[str, Any]
    stats: dict[str, np.ndarray]
    theta: np.ndarray
    run: Run
    resumption: "Resumption | None" = None
    effects: "EffectsSummary | None" = None

    @classmethod
    def from_draws(
        cls,
        model: "Model",
        draws: "Draws",
        *,
        sampler: str,
        reason: str,
        created: str = "",
        recipe: "Recipe | None" = None,
        u: dict[str, Any] | None = None,
    ) -> "Posterior":
        """Return the posterior of a finished run of the chains; `u` if effects were streamed."""
        run = Run(
            sampler=sampler,
            reason=reason,
            seed=draws.seed,
            warmup=draws.warmup,
            thin=draws.thin,
            seconds=dict(draws.seconds),
            interrupted=draws.interrupted,
            created=created,
            versions=versions(),
            keep="all" if recipe is None else recipe.keep,
        )
        held = Resumption(recipe, draws.standings, draws.failures) if recipe else None
        values = user_values(model, draws, run.keep, u)
        effects = summed(model, draws) if run.keep == "summary" else None
        return cls(model, values, dict(draws.stats), draws.theta, run, held, effects)

    def extend(
        self,
        draws: int,
        *,
        jobs: int | None = None,
        progress: bool | None = None,
        executor: Any = None,
        stream: str | Path | None = None,
    ) -> "Posterior":
        """Make more draws of every chain, from where it stands.

        The result equals, bit for bit, one longer run with the same seed; also after `save` and
        `load` in another process, and after an interruption.

        Parameters
        ----------
        draws : int
            How many more draws of each chain.
        jobs, progress, executor
            As of `Model.sample`.
        stream : str or Path, optional
            If draws of effects were streamed: the new file that these and the new ones go to.

        Returns
        -------
        Posterior
            With the draws of this one first; this one stays as it is.

        Raises
        ------
        DataError
            If the states of the chains are not known: the posterior was saved without them.

        Warns
        -----
        ConvergenceWarning
            As of `Model.sample`.
        """
        from . import sampling

        return sampling.extend(
            self, draws, jobs=jobs, progress=progress, executor=executor, stream=stream
        )

    @property
    def chains(self) -> int:
        """Number of chains."""
        return int(self.values["beta"].shape[0])

    @property
    def draws(self) -> int:
        """Draws kept of each chain."""
        return int(self.values["beta"].shape[1])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all scalars but the effects: fixed, sd, cor, dispersion."""
        names = self.model.names
        return (*names.fixed, *names.sd, *names.cor, *names.dispersion)

    @cached_property
    def effect_names(self) -> tuple[str, ...]:
        """Names of the effects, ``u(visit|id[7])``, in the order of `effect_draws`."""
        return tuple(
            f"u({column}|{name}[{level}])"
            for name, levels, columns in groups(self.model.design)
            for level in levels
            for column in columns
        )

    @cached_property
    def scalar_draws(self) -> np.ndarray:
        """Draws (chains, draws, k) of all scalars but the effects, in the order of `names`."""
        values = self.values
        parts = [values["beta"], values["sd"], values["cor"]]
        parts += [values[name][..., None] for name in self.model.names.dispersion]
        return np.concatenate(parts, axis=-1)

    def effect_name(self, place: int) -> str:
        """Return one of `effect_names`, without making the others."""
        for name, levels, columns in groups(self.model.design):
            if place < len(levels) * len(columns):
                level, column = divmod(place, len(columns))
                return f"u({columns[column]}|{name}[{levels[level]}])"
            place -= len(levels) * len(columns)
        raise IndexError(place)

    @property
    def effect_draws(self) -> np.ndarray:
        """Draws (chains, draws, effects) of the effects, in the order of `effect_names`."""
        shape = (self.chains, self.draws)
        parts = [
            self.values["u"][name].reshape(*shape, len(levels) * len(columns))
            for name, levels, columns in groups(self.model.design)
        ]
        return np.concatenate(parts, axis=-1) if parts else np.empty((*shape, 0))

    def effect_blocks(self) -> Iterator[np.ndarray]:
        """Yield draws (chains, draws, some effects) in the order of `effect_names`."""
        for name, levels, columns in groups(self.model.design):
            values = self.values["u"][name]
            one = 8 * max(1, self.chains * self.draws * len(columns))
            step = max(1, BLOCK_BYTES // one)
            for first in range(0, len(levels), step):
                block = values[:, :, first : first + step]
                yield block.reshape(self.chains, self.draws, block.shape[2] * len(columns))

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the chains converged, the effects included; in words with remedies."""
        parameters: list[tuple[Any, NameOf]] = [(self.scalar_draws, lambda i: self.names[i])]
        if self.effects is not None:
            parameters.append((self.effects.measured, self.effect_name))
        else:
            measured = [measure(block) for block in self.effect_blocks()]
            if measured:
                parameters.append((together(measured), self.effect_name))
        return judge(parameters, self.stats)

    def table(self, *, u: bool = False, ci_prob: float = 0.95, ci_kind: str = "eti") -> Table:
        """Return what `summary` returns, as a plain table that needs no pandas."""
        inverse = self.model.names.inverse
        names: Sequence[str] = (*self.names, *inverse)
        draws = self.scalar_draws
        if inverse:
            draws = np.concatenate([draws, 1.0 / draws[..., -len(inverse) :]], axis=-1)
        table = summarize(names, draws, ci_prob=ci_prob, ci_kind=ci_kind)
        if not u:
            return table
        if self.effects is not None:
            if ci_kind != "eti":
                raise DataError("the effects were kept as a summary: they have ci_kind='eti' only")
            more = [self.effects.columns(ci_prob)]
        else:
            more = [
                dict(summarize((), block, ci_prob=ci_prob, ci_kind=ci_kind).columns)
                for block in self.effect_blocks()
            ]
        columns = {
            name: np.concatenate([values, *(part[name] for part in more)])
            for name, values in table.columns.items()
        }
        return Table((*table.rows, *self.effect_names), columns)

    def summary(
        self, *, u: bool = False, ci_prob: float = 0.95, ci_kind: str = "eti"
    ) -> "pandas.DataFrame":
        """Summarize the posterior, one row a parameter.

        Parameters
        ----------
        u : bool
            Whether the effects of all levels get rows too.
        ci_prob : float
            Probability inside the limits.
        ci_kind : {"eti", "hdi"}
            Equal-tailed limits, or the shortest interval.

        Returns
        -------
        pandas.DataFrame
            Columns ``mean sd median``, the limits named by their probability (``2.5%``,
            ``97.5%``, ``hdi_2.5%`` ...), ``mcse_mean ess_bulk ess_tail r_hat``.
        """
        return self.table(u=u, ci_prob=ci_prob, ci_kind=ci_kind).frame()

    @cached_property
    def data(self) -> "xarray.DataTree":
        """The posterior as an ArviZ DataTree with named dims and coords."""
        from . import arviz_form

        return arviz_form.tree(self)

    def log_likelihood(self) -> "xarray.DataTree":
        """Add the group ``log_likelihood`` of every row and draw to `data`, and return `data`.

        The log likelihood is that of a row given the effects, with the terms that depend on the
        data only.
        """
        from . import arviz_form, pointwise

        if "log_likelihood" not in self.data.children:
            arviz_form.add_log_likelihood(self.data, pointwise.log_likelihood(self), self)
        return self.data

    def save(self, path: str | Path, *, force: bool = False, states: bool = True) -> None:
        """Save to one netCDF file, which ``bayesglmm.load`` reads back; see `bayesglmm.io.save`."""
        from . import io

        io.save(self, path, force=force, states=states)

    def __str__(self) -> str:
        from . import printout

        return printout.posterior(self)

    def __repr__(self) -> str:
        return (
            f"<Posterior of {self.model.design.formula!r}: {self.chains} chains x {self.draws} "
            f"draws by {self.run.sampler}, {'' if self.verdict.ok else 'NOT '}converged>"
        )


def user_values(
    model: "Model", draws: "Draws", keep: str, u: dict[str, Any] | None
) -> dict[str, Any]:
    """Return draws on the user's scale; of effects those that were kept."""
    if keep == "all":
        return model.to_user(draws.theta, draws.u)
    return {**model.to_user(draws.theta, None), "u": NotKept() if u is None else u}


def summed(model: "Model", draws: "Draws") -> "EffectsSummary":
    """Return the summary of effects that the states of the chains hold."""
    from .effects_summary import EffectsSummary

    return EffectsSummary.of(model, draws.states)


def groups(design: "Design") -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Return name, levels and z columns of every factor with effects, as `to_user` orders them."""
    return [
        (
            factor.name,
            factor.levels,
            tuple(name for term in design.terms if term.factor == k for name in term.names),
        )
        for k, factor in enumerate(design.factors)
    ]


def versions() -> dict[str, str]:
    """Return the versions of what draws depend on."""
    from importlib.metadata import version

    return {"bayesglmm": __version__, **{name: version(name) for name in LIBRARIES}}
