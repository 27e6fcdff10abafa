"""The posterior: draws on the user's scale with their verdict, tables and ArviZ form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .derived import Derived
from .diagnostics.measured import measure, together
from .diagnostics.verdict import NameOf, Verdict, judge
from .errors import DataError
from .resumption import Resumption
from .summary import summarize
from .tables import Table, frame_of

if TYPE_CHECKING:
    import pandas
    import xarray
    from arviz_stats import ELPDData
    from matplotlib.figure import Figure

    from .chains import Draws
    from .crosscheck import Crosscheck
    from .design import Design
    from .diagnosis import Diagnosis
    from .dic import DIC
    from .effects_summary import EffectsSummary
    from .likelihood_fit import Fit
    from .model import Model
    from .ods import Ods
    from .prediction import Prediction
    from .predictive import Predictive
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


class NotKept(dict[str, Any]):
    """Draws of effects by factor, of which there are none: the effects were summed up."""

    def __missing__(self, name: str) -> Any:
        raise DataError(
            "the draws of effects were not kept (keep='summary'): summary(u=True) has their "
            "moments and quantiles. For what needs the draws sample with keep='all' or 'stream'"
        )


@dataclass(frozen=True, eq=False)
class Posterior(Derived):
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

    def predict(self, newdata: Any = None, **options: Any) -> "Prediction":
        """Predict means or linear predictors of the rows of the data, or of new ones.

        Parameters
        ----------
        newdata : data frame or mapping, optional
            Rows with the predictors, and the groups where their effects count; coded as the data
            were. The rows of the data if not given.
        effects : {"conditional", "population", "marginal"}
            Given the effects of the rows' groups; at effects of 0; or averaged over the
            distribution of groups.
        new_levels : {"refuse", "sample", "zero"}
            Of groups that the data do not have: refuse them, draw their effects from the
            distribution of groups (the same for all rows of a group), or take them as 0.
        scale : {"response", "link"}
            Means (proportions for counts of trials), or linear predictors.
        functions : mapping, optional
            The user's own functions, where the formula has some.
        ci_prob, ci_kind : float, {"eti", "hdi"}
            Of the limits.
        seed : int, optional
            Of the effects of new levels; the posterior's own if not given.

        Returns
        -------
        Prediction
            With `table`, `frame` and `draws`.

        Raises
        ------
        DataError
            For columns, levels or arguments that do not fit.
        """
        from .prediction import predict

        return predict(self, newdata, **options)

    def predictive(self, newdata: Any = None, **options: Any) -> "Predictive":
        """Draw responses from the posterior predictive distribution.

        Parameters
        ----------
        newdata, effects, new_levels, functions, seed
            As of `predict`. With ``new_levels="sample"`` and groups that are new the responses are
            those of other groups like these.

        Returns
        -------
        Predictive
            With `draws`, `table`, `frame`, `check`, `plot`, and `data` for ArviZ.

        Raises
        ------
        DataError
            As `predict`, and if new rows lack numbers of trials or standard errors.
        """
        from .predictive import posterior_predictive

        return posterior_predictive(self, newdata, **options)

    def plot_ppc(self, kind: str | None = None, **options: Any) -> Any:
        """Plot draws of the data against the data; see `predictive.Predictive.plot`."""
        return self.predictive().plot(kind, **options)

    def diagnose(self, *, u: bool = False, **options: Any) -> "Diagnosis":
        """Diagnose convergence: the verdict and the tables behind it; see `diagnosis.diagnose`.

        Parameters
        ----------
        u : bool
            Whether the tables have the effects of all levels too.
        **options
            ``parameters``, and the settings of the tests.
        """
        from .diagnosis import diagnose

        return diagnose(self, u=u, **options)

    @property
    def ods(self) -> "Ods":
        """SAS's tables by their ODS names: ``post.ods["PostSummaries"]``; see `ods.Ods`."""
        from .ods import Ods

        return Ods(self)

    def dic(self) -> "DIC":
        """Return the deviance information criterion, conditional on the effects; see `dic`."""
        from .dic import dic

        return dic(self)

    def to_frame(self, *, u: bool = False) -> "pandas.DataFrame":
        """Return the draws as a data frame, which other programs and `diagnose` read.

        Parameters
        ----------
        u : bool
            Whether the effects of all levels get columns too.

        Returns
        -------
        pandas.DataFrame
            Columns ``chain`` and ``draw``, from 1, and one a parameter; a row a draw.
        """
        from . import outpost

        return outpost.frame(self, u)

    def outpost(self, path: str | Path, *, u: bool = False, force: bool = False) -> None:
        """Save the draws as ``.csv``, ``.csv.gz`` or ``.parquet``; see `outpost.save`."""
        from . import outpost

        outpost.save(self, path, u=u, force=force)

    def sampler_blocks(self) -> "pandas.DataFrame":
        """Return the blocks of a classical run, in the order in which a sweep moves them.

        Returns
        -------
        pandas.DataFrame
            Columns ``block parameters method acceptance``: acceptance in sampling, the mean over
            chains; missing for exact draws and slices, which reject nothing.

        Raises
        ------
        DataError
            For another sampler.
        """
        from . import sampling_history

        return frame_of(sampling_history.block_records(self._classical()))

    def tuning_history(self) -> "pandas.DataFrame":
        """Return what tuning, burn-in and sampling of a classical run were like.

        The content of PROC MCMC's tables TuneHistory, BurnInHistory and SampleHistory.

        Returns
        -------
        pandas.DataFrame
            Columns ``chain phase loop block method iterations scale acceptance``; ``phase`` is
            Tuning, Burn-in or Sampling. A block of effects has its levels' mean scale and
            acceptance. Blocks of exact draws and slices have no rows.

        Raises
        ------
        DataError
            For another sampler.
        """
        from . import sampling_history

        return frame_of(sampling_history.history_records(self._classical()))

    def _classical(self) -> dict[str, Any]:
        if self.run.classical is None:
            raise DataError(
                f"blocks and their tuning are of sampler='classical'; this is {self.run.sampler!r}"
            )
        return self.run.classical

    def loo(self, by: str = "row", **options: Any) -> "ELPDData":
        """Leave-one-out cross-validation by Pareto-smoothed importance sampling, with ArviZ.

        Parameters
        ----------
        by : {"row", "group"}
            Leave out rows, given the effects of their groups; or whole groups, whose effects are
            integrated out: how well a new group is predicted.
        **options
            Passed on to ``arviz_stats.loo``.

        Returns
        -------
        arviz_stats.ELPDData
            For ``arviz_stats.compare``.

        Warns
        -----
        DataWarning
            If every row has an effect of its own, so that leaving out rows means little.

        Raises
        ------
        DataError
            If groups are to be left out of a model with another number of factors than one.
        """
        from .information import loo

        return loo(self, by, **options)

    def waic(self) -> "ELPDData":
        """Return the widely applicable information criterion; see `information.waic`."""
        from .information import waic

        return waic(self)

    def fitted(self, kind: str = "response") -> np.ndarray:
        """Posterior means of the rows' means or linear predictors, given the effects, shape (n,).

        Parameters
        ----------
        kind : {"response", "link"}
            Means (proportions for counts of trials), or linear predictors.
        """
        blocks = self.predict(scale=kind).blocks()
        return np.concatenate([block.mean(axis=(0, 1)) for _, block in blocks])

    def residuals(self, kind: str = "quantile") -> np.ndarray:
        """Residuals of the rows given the effects, shape (n,).

        Parameters
        ----------
        kind : {"quantile", "deviance", "pearson", "response"}
            Randomized quantile residuals, standard normal if the model is right; the others at the
            posterior means of the parameters and effects.
        """
        if kind == "quantile":
            from .quantile_residuals import of_posterior

            return of_posterior(self)
        from .residuals import residuals

        name = self.model.family.dispersion
        phi = float(self.values[name].mean()) if name else 1.0
        effects = {k: np.asarray(u).mean(axis=(0, 1)) for k, u in self.values["u"].items()}
        beta = self.values["beta"].mean(axis=(0, 1))
        return residuals(self.model, beta, effects, phi, kind)

    def plot_effects(self, group: str | None = None, **options: Any) -> "Figure":
        """Caterpillar plot of the effects of a group; see `fit_plots.effects`."""
        from . import fit_plots

        return fit_plots.effects(self, group, **options)

    def plot_residuals(self, kind: str = "quantile", **options: Any) -> "Figure":
        """Residuals against linear predictors; see `fit_plots.residuals`."""
        from . import fit_plots

        return fit_plots.residuals(self, kind, **options)

    def sensitivity(self) -> "pandas.DataFrame":
        """Sensitivity of every parameter to the priors and to the likelihood, by power-scaling.

        Returns
        -------
        pandas.DataFrame
            Columns ``prior``, ``likelihood`` (above .05 is sensitive) and ``diagnosis``.
        """
        from .sensitivity import sensitivity

        return sensitivity(self)

    def plot_trace(self, var_names: Sequence[str] = ("beta", "sd", "cor"), **options: Any) -> Any:
        """Plot densities and traces with ``arviz_plots.plot_trace_dist``; options go to it.

        Variables that the model does not have are left out.
        """
        import arviz_plots

        present = [name for name in var_names if name in self.data.posterior.data_vars]
        return arviz_plots.plot_trace_dist(self.data, var_names=present, **options)

    def crosscheck(self, sampler: str | None = None, **options: Any) -> "Crosscheck":
        """Sample the model again by another sampler, and compare all parameters.

        Samplers have little in common but the model, so that what is wrong with one, or missed by
        it, shows as a difference. By default NUTS checks the others, and HMC checks NUTS.

        Parameters
        ----------
        sampler : str, optional
            As of `Model.sample`.
        draws, warmup : int, optional
            Of each chain; as many as this posterior's by default. Means can be compared from 400
            effective draws on, sds and quantiles from 4,000 on.
        seed : int, optional
            One more than this posterior's by default.
        jobs, progress, executor
            As of `Model.sample`.

        Returns
        -------
        crosscheck.Crosscheck
            Print it for the verdict; ``ok``, ``table`` (one row a parameter, effects too), and
            ``second``, the other posterior.

        Raises
        ------
        DataError
            If it is the sampler that this posterior was drawn by.
        """
        from .crosscheck import crosscheck

        return crosscheck(self, sampler, **options)

    def report(
        self,
        path: str | Path,
        *,
        fits: "Sequence[Fit] | None" = None,
        title: str | None = None,
        force: bool = False,
    ) -> Path:
        """Write a report for who did not run it: one HTML file that needs nothing else.

        It has the question, the verdict, tables (each to be saved as CSV), plots, a
        maximum-likelihood fit beside the posterior, predictive checks, the sensitivity to the
        priors, a paragraph of methods, and the code that makes the same draws again.

        Parameters
        ----------
        path : str or Path
            ``.html``.
        fits : sequence of Fit, optional
            What stands beside the posterior; a Laplace or REML fit if not given, ``()`` for none.
        title : str, optional
        force : bool
            Whether a file that is there may be replaced.

        Returns
        -------
        Path

        Raises
        ------
        DataError
            For another suffix.
        FileExistsError
            If the file is there and `force` is false.
        """
        from .report import save

        return save(self, path, fits=fits, title=title, force=force)

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
