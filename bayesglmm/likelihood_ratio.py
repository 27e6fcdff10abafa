"""Likelihood-ratio tests of nested maximum-likelihood fits."""

import math
import textwrap
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ConvergenceWarning, DataError
from .likelihood_fit import PSEUDO, Fit
from .tables import Table
from .wording import counted

if TYPE_CHECKING:
    import pandas

MIXTURE = "p_mixture"
SAME_SPAN = 1e-8  # part of a column that the columns of the larger model may leave unexplained
WORSE = 1e-4  # by which the larger model may fit worse before it is said
WIDTH = 100  # columns of the printed notes
DECIMALS = {"AIC": 2, "BIC": 2, "logLik": 3, "deviance": 3, "chi2": 3}


@dataclass(frozen=True)
class Anova:
    """Likelihood-ratio tests, each model against the one before it.

    Attributes
    ----------
    formulas : tuple of str
        Of the models, in the order of the rows.
    objective : str
        What was maximized.
    table : Table
        Rows by the models' names; columns ``npar AIC BIC logLik deviance chi2 df p``, and
        ``p_mixture`` where a variance is tested at 0.
    notes : tuple of str
        What a reader has to know, in words.
    """

    formulas: tuple[str, ...]
    objective: str
    table: Table
    notes: tuple[str, ...]

    def frame(self) -> "pandas.DataFrame":
        """Return the table as a data frame, a row for each model."""
        return self.table.frame()

    def __str__(self) -> str:
        cells = [["", *self.table.columns]]
        for i, name in enumerate(self.table.rows):
            cells.append([name, *(_cell(c, float(v[i])) for c, v in self.table.columns.items())])
        widths = [max(len(row[j]) for row in cells) for j in range(len(cells[0]))]
        lines = [f"Likelihood-ratio tests ({self.objective})", ""]
        lines += [f"{n}: {f}" for n, f in zip(self.table.rows, self.formulas, strict=True)]
        lines.append("")
        for row in cells:
            rest = [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join([row[0].ljust(widths[0]), *rest]).rstrip())
        for note in self.notes:
            lines += ["", *textwrap.wrap(f"! {note}", WIDTH, subsequent_indent="  ")]
        return "\n".join(lines)


def anova(*fits: Fit, names: tuple[str, ...] | None = None, refit: bool = False) -> Any:
    """Compare nested fits by likelihood-ratio tests; with one fit, test each of its terms.

    Parameters
    ----------
    *fits : Fit
        Of the same data by the same method, in any order: they are sorted by the number of their
        parameters, and each is tested against the one before it.
    names : tuple of str, optional
        Names of the rows, in the order of the arguments; ``model 1``, ``model 2`` ... if not given.
    refit : bool
        Whether REML fits are refitted by maximum likelihood, whose likelihoods compare whatever
        the fixed effects.

    Returns
    -------
    Anova
        For one fit, what `Fit.type3` returns.

    Raises
    ------
    DataError
        For fits that do not compare, with what would.

    Notes
    -----
    Where the larger model has one more variance, the hypothesis that it is 0 lies on the boundary
    of its range: the usual p is too large. ``p_mixture`` is that of the half and half mixture of
    chi-square distributions with df - 1 and df degrees of freedom (Self and Liang 1987, case 5;
    Stram and Lee 1994). With more than one variance at once the mixture depends on the data and is
    not given.
    """
    for fit in fits:
        if not isinstance(fit, Fit):
            raise TypeError(f"anova() compares fits of model.fit(), not a {type(fit).__name__}")
    if not fits:
        raise TypeError("anova() needs a fit, or several to compare")
    if len(fits) == 1:
        return fits[0].type3()
    if names is not None and len(names) != len(fits):
        raise DataError(f"{counted(len(names), 'name')} for {counted(len(fits), 'fit')}")
    if refit:
        fits = tuple(fit.model.fit("ml") if fit.restricted else fit for fit in fits)
    _comparable(fits)
    order = sorted(range(len(fits)), key=lambda i: fits[i].parameters)
    fits = tuple(fits[i] for i in order)
    given = names or tuple(f"model {i + 1}" for i in range(len(fits)))
    rows = tuple(given[i] for i in order) if names else given
    notes: list[str] = []
    for row, fit in zip(rows, fits, strict=True):
        if not fit.converged:
            notes.append(f"{row} has not converged: its likelihood is not its maximum")
    if notes:
        warnings.warn("; ".join(notes), ConvergenceWarning, stacklevel=2)
    return Anova(
        tuple(fit.model.design.formula for fit in fits),
        _objective(fits),
        _tests(fits, rows, notes),
        tuple(notes),
    )


