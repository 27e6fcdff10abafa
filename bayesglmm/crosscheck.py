"""Do two samplers agree? Draws of one posterior by two samplers, compared row by row.

The rule, calibrated on 408 parameters of five models fitted by other software: |z| < 4 with the
Monte Carlo errors of both sides (4.5 where more than 60 parameters are compared at once), means
within .08 sd, sd ratio .94-1.06, 5% and 95% quantiles within .15 sd. All but |z| is asked of
parameters that have 4,000 effective draws on both sides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .diagnostics.ess import ess_bulk
from .diagnostics.mcse import mcse_mean, mcse_quantile
from .diagnostics.normal import normal_quantile
from .errors import DataError
from .posterior import Posterior, groups
from .tables import Table
from .wording import counted

if TYPE_CHECKING:
    import pandas

MAX_Z, MAX_Z_MANY, MANY = 4.0, 4.5, 60
# The largest |z| of so many parameters passes its limit once in 250 comparisons of right samplers:
# what 4.0 is for 60 of them. From some 600 parameters on, the limit grows with their number.
FALSE_ALARMS = 0.004
MAX_MEAN = 0.08
SD_RATIO = (0.94, 1.06)
MAX_QUANTILE = 0.15
MIN_ESS = 4000  # below this, on either side, only means are compared
LOST = 400  # a run with a smaller effective number of draws compares nothing
TAILS = (0.05, 0.95)
SHOWN = 10  # rows that a printed comparison names
WORDS = {"z": "z = {:.2f}", "mean": "mean off by {:.3f} sd", "sd_ratio": "sd ratio {:.3f}"}
WORDS |= {"q5": "5% quantile off by {:.3f} sd", "q95": "95% quantile off by {:.3f} sd"}


@dataclass(frozen=True)
class Moments:
    """The posterior of one parameter, or arrays (k,) of those of many.

    The last four are Monte Carlo errors again, of what is compared beside z. Where the draws are so
    few that a difference beyond the rule is within the limit of |z| of them, it counts as none;
    with 0 the rule is taken as it stands.
    """

    mean: Any
    sd: Any
    mcse: Any
    ess: Any
    q5: Any
    q95: Any
    mean_error: Any = 0.0
    sd_error: Any = 0.0
    q5_error: Any = 0.0
    q95_error: Any = 0.0


class Differences(NamedTuple):
    """Of two posteriors, arrays (k,) by what is compared: ``z mean sd_ratio q5 q95``.

    Means and quantiles differ by so many sds of the second; nan where they are not compared.
    `broken` says where the rule is, `lost` where there are too few effective draws for it.
    """

    values: dict[str, np.ndarray]
    broken: dict[str, np.ndarray]
    lost: np.ndarray

    @property
    def disagree(self) -> np.ndarray:
        """Whether a part of the rule is broken, (k,)."""
        return np.any(list(self.broken.values()), axis=0)


def together(parts: Iterable[Moments]) -> Moments:
    """Return the moments of several sets of parameters, one after the other, as arrays (k,)."""
    each = [np.broadcast_arrays(*map(np.atleast_1d, vars(part).values())) for part in parts]
    return Moments(*(np.concatenate(values).astype(float) for values in zip(*each, strict=True)))


def moments(draws: np.ndarray) -> Moments:
    """Return the moments of draws (chains, draws) of one parameter, for the rule as it stands."""
    one = draws[..., None]
    q5, q95 = np.quantile(draws, TAILS)
    return Moments(
        float(draws.mean()),
        float(draws.std(ddof=1)),
        float(mcse_mean(one)[0]),
        float(ess_bulk(one)[0]),
        float(q5),
        float(q95),
    )


def measure(draws: np.ndarray) -> Moments:
    """Return the moments of draws (chains, draws, k) with all Monte Carlo errors."""
    flat = draws.reshape(-1, draws.shape[2])
    mean, sd = flat.mean(axis=0), flat.std(axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        sd_error = mcse_mean((draws - mean) ** 2) / (2.0 * sd)
    q5, q95 = np.quantile(flat, TAILS, axis=0)
    mcse, errors = mcse_mean(draws), [mcse_quantile(draws, tail) for tail in TAILS]
    return Moments(mean, sd, mcse, ess_bulk(draws), q5, q95, mcse, sd_error, *errors)


def largest_z(count: int) -> float:
    """Return the limit of |z| where so many parameters are compared at once."""
    if count <= MANY:
        return MAX_Z
    tail = np.array([FALSE_ALARMS / (2.0 * count)])
    return max(MAX_Z_MANY, -float(normal_quantile(tail)[0]))


def differences(a: Moments, b: Moments) -> Differences:
    """Compare two posteriors of the same parameters by the rule."""
    limit = largest_z(np.size(a.mean))
    a, b = together([a]), together([b])
    ess = np.minimum(a.ess, b.ess)
    shape = ess >= MIN_ESS

    def noise(error: str) -> np.ndarray:
        return limit * np.hypot(getattr(a, error), getattr(b, error)) / b.sd

    with np.errstate(invalid="ignore", divide="ignore"):
        z = (a.mean - b.mean) / np.hypot(a.mcse, b.mcse)
        mean, q5, q95 = (
            (x - y) / b.sd for x, y in ((a.mean, b.mean), (a.q5, b.q5), (a.q95, b.q95))
        )
        ratio, spread = a.sd / b.sd, noise("sd_error")
        low, high = np.minimum(SD_RATIO[0], 1.0 - spread), np.maximum(SD_RATIO[1], 1.0 + spread)
        fine = {
            "mean": np.abs(mean) < np.maximum(MAX_MEAN, noise("mean_error")),
            "sd_ratio": (low < ratio) & (ratio < high),
            "q5": np.abs(q5) < np.maximum(MAX_QUANTILE, noise("q5_error")),
            "q95": np.abs(q95) < np.maximum(MAX_QUANTILE, noise("q95_error")),
        }
        broken = {"z": ~(np.abs(z) < limit)}
    broken |= {name: shape & ~within for name, within in fine.items()}
    compared = {"mean": mean, "sd_ratio": ratio, "q5": q5, "q95": q95}
    values = {"z": z} | {name: np.where(shape, x, np.nan) for name, x in compared.items()}
    return Differences(values, broken, ~(ess >= LOST))


def disagreements(ours: Mapping[str, Moments], known: Mapping[str, Moments]) -> list[str]:
    """Return a line for every parameter that breaks the rule; none is agreement."""
    pairs = [(a, known[name]) for name, a in ours.items()]
    a, b = (together(side) for side in zip(*pairs, strict=True))
    found = differences(a, b)
    ess = np.minimum(a.ess, b.ess)
    lines = []
    for place, name in enumerate(ours):
        words = reasons(found, place)
        if found.lost[place]:
            # Chains that are lost have Monte Carlo errors with which anything agrees.
            words.append(f"{ess[place]:.0f} effective draws")
        if words:
            means = f"mean {a.mean[place]:.5g} (known {b.mean[place]:.5g})"
            lines.append(f"{name}: {means}: {', '.join(words)}")
    return lines


def reasons(found: Differences, place: int) -> list[str]:
    """Return what of the rule a parameter breaks, in words."""
    return [
        WORDS[name].format(found.values[name][place])
        for name, broken in found.broken.items()
        if broken[place]
    ]


@dataclass(frozen=True, eq=False)
class Crosscheck:
    """Two samplers' posteriors beside each other.

    Attributes
    ----------
    first, second : Posterior
        The posterior that was checked, and the one that another sampler drew for it.
    differences : Differences
        Of all scalars, then all effects.
    """

    first: Posterior
    second: Posterior
    moments: tuple[Moments, Moments]
    differences: Differences

    @property
    def ok(self) -> bool:
        """Whether all parameters could be compared, and agree."""
        return not (self.differences.disagree.any() or self.differences.lost.any())

    def name(self, place: int) -> str:
        """Return the name of a row."""
        scalars = self.first.names
        if place < len(scalars):
            return scalars[place]
        return self.first.effect_name(place - len(scalars))

    @cached_property
    def table(self) -> "pandas.DataFrame":
        """One row a parameter: mean and sd by both samplers, ESS of both, and what is compared.

        Columns ``mean_NAME sd_NAME ess_NAME`` for both samplers; ``z``; ``mean q5 q95``, in sds
        of the second, and ``sd_ratio``, all nan where there are fewer than 4,000 effective draws on
        a side; ``agrees``.
        """
        columns: dict[str, np.ndarray] = {}
        for field in ("mean", "sd", "ess"):
            for label, side in zip(self.labels, self.moments, strict=True):
                columns[f"{field}_{label}"] = getattr(side, field)
        frame = Table(
            (*self.first.names, *self.first.effect_names), columns | self.differences.values
        ).frame()
        return frame.assign(agrees=~(self.differences.disagree | self.differences.lost))

    @property
    def labels(self) -> tuple[str, str]:
        """Names of the two samplers."""
        return self.first.run.sampler, self.second.run.sampler

    @property
    def verdict(self) -> str:
        """What was found, in words; the parameters that differ most come first."""
        found, (a, b) = self.differences, self.moments
        one, two = self.labels
        count, disagree, lost = len(found.lost), found.disagree, found.lost & ~found.disagree
        z = np.where(np.isnan(found.values["z"]), np.inf, np.abs(found.values["z"]))
        worst = int(z.argmax())
        limit = f"limit {largest_z(count):.3g}"
        lines = []
        if disagree.any():
            lines.append(
                f"{one} and {two} DISAGREE on {int(disagree.sum()):,} of "
                f"{counted(count, 'parameter')}: one of them is wrong or has not converged."
            )
        elif lost.any():
            lines.append(
                f"Undecided: of {counted(count, 'parameter')}, {int(lost.sum()):,} have fewer than "
                f"{LOST} effective draws by {one} or {two}: take more draws."
            )
        else:
            lines.append(
                f"{one} and {two} agree on {counted(count, 'parameter')}: |z| of means at most "
                f"{z[worst]:.2f} ({self.name(worst)}), {limit}."
            )
        shape = ~np.isnan(found.values["sd_ratio"])
        if shape.any():
            part = {name: values[shape] for name, values in found.values.items()}
            ratio = part["sd_ratio"][np.abs(np.log(part["sd_ratio"])).argmax()]
            tails = max(np.abs(part["q5"]).max(), np.abs(part["q95"]).max())
            lines.append(
                f"Of {int(shape.sum()):,} with {MIN_ESS:,} effective draws by both: means within "
                f"{np.abs(part['mean']).max():.3f} sd, sd ratio furthest from 1 {ratio:.3f}, "
                f"5% and 95% quantiles within {tails:.3f} sd."
            )
        else:
            lines.append(
                f"Only means were compared: sds and quantiles need {MIN_ESS:,} effective draws by "
                "both."
            )
        order = np.argsort(-z)
        for place in order[disagree[order]][:SHOWN]:
            means = f"mean {a.mean[place]:.4g} by {one}, {b.mean[place]:.4g} by {two}"
            lines.append(
                f"  - {self.name(int(place))}: {means}: {', '.join(reasons(found, place))}"
            )
        if disagree.sum() > SHOWN:
            lines.append(f"  - and {int(disagree.sum()) - SHOWN:,} more")
        for post, label in zip((self.first, self.second), self.labels, strict=True):
            if not post.verdict.ok:
                lines.append(f"{label} has NOT converged: print its verdict.")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.verdict

    def __repr__(self) -> str:
        return f"<Crosscheck of {' and '.join(self.labels)}: {'' if self.ok else 'NOT '}agreed>"


def crosscheck(
    post: Posterior,
    sampler: str | None = None,
    *,
    draws: int | None = None,
    warmup: int | None = None,
    seed: int | None = None,
    jobs: int | None = None,
    progress: bool | None = None,
    executor: Any = None,
) -> Crosscheck:
    """Sample the model of a posterior again by another sampler; see `Posterior.crosscheck`."""
    from . import sampling

    sampler = another(post.run.sampler) if sampler is None else sampler
    if sampler == post.run.sampler:
        raise DataError(
            f"the posterior was drawn by {sampler!r}: a check needs another sampler, such as "
            f"{another(sampler)!r}"
        )
    second = sampling.sample(
        post.model,
        draws=post.draws if draws is None else draws,
        warmup=post.run.warmup if warmup is None else warmup,
        chains=post.chains,
        seed=post.run.seed + 1 if seed is None else seed,
        sampler=sampler,
        jobs=jobs,
        progress=progress,
        executor=executor,
        keep="all" if post.run.keep == "all" else "summary",
    )
    return compare(post, second)


def another(sampler: str) -> str:
    """Return a sampler that has nothing in common with one but the model."""
    return "hmc" if sampler == "nuts" else "nuts"


def compare(first: Posterior, second: Posterior) -> Crosscheck:
    """Compare two posteriors of one model.

    Raises
    ------
    DataError
        If they do not have the same rows.
    """
    rows = [(post.names, groups(post.model.design)) for post in (first, second)]
    if rows[0] != rows[1]:
        raise DataError("the two posteriors are of different models: their rows differ")
    sides = parameters(first), parameters(second)
    return Crosscheck(first, second, sides, differences(*sides))


def parameters(post: Posterior) -> Moments:
    """Return the moments of a posterior's scalars, then of its effects."""
    parts = [measure(post.scalar_draws)]
    if post.effects is None:
        parts += [measure(block) for block in post.effect_blocks()]
    else:
        known = post.effects
        unknown = np.full_like(known.mean, np.inf)  # their quantiles are approximations
        parts.append(
            Moments(
                known.mean,
                known.sd,
                known.mcse,
                known.ess_bulk,
                known.quantile(TAILS[0]),
                known.quantile(TAILS[1]),
                mean_error=known.mcse,
                sd_error=known.sd / np.sqrt(2.0 * known.ess_bulk),
                q5_error=unknown,
                q95_error=unknown,
            )
        )
    return together(parts)
