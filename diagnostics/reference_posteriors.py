"""Posteriors against long runs of other software, by every sampler that takes the model.

Each is held against the reference, and all others against `nuts`.

Worst figures over the parameters of a model: |z| with the Monte Carlo errors of both sides, then,
for parameters with 4,000 effective draws on both sides, difference of means in sd, ratio of sds
furthest from 1, and difference of the 5% and 95% quantiles in sd.
"""

import math
import sys
import time

from references import MIN_ESS, REFERENCES, Moments, disagreements, draws_of, samplers_of

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


def main() -> int:
    """Sample every reference by each sampler that takes its model."""
    options = parser(__doc__)
    options.add_argument("--model", action="append", default=[], help="name; repeatable")
    options.add_argument("--sampler", action="append", default=[], help="beside nuts; repeatable")
    arguments = options.parse_args()
    report = Report("reference_posteriors", keep=not arguments.no_save)
    lines, broken, worst = [], [], dict[str, tuple[float, str]]()
    for reference in REFERENCES:
        if arguments.model and reference.name not in arguments.model:
            continue
        model, known, found = reference.model(), reference.known(), dict[str, dict[str, Moments]]()
        for sampler in samplers_of(model, AGAINST):
            if arguments.sampler and sampler not in (AGAINST, *arguments.sampler):
                continue
            begun = time.process_time()
            draws = draws_of(reference.name, sampler)
            post = model.sample(sampler=sampler, draws=draws, seed=SEED, progress=False)
            seconds = f"{time.process_time() - begun:.1f}"
            found[sampler] = reference.ours(post)
            for against, other in (("reference", known), (AGAINST, found[AGAINST])):
                if against == sampler:
                    continue
                lost = disagreements(found[sampler], other)
                name = f"{reference.name}, {sampler}"
                broken += [f"{name} against {against}: {line}" for line in lost]
                figures = row(found[sampler], other)
                verdict = "no" if lost else "yes"
                lines.append((name, against, *figures, seconds, verdict))
                key = f"{sampler} against {against}"
                worst[key] = max(worst.get(key, (0.0, "")), (float(figures[1]), reference.name))
                seconds = ""
    report.table(COLUMNS, lines)
    for key, (z, name) in worst.items():
        report(f"worst |z| of {key}: {z:.2f} ({name})")
    for line in broken:
        report(line)
    report(f"{sum(line[-1] == 'yes' for line in lines)} of {len(lines)} comparisons agree")
    report.save()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
