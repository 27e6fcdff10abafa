"""NUTS: a trajectory that doubles until it turns back, and a draw from all its states.

Multinomial weights exp(-H) along the trajectory, with the criterion of Betancourt (2017) on the
sum of momenta rho and Stan's two further checks across the halves of every doubling (Stan pull
request 2800), without which a trajectory can turn twice unseen. Trees are built without recursion:
leaves are pushed on a stack, and two neighbours of the same level merge, as in binary counting.
The left of two neighbours is the one that was built first, in whichever direction of time.
"""

from typing import NamedTuple

import numpy as np

from .._jit import kernel, reduce
from .._random import uniform
from ..adaptation.step_size import STEP_SIZE
from .leapfrog import assign, kinetic, leapfrog, refresh

MAX_ENERGY_ERROR = 1000.0  # Stan's: beyond, the step is so long that the dynamics diverge

# How a trajectory ends.
TURNED, DIVERGED, MAX_DEPTH = 0, 1, 2

# Columns of the statistics; `hmc` fills those before DEPTH.
ACCEPT, DIVERGENT, LEAPFROGS, ENERGY, STEP, LOGDENSITY, DEPTH, AT_MAX_DEPTH = range(8)
STATS = (
    "accept", "divergent", "leapfrogs", "energy", "step_size", "lp", "depth", "max_depth",
)  # fmt: skip


class Trees(NamedTuple):
    """Subtrees on the stack, one row each, and the two edges of the whole trajectory."""

    begin: np.ndarray  # momentum at the leaf built first
    end: np.ndarray  # momentum at the leaf built last
    rho: np.ndarray  # sum of the momenta of all leaves
    position: np.ndarray  # the state drawn from the leaves
    gradient: np.ndarray
    scalars: np.ndarray  # LOG_WEIGHT, VALUE, HAMILTONIAN of that state
    level: np.ndarray  # int64; a subtree of level l has 2^l leaves
    edge: np.ndarray  # (2 sides, POSITION MOMENTUM GRADIENT, dim); side 1 is forward in time
    whole: np.ndarray  # (WHOLE_RHO NEAR, dim)


LOG_WEIGHT, VALUE, HAMILTONIAN = 0, 1, 2
POSITION, MOMENTUM, GRADIENT = 0, 1, 2
WHOLE_RHO, NEAR = 0, 1


@kernel
def workspace(dim, max_depth):
    """Arrays for the trees of trajectories up to 2^max_depth steps."""
    n = max_depth + 1
    return Trees(
        np.empty((n, dim)),
        np.empty((n, dim)),
        np.empty((n, dim)),
        np.empty((n, dim)),
        np.empty((n, dim)),
        np.empty((n, 3)),
        np.empty(n, dtype=np.int64),
        np.empty((2, 3, dim)),
        np.empty((2, dim)),
    )


@kernel
def add(out, values):
    """Add values to out."""
    for i in range(out.size):
        out[i] += values[i]


@kernel
def log_add(a, b):
    """log(exp a + exp b), -inf included."""
    high, low = max(a, b), min(a, b)
    if high == -np.inf:
        return high
    return high + np.log1p(np.exp(low - high))


@reduce
def turns(inverse_metric, begin, middle_left, rho_left, middle_right, end, rho_right):
    """Whether the union of two neighbours turns back, or either with the nearest leaf of the other.

    begin..middle_left are the outer and inner momenta of the left one, middle_right..end those of
    the right one.
    """
    a = b = c = d = e = f = 0.0
    for i in range(begin.size):
        outer_left = inverse_metric[i] * begin[i]
        outer_right = inverse_metric[i] * end[i]
        rho = rho_left[i] + rho_right[i]
        a += outer_left * rho
        b += outer_right * rho
        rho = rho_left[i] + middle_right[i]
        c += outer_left * rho
        d += inverse_metric[i] * middle_right[i] * rho
        rho = rho_right[i] + middle_left[i]
        e += inverse_metric[i] * middle_left[i] * rho
        f += outer_right * rho
    return not (a > 0.0 and b > 0.0 and c > 0.0 and d > 0.0 and e > 0.0 and f > 0.0)


@kernel
def push(trees, top, edge, log_weight, value, hamiltonian):
    """Put the state at an edge on the stack as a tree of one leaf."""
    assign(trees.begin[top], edge[MOMENTUM])
    assign(trees.end[top], edge[MOMENTUM])
    assign(trees.rho[top], edge[MOMENTUM])
    assign(trees.position[top], edge[POSITION])
    assign(trees.gradient[top], edge[GRADIENT])
    trees.scalars[top, LOG_WEIGHT] = log_weight
    trees.scalars[top, VALUE] = value
    trees.scalars[top, HAMILTONIAN] = hamiltonian
    trees.level[top] = 0


