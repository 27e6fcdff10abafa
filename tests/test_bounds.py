"""With NUMBA_BOUNDSCHECK=1 a place outside of an array is an error, in all that is compiled.

The flag is part of the name of the cache's folders: code compiled without checks is not reused.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bayesglmm
from bayesglmm._jit import ENABLED

pytestmark = pytest.mark.skipif(not ENABLED, reason="nothing is compiled")

KINDS = ("kernel", "bare", "apart", "simd", "reduce")
INNER = """
import numpy as np
from bayesglmm import _jit
from bayesglmm._jit import entry, types

def looking(decorate):
    @decorate
    def inner(x, i):
        return x[i]

    @entry(types.float64(types.float64[::1], types.int64), cache=False)
    def outer(x, i):
        return inner(x, i)

    return outer

x, found = np.arange(8.0)[:3], {}
for name in {kinds}:
    look = looking(getattr(_jit, name))
    assert look(x, 2) == 2.0
    try:
        found[name] = look(x, 5)
    except IndexError:
        found[name] = "refused"
print(found)
""".replace("{kinds}", repr(KINDS))

DRAWN = """
import numpy as np
from bayesglmm import _random

room = np.zeros(8)
_random.fill_normals_into(_random.keys(1, 1)[0], room[:3])
print(np.flatnonzero(room))
"""
SOUND, BROKEN = "out[out.size - 1] = normal(state)", "out[out.size] = normal(state)"


def outcome(code, root, cache, checked):
    """What a process prints, or the last line of its complaint."""
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],  # -P: not what lies in the working folder
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "BAYESGLMM_CACHE_DIR": str(cache),
            "NUMBA_BOUNDSCHECK": str(int(checked)),
        },
        capture_output=True,
        text=True,
    )
    return (run.stdout or run.stderr).strip().splitlines()[-1]


def test_every_kind_of_inner_function_is_checked(tmp_path):
    root = Path(bayesglmm.__file__).parent.parent
    assert outcome(INNER, root, tmp_path, False) == str(dict.fromkeys(KINDS, 5.0))
    assert outcome(INNER, root, tmp_path, True) == str(dict.fromkeys(KINDS, "refused"))


def test_a_broken_copy_is_caught_though_its_code_is_cached(tmp_path):
    package = tmp_path / "bayesglmm"
    shutil.copytree(Path(bayesglmm.__file__).parent, package)
    cache = tmp_path / "cache"
    assert outcome(DRAWN, tmp_path, cache, True) == "[0 1 2]"
    path = package / "_random.py"
    source = path.read_text("utf-8")
    assert source.count(SOUND) == 1
    path.write_text(source.replace(SOUND, BROKEN), "utf-8")
    assert outcome(DRAWN, tmp_path, cache, False) == "[0 1 3]"
    assert outcome(DRAWN, tmp_path, cache, True).startswith("IndexError")
