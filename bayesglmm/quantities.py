"""Quantities made of a fit or a posterior: contrasts, means, effects, with their tables.

Of a fit they are estimates on a linear scale with their covariance; a scale on which they are shown
(odds ratios, probabilities) transforms estimates and limits, and standard errors by the delta
method, while tests stay on the linear scale, as in SAS. Of a posterior they are draws.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks, wald
from .fits.degrees import hypothesis
from .summary import check_limits, summarize
from .tables import Table

if TYPE_CHECKING:
    import pandas

    from .derived import Derived
    from .families import Family

ADJUSTMENTS = ("none", "bonferroni", "holm")


def expit(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # 1 / (1 + inf) is 0
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


@dataclass(frozen=True)
class Scale:
    """The scale on which a quantity is shown.

    Attributes
    ----------
    name : str
        What the quantity is there: ``"odds ratio"``, ``"response"``; empty on the linear scale.
    value, slope : callable
        From the linear scale to this one, and its derivative.
    null : float
        Where the linear scale has 0; nan where no test of that makes sense to show.
    """

    name: str
    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    null: float


LINEAR = Scale("", lambda x: np.asarray(x), np.ones_like, 0.0)
UNTESTED = replace(LINEAR, null=np.nan)
# Shares and variances: limits by the logit or the logarithm, so that they are shares and variances;
# 0 lies at the end of the scale, and no test by a standard error is one of it.
SHARE = Scale("", expit, lambda x: expit(x) * expit(-x), np.nan)
POSITIVE = Scale("", np.exp, np.exp, np.nan)


def ratio(family: "Family") -> Scale:
    """Exponentiated differences of the linear predictor, by what they are under the link."""
    kinds = {"logit": "odds ratio", "cloglog": "hazard ratio"}
    rates = family.name in ("poisson", "negative_binomial")
    kind = "rate ratio" if rates else "ratio of means"
    named = kinds.get(family.link, kind if family.link == "log" else "exponentiated")
    return Scale(named, np.exp, np.exp, 1.0)


def response(family: "Family") -> Scale:
    """Means of the response."""
    from . import links

    link = links.get(family.link)
    return Scale("response", link.inverse, lambda x: 1.0 / link.derivative(link.inverse(x)), np.nan)


@dataclass(frozen=True, eq=False)
class Estimates:
    """Quantities of a maximum-likelihood fit.

    Attributes
    ----------
    title : str
    names : tuple of str
        Labels of the k rows.
    linear : ndarray, shape (k,)
        Estimates on the linear scale.
    covariance : ndarray, shape (k, k)
        Theirs.
    df : ndarray, shape (k,)
        Denominator degrees of freedom; inf where tests are by the normal distribution. A contrast
        has the least of the coefficients that it involves, in whatever order it is written; SAS
        takes those of the effect that ESTIMATE or CONTRAST names last. Least-squares means and
        their differences have those of their effect, as in SAS.
    scale : Scale
        What `estimate`, `se` and limits are shown on.
    level : float
        Probability of the limits.
    adjust : {"none", "bonferroni", "holm"}
        Adjustment of p-values for the number of rows. Bonferroni's widens the limits too; Holm's
        has no limits of its own, and they stay those of single rows.
    notes : tuple of str
        What a reader has to know.
    """

    title: str
    names: tuple[str, ...]
    linear: np.ndarray
    covariance: np.ndarray
    df: np.ndarray
    scale: Scale = LINEAR
    level: float = 0.95
    adjust: str = "none"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.adjust not in ADJUSTMENTS:
            raise ValueError(
                f"adjust has to be one of {', '.join(map(repr, ADJUSTMENTS))}, not {self.adjust!r}"
            )
        wald.quantile(self.level, self.df)  # refuses a level outside of (0, 1)

    @property
    def estimate(self) -> np.ndarray:
        """Estimates on the scale shown, shape (k,)."""
        return self.scale.value(self.linear)

    @property
    def se(self) -> np.ndarray:
        """Standard errors on the scale shown, by the delta method, shape (k,)."""
        return np.asarray(np.abs(self.scale.slope(self.linear)) * self._error)

    @property
    def statistic(self) -> np.ndarray:
        """Estimate over standard error, both on the linear scale, shape (k,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.linear / self._error

    @property
    def p_value(self) -> np.ndarray:
        """Two-sided p-values of 0 on the linear scale, adjusted, shape (k,)."""
        return adjusted(wald.two_sided(self.statistic, self.df), self.adjust)

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper limits on the scale shown, each of shape (k,)."""
        level = self.level
        if self.adjust == "bonferroni":
            level = 1.0 - (1.0 - level) / max(len(self.names), 1)
        half = wald.quantile(level, self.df) * self._error
        ends = self.scale.value(self.linear - half), self.scale.value(self.linear + half)
        return np.minimum(*ends), np.maximum(*ends)

    def table(self) -> Table:
        """``estimate se``, ``df`` where there are some, ``t`` or ``z``, ``p``, limits."""
        columns = {"estimate": self.estimate, "se": self.se}
        by_t = bool(np.any(np.isfinite(self.df)))
        if by_t:
            columns["df"] = self.df
        if not np.isnan(self.scale.null):
            columns["t" if by_t else "z"] = self.statistic
            columns["p"] = self.p_value
        low, high = wald.percentages(self.level)
        columns[low], columns[high] = self.limits
        return Table(self.names, columns)

    def frame(self) -> "pandas.DataFrame":
        """Return `table` as a data frame."""
        return self.table().frame()

    def plot(self, ax: Any = None, *, path: Any = None) -> Any:
        """Forest plot of the rows with their limits; see `forest_plot.forest`."""
        from .forest_plot import forest

        return forest(self, ax, path=path)

    def joint(self) -> Table:
        """Wald test that all rows are 0 on the linear scale: ``num_df den_df F p``.

        Where tests are by the normal distribution: ``df chi2 p``. Rows that follow from others
        count once; the denominator degrees of freedom are the least of the rows'.
        """
        den = float(np.min(self.df))
        rank, statistic, p = wald.joint(self.linear, self.covariance, den)
        return joint_table(("all rows",), [(rank, den, statistic, p)])

    def difference(
        self, label: Sequence[str], D: np.ndarray, scale: Scale, adjust: str
    ) -> "Estimates":
        """Linear combinations of the rows, given by the rows of D, on a scale of their own."""
        df = np.array([hypothesis(self.df, row) for row in D])
        return replace(
            self,
            title=f"Differences: {self.title}",
            names=tuple(label),
            linear=D @ self.linear,
            covariance=D @ self.covariance @ D.T,
            df=df,
            scale=scale,
            adjust=adjust,
        )

    @property
    def _error(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diag(self.covariance))

    def __str__(self) -> str:
        notes = list(self.notes)
        if self.scale.name:
            tests = "" if np.isnan(self.scale.null) else "; tests are on the link scale"
            notes.insert(0, f"shown as {self.scale.name}, se by the delta method{tests}")
        if self.adjust != "none":
            what = "p and limits" if self.adjust == "bonferroni" else "p, not limits,"
            notes.append(f"{what} adjusted for {len(self.names)} rows by {self.adjust.title()}")
        return _text(self.title, self.table(), notes)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Quantities of a posterior.

    Attributes
    ----------
    title : str
    names : tuple of str
        Labels of the k rows.
    linear : ndarray, shape (chains, draws, k)
        Draws on the linear scale.
    scale : Scale
        What `draws` and the table are shown on.
    ci_prob, ci_kind : float, str
        Probability and kind of the limits, ``"eti"`` or ``"hdi"``.
    notes : tuple of str
        What a reader has to know.
    """

    title: str
    names: tuple[str, ...]
    linear: np.ndarray
    scale: Scale = LINEAR
    ci_prob: float = 0.95
    ci_kind: str = "eti"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_limits(self.ci_prob, self.ci_kind)

    @property
    def draws(self) -> np.ndarray:
        """Draws on the scale shown, shape (chains, draws, k)."""
        return self.scale.value(self.linear)

    def table(self) -> Table:
        """Columns as in `Posterior.summary`, and the probability that a row is above 0.

        ``P(>0)``, or ``P(>1)`` of ratios, follows the limits.
        """
        made = summarize(self.names, self.draws, ci_prob=self.ci_prob, ci_kind=self.ci_kind)
        if np.isnan(self.scale.null):
            return made
        above = (self.linear > 0.0).mean(axis=(0, 1))
        columns = dict(list(made.columns.items())[:5])
        columns[f"P(>{self.scale.null:g})"] = above
        return Table(made.rows, columns | dict(list(made.columns.items())[5:]))

    def frame(self) -> "pandas.DataFrame":
        """Return `table` as a data frame."""
        return self.table().frame()

    def plot(self, ax: Any = None, *, path: Any = None) -> Any:
        """Forest plot of the rows with their limits; see `forest_plot.forest`."""
        from .forest_plot import forest

        return forest(self, ax, path=path)

    def difference(self, label: Sequence[str], D: np.ndarray, scale: Scale) -> "Drawn":
        """Linear combinations of the rows, given by the rows of D, on a scale of their own."""
        return replace(
            self,
            title=f"Differences: {self.title}",
            names=tuple(label),
            linear=self.linear @ D.T,
            scale=scale,
        )

    def __str__(self) -> str:
        shown = [f"shown as {self.scale.name}"] if self.scale.name else []
        return _text(self.title, self.table(), [*shown, *self.notes])


Quantities = Estimates | Drawn


def refuse_unknown(function: Callable[..., Any], result: "Derived", limits: Iterable[str]) -> None:
    """Refuse keywords among the ``**limits`` of a function that nothing takes.

    Raises
    ------
    TypeError
        With the name of the function and the close keyword.
    """
    from .posterior import Posterior

    of_result = ("ci_prob", "ci_kind") if isinstance(result, Posterior) else ("level", "adjust")
    own = [n for n, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]
    checks.unknown_keywords(function.__name__, limits, [*own, *of_result])


def of_coefficients(
    result: "Derived",
    title: str,
    names: Sequence[str],
    L: np.ndarray,
    *,
    scale: Scale = LINEAR,
    shift: np.ndarray | float = 0.0,
    notes: tuple[str, ...] = (),
    **limits: Any,
) -> Quantities:
    """Quantities ``L beta + shift`` of a fit or a posterior.

    Parameters
    ----------
    result : Fit or Posterior
    title, names, scale, notes
        As in `Estimates`.
    L : ndarray, shape (k, p)
    shift : float or ndarray, shape (k,)
    **limits
        ``level`` and ``adjust`` of a fit, ``ci_prob`` and ``ci_kind`` of a posterior.
    """
    from .likelihood_fit import Fit
    from .posterior import Posterior

    names = tuple(names)
    if isinstance(result, Posterior):
        linear = result.values["beta"] @ L.T + shift
        return Drawn(title, names, linear, scale, notes=notes, **limits)
    assert isinstance(result, Fit)
    df = np.array([hypothesis(result.df, row) for row in L])
    covariance = L @ result.beta_covariance @ L.T
    return Estimates(
        title, names, L @ result.beta + shift, covariance, df, scale, notes=notes, **limits
    )


def joint_table(names: Sequence[str], tests: Sequence[tuple[float, float, float, float]]) -> Table:
    """A table of joint tests: rank, denominator df, statistic and p of each.

    F where there are denominator degrees of freedom, chi-squared elsewhere.
    """
    rank, den, statistic, p = np.array(tests, dtype=np.float64).reshape(-1, 4).T
    if np.all(np.isinf(den)):
        return Table(tuple(names), {"df": rank, "chi2": statistic, "p": p})
    return Table(tuple(names), {"num_df": rank, "den_df": den, "F": statistic, "p": p})


def adjusted(p: np.ndarray, method: str) -> np.ndarray:
    """Adjust p-values for their number: Bonferroni, or Holm (1979), which is never worse."""
    if method == "none" or p.size < 2:
        return p
    if method == "bonferroni":
        return np.minimum(1.0, p * p.size)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    made = np.empty_like(p)
    made[order] = np.minimum(1.0, stepped)
    return made


def _text(title: str, table: Table, notes: Sequence[str]) -> str:
    lines = [title, *(f"  {line}" for line in str(table).splitlines())]
    return "\n".join([*lines, *(f"  ({note})" for note in notes)])
