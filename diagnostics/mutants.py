"""Broken samplers and the joint-distribution test that has to catch each of them.

Every copy of the package differs in one line (``tests/broken.py``) and runs as plain Python.
"""

import time

from broken import CATALOGUE
from joint import LARGEST_Z

from .report import Report, parser


def main() -> None:
    """Run the catalogue; the table says how far off the worst function of each copy is."""
    arguments = parser(__doc__).parse_args()
    report = Report("mutants", keep=not arguments.no_save)
    lines, caught = [], 0
    for broken in CATALOGUE:
        begun = time.perf_counter()
        z = broken.deviations()
        worst = max(z, key=lambda name: abs(z[name]))
        found = abs(z[worst]) > LARGEST_Z
        caught += found
        lines.append(
            (
                broken.name,
                broken.sampler,
                broken.case.name,
                worst if found else "NOT CAUGHT",
                f"{z[worst]:.1f}",
                f"{sum(abs(value) > LARGEST_Z for value in z.values())} of {len(z)}",
                f"{time.perf_counter() - begun:.0f}",
            )
        )
    columns = ("mutant", "sampler", "case", "caught by", "z", "functions", "seconds")
    report.table(columns, lines)
    report(f"{caught} of {len(CATALOGUE)} caught")
    report.save()


if __name__ == "__main__":
    main()
