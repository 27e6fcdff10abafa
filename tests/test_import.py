"""Starting up: nothing heavy is imported before it is needed."""

import os
import subprocess
import sys
from typing import Any

import pytest

import bayesglmm as bg

HEAVY = {
    "numba",
    "pandas",
    "scipy",
    "xarray",
    "arviz_base",
    "arviz_stats",
    "arviz_plots",
    "matplotlib",
    "formulaic",
    "narwhals",
    "h5py",
    "rich",
}

PARTS_OF_SCIPY = {f"scipy.{part}" for part in ("fft", "linalg", "optimize", "sparse", "special")}

COLD = {
    "the package": "import bayesglmm",
    "its priors": "import bayesglmm as bg; bg.Normal(0, 1), bg.LKJ(2)",
    "its command line's help": (
        "import contextlib, io; from bayesglmm.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['sample', '--help'])"
    ),
}


WARM = {
    "a model of arrays": (
        "import bayesglmm as bg; import numpy as np\n"
        "bg.glmm('y ~ x + (1 | g)', {'y': np.arange(6.0), 'x': np.ones(6) * [0, 1, 1, 2, 0, 1],"
        " 'g': np.array([1, 1, 2, 2, 3, 3])})"
    ),
    "sampling a CSV file from the command line": (
        "from bayesglmm.cli import main\n"
        "code = main(['sample', 'data.csv', 'y ~ x + a + (1 | g)', '--family', 'poisson',"
        " '--factor', 'a', '--seed', '1', '--chains', '2', '--draws', '4', '--warmup', '4'])\n"
        "assert code in (0, 1), code"
    ),
}
ROWS = "y,x,a,g\n2,0.1,1,s\n3,0.5,2,s\n0,0.2,1,t\n1,0.9,2,t\n4,0.8,1,u\n2,0.4,2,u\n"


def imported_by(code: str, **options: Any) -> set[str]:
    code = f"{code}\nimport sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, **options)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("what", COLD)
def test_nothing_heavy_is_imported_by(what):
    assert HEAVY.isdisjoint(imported_by(COLD[what]))


@pytest.mark.parametrize("what", WARM)
def test_only_numba_is_imported_by(what, tmp_path):
    (tmp_path / "data.csv").write_text(ROWS)
    # Where numba has to compile, it imports scipy.linalg for its own use: here it does not.
    interpreted = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    modules = imported_by(WARM[what], cwd=tmp_path, env=interpreted)
    # `import numba` imports the top of scipy, which is small, to see its version.
    assert modules & HEAVY <= {"numba", "scipy"}
    assert modules.isdisjoint(PARTS_OF_SCIPY)


def test_every_public_name_can_be_had():
    for name in bg.__all__:
        value = getattr(bg, name)
        assert getattr(value, "__module__", getattr(value, "__name__", "")).startswith("bayesglmm.")
    assert set(bg.__all__) <= set(dir(bg))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'glm'"):
        _ = bg.glm
