"""Convergence of many columns in compiled code: what `rhat.convergence` returns, column by column.

The same definitions, ten times as fast: one sort a column by the leading digits of the draws, the
ranks of the folded draws by merging the two ends of the sorted ones, autocovariances of as few lags
as Geyer's sequence asks for, and those of the tails from the places of the few draws there.
Columns that ask for many lags are left to the Fourier transform.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from .._jit import apart, entry, kernel, reduce, types
from .._simd import bits
from .columns import MIN_DRAWS, normal_scores
from .ess import TAILS

DIGIT = 11  # bits of a digit of the sort
VALUES = 1 << DIGIT
# Digits that draws are sorted by, of few and of many: what they leave unsorted is next to nothing.
FEW_DIGITS, MANY_DIGITS, MANY_DRAWS = 2, 3, 50_000
PLACE = 31  # bits of a draw's place beside its digits
MOST_MOVES = 8  # for each draw: beyond, a sort that knows no digits is quicker
LOWEST, HIGHEST = -0x7FF0000000000000, 0x7FEFFFFFFFFFFFFF  # keys of finite numbers
TOGETHER = 8  # columns that are copied out at a time: a cache line of each row of draws
MOST_LAGS = 128  # beyond, the Fourier transform is quicker
SHARE = 256  # columns that a thread takes at a time
R_HAT, BULK, TAIL, FINITE, MOVED, LEFT = 0, 1, 2, 3, 4, 5  # rows of the result
ROWS = 6
CONVERGENCE = R_HAT, BULK, TAIL
ALL = -1  # instead of a number of marked draws: all are in z


class Work(NamedTuple):
    """Scratch arrays of one column."""

    key: np.ndarray  # (n,) int64
    packed: np.ndarray  # (2, n) uint64, leading digits and places
    counts: np.ndarray  # (MANY_DIGITS, VALUES) int64
    sorted: np.ndarray  # (n,)
    order: np.ndarray  # (n,) int64, of each sorted draw its place in the column
    half_of: np.ndarray  # (n,) int64, of each place the one among the halves, or -1
    place: np.ndarray  # (n,) int64, of each sorted draw among the halves
    z: np.ndarray  # (halves, half) what is judged
    mean: np.ndarray  # (halves,)
    marked: np.ndarray  # (n,) int64, of some draws the place in `mark`
    mark: np.ndarray  # (halves, half + lags) 1 at those draws; behind each half there is none
    ends: np.ndarray  # (halves,) marked draws that a lag leaves, at both ends


@kernel
def make_work(chains, length):
    """Scratch arrays for columns of that many chains and draws."""
    n, half = chains * length, length // 2
    half_of = np.full(n, -1, dtype=np.int64)
    # Of an odd number of draws the middle one belongs to no half.
    for c in range(chains):
        for t in range(half):
            half_of[c * length + t] = 2 * c * half + t
            half_of[(c + 1) * length - half + t] = (2 * c + 1) * half + t
    return Work(
        np.empty(n, dtype=np.int64),
        np.empty((2, n), dtype=np.uint64),
        np.empty((MANY_DIGITS, VALUES), dtype=np.int64),
        np.empty(n),
        np.empty(n, dtype=np.int64),
        half_of,
        np.empty(n, dtype=np.int64),
        np.empty((2 * chains, half)),
        np.empty(2 * chains),
        np.empty(n, dtype=np.int64),
        np.zeros((2 * chains, half + MOST_LAGS + 2), dtype=np.uint8),
        np.empty(2 * chains),
    )


@kernel
def fill_keys(x, key):
    """Whole numbers in the order of the draws."""
    for i in range(x.size):
        b = bits(x[i])
        key[i] = b ^ ((b >> 63) & 0x7FFFFFFFFFFFFFFF)


@apart
def lowest(key):
    """The least of some keys."""
    found = key[0]
    for i in range(key.size):
        found = min(found, key[i])
    return found


@apart
def highest(key):
    """The largest of some keys."""
    found = key[0]
    for i in range(key.size):
        found = max(found, key[i])
    return found


@kernel
def only(key, low, high):
    """Whether there are no other keys than these two."""
    other = 0
    for i in range(key.size):
        other += key[i] != low and key[i] != high
    return other == 0


@apart
def settle(x, order, gap, most):
    """Insert each draw among those a gap apart; False if that takes more moves than `most`."""
    moves = 0
    for i in range(gap, x.size):
        value, at, k = x[i], order[i], i
        while k >= gap and x[k - gap] > value:
            x[k], order[k] = x[k - gap], order[k - gap]
            k -= gap
            moves += 1
        x[k], order[k] = value, at
        if moves > most:
            return False
    return True


@apart
def sort(x, low, high, work):
    """Sort a column whose keys reach from low to high: fills `sorted` and `order`."""
    n, count, key = x.size, work.counts, work.key
    digits = FEW_DIGITS if n < MANY_DRAWS else MANY_DIGITS
    shift = 0
    while np.uint64(high - low) >> np.uint64(shift) >> np.uint64(digits * DIGIT) > 0:
        shift += 1
    for digit in range(digits):
        for value in range(VALUES):
            count[digit, value] = 0
    for i in range(n):
        leading = np.uint64(key[i] - low) >> np.uint64(shift)
        work.packed[0, i] = (leading << np.uint64(PLACE)) | np.uint64(i)
        for digit in range(digits):
            count[digit, (leading >> np.uint64(DIGIT * digit)) & np.uint64(VALUES - 1)] += 1
    side = 0
    for digit in range(digits):
        own, before = count[digit], 0
        for value in range(VALUES):
            own[value], before = before, before + own[value]
        at, to = work.packed[side], work.packed[1 - side]
        move = np.uint64(PLACE + DIGIT * digit)
        for i in range(n):
            value = (at[i] >> move) & np.uint64(VALUES - 1)
            to[own[value]] = at[i]
            own[value] += 1
        side = 1 - side
    for i in range(n):
        place = np.int64(work.packed[side, i] & np.uint64((1 << PLACE) - 1))
        work.order[i] = place
        work.sorted[i] = x[place]
    if not settle(work.sorted, work.order, 1, MOST_MOVES * n):
        # Most draws have the same leading digits, others are far away: Shell's sort.
        gap = n
        while gap > 1:
            gap = max(1, gap * 5 // 11)
            settle(work.sorted, work.order, gap, n * n)


@apart
def fill_scores(size, scores, work):
    """Normal scores of the sorted draws into z at their places; ties have one score."""
    z, x, place = work.z.reshape(-1), work.sorted, work.place
    i = 0
    while i < size:
        last = i
        while last + 1 < size and x[last + 1] == x[i]:
            last += 1
        score = scores[i + last + 2]
        for k in range(i, last + 1):
            z[place[k]] = score
        i = last + 1


@apart
def fill_folded_scores(size, scores, work, turn, value):
    """Scores of the distances from the median into z; `turn` and `value` (size,) are overwritten.

    Distances fall to the median and rise behind it: the two sides are merged.
    """
    z, x, place = work.z.reshape(-1), work.sorted, work.place
    middle = 0.5 * (x[(size - 1) // 2] + x[size // 2])
    high = 0
    while high < size and x[high] < middle:
        high += 1
    low = high - 1
    for i in range(size):
        left = middle - x[low] if low >= 0 else np.inf
        right = x[high] - middle if high < size else np.inf
        if high >= size or (low >= 0 and left <= right):
            turn[i], value[i] = place[low], left
            low -= 1
        else:
            turn[i], value[i] = place[high], right
            high += 1
    i = 0
    while i < size:
        last = i
        while last + 1 < size and value[last + 1] == value[i]:
            last += 1
        score = scores[i + last + 2]
        for k in range(i, last + 1):
            z[turn[k]] = score
        i = last + 1


@reduce
def _total(x):
    total = 0.0
    for i in range(x.size):
        total += x[i]
    return total


@reduce
def _product(x, y):
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@kernel
def spread(mean):
    """Variance of the means of the halves."""
    average, total = _total(mean) / mean.size, 0.0
    for h in range(mean.size):
        total += (mean[h] - average) * (mean[h] - average)
    return total / (mean.size - 1)


@apart
def centre(work):
    """Take the mean of each half off z; returns the variance of the means."""
    z, mean = work.z, work.mean
    for h in range(z.shape[0]):
        own = z[h]
        mean[h] = _total(own) / own.size
        for i in range(own.size):
            own[i] -= mean[h]
    return spread(mean)


@apart
def covariance(work, marked, lag):
    """Autocovariance, averaged over the halves, of centred z or of the marks (lags in turn)."""
    total, half = 0.0, work.z.shape[1]
    if marked == ALL:
        for h in range(work.z.shape[0]):
            total += _product(work.z[h, : half - lag], work.z[h, lag:])
    else:
        pairs, flat = 0, work.mark.reshape(-1)
        for k in range(marked):
            pairs += flat[work.marked[k] + lag]
        total += pairs
        for h in range(work.z.shape[0]):
            if lag > 0:
                work.ends[h] -= work.mark[h, half - lag] + work.mark[h, lag - 1]
            total += work.mean[h] * ((half - lag) * work.mean[h] - work.ends[h])
    return total / work.z.size


@kernel
def classical(work, between):
    """R-hat of centred halves, the variance of whose means is `between`."""
    length = work.z.shape[1]
    within = covariance(work, ALL, 0) * length / (length - 1.0)
    return math.sqrt((length * between / within + length - 1.0) / length)


@apart
def effective(work, marked, between):
    """Effective sample size, as `ess.split_ess`; -1 if Geyer's sequence is long."""
    length = work.z.shape[1]
    draws = float(work.z.size)
    first = covariance(work, marked, 0)
    within, total = first * length / (length - 1.0), first + between
    last = max(0, (length - 3) // 2)
    time, smallest, even, pair = -1.0, np.inf, 0.0, 0.0
    for i in range(last + 1):
        if 2 * i + 1 > MOST_LAGS:
            return -1.0
        even = 1.0 if i == 0 else 1.0 - (within - covariance(work, marked, 2 * i)) / total
        pair = even + 1.0 - (within - covariance(work, marked, 2 * i + 1)) / total
        if not pair > 0.0 or i == last:
            break
        smallest = min(smallest, pair)
        time += 2.0 * smallest
    if pair >= 0.0 or even > 0.0:
        time += even
    return draws / max(time, 1.0 / math.log10(draws))


@apart
def tail_effective(quantile, near, work):
    """Effective sample size of the draws up to a quantile, that is near a place of the sorted."""
    n, size, half = work.sorted.size, work.z.size, work.z.shape[1]
    up = near
    while up > 0 and work.sorted[up - 1] > quantile:
        up -= 1
    while up < n and work.sorted[up] <= quantile:
        up += 1
    # Those on the other side have the same autocovariances: the fewer are marked.
    begin, end = (0, up) if 2 * up <= n else (up, n)
    marked = 0
    for h in range(work.mean.size):
        work.mean[h] = 0.0
    for i in range(begin, end):
        place = work.half_of[work.order[i]]
        if place >= 0:
            h = place // half
            at = h * work.mark.shape[1] + place - h * half
            work.mark.reshape(-1)[at] = 1
            work.marked[marked] = at
            work.mean[h] += 1.0
            marked += 1
    result = float(size)
    if 0 < marked < size:
        for h in range(work.mean.size):
            work.ends[h] = 2.0 * work.mean[h]
            work.mean[h] /= half
        result = effective(work, marked, spread(work.mean))
    for k in range(marked):
        work.mark.reshape(-1)[work.marked[k]] = 0
    return result


@entry(
    types.void(
        types.float64[:, :, ::1],
        types.int64,
        types.int64,
        types.float64[::1],
        types.float64[::1],
        types.float64[:, ::1],
    )
)
def measure_columns(draws, begin, end, scores, tails, out):
    """Fill out (ROWS, k) for the columns begin .. end - 1 of draws (chains, draws, k)."""
    chains, length = draws.shape[0], draws.shape[1]
    n, size = chains * length, 2 * chains * (length // 2)
    work = make_work(chains, length)
    columns = np.empty((TOGETHER, n))
    turn, value = np.empty(size, dtype=np.int64), np.empty(size)
    for start in range(begin, end, TOGETHER):
        some = min(TOGETHER, end - start)
        for c in range(chains):
            for t in range(length):
                for j in range(some):
                    # Zero has one key: -0 + 0 is 0.
                    columns[j, c * length + t] = draws[c, t, start + j] + 0.0
        for j in range(some):
            x, result = columns[j], out[:, start + j]
            fill_keys(x, work.key)
            low, high, every = lowest(work.key), highest(work.key), True
            for c in range(chains):
                own = work.key[c * length : (c + 1) * length]
                every = every and lowest(own) < highest(own)
            finite = LOWEST <= low and high <= HIGHEST
            result[FINITE], result[LEFT] = finite, 0.0
            result[MOVED] = every or (low < high and only(work.key, low, high))
            result[R_HAT] = result[BULK] = result[TAIL] = np.nan
            if not finite:
                continue
            if low == high:
                result[BULK] = result[TAIL] = size
                continue
            sort(x, low, high, work)
            # The quantiles of all draws. Not contracted: a draw may be tied with its quantile.
            tail = np.inf
            for t in range(tails.size):
                position = tails[t] * (n - 1)
                below = int(math.floor(position))
                above = min(below + 1, n - 1)
                fraction, step = position - below, work.sorted[above] - work.sorted[below]
                if fraction >= 0.5:
                    quantile = work.sorted[above] - step * (1.0 - fraction)
                else:
                    quantile = work.sorted[below] + step * fraction
                tail = min(tail, tail_effective(quantile, below, work))
            result[TAIL] = tail
            kept = 0
            for i in range(n):
                place = work.half_of[work.order[i]]
                if place >= 0:
                    work.place[kept] = place
                    work.sorted[kept] = work.sorted[i]
                    kept += 1
            if work.sorted[0] == work.sorted[size - 1]:
                result[LEFT] = 1.0
                continue
            fill_folded_scores(size, scores, work, turn, value)
            folded = classical(work, centre(work))
            fill_scores(size, scores, work)
            between = centre(work)
            bulk = classical(work, between)
            result[R_HAT] = bulk if folded != folded or bulk != bulk else max(bulk, folded)
            result[BULK] = effective(work, ALL, between)
            if result[BULK] < 0.0 or tail < 0.0:
                result[LEFT] = 1.0


def measured(draws: np.ndarray, threads: int) -> np.ndarray:
    """Return R-hat, bulk and tail effective sample size, and whether draws are finite and moved.

    Parameters
    ----------
    draws : (chains, draws, k) array
        At least four draws of each chain.
    threads : int

    Returns
    -------
    (ROWS, k) array
        Columns where LEFT is 1 are not measured.
    """
    chains, length, k = draws.shape
    assert length >= MIN_DRAWS
    draws = np.ascontiguousarray(draws, dtype=np.float64)
    scores, tails = normal_scores(2 * chains * (length // 2)), np.array(TAILS)
    out = np.empty((ROWS, k))

    def some(begin: int) -> None:
        measure_columns(draws, begin, min(begin + SHARE, k), scores, tails, out)

    some(0)  # compiles, in one thread
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(some, range(SHARE, k, SHARE)))
    return out
