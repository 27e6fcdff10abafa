"""NUTS: a trajectory that doubles until it turns back, and a draw from all its states.

Multinomial weights exp(-H) along the trajectory, with the criterion of Betancourt (2017) on the
sum of momenta rho and Stan's two further checks across the halves of every doubling (Stan pull
request 2800), without which a trajectory can turn twice unseen. Trees are built without recursion:
leaves are pushed on a stack, and two neighbours of the same level merge, as in binary counting.
`begin`, one leapfrog step and `absorb` until it says how the trajectory ends, `record`.
The left of two neighbours is the one that was built first, in whichever direction of time.
"""

from typing import NamedTuple

import numpy as np

from .._jit import kernel, reduce
from .._random import uniform
from ..adaptation.step_size import STEP_SIZE
from .leapfrog import GRADIENT, MOMENTUM, POSITION, assign, kinetic, refresh

MAX_ENERGY_ERROR = 1000.0  # Stan's: beyond, the step is so long that the dynamics diverge

# Whether and how a trajectory has ended.
GOING, TURNED, DIVERGED, MAX_DEPTH, OUTSIDE = 0, 1, 2, 3, 4

# Columns of the statistics; `hmc` fills those before DEPTH.
ACCEPT, DIVERGENT, LEAPFROGS, ENERGY, STEP, LOGDENSITY, DEPTH, AT_MAX_DEPTH = range(8)
STATS = (
    "accept", "divergent", "leapfrogs", "energy", "step_size", "lp", "depth", "max_depth",
)  # fmt: skip


class Trees(NamedTuple):
    """Subtrees on the stack, one row each, and the whole trajectory."""

    begin: np.ndarray  # momentum at the leaf built first
    end: np.ndarray  # momentum at the leaf built last
    rho: np.ndarray  # sum of the momenta of all leaves
    position: np.ndarray  # the state drawn from the leaves
    gradient: np.ndarray
    drawn: np.ndarray  # LOG_WEIGHT of the leaves, VALUE and HAMILTONIAN of the state drawn
    level: np.ndarray  # int64; a subtree of level l has 2^l leaves
    edges: np.ndarray  # (2 sides, POSITION MOMENTUM GRADIENT, dim); side 1 is forward in time
    whole: np.ndarray  # (RHO NEAR, dim)
    sums: np.ndarray  # START, ENERGY, TOTAL_WEIGHT, ACCEPTANCE of the trajectory
    counts: np.ndarray  # int64: SIDE, DOUBLINGS, STEPS, LEAVES of the subtree, TOP of the stack


LOG_WEIGHT, VALUE, HAMILTONIAN = 0, 1, 2
RHO, NEAR = 0, 1  # sum of all momenta; momentum at the edge where the newest subtree began
START, FINAL, TOTAL_WEIGHT, ACCEPTANCE = 0, 1, 2, 3
SIDE, DOUBLINGS, STEPS, LEAVES, TOP = 0, 1, 2, 3, 4


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
        np.empty(4),
        np.empty(5, dtype=np.int64),
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
    trees.drawn[top, LOG_WEIGHT] = log_weight
    trees.drawn[top, VALUE] = value
    trees.drawn[top, HAMILTONIAN] = hamiltonian
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
    weight = log_add(trees.drawn[left, LOG_WEIGHT], trees.drawn[right, LOG_WEIGHT])
    if uniform(random) < np.exp(trees.drawn[right, LOG_WEIGHT] - weight):
        assign(trees.position[left], trees.position[right])
        assign(trees.gradient[left], trees.gradient[right])
        assign(trees.drawn[left], trees.drawn[right])
    trees.drawn[left, LOG_WEIGHT] = weight
    assign(trees.end[left], trees.end[right])
    add(trees.rho[left], trees.rho[right])
    trees.level[left] += 1
    return turned


