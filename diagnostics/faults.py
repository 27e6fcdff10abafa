"""Faults that a run has to survive, each really done: what was done, what happened, passed.

The faults are those of ``tests/faults.py``: processes are killed, interrupted, starved of memory
and disk, files are damaged. Run as ``python -m diagnostics.faults``; about 5 minutes. Ends with
code 1 if one is not survived.
"""

import sys
import tempfile
import time
from pathlib import Path

import faults

from .report import Report, parser


def main() -> int:
    """Do all faults and print the table."""
    options = parser(__doc__)
    options.add_argument("--number", action="append", default=[], help="of a fault; repeatable")
    arguments = options.parse_args()
    report = Report("faults", not arguments.no_save)
    rows, passed = [], 0
    chosen = [
        one for one in faults.FAULTS if one.number in arguments.number or not arguments.number
    ]
    for one in chosen:
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try:
                words, result = one.do(Path(folder)), "passed"
            except Exception as error:  # reported; the others are done all the same
                words, result = f"{type(error).__name__}: {error!s:.1500}", "FAILED"
        passed += result == "passed"
        print(f"{one.number} {one.what}: {result}: {words}", flush=True)
        seconds = f"{time.perf_counter() - begun:.0f}"
        rows.append((f"{one.number:>2} {one.what}", result, seconds, words))
    report()
    for what, result, seconds, words in rows:
        report(f"{what}\n     {result}, {seconds} s: {words}")
    report(f"\n{passed} of {len(rows)} survived")
    report.save()
    return 0 if passed == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
