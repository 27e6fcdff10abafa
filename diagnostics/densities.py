"""Log densities of every family and link against 50 digits: every extreme with every other (R9).

Per family and link: points, the largest error in units of the last place of the sum's largest term
where the relative error is above 1e-12, the largest relative error where it is above 4 such units,
and the point that is nearest to its limit.

Run as ``python -m diagnostics.densities``; code 1 if a point is beyond both limits.
"""

import sys

from exact_densities import MAX_RELATIVE, MAX_ULPS, PAIRS, error, grid

from .report import Report, parser

COLUMNS = ("family, link", "points", "ulps", "relative", "beyond")
SHOWN = 5  # points beyond the limits that are printed


def main() -> int:
    """Go through the grid."""
    arguments = parser(__doc__).parse_args()
    report = Report("densities", not arguments.no_save)
    lines, bad = [], []
    for family in PAIRS:
        name = f"{family.name}, {family.link}"
        found = [(error(family, point), point) for point in grid(family)]
        beyond = [(name, *item) for item in found if not item[0].good]
        ulps = max((e.ulps for e, _ in found if e.relative > MAX_RELATIVE), default=0.0)
        relative = max((e.relative for e, _ in found if e.ulps > MAX_ULPS), default=0.0)
        lines.append((name, str(len(found)), f"{ulps:.2f}", f"{relative:.0e}", str(len(beyond))))
        bad += beyond[:SHOWN]
    report.table(COLUMNS, lines)
    for line in bad:
        report(" ".join(map(str, line)))
    points = sum(int(line[1]) for line in lines)
    report(f"{points} points: {'all' if not bad else 'NOT ALL'} within {MAX_ULPS:g} ulps or 1e-12")
    report.save()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
