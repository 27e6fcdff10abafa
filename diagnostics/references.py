"""Everything known from elsewhere in one table: posteriors and maximum-likelihood fits (R12, R13).

Posteriors: long runs of Stan, posteriordb and exact integrals, by every sampler that takes the
model, and every sampler against `nuts` (R17); then each by a default run, whose verdict has to be
good (R24). Fits: every record of lme4, glmmTMB, MASS and exact pseudo-likelihood by the same method
here. `reference_posteriors` and `ml_references` print the same comparisons in columns.

Limits of posteriors: abs z 4 with both Monte Carlo errors (4.5 for more than 60 parameters) and,
with 4,000 effective draws on both sides, means within .08 sd, sd ratio .94-1.06, 5% and 95%
quantiles within .15 sd; with fewer, means alone. Those of fits: see `ml_references`; a fit beyond
its limits is "explained" where the same program, given time, comes to ours.

Run as ``python -m diagnostics.references``; code 1 for a difference without a known cause.
"""

import sys
from collections.abc import Iterator

import few_groups
from ml_references import OURS, Comparison, compare, records
from references import REFERENCES, samplers_of

from . import reference_posteriors
from .report import Report, parser

COLUMNS = ("model", "source", "by", "compared", "verdict", "largest differences")
DRAWS, SEED = 25_000, 2  # of models with few groups
# NUTS at its usual step sizes diverges there, and says so.
FEW = {"gibbs": {}, "nuts": {"target_accept": 0.99}}
GOOD = ("agrees", "explained", "good", "-")

Row = tuple[str, ...]


def posteriors() -> Iterator[Row]:
    """Rows of the posteriors."""
    for line in reference_posteriors.lines():
        count, z, mean, ratio, quantile, ess = line.cells
        figures = f"z {z}"
        if mean != "-":
            figures += f", mean {mean} sd, sd ratio {ratio}, quantile {quantile} sd"
        figures += f"; ESS {ess}"
        yield (
            line.reference.name,
            line.reference.source if line.against == "reference" else f"our {line.against}",
            line.sampler,
            f"{count} parameters",
            "; ".join(line.broken) or "agrees",
            figures,
        )


def few() -> Iterator[Row]:
    """Rows of the exact posteriors."""
    for name in few_groups.MODELS:
        known, model = few_groups.exact(name), few_groups.model(name)
        for sampler in samplers_of(model):
            if sampler not in FEW:
                continue
            post = model.sample(
                sampler=sampler, draws=DRAWS, seed=SEED, progress=False, **FEW[sampler]
            )
            z = [
                *few_groups.quantile_deviations(post.values["sd"][..., 0], known).values(),
                *few_groups.coefficient_deviations(post.values["beta"], known),
            ]
            worst = max(map(abs, z))
            good = "agrees" if worst < few_groups.LARGEST_Z else "NO"
            yield name, "exact", sampler, f"{len(z)} quantiles, moments", good, f"z {worst:.2f}"


def verdicts() -> Iterator[Row]:
    """Rows of the default runs."""
    for reference in REFERENCES:
        post = reference.model().sample(seed=1, progress=False)
        failed = ", ".join(item.check for item in post.verdict.items)
        worst = max(item.value for item in post.verdict.checks if item.check == "R-hat")
        by = f"{post.run.sampler}, default"
        yield reference.name, "verdict", by, "", failed or "good", f"R-hat {worst:.3f}"


def fits() -> Iterator[Row]:
    """Rows of the maximum-likelihood fits."""
    for record in records():
        compared: Comparison = compare(record)
        method, options = OURS[record.method] if compared.found else ("-", {})
        shown = {name: value for name, value in compared.found.items() if name != "beta"}
        source = record.name.rpartition("__")[2].replace("_", " ")
        yield (
            record.case,
            source,
            " ".join([method, *(f"{value}" for value in options.values())]),
            f"{len(shown)} measures" if shown else "",
            compared.verdict,
            ", ".join(f"{measure} {value:.1e}" for measure, value in shown.items())
            or compared.reason,
        )


def main() -> int:
    """Compare everything."""
    options = parser(__doc__)
    options.add_argument("--only", choices=("posteriors", "fits"), help="one half")
    arguments = options.parse_args()
    report = Report("references", not arguments.no_save and not arguments.only)
    rows: list[Row] = []
    if arguments.only != "fits":
        rows += [*posteriors(), *few(), *verdicts()]
    if arguments.only != "posteriors":
        rows += fits()
    report.table(COLUMNS, rows)
    bad = [row for row in rows if row[4] not in GOOD]
    for row in bad:
        report(f"NOT: {', '.join(row)}")
    count = {verdict: sum(row[4] == verdict for row in rows) for verdict in GOOD}
    told = ", ".join(f"{number} {verdict}" for verdict, number in count.items() if number)
    report(f"{len(rows)} comparisons: {told}, {len(bad)} differ")
    report("explained: lme4 or a pseudo-likelihood stopped early, see ml_references; -: not fitted")
    report.save()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
