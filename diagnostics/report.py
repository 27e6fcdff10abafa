"""A report: printed as it grows, and kept under ``results/`` with what one needs to repeat it."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from . import RESULTS

PACKAGES = ("numpy", "numba")
QUIET = 0.5  # load average below which nothing else of weight runs
POLL_SECONDS = 5.0


class Report:
    """Lines of output, printed at once and saved at the end.

    Parameters
    ----------
    name : str
        Of the module; the file is ``results/NAME.txt``.
    keep : bool
        Whether `save` writes the file.
    """

    def __init__(self, name: str, keep: bool = True) -> None:
        self.name, self.keep, self.lines = name, keep, []
        self.begun = time.perf_counter()
        for line in header(name):
            self(line)
        self()

    def __call__(self, text: str = "") -> None:
        """Print and keep a text."""
        print(text, flush=True)
        self.lines.append(text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table of texts: the first column to the left, the others to the right."""
        cells = [list(columns), *(list(row) for row in rows)]
        widths = [max(len(row[k]) for row in cells) for k in range(len(columns))]
        for row in cells:
            first, *others = (
                cell.ljust(width) if k == 0 else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            self("  ".join([first, *others]).rstrip())
        self()

    def save(self) -> None:
        """End with the seconds that all took, and write the file."""
        self(f"took {time.perf_counter() - self.begun:.0f} s")
        if self.keep:
            RESULTS.mkdir(exist_ok=True)
            path = RESULTS / f"{self.name}.txt"
            path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def header(name: str) -> list[str]:
    """Command, versions, processors and their load, date."""
    # Imported as late as this: a module may have to set the environment first.
    from bayesglmm import __version__

    arguments = [a for a in sys.argv[1:] if a != "--no-save"]
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return [
        " ".join(["python -m", f"diagnostics.{name}", *arguments]),
        f"bayesglmm {__version__}, python {platform.python_version()}, {versions}",
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start; "
        f"{datetime.now(UTC):%Y-%m-%d}",
    ]


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all modules share."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--no-save", action="store_true", help="print only")
    return made


def wait_until_quiet(longest: float, say: Callable[[str], None] = print) -> float:
    """Wait until the machine has nothing else to do, at most `longest` seconds; return its load."""
    end = time.monotonic() + longest
    while os.getloadavg()[0] > QUIET and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    load = os.getloadavg()[0]
    if load > QUIET:
        say(f"the machine is not quiet: load {load:.1f}; times are longer than they could be")
    return load
