"""Cases that are hard for the crossed Gibbs sampler: how it moves, and what it says of itself.

Default runs. Smallest bulk ESS of the scalars over draws, and which it is of; largest R-hat of all
parameters; longest run of rejections; chains that warm-up changed; whether the verdict is good; and
the largest |z| of all parameters against `nuts`.

Run as ``python -m diagnostics.crossed_hard [--only NAME]``; some five minutes.
"""

import sys
import warnings
from collections.abc import Callable

import numpy as np

import bayesglmm as bg
from bayesglmm.crosscheck import compare
from bayesglmm.model import Model

from .report import Report, parser

SEED, NUTS_DRAWS = 50, 2000
PRIORS = {"Intercept": bg.Normal(0, 5), "b": bg.Normal(0, 5), "sd": bg.HalfStudentT(3, 2.5)}
Levels = tuple[tuple[str, int, tuple[float, ...]], ...]


def simulate(
    rows: int, levels: Levels, family: str, terms: str, *, p: int = 2, huge: float = 0.0
) -> Model:
    """Crossed factors (name, levels, sds of intercept and slopes); a share `huge` in one level."""
    rng = np.random.default_rng([SEED, rows, p, len(levels)])
    f = {f"x{k}": rng.normal(size=rows) for k in range(1, p)}
    eta = 0.3 + 0.4 * f["x1"]
    for name, J, sds in levels:
        index = rng.integers(J, size=rows)
        index[rng.random(rows) < huge] = 0
        huge = 0.0
        eta += sum(
            sd * rng.normal(size=J)[index] * (1.0 if k == 0 else f[f"x{k}"])
            for k, sd in enumerate(sds)
        )
        f[name] = index.astype(str)
    return _respond(f, eta, family, " + ".join([*(f"x{k}" for k in range(1, p)), terms]), rng)


def deep(rows: int, family: str, sds: tuple[float, ...]) -> Model:
    """Schools of 4 classes of 5 pupils, and of rows where the last sd is of each row."""
    rng = np.random.default_rng([SEED, rows, len(sds)])
    pupil = np.arange(rows) % (rows // 4)
    klass = pupil // 5
    places = (klass // 4, klass, pupil, np.arange(rows))
    x = rng.normal(size=rows)
    eta = 0.3 + 0.4 * x
    for index, sd in zip(places, sds, strict=False):
        eta += sd * rng.normal(size=int(index.max()) + 1)[index]
    names = ("s", "c", "p", "r")[: len(sds)]
    f = dict(zip(("s", "c", "p", "r"), places, strict=True)) | {"x": x}
    return _respond(f, eta, family, f"x + (1 | {' / '.join(names)})", rng)


def _respond(
    f: dict[str, np.ndarray], eta: np.ndarray, family: str, terms: str, rng: np.random.Generator
) -> Model:
    y = {
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "bernoulli": lambda: (rng.random(eta.size) < 1.0 / (1.0 + np.exp(-eta))).astype(float),
        "negative_binomial": lambda: rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, eta.size)),
    }[family]()
    return bg.glmm(f"y ~ {terms}", f | {"y": y}, family, priors=PRIORS)


A, B = ("a", 30, (0.6,)), ("b", 20, (0.5,))
TWO = "(1 | a) + (1 | b)"
FAR = {"sd(Intercept|a)": 20.0, "sd(Intercept|b)": 0.001, "Intercept": 3.0}
CASES: dict[str, tuple[Callable[[], Model], dict[str, float] | None]] = {
    "far start, Poisson": (lambda: simulate(600, (A, B), "poisson", TWO), FAR),
    "far start, binary": (lambda: simulate(600, (A, B), "bernoulli", TWO), FAR),
    "5 levels each": (
        lambda: simulate(150, (("a", 5, (0.6,)), ("b", 5, (0.5,))), "poisson", TWO),
        None,
    ),
    "5 levels each, binary": (
        lambda: simulate(150, (("a", 5, (0.6,)), ("b", 5, (0.5,))), "bernoulli", TWO),
        None,
    ),
    "an sd near 0": (
        lambda: simulate(600, (A, ("b", 20, (0.01,))), "poisson", TWO),
        None,
    ),
    "both sds near 0, binary": (
        lambda: simulate(600, (("a", 30, (0.01,)), ("b", 20, (0.01,))), "bernoulli", TWO),
        None,
    ),
    "large sds, binary": (
        lambda: simulate(1200, (("a", 60, (5.0,)), ("b", 40, (4.0,))), "bernoulli", TWO),
        None,
    ),
    "one huge level": (
        lambda: simulate(6000, (("a", 400, (0.6,)), B), "poisson", TWO, huge=0.6),
        None,
    ),
    "p = 20": (lambda: simulate(800, (A, B), "bernoulli", TWO, p=20), None),
    "q = 3": (
        lambda: simulate(
            1500,
            (("a", 40, (0.6, 0.4, 0.3)), B),
            "poisson",
            "(x1 + x2 | a) + (1 | b)",
            p=3,
        ),
        None,
    ),
    "q = 3, q = 2, binary": (
        lambda: simulate(
            3000,
            (("a", 60, (0.8, 0.5, 0.1)), ("b", 40, (0.6, 0.4))),
            "bernoulli",
            "(x1 + x2 | a) + (x1 | b)",
            p=3,
        ),
        None,
    ),
    "4 crossed": (
        lambda: simulate(
            1500,
            (A, B, ("c", 15, (0.3,)), ("d", 8, (0.4,))),
            "negative_binomial",
            "(1 | a) + (1 | b) + (1 | c) + (1 | d)",
        ),
        None,
    ),
    "school / class / pupil": (lambda: deep(1600, "bernoulli", (0.5, 0.5, 0.8)), None),
    "four deep, counts": (lambda: deep(800, "poisson", (0.4, 0.4, 0.4, 0.4)), None),
}


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--only", action="append", default=[], help="part of a name; repeatable")
    arguments = options.parse_args()
    report = Report("crossed_hard", not arguments.no_save)
    lines, changes, silent = [], [], []
    for name, (make, init) in CASES.items():
        if arguments.only and not any(part in name for part in arguments.only):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # verdicts are kept; factors of few levels are crossed
            model = make()
            post = model.sample(sampler="gibbs", seed=SEED, init=init, jobs=1, progress=False)
            other = model.sample(
                sampler="nuts", draws=NUTS_DRAWS, seed=SEED, jobs=1, progress=False
            )
        rows, check = post.summary(), compare(post, other)
        ess = rows["ess_bulk"]
        z = float(np.abs(check.differences.values["z"]).max())
        good = post.verdict.ok
        lines.append(
            (
                name,
                f"{ess.min() / (post.chains * post.draws):.3f}",
                str(ess.idxmin()),
                f"{max(i.value for i in post.verdict.checks if i.check == 'R-hat'):.3f}",
                f"{post.stats['stuck_run'].max():.0f}",
                f"{len(post.run.changes)}",
                "good" if good else "not",
                f"{z:.2f}" + ("" if check.ok else "!"),
            )
        )
        print("  ".join(lines[-1]), file=sys.stderr, flush=True)
        changes += [f"{name}: {text}" for text in post.run.changes]
        if good and check.differences.disagree.any():
            silent.append(f"{name}: {check.verdict}")
    report.table(("case", "ESS/draw", "of", "R-hat", "stuck", "changes", "verdict", "|z|"), lines)
    for line in (*changes, *silent):
        report(line)
    report(f"{len(silent)} cases with a good verdict that nuts contradicts")
    report.save()
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
