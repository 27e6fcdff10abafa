"""Compiled code with every place of every array checked: an IndexError is a defect.

Tests that go through all samplers, families, structures and fits are run with NUMBA_BOUNDSCHECK=1,
which compiles everything anew, in a cache of its own. ``tests/test_bounds.py`` shows that such a
check sees what it has to.

Run as ``python -m diagnostics.bounds``; ends with code 1 if a test fails. ``--short`` is for
densities and Laplace fits alone, in a minute: samplers take four to compile, and the tests run them
as plain Python too, where numpy refuses places beyond the end of an array.
"""

import os
import subprocess
import sys
import tempfile
import time

from . import ROOT
from .report import Report, parser

SHORT = ("tests/test_plain_path.py::test_log_density_and_gradient",)
# The first goes through every kind of sampler, density and fit; the others reach what only many
# rows, several threads, new data and diagnostics do.
ALL = (
    "tests/test_plain_path.py",
    "tests/test_bad_fits.py",
    "tests/test_careful_modes.py",
    "tests/test_centring.py",
    "tests/test_covariance.py",
    "tests/test_crew.py",
    "tests/test_crossed.py",
    "tests/test_diagnostics.py",
    "tests/test_elimination.py",
    "tests/test_every_sampler.py",
    "tests/test_few_groups.py",
    "tests/test_glm.py",
    "tests/test_gradients.py",
    "tests/test_prediction.py",
)


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--short", action="store_true", help="densities and Laplace fits only")
    arguments = options.parse_args()
    report = Report("bounds", keep=not arguments.no_save)
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "BAYESGLMM_CACHE_DIR": cache}
        begun = time.perf_counter()
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *(SHORT if arguments.short else ALL)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
    if run.returncode != 0:
        report(run.stdout)
    report(run.stdout.strip().splitlines()[-1])
    outside = run.stdout.count("IndexError")
    report(f"{outside} times outside of an array ({time.perf_counter() - begun:.0f} s)")
    report.save()
    return 0 if run.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
