"""Wrong densities and broken samplers, and how many replicates it takes until calibration is red.

A wrong density is a model whose priors or data are changed before it is sampled from; a broken
sampler is a copy of the package with one line changed, compiled. Replicates are added by 100 until
a quantity has p < .005 and the second stage, other seeds and twice as many, finds it again (the
rule of `sbc`); at most 1,000.

Run as ``python -m diagnostics.sbc_mutants [--only PART]``.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import bayesglmm as bg
from bayesglmm.model import Model

from . import ROOT, sbc_runs
from .kept import Kept
from .report import Report, parser
from .sbc import RED, TIMES, Quantity, judge, replicates_of
from .sbc_cells import LKJ, WISHART
from .sbc_runs import Key, Line

STEP, MOST = 100, 1000  # replicates
EXACT = 1e-12  # smaller p are rounding of 1 - p
Change = Callable[[Model], Model]


def with_data(model: Model, data: Any) -> Model:
    """The model with other arrays for compiled code to read."""
    changed = replace(model)
    changed.__dict__["problem"] = model.problem._replace(data=data)  # what is cached there
    return changed


def wider_sds(factor: float) -> Change:
    """Scales of half-t sds multiplied."""

    def change(model: Model) -> Model:
        terms = tuple(
            replace(t, sd=tuple(bg.HalfStudentT(s.df, factor * s.scale) for s in t.sd))
            for t in model.priors.terms
        )
        return replace(model, priors=replace(model.priors, terms=terms))

    return change


def lkj(eta: float) -> Change:
    """Another LKJ density."""

    def change(model: Model) -> Model:
        terms = tuple(replace(t, cor=bg.LKJ(eta)) for t in model.priors.terms)
        return replace(model, priors=replace(model.priors, terms=terms))

    return change


def wishart(df: float = 0.0, scale: float = 1.0, off: float = 1.0) -> Change:
    """Degrees of freedom added, scale and its off-diagonal multiplied."""

    def other(prior: Any) -> Any:
        matrix = [
            [scale * value * (1.0 if k == l else off) for l, value in enumerate(row)]
            for k, row in enumerate(prior.scale)
        ]
        return bg.InverseWishart(prior.df + df, matrix)

    def change(model: Model) -> Model:
        terms = tuple(replace(t, sigma=other(t.sigma)) for t in model.priors.terms)
        return replace(model, priors=replace(model.priors, terms=terms))

    return change


def wider_slope(factor: float) -> Change:
    """Standard deviation of the slope's prior multiplied."""

    def change(model: Model) -> Model:
        first, slope = model.priors.beta
        beta = (first, bg.Normal(slope.mean, factor * slope.sd))
        return replace(model, priors=replace(model.priors, beta=beta))

    return change


def dispersion(prior: Any) -> Change:
    """Another prior of the dispersion."""
    return lambda model: replace(model, priors=replace(model.priors, dispersion=prior))


def no_offset(model: Model) -> Model:
    """Offset forgotten."""
    data = model.problem.data
    obs = data.obs._replace(offset=0.0 * data.obs.offset)
    return with_data(model, data._replace(obs=obs))


def index_off_by_one(model: Model) -> Model:
    """Rows of the second factor at the level after their own."""
    data = model.problem.data
    level = data.level.copy()
    level[1] = (level[1] + 1) % data.levels[1]
    return with_data(model, data._replace(level=level))


def one_trial_more(model: Model) -> Model:
    """Binomial with a trial too many in each row."""
    data = model.problem.data
    return with_data(model, data._replace(obs=data.obs._replace(w=data.obs.w + 1.0)))


class Density(NamedTuple):
    """A wrong density."""

    name: str
    cell: str
    sampler: str
    change: Change


class Kernel(NamedTuple):
    """A line of a sampler, and what stands there instead."""

    name: str
    cell: str
    sampler: str
    file: str
    old: str
    new: str


MUTANTS: tuple[Density | Kernel, ...] = (
    Density("scale of the sd's prior x 1.3", f"gaussian, 1|g, {LKJ}", "gibbs", wider_sds(1.3)),
    Density("scale of the sds' priors x 1.3", f"poisson, crossed, {LKJ}", "nuts", wider_sds(1.3)),
    Density("LKJ(1) for LKJ(2)", f"poisson, x|g, {LKJ}", "gibbs", lkj(1.0)),
    Density("inverse-Wishart scale x 1.3", f"poisson, x|g, {WISHART}", "gibbs", wishart(scale=1.3)),
    Density("inverse-Wishart df + 1", f"poisson, x|g, {WISHART}", "nuts", wishart(df=1.0)),
    Density(
        "inverse-Wishart scale without its off-diagonal",
        f"poisson, x|g, {WISHART}",
        "gibbs",
        wishart(off=0.0),
    ),
    Density("sd of the slope's prior x 1.3", f"bernoulli, 1|g, {LKJ}", "gibbs", wider_slope(1.3)),
    Density(
        "scale of 1/sqrt(size) x 1.4",
        f"negative_binomial, 1|g, {LKJ}",
        "nuts",
        dispersion(bg.InverseSqrt(bg.HalfNormal(0.7))),
    ),
    Density("offset dropped", f"poisson, 1|g, {LKJ}", "gibbs", no_offset),
    Density("group index off by one", f"poisson, crossed, {LKJ}", "nuts", index_off_by_one),
    Density("one trial too many", f"binomial, 1|g, {LKJ}", "gibbs", one_trial_more),
    Kernel(
        "no Hastings term of theta",
        f"bernoulli, 1|g, {LKJ}",
        "gibbs",
        "conditionals/transport.py",
        "return power * (math.log1p(new_square / df) - math.log1p(old_square / df))",
        "return 0.0 * power",
    ),
    Kernel(
        "effects left behind by a centred coefficient",
        f"bernoulli, 1|g, {LKJ}",
        "gibbs",
        "conditionals/centring.py",
        "u[k, g] -= centre.W[a, k, g] * step",
        "u[k, g] -= 0.0 * centre.W[a, k, g] * step",
    ),
)


