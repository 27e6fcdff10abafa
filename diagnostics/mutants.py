"""Broken samplers and the joint-distribution test that has to catch each of them.

Every copy of the package differs in one line and runs as plain Python: those of the transported,
collapsed and Hamiltonian samplers (``tests/broken.py``), of the crossed and nested ones
(``tests/crossed_cases.py``) and of the classical one (``tests/test_classical.py``).
"""

import json
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import broken
import crossed_cases
import test_classical
from joint import LARGEST_Z

from .report import Report, parser

MISSED = "NOT CAUGHT"
CATALOGUES = {
    "transported, collapsed, Hamiltonian": broken.CATALOGUE,
    "crossed, nested": crossed_cases.BROKEN,
    "classical": test_classical.BROKEN,
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


def main() -> int:
    """Run the catalogues; the table says how far off the worst function of each copy is."""
    options = parser(__doc__)
    options.add_argument("--name", action="append", default=[], help="part of a name; repeatable")
    options.add_argument("--state", type=Path, help="rows of a run that was stopped; goes on there")
    arguments = options.parse_args()
    report = Report("mutants", keep=not arguments.no_save)
    state, done = arguments.state, {}
    if state is not None and state.exists():
        done = {tuple(row[:3]): tuple(row) for row in map(json.loads, state.open())}
    lines = []
    for one in (one for catalogue in CATALOGUES.values() for one in catalogue):
        if arguments.name and not any(part in one.name for part in arguments.name):
            continue
        key = one.name, one.sampler, one.case.name
        if key not in done:
            done[key] = look(one)
            if state is not None:
                with state.open("a") as file:
                    file.write(json.dumps(done[key]) + "\n")
        lines.append(done[key])
    caught = sum(line[3] != MISSED for line in lines)
    columns = ("mutant", "sampler", "case", "caught by", "z", "functions", "CPU")
    report.table(columns, lines)
    report(f"{caught} of {len(lines)} caught")
    report.save()
    return 0 if caught == len(lines) else 1


if __name__ == "__main__":
    sys.exit(main())
