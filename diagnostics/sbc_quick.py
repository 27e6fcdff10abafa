"""A rotating block of simulation-based calibration: four models, two samplers, new every day.

Seeds are those of the day, so that a run of today can be repeated today and by anyone who gives its
date, and a year of days sees 18,000 replicates of each.

Run as ``python -m diagnostics.sbc_quick [--date YYYY-MM-DD]``; `quick` does the same.
"""

import sys
from datetime import UTC, date, datetime

import numpy as np

from .report import Report, parser
from .sbc import ALPHA, RED, TIMES, judge, replicates_of
from .sbc_cells import LKJ, WISHART
from .sbc_runs import Key, Line

CELLS = (
    f"gaussian, 1|g, {LKJ}",
    f"bernoulli, 1|g, {LKJ}",
    f"poisson, x|g, {LKJ}",
    f"poisson, x|g, {WISHART}",
)
SAMPLERS = ("gibbs", "nuts")
REPLICATES = 50


def block_of(day: date, stage: int) -> int:
    """Seed block of a day's stage, apart from those of `sbc`: 202611211 is the first of a day."""
    return 10 * int(f"{day:%Y%m%d}") + stage


def lines_of(cell: str, sampler: str, day: date, stage: int, n: int) -> list[Line]:
    """Run replicates of a day; the lines say 1 or 2 of the stage."""
    keys = [Key(cell, sampler, block_of(day, stage), number) for number in range(n)]
    return [line._replace(stage=stage) for line in replicates_of(keys)]


def calibrated(report: Report, day: date, replicates: int = REPLICATES) -> bool:
    """Run a day's block; whether nothing is red twice and nothing failed."""
    report(f"seed block of {day}, {replicates} replicates of each")
    good = True
    for cell in CELLS:
        for sampler in SAMPLERS:
            lines = lines_of(cell, sampler, day, 1, replicates)
            judged = judge(lines)
            if any(q.first for q in judged):
                lines += lines_of(cell, sampler, day, 2, TIMES * replicates)
                judged = judge(lines)
            failures = [line.failure for line in lines if line.failure]
            least = min((q.p for q in judged), default=np.nan)
            report(f"{cell}, {sampler}: {len(judged)} quantities, least p {least:.4f}")
            for q in (q for q in judged if q.first):
                report(f"    {q.name}: p {q.p:.4f}, again {q.p_again:.4f}: {q.verdict}")
            for failure in failures:
                report(f"    FAILED: {failure}")
            good &= not failures and not any(q.verdict == RED for q in judged)
    report(f"red is p < {ALPHA} in both stages")
    return good


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date())
    arguments = options.parse_args()
    report = Report("sbc_quick", keep=False)
    good = calibrated(report, arguments.date)
    report.save()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
