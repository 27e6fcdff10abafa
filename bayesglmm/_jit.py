"""The only importer of numba's decorators: options, lazy compilation, and the private cache.

These decorators cover everything that is compiled:

- ``kernel``: an inner function; LLVM inlines it into the entry points that call it. ``bare``: one
  without reference counts, which neither makes nor returns an array; ``apart``: a bare one that is
  not inlined, so that all calls of one entry point run the same machine code.
- ``simd``: an inner function of row loops, where contracting a*b+c and reciprocals is allowed;
  ``reduce``: a sum over a vector.
- ``entry``: an entry point called from Python or through a pointer. One fixed signature, compiled
  at the first call and never at import, cached under a folder named by a hash of the sources.

Only entry points are cached: numba does not notice an edited callee in another file, and an index
of a generic function is poisoned by a user's class. A folder named by the hash of all sources that
the code can come from (`_sources`) cures the first, fixed signatures the second.
"""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numba
import numba.core.config
import numba.extending
from numba.core.compiler_lock import global_compiler_lock

from ._linking import compiling, keep_apart
from ._sources import LENGTH, fingerprint

__all__ = [
    "apart",
    "bare",
    "entry",
    "intrinsic",
    "kernel",
    "overload",
    "pointer",
    "pointer_type",
    "reduce",
    "simd",
    "typeof",
    "types",
]

# numba's own annotations do not describe what its decorators return, nor its settings.
njit: Any = numba.njit
config: Any = numba.core.config
intrinsic: Any = numba.extending.intrinsic
overload: Any = numba.extending.overload
typeof: Any = numba.typeof
types: Any = numba.types

ENABLED = not config.DISABLE_JIT

# No "reassoc", "nnan" or "ninf": reassociation breaks the magic-number rounding of exp, and the
# others make isnan() false, which would silence the divergence check.
ROW_FLAGS = {"contract", "arcp", "nsz"}
SUM_FLAGS = ROW_FLAGS | {"reassoc"}  # for plain sums of products only: eight at a time

# Inner functions are never called from Python, and wrappers for that take long to compile.
INNER: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

STALE_SECONDS = 30 * 24 * 3600  # caches of sources that have not been used for a month are removed


def _inner(dispatcher: Any, inline: bool = True) -> Any:
    """Compile a function only to be linked into its callers (see `_linking`)."""
    compile_alone = dispatcher.compile

    def compile_for_linking(signature: Any) -> Any:
        # The lock is numba's own, taken before the mark is set and held while it stands.
        with global_compiler_lock, compiling(inner=True):
            made = compile_alone(signature)
            if not inline:
                keep_apart(dispatcher)
            return made

    dispatcher.compile = compile_for_linking
    return dispatcher


def kernel(function: Callable[..., Any]) -> Any:
    """Compile an inner function, on demand of the entry points that call it."""
    # Stated, or a kernel that `bare` code calls would be compiled without counts as well.
    made = njit(**INNER, fastmath={"contract"}, _nrt=True)(function)
    return _inner(made) if ENABLED else made


def bare(function: Callable[..., Any]) -> Any:
    """Compile an inner function that makes no array and returns none, without reference counts.

    Each slice of an array is counted otherwise, by two atomic additions: a third of the time of a
    sweep over a hundred groups.
    """
    made = njit(**INNER, fastmath={"contract"}, _nrt=False)(function)
    return _inner(made) if ENABLED else made


def apart(function: Callable[..., Any]) -> Any:
    """Compile a bare inner function that is called, never inlined.

    Inlined in two places it could be rounded in two ways: a multiplication and an addition become
    one operation or not as the code around them has it.
    """
    made = njit(**INNER, fastmath={"contract"}, _nrt=False)(function)
    return _inner(made, inline=False) if ENABLED else made


def simd(function: Callable[..., Any]) -> Any:
    """Compile an inner function of row loops: fused multiply-add and reciprocals allowed.

    Inlined by force: a call that LLVM deems too large to inline stops the vectorizer.
    """
    return njit(nogil=True, error_model="numpy", fastmath=ROW_FLAGS, forceinline=True)(function)


def reduce(function: Callable[..., Any]) -> Any:
    """Compile a plain sum over a vector, whose order the compiler may choose once and for all."""
    made = njit(**INNER, fastmath=SUM_FLAGS, _nrt=False)(function)
    return _inner(made) if ENABLED else made


def pointer_type(signature: Any) -> Any:
    """Numba's type of a pointer to a compiled function of the given signature."""
    return types.FunctionType(signature)


@cache
def cache_folder(module: str) -> str | None:
    """Private folder of a module's compiled code as its sources are now; None if there is none.

    The environment variable ``BAYESGLMM_CACHE_DIR`` moves it; set to ``off`` it disables caching.
    """
    base = _base_folder()
    if base is None:
        return None
    settings = f"numba {numba.__version__}", f"bounds {config.BOUNDSCHECK}"
    folder = base / fingerprint(module, *settings)
    folder.mkdir(mode=0o700, exist_ok=True)
    os.utime(folder)
    return str(folder)


