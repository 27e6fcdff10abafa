"""What is kept of the draws of effects: all, their sums, or all on the disk; what that takes."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import footprint, memory
from .errors import DataError
from .memory import gibibytes

if TYPE_CHECKING:
    from .model import Model

KEEP = ("all", "summary", "stream")
MOST = 0.6  # of the available memory: the chains' states and the tables need some too
LARGE = 2**30  # bytes above which the estimate is printed


def check(
    model: "Model",
    *,
    keep: Any,
    stream: Any,
    sampler: str,
    chains: int,
    draws: int,
    jobs: int | None = None,
    had: int = 0,
    own: str | None = None,
    quiet: bool = False,
) -> None:
    """Refuse draws that would not fit before anything is allocated.

    Parameters
    ----------
    keep, stream
        As of `Model.sample`.
    sampler : str
        What the chains move by.
    chains, draws : int
        Numbers of chains, and of draws of each.
    jobs : int, optional
        Threads.
    had : int
        Draws of each that are in memory already.
    own : str, optional
        Token of the run whose file the stream may be already.
    quiet : bool
        Whether a large estimate is not printed.

    Raises
    ------
    DataError
        With the estimate, what is available, and what takes less.
    """
    if keep not in KEEP:
        raise DataError(f"keep={keep!r} does not exist; there are {', '.join(KEEP)}")
    if (stream is None) == (keep == "stream"):
        raise DataError(
            "keep='stream' takes stream=\"effects.nc\", the file that the draws of effects go to; "
            "no other keep= has one"
        )
    from .chains.threads import threads

    counts: dict[str, Any] = {"chains": chains, "draws": draws, "had": had}
    counts["threads"] = threads(jobs, chains)
    sizes = {each: footprint.size(model, sampler, each, **counts) for each in KEEP}
    effects = footprint.count(model)
    others = len(model.names.fixed) + len(model.names.sd) + len(model.names.cor)
    on_disk = 8 * chains * (draws + had) * effects
    size, free = sizes[keep], memory.available()
    words = (
        f"{chains} chains of {draws} draws of {effects} effects and {others} other numbers take "
        f"{gibibytes(size)} of memory with keep={keep!r}"
    )
    if free is not None and size > MOST * free:
        raise DataError(
            f"{words}; {gibibytes(free)} are available. {_remedy(keep, sizes, on_disk)}"
        )
    if keep == "stream":
        _check_disk(Path(stream), on_disk, own)
        words += f", and {gibibytes(on_disk)} in {stream}"
    if max(size, on_disk if keep == "stream" else 0) > LARGE and not quiet:
        print(words, file=sys.stderr)


@contextmanager
def told(
    model: "Model", *, keep: str, sampler: str, chains: int, draws: int, jobs: int | None
) -> Iterator[None]:
    """Say what a run takes where the memory ends all the same.

    Raises
    ------
    MemoryError
        With the estimate and what takes less.
    """
    from .chains.threads import threads

    try:
        yield
    except MemoryError as error:
        counts: dict[str, Any] = {"chains": chains, "draws": draws}
        counts["threads"] = threads(jobs, chains)
        sizes = {each: footprint.size(model, sampler, each, **counts) for each in KEEP}
        on_disk = 8 * chains * draws * footprint.count(model)
        raise MemoryError(
            f"the memory ended ({error}); {chains} chains of {draws} draws were estimated to take "
            f"{gibibytes(sizes[keep])} with keep={keep!r}. {_remedy(keep, sizes, on_disk)}"
        ) from error


def _remedy(keep: str, sizes: dict[str, int], on_disk: int) -> str:
    """What to do instead, in words."""
    if keep != "all":
        return "Ask for fewer draws, or thin them: draws=200, thin=5"
    return (
        f"keep='summary' takes {gibibytes(sizes['summary'])}: moments, quantiles and the verdict "
        f"of the effects without their draws. keep='stream' takes {gibibytes(sizes['stream'])} "
        f"and puts {gibibytes(on_disk)} on the disk. Or ask for fewer draws"
    )


def _check_disk(path: Path, size: int, own: str | None) -> None:
    from .effects_file import is_of

    if is_of(path, own):
        return
    if path.exists():
        raise DataError(f"{path} exists, and a stream replaces no file: name another")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder} for stream={str(path)!r}")
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"the draws of effects take {gibibytes(size)} in {path}, where {gibibytes(free)} are "
            "free. Ask for fewer draws, or thin them"
        )
