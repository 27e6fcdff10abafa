"""The verdict: whether draws can be used, in words, with what to do where they cannot.

Thresholds are those of Vehtari et al. (2021) for R-hat and effective sample size and of Betancourt
(2016) for E-BFMI. R-hat and acceptance do not notice a Metropolis chain that cannot leave a tail,
so the longest run of rejections is watched too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .energy import ebfmi
from .measured import Measured, measure

MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100
MIN_EBFMI = 0.3
MAX_DEPTH_SHARE = 0.01
MAX_STUCK = 100  # rejections in a row; well-mixing Metropolis chains stay below 30

NameOf = Callable[[int], str]

FAILED = "NOT converged"  # the first words of a verdict that says no

MORE_DRAWS = "sample longer (more warmup and more draws)"
# What to do, by check. Draws that came from elsewhere were not made by a sampler of ours.
REMEDIES = {
    "number of non-finite draws": "the posterior may be improper: check the priors and the data "
    "for separation",
    "number of parameters that never moved": "a chain is stuck: try sampler='nuts', other "
    "starting values or a tighter prior",
    "R-hat": f"the chains disagree: {MORE_DRAWS}, or sampler='nuts'; look at its trace plot",
    "bulk ESS": MORE_DRAWS,
    "tail ESS": MORE_DRAWS,
    "number of divergences": "raise target_accept to .95 or .99, then tighten the prior on the "
    "sds; post.divergences() shows where",
    "share of draws at the largest tree depth": "raise max_treedepth, or warm up longer",
    "E-BFMI": "the tails are not explored: tighten the priors on the sds",
    "longest run of rejections": "the proposal misses a tail of the posterior: use sampler='nuts'",
}
ELSEWHERE = REMEDIES | {
    "number of non-finite draws": "the posterior may be improper, or the sampler failed",
    "number of parameters that never moved": "a constant is no parameter: leave it out; else a "
    "chain is stuck",
    "R-hat": f"the chains disagree: {MORE_DRAWS}, or change the sampler; look at its trace plot",
    "number of divergences": "raise the target acceptance, or change the coordinates or the priors",
    "E-BFMI": "the tails are not explored: change the coordinates or tighten the priors",
    "longest run of rejections": "the proposal misses a tail of the posterior",
}


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
        return self.finding if self.passed else f"{self.finding}: {self.remedy}"

    @property
    def finding(self) -> str:
        """What was measured, without what to do."""
        where = f" of {self.parameter}" if self.parameter else ""
        more = f" (and {self.others} more)" if self.others else ""
        limit = f"limit {_figure(self.threshold)}"
        return f"{self.check}{where} is {_figure(self.value)}, {limit}{more}"


@dataclass(frozen=True)
class Verdict:
    """Whether the draws converged; `print` it for the sentence and the failing items.

    Attributes
    ----------
    ok : bool
    checks : tuple of Item
        All that was checked, passed or not.
    notes : tuple of str
        Sentences on what did not decide, but is worth knowing.
    """

    ok: bool
    checks: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """The checks that failed."""
        return tuple(item for item in self.checks if not item.passed)

    @property
    def warning(self) -> str:
        """A line of what failed and one of what to do; nothing of draws that are good."""
        if self.ok:
            return ""
        findings = "; ".join(item.finding for item in self.items)
        every = dict.fromkeys(item.remedy for item in self.items)
        # One remedy may be part of another: to sample longer is some of it where chains disagree.
        remedies = [own for own in every if not any(own != more and own in more for more in every)]
        return f"{FAILED}: {findings}.\nWhat to do: {'. '.join(remedies)}."

    def __str__(self) -> str:
        if self.ok:
            measured = "; ".join(_passed(item) for item in self.checks)
            lines = [f"Converged: {measured}."]
        else:
            lines = [f"{FAILED}: {len(self.items)} of {len(self.checks)} checks failed."]
            lines += [f"  - {item}." for item in self.items]
        return "\n".join([*lines, *(f"  {note}." for note in self.notes)])


def judge(
    parameters: Iterable[tuple[np.ndarray | Measured, NameOf]],
    stats: Mapping[str, np.ndarray] | None = None,
    remedies: Mapping[str, str] = REMEDIES,
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
    remedies : mapping
        What to do, by check.

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
    checks = (*_mixing(groups, chains, remedies), *_movement(stats or {}, remedies))
    return Verdict(all(item.passed for item in checks), checks)


def _mixing(
    groups: list[tuple[Measured, NameOf]], chains: int, remedies: Mapping[str, str]
) -> Iterator[Item]:
    if not groups:
        return
    names = _Names([(measured.r_hat.size, name) for measured, name in groups])
    least = MIN_ESS_PER_CHAIN * chains

    def whole(field: str) -> np.ndarray:
        return np.concatenate([getattr(measured, field) for measured, _ in groups])

    # One after the other, each changed in its place: of a million effects every array counts.
    finite, moved = whole("finite"), whole("moved")
    if not finite.all():
        yield _count("number of non-finite draws", names, ~finite, remedies)
    stuck = finite & ~moved
    if stuck.any():
        yield _count("number of parameters that never moved", names, stuck, remedies)
    # A constant column has no R-hat and is reported above; anything else without one has failed.
    r_hat = whole("r_hat")
    none = np.isnan(r_hat)
    r_hat[none & stuck], r_hat[none & ~stuck] = 1.0, np.inf
    yield _worst("R-hat", names, r_hat, MAX_R_HAT, r_hat >= MAX_R_HAT, remedies)
    del r_hat
    for check, field in (("bulk ESS", "ess_bulk"), ("tail ESS", "ess_tail")):
        ess = whole(field)
        ess[np.isnan(ess)] = 0.0
        yield _worst(check, names, ess, least, ess < least, remedies, smallest=True)


def _movement(stats: Mapping[str, np.ndarray], remedies: Mapping[str, str]) -> Iterator[Item]:
    if "divergent" in stats:
        check, count = "number of divergences", float(np.sum(stats["divergent"]))
        yield Item(check, "", count, 0.0, count == 0.0, remedies[check])
    if "max_depth" in stats:
        check = "share of draws at the largest tree depth"
        share = float(np.mean(stats["max_depth"])) if stats["max_depth"].size else 0.0
        passed = share <= MAX_DEPTH_SHARE
        yield Item(check, "", share, MAX_DEPTH_SHARE, passed, remedies[check])
    if "energy" in stats:
        fraction = ebfmi(stats["energy"])
        fraction = np.where(np.isnan(fraction), 0.0, fraction)
        low = fraction < MIN_EBFMI
        yield _worst("E-BFMI", _chain, fraction, MIN_EBFMI, low, remedies, smallest=True)
    if "stuck_run" in stats:
        runs = np.max(stats["stuck_run"], axis=1, initial=0.0)
        check = "longest run of rejections"
        yield _worst(check, _chain, runs, MAX_STUCK, runs > MAX_STUCK, remedies)


def _chain(number: int) -> str:
    return f"chain {number + 1}"


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


def _count(check: str, names: NameOf, failing: np.ndarray, remedies: Mapping[str, str]) -> Item:
    count = int(failing.sum())
    return Item(check, names(int(failing.argmax())), count, 0.0, False, remedies[check], count - 1)


def _worst(
    check: str,
    names: NameOf,
    values: np.ndarray,
    threshold: float,
    failing: np.ndarray,
    remedies: Mapping[str, str],
    smallest: bool = False,
) -> Item:
    place = int(values.argmin() if smallest else values.argmax())
    count = int(failing.sum())
    others = max(0, count - 1)
    value = float(values[place])
    return Item(check, names(place), value, threshold, count == 0, remedies[check], others)


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
