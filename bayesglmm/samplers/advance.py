"""Entry points: many iterations of a Hamiltonian chain with its adaptation, in compiled code.

All that changes is in the arrays of the ChainState, so an iteration does not know how many others
are done in the same call.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from .._jit import ENABLED, entry, kernel, pointer, pointer_type, types
from ..adaptation import metric, step_size
from . import hmc, nuts
from .leapfrog import assign
from .state import COLLECT, SEARCH, TUNE, settings_type, state_type
from .step_search import search


@kernel
def prepare(logdensity, rows, data, map, chain):
    """Search a step size where one is asked for."""
    if chain.phase[SEARCH] == 1:
        chain.phase[SEARCH] = 0
        guess = search(logdensity, rows, data, map, chain, chain.step[step_size.STEP_SIZE])
        step_size.restart(chain.step, guess)


@kernel
def learn(chain, settings, accept):
    """Adapt to one iteration, as the phase of warm-up has it."""
    if chain.phase[TUNE] == 1:
        step_size.update(chain.step, accept, settings.target_accept)
    if chain.phase[COLLECT] == 1:
        metric.collect(chain.moments, chain.position)


def advance_nuts(logdensity, rows, data, map, chain, settings, positions, stats):
    """Do as many iterations of NUTS as there are rows in positions (n, dim) and stats."""
    trees = nuts.workspace(chain.position.size, settings.max_depth)
    prepare(logdensity, rows, data, map, chain)
    for i in range(positions.shape[0]):
        nuts.transition(logdensity, rows, data, map, chain, settings, trees, stats[i])
        learn(chain, settings, stats[i, nuts.ACCEPT])
        assign(positions[i], chain.position)


def advance_hmc(logdensity, rows, data, map, chain, settings, positions, stats):
    """Do as many iterations of HMC as there are rows in positions (n, dim) and stats."""
    edge = np.empty((3, chain.position.size))
    prepare(logdensity, rows, data, map, chain)
    for i in range(positions.shape[0]):
        hmc.transition(logdensity, rows, data, map, chain, settings, edge, stats[i])
        learn(chain, settings, stats[i, nuts.ACCEPT])
        assign(positions[i], chain.position)


ADVANCE = {"nuts": advance_nuts, "hmc": advance_hmc}
STATS = {"nuts": nuts.STATS, "hmc": hmc.STATS}


def entry_point(kind: str, logdensity: Any) -> Any:
    """Return the compiled `advance` of a sampler, for targets of the type of a log density."""
    if not ENABLED:
        return ADVANCE[kind]
    return _entry_point(kind, pointer(logdensity).nopython_signatures[0])


@lru_cache
def _entry_point(kind: str, target: Any) -> Any:
    rows, data, map_ = target.args[:3]
    matrix = types.float64[:, ::1]
    signature = types.void(
        pointer_type(target), rows, data, map_, state_type(), settings_type(), matrix, matrix
    )
    return entry(signature)(ADVANCE[kind])
