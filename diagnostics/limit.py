"""What a sweep of the one-factor sampler costs, against what the machine could do.

A pass goes once through the rows: the linear predictor, the family's functions, sums by group. The
bound of a pass is what its arrays take at the memory's bandwidth and its exponentials at the cost
of the package's own loop, both measured here, with nothing for anything else. An IWLS pass is that
of the centred moves: scores and weights, and the Newton step of every group. Passes an iteration
count the calls of the family's functions for all rows: two for a block of theta with a Newton step
(one where the moments of the effects are linear in theta), one for the effects, and one for centred
moves (none where linear). What an effective draw costs is of the worst quantity: beta, sd, cor,
dispersion, and effects (all, or 40 of more than 120). CPU seconds on one core.

The goals: a pass within twice its bound from 500 groups up, and 6 passes an effective draw. With
fewer groups a pass is some thirty loops over so few numbers that beginning each of them counts, and
the bound says little.

Run as ``python -m diagnostics.limit``; two minutes. Ends with code 1 if a pass misses its goal.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
from references import REFERENCES

import bayesglmm as bg
from bayesglmm import covariance, families
from bayesglmm._jit import entry, pointer, typeof, types
from bayesglmm._simd import exp
from bayesglmm.conditionals import guess, passes, transport
from bayesglmm.density import DATA_TYPE, dispersion
from bayesglmm.lanes import make_work
from bayesglmm.model import Model
from bayesglmm.programs import GibbsProgram

from .report import Report, parser
from .runs import centre_of, gibbs, run, smallest_ess
from .speed import slope_model

CHAINS, WARMUP, ROWS_DRAWN = 4, 1000, 4e8  # draws so many that they go through so many rows
FEWEST, MOST = 500, 10_000
SEED = 50
EXP_BY_DESIGN = 0.3  # ns an exponential
MANY_GROUPS, WITHIN, FEW_PASSES = 500, 2.0, 6.0  # goals
BYTES = 2**28  # copied to find the bandwidth
EXPS, REPEATS = 4096, 2000
SECONDS = 0.3  # that a pass is repeated for


@entry(lambda: types.void(types.float64[::1], types.float64[::1], types.int64), cache=False)
def exponentials(x, out, times):
    """Fill out with exponentials, many times."""
    for t in range(times):
        x[t % x.size] += 1e-9
        for i in range(x.size):
            out[i] = exp(x[i])


@entry(
    lambda: types.void(
        families.ROWS_TYPE,
        DATA_TYPE,
        typeof(passes.no_guess()),
        typeof(transport.new_state(np.zeros(2, dtype=np.uint64), 1, 1, 1)),
        types.int64,
    ),
    cache=False,
)
def iwls_passes(rows, data, newton, state, times):
    """Carry the groups to the current theta again, with the effects held."""
    q, p = data.obs.Z.shape[0], data.obs.X.shape[0]
    m, side = data.prior.covariance.row.size, state.flag[passes.SIDE]
    work, L, theta = make_work(data.obs.lanes, q), np.zeros((q, q)), state.theta[side]
    covariance.fill_L(data.prior.covariance, theta[p : p + m], L)
    phi = dispersion(data.prior, theta)
    for _ in range(times):
        passes.carry(rows, data.obs, newton, L, phi, theta, 1, side, state, work)


def simulated(groups: int, rows: int, family: str) -> Model:
    """A random intercept, one coefficient within groups and one between."""
    rng = np.random.default_rng([SEED, groups])
    g = np.repeat(np.arange(groups), rows)
    x, b = rng.normal(size=g.size), rng.normal(size=groups)[g]
    eta = 0.3 + 0.5 * x - 0.3 * b + 0.7 * rng.normal(size=groups)[g]
    mu = np.exp(eta)
    y = rng.poisson(mu) if family == "poisson" else rng.random(g.size) < mu / (1.0 + mu)
    priors = {"Intercept": bg.Normal(0, 10), "b": bg.Normal(0, 10), "sd": bg.HalfStudentT(3, 2.5)}
    frame = {"y": y.astype(float), "x": x, "b": b, "g": g}
    return bg.glmm("y ~ x + b + (1 | g)", frame, family, priors=priors)


def models() -> dict[str, Callable[[], Model]]:
    """The models by name."""
    reference = {r.name: r.model for r in REFERENCES}
    return {
        "epil": reference["epil"],
        "epilepsy slope": slope_model,
        "cbpp": reference["cbpp"],
        "sleepstudy": reference["sleep"],
        "sim_logit 500 x 10": reference["simlogit"],
        "Bernoulli 10,000 x 10": lambda: simulated(10_000, 10, "bernoulli"),
        "Poisson 100,000 x 10": lambda: simulated(100_000, 10, "poisson"),
    }


def bandwidth() -> float:
    """Bytes a second that a copy reads and writes."""
    source, target = np.ones(BYTES // 8), np.empty(BYTES // 8)
    best = np.inf
    for _ in range(5):
        begun = time.thread_time()
        np.copyto(target, source)
        best = min(best, time.thread_time() - begun)
    return 2 * BYTES / best


def exp_seconds() -> float:
    """Seconds of an exponential of the package in a loop."""
    x, out = np.linspace(-5.0, 5.0, EXPS), np.empty(EXPS)
    exponentials(x, out, 1)
    best = np.inf
    for _ in range(5):
        begun = time.thread_time()
        exponentials(x, out, REPEATS)
        best = min(best, time.thread_time() - begun)
    return best / (EXPS * REPEATS)


def pass_seconds(program: GibbsProgram, newton: passes.Guess) -> float:
    """Seconds of an IWLS pass."""
    state = program.start(np.array([SEED, 0], dtype=np.uint64), 0)
    chain = transport.State(**{k: state[k] for k in transport.State._fields})
    rows = pointer(program.rows)
    iwls_passes(rows, program.data, newton, chain, 1)
    times, spent = 1, 0.0
    while spent < SECONDS:
        times *= 2
        begun = time.thread_time()
        iwls_passes(rows, program.data, newton, chain, times)
        spent = time.thread_time() - begun
    return spent / times


def pass_bytes(program: GibbsProgram) -> float:
    """Bytes that an IWLS pass reads and writes, each once."""
    obs, q, d, J = program.data.obs, program.q, program.dim, program.J
    columns = 3 + obs.X.shape[0] + int((obs.ones == 0).sum())
    own = q * (1 + d) + 2 * q + q + q * (q + 1) // 2 + 2  # guess, z and center, v, C, likelihoods
    return 8.0 * (columns * obs.y.size + own * J)


def per_iteration(program: GibbsProgram) -> float:
    """Passes an iteration."""
    linear = program.guess.factors.shape[2] > 0
    blocks = len(program.edges) + len(program.walks) / program.walk_every
    return blocks * (1 if linear else 2) + 1 + (0 if linear else 1) / program.every


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--only", help="part of the name of a model")
    arguments = options.parse_args()
    report = Report("limit", not arguments.no_save)
    speed, cost = bandwidth(), exp_seconds()
    report(f"bandwidth {speed / 1e9:.1f} GB/s; an exponential {1e9 * cost:.2f} ns, by design "
           f"{EXP_BY_DESIGN}\n")  # fmt: skip
    table, ratios, needed = [], {}, {}
    for name, make in models().items():
        if arguments.only is not None and arguments.only not in name:
            continue
        model = make()
        _, mode, _ = centre_of(model)
        program = gibbs(model, mode)(WARMUP)
        n = program.data.obs.y.size
        draws = int(np.clip(ROWS_DRAWN / (n * CHAINS * 4), FEWEST, MOST))
        result = run(gibbs(model, mode), chain_count=CHAINS, warmup=WARMUP, draws=draws, seed=SEED)
        ess = smallest_ess(model, result.draws) / result.count
        sweep = result.seconds["sampling"] / result.count
        one = pass_seconds(program, guess.newton(mode.map))
        moved, each = pass_bytes(program) / speed, per_iteration(program)
        bound, by_design = moved + n * cost, moved + n * EXP_BY_DESIGN * 1e-9
        needed[name] = each / ess
        if program.J >= MANY_GROUPS:
            ratios[name] = one / bound
        table.append(
            (name, f"{1e6 * one:,.1f}", f"{1e6 * bound:,.1f}", f"{one / bound:.2f}",
             f"{one / by_design:.2f}",
             "linear" if program.guess.factors.shape[2] > 0 else "Newton",
             f"{1e6 * sweep:,.1f}", f"{each:.2f}", f"{1e6 * sweep / each:,.1f}",
             f"{sweep / each / bound:.2f}", f"{ess:.3f}", f"{each / ess:.1f}")
        )  # fmt: skip
        print(*table[-1], sep=" | ", file=sys.stderr)
    report.table(
        ("model", "IWLS us", "bound", "ratio", "at .3 ns", "map", "sweep us", "passes", "us a pass",
         "of bound", "ESS/draw", "passes an effective draw"),
        table,
    )  # fmt: skip
    near = all(ratio <= WITHIN for ratio in ratios.values())
    shown = "; ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    report(f"\nA pass within {WITHIN:.0f} times its bound from {MANY_GROUPS} groups up: "
           f"{'reached' if near else 'MISSED'} ({shown})")  # fmt: skip
    for word, good in (("reached", True), ("missed", False)):
        names = [f"{name} {n:.1f}" for name, n in needed.items() if (n <= FEW_PASSES) is good]
        if names:
            report(f"{FEW_PASSES:.0f} passes an effective draw, {word}: {'; '.join(names)}")
    report.save()
    return 0 if near else 1


if __name__ == "__main__":
    sys.exit(main())
