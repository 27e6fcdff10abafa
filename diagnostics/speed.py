"""Effective draws a second: Gibbs, NUTS in whitened coordinates, and NUTS with a diagonal metric.

Smallest bulk ESS over beta, sd, cor, dispersion and u (all effects, or 40 of more than 120), over
CPU seconds on one core: of sampling alone, and of a default run with its fit and warm-up (4 chains
of 1000 + 1000). The last sampler is the yardstick: the same NUTS on the usual non-centred
parameters, whose adapted diagonal metric is all it knows of the posterior. Compilation is left out.
Priors as in the reference posteriors.

Run as ``python -m diagnostics.speed``; about five minutes.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
from references import REFERENCES, brms_priors

import bayesglmm as bg
from bayesglmm import sampling
from bayesglmm.collapsed_program import CollapsedProgram
from bayesglmm.fits.mode import unfitted
from bayesglmm.model import Model

from .report import Report, parser
from .runs import Run, centre_of, gibbs, nuts, run, smallest_ess

CHAINS, WARMUP, DEFAULT_DRAWS = 4, 1000, 1000
DRAWS = {"gibbs": 10_000, "nuts": 2_000, "yardstick": 2_000}  # enough to time and to estimate ESS
SEED = 20
# Prototypes on one core, for Gibbs; another machine, slightly other priors: an indication.
PROTOTYPE = {"epil": 153_000, "epilepsy slope": 75_000, "cbpp": 132_000, "sim_logit 500x10": 7_200}


def slope_model() -> Model:
    """HSAUR3's epilepsy data with a random slope of visit."""
    data = bg.load_dataset("epilepsy")
    treated = (data.treat.str.lower() == "progabide").to_numpy(float)
    columns = {
        "log(base)": np.log(data.base),
        "treat[Progabide]": treated,
        "log(age)": np.log(data.age),
        "visit": data.visit,
        "log(base):treat[Progabide]": np.log(data.base) * treated,
    }
    return bg.glmm(
        "seizures ~ log(base) * treat + log(age) + visit + (visit | id)",
        data,
        family="poisson",
        priors=brms_priors(columns, 1.0, 0.0, cor=bg.LKJ(1)),
    )


def models() -> dict[str, Callable[[], Model]]:
    """The models by name."""
    reference = {r.name: r.model for r in REFERENCES}
    return {
        "epil": reference["epil"],
        "epilepsy slope": slope_model,
        "cbpp": reference["cbpp"],
        "sim_logit 500x10": reference["simlogit"],
        "sleepstudy": reference["sleep"],
    }


def gaussian_slope() -> Model:
    """10,000 groups of 10 rows with a random slope."""
    rng = np.random.default_rng(SEED)
    g, x = np.repeat(np.arange(10_000), 10), rng.normal(size=100_000)
    u = rng.normal(size=(10_000, 2)) * (1.0, 0.5)
    y = 1.0 + 0.3 * x + u[g, 0] + u[g, 1] * x + rng.normal(size=g.size)
    return bg.glmm("y ~ x + (x | g)", {"g": g, "x": x, "y": y}, priors=brms_priors({"x": x}, 1, 0))


def gaussian_models() -> dict[str, tuple[Callable[[], Model], int]]:
    """Models of the collapsed sampler by name, and draws of each chain."""
    reference = {r.name: r.model for r in REFERENCES}
    penicillin = {"Intercept": bg.Normal(23.0, 5.0), "sd": bg.HalfStudentT(3, 5.0)}
    return {
        "sleepstudy": (reference["sleep"], 20_000),
        "penicillin": (
            lambda: bg.glmm(
                "diameter ~ 1 + (1 | plate) + (1 | sample)",
                bg.load_dataset("penicillin"),
                priors=penicillin,
            ),
            20_000,
        ),
        "radon_slope": (reference["radon_slope"], 20_000),
        "gaussian 10,000x10": (gaussian_slope, 500),
    }


