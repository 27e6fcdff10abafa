"""What a posterior plots of itself; each plot has a module of its own, or is ArviZ's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .derived import Derived
from .errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .posterior import Posterior


class PosteriorPlots(Derived):
    """Plots of a `Posterior`."""

    @property
    def _whole(self) -> "Posterior":
        from .posterior import Posterior

        assert isinstance(self, Posterior)
        return self

    def plot_curve(self, over: Any, *, ax: Any = None, path: Any = None, **options: Any) -> Any:
        """Plot means of the response along a predictor; the other arguments are those of `curve`.

        Returns
        -------
        matplotlib axes
        """
        return self._whole.curve(over, **options).plot(ax, path=path)

    def plot_ppc(self, kind: str | None = None, **options: Any) -> Any:
        """Plot draws of the data against the data; see `predictive.Predictive.plot`."""
        return self._whole.predictive().plot(kind, **options)

    def plot_effects(self, group: str | None = None, **options: Any) -> "Figure":
        """Caterpillar plot of the effects of a group; see `fit_plots.effects`."""
        from . import fit_plots

        return fit_plots.effects(self._whole, group, **options)

    def plot_residuals(self, kind: str = "quantile", **options: Any) -> "Figure":
        """Residuals against linear predictors, or by group; see `residual_plot.residuals`."""
        from . import residual_plot

        return residual_plot.residuals(self._whole, kind, **options)

    def plot_spaghetti(self, over: str, group: str | None = None, **options: Any) -> "Figure":
        """Plot fitted means of every group along a predictor; see `spaghetti.spaghetti`."""
        from .spaghetti import spaghetti

        return spaghetti(self._whole, over, group, **options)

    def plot_chains(self, names: str | Sequence[str] | None = None, **options: Any) -> "Figure":
        """Plot traces, ranks and autocorrelations; see `chain_plot.chains`."""
        from .chain_plot import chains

        return chains(self._whole, names, **options)

    def plot_priors(self, **options: Any) -> "Figure | None":
        """Plot prior and posterior densities of sds, correlations, ICC; see `prior_plot.priors`."""
        from .prior_plot import priors

        return priors(self._whole, **options)

    def plot_trace(
        self, var_names: str | Sequence[str] = ("beta", "sd", "cor"), **options: Any
    ) -> Any:
        """Plot densities and traces with ``arviz_plots.plot_trace_dist``; options go to it.

        Variables that the model does not have are left out.

        Raises
        ------
        DataError
            If it has none of them.
        """
        import arviz_plots

        asked = [var_names] if isinstance(var_names, str) else list(var_names)
        there = list(self._whole.data.posterior.data_vars)
        present = [name for name in asked if name in there]
        if not present:
            raise DataError(f"there is no variable of {asked}; there are {', '.join(there)}")
        return arviz_plots.plot_trace_dist(self._whole.data, var_names=present, **options)
