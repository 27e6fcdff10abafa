"""Posteriors against long runs of other software, and the samplers against each other.

Worst figures over the parameters of a model: |z| with the Monte Carlo errors of both sides, then,
for parameters with 4,000 effective draws on both sides, difference of means in sd, ratio of sds
furthest from 1, and difference of the 5% and 95% quantiles in sd.
"""

import math
import time

from references import MIN_ESS, REFERENCES, Moments, disagreements, draws_of

from .report import Report, parser

COLUMNS = (
    "model",
    "against",
    "parameters",
    "|z|",
    "mean",
    "sd ratio",
    "quantile",
    "min ESS",
    "seconds",
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


def main() -> None:
    """Sample every reference by each sampler that its model has."""
    arguments = parser(__doc__).parse_args()
    report = Report("reference_posteriors", keep=not arguments.no_save)
    lines, broken = [], []
    for reference in REFERENCES:
        model, known, found = reference.model(), reference.known(), {}
        for sampler in ("gibbs", "nuts") if model.design.terms else ("nuts",):
            begun = time.perf_counter()
            draws = draws_of(reference.name, sampler)
            post = model.sample(sampler=sampler, draws=draws, seed=1, progress=False)
            seconds = f"{time.perf_counter() - begun:.1f}"
            found[sampler] = reference.ours(post)
            lost = disagreements(found[sampler], known)
            broken += [f"{reference.name}, {sampler}: {line}" for line in lost]
            name = f"{reference.name}, {sampler}"
            figures = row(found[sampler], known)
            lines.append((name, "reference", *figures, seconds, "no" if lost else "yes"))
        if len(found) == 2:
            lost = disagreements(found["gibbs"], found["nuts"])
            broken += [f"{reference.name}, gibbs against nuts: {line}" for line in lost]
            figures = row(found["gibbs"], found["nuts"])
            lines.append(
                (f"{reference.name}, gibbs", "nuts", *figures, "", "no" if lost else "yes")
            )
    report.table(COLUMNS, lines)
    for line in broken:
        report(line)
    report(f"{sum(line[-1] == 'yes' for line in lines)} of {len(lines)} comparisons agree")
    report.save()


if __name__ == "__main__":
    main()