def collapsed_row(name: str, model: Model, draws: int) -> tuple[str, ...]:
    """Speed of the collapsed sampler on a model."""
    sampling.start(model, "collapsed")  # compiles
    begun = time.thread_time()
    map, covariance = sampling.start(model, "collapsed")
    before = time.thread_time() - begun
    result = run(
        lambda warmup: CollapsedProgram(model, map.center, covariance, warmup),
        chain_count=CHAINS,
        warmup=WARMUP,
        draws=draws,
        seed=SEED,
    )
    ess = smallest_ess(model, result.draws)
    share = CHAINS * DEFAULT_DRAWS / result.count
    whole = before + result.seconds["warmup"] + share * result.seconds["sampling"]
    speed = f"{ess / result.seconds['sampling']:,.0f}"
    return (*_detail(name, result, ess, before, share * ess / whole), speed)


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--only", help="name of one model")
    arguments = options.parse_args()
    report = Report("speed", not arguments.no_save)
    lengths = ", ".join(f"{sampler} {WARMUP} + {draws}" for sampler, draws in DRAWS.items())
    report(f"{CHAINS} chains ({lengths}), one after the other; CPU seconds\n")
    ratios = []
    details = []
    for name, make in models().items():
        if arguments.only not in (None, name):
            continue
        model = make()
        laplace, centred, fit_seconds = centre_of(model)
        problem = model.problem
        begun = time.thread_time()
        rough = unfitted(problem.rows, problem.data, problem.start)
        rough_seconds = time.thread_time() - begun
        speeds, wholes = [], []
        for sampler, program, before in (
            ("gibbs", gibbs(model, centred), fit_seconds),
            ("nuts", nuts(model, laplace.map), fit_seconds),
            ("yardstick", nuts(model, rough), rough_seconds),
        ):
            result = run(
                program, chain_count=CHAINS, warmup=WARMUP, draws=DRAWS[sampler], seed=SEED
            )
            ess = smallest_ess(model, result.draws)
            share = CHAINS * DEFAULT_DRAWS / result.count
            whole = before + result.seconds["warmup"] + share * result.seconds["sampling"]
            speeds.append(ess / result.seconds["sampling"])
            wholes.append(share * ess / whole)
            details.append(_detail(f"{name}, {sampler}", result, ess, before, wholes[-1]))
        known = PROTOTYPE.get(name)
        ratios.append(
            (
                name,
                *(f"{speed:,.0f}" for speed in speeds),
                f"{speeds[0] / speeds[1]:.1f}",
                f"{speeds[1] / speeds[2]:.1f}",
                f"{wholes[0] / wholes[2]:.1f}",
                f"{speeds[0] / known:.2f}" if known else "-",
            )
        )
        print(f"{name} done", file=sys.stderr)
    report("Smallest bulk ESS per second of sampling; all: of a default run, fit and warm-up too")
    report.table(
        ("model", "gibbs", "nuts", "yardstick", "gibbs/nuts", "nuts/yard", "all: gibbs/yard",
         "gibbs/prototype"),
        ratios,
    )  # fmt: skip
    report("Details")
    report.table(
        ("model, sampler", "us/draw", "min ESS", "a draw", "accept", "fit s", "warm-up s",
         "sampling s", "ESS/s of all"),
        details,
    )  # fmt: skip
    report("Gaussian models, collapsed")
    report.table(
        ("model", "us/draw", "min ESS", "a draw", "accept", "fit s", "warm-up s", "sampling s",
         "ESS/s of all", "ESS/s"),
        [
            collapsed_row(name, make(), draws)
            for name, (make, draws) in gaussian_models().items()
            if arguments.only in (None, name)
        ],
    )  # fmt: skip
    report.save()
    return 0


def _detail(
    label: str, result: Run, ess: float, before: float, whole_speed: float
) -> tuple[str, ...]:
    seconds = result.seconds
    return (
        label,
        f"{1e6 * seconds['sampling'] / result.count:.1f}",
        f"{ess:,.0f}",
        f"{ess / result.count:.3f}",
        f"{result.draws.stats['accept'].mean():.2f}",
        f"{before:.3f}",
        f"{seconds['warmup']:.2f}",
        f"{seconds['sampling']:.2f}",
        f"{whole_speed:,.0f}",
    )


if __name__ == "__main__":
    sys.exit(main())
