"""The tables of SAS's PROC MCMC under their ODS names, of a posterior of ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from . import ods_model
from .any_draws import AnyDraws
from .diagnosis import Diagnosis, diagnose
from .errors import DataError
from .listing import Listing
from .ods_options import (
    ALPHA,
    DEFAULT_DIAGNOSTICS,
    DIAGNOSTICS,
    PERCENTILES,
    STATISTICS,
    Options,
    inside,
    keywords,
    several,
    translated,
)
from .summary import shortest_interval

if TYPE_CHECKING:
    import pandas

    from .posterior import Posterior

# ODS names, each with the method that makes its table.
TABLES = {
    "NObs": "_observations",
    "Parameters": "_parameters",
    "REParameters": "_random_effects",
    "TuneHistory": "_tuning",
    "BurnInHistory": "_burn_in",
    "SampleHistory": "_sampling",
    "PostSummaries": "_summaries",
    "PostIntervals": "_intervals",
    "PostSumInt": "_both",
    "Corr": "_correlations",
    "Cov": "_covariances",
    "AutoCorr": "_autocorrelations",
    "Geweke": "_geweke",
    "Heidelberger": "_heidelberger",
    "Raftery": "_raftery",
    "ESS": "_effective_sizes",
    "MCSE": "_errors",
    "DIC": "_dic",
}
MODEL = ("NObs", "Parameters", "REParameters")
HISTORY = ("TuneHistory", "BurnInHistory", "SampleHistory")


class Ods(Mapping[str, Any]):
    """Tables by their ODS names, as data frames with SAS's column headings.

    ``post.ods["PostSummaries"]`` or ``post.ods.PostSummaries``; ``list(post.ods)`` has all names;
    calling it sets SAS's options; printing shows the tables that the options ask for.

    The draws of all chains are taken together, as SAS's one chain is; the tests of single chains
    (Geweke, Heidelberger, Raftery) have a row a chain, told by a column ``Chain``. Rows are ours:
    standard deviations and correlations of effects where a SAS program may have variances.
    """

    def __init__(self, post: "Posterior", options: Options | None = None) -> None:
        self.post = post
        self.options = options or Options()

    def __call__(
        self,
        *,
        statistics: str | Sequence[str] | None = None,
        diag: str | Sequence[str] | None = None,
        dic: bool = False,
        monitor: str | Sequence[str] | None = None,
        outpost: str | None = None,
        alpha: float | Sequence[float] = ALPHA,
        percentiles: float | Sequence[float] = PERCENTILES,
        lags: int | Sequence[int] | None = None,
        geweke: Mapping[str, float] | None = None,
        heidelberger: Mapping[str, float] | None = None,
        raftery: Mapping[str, float] | None = None,
    ) -> "Ods":
        """Return the tables with options as SAS names them.

        Parameters
        ----------
        statistics : {"all", "none"} or sequence of str
            Of summary, interval, correlation (corr) and covariance (cov): STATISTICS=.
        diag : {"all", "none"} or sequence of str
            Of autocorr, ess, geweke, heidelberger (heidel), mcse (mcerror) and raftery (rl):
            DIAGNOSTICS=.
        dic : bool
            Whether the deviance information criterion is printed too.
        monitor : sequence of str, optional
            Parameters to show, all but the effects by default; names of effects as
            ``summary(u=True)`` has them, or ``"u"`` for all: MONITOR=.
        outpost : str, optional
            Save the draws to this new file, ``.csv``, ``.csv.gz`` or ``.parquet``, now: OUTPOST=.
        alpha : float or sequence of float
            One minus the probability of intervals: STATISTICS(ALPHA=).
        percentiles : float or sequence of float
            STATISTICS(PERCENT=).
        lags : int or sequence of int, optional
            AUTOCORR(LAGS=).
        geweke, heidelberger, raftery : mapping, optional
            ``frac1 frac2``; ``salpha eps``; ``quantile accuracy probability epsilon``.

        Returns
        -------
        Ods

        Raises
        ------
        DataError
            For what does not exist, with close matches, or settings outside their domain.
        """
        tests: dict[str, Any] = {}
        given = {"geweke": geweke, "heidelberger": heidelberger, "raftery": raftery}
        for test, settings in given.items():
            if settings is not None:
                tests[test] = translated(test, settings)
        if lags is not None:
            tests["lags"] = (lags,) if isinstance(lags, int) else tuple(lags)
        options = Options(
            keywords("statistics", statistics, STATISTICS, ("summary", "interval")),
            keywords("diag", diag, DIAGNOSTICS, DEFAULT_DIAGNOSTICS),
            dic,
            inside("alpha", alpha, 1.0),
            inside("percentiles", percentiles, 100.0),
            None if monitor is None else several(monitor),
            tests,
        )
        made = Ods(self.post, options)
        if monitor is not None:
            assert made._draws.names  # those that do not exist are refused here
        if outpost is not None:
            self.post.outpost(outpost, u=made._shows_effects)
        return made

    # ---- a mapping ------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[str]:
        return iter(self._present)

    def __len__(self) -> int:
        return len(self._present)

    def __getitem__(self, name: str) -> "pandas.DataFrame":
        return self.listing(name).frame()

    def __getattr__(self, name: str) -> "pandas.DataFrame":
        # `post` itself is missing only while a copy is being made.
        if name.startswith("_") or name == "post":
            raise AttributeError(name)
        try:
            return self[name]
        except (DataError, KeyError) as error:
            raise AttributeError(str(error)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._present

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    @property
    def _present(self) -> tuple[str, ...]:
        """Names of the tables that this posterior has."""
        absent = set() if self.post.run.classical is not None else set(HISTORY)
        if not self.post.model.design.factors:
            absent.add("REParameters")
        return tuple(name for name in TABLES if name not in absent)

    def listing(self, name: str) -> Listing:
        """Return a table as what prints without pandas.

        Raises
        ------
        DataError
            For a name that no table has, with close ones.
        """
        by_letters = {known.lower(): known for known in self._present}
        found = by_letters.get(str(name).lower())
        if found is None:
            close = get_close_matches(str(name).lower(), by_letters, n=3)
            hint = "did you mean" if close else "there are"
            shown = ", ".join(by_letters[c] for c in close) or ", ".join(self)
            raise UnknownTable(f"there is no ODS table {name!r} of this posterior; {hint} {shown}")
        made: Listing = getattr(self, TABLES[found])()
        return made

    def __str__(self) -> str:
        options = self.options
        names = [*MODEL]
        names += [STATISTICS[word] for word in options.statistics]
        names += [DIAGNOSTICS[word] for word in options.diag]
        names += ["DIC"] if options.dic else []
        parts = [str(self._diagnosis.verdict)]
        for name in dict.fromkeys(names):
            if name in self and len(listing := self.listing(name)):
                parts.append(str(listing))
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"<ODS tables {', '.join(self)}>"

    # ---- draws ----------------------------------------------------------------------------------

    @cached_property
    def _diagnosis(self) -> Diagnosis:
        monitor = self.options.monitor
        if monitor is None:
            return diagnose(self.post, **self.options.tests)
        wanted = [
            name
            for asked in monitor
            for name in (self.post.effect_names if self._all_effects(asked) else (asked,))
        ]
        return diagnose(self.post, parameters=wanted, u=self._shows_effects, **self.options.tests)

    def _all_effects(self, asked: str) -> bool:
        return asked == "u" and asked not in self.post.names

    @property
    def _shows_effects(self) -> bool:
        return any(
            self._all_effects(asked) or (asked.startswith("u(") and asked not in self.post.names)
            for asked in self.options.monitor or ()
        )

    @property
    def _draws(self) -> AnyDraws:
        return self._diagnosis.draws

    @cached_property
    def _pooled(self) -> np.ndarray:
        values = self._draws.values
        return values.reshape(-1, values.shape[-1])

    def _names(self) -> dict[str, Any]:
        return {"Parameter": list(self._draws.names)}

    # ---- tables of draws ------------------------------------------------------------------------

    def _summaries(self) -> Listing:
        pooled, percentiles = self._pooled, self.options.percentiles
        columns = self._names()
        columns["N"] = np.full(pooled.shape[1], len(pooled))
        columns["Mean"] = pooled.mean(axis=0)
        columns["Standard Deviation"] = pooled.std(axis=0, ddof=1)
        limits = np.quantile(pooled, [p / 100.0 for p in percentiles], axis=0)
        columns |= {f"{p:g}%": x for p, x in zip(percentiles, limits, strict=True)}
        return Listing("Posterior Summaries", columns, {"N": "d"})

    def _intervals(self) -> Listing:
        ordered = np.sort(self._pooled, axis=0)
        columns: dict[str, Any] = {"Parameter": [], "Alpha": []}
        ends: list[list[np.ndarray]] = [[], [], [], []]
        for alpha in self.options.alpha:
            columns["Parameter"] += self._draws.names
            columns["Alpha"] += [alpha] * len(self._draws.names)
            equal = np.quantile(ordered, [alpha / 2.0, 1.0 - alpha / 2.0], axis=0)
            for column, values in zip(
                ends, (*equal, *shortest_interval(ordered, 1.0 - alpha)), strict=True
            ):
                column.append(values)
        sides = [f"{kind} {side}" for kind in ("Equal-Tail", "HPD") for side in ("Lower", "Upper")]
        columns |= {name: np.concatenate(x) for name, x in zip(sides, ends, strict=True)}
        return Listing("Posterior Intervals", columns, {"Alpha": ".3f"})

    def _both(self) -> Listing:
        summaries, intervals = self._summaries().columns, self._intervals().columns
        first = len(self._draws.names)
        kept = ("Parameter", "N", "Mean", "Standard Deviation")
        columns = {name: summaries[name] for name in kept}
        columns |= {f"HPD {side}": intervals[f"HPD {side}"][:first] for side in ("Lower", "Upper")}
        percent = f"{100.0 * (1.0 - self.options.alpha[0]):g}%"
        return Listing(f"Posterior Summaries and Intervals ({percent} HPD)", columns, {"N": "d"})

    def _correlations(self) -> Listing:
        with np.errstate(divide="ignore", invalid="ignore"):
            matrix = np.atleast_2d(np.corrcoef(self._pooled, rowvar=False))
        return self._matrix("Posterior Correlation Matrix", matrix, ".4f")

    def _covariances(self) -> Listing:
        matrix = np.atleast_2d(np.cov(self._pooled, rowvar=False))
        return self._matrix("Posterior Covariance Matrix", matrix, "#.5g")

    def _matrix(self, title: str, matrix: np.ndarray, form: str) -> Listing:
        columns = self._names() | dict(zip(self._draws.names, matrix.T, strict=True))
        return Listing(title, columns, dict.fromkeys(self._draws.names, form))

    # ---- tables of convergence ------------------------------------------------------------------

    def _renamed(self, table: str, title: str, names: dict[str, str]) -> Listing:
        """A table of the diagnosis with SAS's headings."""
        made = self._diagnosis.listing(table)
        several = len(self._draws.values) > 1
        columns: dict[str, Any] = {"Parameter": made.columns["parameter"]}
        if "chain" in made.columns and several:
            columns["Chain"] = made.columns["chain"]
        columns |= {theirs: made.columns[ours] for ours, theirs in names.items()}
        known = {**names, "chain": "Chain"}
        formats = {known[ours]: form for ours, form in made.formats.items() if ours in known}
        return Listing(title, columns, formats)

    def _autocorrelations(self) -> Listing:
        lags = self._diagnosis.measures.settings.lags
        names = {f"lag {lag}": f"Lag {lag}" for lag in lags}
        return self._renamed("autocorrelation", "Posterior Autocorrelations", names)

    def _geweke(self) -> Listing:
        return self._renamed("geweke", "Geweke Diagnostics", {"z": "z", "p": "Pr > |z|"})

    def _heidelberger(self) -> Listing:
        names = {
            "statistic": "Cramer-von Mises Stat",
            "p": "p-Value",
            "stationary": "Stationarity Test Outcome",
            "discarded": "Iterations Discarded",
            "half_width": "Half-Width",
            "mean": "Mean",
            "relative_half_width": "Relative Half-Width",
            "precise": "Half-Width Test Outcome",
        }
        made = self._renamed("heidelberger", "Heidelberger-Welch Diagnostics", names)
        columns = {
            name: [("Passed" if x else "Failed") for x in values]
            if name.endswith("Outcome")
            else values
            for name, values in made.columns.items()
        }
        return replace(made, columns=columns)

    def _raftery(self) -> Listing:
        asked = self._diagnosis.measures.settings.raftery
        title = (
            f"Raftery-Lewis Diagnostics (Quantile={asked['quantile']:g} "
            f"Accuracy=+/-{asked['accuracy']:g} Probability={asked['probability']:g} "
            f"Epsilon={asked['epsilon']:g})"
        )
        names = {
            "burn_in": "Burn-In",
            "total": "Total",
            "minimum": "Minimum",
            "dependence": "Dependence Factor",
        }
        return self._renamed("raftery", title, names)

    def _effective_sizes(self) -> Listing:
        names = {
            "ess_sas": "ESS",
            "autocorrelation_time": "Autocorrelation Time",
            "efficiency": "Efficiency",
        }
        return self._renamed("ess", "Effective Sample Sizes", names)

    def _errors(self) -> Listing:
        names = {"mcse_sas": "MCSE", "sd": "Standard Deviation", "mcse_ratio": "MCSE/SD"}
        return self._renamed("mcse", "Monte Carlo Standard Errors", names)

    def _dic(self) -> Listing:
        return self.post.dic().listing

    # ---- tables of the model and the sampler ----------------------------------------------------

    def _observations(self) -> Listing:
        return ods_model.observations(self.post)

    def _parameters(self) -> Listing:
        return ods_model.parameters(self.post)

    def _random_effects(self) -> Listing:
        return ods_model.random_effects(self.post)

    def _tuning(self) -> Listing:
        return ods_model.history(self.post, "Tuning")

    def _burn_in(self) -> Listing:
        return ods_model.history(self.post, "Burn-in")

    def _sampling(self) -> Listing:
        return ods_model.history(self.post, "Sampling")


class UnknownTable(DataError, KeyError):
    """A name that no table has; as a `KeyError` it answers ``get`` and ``in`` too."""

    def __str__(self) -> str:
        return str(self.args[0])
