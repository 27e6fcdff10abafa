"""Coverage of 90% intervals at fixed true values, under weak priors.

Not what a posterior promises (that is `sbc`), but what many readers of one take its intervals for.
500 data sets of each of 6 designs are simulated at the same coefficients and sds; of each the
default sampler draws one chain, and the interval from the 5% to the 95% quantile of each
coefficient and sd covers its true value or not. With an exact 90% the share of 500 lies in
.846 - .954 but for one in 16,000 (4 binomial standard errors).

Run as ``python -m diagnostics.interval_coverage [--sets N] [--runs FILE]``; the data sets are kept
one a line in the file ``--runs``, and those that are there are not run again.
"""

import json
import math
import sys
import tempfile
import warnings
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import bayesglmm as bg
from bayesglmm import chains, families
from bayesglmm.choice import choose
from bayesglmm.model import Model

from .report import Report, parser
from .sbc_runs import program_of, with_response

RUNS = Path(tempfile.gettempdir()) / "bayesglmm-interval-coverage.jsonl"
SETS = 500
SEED = 16
NOMINAL = 0.9
STANDARD_ERRORS = 4.0
WARMUP, DRAWS = 400, 800
BETA = (0.4, 0.5, -0.3)  # Intercept, x, w
PRIORS: dict[str, Any] = {
    "Intercept": bg.Normal(0, 5),
    "b": bg.Normal(0, 5),
    "sd": bg.HalfStudentT(3, 2.5),
}


class Effects(NamedTuple):
    """Effects of a factor: levels, sds of the intercept and of x, their correlation."""

    levels: int
    sd: tuple[float, ...]
    cor: float = 0.0


