"""Runs of the benchmark: the peers' environment, one process a run, its figures kept as JSON."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bayesglmm.model import Model

from . import ROOT
from .peers_programs.common import group_cpu

PROGRAMS = Path(__file__).parent / "peers_programs"
# The newest of 2026-11; they need Python 3.12.
PINNED = {
    "nutpie": "0.16.11",
    "pymc": "6.4.0",
    "numpyro": "0.22.0",
    "jax": "0.12.0.1",
    "bambi": "0.21.0",
    "arviz": "1.3.0",
    "numba": "0.68.0",
    "numpy": "2.5.5",
}
INTERPRETERS = ("python3.13", "python3.12", "python3.14")
BYTECODE = Path(tempfile.gettempdir()) / "bayesglmm-bytecode"
CHAINS, WARMUP, DRAWS, CORES, SEED = 4, 1000, 1000, 2, 1
LONGER_SECONDS = 8.0  # CPU, of the run that the ESS is taken from
SHORT = 150  # iterations of warm-up, and draws, where the usual ones do not end in time
GRACE = 90.0  # CPU seconds beside those of sampling: imports, compilation, a summary
NICE = 10
CONVERGED = 1.01


class Program(NamedTuple):
    """How a peer is run.

    Attributes
    ----------
    script, argument : str
    packages : tuple of str
        Whose versions matter.
    correlated : bool
        Whether it has correlated effects.
    """

    script: str
    argument: str
    packages: tuple[str, ...]
    correlated: bool = True


PEERS = {
    "nutpie": Program("run_pymc.py", "nutpie", ("nutpie", "pymc")),
    "NumPyro": Program("run_numpyro.py", "parallel", ("numpyro", "jax")),
    "Bambi": Program("run_bambi.py", "", ("bambi", "pymc"), correlated=False),
    "PyMC": Program("run_pymc.py", "pymc", ("pymc",)),
}


def environment(folder: Path) -> Path:
    """Make the peers' environment if it is not there; return its interpreter."""
    python = folder / "venv" / "bin" / "python"
    asked = folder / "installed.json"
    if python.exists() and asked.exists() and json.loads(asked.read_text()) == PINNED:
        return python
    found = [shutil.which(name) for name in INTERPRETERS]
    base = next((path for path in found if path and _runs(path)), None)
    if base is None:
        sys.exit(f"the peers need one of {', '.join(INTERPRETERS)} on the path")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([base, "-m", "venv", "--clear", str(folder / "venv")], check=True)
    wanted = [f"{name}=={version}" for name, version in PINNED.items()]
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
    asked.write_text(json.dumps(PINNED))
    return python


def _runs(path: str) -> bool:
    """Whether it is an interpreter, and not a version manager's word that there is none."""
    return subprocess.run([path, "-c", "pass"], capture_output=True).returncode == 0


def run(
    command: list[str], folder: Path, *, variant: str, cap: float, length: int, longer: float
) -> dict[str, Any]:
    """Run a program in a process group of its own; return its notes, or how it failed.

    Parameters
    ----------
    cap : float
        CPU seconds of sampling; with `GRACE` more the whole group is ended.
    length : int
        Iterations of warm-up, and draws.
    """
    for name in ("run.json", "draws.npz"):
        (folder / name).unlink(missing_ok=True)
    settings = {
        "folder": str(folder),
        "warmup": min(WARMUP, length),
        "draws": length,
        "chains": CHAINS,
        "cores": CORES,
        "seed": SEED,
        "variant": variant,
        "budget": cap,
        "longer": longer,
        "begun": time.time(),
    }
    command = [command[0], command[1], json.dumps(settings), *command[2:]]
    # Installers write bytecode; a process that may not keep any is not what a user has.
    surroundings = dict(os.environ)
    surroundings.pop("PYTHONDONTWRITEBYTECODE", None)
    if command[0] == sys.executable:
        surroundings |= {"PYTHONPYCACHEPREFIX": str(BYTECODE), "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["nice", "-n", str(max(0, NICE - os.nice(0))), *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=surroundings,
            start_new_session=True,
        )
        used = 0.0
        try:
            while process.poll() is None:
                time.sleep(0.5)
                used = max(used, group_cpu(process.pid))
                if used > cap + longer + GRACE:
                    return {"over": used}
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode != 0:
            output.seek(0)
            text = output.read().decode(errors="replace").strip().splitlines()
            return {"failed": text[-1] if text else f"exit code {process.returncode}"}
    return {**json.loads((folder / "run.json").read_text()), "length": length}


def figures(notes: dict[str, Any], folder: Path, model: Model) -> dict[str, Any]:
    """Add what the draws show: the least bulk ESS and the largest R-hat, by ArviZ; moments."""
    from arviz_stats.base import array_stats

    with np.load(folder / "draws.npz") as arrays:
        draws = dict(arrays)
    names = model.names
    rows = {"beta": names.fixed, "sd": names.sd, "cor": names.cor, "sigma": names.dispersion}
    ess, r_hat, moments = {}, {}, {}
    for kind, values in draws.items():
        if values.shape[1] < 4 or not values.shape[2]:
            continue
        each = array_stats.ess(values, chain_axis=0, draw_axis=1, method="bulk")
        hats = array_stats.rhat(values, chain_axis=0, draw_axis=1, method="rank")
        worst = int(np.argmin(np.nan_to_num(each)))
        name = rows[kind][worst] if kind in rows else f"u{worst}"
        ess[kind] = [float(each[worst]), name]
        r_hat[kind] = float(np.nan_to_num(hats, nan=np.inf).max())
        if kind in rows:
            for place, row in enumerate(rows[kind]):
                column = values[..., place]
                sd = float(column.std())
                moments[row] = [float(column.mean()), sd, sd / float(each[place]) ** 0.5]
    count = int(draws["beta"].shape[1])
    return {**notes, "draws": count, "ess": ess, "r_hat": r_hat, "moments": moments}


def version_of(python: Path, packages: Iterable[str]) -> str:
    """Return names and versions of packages in an environment."""
    code = "import sys\nfrom importlib.metadata import version\n"
    code += "print(', '.join(f'{name} {version(name)}' for name in sys.argv[1:]))"
    done = subprocess.run(
        [str(python), "-c", code, *packages], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def source_of(script: str) -> str:
    """Return a fingerprint of a program."""
    content = (PROGRAMS / script).read_bytes()
    return hashlib.sha256(content).hexdigest()[:8]
