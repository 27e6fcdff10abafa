"""Cost of effective draws from 100 to 100,000 groups of 10 rows: does it grow linearly.

CPU seconds on one core, after warm-up, for 1,000 effective draws of the worst quantity: smallest
bulk ESS over theta and 40 effects, evenly spaced (the minimum over all of them would fall with
their number from noise alone; only these are kept, or the draws would not fit in memory). The
sampler is the one for one grouping factor, centred by quadrature. The exponent is
the slope of log cost over log groups.

Run as ``python -m diagnostics.scaling``; about ten minutes. Ends with code 1 if
acceptances are more than .1 apart or an exponent is above 1.1.
"""

import sys
import time
from typing import Any, NamedTuple

import numpy as np

import bayesglmm as bg
from bayesglmm import chains, sampling
from bayesglmm.diagnostics.ess import ess_bulk
from bayesglmm.fits.mode import find
from bayesglmm.model import Model

from .report import Report, parser
from .runs import COMPILE_WARMUP, SOME_EFFECTS, Timed, gibbs

GROUPS, ROWS = (100, 1_000, 10_000, 100_000), 10
DRAWS = dict(zip(GROUPS, (8_000, 3_000, 1_000, 500), strict=True))
CHAINS, WARMUP, SEED = 2, 500, 50
SCRATCH_BYTES = 2**20  # of draws of all effects at a time
BETA = {"bernoulli": (-0.5, 1.0), "poisson": (0.5, 0.3)}
SD, COR = {"bernoulli": (1.0, 0.7), "poisson": (0.5, 0.3)}, 0.3
PRIORS = {"Intercept": bg.Normal(0, 10), "b": bg.Normal(0, 10), "sd": bg.HalfStudentT(3, 2.5)}
FORMULAS = {1: "y ~ x + (1 | g)", 2: "y ~ x + (x | g)"}
MOST_APART, LARGEST_EXPONENT = 0.1, 1.1


class Figures(NamedTuple):
    """What one model shows."""

    accept: float
    theta: float  # smallest bulk ESS a draw
    u: float
    sweep: float  # CPU seconds
    warmup: float
    fit: float

    @property
    def cost(self) -> float:
        """CPU seconds for 1,000 effective draws of the worst quantity."""
        return 1000.0 * self.sweep / min(self.theta, self.u)


def simulate(family: str, q: int, groups: int) -> Model:
    """A model of simulated rows."""
    rng = np.random.default_rng([SEED, groups, q])
    g = np.repeat(np.arange(groups), ROWS)
    x = rng.normal(size=g.size)
    covariance = np.outer(SD[family], SD[family]) * [[1.0, COR], [COR, 1.0]]
    u = rng.normal(size=(groups, 2)) @ np.linalg.cholesky(covariance).T
    if q == 1:
        u[:, 1] = 0.0
    eta = BETA[family][0] + u[g, 0] + (BETA[family][1] + u[g, 1]) * x
    if family == "poisson":
        y = rng.poisson(np.exp(eta)).astype(float)
    else:
        y = (rng.random(g.size) < 1.0 / (1.0 + np.exp(-eta))).astype(float)
    return bg.glmm(FORMULAS[q], {"y": y, "x": x, "g": g}, family=family, priors=PRIORS)


def measure(family: str, q: int, groups: int) -> Figures:
    """Fit and sample."""
    model = simulate(family, q, groups)
    problem = model.problem
    begun = time.thread_time()
    centre = sampling.centre(model, find(problem.rows, problem.data, True, problem.start))
    fit = time.thread_time() - begun
    make, draws = gibbs(model, centre), DRAWS[groups]
    options = {"seed": SEED, "jobs": 1, "progress": False}
    chains.run(make(COMPILE_WARMUP), chains=1, warmup=COMPILE_WARMUP, draws=1, **options)
    timed = Timed(make(WARMUP), WARMUP)
    result = chains.run(SomeEffects(timed), chains=CHAINS, warmup=WARMUP, draws=draws, **options)
    ess = ess_bulk(result.u)
    count = CHAINS * draws
    return Figures(
        float(result.stats["accept"].mean()),
        float(ess_bulk(result.theta).min()) / count,
        float(ess.min()) / count,
        timed.seconds["sampling"] / count,
        timed.seconds["warmup"] / CHAINS,
        fit,
    )