@kernel
def begin(chain, trees):
    """Begin a trajectory at the chain's position with a new momentum."""
    rho = trees.whole[RHO]
    refresh(chain.random, chain.inverse_metric, rho)
    for side in range(2):
        assign(trees.edges[side, POSITION], chain.position)
        assign(trees.edges[side, MOMENTUM], rho)
        assign(trees.edges[side, GRADIENT], chain.gradient)
    trees.sums[START] = trees.sums[FINAL] = (
        kinetic(rho, chain.inverse_metric) - chain.value[0]
    )  # fmt: skip
    trees.sums[TOTAL_WEIGHT] = 0.0  # weights are relative to the start
    trees.sums[ACCEPTANCE] = 0.0
    trees.counts[DOUBLINGS] = trees.counts[STEPS] = 0
    choose_side(chain, trees)


@kernel
def choose_side(chain, trees):
    """Begin a subtree in a random direction of time."""
    side = 1 if uniform(chain.random) < 0.5 else 0
    trees.counts[SIDE] = side
    trees.counts[LEAVES] = 0
    trees.counts[TOP] = -1
    assign(trees.whole[NEAR], trees.edges[side, MOMENTUM])


@kernel
def absorb(chain, settings, trees, value):
    """Add the state that one step has led to; return GOING or how the trajectory ends."""
    edge = trees.edges[trees.counts[SIDE]]
    hamiltonian = kinetic(edge[MOMENTUM], chain.inverse_metric) - value
    gain = trees.sums[START] - hamiltonian
    trees.counts[STEPS] += 1
    # The comparison is false for numbers that are not: they diverge as well.
    if not (gain > -MAX_ENERGY_ERROR and gain < np.inf):
        return OUTSIDE if settings.bounded == 1 and value == -np.inf else DIVERGED
    trees.sums[ACCEPTANCE] += np.exp(min(0.0, gain))
    top = trees.counts[TOP] + 1
    push(trees, top, edge, gain, value, hamiltonian)
    turned = False
    while top > 0 and trees.level[top] == trees.level[top - 1]:
        turned = merge(trees, top, chain.inverse_metric, chain.random) or turned
        top -= 1
    trees.counts[TOP] = top
    trees.counts[LEAVES] += 1
    if turned:
        return TURNED  # a subtree that turned within is no part of the trajectory
    if trees.counts[LEAVES] < 1 << trees.counts[DOUBLINGS]:
        return GOING
    return double(chain, settings, trees)


@kernel
def double(chain, settings, trees):
    """Join the finished subtree to the trajectory; return GOING or how it ends."""
    trees.counts[DOUBLINGS] += 1
    weight = trees.drawn[0, LOG_WEIGHT]
    # The later half is favoured: the draw moves away from the start, at no loss of exactness.
    if np.log(uniform(chain.random)) < weight - trees.sums[TOTAL_WEIGHT]:
        assign(chain.position, trees.position[0])
        assign(chain.gradient, trees.gradient[0])
        chain.value[0] = trees.drawn[0, VALUE]
        trees.sums[FINAL] = trees.drawn[0, HAMILTONIAN]
    trees.sums[TOTAL_WEIGHT] = log_add(trees.sums[TOTAL_WEIGHT], weight)
    turned = turns(
        chain.inverse_metric,
        trees.edges[1 - trees.counts[SIDE], MOMENTUM], trees.whole[NEAR], trees.whole[RHO],
        trees.begin[0], trees.end[0], trees.rho[0],
    )  # fmt: skip
    if turned:
        return TURNED
    if trees.counts[DOUBLINGS] == settings.max_depth:
        return MAX_DEPTH
    add(trees.whole[RHO], trees.rho[0])
    choose_side(chain, trees)
    return GOING


@kernel
def record(chain, trees, ended, stats):
    """Fill the statistics of the iteration."""
    stats[ACCEPT] = trees.sums[ACCEPTANCE] / trees.counts[STEPS]
    stats[DIVERGENT] = 1.0 if ended == DIVERGED else 0.0
    stats[LEAPFROGS] = trees.counts[STEPS]
    stats[ENERGY] = trees.sums[FINAL]
    stats[STEP] = chain.step[STEP_SIZE]
    stats[LOGDENSITY] = chain.value[0]
    stats[DEPTH] = trees.counts[DOUBLINGS]
    stats[AT_MAX_DEPTH] = 1.0 if ended == MAX_DEPTH else 0.0
