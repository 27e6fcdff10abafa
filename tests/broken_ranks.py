"""Broken samplers that the exact rank test (`exact_ranks`) has to catch, part by part."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import exact_ranks
import numpy as np
from broken import RENEWAL, TRANSPORT
from crossed_cases import LOOSE, NESTED, NESTED_MOVE
from general_cases import (
    BERNOULLI,
    CROSSED_LAPLACE,
    GAUSSIAN,
    GAUSSIAN_LKJ,
    LKJ_THREE,
    NESTED_LKJ,
    POISSON,
    WIDE_COUNTS,
    WISHART_THREE,
)
from joint_crossed import CrossedCase
from mutants import Change, plain_copy
from scipy import stats


@dataclass(frozen=True)
class Broken(Change):
    """One change of the package, and the part and the case whose ranks see it."""

    case: CrossedCase
    sampler: str  # key of `exact_ranks.PARTS`
    chains: int = 300

    def deviations(self) -> dict[str, float]:
        """Z as far out as each p-value, in a plain-Python copy of the package with the change."""
        part = exact_ranks.PARTS[self.sampler]
        with tempfile.TemporaryDirectory() as folder:
            load = plain_copy(Path(folder), (self.file, self.old, self.new))
            try:
                with np.errstate(all="ignore"):  # where a chain runs away
                    found = exact_ranks.ranks(self.case, part, load, self.chains)
            except (ArithmeticError, ValueError) as reason:
                return {f"ran away ({reason})": math.inf}
        return {name: float(stats.norm.isf(0.5 * p)) for name, p in found.items()}


CENTRING, DIRECTIONS = "conditionals/centring.py", "conditionals/directions.py"

BROKEN = [
    Broken(
        "no way back of the coefficients' step",
        LOOSE,
        "ratio -= 0.5 * total * total",
        "ratio -= 0.0 * total * total",
        WIDE_COUNTS,
        "crossed: loose coefficients",
        chains=1500,
    ),
    Broken(
        "effects moved with the centred coefficients, ranks",
        DIRECTIONS,
        "own[g] -= d[a] * w[g]",
        "own[g] += d[a] * w[g]",
        CROSSED_LAPLACE,
        "crossed: centred coefficients",
    ),
    Broken(
        "no Hastings ratio of coefficients, ranks",
        "conditionals/classical_theta.py",
        "ratio += back - forward",
        "ratio += 0.0",
        POISSON,
        "classical: iwls of beta",
    ),
    Broken(
        "nested move without log d, ranks",
        NESTED_MOVE,
        "log_M += math.log(M[k, k])",
        "log_M += 0.0 * math.log(M[k, k])",
        NESTED_LKJ,
        "crossed: nested, child",
        chains=500,
    ),
    Broken(
        "parents drawn without the children's number",
        NESTED_MOVE,
        "P[k, l] = count[g] * inverse[k, l] + prior[k, l]",
        "P[k, l] = inverse[k, l] + prior[k, l]",
        NESTED,
        "crossed: nested, parent",
    ),
    Broken(
        "no Hastings term (theta), ranks",
        TRANSPORT,
        "return power * (math.log1p(new_square / df) - math.log1p(old_square / df))",
        "return 0.0 * power",
        BERNOULLI,
        "gibbs: theta",
    ),
    Broken(
        "no Hastings term (effects), ranks",
        RENEWAL,
        "out[g] = loglik[g] - larger - log(total)",
        "out[g] = loglik[g]",
        GAUSSIAN,
        "gibbs: effects",
        chains=600,
    ),
    Broken(
        "walk of Sigma without its effects",
        CENTRING,
        "value -= 0.5 * trace",
        "value -= 0.0 * trace",
        LKJ_THREE,
        "classical: walk of Sigma",
    ),
    Broken(
        "correlations of three drawn as if the proposal had their density",
        CENTRING,
        "power = cov.eta[block] - 1.0 + 0.5 * q",
        "power = -2.0",
        LKJ_THREE,
        "classical: nearly exact Sigma",
    ),
    Broken(
        "inverse-Wishart scale of three transposed",
        CENTRING,
        "total += cov.scale[lo + k, lo + i] * cov.scale[lo + l, lo + i]",
        "total += cov.scale[lo + i, lo + k] * cov.scale[lo + i, lo + l]",
        WISHART_THREE,
        "gibbs: Sigma given u",
    ),
    Broken(
        "collapsed, no Hastings term, ranks",
        "conditionals/collapsed.py",
        "ratio = power * (math.log1p(new_square / DF) - math.log1p(old_square / DF))",
        "ratio = 0.0 * power",
        GAUSSIAN_LKJ,
        "collapsed: t",
    ),
]
