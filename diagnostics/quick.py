"""The short form of the evidence, for every change: some two minutes, code 1 if a criterion fails.

- gradients of the log density against central differences, every family and kind of prior;
- fits of four data sets by every method against those of other software;
- two posteriors by `gibbs` and `nuts` against long runs of other software;
- every sampler against `nuts` on a few small simulated models;
- calibration of both usual samplers on four models, by seeds of the day;
- acceptance of the transported sampler at 200 and at 1,000 groups;
- the design of 100,000 rows, within the bounds that hold for 1,000,000.

Run as ``python -m diagnostics.quick``; nothing is saved.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from ml_references import compare, records
from references import REFERENCES, disagreements

from bayesglmm.design import build

from . import acceptance, agreement, design_scale, gradients, sbc_quick
from .agreement_cells import cells
from .report import Report

FITS = ("clinics__ri__", "epil__ri__", "salamander__", "sleepstudy__slope__")
POSTERIORS = ("epil", "seeds_stanified")
DRAWS = {"gibbs": 10_000, "nuts": 3_000}  # of each of 4 chains
SEED = 7
AGREEING = {
    "bernoulli logit, 1|g": ("gibbs", "classical", "hmc"),
    "poisson log, x|g inverse-Wishart": ("gibbs", "classical"),
    "gaussian identity, crossed": ("gibbs", "collapsed"),
}
FEW, MANY = 200, 1_000  # groups
MAX_FALL = 0.85  # least ratio of acceptances
DESIGN_SHARE = 10  # of the rows of `design_scale`


def check_gradients(report: Report) -> bool:
    """Log density and gradient."""
    worst = {label: gradients.worst_error(model) for label, model in gradients.models()}
    label = max(worst, key=lambda name: worst[name])
    report(f"{len(worst)} models, largest relative error {worst[label]:.1e} ({label})")
    return worst[label] < gradients.MAX_ERROR


def check_fits(report: Report) -> bool:
    """Maximum-likelihood fits."""
    compared = [compare(record) for record in records() if record.name.startswith(FITS)]
    missed = [c for c in compared if c.verdict == "MISS"]
    report(f"{len(compared)} fits, {len(missed)} off")
    for c in missed:
        report(f"    {c.record.name}: {', '.join(c.broken)}")
    return not missed


def check_posteriors(report: Report) -> bool:
    """Reference posteriors."""
    good = True
    for reference in (r for r in REFERENCES if r.name in POSTERIORS):
        model, known = reference.model(), reference.known()
        found = {}
        for sampler, draws in DRAWS.items():
            post = model.sample(sampler=sampler, draws=draws, seed=SEED, progress=False)
            found[sampler] = reference.ours(post)
            good &= _agree(report, f"{reference.name}, {sampler}", found[sampler], known)
        good &= _agree(report, f"{reference.name}, gibbs and nuts", found["gibbs"], found["nuts"])
    return good


def check_samplers(report: Report) -> bool:
    """Samplers against each other."""
    known: agreement.Known = {}
    good = True
    for cell in (cell for cell in cells() if cell.name in AGREEING):
        for sampler in (agreement.AGAINST, *AGREEING[cell.name]):
            agreement.put(known, agreement.run(cell, sampler))
        for sampler in AGREEING[cell.name]:
            for side in agreement.wanting(known, cell.name, sampler):
                first = known[cell.name, side, 1]
                agreement.put(known, agreement.run(cell, side, first))
            one = agreement.compare(known, cell.name, sampler)
            report(f"{cell.name}, {sampler}: |z| at most {one.z:.2f}{one.mark}")
            good &= one.mark in (agreement.AGREES, agreement.CHANCE)
            for line in one.words:
                report(f"    {line}")
    return good


def _agree(report: Report, label: str, ours: dict, known: dict) -> bool:
    broken = disagreements(ours, known)
    report(f"{label}: {len(ours)} parameters {'agree' if not broken else 'DISAGREE'}")
    for line in broken:
        report(f"    {line}")
    return not broken


def check_calibration(report: Report) -> bool:
    """Calibration."""
    return sbc_quick.calibrated(report, datetime.now(UTC).date())


def check_acceptance(report: Report) -> bool:
    """Acceptance of the transported sampler."""
    few, many = (acceptance.measure("slope", groups, contrast=False) for groups in (FEW, MANY))
    for groups, f in ((FEW, few), (MANY, many)):
        report(
            f"{groups:,} groups: accepted {f.theta:.2f}, without warm-up {f.frozen:.2f}; "
            f"centre {f.centre:.2f} sd off, Laplace's mode {f.laplace:.2f}"
        )
    return many.theta > MAX_FALL * few.theta and many.frozen > MAX_FALL * few.frozen


def check_design(report: Report) -> bool:
    """Design of many rows."""
    data = design_scale.frame().head(design_scale.ROWS // DESIGN_SHARE)
    begun = time.perf_counter()
    build("y ~ x + w * f + (x | id)", data, "poisson")
    seconds, peak = time.perf_counter() - begun, design_scale.peak_mib()
    report(f"{len(data):,} rows: {seconds:.2f} s, peak {peak:.0f} MiB")
    return seconds < design_scale.MAX_SECONDS and peak < design_scale.MAX_MIB


# Design first: its peak of memory is that of the process so far.
CHECKS: tuple[Callable[[Report], bool], ...] = (
    check_design,
    check_gradients,
    check_fits,
    check_posteriors,
    check_samplers,
    check_calibration,
    check_acceptance,
)


def main() -> int:
    report = Report("quick", keep=False)
    failed = []
    for check in CHECKS:
        begun, name = time.perf_counter(), (check.__doc__ or "").rstrip(".")
        report(f"== {name}")
        if not check(report):
            failed.append(name)
        report(f"({time.perf_counter() - begun:.0f} s)\n")
    report(f"FAILED: {', '.join(failed)}" if failed else "all criteria hold")
    report.save()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
