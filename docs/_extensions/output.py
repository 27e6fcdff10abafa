"""Sphinx: runs every page as it is read, and puts what its blocks print and plot below them."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pages

FIGURES = "_figures"  # below the sources, where Sphinx looks for pictures


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
        lines += ["", "````{code-block} text", ":class: output", "", output.text.rstrip(), "````"]
    for picture in output.pictures:
        words = Path(picture).stem.replace("_", " ")
        lines += ["", f"![{words}](/{FIGURES}/{name}/{picture})"]
    return "\n".join([*lines, ""])
