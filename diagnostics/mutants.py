"""Broken samplers and the joint-distribution test that has to catch each of them.

Every copy of the package differs in one line and runs as plain Python: those of the transported,
collapsed and Hamiltonian samplers (``tests/broken.py``), of the crossed and nested ones
(``tests/crossed_cases.py``), of the classical one (``tests/test_classical.py``) and those that the
exact rank test is to see (``tests/broken_ranks.py``; z is as far out as the smallest p-value). A
table of its own has the catalogue of twelve faults (``tests/catalogue.py``), and the tests that see
them.
"""

import sys
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import broken
import broken_ranks
import catalogue
import crossed_cases
import test_classical
from joint import LARGEST_Z

from .kept import Kept
from .report import Report, parser

MISSED = "NOT CAUGHT"
CATALOGUES = {
    "transported, collapsed, Hamiltonian": broken.CATALOGUE,
    "crossed, nested": crossed_cases.BROKEN,
    "classical": test_classical.BROKEN,
    "parts alone": broken_ranks.BROKEN,
    "catalogue": [catalogue.JACOBIAN_SIGN, catalogue.OFFSET, *catalogue.UNRULY],
}


def look(one: Any) -> tuple[str, ...]:
    """Row of the table of one mutant."""
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, where a chain runs away
        z = one.deviations()
        worst = max(z, key=lambda name: abs(z[name]))
        found = abs(z[worst]) > LARGEST_Z
        # A copy that runs away shows nothing if one without the change does too.
        if len(z) == 1:
            found = len(replace(one, new=one.old).deviations()) > 1
    return (
        one.name,
        one.sampler,
        one.case.name,
        worst if found else MISSED,
        f"{z[worst]:.1f}",
        f"{sum(abs(value) > LARGEST_Z for value in z.values())} of {len(z)}",
        f"{time.process_time() - begun:.0f}",
    )


def _key(one: Any) -> tuple[str, str, str]:
    return one.name, one.sampler, one.case.name


def main() -> int:
    """Run the catalogues; the table says how far off the worst function of each copy is."""
    options = parser(__doc__)
    options.add_argument("--name", action="append", default=[], help="part of a name; repeatable")
    options.add_argument("--state", type=Path, help="rows of a run that was stopped; goes on there")
    arguments = options.parse_args()
    report = Report("mutants", keep=not arguments.no_save)
    kept = Kept(arguments.state, lambda row: tuple(row[:3]))
    lines = []
    for one in (one for copies in CATALOGUES.values() for one in copies):
        if arguments.name and not any(part in one.name for part in arguments.name):
            continue
        lines.append(kept.get(_key(one), partial(look, one)))
    rows = []
    for fault, one in catalogue.TWELVE.items():
        row = kept.rows.get(_key(one))
        if row is not None:
            rows.append((fault, catalogue.TESTS[type(one)], *row[1:5]))
    report.table(("fault", "test", "sampler", "case", "caught by", "z"), rows)
    report(f"{sum(row[4] != MISSED for row in rows)} of the {len(catalogue.TWELVE)} faults caught")
    report()
    caught = sum(line[3] != MISSED for line in lines)
    columns = ("mutant", "sampler", "case", "caught by", "z", "functions", "CPU")
    report.table(columns, lines)
    report(f"{caught} of {len(lines)} caught")
    report.save()
    return 0 if caught == len(lines) else 1


if __name__ == "__main__":
    sys.exit(main())
