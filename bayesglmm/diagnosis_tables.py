"""The tables of a diagnosis: what is measured of draws, parameter by parameter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .any_draws import AnyDraws
from .diagnostics import autocorrelation, batch_means, energy, ess, mcse, spectrum
from .diagnostics.columns import BLOCK_ELEMENTS
from .diagnostics.geweke import Geweke, geweke
from .diagnostics.heidelberger import Heidelberger, heidelberger
from .diagnostics.raftery import Raftery, raftery
from .diagnostics.rhat import Convergence, convergence
from .listing import Listing

QUANTILES = (0.025, 0.5, 0.975)  # whose Monte Carlo errors are given


@dataclass(frozen=True)
class Settings:
    """What the diagnostics are computed with; see `diagnosis.diagnose`."""

    geweke: Mapping[str, float]
    heidelberger: Mapping[str, float]
    raftery: Mapping[str, float]
    lags: tuple[int, ...] = autocorrelation.LAGS
    batch: int = batch_means.SIZE
    quantiles: tuple[float, ...] = QUANTILES


@dataclass(frozen=True, eq=False)
class Measures:
    """What is measured of draws, each thing once, and the tables of it.

    `geweke`, `heidelberger` and `raftery` have a row for every chain of every parameter: the chains
    of a parameter one after the other.
    """

    draws: AnyDraws
    settings: Settings

    @cached_property
    def _values(self) -> np.ndarray:
        """The draws; one of nan where there are none, of which nothing is known."""
        values = self.draws.values
        return values if values.shape[1] else np.full((len(values), 1, values.shape[2]), np.nan)

    @cached_property
    def _series(self) -> np.ndarray:
        """Draws (k * chains, draws), the chains of a parameter one after the other."""
        values = np.moveaxis(self._values, 2, 0)
        return np.ascontiguousarray(values.reshape(-1, values.shape[2]))

    @cached_property
    def geweke(self) -> Geweke:
        """Geweke's test of every chain."""
        return _in_blocks(lambda x: geweke(x, **self.settings.geweke), self._series)

    @cached_property
    def heidelberger(self) -> Heidelberger:
        """Heidelberger's and Welch's tests of every chain."""
        return _in_blocks(lambda x: heidelberger(x, **self.settings.heidelberger), self._series)

    @cached_property
    def raftery(self) -> Raftery:
        """Raftery's and Lewis's run length of every chain."""
        return _in_blocks(lambda x: raftery(x, **self.settings.raftery), self._series)

    def _by_chain(self, values: np.ndarray) -> np.ndarray:
        """Values (k, chains) of values a series."""
        return values.reshape(len(self.draws.names), -1)

    @cached_property
    def _row_names(self) -> dict[str, Any]:
        chains = len(self.draws.values)
        return {
            "parameter": [name for name in self.draws.names for _ in range(chains)],
            "chain": np.tile(np.arange(1, chains + 1), len(self.draws.names)),
        }

    @cached_property
    def geweke_table(self) -> Listing:
        """Columns ``parameter chain z p``."""
        share = self.settings.geweke
        columns = {**self._row_names, **self.geweke._asdict()}
        title = f"Geweke: first {100 * share['first']:g}% against last {100 * share['last']:g}%"
        return Listing(title, columns, {"chain": "d", "z": ".3f", "p": "p"}, "parameter")

    @cached_property
    def heidelberger_table(self) -> Listing:
        """A row a parameter and chain, with the relative half-width."""
        found = self.heidelberger
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = found.half_width / np.abs(found.mean)
        columns = {
            **self._row_names,
            "stationary": found.stationary,
            "statistic": found.statistic,
            "p": found.p,
            "discarded": found.discarded,
            "mean": found.mean,
            "half_width": found.half_width,
            "relative_half_width": relative,
            "precise": found.precise,
        }
        formats = {"chain": "d", "p": "p", "discarded": ".0f", "statistic": ".4f"}
        return Listing("Heidelberger-Welch", columns, formats, "parameter")

    @cached_property
    def raftery_table(self) -> Listing:
        """A row a parameter and chain."""
        asked = self.settings.raftery
        title = (
            f"Raftery-Lewis: quantile {asked['quantile']:g} +- {asked['accuracy']:g} with "
            f"probability {asked['probability']:g}, epsilon {asked['epsilon']:g}"
        )
        columns = {**self._row_names, **self.raftery._asdict()}
        whole = dict.fromkeys(("burn_in", "total", "minimum", "thin"), ".0f")
        formats = {"chain": "d", **whole, "dependence": ".3f"}
        return Listing(title, columns, formats, "parameter")

    @cached_property
    def classical_table(self) -> Listing:
        """The three tests, of each parameter the worst chain."""
        z = self._by_chain(self.geweke.z)
        worst = _worst(self._by_chain(-np.abs(self.geweke.z)))
        row = np.arange(len(z))
        cut = self._by_chain(self.heidelberger.discarded)
        tested = self._by_chain(self.heidelberger.p)
        stationary = self._by_chain(self.heidelberger.stationary).all(axis=1)
        least = _worst(tested)
        longest = _worst(-self._by_chain(self.raftery.total))
        columns = {
            "parameter": list(self.draws.names),
            "geweke z": z[row, worst],
            "geweke p": self._by_chain(self.geweke.p)[row, worst],
            "stationary": stationary,
            "heidelberger p": tested[row, least],
            "discarded": np.where(stationary, np.nanmax(np.nan_to_num(cut), axis=1), np.nan),
            "raftery total": self._by_chain(self.raftery.total)[row, longest],
            "dependence": self._by_chain(self.raftery.dependence)[row, longest],
        }
        formats = {
            **{"geweke z": ".3f", "geweke p": "p", "heidelberger p": "p"},
            **{"discarded": ".0f", "raftery total": ".0f", "dependence": ".3f"},
        }
        title = "Geweke, Heidelberger-Welch and Raftery-Lewis"
        if len(self.draws.values) > 1:
            title += ": the worst chain of each parameter"
        return Listing(title, columns, formats, "parameter")

    @cached_property
    def autocorrelation_table(self) -> Listing:
        """A column a lag; the mean of the chains' autocorrelations."""
        lags = self.settings.lags
        found = _in_blocks(lambda x: autocorrelation.autocorrelation(x, lags), self._series)
        mean = found.reshape(len(self.draws.names), -1, len(lags)).mean(axis=1)
        columns: dict[str, Any] = {"parameter": list(self.draws.names)}
        columns |= {f"lag {lag}": mean[:, k] for k, lag in enumerate(lags)}
        formats = {name: ".4f" for name in columns}
        return Listing("Autocorrelation", columns, formats, "parameter")

    @cached_property
    def _sas_size(self) -> np.ndarray:
        length = self._values.shape[1]
        return np.asarray(
            (length / self._by_chain(_in_blocks(autocorrelation.time, self._series))).sum(axis=1)
        )

    @cached_property
    def ess_table(self) -> Listing:
        """R-hat and effective sample sizes by Geyer's, coda's and SAS's definitions."""
        values = self._values
        total = values.shape[0] * values.shape[1]
        with np.errstate(divide="ignore"):
            time = total / self._sas_size
        columns = {
            "parameter": list(self.draws.names),
            "r_hat": self.convergence.r_hat,
            "ess_bulk": self.convergence.ess_bulk,
            "ess_tail": self.convergence.ess_tail,
            "ess_mean": ess.ess_mean(values),
            "ess_spectral": self._by_chain(_in_blocks(spectrum.effective_size, self._series)).sum(
                axis=1
            ),
            "ess_sas": self._sas_size,
            "autocorrelation_time": time,
            "efficiency": self._sas_size / max(1, total),
        }
        formats = {name: ".0f" for name in columns if name.startswith("ess")}
        formats |= {"r_hat": ".4f", "autocorrelation_time": ".3f", "efficiency": ".4f"}
        return Listing("R-hat and effective sample size", columns, formats, "parameter")

    @cached_property
    def convergence(self) -> Convergence:
        """Rank R-hat, bulk and tail effective sample size."""
        return convergence(self._values)

    @cached_property
    def mcse_table(self) -> Listing:
        """Errors of means by four definitions, and of quantiles."""
        values = self._values
        chains, length, _ = values.shape
        pooled = values.reshape(chains * length, -1)
        sd = pooled.std(axis=0, ddof=1) if chains * length > 1 else np.full(pooled.shape[1], np.nan)
        density = self._by_chain(_in_blocks(spectrum.mean_error, self._series) ** 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_time = sd / np.sqrt(self._sas_size)
            columns = {
                "parameter": list(self.draws.names),
                "mean": pooled.mean(axis=0),
                "sd": sd,
                "mcse_mean": mcse.mcse_mean(values),
                "mcse_batch": batch_means.batch_error(values, self.settings.batch),
                "mcse_spectral": np.sqrt(density.mean(axis=1) / chains),
                "mcse_sas": by_time,
                "mcse_ratio": by_time / sd,
            }
        for quantile in self.settings.quantiles:
            columns[f"mcse_{100 * quantile:g}%"] = mcse.mcse_quantile(values, quantile)
        formats = {name: "#.3g" for name in columns if name.startswith("mcse")}
        return Listing("Monte Carlo standard errors", columns, formats, "parameter")

    @cached_property
    def rhat_table(self) -> Listing:
        """Columns ``parameter r_hat``."""
        columns = {"parameter": list(self.draws.names), "r_hat": self.convergence.r_hat}
        return Listing("R-hat", columns, {"r_hat": ".4f"}, "parameter")

    @cached_property
    def sampler_table(self) -> Listing:
        """A row a chain, of the statistics that there are."""
        stats = self.draws.stats
        measures = {
            "divergences": ("divergent", lambda x: x.sum(axis=1), ".0f"),
            "depth": ("depth", lambda x: x.mean(axis=1), ".2f"),
            "max_depth": ("max_depth", lambda x: x.mean(axis=1), ".4f"),
            "e_bfmi": ("energy", energy.ebfmi, ".3f"),
            "acceptance": ("accept", lambda x: x.mean(axis=1), ".3f"),
            "stuck": ("stuck_run", lambda x: x.max(axis=1, initial=0.0), ".0f"),
        }
        columns: dict[str, Any] = {"chain": np.arange(1, len(self.draws.values) + 1)}
        formats = {"chain": "d"}
        for name, (stat, measure, form) in measures.items():
            if stat in stats and stats[stat].size:
                columns[name] = measure(stats[stat])
                formats[name] = form
        return Listing("Sampler", columns, formats, "chain")


def _worst(values: np.ndarray) -> np.ndarray:
    """Place of the smallest number of every row; the first where there is none."""
    return np.where(np.isnan(values), np.inf, values).argmin(axis=1)


def _in_blocks(measure: Callable[[np.ndarray], Any], series: np.ndarray) -> Any:
    """What a function makes of series, of so many rows at a time as the processor's cache holds."""
    step = max(1, BLOCK_ELEMENTS // max(1, series.shape[1]))
    parts = [measure(series[first : first + step]) for first in range(0, len(series), step)]
    if isinstance(parts[0], tuple):
        return type(parts[0])(*map(np.concatenate, zip(*parts, strict=True)))
    return np.concatenate(parts)
