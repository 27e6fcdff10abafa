"""Inputs made by chance: nothing of them is run, none hangs, none ends in another error than ours.

Formulas, CSV files, data frames, texts of priors and blocks (`tests/test_fuzz.py`), and altered
files of a posterior, a fit, a checkpoint and streamed effects, half of them sealed again so that
they pass the checksum. Files are read in processes of their own, with a limit of memory.

Run as ``python -m diagnostics.fuzz``; about 5 minutes. Ends with code 1 if anything is found.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import test_fuzz

from .report import Report, parser

FORMULAS, TABLES, FILES = 10_000, 1_000, 500


def main() -> int:
    """Run all, and print what became of them."""
    options = parser(__doc__)
    options.add_argument("--seed", type=int, default=20261121)
    options.add_argument("--share", type=float, default=1.0, help="of the numbers of inputs")
    arguments = options.parse_args()
    seed, share = arguments.seed, arguments.share
    report = Report("fuzz", not arguments.no_save)
    report(f"seed {seed}")
    good, rows = True, []

    def line(name: str, count: int, make: Callable[[], Any]) -> None:
        nonlocal good
        begun = time.process_time(), time.perf_counter()
        try:
            found = make()
            words = ", ".join(f"{k} {v}" for k, v in sorted(found.items()))
        except AssertionError as error:
            good, words = False, f"FOUND {error!s:.2000}"
        took = time.perf_counter() - begun[1]
        print(f"{name}: {words}", flush=True)
        rows.append((name, f"{count:,}", f"{took:.0f}", words))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        longest = []

        def formulas() -> Any:
            found, seconds = test_fuzz.formulas(seed, int(share * FORMULAS), folder)
            longest.append(seconds)
            return found

        line("formulas", int(share * FORMULAS), formulas)
        count = int(share * TABLES)
        line("tables", 2 * count, lambda: test_fuzz.tables(seed, count, folder))
        fuzz.make(folder)
        for kind in fuzz.KINDS:
            many = int(share * FILES)
            line(kind, many, lambda kind=kind, many=many: test_fuzz.files(seed, many, folder, kind))
    report.table(("input", "number", "seconds", "what became of them"), rows)
    report(f"longest time of a formula: {max(longest, default=float('nan')):.3f} s of CPU")
    report("no execution, no hang, no crash, no other error" if good else "FOUND: see above")
    report.save()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