# ---- what compares ------------------------------------------------------------------------------


def _comparable(fits: tuple[Fit, ...]) -> None:
    """Refuse fits whose likelihoods do not compare."""
    first = fits[0].model
    for fit in fits:
        if fit.method in PSEUDO:
            raise DataError(
                f"{fit.method} has no likelihood to compare: its working data change with the "
                'model. Fit with method="laplace" or "aghq"; for one fit, type3() tests its terms'
            )
    for fit in fits[1:]:
        other = fit.model
        one, two = first.design, other.design
        if one.X.shape[0] != two.X.shape[0]:
            raise DataError(
                f"the fits use {one.X.shape[0]:,} and {counted(two.X.shape[0], 'row')}: likelihoods"
                " of different data do not compare. Leave the same rows out of both, for example "
                "those with a missing value in any column that one of them uses"
            )
        same = one.response.name == two.response.name and _equal(one.response.y, two.response.y)
        if not same or not _equal(one.response.known, two.response.known):
            raise DataError(
                f"the fits have different responses ({one.response.name}, {two.response.name}), or "
                "other rows of it: their likelihoods do not compare"
            )
        if not _equal(one.weights, two.weights):
            raise DataError("the fits have different weights: their likelihoods do not compare")
        if (first.family.name, first.family.link) != (other.family.name, other.family.link):
            raise DataError(
                f"the fits have different families ({first.family.name}, {first.family.link} and "
                f"{other.family.name}, {other.family.link}): no likelihood-ratio test compares "
                "them; look at their AIC"
            )
    _same_objective(fits)


def _same_objective(fits: tuple[Fit, ...]) -> None:
    restricted = {fit.restricted for fit in fits}
    if len(restricted) > 1:
        raise DataError(
            "REML and maximum-likelihood fits do not compare: say anova(..., refit=True) to refit "
            "the former by maximum likelihood"
        )
    if restricted == {True} and not all(_same_columns(fits[0], fit) for fit in fits):
        raise DataError(
            "REML fits with different fixed effects do not compare: their restricted likelihoods "
            "are of different data. Say anova(..., refit=True) to refit them by maximum likelihood"
        )
    kinds = {kind for fit in fits if (kind := _kind(fit)) is not None}
    if len(kinds) > 1:
        raise DataError(
            f"the fits maximize different objectives ({', '.join(sorted(kinds))}): fit both by the "
            "same method, with the same number of nodes"
        )


def _kind(fit: Fit) -> str | None:
    """The objective; None for a likelihood that needs no approximation and fits all of them."""
    if fit.method == "glm" or not fit.model.design.terms:
        return None
    if fit.model.family.name == "gaussian" and fit.model.family.link == "identity":
        return "REML" if fit.restricted else "maximum likelihood"  # Laplace is exact here
    if fit.nodes is None or fit.nodes == 1:
        return "laplace"
    return f"{fit.method} with {fit.nodes} nodes"


def _objective(fits: tuple[Fit, ...]) -> str:
    kinds = [kind for fit in fits if (kind := _kind(fit)) is not None]
    return kinds[0] if kinds else "maximum likelihood"


def _equal(one: np.ndarray | None, two: np.ndarray | None) -> bool:
    if one is None or two is None:
        return one is two
    return np.array_equal(one, two)


def _same_columns(one: Fit, two: Fit) -> bool:
    return one.model.design.columns == two.model.design.columns and _equal(
        one.model.design.X, two.model.design.X
    )


# ---- the tests ----------------------------------------------------------------------------------