@lru_cache(maxsize=1)
def _base_folder() -> Path | None:
    asked = os.environ.get("BAYESGLMM_CACHE_DIR", "")
    if asked.lower() == "off":
        return None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    base = Path(asked or os.path.join(home, "bayesglmm")) / "compiled"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(base):
            # numba's cache files are pickles: a folder that others can write to is a way in.
            raise PermissionError(f"{base} can be written by other users")
        probe = base / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as reason:
        warnings.warn(
            f"compiled code is not cached ({reason}); every process compiles anew. "
            "Set BAYESGLMM_CACHE_DIR to a private, writable folder.",
            UserWarning,
            stacklevel=2,
        )
        return None
    _prune(base)
    return base


def _is_private(folder: Path) -> bool:
    info = folder.stat()
    mine = not hasattr(os, "getuid") or info.st_uid == os.getuid()
    return mine and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _prune(base: Path) -> None:
    oldest = time.time() - STALE_SECONDS
    for folder in base.iterdir():
        if len(folder.name) == LENGTH and folder.is_dir():
            try:
                if folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder)
            except OSError:
                continue  # another process is at it


def entry(
    signature: Any, *, cache: bool = True, also: str = ""
) -> Callable[[Callable[..., Any]], Any]:
    """Make an entry point: one signature, compiled and cached at the first call.

    Parameters
    ----------
    signature : numba signature, or a function without arguments that returns it
        A function delays what the signature needs to the first call.
    cache : bool
        False for code that closes over a user's own functions, which numba cannot cache.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        return _Entry(function, signature, cache) if ENABLED else function

    return decorate


class _Entry:
    """A function that compiles itself at the first use."""

    def __init__(self, function: Callable[..., Any], signature: Any, cache: bool) -> None:
        self.python, self.signature, self.cache = function, signature, cache
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._compiled: Any = None
        self._elsewhere: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> str | None:
        """Where the compiled code is cached."""
        return cache_folder(self.python.__module__) if self.cache else None

    @property
    def compiled(self) -> Any:
        """The dispatcher, ready to be called or passed as a pointer."""
        if self._compiled is None:
            if self._elsewhere is not None:
                # Whatever came of it: what is not in the cache now is compiled here.
                self._elsewhere.wait()
                self._elsewhere = None
            self._compiled = _compile(self.python, self.signature, self.folder)
        return self._compiled

    def compile_elsewhere(self) -> None:
        """Begin to compile into the cache in a second process, if there is work and a core for it.

        The first use of the entry point waits for it.
        """
        folder = self.folder
        started = self._compiled is not None or self._elsewhere is not None
        if folder is None or started or (os.cpu_count() or 1) < 2 or not sys.executable:
            return
        module, name = self.python.__module__, self.python.__name__
        if any(Path(folder).rglob(f"{module.rpartition('.')[2]}.{name}-*.nbi")):
            return
        script = f"import importlib; importlib.import_module({module!r}).{name}.compiled"
        roots = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots))}
        with contextlib.suppress(OSError):
            self._elsewhere = subprocess.Popen(
                # -P: nothing is imported from the working folder.
                [sys.executable, "-P", "-c", script],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def __call__(self, *args: Any) -> Any:
        # An entry point among the arguments goes in as a pointer.
        return self.compiled(*[pointer(a) for a in args])


def _compile(function: Callable[..., Any], signature: Any, folder: str | None) -> Any:
    signature = signature() if callable(signature) else signature
    try:
        return _dispatcher(function, signature, folder)
    except (OSError, EOFError, ValueError, AttributeError, ImportError) as reason:
        if folder is None:
            raise
        # A truncated or altered index: move the folder aside and compile anew.
        warnings.warn(
            f"the cache of compiled code in {folder} cannot be read ({reason!r}); compiling anew",
            UserWarning,
            stacklevel=2,
        )
        shutil.rmtree(folder, ignore_errors=True)
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        return _dispatcher(function, signature, folder)


def _dispatcher(function: Callable[..., Any], signature: Any, folder: str | None) -> Any:
    previous = config.CACHE_DIR
    if folder is not None:
        config.CACHE_DIR = folder
    try:
        made = njit(nogil=True, error_model="numpy", cache=folder is not None)(function)
        with global_compiler_lock, compiling(inner=False):
            made.compile(signature)
    finally:
        config.CACHE_DIR = previous
    made.disable_compile()
    return made


def pointer(function: Any) -> Any:
    """What compiled code takes for a function pointer: the dispatcher of an entry point."""
    return function.compiled if isinstance(function, _Entry) else function
