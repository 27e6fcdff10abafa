"""A maximum-likelihood fit on the user's scale: estimates, standard errors, effects, tables."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from . import fit_printout, profiles, residuals, wald
from .derived import Derived
from .fits import degrees
from .problem import back
from .tables import Table

if TYPE_CHECKING:
    from pathlib import Path

    import pandas
    from matplotlib.figure import Figure

    from .fits.outcome import Outcome
    from .model import Model

PSEUDO = ("rspl", "mspl")  # their likelihood is that of working data, which change with the model
SCALE = "scale"  # row of the residual scale that a pseudo-likelihood estimates
NEARLY_ONE = 0.9999  # a correlation beyond is 1
STEP = 1e-5  # of the central difference that carries standard errors to the user's scale


@dataclass(frozen=True, eq=False)
class Fit(Derived):
    """A maximum-likelihood fit.

    Attributes
    ----------
    model : Model
    outcome : Outcome
        The fit on the internal scale.
    rule : str
        Of the denominator degrees of freedom; empty where tests are by the normal distribution.
    """

    model: "Model"
    outcome: "Outcome"
    rule: str = ""

    # ---- what it is ------------------------------------------------------------------------

    @property
    def method(self) -> str:
        """``"laplace"``, ``"aghq"``, ``"reml"`` ..."""
        return self.outcome.method

    @property
    def nodes(self) -> int | None:
        """Quadrature nodes a dimension; None without quadrature."""
        return self.outcome.nodes

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Rows of the table: coefficients, sds, correlations, dispersion."""
        names = self.model.names
        scale = (SCALE,) if self.outcome.scale else ()
        if self.method == "glm":
            return (*names.fixed, *names.dispersion, *scale)
        return (*names.fixed, *names.sd, *names.cor, *names.dispersion, *scale)

    # ---- estimates -------------------------------------------------------------------------

    @cached_property
    def estimate(self) -> np.ndarray:
        """Estimates, shape (rows,). An sd on the boundary is 0, its correlations nan; others 1, -1.

        A dispersion that grows without bound is inf.
        """
        values = self._around[0].copy()
        zero, lost, _ = self._on_boundary
        values[zero] = 0.0
        values[lost] = np.nan
        one = np.isin(self.names, self.model.names.cor) & (np.abs(values) > NEARLY_ONE)
        values[one] = np.sign(values[one])
        if self.outcome.endless:
            values[-1] = np.inf
        return values

    @cached_property
    def covariance(self) -> np.ndarray:
        """Covariance of the estimates by the delta method, (rows, rows); nan on the boundary."""
        _, above, below = np.split(self._around, [1, 1 + self.outcome.theta.size])
        slopes = (above - below) / (2.0 * self._steps[:, None])
        # Of coefficients they are known: the rounding of differences may be much in the intercept.
        p = len(self.model.names.fixed)
        slopes[:, :p] = 0.0
        slopes[:p, :p] = back(self.model).T
        made: np.ndarray = slopes.T @ self.outcome.covariance @ slopes
        for mask in self._on_boundary:
            made[mask], made[:, mask] = np.nan, np.nan
        if self.outcome.endless:
            made[-1], made[:, -1] = np.nan, np.nan
        return made

    @cached_property
    def se(self) -> np.ndarray:
        """Standard errors from the Hessian of the objective, (rows,); nan on the boundary."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def beta(self) -> np.ndarray:
        """Coefficients, shape (p,)."""
        return self.estimate[: len(self.model.names.fixed)]

    @property
    def beta_covariance(self) -> np.ndarray:
        """Covariance of the coefficients, shape (p, p)."""
        p = len(self.model.names.fixed)
        return self.covariance[:p, :p]

    @cached_property
    def denominator(self) -> np.ndarray | None:
        """Denominator degrees of freedom by the rule, (p,); None without one.

        Found when first asked for: ranks take longer than a small fit.
        """
        return degrees.coefficients(self.model.design, self.rule) if self.rule else None

    @property
    def df(self) -> np.ndarray:
        """Denominator degrees of freedom of each coefficient, (p,); inf where the test is z."""
        if self.denominator is None:
            return np.full(len(self.model.names.fixed), np.inf)
        return self.denominator

    @property
    def statistic(self) -> np.ndarray:
        """Estimate over standard error of each coefficient, shape (p,)."""
        with np.errstate(divide="ignore", invalid="ignore"):  # where there is no maximum
            return np.asarray(self.beta / np.sqrt(np.diag(self.beta_covariance)))

    @property
    def p_value(self) -> np.ndarray:
        """Two-sided p-value of each coefficient, shape (p,)."""
        return wald.two_sided(self.statistic, self.df)

    # ---- fit and convergence ---------------------------------------------------------------

    @cached_property
    def loglik(self) -> float:
        """Maximum of the objective with all constants, so that it compares with other software.

        Restricted for REML; of the last working data for a pseudo-likelihood.
        """
        return self.outcome.loglik + self._constant

    @property
    def restricted(self) -> bool:
        """Whether the coefficients are integrated out of the objective (REML)."""
        return self.outcome.restricted

    @property
    def parameters(self) -> int:
        """Number of estimated parameters."""
        return len(self.names)

    @property
    def deviance(self) -> float:
        """-2 loglik."""
        return -2.0 * self.loglik

    @property
    def aic(self) -> float:
        """-2 loglik + 2 parameters; nan for a pseudo-likelihood, which is not comparable."""
        return math.nan if self.method in PSEUDO else 2.0 * self.parameters + self.deviance

    @property
    def bic(self) -> float:
        """-2 loglik + log(rows) parameters; nan for a pseudo-likelihood.

        A row counts as often as its weight says.
        """
        if self.method in PSEUDO:
            return math.nan
        return math.log(self.model.design.weights.sum()) * self.parameters + self.deviance

    @property
    def converged(self) -> bool:
        """Whether the gradient vanished and the Hessian is definite away from the boundary.

        Never where the likelihood has no maximum (`Outcome.unbounded`).
        """
        outcome = self.outcome
        return outcome.converged and outcome.definite and not outcome.unbounded

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a reader has to know, in words."""
        lines = [*self.outcome.unbounded, *self.outcome.warnings]
        for i in np.flatnonzero(self._on_boundary[0]):
            lines.append(f"variance of {self.names[i]} estimated as 0: the data show none")
        for i in np.flatnonzero(self._on_boundary[1]):
            lines.append(f"{self.names[i]} means nothing where an sd is 0")
        for i in np.flatnonzero(self._on_boundary[2]):
            value = self.estimate[i]
            what = f"estimated as {value:.0f}" if abs(value) == 1.0 else "one of a singular matrix"
            lines.append(f"{self.names[i]} is {what}: the fit is singular, on its boundary")
        for i in np.flatnonzero(wald.near_zero(self)):
            lines.append(
                f"{self.names[i]} is near 0 beside its standard error, where Wald limits mean "
                "nothing: see confint(method='profile')"
            )
        if self.outcome.endless:
            lines.append(f"{self.names[-1]} grows without bound: {_limit(self.names[-1])}")
        if self.outcome.unbounded:
            return tuple(lines)
        if not self.outcome.converged:
            lines.append("the optimizer stopped before the gradient vanished")
        elif not self.outcome.definite:
            lines.append(
                "the likelihood is flat in some direction: standard errors mean little; "
                "look for separation, collinear columns or an effect that the data cannot show"
            )
        return tuple(lines)

    # ---- effects, fitted values ------------------------------------------------------------

    @cached_property
    def effects(self) -> dict[str, np.ndarray]:
        """Conditional modes of u by factor, arrays (levels, columns)."""
        from .problem import mix

        values: dict[str, np.ndarray] = self.model.to_user(
            self._theta, mix(self.model, self._theta, self.outcome.modes)
        )["u"]
        return values

    @cached_property
    def effect_sds(self) -> dict[str, np.ndarray]:
        """Conditional sds of u given the parameters, by factor."""
        values: dict[str, np.ndarray] = self.model.to_user(
            self._theta, np.sqrt(self.outcome.variances())
        )["u"]
        return values

    def fitted(self, kind: str = "response") -> np.ndarray:
        """Fitted values at the conditional modes, shape (rows,).

        Parameters
        ----------
        kind : {"response", "link"}
            Means (proportions for counts of trials), or linear predictors.
        """
        return residuals.fitted(self.model, self.beta, self.effects, kind)

    def residuals(self, kind: str = "deviance") -> np.ndarray:
        """Residuals at the conditional modes, shape (rows,).

        Parameters
        ----------
        kind : {"deviance", "pearson", "response", "quantile"}
            Quantile residuals are randomized for discrete responses, alike at each call.
        """
        if kind == "quantile":
            from .quantile_residuals import of_fit

            return of_fit(self, self._phi)
        return residuals.residuals(self.model, self.beta, self.effects, self._phi, kind)

    def plot_effects(self, group: str | None = None, **options: Any) -> "Figure":
        """Caterpillar plot of the conditional modes; see `fit_plots.effects`."""
        from . import fit_plots

        return fit_plots.effects(self, group, **options)

    def plot_residuals(self, kind: str = "pearson", **options: Any) -> "Figure":
        """Residuals against linear predictors, or by group; see `residual_plot.residuals`."""
        from . import residual_plot

        return residual_plot.residuals(self, kind, **options)

    # ---- tables ----------------------------------------------------------------------------

    def confint(
        self, level: float = 0.95, method: str = "wald", names: Iterable[str] | None = None
    ) -> "pandas.DataFrame":
        """Confidence limits.

        Parameters
        ----------
        level : float
        method : {"wald", "profile"}
            Wald limits are of sds and dispersion on the log scale, of correlations on Fisher's z,
            and by Student's t where there are degrees of freedom. Profile limits are where twice
            the drop of the log-likelihood, maximized over all else, is the chi-squared quantile;
            an end that does not exist is 0 or inf for an sd, infinite for a coefficient. A
            restricted likelihood has none for coefficients, a pseudo-likelihood none at all.
        names : iterable of str, optional
            Rows; all that the method can do if not given.

        Returns
        -------
        DataFrame
            A row for each parameter, two columns named by their probability.
        """
        return self._limits(level, method, names).frame()

    def _limits(self, level: float, method: str, names: Iterable[str] | None) -> Table:
        if method == "profile":
            return profiles.limits(self, level, names)
        if method != "wald":
            raise ValueError(f"method has to be 'wald' or 'profile', not {method!r}")
        lower, upper = wald.limits(self, level)
        low, high = wald.percentages(level)
        table = Table(self.names, {low: lower, high: upper})
        return table if names is None else table.take(names)

    def correlation(self) -> "pandas.DataFrame":
        """Correlations of the estimated coefficients, (p, p)."""
        names = self.model.names.fixed
        columns = wald.correlation(self.beta_covariance)
        return Table(names, dict(zip(names, columns, strict=True))).frame()

    def variances(self) -> "pandas.DataFrame":
        """Variances and covariances of the effects with standard errors, as SAS prints them."""
        return wald.variances(self).frame()

    def type3(self) -> "pandas.DataFrame":
        """Type III tests of the terms, F or chi-squared; see `type3.tests`."""
        from . import type3

        return type3.tests(self).frame()

    def table(self, level: float = 0.95) -> Table:
        """Estimates with standard errors, tests and Wald limits."""
        lower, upper = wald.limits(self, level)
        low, high = wald.percentages(level)
        p = len(self.model.names.fixed)
        columns = {"estimate": self.estimate, "se": self.se}
        rest = np.full(len(self.names) - p, np.nan)
        if self.denominator is not None:
            columns["df"] = np.concatenate([self.df, rest])
        columns["z" if self.denominator is None else "t"] = np.concatenate([self.statistic, rest])
        columns["p"] = np.concatenate([self.p_value, rest])
        columns |= {low: lower, high: upper}
        inverse = self.model.names.inverse
        if inverse:
            i = self.names.index(self.model.names.dispersion[0])
            x = self.estimate[i]
            with np.errstate(all="ignore"):  # where it has no maximum
                own = {"estimate": 1.0 / x, "se": self.se[i] / x**2}
                own |= {low: 1.0 / upper[i], high: 1.0 / lower[i]}
            columns = {k: np.append(v, own.get(k, np.nan)) for k, v in columns.items()}
        return Table((*self.names, *inverse), columns)

    def summary(self, level: float = 0.95) -> "pandas.DataFrame":
        """Return `table` as a data frame, a row for each parameter."""
        return self.table(level).frame()

    def anova(self, *others: "Fit", **options: Any) -> Any:
        """Likelihood-ratio tests against other fits; alone, `type3`. See `bayesglmm.anova`."""
        from .likelihood_ratio import anova

        return anova(self, *others, **options)

    def save(self, path: "str | Path", *, force: bool = False) -> None:
        """Save to one netCDF file, which ``bayesglmm.load`` reads back; see `bayesglmm.io.save`."""
        from . import io

        io.save(self, path, force=force)

    def __str__(self) -> str:
        return fit_printout.fit(self)

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT converged"
        return f"<Fit of {self.model.design.formula!r} by {self.method}, {state}>"

    # ---- the way from the internal scale ---------------------------------------------------

    @cached_property
    def _theta(self) -> np.ndarray:
        """Theta of the model, without a residual scale."""
        return self.outcome.theta[:-1] if self.outcome.scale else self.outcome.theta

    @property
    def _phi(self) -> float:
        return float(np.exp(self._theta[-1])) if self.model.family.dispersion else 1.0

    @property
    def _constant(self) -> float:
        value = self.model.problem.constant if self.method not in PSEUDO else 0.0
        if self.restricted:
            # log|X'V^-1 X| / 2 was that of the scaled columns.
            value -= float(np.log(self.model.x_scale).sum())
        return value

    def _rows(self, theta: np.ndarray) -> np.ndarray:
        """All rows of the table at theta, (..., rows)."""
        from .problem import rows_of_table

        scale = theta[..., -1:] if self.outcome.scale else theta[..., :0]
        inner = theta[..., :-1] if self.outcome.scale else theta
        made = rows_of_table(self.model, inner, effects=self.method != "glm")
        return np.concatenate([made, np.exp(scale)], axis=-1)

    @property
    def _steps(self) -> np.ndarray:
        return STEP * np.maximum(1.0, np.abs(self.outcome.theta))

    @cached_property
    def _around(self) -> np.ndarray:
        """All rows of the table at theta, and a step above and below in each of its elements."""
        theta, moves = self.outcome.theta, np.diag(self._steps)
        return self._rows(np.concatenate([theta[None], theta + moves, theta - moves]))

    @cached_property
    def _on_boundary(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masks of rows: sds of 0; correlations lost with them; those of a singular matrix."""
        zero, lost, edge = (np.zeros(len(self.names), dtype=bool) for _ in range(3))
        if self.method == "glm":
            return zero, lost, edge
        covariance = self.model.problem.data.prior.covariance
        p, names = len(self.model.names.fixed), self.model.names
        diagonal = covariance.row == covariance.col
        at = self.outcome.boundary
        zero[p + covariance.row[diagonal & at]] = True
        none = zero[p + covariance.row] | zero[p + covariance.col]
        cors = slice(p + len(names.sd), p + len(names.sd) + len(names.cor))
        lost[cors] = none[~diagonal]
        edge[cors] = (at & ~none)[~diagonal]
        return zero, lost, edge


def _limit(dispersion: str) -> str:
    """What a dispersion without bound says of the data."""
    if dispersion == "size":
        return "the data show no overdispersion beyond Poisson"
    return "the likelihood does not change any more"
