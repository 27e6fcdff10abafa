"""Chains on threads of this process, which take them in turn, a chunk at a time.

So an interruption finds all chains about equally far, even where there are fewer threads.
"""

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from .worker import Worker

REFRESH_SECONDS = 0.1  # between two looks at the chains


def run_on_threads(
    workers: list[Worker], jobs: int, stop: threading.Event, look: Callable[[], None]
) -> None:
    """Run chains to their end, or until `stop` is set; call `look` now and then."""
    waiting: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in workers:
        if worker.unfinished:
            waiting.put(worker)

    def take_turns() -> None:
        while not stop.is_set():
            try:
                worker = waiting.get_nowait()
            except queue.Empty:
                return
            if worker.work():
                waiting.put(worker)

    with ThreadPoolExecutor(jobs, thread_name_prefix="chain") as pool:
        pending = {pool.submit(take_turns) for _ in range(jobs)}
        try:
            while pending:
                done, pending = wait(pending, timeout=REFRESH_SECONDS)
                look()
                for future in done:
                    future.result()
        finally:
            stop.set()


def threads(jobs: int | None, chains: int) -> int:
    """Return the number of threads: those asked for or the processors, and at most the chains."""
    return min(_asked(jobs), chains)


def inside(jobs: int | None, chains: int) -> int:
    """Return the number of threads that each chain may have for itself."""
    return max(1, _asked(jobs) // chains)


def processors() -> int:
    """Return the number of processors that this process may use."""
    can_ask = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if can_ask else os.cpu_count() or 1


def _asked(jobs: int | None) -> int:
    jobs = processors() if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    return jobs
