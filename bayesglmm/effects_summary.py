"""What is known of effects whose draws were not kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .chains import sketch
from .diagnostics.batches import Moments, Sums, merge
from .diagnostics.measured import Measured
from .diagnostics.normal import normal_quantile
from .problem import effects_to_user

if TYPE_CHECKING:
    from .chains import State
    from .model import Model

PART = 2**16  # effects that are summed up at a time


@dataclass(frozen=True, eq=False)
class EffectsSummary:
    """Moments, quantiles and convergence of effects, on the user's scale.

    Moments are exact. Quantiles are estimated while the draws go by, by the P2 algorithm, and
    averaged over the chains. Measured against the quantiles of the draws, with 4 chains of 1,000 of
    autocorrelation up to .7: the median is .005 posterior sds off, the 2.5% and 97.5% quantiles .02
    (at most .05 and .2 of 300 effects); of strongly skewed or heavy-tailed effects the limits are
    .08 off (99% of them within .5). That is less than the Monte Carlo error of the quantiles
    themselves. Effective sample sizes are by batch means and R-hat is that of the halves of the
    chains, without ranks; of tails nothing is known.

    Attributes
    ----------
    draws : int
        Of all chains.
    mean, sd, mcse : (effects,) arrays
        In the order of `Posterior.effect_names`.
    quantiles : (9, effects) array
        At `chains.sketch.PROBABILITIES`.
    finite, moved, r_hat, ess_bulk : (effects,) arrays
    """

    draws: int
    mean: np.ndarray
    sd: np.ndarray
    mcse: np.ndarray
    quantiles: np.ndarray
    finite: np.ndarray
    moved: np.ndarray
    r_hat: np.ndarray
    ess_bulk: np.ndarray

    @classmethod
    def of(cls, model: "Model", states: "Sequence[State]") -> "EffectsSummary":
        """Return the summary that the states of chains hold."""
        size = states[0][f"{sketch.PREFIX}mean"].size
        share = np.array([state[f"{sketch.PREFIX}count"][sketch.COUNT] for state in states])
        known = min(share) >= sketch.MARKERS
        mean, sd = np.empty((2, size))
        mcse, r_hat, ess = np.empty((3, size), dtype=np.float32)  # four digits of them are known
        finite, moved = np.empty((2, size), dtype=bool)
        # As precise as the markers: nine of each effect are more than all the rest.
        heights = np.full((sketch.MARKERS, size), np.nan, dtype=np.float32)
        # In parts, and each put in order in its place: of a million effects every array counts.
        for first in range(0, size, PART):
            part = slice(first, min(size, first + PART))
            moments: Moments = merge([_sums(state, part) for state in states])
            mean[part], sd[part], mcse[part] = moments.mean, moments.sd, moments.mcse
            finite[part], moved[part] = moments.measured.finite, moments.measured.moved
            r_hat[part], ess[part] = moments.measured.r_hat, moments.measured.ess_bulk
            if known:
                heights[:, part] = sum(
                    weight * state[f"{sketch.PREFIX}height"][part].T.astype(np.float64)
                    for state, weight in zip(states, share / share.sum(), strict=True)
                )

        for own in (mean, sd, mcse, *heights):
            own[:] = _in_order(effects_to_user(model, own))
        for own in (finite, moved, r_hat, ess):
            own[:] = _in_order(effects_to_user(model, own, scaled=False))
        return cls(int(share.sum()), mean, sd, mcse, heights, finite, moved, r_hat, ess)

    @property
    def measured(self) -> Measured:
        """For the verdict."""
        # Nothing is known of tails: that check passes.
        tail = np.where(self.finite, np.float32(np.inf), np.float32(np.nan))
        return Measured(self.finite, self.moved, self.r_hat, self.ess_bulk, tail)

    def columns(self, ci_prob: float) -> dict[str, np.ndarray]:
        """Return the columns of a table of all effects, with equal-tailed limits."""
        tail = (1 - ci_prob) / 2
        return {
            "mean": self.mean,
            "sd": self.sd,
            "median": self.quantile(0.5),
            f"{100 * tail:g}%": self.quantile(tail),
            f"{100 * (1 - tail):g}%": self.quantile(1 - tail),
            "mcse_mean": self.mcse,
            "ess_bulk": self.ess_bulk,
            "ess_tail": np.full_like(self.mean, np.nan),
            "r_hat": self.r_hat,
        }

    def quantile(self, probability: float) -> np.ndarray:
        """Return a quantile (effects,), between those followed along the normal curve."""
        known = np.array(sketch.PROBABILITIES[1:-1])
        exact = np.flatnonzero(np.abs(known - probability) < 1e-9)
        heights = self.quantiles[1:-1]
        if exact.size:
            return heights[exact[0]]
        z, at = normal_quantile(known), float(normal_quantile(np.array([probability]))[0])
        i = int(np.clip(np.searchsorted(z, at), 1, z.size - 1))
        share = (at - z[i - 1]) / (z[i] - z[i - 1])
        return heights[i - 1] + share * (heights[i] - heights[i - 1])


def _sums(state: "State", part: slice) -> Sums:
    """Sums of some effects of a chain."""
    count = state[f"{sketch.PREFIX}count"]
    return Sums(
        int(count[sketch.COUNT]),
        state[f"{sketch.PREFIX}mean"][part],
        state[f"{sketch.PREFIX}squares"][part],
        int(count[sketch.SIZE]),
        state[f"{sketch.PREFIX}batch"][: int(count[sketch.FULL]), part],
    )


def _in_order(values: dict[str, np.ndarray]) -> np.ndarray:
    """Arrays (..., levels, columns) by factor, in the order of `Posterior.effect_names`."""
    parts = [x.reshape(*x.shape[:-2], -1) for x in values.values()]
    if len(parts) == 1:
        return parts[0]  # as it is: of a million effects every copy counts
    return np.concatenate(parts, axis=-1) if parts else np.empty(0)
