"""Acceptance of the transported sampler from 500 to 10,000 binary groups of 10 rows.

The sampler is centred by quadrature, since Laplace's mode is several posterior sds away where there
are many binary groups. Three ways to see it: how far both centres are from the posterior mean, the
acceptance with proposals as the fit leaves them (no warm-up), and the acceptance after warm-up.

Run as ``python -m diagnostics.acceptance``; two minutes. Ends with code 1 if acceptance falls.
"""

import sys
from typing import NamedTuple

import numpy as np

import bayesglmm as bg
from bayesglmm.diagnostics.ess import ess_bulk
from bayesglmm.fits.mode import Mode
from bayesglmm.model import Model

from .report import Report, parser
from .runs import SOME_EFFECTS, centre_of, gibbs, run

GROUPS, ROWS = (500, 2_000, 10_000), 10
CHAINS, WARMUP, DRAWS = 2, 500, 2000
FROZEN_DRAWS, FROZEN_DISCARD = 1_100, 100  # chains start dispersed: the first draws travel
SEED = 30
BETA, SD, COR = (-0.5, 1.0), (1.0, 0.7), 0.3
PRIORS = {"Intercept": bg.Normal(0, 10), "b": bg.Normal(0, 10), "sd": bg.HalfStudentT(3, 2.5)}
FORMULAS = {"slope": "y ~ x + (x | g)", "intercept": "y ~ x + (1 | g)"}
MAX_FALL = 0.85  # least ratio of the acceptance at most groups to that at fewest


class Figures(NamedTuple):
    """What one number of groups shows."""

    theta: float  # acceptance after warm-up
    u: float
    theta_ess: float  # smallest bulk ESS a draw, of theta
    u_ess: float  # of some effects
    worst_u: float  # of all effects: groups without a success now and then stick in a tail
    frozen: float  # acceptance of theta without warm-up
    laplace: float  # largest distance from the posterior mean, in posterior sds
    centre: float
    laplace_theta: float  # the same acceptances about Laplace's mode
    laplace_frozen: float
    fit_seconds: float
    draw_seconds: float  # of one sweep


def simulate(kind: str, groups: int) -> Model:
    """A logit model of simulated rows."""
    rng = np.random.default_rng([SEED, groups])
    g = np.repeat(np.arange(groups), ROWS)
    x = rng.normal(size=g.size)
    covariance = np.outer(SD, SD) * [[1.0, COR], [COR, 1.0]]
    u = rng.normal(size=(groups, 2)) @ np.linalg.cholesky(covariance).T
    if kind == "intercept":
        u[:, 1] = 0.0
    eta = BETA[0] + u[g, 0] + (BETA[1] + u[g, 1]) * x
    y = (rng.random(g.size) < 1.0 / (1.0 + np.exp(-eta))).astype(float)
    return bg.glmm(FORMULAS[kind], {"y": y, "x": x, "g": g}, family="bernoulli", priors=PRIORS)


def measure(kind: str, groups: int, contrast: bool = True) -> Figures:
    """Fit, sample, and compare; without `contrast` nothing is sampled about Laplace's mode."""
    model = simulate(kind, groups)
    laplace, centre, fit_seconds = centre_of(model)
    result = run(gibbs(model, centre), chain_count=CHAINS, warmup=WARMUP, draws=DRAWS, seed=SEED)
    draws = result.draws
    ess = ess_bulk(draws.u)
    some = np.linspace(0, ess.size - 1, SOME_EFFECTS).astype(int)
    theta = draws.theta.reshape(-1, draws.theta.shape[2])
    mean, sd = theta.mean(axis=0), theta.std(axis=0)
    about_laplace = float("nan")
    if contrast:
        other = run(
            gibbs(model, laplace), chain_count=CHAINS, warmup=WARMUP, draws=DRAWS, seed=SEED
        )
        about_laplace = float(other.draws.stats["accept"].mean())
    return Figures(
        theta=float(draws.stats["accept"].mean()),
        u=float(draws.stats["accept_u"].mean()),
        theta_ess=float(ess_bulk(draws.theta).min()) / result.count,
        u_ess=float(ess[some].min()) / result.count,
        worst_u=float(ess.min()) / result.count,
        frozen=frozen_acceptance(model, centre),
        laplace=float(np.abs((laplace.theta - mean) / sd).max()),
        centre=float(np.abs((centre.theta - mean) / sd).max()),
        laplace_theta=about_laplace,
        laplace_frozen=frozen_acceptance(model, laplace) if contrast else float("nan"),
        fit_seconds=fit_seconds,
        draw_seconds=result.seconds["sampling"] / result.count,
    )


def frozen_acceptance(model: Model, mode: Mode) -> float:
    """Acceptance of theta with proposals as the fit leaves them."""
    result = run(gibbs(model, mode), chain_count=1, warmup=0, draws=FROZEN_DRAWS, seed=SEED)
    return float(result.draws.stats["accept"][:, FROZEN_DISCARD:].mean())


def main() -> int:
    arguments = parser(__doc__).parse_args()
    report = Report("acceptance", not arguments.no_save)
    report(f"Bernoulli, logit, {ROWS} rows a group, beta {BETA}, sd {SD}, cor {COR}")
    report(f"{CHAINS} chains of {WARMUP} + {DRAWS}; CPU seconds on one core")
    report(f"ESS: smallest bulk ESS, of theta and of {SOME_EFFECTS} effects, of all effects\n")
    good = True
    for kind, formula in FORMULAS.items():
        rows, accepted = [], []
        for groups in GROUPS:
            f = measure(kind, groups)
            accepted.append((f.theta, f.frozen))
            rows.append(
                (f"{groups:,}", f"{f.theta:.2f}", f"{f.u:.2f}", f"{f.theta_ess:.2f}",
                 f"{f.u_ess:.2f}", f"{f.worst_u:.2f}", f"{f.frozen:.2f}", f"{f.laplace_theta:.2f}",
                 f"{f.laplace_frozen:.2f}",
                 f"{f.laplace:.2f}", f"{f.centre:.2f}", f"{f.fit_seconds:.2f}",
                 f"{1e3 * f.draw_seconds:.2f}",
                 f"{min(f.theta_ess, f.u_ess) / f.draw_seconds:,.0f}")
            )  # fmt: skip
            print(kind, groups, "done", file=sys.stderr)
        report(formula)
        report.table(
            ("groups", "accept", "of u", "ESS/draw", "of u", "all u", "no warm-up",
             "Laplace: accept", "no warm-up", "mode off, sd", "centre off, sd", "fit s",
             "ms/sweep", "ESS/s"),
            rows,
        )  # fmt: skip
        fell = [
            last < MAX_FALL * first for first, last in zip(accepted[0], accepted[-1], strict=True)
        ]
        good &= not any(fell)
    report("acceptance does not fall" if good else "ACCEPTANCE FALLS")
    report.save()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