def lines_of(one: Density, stage: int, numbers: Sequence[int]) -> list[Line]:
    """Replicates of a wrong density."""
    keys = [Key(one.cell, one.sampler, stage, number) for number in numbers]
    return replicates_of(keys, lambda key: sbc_runs.replicate(key, one.change))


def found(lines: Callable[[int, Sequence[int]], list[Line]]) -> tuple[int, list[Quantity], int]:
    """Replicates until red in both stages, the quantities that are red then, and failures.

    `lines` makes the replicates of a stage with some numbers.
    """
    first: list[Line] = []
    again: list[Line] = []
    while len(first) < MOST:
        first += lines(1, range(len(first), len(first) + STEP))
        failures = sum(bool(line.failure) for line in first)
        if failures:
            return len(first), [], failures
        if any(q.first for q in judge(first)):
            again += lines(2, range(len(again), TIMES * len(first)))
            red = [q for q in judge([*first, *again]) if q.verdict == RED]
            if red:
                return len(first), red, 0
    return len(first), [], 0


def broken_copy(one: Kernel, folder: Path) -> None:
    """Put the package with the line changed, and the diagnostics, into a folder."""
    copy = folder / "bayesglmm"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("bayesglmm", "diagnostics", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    source = (copy / one.file).read_text(encoding="utf-8")
    if source.count(one.old) != 1:
        raise ValueError(f"{one.old!r} must stand once in {one.file}")
    (copy / one.file).write_text(source.replace(one.old, one.new), encoding="utf-8")


def in_copy(one: Kernel, folder: Path) -> Callable[[int, Sequence[int]], list[Line]]:
    """Replicates that are made by the package in a folder."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "BAYESGLMM_CACHE_DIR": str(folder / "cache"),
    }

    def lines(stage: int, numbers: Sequence[int]) -> list[Line]:
        runs = folder / f"{stage}.jsonl"
        keys = [Key(one.cell, one.sampler, stage, number) for number in numbers]
        text = (
            "from pathlib import Path\n"
            "from diagnostics import sbc, sbc_runs\n"
            f"keys = [sbc_runs.Key(*key) for key in {[tuple(key) for key in keys]}]\n"
            f"sbc_runs.append(Path({str(runs)!r}), sbc.replicates_of(keys))\n"
        )
        subprocess.run([sys.executable, "-c", text], cwd=folder, env=environment, check=True)
        known = sbc_runs.read(runs)
        return [known[key] for key in keys]

    return lines


def look(one: Density | Kernel) -> tuple[bool, tuple[str, ...]]:
    """Whether a mutant is caught, and its row of the table."""
    begun = sum(os.times()[:4])  # CPU seconds, those of processes that have ended too
    if isinstance(one, Kernel):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            broken_copy(one, folder)
            n, red, failures = found(in_copy(one, folder))
    else:
        n, red, failures = found(lambda stage, ks: lines_of(one, stage, ks))
    seconds = f"{sum(os.times()[:4]) - begun:.0f}"
    red = sorted(red, key=lambda q: q.p_again)
    caught = bool(red) or failures > 0
    by = ", ".join(q.name for q in red[:3]) or (f"{failures} failed" if failures else "NOT CAUGHT")
    p = "-"
    if red:
        p = f"{red[0].p_again:.0e}" if red[0].p_again > EXACT else f"< {EXACT}"
    return caught, (one.name, one.cell, one.sampler, str(n), str(len(red)), by, p, seconds)


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--only", action="append", default=[], help="part of a name; repeatable")
    options.add_argument("--state", type=Path, help="rows of a run that was stopped; goes on there")
    arguments = options.parse_args()
    report = Report("sbc_mutants", keep=not arguments.no_save)
    kept = Kept(arguments.state, lambda line: line[1][0])
    rows, caught = [], 0
    for one in MUTANTS:
        if arguments.only and not any(part in one.name for part in arguments.only):
            continue
        good, row = kept.get(one.name, partial(look, one))
        rows.append(row)
        caught += good
    report()
    head = ("mutant", "cell", "sampler", "replicates", "red twice", "worst", "p again", "CPU")
    report.table(head, rows)
    report(f"{caught} of {len(rows)} caught")
    report.save()
    return 0 if caught == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
