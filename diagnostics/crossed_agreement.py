"""The crossed Gibbs sampler against `nuts`, on real data: crossed, nested, every covariance prior.

Of all parameters, effects too: worst |z| with the Monte Carlo errors of both sides; of those with
4,000 effective draws on both sides, difference of means in sd, ratio of sds furthest from 1, and
difference of the 5% and 95% quantiles in sd. The rule is the package's own.

Run as ``python -m diagnostics.crossed_agreement [--only NAME]``; some twenty minutes.
"""

import sys
import time
import warnings

import numpy as np

import bayesglmm as bg
from bayesglmm.crosscheck import Crosscheck, compare
from bayesglmm.model import Model
from bayesglmm.posterior import Posterior

from .crossed_models import compared
from .report import Report, parser

WARMUP, FIRST, SEED = 1000, 1000, 5
ENOUGH = 4_400  # effective draws of every scalar at which a sampler stops
LONGEST = {"gibbs": 32_000, "nuts": 8_000}  # draws of each of 4 chains; doubled up to there
COLUMNS = (
    "model",
    "parameters",
    "|z|",
    "of",
    "mean",
    "sd ratio",
    "quantile",
    "ESS gibbs",
    "ESS nuts",
    "divergent",
    "CPU gibbs",
    "CPU nuts",
    "agrees",
)


def sample(model: Model, sampler: str) -> tuple[Posterior, float]:
    """Draw until every scalar has enough effective draws; the CPU seconds of it too."""
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.ConvergenceWarning)
        post = model.sample(
            draws=FIRST, warmup=WARMUP, sampler=sampler, seed=SEED, jobs=1, progress=False
        )
        while post.draws < LONGEST[sampler] and _least(post) < ENOUGH:
            post = post.extend(post.draws, jobs=1, progress=False)
    return post, time.process_time() - begun


def _least(post: Posterior) -> float:
    return float(post.summary()["ess_bulk"].min())


def row(name: str, check: Crosscheck, seconds: tuple[float, float]) -> tuple[str, ...]:
    """Worst figures of one comparison."""
    values, (a, b) = check.differences.values, check.moments
    z = np.abs(values["z"])
    shape = ~np.isnan(values["sd_ratio"])
    cells = ["-"] * 3
    if shape.any():
        part = {key: found[shape] for key, found in values.items()}
        ratio = part["sd_ratio"]
        cells = [
            f"{np.abs(part['mean']).max():.3f}",
            f"{ratio[np.abs(np.log(ratio)).argmax()]:.3f}",
            f"{max(np.abs(part['q5']).max(), np.abs(part['q95']).max()):.3f}",
        ]
    return (
        name,
        f"{z.size}",
        f"{z.max():.2f}",
        check.name(int(z.argmax())),
        *cells,
        f"{a.ess.min():,.0f}",
        f"{b.ess.min():,.0f}",
        f"{np.sum(check.second.stats.get('divergent', 0)):.0f}",
        *(f"{s:.0f}" for s in seconds),
        "yes" if check.ok else "no",
    )


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--only", action="append", default=[], help="part of a name; repeatable")
    arguments = options.parse_args()
    report = Report("crossed_agreement", not arguments.no_save)
    lines, broken = [], []
    for name, make in compared().items():
        if arguments.only and not any(part in name for part in arguments.only):
            continue
        model = make()
        (ours, seconds), (other, others) = (sample(model, s) for s in ("gibbs", "nuts"))
        check = compare(ours, other)
        lines.append(row(name, check, (seconds, others)))
        print("  ".join(lines[-1]), file=sys.stderr, flush=True)
        if not check.ok:
            broken.append(f"{name}: {check.verdict}")
    report.table(COLUMNS, lines)
    for line in broken:
        report(line)
    report(f"{len(lines) - len(broken)} of {len(lines)} comparisons agree")
    report.save()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