class Design:
    """What is simulated, and fitted by the same model."""

    def __init__(
        self,
        name: str,
        family: str,
        terms: str,
        effects: dict[str, Effects],
        rows: int,
        phi: float = 1.0,
        left: str = "y",
        priors: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.family, self.effects, self.phi = name, family, effects, phi
        self.formula = f"{left} ~ x + w + {terms}"
        self.priors = PRIORS | (priors or {})
        rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        levels = [e.levels for e in effects.values()]
        # Rows of each level of the first factor; those of others at random.
        first = np.repeat(np.arange(levels[0]), rows)
        self.level = [first, *(rng.integers(J, size=first.size) for J in levels[1:])]
        self.x = rng.normal(size=first.size)
        self.w = rng.integers(2, size=first.size).astype(float)
        self.trials = rng.integers(2, 9, size=first.size)

    @cached_property
    def truth(self) -> dict[str, float]:
        """True values by row name."""
        out = dict(zip(("Intercept", "x", "w"), BETA, strict=True))
        for group, one in self.effects.items():
            names = ("Intercept", "x")[: len(one.sd)]
            out |= {f"sd({n}|{group})": s for n, s in zip(names, one.sd, strict=True)}
        return out

    @cached_property
    def model(self) -> Model:
        """The model, of the first data set: priors are numbers, so of all."""
        columns: dict[str, Any] = {"x": self.x, "w": self.w, "m": self.trials}
        columns |= {
            g: [f"{g}{k:02d}" for k in level]
            for g, level in zip(self.effects, self.level, strict=True)
        }
        columns["y"] = self.simulate(np.random.default_rng([SEED, zlib.crc32(b"first")]))
        return bg.glmm(self.formula, columns, self.family, priors=self.priors)

    def simulate(self, rng: np.random.Generator) -> np.ndarray:
        """Responses with new effects, at the true values."""
        eta = BETA[0] + BETA[1] * self.x + BETA[2] * self.w
        for one, level in zip(self.effects.values(), self.level, strict=True):
            z = rng.normal(size=(one.levels, 2))
            eta += one.sd[0] * z[level, 0]
            if len(one.sd) > 1:
                slope = one.cor * z[:, 0] + math.sqrt(1.0 - one.cor**2) * z[:, 1]
                eta += one.sd[1] * slope[level] * self.x
        trials = self.trials if self.family == "binomial" else None
        return families.get(self.family).draw(rng, eta, self.phi, trials)

    def covered(self, number: int) -> list[int]:
        """Whether each interval covers its true value, for one data set."""
        rng = np.random.default_rng([SEED, zlib.crc32(self.name.encode()), number])
        model = with_response(self.model, self.simulate(rng))
        program, warmup = program_of(model, choose(model).sampler, WARMUP)
        run = chains.run(
            program,
            seed=int(rng.integers(2**31)),
            chains=1,
            draws=DRAWS,
            warmup=warmup,
            jobs=1,
            progress=False,
        )
        values = model.to_user(run.theta[0], None)
        draws = np.concatenate([values["beta"], values["sd"]], axis=1)
        low, high = np.quantile(draws, [0.5 - 0.5 * NOMINAL, 0.5 + 0.5 * NOMINAL], axis=0)
        names = (*model.names.fixed, *model.names.sd)
        true = np.array([self.truth[name] for name in names])
        return [int(one) for one in (low <= true) & (true <= high)]


COUNT = {"size": bg.InverseSqrt(bg.HalfNormal(1.0))}
SIGMA = {"sigma": bg.HalfStudentT(3, 2.5)}
DESIGNS = (
    Design("gaussian, 1|g", "gaussian", "(1 | g)", {"g": Effects(30, (0.7,))}, 6, priors=SIGMA),
    Design(
        "gaussian, x|g",
        "gaussian",
        "(x | g)",
        {"g": Effects(30, (0.8, 0.5), 0.3)},
        8,
        priors=SIGMA,
    ),
    Design("bernoulli, 1|g", "bernoulli", "(1 | g)", {"g": Effects(40, (1.0,))}, 10),
    Design(
        "binomial, crossed",
        "binomial",
        "(1 | g) + (1 | h)",
        {"g": Effects(30, (0.8,)), "h": Effects(15, (0.6,))},
        8,
        left="y | trials(m)",
    ),
    Design("poisson, x|g", "poisson", "(x | g)", {"g": Effects(35, (0.6, 0.4), -0.3)}, 8),
    Design(
        "negative binomial, 1|g",
        "negative_binomial",
        "(1 | g)",
        {"g": Effects(35, (0.6,))},
        10,
        phi=3.0,
        priors=COUNT,
    ),
)


def read(runs: Path) -> dict[tuple[str, int], list[int]]:
    """What covers what, by design and number."""
    known = {}
    for text in runs.read_text(encoding="utf-8").splitlines() if runs.exists() else ():
        name, number, covered = json.loads(text)
        known[name, number] = covered
    return known


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--sets", type=int, default=SETS)
    options.add_argument("--runs", type=Path, default=RUNS)
    arguments = options.parse_args()
    report = Report("interval_coverage", keep=not arguments.no_save)
    known, n = read(arguments.runs), arguments.sets
    width = STANDARD_ERRORS * math.sqrt(NOMINAL * (1.0 - NOMINAL) / n)
    low, high = NOMINAL - width, NOMINAL + width
    rows, good = [], True
    for number in range(n):  # all designs grow together
        for design in DESIGNS:
            if (design.name, number) in known:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a fit that is only where a chain starts
                known[design.name, number] = covered = design.covered(number)
            with arguments.runs.open("a", encoding="utf-8") as file:
                file.write(json.dumps([design.name, number, covered]) + "\n")
    for design in DESIGNS:
        shares = np.mean([known[design.name, number] for number in range(n)], axis=0)
        names = (*design.model.names.fixed, *design.model.names.sd)
        for name, share in zip(names, shares, strict=True):
            inside = low <= share <= high
            good &= bool(inside)
            sampler = choose(design.model).sampler
            row = (f"{design.name}: {name}", sampler, f"{design.truth[name]:.2f}", f"{share:.3f}")
            rows.append((*row, "" if inside else "OUTSIDE"))
    report.table(("design", "sampler", "true value", "covered", ""), rows)
    report(f"{len(DESIGNS)} designs, {n} data sets each, nominal {NOMINAL:.0%}; "
           f"{'all' if good else 'NOT all'} within {low:.3f} - {high:.3f}")  # fmt: skip
    report.save()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
