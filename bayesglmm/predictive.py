"""Draws of new responses: from the posterior predictive distribution, or the prior one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from . import prior_draws
from .errors import DataError
from .new_rows import rows_of
from .prediction import Prediction, predict
from .summary import described
from .tables import Table

if TYPE_CHECKING:
    import pandas
    import xarray

    from .model import Model
    from .posterior import Posterior

LARGEST_MEAN = 1e18  # of a count that can be drawn; a response beyond is infinite
SHOWN = 20  # rows that print shows
PLOTS = ("dist", "rootogram", "interval", "pit", "tstat", "pava")
OF_ROWS = 2**31  # apart from the keys of the levels of a factor
STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda y: y.mean(axis=-1),
    "sd": lambda y: y.std(axis=-1),
    "min": lambda y: y.min(axis=-1),
    "max": lambda y: y.max(axis=-1),
    "zeros": lambda y: (y == 0).mean(axis=-1),
}


@dataclass(frozen=True, eq=False)
class Predictive:
    """Draws of responses for rows.

    Attributes
    ----------
    prediction : Prediction
        Linear predictors that the responses are drawn at.
    group : {"posterior_predictive", "prior_predictive", "predictions"}
        ArviZ's name of what they are.
    y : (n,) array or None
        What was observed in these rows, if anything was.
    """

    prediction: Prediction
    group: str
    y: np.ndarray | None = None

    @cached_property
    def draws(self) -> np.ndarray:
        """Responses, shape (chains, draws, n); numbers of successes where there are trials.

        Those of a row do not depend on the rows beside it.
        """
        model, rows = self.prediction.model, self.prediction.rows
        family = model.family
        values = self.prediction.values
        phi = values[family.dispersion] if family.dispersion else 1.0
        out = self.prediction.draws
        for r in range(out.shape[-1]):
            rng = np.random.default_rng(
                np.random.SeedSequence(self.prediction.seed, spawn_key=(OF_ROWS, r))
            )
            known = rows.trials[r] if rows.se is None else rows.se[r]
            eta = out[..., r]
            with np.errstate(over="ignore"):
                mean = np.asarray(family.linkinv(eta))
            fine = np.isfinite(mean) & (np.abs(mean) < LARGEST_MEAN)
            drawn = family.draw(rng, np.where(fine, eta, family.linkfun(0.5)), phi, known)
            out[..., r] = np.where(fine, drawn, np.where(mean < 0.0, -np.inf, np.inf))
        return out

    def table(self, *, ci_prob: float = 0.95, ci_kind: str = "eti") -> Table:
        """Columns ``mean sd median`` and the limits, one row a prediction."""
        return Table(self.prediction.labels, described(self.draws, ci_prob, ci_kind))

    def frame(self, **limits: Any) -> "pandas.DataFrame":
        """Return `table` as a data frame."""
        return self.table(**limits).frame()

    def check(self, statistic: str | Callable[[np.ndarray], np.ndarray] = "mean") -> float:
        """Posterior predictive p-value of a statistic: P(T(drawn) >= T(observed)).

        Near 0 or 1 the model does not make data like these in that respect (Gelman, Meng and Stern
        1996, Statistica Sinica 6, 733). Draws that tie with the data count half.

        Parameters
        ----------
        statistic : {"mean", "sd", "min", "max", "zeros"} or callable
            Of responses (..., n).

        Raises
        ------
        DataError
            If the rows have no observed response, or the statistic is not known.
        """
        y = self._observed()
        if isinstance(statistic, str):
            if statistic not in STATISTICS:
                raise DataError(
                    f"statistic {statistic!r} does not exist; there are {', '.join(STATISTICS)}"
                )
            statistic = STATISTICS[statistic]
        drawn, seen = statistic(self.draws), statistic(y)
        return float((drawn > seen).mean() + 0.5 * (drawn == seen).mean())

    def _observed(self) -> np.ndarray:
        if self.y is None:
            raise DataError("new rows have no observed responses to compare the draws with")
        return self.y

    @cached_property
    def data(self) -> "xarray.DataTree":
        """The draws as an ArviZ DataTree, for its ``plot_ppc_...`` and ``plot_loo_pit``."""
        from . import arviz_form

        model, draws, y = self.prediction.model, self.draws, self.y
        if np.isfinite(draws).all() and np.array_equal(draws, np.round(draws)):
            draws = draws.astype(np.int64)  # by which ArviZ tells counts
            y = None if y is None else y.astype(np.int64)
        return arviz_form.predictive(model, self.group, draws, self.prediction.labels, y)

    def plot(self, kind: str | None = None, **options: Any) -> Any:
        """Plot draws of the data against the data with ArviZ.

        Parameters
        ----------
        kind : {"dist", "rootogram", "interval", "pit", "tstat", "pava"}, optional
            Which of ArviZ's ``plot_ppc_...``: by default a rootogram of counts, the calibration
            curve (``"pava"``) of 0/1 responses, densities of others.
        **options
            Passed on.

        Raises
        ------
        DataError
            If the rows have no observed response, or there is no such kind.
        """
        import arviz_plots

        y = self._observed()
        if kind is None:
            family = self.prediction.model.family.name
            whole = bool(np.all(y == np.round(y)))
            kind = "pava" if family == "bernoulli" else "rootogram" if whole else "dist"
        if kind not in PLOTS:
            raise DataError(f"kind has to be one of {', '.join(PLOTS)}, not {kind!r}")
        draw = getattr(arviz_plots, f"plot_ppc_{kind}")
        return draw(self.data, group=self.group, **options)

    def __str__(self) -> str:
        few = described(self.draws[..., :SHOWN], 0.95, "eti")
        shown = Table(self.prediction.labels[:SHOWN], few)
        title = f"Draws of {self.prediction.model.design.response.name}"
        lines = [title, *(f"  {line}" for line in str(shown).splitlines())]
        rest = len(self.prediction.labels) - SHOWN
        if rest > 0:
            lines.append(f"  ... {rest:,} more rows: frame() has them all")
        return "\n".join(lines)


def posterior_predictive(post: "Posterior", newdata: Any = None, **options: Any) -> Predictive:
    """Draw responses; the arguments are those of `Posterior.predictive`.

    Raises
    ------
    DataError
        As `prediction.predict`, for marginal effects, and if new rows lack numbers of trials or
        standard errors.
    """
    if options.get("effects") == "marginal":
        raise DataError(
            "effects='marginal' is for means: drawn at the mean over groups, responses would vary "
            "less than those of any groups do. Give rows with groups of new names, and "
            "new_levels='sample'"
        )
    made = predict(post, newdata, scale="link", **options)
    response = post.model.design.response
    if newdata is None:
        return Predictive(made, "posterior_predictive", response.y)
    if response.se is not None and made.rows.se is None:
        raise DataError("new rows need the standard errors that the formula names in se()")
    if response.trials is not None and not made.rows.has_trials:
        raise DataError("new rows need the numbers of trials that the formula names")
    if response.trials is not None:
        _refuse(made, made.rows.trials, "trials have to be whole numbers of 0 or more", 1.0, 0.0)
    elif made.rows.se is not None:
        _refuse(made, made.rows.se, "standard errors have to be above 0", 0.0, np.nextafter(0, 1))
    return Predictive(made, "predictions")


def _refuse(made: Prediction, values: np.ndarray, words: str, step: float, least: float) -> None:
    """Refuse new rows with numbers below `least`, or between whole steps."""
    bad = (values < least) | ((values != np.floor(values)) if step else False)
    where = np.flatnonzero(bad)
    if where.size:
        raise DataError(f"{words}; {values[where[0]]:g} at row {where[0]}")


def prior_predictive(model: "Model", draws: int = 1000, seed: int | None = None) -> Predictive:
    """Draw responses from the priors; the arguments are those of `Model.prior_predictive`."""
    chosen = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    values = prior_draws.draw(model, draws, chosen)
    labels = tuple(f"row {k}" for k in model.design.rows)
    made = Prediction(model, values, rows_of(model.design), labels, scale="link", seed=chosen)
    return Predictive(made, "prior_predictive", model.design.response.y)
