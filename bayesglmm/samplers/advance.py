"""Entry points: many iterations of a Hamiltonian chain with its adaptation, in compiled code.

All that changes is in the arrays of the ChainState, so an iteration does not know how many others
are done in the same call.
"""

from functools import lru_cache
from typing import Any

from .._jit import ENABLED, entry, kernel, pointer, pointer_type, types
from ..adaptation import metric, step_size
from . import hmc, nuts, step_search
from .leapfrog import GRADIENT, POSITION, assign, drift, kick
from .state import COLLECT, SEARCH, TUNE, settings_type, state_type


@kernel
def learn(chain, settings, accept):
    """Adapt to one iteration, as the phase of warm-up has it."""
    if chain.phase[TUNE] == 1:
        step_size.update(chain.step, accept, settings.target_accept)
    if chain.phase[COLLECT] == 1:
        metric.collect(chain.moments, chain.position)


def advance_nuts(logdensity, rows, data, map, chain, settings, positions, stats):
    """Do as many iterations of NUTS as there are rows in positions (n, dim) and stats."""
    inverse_metric = chain.inverse_metric
    trees = nuts.workspace(chain.position.size, settings.max_depth)
    edge = trees.edges[0]
    search = step_search.begin()
    while chain.phase[SEARCH] == 1:
        step = step_search.prepare(chain, edge, search)
        drift(edge, step, inverse_metric)
        value = logdensity(rows, data, map, edge[POSITION], edge[GRADIENT])
        kick(edge, step)
        chain.phase[SEARCH] = step_search.absorb(chain, edge, search, value)
    for i in range(positions.shape[0]):
        nuts.begin(chain, trees)
        ended = nuts.GOING
        while ended == nuts.GOING:
            side = trees.counts[nuts.SIDE]
            step = chain.step[step_size.STEP_SIZE] * (1.0 if side == 1 else -1.0)
            edge = trees.edges[side]
            drift(edge, step, inverse_metric)
            value = logdensity(rows, data, map, edge[POSITION], edge[GRADIENT])
            kick(edge, step)
            ended = nuts.absorb(chain, settings, trees, value)
        nuts.record(chain, trees, ended, stats[i])
        learn(chain, settings, stats[i, nuts.ACCEPT])
        assign(positions[i], chain.position)


def advance_hmc(logdensity, rows, data, map, chain, settings, positions, stats):
    """Do as many iterations of HMC as there are rows in positions (n, dim) and stats."""
    inverse_metric = chain.inverse_metric
    path = hmc.workspace(chain.position.size)
    edge = path.edge
    search = step_search.begin()
    while chain.phase[SEARCH] == 1:
        step = step_search.prepare(chain, edge, search)
        drift(edge, step, inverse_metric)
        value = logdensity(rows, data, map, edge[POSITION], edge[GRADIENT])
        kick(edge, step)
        chain.phase[SEARCH] = step_search.absorb(chain, edge, search, value)
    for i in range(positions.shape[0]):
        hmc.begin(chain, settings, path)
        step, value, going = chain.step[step_size.STEP_SIZE], 0.0, True
        while going:
            drift(edge, step, inverse_metric)
            value = logdensity(rows, data, map, edge[POSITION], edge[GRADIENT])
            kick(edge, step)
            going = hmc.absorb(path, value)
        hmc.record(chain, settings, path, value, stats[i])
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