@kernel
def merge(trees, top, inverse_metric, random):
    """Merge the two trees on top of the stack into the lower; return whether they turn back."""
    left, right = top - 1, top
    turned = turns(
        inverse_metric,
        trees.begin[left], trees.end[left], trees.rho[left],
        trees.begin[right], trees.end[right], trees.rho[right],
    )  # fmt: skip
    weight = log_add(trees.scalars[left, LOG_WEIGHT], trees.scalars[right, LOG_WEIGHT])
    if uniform(random) < np.exp(trees.scalars[right, LOG_WEIGHT] - weight):
        assign(trees.position[left], trees.position[right])
        assign(trees.gradient[left], trees.gradient[right])
        assign(trees.scalars[left], trees.scalars[right])
    trees.scalars[left, LOG_WEIGHT] = weight
    assign(trees.end[left], trees.end[right])
    add(trees.rho[left], trees.rho[right])
    trees.level[left] += 1
    return turned


@kernel
def transition(logdensity, rows, data, map, chain, settings, trees, stats):
    """Move the chain once; fill the statistics of the iteration."""
    inverse_metric, random = chain.inverse_metric, chain.random
    step_size = chain.step[STEP_SIZE]
    rho, near = trees.whole[WHOLE_RHO], trees.whole[NEAR]
    refresh(random, inverse_metric, rho)
    for side in range(2):
        assign(trees.edge[side, POSITION], chain.position)
        assign(trees.edge[side, MOMENTUM], rho)
        assign(trees.edge[side, GRADIENT], chain.gradient)
    start = kinetic(rho, inverse_metric) - chain.value[0]
    energy = start
    log_weight = 0.0  # weights are relative to the start
    accept, leapfrogs, depth = 0.0, 0, 0
    ended = MAX_DEPTH

    while depth < settings.max_depth and ended == MAX_DEPTH:
        side = 1 if uniform(random) < 0.5 else 0
        edge, other = trees.edge[side], trees.edge[1 - side]
        assign(near, edge[MOMENTUM])
        signed_step = step_size if side == 1 else -step_size
        top = -1
        for _ in range(1 << depth):
            value = leapfrog(
                logdensity, rows, data, map,
                edge[POSITION], edge[MOMENTUM], edge[GRADIENT], signed_step, inverse_metric,
            )  # fmt: skip
            leapfrogs += 1
            hamiltonian = kinetic(edge[MOMENTUM], inverse_metric) - value
            gain = start - hamiltonian
            # The comparison is false for numbers that are not: they diverge as well.
            if not (gain > -MAX_ENERGY_ERROR and gain < np.inf):
                ended = DIVERGED
                break
            accept += min(1.0, np.exp(gain))
            top += 1
            push(trees, top, edge, gain, value, hamiltonian)
            while top > 0 and trees.level[top] == trees.level[top - 1]:
                if merge(trees, top, inverse_metric, random):
                    ended = TURNED
                top -= 1
            if ended != MAX_DEPTH:
                break
        if ended != MAX_DEPTH:
            break  # a subtree that diverged or turned within is no part of the trajectory

        depth += 1
        # The later half is favoured: the draw moves away from the start, at no loss of exactness.
        if np.log(uniform(random)) < trees.scalars[0, LOG_WEIGHT] - log_weight:
            assign(chain.position, trees.position[0])
            assign(chain.gradient, trees.gradient[0])
            chain.value[0] = trees.scalars[0, VALUE]
            energy = trees.scalars[0, HAMILTONIAN]
        log_weight = log_add(log_weight, trees.scalars[0, LOG_WEIGHT])
        if turns(
            inverse_metric, other[MOMENTUM], near, rho, trees.begin[0], trees.end[0], trees.rho[0]
        ):
            ended = TURNED
        add(rho, trees.rho[0])

    stats[ACCEPT] = accept / max(1, leapfrogs)
    stats[DIVERGENT] = 1.0 if ended == DIVERGED else 0.0
    stats[LEAPFROGS] = leapfrogs
    stats[ENERGY] = energy
    stats[STEP] = step_size
    stats[LOGDENSITY] = chain.value[0]
    stats[DEPTH] = depth
    stats[AT_MAX_DEPTH] = 1.0 if ended == MAX_DEPTH else 0.0
