"""The progress display: a line per chain in a terminal or a notebook, nothing elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

MAX_LINES = 8  # with more chains one line stands for all
BAR_WIDTH = 24


class Status(NamedTuple):
    """Where one chain is."""

    done: int  # iterations
    total: int
    phase: str  # "warmup" or "sampling"
    text: str  # acceptance, divergences: in the words of the sampler


class Display(Protocol):
    """What shows the chains."""

    def show(self, statuses: Sequence[Status]) -> None:
        """Show the chains as they are now."""


class Silent:
    """No display."""

    def show(self, statuses: Sequence[Status]) -> None:
        """Show nothing."""


@contextmanager
def display(progress: bool | None) -> Iterator[Display]:
    """Open the display that suits the place the program runs in.

    Parameters
    ----------
    progress : bool or None
        None shows progress in terminals and notebooks only; True everywhere; False nowhere.
    """
    in_notebook = _in_notebook()
    if progress is False or not (progress or in_notebook or sys.stderr.isatty()):
        yield Silent()
    elif in_notebook:
        yield Notebook()
    else:
        terminal = Terminal()
        try:
            yield terminal
        finally:
            terminal.close()


class Terminal:
    """Bars drawn by rich, on standard error: standard output belongs to results."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=BAR_WIDTH),
            MofNCompleteColumn(),
            TextColumn("{task.fields[phase]}"),
            TimeLeft(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
        )
        self.bars.start()

    def show(self, statuses: Sequence[Status]) -> None:
        """Move the bars."""
        lines = grouped(statuses)
        while len(self.bars.tasks) < len(lines):
            place = len(self.bars.tasks)
            self.bars.add_task(lines[place][0], total=lines[place][1].total, phase="", text="")
        for task, (_, status) in zip(self.bars.tasks, lines, strict=True):
            self.bars.update(
                task.id, completed=status.done, phase=status.phase, text=status.text
            )  # fmt: skip

    def close(self) -> None:
        """Draw the last state and give the terminal back."""
        self.bars.stop()


class Notebook:
    """Lines of text in one output cell, replaced in place; needs no widgets."""

    def __init__(self) -> None:
        from importlib import import_module

        self.handle = import_module("IPython.display").display(Plain(""), display_id=True)
        self.begun = time.monotonic()

    def show(self, statuses: Sequence[Status]) -> None:
        """Replace the lines."""
        elapsed = time.monotonic() - self.begun
        lines = (line(name, status, elapsed) for name, status in grouped(statuses))
        self.handle.update(Plain("\n".join(lines)))


class Plain:
    """Text that a notebook shows as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def grouped(statuses: Sequence[Status]) -> list[tuple[str, Status]]:
    """Return the named lines to show: one a chain, or one for all if there are many."""
    if len(statuses) <= MAX_LINES:
        return [(f"chain {number}", status) for number, status in enumerate(statuses, start=1)]
    last = min(statuses, key=lambda status: status.done)
    done = sum(status.done for status in statuses)
    total = sum(status.total for status in statuses)
    return [(f"{len(statuses)} chains", Status(done, total, last.phase, last.text))]


def line(name: str, status: Status, elapsed: float) -> str:
    """Return one line of text: bar, iterations, phase, time left, the sampler's words."""
    share = status.done / max(1, status.total)
    filled = round(share * BAR_WIDTH)
    if share >= 1.0:
        left = f"{elapsed:.0f} s"
    elif share > 0.0:
        left = f"{elapsed * (1.0 - share) / share:.0f} s left"
    else:
        left = "starting"
    bar = "#" * filled + "." * (BAR_WIDTH - filled)
    return f"{name}  {bar}  {status.done}/{status.total}  {status.phase}  {left}  {status.text}"


def _in_notebook() -> bool:
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"