class SomeEffects:
    """A program that keeps some of its effects only, evenly spaced."""

    def __init__(self, program: Timed) -> None:
        self.program = program
        self.places = np.linspace(0, program.effects - 1, SOME_EFFECTS).astype(int)
        self.effects = self.places.size

    def __getattr__(self, name: str) -> Any:
        return getattr(self.program, name)

    def advance(
        self,
        state: Any,
        n: int,
        theta: np.ndarray,
        u: np.ndarray,
        stats: np.ndarray,
        iteration: int,
    ) -> None:
        """Run n iterations, a few at a time."""
        step = max(1, SCRATCH_BYTES // (8 * self.program.effects))
        for first in range(0, n, step):
            rows = slice(first, min(n, first + step))
            count = rows.stop - first
            all_u = np.empty((count, self.program.effects))
            at = iteration + first
            self.program.advance(state, count, theta[rows], all_u, stats[rows], at)
            u[rows] = all_u[:, self.places]


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--most", type=int, default=GROUPS[-1], help="most groups")
    arguments = options.parse_args()
    report = Report("scaling", not arguments.no_save)
    report(f"{CHAINS} chains, one after the other; CPU seconds of one core\n")
    measure("poisson", 1, GROUPS[0])  # compiles
    measure("bernoulli", 2, GROUPS[0])
    rows, kinds, good = [], [], True
    for family in ("bernoulli", "poisson"):
        for q in FORMULAS:
            sizes = [groups for groups in GROUPS if groups <= arguments.most]
            found = [measure(family, q, groups) for groups in sizes]
            rows += [
                line(f"{family}, q = {q}", groups, figures)
                for groups, figures in zip(sizes, found, strict=True)
            ]
            logs = np.log(sizes)
            cost = np.polyfit(logs, np.log([f.cost for f in found]), 1)[0]
            sweep = np.polyfit(logs, np.log([f.sweep for f in found]), 1)[0]
            accept = [f.accept for f in found]
            apart = max(accept) - min(accept)
            fine = apart <= MOST_APART and cost <= LARGEST_EXPONENT
            good = good and fine
            verdict = "reached" if fine else "missed"
            kinds.append(
                (f"{family}, q = {q}", f"{cost:.3f}", f"{sweep:.3f}", f"{min(accept):.2f}",
                 f"{max(accept):.2f}", f"{apart:.3f}", verdict)
            )  # fmt: skip
            print(f"{family}, q = {q} done", file=sys.stderr, flush=True)
    report("Seconds for 1,000 effective draws of the worst quantity, and what they are made of")
    report.table(
        ("model", "groups", "seconds", "us a group", "accept", "ESS a draw, theta", "u",
         "sweep us", "ns a row", "warm-up s a chain", "fit s"),
        rows,
    )  # fmt: skip
    report(
        f"Exponents of cost and of a sweep (goal: at most {LARGEST_EXPONENT}), acceptance (goal: "
        f"at most {MOST_APART} apart)"
    )
    report.table(("model", "cost", "sweep", "least", "largest", "apart", ""), kinds)
    report.save()
    return 0 if good else 1


def line(name: str, groups: int, figures: Figures) -> tuple[str, ...]:
    """Return a row of the table."""
    return (
        name,
        f"{groups:,}",
        f"{figures.cost:.3g}",
        f"{1e6 * figures.cost / groups:.3g}",
        f"{figures.accept:.2f}",
        f"{figures.theta:.2f}",
        f"{figures.u:.2f}",
        f"{1e6 * figures.sweep:.4g}",
        f"{1e9 * figures.sweep / (groups * ROWS):.1f}",
        f"{figures.warmup:.2f}",
        f"{figures.fit:.2f}",
    )


if __name__ == "__main__":
    sys.exit(main())
