"""Ctrl-C at a place of a run instead of a time: on any machine the same happens."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bayesglmm import chains
from bayesglmm.chains.worker import Worker

PATIENCE = 600.0  # seconds until a main thread that does not hear of it is given up


@contextmanager
def interrupted_at(
    place: int, *, chains_there: int = 1, longest: int | None = None
) -> Iterator[None]:
    """Press Ctrl-C once that many chains, which run on threads, are at an iteration or beyond.

    Chains that come by then wait until the main thread has heard it: none runs to its end before.
    Chunks have at most `longest` iterations.
    """
    there: set[int] = set()
    pressed, lock = threading.Event(), threading.Lock()
    flags: list[threading.Event] = []
    move, run_on_threads = Worker._chunk, chains.run.__globals__["run_on_threads"]

    def run(workers, jobs, stop, look):
        flags.append(stop)
        run_on_threads(workers, jobs, stop, look)

    def chunk(self):
        self.chunk = min(self.chunk, longest or self.chunk)
        move(self)
        if threading.current_thread() is threading.main_thread():
            return  # the first chunk of all, before the run listens
        with lock:
            if self.iteration >= place:
                there.add(self.number)
            if len(there) >= chains_there and not pressed.is_set():
                pressed.set()
                signal.raise_signal(signal.SIGINT)
        if pressed.is_set():
            assert flags[-1].wait(PATIENCE)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Worker, "_chunk", chunk)
        patched.setitem(chains.run.__globals__, "run_on_threads", run)
        yield
    assert pressed.is_set()
