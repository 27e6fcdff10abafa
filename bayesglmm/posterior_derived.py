"""What can be asked of a posterior: predictions, checks, diagnostics, plots, a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks.arguments import unknown_keywords
from .errors import DataError
from .posterior_plots import PosteriorPlots
from .tables import frame_of

if TYPE_CHECKING:
    import pandas
    from arviz_stats import ELPDData

    from .crosscheck import Crosscheck
    from .diagnosis import Diagnosis
    from .dic import DIC
    from .fitted_curve import FittedCurve
    from .likelihood_fit import Fit
    from .ods import Ods
    from .prediction import Prediction
    from .predictive import Predictive


OF_PREDICTIONS = ("effects", "new_levels", "functions", "seed")


class PosteriorDerived(PosteriorPlots):
    """Methods of a `Posterior` that other modules answer; its draws and tables are its own."""

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

        unknown_keywords("predict", options, (*OF_PREDICTIONS, "scale", "ci_prob", "ci_kind"))
        return predict(self._whole, newdata, **options)

    def curve(self, over: Any, **options: Any) -> "FittedCurve":
        """Means of the response along a predictor, with credible bands.

        Parameters
        ----------
        over : str, or dict of one predictor to values
            ``"visit"`` for its range or all its levels; ``{"base": [8, 16, 32]}``.
        by : str
            A factor: a curve for each of its levels.
        at : dict
            Values of other predictors; else numbers are at their means, and the linear predictor is
            averaged over the levels of factors, as by `means`.
        effects : {"population", "marginal"}, or both
            At effects of 0, or averaged over the distribution of groups.
        groups : dict
            Curves of given groups instead, ``{"id": [101, 104]}``.
        scale : {"response", "link"}
        ci_prob, ci_kind : float, {"eti", "hdi"}

        Returns
        -------
        FittedCurve
            With `table`, `frame` and `plot`.

        Raises
        ------
        DataError
            For predictors, levels, groups or values that do not fit.
        """
        from .fitted_curve import fitted_curve

        return fitted_curve(self._whole, over, **options)

    def predictive(self, newdata: Any = None, **options: Any) -> "Predictive":
        """Draw responses from the posterior predictive distribution.

        Parameters
        ----------
        newdata, effects, new_levels, functions, seed
            As of `predict`, but without ``effects="marginal"``: with ``new_levels="sample"`` and
            groups that are new the responses are those of other groups like these.

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

        unknown_keywords("predictive", options, OF_PREDICTIONS)
        return posterior_predictive(self._whole, newdata, **options)

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

        return diagnose(self._whole, u=u, **options)

    @property
    def ods(self) -> "Ods":
        """SAS's tables by their ODS names: ``post.ods["PostSummaries"]``; see `ods.Ods`."""
        from .ods import Ods

        return Ods(self._whole)

    def dic(self) -> "DIC":
        """Return the deviance information criterion, conditional on the effects; see `dic`."""
        from .dic import dic

        return dic(self._whole)

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

        return outpost.frame(self._whole, u)

    def outpost(self, path: str | Path, *, u: bool = False, force: bool = False) -> None:
        """Save the draws as ``.csv``, ``.csv.gz`` or ``.parquet``; see `outpost.save`."""
        from . import outpost

        outpost.save(self._whole, path, u=u, force=force)

    def divergences(self, most: int = 10) -> "pandas.DataFrame":
        """Return where the trajectories of `nuts` or `hmc` diverged: the draws that they led to.

        What these draws have in common, small sds as a rule, is where draws are missing (Betancourt
        2017, arXiv:1701.02434, section 6.2).

        Parameters
        ----------
        most : int
            How many of them at most.

        Returns
        -------
        pandas.DataFrame
            Columns ``chain`` and ``draw``, from 1, and one a parameter but the effects; a row a
            divergence, in the order of chains.

        Raises
        ------
        DataError
            For a sampler that has no trajectories.
        """
        post = self._whole
        if "divergent" not in post.stats:
            raise DataError(f"only nuts and hmc have divergences; this is {post.run.sampler!r}")
        divergent = np.asarray(post.stats["divergent"], dtype=bool).ravel()
        return self.to_frame()[divergent].head(most).reset_index(drop=True)

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
        run = self._whole.run
        if run.classical is None:
            raise DataError(
                f"blocks and their tuning are of sampler='classical'; this is {run.sampler!r}"
            )
        return run.classical

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

        return loo(self._whole, by, **options)

    def waic(self) -> "ELPDData":
        """Return the widely applicable information criterion; see `information.waic`."""
        from .information import waic

        return waic(self._whole)

    def fitted(self, kind: str = "response") -> np.ndarray:
        """Posterior means of the rows' means or linear predictors, given the effects, shape (n,).

        Parameters
        ----------
        kind : {"response", "link"}
            Means (proportions for counts of trials), or linear predictors.
        """
        blocks = self._whole.predict(scale=kind).blocks()
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

            return of_posterior(self._whole)
        from .residuals import residuals

        name = self._whole.model.family.dispersion
        phi = float(self._whole.values[name].mean()) if name else 1.0
        drawn = self._whole.values.get("u", {})
        factors = [factor.name for factor in self._whole.model.design.factors]
        effects = {name: np.asarray(drawn[name]).mean(axis=(0, 1)) for name in factors}
        beta = self._whole.values["beta"].mean(axis=(0, 1))
        return residuals(self._whole.model, beta, effects, phi, kind)

    def sensitivity(self) -> "pandas.DataFrame":
        """Sensitivity of every parameter to the priors and to the likelihood, by power-scaling.

        Returns
        -------
        pandas.DataFrame
            Columns ``prior``, ``likelihood`` (above .05 is sensitive) and ``diagnosis``.
        """
        from .sensitivity import sensitivity

        return sensitivity(self._whole)

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

        return crosscheck(self._whole, sampler, **options)

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

        return save(self._whole, path, fits=fits, title=title, force=force)
