"""Pages whose code runs: the blocks of one page are one script, run in order.

A block of Python is run as it stands. A block of shell is run where it calls ``bayesglmm``; the
commands of its other lines have to be among those known to change nothing here. Comments of the
form ``<!-- check ... -->`` hold Python that readers do not see: it holds the text to the numbers.
What a block prints, and pictures that it saves, are its output. Warnings are errors.
"""

import contextlib
import io
import os
import re
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent
PICTURES = (".png", ".svg")
NOT_RUN = ("python3 -m venv",)  # commands that are shown only
_BLOCK = re.compile(
    r"^```(?P<language>[^\n`]*)\n(?P<code>.*?)^```$|^<!-- check\n(?P<check>.*?)^-->$", re.S | re.M
)

_INCLUDE = re.compile(r"^```\{include\} (\S+)\n```$", re.M)


@dataclass(frozen=True)
class Block:
    """A piece of code of a page: its language, its text, where it ends, its first line."""

    language: str
    code: str
    end: int
    line: int


@dataclass(frozen=True)
class Output:
    """What a block printed, and the pictures that it saved, by name."""

    text: str
    pictures: tuple[str, ...]


def paths() -> list[Path]:
    """All pages, in the order of their names."""
    return sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


def included(text: str, page: Path) -> str:
    """Put other files in the place of the directives that include them."""
    return _INCLUDE.sub(lambda found: (page.parent / found[1]).read_text("utf-8"), text)


def blocks(text: str) -> Iterator[Block]:
    """Find the blocks of a page, in order; those of checks have the language ``check``."""
    for found in _BLOCK.finditer(text):
        code = found["check"] if found["code"] is None else found["code"]
        language = "check" if found["code"] is None else found["language"].strip()
        yield Block(language, code, found.end(), text[: found.start()].count("\n") + 2)


def run(page: Path, folder: Path, text: str | None = None) -> list[tuple[Block, Output]]:
    """Run a page in a folder of its own; an exception names the page and the line."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    made = []
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("error")
        # What Python itself does not show.
        warnings.simplefilter("ignore", DeprecationWarning)
        for block in blocks(included(page.read_text("utf-8"), page) if text is None else text):
            if block.language in ("python", "check", "sh"):
                made.append((block, _output(block, page, folder, names)))
    return made


def _output(block: Block, page: Path, folder: Path, names: dict[str, Any]) -> Output:
    before = _pictures(folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if block.language == "sh":
            _shell(block.code)
        else:
            # Lines of the code are those of the page, for the traceback.
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(page), "exec"), names)
    new = [name for name, when in _pictures(folder).items() if before.get(name) != when]
    return Output(printed.getvalue(), tuple(new))


def _pictures(folder: Path) -> dict[str, int]:
    found = sorted(path for path in folder.iterdir() if path.suffix in PICTURES)
    return {path.name: path.stat().st_mtime_ns for path in found}


def _shell(code: str) -> None:
    from bayesglmm.cli import GOOD, main

    for line in code.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith(("#", *NOT_RUN)):
            continue
        command = shlex.split(line, comments=True)
        if command[0] != "bayesglmm":
            raise ValueError(f"this command is not run: {line}")
        code_of_exit = main(command[1:])
        if code_of_exit != GOOD:
            raise ValueError(f"exit code {code_of_exit} of: {line}")
