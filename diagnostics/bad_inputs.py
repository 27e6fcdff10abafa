"""The catalogue of 90 bad inputs: what became of each, and how soon.

The cases are those of ``tests/test_bad_inputs.py``: its table is gone through here, with the first
words of what was said and the seconds of the processor until then; cases that need predictions,
files or the command line are the tests it names, run by pytest. A number counts if all its forms
have the outcome that the catalogue states.

Run as ``python -m diagnostics.bad_inputs``; about 1 minute. Ends with code 1 if one has another.
"""

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import test_bad_inputs as catalogue

from . import ROOT
from .report import Report, parser

WORDS = 90  # characters of what was said


def of_table() -> dict[int, list[tuple[str, str, bool, float, str]]]:
    """Go through the table: for each number its forms, outcome, whether right, seconds, words."""
    found: dict[int, list[tuple[str, str, bool, float, str]]] = {}
    for case in catalogue.CASES:
        data = case.change(catalogue.frame(case.asked.get("family", "poisson")))
        begun = time.process_time()
        try:
            made = catalogue.attempt(**{"formula": "y ~ x + (1|g)", "data": data, **case.asked})
            kind, said = made.kind, made.message
        except Exception as error:  # what must not happen is a line of the table
            kind, said = "RAW ERROR", repr(error)
        seconds = time.process_time() - begun
        right = kind == case.outcome and all(word in said for word in case.words)
        right &= seconds < catalogue.MAX_SECONDS
        words = " ".join(said.split())[:WORDS]
        form = case.number[:24]
        found.setdefault(catalogue.number(case), []).append((form, kind, right, seconds, words))
    return found


def of_tests() -> dict[int, list[tuple[str, str, bool, float, str]]]:
    """Run the tests of the other cases, all at once."""
    files = sorted(
        {t.partition("::")[0] for _, tests in catalogue.ELSEWHERE.values() for t in tests}
    )
    names = [t.partition("::")[2] for _, tests in catalogue.ELSEWHERE.values() for t in tests]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tests.xml")
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--junit-xml={path}", "-k", " or ".join(names)]
            + [f"tests/{file}" for file in files],
            cwd=ROOT, capture_output=True,
        )  # fmt: skip
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    found = {}
    for number, (outcome, tests) in catalogue.ELSEWHERE.items():
        mine = [
            case
            for case in cases
            for test in tests
            if test.partition("::")[0] == f"{str(case.get('classname')).rpartition('.')[2]}.py"
            and str(case.get("name")).startswith(test.partition("::")[2])
        ]
        right = bool(mine) and all(not len(case) for case in mine)
        seconds = sum(float(case.get("time", 0)) for case in mine)
        words = f"{len(mine)} tests of {tests[0].partition('::')[0]}"
        found[number] = [(str(number), outcome if right else "FAILED", right, seconds, words)]
    return found


def main() -> int:
    """Print the table."""
    options = parser(__doc__)
    arguments = options.parse_args()
    report = Report("bad_inputs", not arguments.no_save)
    found = dict(sorted({**of_table(), **of_tests()}.items()))
    rows = [
        (form, kind, f"{seconds:.3f}", words if right else f"WRONG: {words}")
        for forms in found.values()
        for form, kind, right, seconds, words in forms
    ]
    for form, kind, seconds, words in [("case", "outcome", "seconds", "what was said"), *rows]:
        report(f"{form:24}  {kind:9}  {seconds:>7}  {words}".rstrip())
    good = sum(all(right for _, _, right, _, _ in forms) for forms in found.values())
    refusals = [s for n, forms in found.items() if n not in catalogue.ELSEWHERE
                for _, kind, _, s, _ in forms if kind == "refuse"]  # fmt: skip
    report(f"\nlongest time until a refusal: {max(refusals):.2f} s of CPU, of {len(refusals)}")
    report(f"{good} of {catalogue.LAST}, in {len(rows)} forms")
    report.save()
    return 0 if good == catalogue.LAST else 1


if __name__ == "__main__":
    sys.exit(main())
