"""Plain-Python copies of the package with one line changed: broken on purpose."""

import importlib
import itertools
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from numba.core import config

import bayesglmm

_numbers = itertools.count()

# As compiled code has it: what has no value is nan, and what is too large is infinite. Python's own
# functions raise there, and a copy would stop at a proposal that compiled code rejects.
QUIET = """
import math
from math import *

def sqrt(x):
    return math.sqrt(x) if x >= 0.0 else math.nan

def log(x):
    return math.log(x) if x > 0.0 else -math.inf if x == 0.0 else math.nan

def log1p(x):
    return math.log1p(x) if x > -1.0 else -math.inf if x == -1.0 else math.nan

def exp(x):
    return math.exp(x) if not x > 709.0 else math.inf
"""


@dataclass(frozen=True)
class Change:
    """One change of one file of the package."""

    name: str
    file: str
    old: str
    new: str


def plain_copy(folder: Path, change: Sequence[str] | None = None) -> Callable[[str], ModuleType]:
    """Copy the package into a folder, replace one piece of one file, and turn compilation off.

    `change` is (file, old, new), or None for a faithful copy; `old` must occur exactly once. The
    result imports modules of the copy by name.
    """
    name = f"bayesglmm_copy_{next(_numbers)}"
    copy = folder / name
    shutil.copytree(Path(bayesglmm.__file__).parent, copy, ignore=shutil.ignore_patterns("*.pyc"))
    for path in copy.rglob("*.py"):
        text = path.read_text("utf-8")
        quiet = re.sub(r"^import math$", f"from {name} import quiet_math as math", text, flags=re.M)
        if quiet != text:
            path.write_text(quiet, "utf-8")
    (copy / "quiet_math.py").write_text(QUIET, "utf-8")
    if change is not None:
        file, old, new = change
        source = (copy / file).read_text()
        assert source.count(old) == 1, f"{old!r} must stand once in {file}"
        (copy / file).write_text(source.replace(old, new))

    def load(module: str) -> ModuleType:
        before = config.DISABLE_JIT
        sys.path.insert(0, str(folder))
        config.DISABLE_JIT = True
        try:
            return importlib.import_module(f"{name}.{module}")
        finally:
            config.DISABLE_JIT = before
            sys.path.remove(str(folder))

    return load
