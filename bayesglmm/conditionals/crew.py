"""Several threads at the passes over one chain's groups.

The thread that moves the chain posts a pass on the board: what is to be done, for which side, with
which L and phi. It and its helpers then take runs of chunks, each the next that nobody has, and put
their sums on the sheet, where they are added up in the order of the chunks. A helper that comes
late finds nothing left, so nobody waits for a thread that does not run. Helpers wait a while for
the next pass and then return; they are sent back until the board says that it is over.

Who takes what is left to chance; the result is not (`passes`).
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from .._atomic import increase, load, replace, rest, store
from .._jit import kernel
from . import passes
from .passes import GROUPS, SIDE

# Places on the board, those that threads write to on cache lines of their own.
TAKEN, DONE, OVER, TASK, HOLD, FACE, RUNS, LENGTH, SIZE = 0, 8, 16, 24, 25, 26, 27, 28, 32
CARRY, REDRAW = 0, 1  # tasks
SHARES = 64  # runs of chunks a pass: the last one to finish is waited for, 1% of a pass
NUMBER = 32  # bits of TAKEN that count runs; those above number the passes
MASK = (1 << NUMBER) - 1
ROWS = 50_000  # with fewer, a pass is too short to be shared
PAUSE = 2e-4  # seconds that a helper sleeps that was not needed
PATIENCE = 2_000  # looks at the board, with a rest each, before a helper returns: about 1 ms


class Crew(NamedTuple):
    """What the threads of one chain share; `stream` and `helps` are each thread's own."""

    board: np.ndarray  # (SIZE,) int64; (0,) where the chain is moved by one thread without a board
    sheet: np.ndarray  # phi, L (q q), two sums of each chunk
    stream: np.ndarray  # (2,) uint64, place in the stream of random numbers
    helps: int  # 1 for helpers


def alone() -> Crew:
    """Return what a thread has that works alone."""
    return Crew(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(2, dtype=np.uint64), 0)


def gather(chunks: int, q: int) -> Crew:
    """Return what the threads of a chain share, before any of them works."""
    board = np.zeros(SIZE, dtype=np.int64)
    board[LENGTH] = -(-chunks // SHARES)
    board[RUNS] = -(-chunks // board[LENGTH])
    board[TAKEN] = board[RUNS]
    return alone()._replace(board=board, sheet=np.zeros(1 + q * q + 2 * chunks))


@contextmanager
def at_work(threads: int, chunks: int, q: int, move: Callable[[Crew], None]) -> Iterator[Crew]:
    """Hold helpers ready while a chain is moved.

    Parameters
    ----------
    threads : int
        The one that moves the chain among them.
    chunks, q : int
        Of the model.
    move : callable
        What moves the chain, or helps, as its argument has it.
    """
    if threads < 2:
        yield alone()
        return
    crew = gather(chunks, q)

    def keep_helping() -> None:
        own = crew._replace(stream=np.zeros(2, dtype=np.uint64), helps=1)
        while not crew.board[OVER]:
            move(own)
            time.sleep(PAUSE)

    helpers = [
        threading.Thread(target=keep_helping, name="helper", daemon=True)
        for _ in range(threads - 1)
    ]
    try:
        for each in helpers:
            each.start()
        yield crew
    finally:
        crew.board[OVER] = 1
        for each in helpers:
            if each.ident is not None:
                each.join()


@kernel
def _take(board):
    """The next run that nobody has, -1 if there is none."""
    while True:
        taken = load(board, TAKEN)
        run = taken & MASK
        if run >= board[RUNS]:
            return -1
        if replace(board, TAKEN, taken, taken + 1):
            return run


@kernel
def _work(rows, obs, guess, L, state, work, crew):
    """Take runs until none is left; returns how many. L (q, q) is overwritten."""
    board, sheet, stream = crew.board, crew.sheet, crew.stream
    chunks, q = obs.lanes.chunk.shape[0] - 1, L.shape[0]
    first, second = sheet[1 + q * q : 1 + q * q + chunks], sheet[1 + q * q + chunks :]
    count = 0
    run = _take(board)
    while run >= 0:
        # A run is taken: what is posted stays until it is done.
        low = run * board[LENGTH]
        high = min(chunks, low + board[LENGTH])
        phi, side, hold = sheet[0], board[FACE], board[HOLD]
        for k in range(q):
            for l in range(q):
                L[k, l] = sheet[1 + q * k + l]
        if board[TASK] == CARRY:
            theta = state.theta[side]
            for c in range(low, high):
                first[c] = passes.carry_chunk(
                    rows, obs, guess, L, phi, theta, hold, side, state, work, c
                )
        else:
            stream[0] = state.random[0]
            stream[1] = state.random[1] + np.uint64(passes.numbers_before(obs, q, low))
            for c in range(low, high):
                first[c], second[c] = passes.redraw_chunk(
                    rows, obs, L, phi, side, state, stream, work, c
                )
        increase(board, DONE, 1)
        count += 1
        run = _take(board)
    return count


@kernel
def help(rows, obs, guess, q, state, work, crew):
    """Work at the passes that are posted, until it is over or nothing is posted for a while."""
    L, idle = np.zeros((q, q)), 0
    while idle < PATIENCE and load(crew.board, OVER) == 0:
        if _work(rows, obs, guess, L, state, work, crew) > 0:
            idle = 0
        else:
            idle += 1
            rest()


@kernel
def _post(rows, obs, guess, L, phi, task, hold, side, state, work, crew):
    """Post a pass, work at it, and wait until it is done."""
    board, sheet, q = crew.board, crew.sheet, L.shape[0]
    sheet[0] = phi
    for k in range(q):
        for l in range(q):
            sheet[1 + q * k + l] = L[k, l]
    board[TASK], board[HOLD], board[FACE] = task, hold, side
    store(board, DONE, 0)
    store(board, TAKEN, ((load(board, TAKEN) >> NUMBER) + 1) << NUMBER)
    own = np.empty((q, q))
    _work(rows, obs, guess, own, state, work, crew)
    while load(board, DONE) < board[RUNS]:
        rest()


@kernel
def carry(rows, obs, guess, L, phi, theta, hold_v, side, state, work, crew):
    """As `passes.carry`; theta is that side's of the state."""
    if crew.board.size == 0:
        return passes.carry(rows, obs, guess, L, phi, theta, hold_v, side, state, work)
    _post(rows, obs, guess, L, phi, CARRY, hold_v, side, state, work, crew)
    value, first = 0.0, 1 + L.size
    for c in range(obs.lanes.chunk.shape[0] - 1):
        value += crew.sheet[first + c]
    return value


@kernel
def redraw(rows, obs, guess, L, phi, state, work, crew):
    """As `passes.redraw`."""
    if crew.board.size == 0:
        return passes.redraw(rows, obs, L, phi, state, work)
    side, chunks, first = state.flag[SIDE], obs.lanes.chunk.shape[0] - 1, 1 + L.size
    _post(rows, obs, guess, L, phi, REDRAW, 0, side, state, work, crew)
    value, accepted = 0.0, 0.0
    for c in range(chunks):
        value += crew.sheet[first + c]
        accepted += crew.sheet[first + chunks + c]
    state.value[side, GROUPS] = value
    state.random[1] += np.uint64(passes.numbers_before(obs, L.shape[0], chunks))
    return accepted / state.loglik.shape[1]
