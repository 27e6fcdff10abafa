"""The private cache of compiled code: a folder only its owner can write to, files with checksums.

Numba's cache files are pickles of machine code: whoever can write one runs what he likes in our
process, and one altered byte ends it without a word. So the folder is the user's own, and nothing
that is another's, that was cut short or altered is unpickled: it is moved aside, and the code
compiled anew.
"""

import contextlib
import os
import shutil
import stat
import time
import warnings
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numba
import numba.core.config
from numba.core import caching

from ._sources import LENGTH, fingerprint

config: Any = numba.core.config
IndexDataCacheFile: Any = caching.IndexDataCacheFile

STALE_SECONDS = 30 * 24 * 3600  # caches of sources that have not been used for a month are removed
ASIDE = ".damaged"  # ends the name of what was moved aside
WHAT = "compiled code of this package"


@cache
def folder(module: str) -> str | None:
    """Private folder of a module's compiled code as its sources are now; None if there is none.

    The environment variable ``BAYESGLMM_CACHE_DIR`` moves it; set to ``off`` it disables caching.
    Numba's own ``NUMBA_CACHE_DIR`` is not used.
    """
    base = _base()
    if base is None:
        return None
    settings = f"numba {numba.__version__}", f"bounds {config.BOUNDSCHECK}"
    own = base / fingerprint(module, *settings)
    own.mkdir(mode=0o700, exist_ok=True)
    os.utime(own)
    return str(own)


@lru_cache(maxsize=1)
def _base() -> Path | None:
    asked = os.environ.get("BAYESGLMM_CACHE_DIR", "")
    if asked.lower() == "off":
        return None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    own = Path(asked or os.path.join(home, "bayesglmm"))
    base = own / "compiled"
    try:
        for each in (own, base):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_open(each)
        probe = base / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as reason:
        not_cached(reason)
        return None
    _prune(base)
    return base


@cache
def _said(text: str) -> None:
    """Warn once in this process."""
    warnings.warn(text, UserWarning, stacklevel=4)


def not_cached(reason: OSError) -> None:
    """Say that there is no place for compiled code."""
    _said(
        f"compiled code is not cached ({reason}); every process compiles anew. "
        "Set BAYESGLMM_CACHE_DIR to a private, writable folder."
    )


def _refuse_open(place: Path) -> None:
    """Refuse a folder that others can put something into."""
    info = place.stat()
    if not _mine(info):
        raise PermissionError(f"{place} belongs to another user")
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{place} can be written by other users: chmod go-w {place}")


def _mine(info: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or info.st_uid == os.getuid()


def _prune(base: Path) -> None:
    oldest = time.time() - STALE_SECONDS
    for each in base.iterdir():
        if len(each.name.removesuffix(ASIDE)) == LENGTH and each.is_dir():
            try:
                if each.stat().st_mtime < oldest:
                    shutil.rmtree(each)
            except OSError:
                continue  # another process is at it


def move_aside(place: Path, reason: object) -> None:
    """Take what cannot be used out of the way, and say so."""
    warnings.warn(
        f"the cache of compiled code in {place} cannot be used ({reason}); compiling anew. "
        f"What was there is moved to {place.name}{ASIDE}",
        UserWarning,
        stacklevel=2,
    )
    aside = place.with_name(place.name + ASIDE)
    with contextlib.suppress(OSError):  # another process has done it
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        os.replace(place, aside)


class SealedFile(IndexDataCacheFile):
    """Numba's index and data of a function, with checksums behind their content."""

    def _load_index(self) -> Any:
        return super()._load_index() if _sound(Path(self._index_path)) else {}

    def _load_data(self, name: str) -> Any:
        if not _sound(Path(self._data_path(name))):
            raise FileNotFoundError(name)  # numba then compiles
        return super()._load_data(name)

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[Any]:
        from . import sealed

        with super()._open_for_write(filepath) as file:
            yield file
            file.flush()
            sealed.seal(Path(file.name))


def _sound(path: Path) -> bool:
    """Whether a file is as this user wrote it; what is not is moved aside."""
    from . import sealed
    from .errors import LoadError

    try:
        with open(path, "rb") as file:
            if not _mine(os.fstat(file.fileno())):
                raise PermissionError(f"{path} belongs to another user")
            sealed.check(file, path, WHAT)
    except FileNotFoundError:
        return False
    except (OSError, LoadError) as reason:
        move_aside(path, reason)
        return False
    return True


def seal(dispatcher: Any) -> None:
    """Let what a dispatcher reads from its cache and writes there have checksums."""
    plain = dispatcher._cache._cache_file
    name = plain._index_name.removesuffix(".nbi")
    dispatcher._cache._cache_file = SealedFile(plain._cache_path, name, plain._source_stamp)
