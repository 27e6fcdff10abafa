"""Cases that are hard for the one-factor sampler: how it moves there, and what it says of itself.

Smallest bulk ESS over beta, sd, cor, dispersion and u (all effects, or 40 of more than 120), over
draws and over CPU seconds of sampling on one core; largest R-hat of the same; acceptance of theta
(all its blocks) and of the effects; longest run of rejections; the verdict; what warm-up had to
change, in words. Chains of a default run. Of abortion, whose sd is large, the posterior is compared
with maximum likelihood by quadrature with more and more nodes.

Run as ``python -m diagnostics.hard_cases``; two minutes. Ends with code 1 if a verdict is bad.
"""

import json
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
from references import DATA, csv

import bayesglmm as bg
from bayesglmm.diagnostics.ess import ess_bulk, ess_mean
from bayesglmm.diagnostics.rhat import rhat
from bayesglmm.model import Model
from bayesglmm.posterior import Posterior
from bayesglmm.programs import GibbsProgram
from bayesglmm.sampling_history import changes

from .report import Report, parser
from .runs import ALL_EFFECTS, SOME_EFFECTS, centre_of, gibbs, run

CHAINS, WARMUP, DRAWS = 4, 1000, 2000
SEED = 40
NODES = (7, 25, 50, 100, 200)
LME4 = ("AGQ100", "AGQ25_tight", "Laplace_tight")  # tests/data/mle
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


def abortion_by_quadrature(report: Report, draws: int) -> None:
    """The sd of abortion: maximum likelihood by the number of nodes, and the posterior's."""
    model = abortion()
    _, mode, _ = centre_of(model)
    result = run(gibbs(model, mode), chain_count=CHAINS, warmup=WARMUP, draws=draws, seed=SEED)
    sd = model.to_user(result.draws.theta, None)["sd"][..., 0]
    rows = []
    for nodes in NODES:
        fit = model.fit("aghq", nodes=nodes)
        found = dict(zip(fit.names, fit.estimate, strict=True))["sd(Intercept|case)"]
        rows.append((str(nodes), f"{found:.3f}", f"{fit.loglik:.3f}"))
    for name in LME4:
        known = json.loads((DATA / f"mle/abortion__ri__lme4_{name}.json").read_text())
        label = f"lme4 {known['package_version']}, {name.removesuffix('_tight')}"
        rows.append((label, f"{known['varcorr'][0]['sdcor']:.3f}", f"{known['logLik']:.3f}"))
    report("\nThe sd of abortion by maximum likelihood")
    report.table(("nodes", "sd", "logLik"), rows)
    center = float(np.exp(mode.theta[model.problem.data.obs.X.shape[0]]) / model.z_scale[0])
    report(
        f"posterior: mean {sd.mean():.3f}, sd {sd.std():.3f}, median {np.median(sd):.3f}; "
        f"Monte Carlo error of the mean {sd.std() / np.sqrt(ess_mean(sd[..., None])[0]):.3f}; "
        f"the sampler was centred at {center:.3f}"
    )


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


# Where all chains of the cases of bad starts begin: beta = 8 instead of about .3, sd .01 or 30.
BAD_STARTS = (8.0, np.log(0.01)), (-8.0, np.log(30.0))
CASES: dict[str, Callable[[], Model]] = {
    "abortion, sd 8.8": abortion,
    "depression, sd near 0": depression,
    **{name: lambda name=name: few_groups(name) for name in FEW},
    "bad starts: Poisson, 100 of 10": lambda: simulate(100, 10, "poisson"),
    "bad starts: Bernoulli, 2,000 of 5": lambda: simulate(2000, 5, "bernoulli"),
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
    rows, changed, good = [], [], True
    for name, make in CASES.items():
        if arguments.only is None or arguments.only in name:
            for start in BAD_STARTS if name.startswith("bad starts") else (None,):
                label = name if start is None else f"{name}, from {start[0]:.0f}"
                found, said, ok = measure(make(), arguments.draws, start)
                rows.append((label, *found))
                good &= ok
                changed += [f"{label}: {text}" for text in said]
                print(*rows[-1], sep=" | ", file=sys.stderr)
    report.table(
        ("case", "accept", "of u", "run", "R-hat", "ESS/draw", "of", "ESS/s", "us/draw", "fit s",
         "verdict"),
        rows,
    )  # fmt: skip
    report("\nWhat the runs say that warm-up changed")
    for text in changed:
        report(f"  {text}")
    if arguments.only is None:
        abortion_by_quadrature(report, arguments.draws)
    report.save()
    return 0 if good else 1


def measure(
    model: Model, draws: int, start: tuple[float, float] | None
) -> tuple[tuple[str, ...], list[str], bool]:
    """Sample a model: how the chains moved, what they say was changed, and if the verdict is good.

    `start` are an intercept and a log sd, inside.
    """
    _, mode, fit_seconds = centre_of(model)
    init = None
    if start is not None:
        p = model.problem.data.obs.X.shape[0]
        init = mode.theta.copy()
        init[0], init[p] = start

    def make(warmup: int) -> GibbsProgram:
        return GibbsProgram(model, mode.map, mode.covariance, warmup, init)

    result = run(make, chain_count=CHAINS, warmup=WARMUP, draws=draws, seed=SEED)
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
    ok = post.verdict.ok
    found = (
        f"{stats['accept'].mean():.2f}",
        f"{stats['accept_u'].mean():.2f}",
        f"{stats['stuck_run'].max():.0f}",
        f"{rhat(values).max():.3f}",
        f"{ess[worst] / result.count:.3f}",
        names[worst],
        f"{ess[worst] / result.seconds['sampling']:,.0f}",
        f"{1e6 * result.seconds['sampling'] / result.count:.1f}",
        f"{fit_seconds:.2f}",
        "good" if ok else "BAD",
    )
    return found, changes(make(WARMUP), result.draws.standings), ok


if __name__ == "__main__":
    sys.exit(main())
