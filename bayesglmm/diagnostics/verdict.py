"""The verdict: whether draws can be used, in words, with what to do where they cannot.

Thresholds are those of Vehtari et al. (2021) for R-hat and effective sample size and of Betancourt
(2016) for E-BFMI. R-hat and acceptance do not notice a Metropolis chain that cannot leave a tail,
so the longest run of rejections is watched too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .energy import ebfmi
from .measured import Measured, measure, together

MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100
MIN_EBFMI = 0.3
MAX_DEPTH_SHARE = 0.01
MAX_STUCK = 100  # rejections in a row; well-mixing Metropolis chains stay below 30

NameOf = Callable[[int], str]

MORE_DRAWS = "sample longer (more warmup and more draws)"


@dataclass(frozen=True)
class Item:
    """One thing that was checked.

    Attributes
    ----------
    check : str
        What was measured, such as "R-hat".
    parameter : str
        The parameter (or chain) where the measured value is worst.
    value, threshold : float
        The worst value, and the limit it was held to.
    passed : bool
    remedy : str
        A sentence: what to do if it failed.
    others : int
        How many more parameters fail the same check.
    """

    check: str
    parameter: str
    value: float
    threshold: float
    passed: bool
    remedy: str
    others: int = 0

    def __str__(self) -> str:
        where = f" of {self.parameter}" if self.parameter else ""
        more = f" (and {self.others} more)" if self.others else ""
        limit = f"limit {_figure(self.threshold)}"
        text = f"{self.check}{where} is {_figure(self.value)}, {limit}{more}"
        return text if self.passed else f"{text}: {self.remedy}"


@dataclass(frozen=True)
class Verdict:
    """Whether the draws converged; `print` it for the sentence and the failing items.

    Attributes
    ----------
    ok : bool
    checks : tuple of Item
        All that was checked, passed or not.
    """

    ok: bool
    checks: tuple[Item, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """The checks that failed."""
        return tuple(item for item in self.checks if not item.passed)

    def __str__(self) -> str:
        if self.ok:
            measured = "; ".join(_passed(item) for item in self.checks)
            return f"Converged: {measured}."
        lines = [f"NOT converged: {len(self.items)} of {len(self.checks)} checks failed."]
        lines += [f"  - {item}." for item in self.items]
        return "\n".join(lines)


def judge(
    parameters: Iterable[tuple[np.ndarray | Measured, NameOf]],
    stats: Mapping[str, np.ndarray] | None = None,
) -> Verdict:
    """Judge draws.

    Parameters
    ----------
    parameters : iterable of (draws, name)
        Arrays (chains, draws, k), such as theta and the random effects, or what was measured of
        them, each with a function from a column's number to its name. Names are asked only for the
        worst of each check.
    stats : mapping of array (chains, draws), optional
        Sampler statistics. Those known here are "divergent" and "max_depth" (0 or 1), "energy",
        and "stuck_run" (length so far of the current run of rejections).

    Returns
    -------
    Verdict
    """
    given = list(parameters)
    chains = next((len(draws) for draws, _ in given if not isinstance(draws, Measured)), 1)
    groups = [
        (draws if isinstance(draws, Measured) else measure(np.asarray(draws)), name)
        for draws, name in given
    ]
    groups = [(measured, name) for measured, name in groups if measured.r_hat.size]
    checks = (*_mixing(groups, chains), *_movement(stats or {}))
    return Verdict(all(item.passed for item in checks), checks)


def _mixing(groups: list[tuple[Measured, NameOf]], chains: int) -> Iterator[Item]:
    if not groups:
        return
    names = _Names([(measured.r_hat.size, name) for measured, name in groups])
    whole = together(measured for measured, _ in groups)
    finite, moved, r_hat = whole.finite, whole.moved, whole.r_hat
    least = MIN_ESS_PER_CHAIN * chains

    if not finite.all():
        yield _count(
            "number of non-finite draws", names, ~finite,
            "the posterior may be improper: check the priors and the data for separation",
        )  # fmt: skip
    stuck = finite & ~moved
    if stuck.any():
        yield _count(
            "number of parameters that never moved", names, stuck,
            "the chains are stuck: try sampler='nuts', other starting values or a tighter prior",
        )  # fmt: skip
    # A constant column has no R-hat and is reported above; anything else without one has failed.
    r_hat = np.where(stuck, 1.0, np.where(np.isnan(r_hat), np.inf, r_hat))
    yield _worst("R-hat", names, r_hat, MAX_R_HAT, r_hat >= MAX_R_HAT, "the chains disagree: "
                 f"{MORE_DRAWS}, or sampler='nuts'; look at its trace plot")  # fmt: skip
    for check, field in (("bulk ESS", "ess_bulk"), ("tail ESS", "ess_tail")):
        ess = getattr(whole, field)
        ess = np.where(np.isnan(ess), 0.0, ess)
        yield _worst(check, names, ess, least, ess < least, MORE_DRAWS, smallest=True)


def _movement(stats: Mapping[str, np.ndarray]) -> Iterator[Item]:
    if "divergent" in stats:
        count = float(np.sum(stats["divergent"]))
        yield Item(
            "number of divergences", "", count, 0.0, count == 0.0,
            "raise target_accept to .95 or .99, then tighten the prior on the sds",
        )  # fmt: skip
    if "max_depth" in stats:
        share = float(np.mean(stats["max_depth"])) if stats["max_depth"].size else 0.0
        yield Item(
            "share of draws at the largest tree depth", "", share, MAX_DEPTH_SHARE,
            share <= MAX_DEPTH_SHARE, "raise max_treedepth, or warm up longer",
        )  # fmt: skip
    if "energy" in stats:
        fraction = ebfmi(stats["energy"])
        fraction = np.where(np.isnan(fraction), 0.0, fraction)
        chain = int(np.argmin(fraction))
        low = fraction < MIN_EBFMI
        yield Item(
            "E-BFMI", f"chain {chain + 1}", float(fraction[chain]), MIN_EBFMI,
            not low.any(), "the tails are not explored: tighten the priors on the sds",
            max(0, int(low.sum()) - 1),
        )  # fmt: skip
    if "stuck_run" in stats:
        runs = np.max(stats["stuck_run"], axis=1, initial=0.0)
        chain = int(np.argmax(runs))
        long = runs > MAX_STUCK
        yield Item(
            "longest run of rejections", f"chain {chain + 1}", float(runs[chain]), MAX_STUCK,
            not long.any(), "the proposal misses a tail of the posterior: use sampler='nuts'",
            max(0, int(long.sum()) - 1),
        )  # fmt: skip


class _Names:
    """Names of the columns of all groups, numbered one after the other."""

    def __init__(self, groups: list[tuple[int, NameOf]]) -> None:
        self.groups = groups

    def __call__(self, column: int) -> str:
        for size, name in self.groups:
            if column < size:
                return name(column)
            column -= size
        raise IndexError(column)


def _count(check: str, names: _Names, failing: np.ndarray, remedy: str) -> Item:
    count = int(failing.sum())
    return Item(check, names(int(failing.argmax())), count, 0.0, False, remedy, count - 1)


def _worst(
    check: str,
    names: _Names,
    values: np.ndarray,
    threshold: float,
    failing: np.ndarray,
    remedy: str,
    smallest: bool = False,
) -> Item:
    place = int(values.argmin() if smallest else values.argmax())
    count = int(failing.sum())
    value = float(values[place])
    return Item(check, names(place), value, threshold, count == 0, remedy, max(0, count - 1))


def _passed(item: Item) -> str:
    where = f" ({item.parameter})" if item.parameter else ""
    word = "at least " if item.check.endswith("ESS") or item.check == "E-BFMI" else ""
    if item.check == "R-hat":
        word = "at most "
    return f"{item.check} {word}{_figure(item.value)}{where}"


def _figure(value: float) -> str:
    if not np.isfinite(value):
        return "not a number" if np.isnan(value) else "infinite"
    return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.3f}"
