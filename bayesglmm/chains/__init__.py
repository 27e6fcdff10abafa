"""Chains: seeds, threads, chunks, interruption, and the draws they end in.

A `program` says how a chain moves; this folder knows nothing of what it samples. Each chain has its
own random stream and its whole state in a dict of arrays, so draws depend neither on how many
threads there are, nor on how iterations are cut into chunks, nor on the other chains, nor on where
a chain runs; and a chain goes on from where it stands as if it had never stopped.
"""

from .draws import Draws
from .program import Program, State
from .run import added, extend, resume, run
from .standing import Standing
from .threads import inside

__all__ = ["Draws", "Program", "Standing", "State", "added", "extend", "inside", "resume", "run"]
