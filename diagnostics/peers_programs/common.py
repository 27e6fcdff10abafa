"""What the programs share: the problem they read, clocks, and the draws they write."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Settings(NamedTuple):
    """How a program is to sample."""

    folder: str  # with the problem, and where the draws go
    warmup: int
    draws: int
    chains: int
    cores: int
    seed: int
    variant: str  # a parametrization, or a method for the chains
    budget: float  # CPU seconds of sampling after which it stops with what it has
    longer: float  # CPU seconds for a longer run, whose ESS is better known
    begun: float  # time.time() before the process was started


MOST_DRAWS = 10_000


def more_draws(how: Settings, seconds: float, first: int = 0) -> int:
    """Draws a chain that the longer run can afford, 0 if it is no longer than the first one."""
    draws = int((how.longer / max(seconds, 1e-3)) * how.draws) - first
    return 0 if draws < 2 * how.draws else min(draws, MOST_DRAWS)


def settings() -> Settings:
    """Return the settings from the command line."""
    return Settings(**json.loads(sys.argv[1]))


def read(folder: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the problem and its arrays."""
    problem = json.loads((Path(folder) / "problem.json").read_text(encoding="utf-8"))
    with np.load(Path(folder) / "arrays.npz") as arrays:
        return problem, dict(arrays)


def cpu() -> float:
    """CPU seconds of this process, all its threads, and its children that have ended."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def group_cpu(group: int) -> float:
    """CPU seconds so far of all processes of a process group (Linux)."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended meanwhile
            if int(fields[2]) == group:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


class Clock:
    """CPU and wall-clock seconds of phases."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.seconds: dict[str, list[float]] = {}

    def __call__(self, phase: str, function: Callable[[], Any]) -> Any:
        """Call a function as a phase."""
        before, wall = cpu(), time.perf_counter()
        result = function()
        self.seconds[phase] = [cpu() - before, time.perf_counter() - wall]
        return result

    def whole(self) -> None:
        """Note what the process took up to here."""
        self.seconds["whole"] = [cpu(), time.time() - self.begun]


def at_zero(intercept: np.ndarray, b: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Coefficients (chains, draws, p), the intercept first and at x = 0."""
    return np.concatenate([(intercept - b @ center)[..., None], b], axis=-1)


def flat(u: np.ndarray) -> np.ndarray:
    """Effects (chains, draws, ...) as (chains, draws, effects)."""
    return u.reshape(*u.shape[:2], -1)


def below(cor: np.ndarray) -> np.ndarray:
    """Correlations below the diagonal of (chains, draws, q, q)."""
    rows, columns = np.tril_indices(cor.shape[-1], -1)
    return cor[..., rows, columns]


def write(folder: str, draws: dict[str, list[np.ndarray]], clock: Clock, **notes: Any) -> None:
    """Write draws, arrays (chains, draws, k) by kind, and the seconds with notes."""
    joined = {name: np.concatenate(parts, axis=-1) for name, parts in draws.items() if parts}
    np.savez(Path(folder) / "draws.npz", **joined)
    text = json.dumps({"seconds": clock.seconds, **notes})
    (Path(folder) / "run.json").write_text(text, encoding="utf-8")
