"""Which source files a module's compiled code can come from, and a hash of them.

Compiled code sees what its module imports at top level, and what those modules import in turn. A
cache named by the hash of these files alone outlives edits elsewhere in the package.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
LENGTH = 20  # of a fingerprint

# `from .. import a, b`, `from ..a.b import (` and the lines up to its bracket; at top level only.
_IMPORT = re.compile(r"^from (\.+)([\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Files of the package that a file imports at top level."""
    found = []
    for dots, module, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
        folder = path.parent
        for _ in range(len(dots) - 1):
            folder = folder.parent
        target = folder.joinpath(*module.split(".")) if module else folder
        found += _files(target)
        # A name may be a module of that folder; if it is not, there is no such file.
        for name in re.findall(r"\w+", names):
            found += _files(target / name)
    return tuple(found)


def _files(target: Path) -> list[Path]:
    """The file or package folder that a dotted name is; none if it is no module."""
    if target == PACKAGE:
        return []  # imports nothing by itself
    made = [target.with_suffix(".py"), target / "__init__.py"]
    return [path for path in made if path.is_file()]


def closure(module: str) -> list[Path]:
    """Files that a module (dotted name) is made of, those it imports included, sorted.

    Its own folder's ``__init__`` is among them, so that the code of a family's rows depends on all
    families.
    """
    target = PACKAGE.joinpath(*module.split(".")[1:])
    waiting = _files(target)
    for parent in target.relative_to(PACKAGE).parents:
        waiting += _files(PACKAGE / parent)
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports(path)
    return sorted(found)


def fingerprint(module: str, *more: str) -> str:
    """Hash of the sources of a module, and of what else decides how they compile."""
    digest = hashlib.sha256(" ".join(more).encode())
    for path in closure(module):
        digest.update(path.relative_to(PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:LENGTH]
