"""Twelve ways to break a sampler (R23 of the reliability figures), and the test that sees each."""

import math
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import broken
import broken_ranks
import general_cases
import warm_up
from broken import BERNOULLI, GAUSSIAN
from mutants import plain_copy


@dataclass(frozen=True)
class Unruly:
    """One change after which warm-up does not end, or chains are alike (`warm_up.faults`)."""

    name: str
    file: str
    old: str
    new: str
    case: Any
    sampler: str

    def found(self) -> list[str]:
        """Faults of a plain-Python copy of the package with the change."""
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # numpy's, where compiled code would be silent; chains run in threads of their own
            warnings.simplefilter("ignore", RuntimeWarning)
            load = plain_copy(Path(folder), (self.file, self.old, self.new))
            return warm_up.faults(self.sampler, load)

    def deviations(self) -> dict[str, float]:
        """Infinite for each fault, 0 for that the chains ran."""
        return {"ran": 0.0} | dict.fromkeys(self.found(), math.inf)


NEVER_FROZEN = Unruly(
    "adaptation never frozen",
    "samplers/hamiltonian.py",
    "chain.phase[:] = 0",
    "chain.phase[SEARCH] = 0",
    BERNOULLI,
    "hmc",
)
SAME_SEEDS = Unruly(
    "chain seeds equal",
    "_random.py",
    "states[chain, 0] = child.generate_state(1, np.uint64)[0]",
    "states[chain, 0] = children[0].generate_state(1, np.uint64)[0]",
    BERNOULLI,
    "gibbs",
)
JACOBIAN_SIGN = broken.Broken(
    "sign of the Jacobian",
    broken.PASSES,
    "value = total_of(loglik[place:end]) - total_of(total[:groups])",
    "value = total_of(loglik[place:end]) + total_of(total[:groups])",
    GAUSSIAN,
    broken.ALONE,
)
OFFSET = broken_ranks.Broken(
    "offset dropped, ranks",
    "lanes.py",
    "out[i] = offset[i]",
    "out[i] = 0.0",
    general_cases.KNOWN,
    "gibbs: theta",
)

UNRULY = (NEVER_FROZEN, SAME_SEEDS)


def _named(name: str) -> Any:
    return next(one for one in (*broken.CATALOGUE, *broken_ranks.BROKEN) if one.name == name)


# The fault as the figure names it, and the copy that has it.
TWELVE = {
    "sign of Jacobian": JACOBIAN_SIGN,
    "missing Hastings term": _named("no Hastings term (theta)"),
    "no 1/2 in prior": _named("effects without the half of their prior"),
    "IW scale transposed": _named("inverse-Wishart scale transposed"),
    "sd vs variance": _named("prior of sd taken at the variance"),
    "u not centred": _named("effects left behind by a centred coefficient"),
    "stale eta cache": _named("stale linear predictor"),
    "off-by-one group index": _named("group index off by one"),
    "adaptation never frozen": NEVER_FROZEN,
    "missing log-det": _named("no Jacobian (log det C)"),
    "chain seeds equal": SAME_SEEDS,
    "offset dropped": OFFSET,
}
TESTS = {
    broken.Broken: "R5, test_joint_distribution.py",
    broken_ranks.Broken: "R6, test_exact_ranks.py",
    Unruly: "test_warm_up.py",
}
