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

import atexit
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.core.config
import numba.core.errors
import numba.extending
from numba.core.compiler_lock import global_compiler_lock

from ._linking import compiling, keep_apart

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
        # Imported here, as below: how code is cached is no part of what it is compiled from.
        from . import _cache

        return _cache.folder(self.python.__module__) if self.cache else None

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

    @property
    def cached(self) -> bool:
        """Whether the compiled code is in the cache."""
        module, name = self.python.__module__, self.python.__name__
        pattern = f"{module.rpartition('.')[2]}.{name}-*.nbi"
        return self.folder is not None and any(Path(self.folder).rglob(pattern))

    def compile_elsewhere(self) -> None:
        """Begin to compile into the cache in a second process, if there is work and a core for it.

        The first use of the entry point waits for it.
        """
        started = self._compiled is not None or self._elsewhere is not None
        if self.folder is None or started or (os.cpu_count() or 1) < 2 or not sys.executable:
            return
        if self.cached:
            return
        module, name = self.python.__module__, self.python.__name__
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
            atexit.register(_end, self._elsewhere)

    def __call__(self, *args: Any) -> Any:
        # An entry point among the arguments goes in as a pointer.
        return self.compiled(*[pointer(a) for a in args])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process whose work nobody waits for any more; what it has cached is whole."""
    if process.poll() is None:
        process.kill()
        process.wait()


def _compile(function: Callable[..., Any], signature: Any, folder: str | None) -> Any:
    signature = signature() if callable(signature) else signature
    if folder is None:
        return _dispatcher(function, signature, None)
    from . import _cache

    try:
        return _dispatcher(function, signature, folder)
    except numba.core.errors.NumbaError:
        raise
    except OSError as reason:  # the disk is full, say
        _cache.not_cached(reason)
        return _dispatcher(function, signature, None)
    except Exception as reason:  # whatever it is that does not fit
        _cache.move_aside(Path(folder), repr(reason))
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        return _dispatcher(function, signature, folder)


def _dispatcher(function: Callable[..., Any], signature: Any, folder: str | None) -> Any:
    previous = config.CACHE_DIR
    if folder is not None:
        config.CACHE_DIR = folder
    try:
        made = njit(nogil=True, error_model="numpy", cache=folder is not None)(function)
        if folder is not None:
            from . import _cache

            _cache.seal(made)
        with global_compiler_lock, compiling(inner=False):
            made.compile(signature)
    finally:
        config.CACHE_DIR = previous
    made.disable_compile()
    return made


def pointer(function: Any) -> Any:
    """What compiled code takes for a function pointer: the dispatcher of an entry point."""
    return function.compiled if isinstance(function, _Entry) else function
