"""Coverage of the package's lines and branches by the tests, compiled code included.

Nothing sees into compiled code, so tests are run twice, and what either reaches is put together:

- all tests as they are, for what is Python; the processes that they start are measured too, and so
  is the plain side of ``tests/plain_path.py``: every sampler, family, structure and fit;
- the tests of `PLAIN` with compilation off (``NUMBA_DISABLE_JIT=1``), for the kernels.

Broken copies of the package, and pages whose code is that of other tests, reach nothing new and are
left out of the first. Run as ``python -m diagnostics.coverage``, an hour of CPU; ends with code 1
below the goals. ``--short`` takes of the first the plain side alone, and judges only modules with
compiled code. ``--state FOLDER`` keeps what is measured, part by part: what was measured of the
same sources is not run again, but where a test failed.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import ROOT
from .report import Report, parser

LINES, BRANCHES = 95.0, 90.0  # per cent
KERNEL_LINES, KERNEL_BRANCHES = 93.0, 90.0  # per cent, in the short form
SHOWN = 30  # modules that miss most
JOBS = 2  # files of tests at a time
FAILED = ".failed"
NO_TESTS = 5  # pytest's code where a file has none that is asked for
PLAIN = {  # tests by file; none: all of them
    "adaptation": (),
    "careful_modes": (
        "modes_inside_the_domain[0-intercept]",
        "modes_inside_the_domain[0-slope]",
        "a_density_of_zero_everywhere_is_said",
    ),
    "covariance": (),
    "crossed_gibbs": (
        "directions_of_pairs_of_types_are_found",
        "coefficients_that_centring_hardly_moves_are_loose_too",
    ),
    "diagnostics": (),
    "elimination": (),
    "glm": (),
    "keep": (
        "sums_do_not_depend_on_how_the_draws_are_cut",
        "markers_are_where_the_algorithm_puts_them",
        "what_is_not_finite_is_seen",
    ),
    "layout": (),
    "leapfrog": (),
    "linear": (
        "a_variance_of_zero_is_an_answer",
        "a_correlation_of_one_is_on_the_boundary",
        "a_search_gets_away_from_a_zero_that_is_none",
        "balanced_data_have_a_closed_form",
    ),
    "optimizer": (),
    "priors": (),
    "quadrature": (
        "gradient_where_groups_are_cut_into_lanes[intercept]",
        "gradient_where_groups_are_cut_into_lanes[slope]",
    ),
}
MISSED = ("missing_lines", "num_statements", "missing_branches", "num_branches")
COMPILED = re.compile(r"^@(kernel|bare|apart|simd|reduce|entry)\b", re.MULTILINE)
NOTHING_NEW = "not broken and not copies and not joint_distribution and not of_the_page"


def measure(data: Path, *arguments: str, plain: bool = False) -> bool:
    """Run tests into a file of coverage's; whether all passed."""
    environment = {**os.environ, "COVERAGE_FILE": str(data)}
    if plain:
        environment["NUMBA_DISABLE_JIT"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "--cov", "--cov-report=", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment)
    return done.returncode in (0, NO_TESTS)


def parts(short: bool) -> dict[str, tuple[list[str], bool]]:
    """What is run: pytest's arguments by name, and whether compilation is off."""
    plain = [
        f"tests/test_{name}.py{test}"
        for name, chosen in PLAIN.items()
        for test in ([f"::test_{one}" for one in chosen] or [""])
    ]
    asked = {"plain": (plain, True)}
    if short:
        return asked | {"compiled": (["tests/test_plain_path.py"], False)}
    files = sorted((ROOT / "tests").glob("test_*.py"))
    return asked | {path.stem: ([f"tests/{path.name}", "-k", NOTHING_NEW], False) for path in files}


def measured(folder: Path, short: bool) -> bool:
    """Measure what is not in a folder yet; whether all tests passed."""

    def one(name: str, arguments: list[str], plain: bool) -> bool:
        if (folder / name).exists():
            return True
        data = folder / (name + FAILED)
        good = measure(data, *arguments, plain=plain)
        if good and data.exists():
            data.rename(folder / name)
        return good

    with ThreadPoolExecutor(JOBS) as pool:
        running = [pool.submit(one, name, *how) for name, how in parts(short).items()]
        return all([each.result() for each in running])


def sources() -> str:
    """Hash of the package, whose lines are counted."""
    made = hashlib.sha256()
    for path in sorted((ROOT / "bayesglmm").rglob("*.py")):
        made.update(path.read_bytes())
    return made.hexdigest()


def together(folder: Path) -> dict[str, dict[str, Any]]:
    """What the files of a folder hold, module by module, in coverage's own form."""
    run = [sys.executable, "-m", "coverage"]
    with tempfile.TemporaryDirectory() as made:
        data, found = Path(made, "all"), Path(made, "found.json")
        held = [str(part) for part in sorted(folder.iterdir())]
        command = ["combine", "-q", "--keep", f"--data-file={data}", *held]
        subprocess.run([*run, *command], cwd=ROOT, check=True)
        command = ["json", "-q", f"--data-file={data}", "-o", str(found)]
        subprocess.run([*run, *command], cwd=ROOT, check=True)
        files = json.loads(found.read_text())["files"]
    return {path: one["summary"] for path, one in files.items()}


def _missed(one: dict[str, Any]) -> int:
    return int(one["missing_lines"] + one["missing_branches"])


def shares(modules: Iterable[dict[str, Any]]) -> tuple[float, float]:
    """Per cent of lines and of branches."""
    modules = list(modules)

    def share(what: str, all_of: str) -> float:
        return 100.0 * sum(m[what] for m in modules) / max(sum(m[all_of] for m in modules), 1)

    return share("covered_lines", "num_statements"), share("covered_branches", "num_branches")


def has_kernels(path: str) -> bool:
    """Whether a module has compiled code."""
    return COMPILED.search((ROOT / path).read_text()) is not None


def main() -> int:
    """Measure, print and judge."""
    options = parser(__doc__)
    options.add_argument("--short", action="store_true", help="modules with compiled code alone")
    options.add_argument("--state", type=Path, help="folder of what has been measured")
    arguments = options.parse_args()
    report = Report("coverage", keep=not arguments.no_save)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) if arguments.state is None else arguments.state / sources()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        good = measured(folder.resolve(), arguments.short)
        found = together(folder)
    if not good:
        report("a test failed: what follows is too little")
    kernels = {path: one for path, one in found.items() if has_kernels(path)}
    judged = kernels if arguments.short else found
    report.table(
        (f"the {SHOWN} that miss most", "lines missed", "of", "branches missed", "of"),
        [
            (path, *(f"{one[what]}" for what in MISSED))
            for path, one in sorted(judged.items(), key=lambda item: -_missed(item[1]))[:SHOWN]
        ],
    )
    for label, modules in (("modules with compiled code", kernels), ("all modules", found)):
        lines, branches = shares(modules.values())
        report(f"{len(modules)} {label}: lines {lines:.1f}%, branches {branches:.1f}%")
    lines, branches = shares(judged.values())
    goals = (KERNEL_LINES, KERNEL_BRANCHES) if arguments.short else (LINES, BRANCHES)
    goal = f"lines {goals[0]:.0f}%, branches {goals[1]:.0f}%"
    reached = lines >= goals[0] and branches >= goals[1]
    report(f"goal: {goal}: {'reached' if reached else 'MISSED'}")
    report.save()
    return 0 if good and reached else 1


if __name__ == "__main__":
    sys.exit(main())