def _tests(fits: tuple[Fit, ...], rows: tuple[str, ...], notes: list[str]) -> Table:
    """Fill the table; notes are added."""
    from scipy.special import chdtrc

    chi2, df, p, mixture = (np.full(len(fits), np.nan) for _ in range(4))
    for i in range(1, len(fits)):
        small, large = fits[i - 1], fits[i]
        pair = f"{rows[i - 1]} and {rows[i]}"
        reason = _not_nested(small, large)
        if reason:
            notes.append(f"{pair} are not nested ({reason}): no test; AIC and BIC compare them")
            continue
        difference = 2.0 * (large.loglik - small.loglik)
        chi2[i], df[i] = max(difference, 0.0), large.parameters - small.parameters
        p[i] = chdtrc(df[i], chi2[i])
        if difference < -WORSE:
            notes.append(
                f"{rows[i]} holds {rows[i - 1]} but has the lower likelihood "
                f"(by {-0.5 * difference:.3g}): one of them is not at its maximum"
            )
        added = len(_sds(large) - _sds(small))
        if added:
            notes.append(_boundary(pair, large, small, int(df[i])))
        if added == 1:
            below = chdtrc(df[i] - 1.0, chi2[i]) if df[i] > 1.0 else float(chi2[i] == 0.0)
            mixture[i] = 0.5 * (below + p[i])
    columns = {
        "npar": np.array([fit.parameters for fit in fits], dtype=np.float64),
        "AIC": np.array([fit.aic for fit in fits]),
        "BIC": np.array([fit.bic for fit in fits]),
        "logLik": np.array([fit.loglik for fit in fits]),
        "deviance": np.array([fit.deviance for fit in fits]),
        "chi2": chi2,
        "df": df,
        "p": p,
    }
    if not np.all(np.isnan(mixture)):
        columns[MIXTURE] = mixture
    return Table(rows, columns)


def _sds(fit: Fit) -> set[str]:
    return set() if fit.method == "glm" else set(fit.model.names.sd)


def _cors(fit: Fit) -> set[str]:
    return set() if fit.method == "glm" else set(fit.model.names.cor)


def _not_nested(small: Fit, large: Fit) -> str:
    """Why the larger model does not hold the smaller one; empty if it does."""
    if small.parameters == large.parameters:
        return "they have as many parameters"
    if not _equal(small.model.design.offset, large.model.design.offset):
        return "their offsets differ"
    lost = sorted(_sds(small) - _sds(large)) or sorted(_cors(small) - _cors(large))
    if lost:
        return f"only the smaller has {lost[0]}"
    X = large.model.design.X
    scale = np.maximum(np.linalg.norm(X, axis=0), 1e-300)
    for name, column in zip(small.model.design.columns, small.model.design.X.T, strict=True):
        if name in large.model.design.columns:
            same = X[:, large.model.design.columns.index(name)]
            if _equal(same, column):
                continue
        fitted = (X / scale) @ np.linalg.lstsq(X / scale, column, rcond=None)[0]
        if np.linalg.norm(column - fitted) > SAME_SPAN * np.linalg.norm(column):
            return f"only the smaller has {name}"
    return ""


def _boundary(pair: str, large: Fit, small: Fit, df: int) -> str:
    added = sorted(_sds(large) - _sds(small))
    if len(added) == 1:
        below = f"chi2({df - 1})" if df > 1 else "0"
        return (
            f"{pair}: {added[0]} = 0 lies on the boundary, so p is conservative; {MIXTURE} is by "
            f"the half and half mixture of {below} and chi2({df}) (Self and Liang 1987; Stram and "
            "Lee 1994)"
        )
    return (
        f"{pair}: {', '.join(added)} = 0 lie on the boundary, so p is conservative; a parametric "
        "bootstrap would say by how much"
    )


def _cell(column: str, value: float) -> str:
    if math.isnan(value):
        return ""
    if column in ("npar", "df"):
        return f"{value:.0f}"
    if column in DECIMALS:
        return f"{value:.{DECIMALS[column]}f}"
    return f"{value:.4f}" if value >= 1e-4 else f"{value:.3g}"
