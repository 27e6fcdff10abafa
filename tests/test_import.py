"""Starting up: importing the package, or asking for help, imports nothing heavy."""

import subprocess
import sys

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

COLD = {
    "the package": "import bayesglmm",
    "its priors": "import bayesglmm as bg; bg.Normal(0, 1), bg.LKJ(2)",
    "its command line's help": (
        "import contextlib, io; from bayesglmm.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['sample', '--help'])"
    ),
}


@pytest.mark.parametrize("what", COLD)
def test_nothing_heavy_is_imported_by(what):
    code = f"{COLD[what]}\nimport sys; print(*(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())


def test_every_public_name_can_be_had():
    for name in bg.__all__:
        value = getattr(bg, name)
        assert getattr(value, "__module__", getattr(value, "__name__", "")).startswith("bayesglmm.")
    assert set(bg.__all__) <= set(dir(bg))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'glm'"):
        _ = bg.glm
