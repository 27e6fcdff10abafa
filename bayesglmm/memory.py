"""How much memory there is, and giving it back."""

from pathlib import Path

GROUP = Path("/sys/fs/cgroup")  # of Linux: the limits of a container


def available() -> int | None:
    """Return the bytes of memory that can be had now, None where that is not known."""
    free = _free()
    limit, used = _number(GROUP / "memory.max"), _number(GROUP / "memory.current")
    if limit is not None and used is not None:
        free = max(0, limit - used) if free is None else min(free, max(0, limit - used))
    return free


def _free() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _physical()
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    text = sizes.get("MemAvailable", "").split()
    return 1024 * int(text[0]) if text else None


def _physical() -> int | None:
    """All of the memory, where the system does not say how much of it is free."""
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # there is no such file, or it says "max"


def give_back() -> None:
    """Return what has been freed to the system, where the C library keeps it (glibc does)."""
    import ctypes
    import sys

    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def gibibytes(size: float) -> str:
    """Return a number of bytes in words, ``3.2 GiB``."""
    return f"{size / 2**30:.3g} GiB"
