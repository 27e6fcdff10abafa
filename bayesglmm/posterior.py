"""The posterior: draws on the user's scale with their verdict, tables and ArviZ form."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .derived import Derived
from .diagnostics.verdict import Verdict, judge
from .resumption import Resumption
from .summary import summarize
from .tables import Table

if TYPE_CHECKING:
    import pandas
    import xarray

    from .chains import Draws
    from .design import Design
    from .model import Model
    from .recipe import Recipe

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


@dataclass(frozen=True, eq=False)
class Posterior(Derived):
    """Draws from a model's posterior.

    Attributes
    ----------
    model : Model
        The model.
    values : dict
        Draws on the user's scale, arrays (chains, draws, ...) named as in `Model.to_user`.
    stats : dict of str to (chains, draws) array
        The sampler's statistics.
    theta : (chains, draws, d) array
        The same draws in the model's own coordinates, without the effects.
    run : Run
        How the draws were made.
    resumption : Resumption or None
        Where the chains stand, for `extend`.
    """

    model: "Model"
    values: dict[str, Any]
    stats: dict[str, np.ndarray]
    theta: np.ndarray
    run: Run
    resumption: "Resumption | None" = None

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
    ) -> "Posterior":
        """Return the posterior of a finished run of the chains."""
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
        )
        values = model.to_user(draws.theta, draws.u)
        held = Resumption(recipe, draws.standings, draws.failures) if recipe else None
        return cls(model, values, dict(draws.stats), draws.theta, run, held)

    def extend(
        self,
        draws: int,
        *,
        jobs: int | None = None,
        progress: bool | None = None,
        executor: Any = None,
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

        Returns
        -------
        Posterior
            With the draws of this one first; this one stays as it is.

        Raises
        ------
        DataError
            If the states of the chains are not known: the posterior was saved without them.
        """
        from . import sampling

        return sampling.extend(self, draws, jobs=jobs, progress=progress, executor=executor)

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

    @property
    def effect_draws(self) -> np.ndarray:
        """Draws (chains, draws, effects) of the effects, in the order of `effect_names`."""
        shape = (self.chains, self.draws, -1)
        parts = [self.values["u"][name].reshape(shape) for name, _, _ in groups(self.model.design)]
        return np.concatenate(parts, axis=-1) if parts else np.empty((*shape[:2], 0))

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the chains converged, the effects included; in words with remedies."""
        scalars = (self.scalar_draws, lambda i: self.names[i])
        effects = (self.effect_draws, lambda i: self.effect_names[i])
        return judge([scalars, effects], self.stats)

    def table(self, *, u: bool = False, ci_prob: float = 0.95, ci_kind: str = "eti") -> Table:
        """Return what `summary` returns, as a plain table that needs no pandas."""
        inverse = self.model.names.inverse
        names: Sequence[str] = (*self.names, *inverse)
        draws = self.scalar_draws
        if inverse:
            draws = np.concatenate([draws, 1.0 / draws[..., -len(inverse) :]], axis=-1)
        if u:
            names = (*names, *self.effect_names)
            draws = np.concatenate([draws, self.effect_draws], axis=-1)
        return summarize(names, draws, ci_prob=ci_prob, ci_kind=ci_kind)

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

    def plot_trace(self, var_names: Sequence[str] = ("beta", "sd", "cor"), **options: Any) -> Any:
        """Plot densities and traces with ``arviz_plots.plot_trace_dist``; options go to it.

        Variables that the model does not have are left out.
        """
        import arviz_plots

        present = [name for name in var_names if name in self.data.posterior.data_vars]
        return arviz_plots.plot_trace_dist(self.data, var_names=present, **options)

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
