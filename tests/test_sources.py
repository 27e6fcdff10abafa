"""The files that a module's compiled code can come from: none may be missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bayesglmm
from bayesglmm._sources import PACKAGE, closure, fingerprint

ROOT = Path(bayesglmm.__file__).parent
WITH_ENTRIES = sorted(
    path.relative_to(ROOT.parent).with_suffix("").as_posix().replace("/", ".")
    for path in ROOT.rglob("*.py")
    if "@entry" in path.read_text(encoding="utf-8")
)


def loaded(module: str) -> set[Path]:
    """Files of the package that Python itself loads to import a module."""
    code = (
        f"import sys, {module}\n"
        "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('bayesglmm')])"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],  # -P: not the sources in the working folder
        env={**os.environ, "PYTHONPATH": str(ROOT.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {Path(name) for name in run.stdout.split()}


@pytest.mark.parametrize("module", WITH_ENTRIES)
def test_no_file_that_is_imported_is_missing(module):
    assert loaded(module) - {ROOT / "__init__.py"} <= set(closure(module))


def test_results_do_not_touch_compiled_code():
    names = {path.name for path in closure("bayesglmm.conditionals.transport")}
    assert "lanes.py" in names
    assert "_simd.py" in names
    assert not names & {"posterior.py", "cli.py", "elimination.py"}


def test_a_familys_own_file_counts():
    own = PACKAGE / "families" / "poisson.py"
    assert own in closure("bayesglmm.families._rows")


def test_settings_change_the_fingerprint():
    module = "bayesglmm.lanes"
    assert fingerprint(module, "numba 1") == fingerprint(module, "numba 1")
    assert fingerprint(module, "numba 1") != fingerprint(module, "numba 2")
    assert fingerprint(module, "numba 1") != fingerprint("bayesglmm.density", "numba 1")
