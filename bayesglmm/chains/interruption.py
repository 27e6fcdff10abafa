"""Ctrl-C while chains run: a flag instead of an exception."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_by_interrupt(stop: threading.Event) -> Iterator[None]:
    """Make Ctrl-C set the flag instead of raising: chains end at their next chunk.

    Signals reach the main thread only; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def ignored_interrupt() -> Iterator[None]:
    """Leave Ctrl-C to the main process: a terminal sends it to all processes at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
