"""Cases that are hard for the one-factor sampler: how it moves there, and what it says of itself.

Smallest bulk ESS over beta, sd, cor, dispersion and u (all effects, or 40 of more than 120), over
draws and over CPU seconds of sampling on one core; largest R-hat of the same; acceptance of theta
(all its blocks) and of the effects; longest run of rejections. Chains of a default run.

Run as ``python -m diagnostics.hard_cases``; some ten minutes.
"""

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
from references import csv

import bayesglmm as bg
from bayesglmm.diagnostics.ess import ess_bulk
from bayesglmm.diagnostics.rhat import rhat
from bayesglmm.model import Model
from bayesglmm.posterior import Posterior

from .report import Report, parser
from .runs import ALL_EFFECTS, SOME_EFFECTS, centre_of, gibbs, run

CHAINS, WARMUP, DRAWS = 4, 1000, 2000
SEED = 40
WIDE = {"Intercept": bg.Normal(0, 10), "b": bg.Normal(0, 10), "sd": bg.HalfStudentT(3, 2.5)}
FEW = {
    "5 groups": ("poisson_5_groups", "y ~ x1 + (1|g)", "poisson"),
    "6 herds": ("cbpp_6_herds", "y | trials(m) ~ x1 + x2 + x3 + (1|g)", "binomial"),
}


def abortion() -> Model:
    """Binary triples with an sd of 8.8."""
    frame = csv("abortion")
    frame["question"] = pd.Categorical(frame.question.astype(str), ["3", "1", "2"])
    return bg.glmm("response ~ question + gender + (1|case)", frame, "bernoulli", priors=WIDE)


def depression() -> Model:
    """340 binary triples with an sd near 0."""
    frame = bg.load_dataset("depression")
    return bg.glmm("outcome ~ diagnose + treat*time + (1|case)", frame, "bernoulli", priors=WIDE)


def few_groups(name: str) -> Model:
    """Five or six groups."""
    file, formula, family = FEW[name]
    return bg.glmm(formula, csv(f"few_groups/{file}"), family, priors=WIDE, center=False)


def simulate(
    groups: int,
    rows: int,
    family: str,
    *,
    sds: tuple[float, ...] = (0.5,),
    p: int = 2,
    correlation: float = 0.3,
    huge: int = 0,
    phi: float = 1.0,
) -> Model:
    """Equal groups, the first with `huge` more rows; p coefficients, an effect for each sd."""
    rng = np.random.default_rng([SEED, groups, rows, p, len(sds)])
    g = np.repeat(np.arange(groups), rows)
    if huge:
        g = np.concatenate([np.zeros(huge, dtype=int), g])
    columns = max(p - 1, len(sds) - 1)
    x = rng.normal(size=(g.size, columns))
    q = len(sds)
    R = np.full((q, q), correlation) + (1.0 - correlation) * np.eye(q)
    u = rng.normal(size=(groups, q)) @ np.linalg.cholesky(R).T * sds
    beta = np.concatenate([[0.3], 0.5 * rng.normal(size=columns) / np.sqrt(columns)])
    eta = beta[0] + x @ beta[1:] + u[g, 0] + (u[g, 1:] * x[:, : q - 1]).sum(axis=1)
    mu = np.exp(eta)
    y = {
        "poisson": lambda: rng.poisson(mu),
        "bernoulli": lambda: (rng.random(g.size) < mu / (1.0 + mu)).astype(float),
        "negative_binomial": lambda: rng.poisson(mu * rng.gamma(phi, size=g.size) / phi),
        "gamma": lambda: mu * rng.gamma(phi, size=g.size) / phi,
    }[family]()
    names = [f"x{k}" for k in range(columns)]
    frame = pd.DataFrame(x, columns=names).assign(y=y, g=g)
    fixed, slopes = " + ".join(names), " + ".join(["1", *names[: q - 1]])
    link = "log" if family == "gamma" else None
    return bg.glmm(f"y ~ {fixed} + ({slopes} | g)", frame, family, link=link, priors=WIDE)


