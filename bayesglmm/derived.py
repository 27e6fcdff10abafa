"""What can be asked of a fit and of a posterior alike: contrasts, means, marginal effects."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .effect_curve import EffectCurve
    from .marginal import Marginal
    from .model import Model
    from .quantities import Quantities


class Derived:
    """Methods that a `Fit` and a `Posterior` share.

    Each returns `quantities.Estimates` of a fit, with ``estimate se p`` and limits, and
    `quantities.Drawn` of a posterior, with draws; both print, and have `table` and `frame`.
    Of a fit, limits are set by ``level=0.95``; of a posterior by ``ci_prob=0.95`` and
    ``ci_kind="eti"``.
    """

    model: "Model"

    def contrasts(self, rows: Any = None, **options: Any) -> "Quantities":
        """Linear combinations of the coefficients; see `contrasts.contrasts` for all options.

        Parameters
        ----------
        rows : str, sequence of str, mapping or (k, p) array
            ``"treat + treat:week1"``; by label such a text, a dict of coefficient by name, or p
            numbers; or a matrix.
        between : pair of settings, or mapping of label to such pairs
            ``({"treat": "new", "week": 1}, {"treat": "standard", "week": 1})``: the first minus
            the second.
        labels : sequence of str
            Labels of the rows of a matrix.
        exponentiate : bool
            Show odds ratios or rate ratios.
        """
        from .contrasts import contrasts

        return contrasts(self, rows, **options)

    def means(self, of: Any, **options: Any) -> "Quantities":
        """Least-squares means; see `means.means` for all options.

        Parameters
        ----------
        of : str or sequence of str
            Factors, ``"treat"``, ``"treat * week"``, or ``"treat | week"`` for pairs within weeks.
        at : dict
            Values of predictors.
        scale : {"link", "response"}
        pairwise, exponentiate : bool
            Differences of pairs, shown as ratios.
        adjust : {"none", "bonferroni", "holm"}
            For the number of pairs, of a fit.
        """
        from .means import means

        return means(self, of, **options)

    def effect_of(self, of: str, **options: Any) -> "EffectCurve":
        """The effect of a predictor along another; see `effect_curve.effect_of` for all options.

        Parameters
        ----------
        of : str
            A factor, whose levels are compared with the reference, or a number.
        over : str, or dict of one predictor to values
            Along what: ``{"base": [8, 16, 32, 64]}``, or ``"base"`` for its range.
        levels : pair
            Compare this level of the factor with that one.
        step : float
            Of a number: the effect of so much more of it.
        at : dict
            Values of other predictors.
        exponentiate : bool
            Show odds ratios or rate ratios.

        Returns
        -------
        EffectCurve
            With `table`, `frame`, `plot` and `crossing`.
        """
        from .effect_curve import effect_of

        return effect_of(self, of, **options)

    def plot_forest(
        self, rows: Any = None, *, exponentiate: bool = False, path: Any = None, **limits: Any
    ) -> Any:
        """Forest plot of the coefficients, or of combinations of them.

        Parameters
        ----------
        rows : optional
            As of `contrasts`; if not given all coefficients but the intercept.
        exponentiate : bool
            Show odds ratios or rate ratios, on a logarithmic axis.
        path : str or Path, optional
            File that the figure is saved to.
        **limits
            ``level=0.95`` of a fit; ``ci_prob=0.95`` and ``ci_kind="eti"`` of a posterior.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        DataError
            If there are no such coefficients, or more than can be read.
        """
        from .contrasts import coefficients

        if rows is not None:
            return self.contrasts(rows, exponentiate=exponentiate, **limits).plot(path=path)
        return coefficients(self, exponentiate=exponentiate, **limits).plot(path=path)

    def plot_normal(self, group: str | None = None, **options: Any) -> "Figure":
        """Plot quantiles of the effects of a group against normal ones; see `normal_plot`."""
        from . import normal_plot

        return normal_plot.effects(self, group, **options)

    def marginal(self, **limits: Any) -> "Marginal":
        """Marginal (population-averaged) coefficients; see `marginal.coefficients`."""
        from .marginal import coefficients

        return coefficients(self, **limits)

    def marginal_means(self, newdata: Any = None, **options: Any) -> "Quantities":
        """Means of the response over the population of groups; see `marginal.means`.

        Parameters
        ----------
        newdata : data frame or mapping
            Rows with the predictors; groups are not needed. The rows of the data if not given.
        kind : {"mean", "variance"}
            The mean, or the variance of a response over the population.
        """
        from .marginal import means

        return means(self, newdata, **options)

    def icc(self, **limits: Any) -> "Quantities":
        """Intraclass correlation of each grouping factor; see `shares.icc`."""
        from .shares import icc

        return icc(self, **limits)

    def r2(self, **limits: Any) -> "Quantities":
        """R2 of the fixed part, and of it with the groups; see `shares.r2`."""
        from .shares import r2

        return r2(self, **limits)
