"""Speed of the crossed Gibbs sampler: effective draws a second, cost of a row, acceptance.

Smallest bulk ESS over beta, sd, cor, dispersion and u (all effects, or 40 of more than 120), over
CPU seconds of sampling on one core; where it is smallest; nanoseconds a row and iteration, of each
factor's part too; acceptance by block. Compilation is left out. Priors as against peers.

Run as ``python -m diagnostics.crossed_speed [--only NAME]``; some ten minutes.
"""

import sys

import numpy as np

from bayesglmm import sampling
from bayesglmm.crossed_program import CrossedProgram
from bayesglmm.diagnostics.ess import ess_bulk
from bayesglmm.diagnostics.rhat import rhat
from bayesglmm.posterior import Posterior

from .crossed_models import whole
from .report import Report, parser
from .runs import run, smallest_ess

CHAINS, WARMUP = 2, 500
ROWS = 60_000_000  # rows times iterations of all chains: what a model may take
DRAWS = (600, 20_000)  # of each chain, at least and at most
SEED = 20
# Prototypes on one core; another machine, slightly other priors: an indication.
PROTOTYPE = {
    "VerbAgg": 3_625,
    "VerbAgg slope": 2_057,
    "salamander": 7_100,
    "crossed Poisson": 2_760,
    "grouseticks": 1_560,
    "InstEval binary": 170,
}


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--only", action="append", default=[], help="part of a name; repeatable")
    arguments = options.parse_args()
    report = Report("crossed_speed", not arguments.no_save)
    lines, blocks = [], []
    for name, make in whole().items():
        if arguments.only and not any(part in name for part in arguments.only):
            continue
        model = make()
        map, covariance = sampling.start(model, "gibbs")
        n = model.problem.data.obs.y.size
        draws = int(np.clip(ROWS // (n * CHAINS), *DRAWS))
        made = run(
            lambda warmup, m=model, at=map, spread=covariance: CrossedProgram(
                m, at, spread, warmup
            ),
            chain_count=CHAINS,
            warmup=WARMUP,
            draws=draws,
            seed=SEED,
        )
        post = Posterior.from_draws(model, made.draws, sampler="gibbs", reason="")
        scalars = ess_bulk(post.scalar_draws)
        least, seconds = smallest_ess(model, made.draws), made.seconds["sampling"]
        known = PROTOTYPE.get(name)
        lines.append(
            (
                name,
                f"{n:,}",
                f"{made.count:,}",
                f"{1e6 * seconds / made.count:.0f}",
                f"{1e9 * seconds / made.count / n:.1f}",
                f"{least / made.count:.3f}",
                post.names[int(scalars.argmin())] if scalars.min() <= least else "an effect",
                f"{rhat(post.scalar_draws).max():.3f}",
                f"{least / seconds:,.0f}",
                f"{known:,}" if known else "-",
            )
        )
        stats = made.draws.stats
        accept = [
            f"{key.removeprefix('accept_')} {values.mean():.2f}"
            for key, values in stats.items()
            if key.startswith("accept_") and key != "accept_u"
        ]
        blocks.append(
            f"{name}: {', '.join(accept)}; longest run of rejections {stats['stuck_run'].max():.0f}"
        )
        print(f"{name} done", file=sys.stderr)
    report(f"{CHAINS} chains of {WARMUP} + draws, one after the other; CPU seconds of sampling\n")
    report.table(
        ("model", "rows", "draws", "us/draw", "ns/row/draw", "ESS/draw", "worst", "R-hat", "ESS/s",
         "prototype"),
        lines,
    )  # fmt: skip
    report("Acceptance: psi of each factor by its name, u_ its levels, beta the other coefficients")
    for line in blocks:
        report(line)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
