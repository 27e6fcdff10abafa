"""Maximum-likelihood fits beside those of lme4, glmmTMB, MASS and exact pseudo-likelihood.

Every record of `tests/data/mle`, fitted by the same method here; the last rows are of a second,
shorter list, `tests/data/mle_summary.json`. Columns: log likelihood, ours minus theirs; the same at
lme4's own estimates (what its inner iterations lack, which stop before the modes); largest
difference of the coefficients in standard errors; largest relative difference of their standard
errors; of sds and dispersion (absolute below .01); of correlations; of the effects' modes in
conditional sds. `_tight` is the same fit with a tolerance that lets the other program finish: it
settles what a default tolerance leaves open.

Limits: glmmTMB's Laplace 1e-5 in the log likelihood, 2e-3 standard errors; lme4's 1e-3 or, where it
stopped early, ours the higher and equal to the tight refit; quadrature 1e-4 in the coefficients;
REML and ML 2e-5 relative; pseudo-likelihood every printed digit.

Run as ``python -m diagnostics.ml_references``; code 1 for a difference without a known cause.
"""

import sys
import time

from ml_cases import CASES
from ml_references import Comparison, compare, fit, records

from .report import Report, parser

ONE_NODE = ("cbpp__period", "depression__timeclass", "epil__bc4", "epilepsy_hsaur3__sas_un")
MAX_ONE_NODE = 1e-10

COLUMNS = ("record", "loglik", "at", "beta/se", "se", "sd", "cor", "mode", "verdict")


def row(comparison: Comparison) -> tuple[str, ...]:
    """Cells of one record."""
    cells = (comparison.found.get(name) for name in COLUMNS[1:-1])
    signed = ("" if value is None else f"{value:.1e}" for value in cells)
    return comparison.record.name, *signed, comparison.verdict


def main() -> int:
    """Compare all records."""
    options = parser(__doc__)
    options.add_argument("--only", default="", help="records whose name contains this")
    arguments = options.parse_args()
    report = Report("ml_references", not arguments.no_save and not arguments.only)
    compared = []
    for record in records():
        if arguments.only in record.name:
            begun = time.perf_counter()
            compared.append(compare(record))
            print(record.name, f"{time.perf_counter() - begun:.1f} s", file=sys.stderr)
    report.table(COLUMNS, [row(comparison) for comparison in compared])
    report("Why")
    for reason in dict.fromkeys(c.reason for c in compared if c.reason or c.verdict == "MISS"):
        report(f"  {reason or 'not known'}")
        for c in compared:
            if c.reason == reason and (reason or c.verdict == "MISS"):
                report(f"    {': '.join(filter(None, [c.record.name, ', '.join(c.broken)]))}")
    missed = [c.record.name for c in compared if c.verdict == "MISS"]
    if not arguments.only:
        report("\nQuadrature with one node against Laplace, log likelihood")
        for case in ONE_NODE:
            off = CASES[case].model().fit("aghq", nodes=1).loglik - fit(case, "Laplace").loglik
            report(f"  {case}: {off:+.1e}")
            missed += [case] if abs(off) > MAX_ONE_NODE else []
    counts = ", ".join(
        f"{sum(c.verdict == verdict for c in compared)} {verdict}"
        for verdict in sorted({c.verdict for c in compared})
    )
    report(f"\n{len(compared)} records: {counts}")
    report.save()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
