"""Posteriors against long runs of other software, by every sampler that takes the model.

Each is held against the reference, and all others against `nuts`.

Worst figures over the parameters of a model: |z| with the Monte Carlo errors of both sides, then,
for parameters with 4,000 effective draws on both sides, difference of means in sd, ratio of sds
furthest from 1, and difference of the 5% and 95% quantiles in sd.
"""

import math
import sys
import time
from collections.abc import Collection, Iterator
from typing import NamedTuple

from references import (
    MIN_ESS,
    REFERENCES,
    Moments,
    Reference,
    disagreements,
    draws_of,
    samplers_of,
)

from .report import Report, parser

AGAINST, SEED = "nuts", 1
COLUMNS = (
    "model",
    "against",
    "parameters",
    "|z|",
    "mean",
    "sd ratio",
    "quantile",
    "min ESS",
    "CPU",
    "agrees",
)


class Line(NamedTuple):
    """A posterior by one sampler beside another of the same model."""

    reference: Reference
    sampler: str
    against: str  # "reference" or a sampler
    cells: tuple[str, ...]  # those of `row`
    seconds: float  # CPU
    broken: list[str]  # what is beyond the rule


def row(ours: dict[str, Moments], known: dict[str, Moments]) -> tuple[str, ...]:
    """Worst figures of one comparison."""
    pairs = [(a, known[name]) for name, a in ours.items()]
    z = max(abs(a.mean - b.mean) / math.hypot(a.mcse, b.mcse) for a, b in pairs)
    shapes = [(a, b) for a, b in pairs if min(a.ess, b.ess) >= MIN_ESS]
    cells = ["-"] * 3
    if shapes:
        mean = max(abs(a.mean - b.mean) / b.sd for a, b in shapes)
        ratio = max((a.sd / b.sd for a, b in shapes), key=lambda r: abs(math.log(r)))
        quantile = max(max(abs(a.q5 - b.q5), abs(a.q95 - b.q95)) / b.sd for a, b in shapes)
        cells = [f"{mean:.3f}", f"{ratio:.3f}", f"{quantile:.3f}"]
    return str(len(pairs)), f"{z:.2f}", *cells, f"{min(a.ess for a, _ in pairs):.0f}"


def lines(models: Collection[str] = (), samplers: Collection[str] = ()) -> Iterator[Line]:
    """Sample references by each sampler that takes their model, or by some, and compare."""
    for reference in REFERENCES:
        if models and reference.name not in models:
            continue
        model, known, found = reference.model(), reference.known(), dict[str, dict[str, Moments]]()
        for sampler in samplers_of(model, AGAINST):
            if samplers and sampler not in (AGAINST, *samplers):
                continue
            begun = time.process_time()
            draws = draws_of(reference.name, sampler)
            post = model.sample(sampler=sampler, draws=draws, seed=SEED, progress=False)
            seconds = time.process_time() - begun
            found[sampler] = reference.ours(post)
            for against, other in (("reference", known), (AGAINST, found[AGAINST])):
                if against != sampler:
                    cells = row(found[sampler], other)
                    broken = disagreements(found[sampler], other)
                    yield Line(reference, sampler, against, cells, seconds, broken)


def main() -> int:
    """Sample every reference by each sampler that takes its model."""
    options = parser(__doc__)
    options.add_argument("--model", action="append", default=[], help="name; repeatable")
    options.add_argument("--sampler", action="append", default=[], help="beside nuts; repeatable")
    arguments = options.parse_args()
    report = Report("reference_posteriors", keep=not arguments.no_save)
    made = list(lines(arguments.model, arguments.sampler))
    worst = dict[str, tuple[float, str]]()
    for line in made:
        key = f"{line.sampler} against {line.against}"
        worst[key] = max(worst.get(key, (0.0, "")), (float(line.cells[1]), line.reference.name))
    report.table(
        COLUMNS,
        [
            (
                f"{line.reference.name}, {line.sampler}",
                line.against,
                *line.cells,
                f"{line.seconds:.1f}" if line.against == "reference" else "",
                "no" if line.broken else "yes",
            )
            for line in made
        ],
    )
    for key, (z, name) in worst.items():
        report(f"worst |z| of {key}: {z:.2f} ({name})")
    for line in made:
        for what in line.broken:
            report(f"{line.reference.name}, {line.sampler} against {line.against}: {what}")
    good = sum(not line.broken for line in made)
    report(f"{good} of {len(made)} comparisons agree")
    report.save()
    return 0 if good == len(made) else 1


if __name__ == "__main__":
    sys.exit(main())
