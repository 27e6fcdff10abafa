"""Convergence diagnostics of any draws: one verdict in words, and every table behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from . import any_draws
from .any_draws import AnyDraws
from .diagnosis_tables import QUANTILES, Measures, Settings
from .diagnostics.autocorrelation import LAGS
from .diagnostics.batch_means import SIZE
from .diagnostics.geweke import FIRST, LAST
from .diagnostics.heidelberger import EPS, LEVEL
from .diagnostics.raftery import ACCURACY, EPSILON, PROBABILITY, QUANTILE, minimum_draws
from .diagnostics.verdict import ELSEWHERE, Verdict, judge
from .errors import DataError
from .listing import Listing, titled

if TYPE_CHECKING:
    import pandas

SIGNIFICANT = 0.05  # what a test is called significant at, in the notes
# Share of stationary chains that fail Heidelberger's and Welch's test at 5% in all stages: of 6,000
# chains of white noise, of 200 and of 1,000 draws.
FALSE_ALARMS = 0.008
MAX_ROWS = 60  # of one printed table
# The tables by the names that `tables=` knows, with SAS's for the same.
TABLES = {
    "tests": "classical",
    "geweke": "geweke",
    "heidelberger": "heidelberger",
    "heidel": "heidelberger",
    "raftery": "raftery",
    "rl": "raftery",
    "autocorrelation": "autocorrelation",
    "autocorr": "autocorrelation",
    "ess": "ess",
    "mcse": "mcse",
    "mcerror": "mcse",
    "rhat": "rhat",
    "sampler": "sampler",
}
EVERY = tuple(name for name, table in TABLES.items() if name == table)
PRINTED = ("tests", "autocorrelation", "ess", "mcse", "sampler")


def diagnose(
    draws: Any,
    *,
    names: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
    stats: Mapping[str, Any] | None = None,
    u: bool = False,
    geweke: Mapping[str, float] | None = None,
    heidelberger: Mapping[str, float] | None = None,
    raftery: Mapping[str, float] | None = None,
    lags: Sequence[int] = LAGS,
    batch: int = SIZE,
    quantiles: Sequence[float] = QUANTILES,
) -> "Diagnosis":
    """Diagnose the convergence of draws, whoever made them.

    Parameters
    ----------
    draws : Posterior, array, mapping, data frame or ArviZ object
        An array (chains, draws, k), or (draws,) of one chain and one parameter; with `names` also
        (draws, k). A mapping of arrays (chains, draws, ...), or of one chain (draws, ...) if one of
        them has a single axis. A pandas, polars or pyarrow frame with a column a parameter and, if
        there is more than one chain, a column ``chain``; ``draw`` or ``iteration`` orders the rows.
        An xarray DataTree or Dataset, or InferenceData, with dims ``chain`` and ``draw``.
    names : sequence of str, optional
        Names of the parameters of an array.
    parameters : sequence of str, optional
        Which to diagnose; a variable's name stands for all its elements.
    stats : mapping of str to (chains, draws) array, optional
        Statistics of the sampler, where the draws do not have them: "divergent", "max_depth",
        "depth", "energy", "accept".
    u : bool
        Of a Posterior: whether the tables have the effects of all levels too. Its verdict always
        covers them.
    geweke : mapping, optional
        ``first=0.1, last=0.5``: shares of a chain whose means are compared.
    heidelberger : mapping, optional
        ``eps=0.1, level=0.05``: the relative half-width that is precise enough, and the level.
    raftery : mapping, optional
        ``quantile=0.025, accuracy=0.005, probability=0.95, epsilon=0.001``.
    lags : sequence of int
        Of the autocorrelations.
    batch : int
        Draws a batch, of the batch means.
    quantiles : sequence of float
        Whose Monte Carlo errors are wanted.

    Returns
    -------
    Diagnosis

    Raises
    ------
    DataError
        For what is no draws, or settings that do not exist.

    Examples
    --------
    >>> import numpy as np, bayesglmm as bg
    >>> found = bg.diagnose(np.random.default_rng(1).normal(size=(4, 1000, 2)), names=["a", "b"])
    >>> found.verdict.ok
    True
    """
    if isinstance(lags, int):
        lags = (lags,)
    settings = Settings(
        _known("geweke", geweke, {"first": FIRST, "last": LAST}),
        _known("heidelberger", heidelberger, {"eps": EPS, "level": LEVEL}),
        _known(
            "raftery",
            raftery,
            {
                "quantile": QUANTILE,
                "accuracy": ACCURACY,
                "probability": PROBABILITY,
                "epsilon": EPSILON,
            },
        ),
        tuple(lags),
        batch,
        tuple(quantiles),
    )
    read = any_draws.read(draws, names=names, parameters=parameters, stats=stats, u=u)
    from .posterior import Posterior

    judged = draws.verdict if isinstance(draws, Posterior) else None
    return Diagnosis(Measures(read, settings), judged)


def _known(
    test: str, given: Mapping[str, float] | None, defaults: dict[str, float]
) -> dict[str, float]:
    for name in given or {}:
        if name not in defaults:
            raise DataError(f"{test} has {', '.join(defaults)}, not {name!r}")
    return {**defaults, **(given or {})}


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The verdict on draws and the tables behind it; `print` shows the verdict first.

    Attributes
    ----------
    measures : Measures
        What was measured, of which draws and with what settings.
    judged : Verdict or None
        The verdict on a posterior, which covers all its effects.
    """

    measures: Measures
    judged: Verdict | None = None

    @property
    def draws(self) -> AnyDraws:
        """What was diagnosed: ``names``, ``values`` (chains, draws, k) and ``stats``."""
        return self.measures.draws

    # ---- the verdict ----------------------------------------------------------------------------

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the draws converged, in words.

        R-hat, effective sample sizes and the sampler's statistics decide. The classical tests are
        noted beside: at 5% they reject one good chain in twenty, and with many draws they find
        differences that do not matter.
        """
        names = self.draws.names
        judged = self.judged or judge(
            [(self.draws.values, lambda i: names[i])], self.draws.stats, ELSEWHERE
        )
        return replace(judged, notes=(*judged.notes, *self._notes()))

    def _notes(self) -> list[str]:
        chains, length, _ = self.draws.values.shape
        notes = []
        if chains == 1:
            notes.append(
                "One chain: R-hat compares its halves, which cannot show that chains from other "
                "starting points agree"
            )
        p = self.measures.geweke.p
        if np.isfinite(p).any():
            worst = int(np.nanargmin(p))
            differing = _share(p < SIGNIFICANT, p)
            notes.append(
                f"Geweke: beginning and end of a chain differ at 5% in {differing} "
                f"(by chance {SIGNIFICANT * np.isfinite(p).sum():.2g}); largest |z| "
                f"{abs(self.measures.geweke.z[worst]):.2f}, {self._where(worst)}"
            )
        tested = self.measures.heidelberger.p
        if np.isfinite(tested).any():
            failed = np.isfinite(tested) & ~self.measures.heidelberger.stationary
            text = f"Heidelberger-Welch: not stationary in {_share(failed, tested)}"
            if self.measures.settings.heidelberger["level"] == LEVEL:
                text += f" (by chance {FALSE_ALARMS * np.isfinite(tested).sum():.2g})"
            if failed.any():
                text += f", such as {self._where(int(failed.argmax()))}"
            notes.append(text)
        notes += self._length_note(length)
        return notes

    def _length_note(self, length: int) -> list[str]:
        asked = self.measures.settings.raftery
        wanted = (
            f"Raftery-Lewis: to know P(parameter < its {100 * asked['quantile']:g}% quantile) "
            f"to {asked['accuracy']:g}"
        )
        least = minimum_draws(asked["quantile"], asked["accuracy"], asked["probability"])
        if length < least:
            return [f"{wanted} a chain needs {least:,} draws at least; here it has {length:,}"]
        total = self.measures.raftery.total
        if not np.isfinite(total).any():
            return []
        worst = int(np.nanargmax(total))
        return [
            f"{wanted} a chain needs up to {total[worst]:,.0f} draws ({self._where(worst)}); "
            f"here it has {length:,}"
        ]

    def _where(self, row: int) -> str:
        chains, _, k = self.draws.values.shape
        parameter, chain = divmod(row, chains)
        name = self.draws.names[parameter]
        return name if chains == 1 else f"{name} in chain {chain + 1}"

    # ---- tables ---------------------------------------------------------------------------------

    def listing(self, name: str) -> Listing:
        """Return a table by its name, as what prints and makes records without pandas.

        Raises
        ------
        DataError
            For a name that no table has.
        """
        if name.lower() not in TABLES:
            raise DataError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
        made: Listing = getattr(self.measures, f"{TABLES[name.lower()]}_table")
        return made

    @property
    def geweke(self) -> "pandas.DataFrame":
        """Geweke's test; a row a parameter and chain: ``chain z p``."""
        return self.measures.geweke_table.frame()

    @property
    def heidelberger(self) -> "pandas.DataFrame":
        """Heidelberger's and Welch's tests; a row a parameter and chain.

        Columns ``chain stationary statistic p discarded mean half_width relative_half_width
        precise``; `discarded` counts draws cut from the start.
        """
        return self.measures.heidelberger_table.frame()

    @property
    def raftery(self) -> "pandas.DataFrame":
        """Raftery's and Lewis's run lengths; a row a parameter and chain.

        Columns ``chain burn_in total minimum dependence thin``; only `minimum` where the chain has
        fewer draws than that.
        """
        return self.measures.raftery_table.frame()

    @property
    def autocorrelation(self) -> "pandas.DataFrame":
        """Autocorrelations, the mean over the chains; a column a lag: ``lag 1`` ..."""
        return self.measures.autocorrelation_table.frame()

    @property
    def ess(self) -> "pandas.DataFrame":
        """Effective sample sizes of all chains together; a row a parameter.

        Columns ``r_hat ess_bulk ess_tail ess_mean`` (as ArviZ's), ``ess_spectral`` (coda's),
        ``ess_sas autocorrelation_time efficiency`` (SAS's: chains added up, draws a piece, share of
        the draws).
        """
        return self.measures.ess_table.frame()

    @property
    def mcse(self) -> "pandas.DataFrame":
        """Monte Carlo standard errors; a row a parameter.

        Columns ``mean sd mcse_mean`` (ArviZ's), ``mcse_batch mcse_spectral`` (coda's), ``mcse_sas
        mcse_ratio`` (SAS's, and it over the sd), and of quantiles ``mcse_2.5%`` ...
        """
        return self.measures.mcse_table.frame()

    @property
    def rhat(self) -> "pandas.DataFrame":
        """Rank-normalised split R-hat; a row a parameter: ``r_hat``."""
        return self.measures.rhat_table.frame()

    @property
    def sampler(self) -> "pandas.DataFrame":
        """What is known of the sampler; a row a chain.

        Those that there are of ``divergences depth max_depth e_bfmi acceptance stuck``: number of
        divergences, mean tree depth, share of draws at the largest depth, E-BFMI, mean acceptance,
        longest run of rejections.
        """
        return self.measures.sampler_table.frame()

    # ---- text -----------------------------------------------------------------------------------

    def text(self, tables: str | Sequence[str] = PRINTED) -> str:
        """Return the printed diagnosis: the verdict, then the tables asked for.

        Parameters
        ----------
        tables : sequence of str, "all" or "none"
            Of geweke, heidelberger, raftery, autocorrelation, ess, mcse, rhat, sampler, and tests
            (the first three in one, of each parameter the worst chain).
        """
        if isinstance(tables, str):
            tables = [tables]
        if [name.lower() for name in tables] in (["all"], ["none"]):
            tables = EVERY if tables[0].lower() == "all" else ()
        chains, length, k = self.draws.values.shape
        size = f"{chains} chain{'s' * (chains != 1)} x {length:,} draws"
        parts = [str(self.verdict), f"{size} of {k:,} parameter{'s' * (k != 1)}"]
        for name in tables:
            listing = self.listing(name)
            if len(listing.columns) > 1:
                parts.append("\n".join(titled(listing.title, listing.lines(MAX_ROWS))))
        return "\n\n".join(parts)

    def records(self, tables: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the verdict and all tables, or some, for JSON; no number is None."""
        chains, length, _ = self.draws.values.shape
        record: dict[str, Any] = {
            "converged": self.verdict.ok,
            "verdict": [str(item) for item in self.verdict.checks],
            "notes": list(self.verdict.notes),
            "chains": chains,
            "draws": length,
        }
        for name in EVERY if tables is None else tables:
            record[name] = self.listing(name).records()
        return record

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        chains, length, k = self.draws.values.shape
        return (
            f"<Diagnosis of {k} parameters, {chains} chains x {length} draws: "
            f"{'' if self.verdict.ok else 'NOT '}converged>"
        )


def _share(failed: np.ndarray, of: np.ndarray) -> str:
    count = int(np.isfinite(of).sum())
    return f"{int(failed.sum())} of {count} trace{'s' * (count != 1)}"
