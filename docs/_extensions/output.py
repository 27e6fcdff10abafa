"""Sphinx: runs every page as it is read, and puts what its blocks print and plot below them."""

import re
import shutil
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import pages

FIGURES = "_figures"  # below the sources, where Sphinx looks for pictures
WIDTH = 104  # columns of printed text that a page shows without scrolling


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx; ``-D run_blocks=0`` leaves the output out."""
    app.add_config_value("run_blocks", True, "env", [bool])
    app.connect("source-read", _read)
    return {"parallel_read_safe": False}


def _read(app: Any, name: str, source: list[str]) -> None:
    page = Path(app.srcdir) / f"{name}.md"
    source[0] = pages.included(source[0], page)
    if not app.config.run_blocks:
        return
    kept = Path(app.srcdir) / FIGURES / name
    shutil.rmtree(kept, ignore_errors=True)
    text, at, parts = source[0], 0, []
    with tempfile.TemporaryDirectory() as folder:
        for block, output in pages.run(page, Path(folder), text):
            parts.append(text[at : block.end])
            at = block.end
            parts.append(_shown(output, name))
            for picture in output.pictures:
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(folder) / picture, kept / picture)
    source[0] = "".join([*parts, text[at:]])


def _shown(output: pages.Output, name: str) -> str:
    lines = []
    if output.text.strip():
        text = "\n".join(map(_broken, output.text.rstrip().splitlines()))
        lines += ["", "````{code-block} text", ":class: output", "", text, "````"]
    for picture in output.pictures:
        words = Path(picture).stem.replace("_", " ")
        lines += ["", f"![{words}](/{FIGURES}/{name}/{picture})"]
    return "\n".join([*lines, ""])


def _broken(line: str) -> str:
    """Break a long line of words; the line of a table, which has gaps, stays as it is."""
    indent = re.match(r" *", line)[0]
    if len(line) <= WIDTH or "  " in line.strip():
        return line
    return textwrap.fill(line, WIDTH, subsequent_indent=f"{indent}  ", break_long_words=False)
