"""From the command in the README to the printed summary, in a fresh process: every phase's seconds.

The first run compiles into an empty cache; the second finds everything there. Wall-clock seconds
against their goals, as ratios, since they depend on the machine; it waits until the machine is
quiet. With ``--fresh-venv`` a virtual environment is made and the package installed into it first,
as a new user does.

Run as ``python -m diagnostics.cold_start``; about a minute.
"""

import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from . import ROOT
from .report import Report, parser, wait_until_quiet

FIRST_COMPILE, SECOND_PROCESS, IMPORT = 15.0, 1.5, 0.5  # goals, seconds
AGAIN = 3  # second runs and imports, of which the quickest counts
LONGEST_WAIT = 120.0


class Timing(NamedTuple):
    """One process: its wall-clock seconds, and those of its phases as it printed them.

    CPU seconds include the processes that it started and threads: they are more than the
    wall-clock seconds where two processors work, and change less with what else is running.
    """

    wall: float
    cpu: float
    phases: dict[str, float]


def readme_arguments() -> list[str]:
    """Arguments of the command line in the README's first command."""
    (line,) = [
        line
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if ".venv/bin/bayesglmm sample" in line
    ]
    return shlex.split(line.split(".venv/bin/bayesglmm ", 1)[1])


def timed(command: list[str], environment: dict[str, str]) -> Timing:
    """Run a command that prints its phases to standard error."""
    begun, before = time.perf_counter(), _children()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begun
    if done.returncode != 0:
        sys.exit(f"{shlex.join(command[-4:])} ended with {done.returncode}:\n{done.stderr}")
    phases = {}
    for line in done.stderr.splitlines():
        words = line.split()
        if len(words) >= 3 and words[-1] == "s":
            phases[" ".join(words[:-2])] = float(words[-2])
    return Timing(wall, _children() - before, phases)


def _children() -> float:
    """CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def install(folder: Path, report: Report) -> list[str]:
    """Make a virtual environment with the package in it; return the command line's program."""
    begun = time.perf_counter()
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    made = time.perf_counter()
    pip = [str(venv / "bin" / "pip"), "install", "-qq", str(ROOT)]
    subprocess.run(pip, check=True)
    report(
        f"virtual environment {made - begun:.0f} s, installation {time.perf_counter() - made:.0f} s"
    )
    return [str(venv / "bin" / "python")]


def measure(python: list[str], folder: Path, report: Report) -> None:
    """Print the table of the phases and the goals."""
    environment = {**os.environ, "BAYESGLMM_CACHE_DIR": str(folder / "cache")}
    # Installers write bytecode; a process that may not keep any is not what a user has.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.pop("PYTHONPATH", None)
    command = [*python, "-m", "bayesglmm.cli", *readme_arguments(), "--timing"]
    if python[0] == sys.executable:
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        timed(command, environment | {"BAYESGLMM_CACHE_DIR": str(folder / "other")})
    first = timed(command, environment)
    again = min((timed(command, environment) for _ in range(AGAIN)), key=lambda t: t.wall)
    bare = min(timed([*python, "-c", "pass"], environment).wall for _ in range(AGAIN))
    imported = min(
        timed([*python, "-c", "import bayesglmm"], environment).wall for _ in range(AGAIN)
    )
    rows = [
        (phase, f"{first.phases[phase]:.3f}", f"{again.phases.get(phase, 0.0):.3f}")
        for phase in first.phases
    ]
    printed = [sum(t.phases.values()) for t in (first, again)]
    rows += [
        (
            "python and the rest",
            f"{first.wall - printed[0]:.3f}",
            f"{again.wall - printed[1]:.3f}",
        ),
        ("whole process", f"{first.wall:.3f}", f"{again.wall:.3f}"),
        ("whole process, CPU", f"{first.cpu:.3f}", f"{again.cpu:.3f}"),
    ]
    report("\nWall-clock seconds; the second run is the best of 3")
    report.table(("phase", "empty cache", "second run"), rows)
    compiling = first.wall - again.wall
    report.table(
        ("figure", "seconds", "goal", "of the goal", ""),
        [
            _goal("compilation (first - second process)", compiling, FIRST_COMPILE),
            _goal("whole first process", first.wall, FIRST_COMPILE),
            _goal("whole second process", again.wall, SECOND_PROCESS),
            _goal("import bayesglmm (less python itself)", imported - bare, IMPORT),
        ],
    )


def _goal(figure: str, seconds: float, goal: float) -> tuple[str, ...]:
    verdict = "reached" if seconds <= goal else "missed"
    return figure, f"{seconds:.3f}", f"{goal:g}", f"{seconds / goal:.2f}", verdict


def main() -> int:
    options = parser(__doc__)
    options.add_argument(
        "--fresh-venv", action="store_true", help="install into a new virtual environment first"
    )
    arguments = options.parse_args()
    report = Report("cold_start", not arguments.no_save)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = install(folder, report) if arguments.fresh_venv else [sys.executable]
        load = wait_until_quiet(LONGEST_WAIT, report)
        report(f"load {load:.1f}")
        measure(python, folder, report)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
