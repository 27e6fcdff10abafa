"""Sums of draws that are not kept: moments, batch means, and quantiles, in constant memory.

Of each effect there are its mean and sum of squares (Welford 1962), means of at most `BATCHES`
batches of successive draws (two become one when all are full), and nine markers of the P2 algorithm
(Jain and Chlamtac 1985, with the markers of Raatikainen 1987 for three quantiles at once). All of
it is updated draw by draw in their order, so that it does not depend on how a run is cut.
"""

import numpy as np

from .._jit import ENABLED, entry, typeof, types
from .program import State

BATCHES = 16  # between half of these and all of them are full once there are as many draws
# The quantiles that are followed, the ends, and the middles between them.
PROBABILITIES = (0.0, 0.0125, 0.025, 0.2625, 0.5, 0.7375, 0.975, 0.9875, 1.0)
MARKERS = len(PROBABILITIES)
COUNT, SIZE, FULL, OPEN = 0, 1, 2, 3  # draws; draws a batch; full batches; draws in the next one
PREFIX = "sketch_"
BYTES = 4 * BATCHES + 5 * MARKERS + 2 * 8  # of each effect of a chain


def new(effects: int) -> State:
    """Return the sums of no draws, named so that they can lie in a chain's state."""
    # All are written now: memory that is not there is missed before the chains begin.
    made = {
        "count": np.array([0, 1, 0, 0]),
        "mean": np.full(effects, 0.0),
        "squares": np.full(effects, 0.0),
        # The row after the full ones is the mean of the draws of the next batch so far.
        "batch": np.full((BATCHES, effects), 0.0, dtype=np.float32),
        "height": np.full((effects, MARKERS), 0.0, dtype=np.float32),
        # Of each marker, draws beyond where it is wanted: places grow with the draws, these do not.
        # A draw changes one by less than 1; from 1 on it then steps back, unless the marker before
        # is next to it and so at most 1 less far beyond. So it gets at most 2 further than that one
        # ever does, and the first is where it is wanted; nor does it lag more, by the last one.
        # With the first places, up to 8 off, that makes 8 + 2 x 8 at most.
        "place": np.full((effects, MARKERS), 0, dtype=np.int8),
    }
    return {PREFIX + name: array for name, array in made.items()}


if ENABLED:
    _one = new(1)
    SIGNATURE = types.void(
        types.float64[:, ::1],
        types.float64[::1],
        *(typeof(array) for array in _one.values()),
    )
else:
    SIGNATURE = None


def update(state: State, u: np.ndarray) -> None:
    """Add draws u (n, effects) to the sums in a chain's state."""
    sums = [state[name] for name in new(0)]
    add(np.ascontiguousarray(u), np.array(PROBABILITIES), *sums)


@entry(lambda: SIGNATURE)
def add(u, probability, count, mean, squares, batch, height, place):
    """Add draws u (n, effects) to the sums, which are as in `new`."""
    markers, batches = probability.size, batch.shape[0]
    middle = markers // 2
    base, change_of_base = np.zeros(markers, dtype=np.int64), np.zeros(markers, dtype=np.int64)
    for row in range(u.shape[0]):
        x = u[row]
        count[0] += 1
        n = count[0]
        for e in range(x.size):
            change = x[e] - mean[e]
            mean[e] += change / n
            squares[e] += change * (x[e] - mean[e])
        count[3] += 1
        k = count[2]
        for e in range(x.size):
            before = float(batch[k, e]) if count[3] > 1 else 0.0
            batch[k, e] = before + (x[e] - before) / count[3]
        if count[3] == count[1]:
            count[2], count[3] = k + 1, 0
            if k + 1 == batches:
                for j in range(batches // 2):
                    for e in range(x.size):
                        batch[j, e] = 0.5 * (batch[2 * j, e] + batch[2 * j + 1, e])
                count[1] *= 2
                count[2] = batches // 2
        for i in range(markers):
            earlier = 1 + int(max(n - 2, 0) * probability[i])
            base[i] = 1 + int((n - 1) * probability[i])
            # Until all markers have draws their places are their numbers, 1 and up.
            change_of_base[i] = earlier - base[i] if n > markers else 0
        for e in range(x.size):
            value = x[e]
            h, at = height[e], place[e]
            if n <= markers:
                # The first draws are the markers, in order.
                i = n - 1
                while i > 0 and h[i - 1] > value:
                    h[i] = h[i - 1]
                    i -= 1
                h[i] = value
                if n == markers:
                    for i in range(markers):
                        at[i] = i + 1 - base[i]
                continue
            for i in range(1, markers):
                at[i] += change_of_base[i]
            if value < h[0]:
                h[0] = value
            if value > h[markers - 1]:
                h[markers - 1] = value
            for i in range(1, markers):
                # The last marker is always behind all draws.
                if value < h[i] or i == markers - 1:
                    at[i] += 1
            for step in range(1, markers - 1):
                # From the middle outwards: the other way the tails' markers lag.
                i = middle + 1 - step if step <= middle else step
                own = base[i] + at[i]
                off = 1.0 + (n - 1) * probability[i] - own
                gap, room = base[i + 1] + at[i + 1] - own, own - base[i - 1] - at[i - 1]
                side = 0
                if off >= 1.0 and gap > 1:
                    side = 1
                elif off <= -1.0 and room > 1:
                    side = -1
                if side == 0:
                    continue
                above, below, height_now = float(gap), float(room), float(h[i])
                # Compiled or not, from here on with the digits of float64.
                up, down = float(h[i + 1] - h[i]) / above, float(h[i] - h[i - 1]) / below
                moved = height_now + side / (above + below) * (
                    (below + side) * up + (above - side) * down
                )
                if not float(h[i - 1]) < moved < float(h[i + 1]):
                    moved = height_now + (up if side == 1 else -down)
                h[i] = moved
                at[i] += side