CASES: dict[str, Callable[[], Model]] = {
    "abortion, sd 8.8": abortion,
    "depression, sd near 0": depression,
    **{name: lambda name=name: few_groups(name) for name in FEW},
    "one group of 20,000 rows, 3,000 of 2": lambda: simulate(3000, 2, "bernoulli", huge=20_000),
    "p = 20": lambda: simulate(200, 10, "bernoulli", p=20),
    "p = 50": lambda: simulate(200, 10, "bernoulli", p=50),
    "p = 100": lambda: simulate(200, 10, "bernoulli", p=100),
    "q = 3": lambda: simulate(100, 10, "poisson", sds=(0.5, 0.4, 0.3)),
    "q = 3, an sd of 0": lambda: simulate(100, 10, "poisson", sds=(0.5, 0.4, 0.0)),
    "q = 4": lambda: simulate(100, 15, "poisson", sds=(0.5, 0.4, 0.3, 0.3)),
    "q = 4, an sd of 0": lambda: simulate(100, 15, "poisson", sds=(0.5, 0.4, 0.3, 0.0)),
    "q = 6": lambda: simulate(150, 20, "poisson", sds=(0.5, 0.4, 0.3, 0.3, 0.3, 0.3)),
    "q = 6, an sd of 0": lambda: simulate(150, 20, "poisson", sds=(0.5, 0.4, 0.3, 0.3, 0.3, 0.0)),
    "negative binomial, slope": lambda: simulate(
        100, 10, "negative_binomial", sds=(0.5, 0.3), phi=2.0
    ),
    "gamma, slope": lambda: simulate(100, 10, "gamma", sds=(0.5, 0.3), phi=2.0),
}


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--only", help="part of the names of some cases")
    options.add_argument("--draws", type=int, default=DRAWS)
    arguments = options.parse_args()
    report = Report("hard_cases", not arguments.no_save)
    report(f"{CHAINS} chains of {WARMUP} + {arguments.draws}; CPU seconds on one core\n")
    rows = []
    for name, make in CASES.items():
        if arguments.only is None or arguments.only in name:
            rows.append((name, *measure(make(), arguments.draws)))
            print(*rows[-1], sep=" | ", file=sys.stderr)
    report.table(
        ("case", "accept", "of u", "run", "R-hat", "ESS/draw", "of", "ESS/s", "us/draw", "fit s"),
        rows,
    )  # fmt: skip
    report.save()
    return 0


def measure(model: Model, draws: int) -> tuple[str, ...]:
    """Sample a model, and describe how the chains moved."""
    _, mode, fit_seconds = centre_of(model)
    result = run(gibbs(model, mode), chain_count=CHAINS, warmup=WARMUP, draws=draws, seed=SEED)
    post = Posterior.from_draws(model, result.draws, sampler="gibbs", reason="")
    effects = post.effect_draws
    names = [*post.names, *post.effect_names]
    if effects.shape[-1] > ALL_EFFECTS:
        some = np.linspace(0, effects.shape[-1] - 1, SOME_EFFECTS).astype(int)
        effects = effects[..., some]
        names = [*post.names, *(post.effect_names[k] for k in some)]
    values = np.concatenate([post.scalar_draws, effects], axis=-1)
    ess = np.nan_to_num(ess_bulk(values))
    stats, worst = result.draws.stats, int(ess.argmin())
    return (
        f"{stats['accept'].mean():.2f}",
        f"{stats['accept_u'].mean():.2f}",
        f"{stats['stuck_run'].max():.0f}",
        f"{rhat(values).max():.3f}",
        f"{ess[worst] / result.count:.3f}",
        names[worst],
        f"{ess[worst] / result.seconds['sampling']:,.0f}",
        f"{1e6 * result.seconds['sampling'] / result.count:.1f}",
        f"{fit_seconds:.2f}",
    )


if __name__ == "__main__":
    sys.exit(main())
