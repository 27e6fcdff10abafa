"""Convergence of many columns in compiled code: what `rhat.convergence` returns, column by column.

The same definitions, several times as fast where there are thousands of effects: one sort a column
(digit by digit), the ranks of the folded draws by merging the two ends of the sorted ones, and
autocovariances of as few lags as Geyer's sequence asks for. Columns that ask for many are left to
the Fourier transform.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from .._jit import entry, kernel, reduce, types
from .._simd import bits
from .columns import MIN_DRAWS, normal_scores
from .ess import TAILS

DIGIT, DIGITS = 8, 8  # bits of a digit of the sort; digits of a number
VALUES = 1 << DIGIT
TOGETHER = 8  # columns that are copied out at a time: a cache line of each row of draws
MOST_LAGS = 128  # beyond, the Fourier transform is quicker
SHARE = 256  # columns that a thread takes at a time
R_HAT, BULK, TAIL, FINITE, MOVED, LEFT = 0, 1, 2, 3, 4, 5  # rows of the result
ROWS = 6
CONVERGENCE = R_HAT, BULK, TAIL


class Work(NamedTuple):
    """Scratch arrays of one column."""

    key: np.ndarray  # (2, n) uint64
    order: np.ndarray  # (2, n) int64
    counts: np.ndarray  # (DIGITS, VALUES) int64
    sorted: np.ndarray  # (n,)
    place: np.ndarray  # (n,) int64, of each sorted draw among the halves
    z: np.ndarray  # (halves, half) what is judged
    mean: np.ndarray  # (halves,)


@kernel
def make_work(chains, draws):
    """Scratch arrays for columns of that many chains and draws."""
    n = chains * draws
    return Work(
        np.empty((2, n), dtype=np.uint64),
        np.empty((2, n), dtype=np.int64),
        np.empty((DIGITS, VALUES), dtype=np.int64),
        np.empty(n),
        np.empty(n, dtype=np.int64),
        np.empty((2 * chains, draws // 2)),
        np.empty(2 * chains),
    )


@kernel
def sort(x, work):
    """Sort a column; returns the side of `order` that has the places of the sorted draws."""
    n, count = x.size, work.counts
    for digit in range(DIGITS):
        for value in range(VALUES):
            count[digit, value] = 0
    for i in range(n):
        b = bits(x[i])
        # Unsigned and in the order of the numbers: negative ones upside down, and below.
        key = np.uint64(b ^ ((b >> 63) | (-1 << 63)))
        work.key[0, i] = key
        work.order[0, i] = i
        for digit in range(DIGITS):
            count[digit, (key >> np.uint64(DIGIT * digit)) & np.uint64(VALUES - 1)] += 1
    side = 0
    for digit in range(DIGITS):
        shift = np.uint64(DIGIT * digit)
        own = count[digit]
        if own[(work.key[side, 0] >> shift) & np.uint64(VALUES - 1)] == n:
            continue  # all have the same
        before = 0
        for value in range(VALUES):
            own[value], before = before, before + own[value]
        key, order = work.key[side], work.order[side]
        to_key, to_order = work.key[1 - side], work.order[1 - side]
        for i in range(n):
            value = (key[i] >> shift) & np.uint64(VALUES - 1)
            at = own[value]
            own[value] = at + 1
            to_key[at] = key[i]
            to_order[at] = order[i]
        side = 1 - side
    for i in range(n):
        work.sorted[i] = x[work.order[side, i]]
    return side


@kernel
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


@kernel
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
            turn[i], value[i] = low, left
            low -= 1
        else:
            turn[i], value[i] = high, right
            high += 1
    i = 0
    while i < size:
        last = i
        while last + 1 < size and value[last + 1] == value[i]:
            last += 1
        score = scores[i + last + 2]
        for k in range(i, last + 1):
            z[place[turn[k]]] = score
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
def centre(work):
    """Take the mean of each half off z; returns the variance of the means."""
    z, mean = work.z, work.mean
    for h in range(z.shape[0]):
        own = z[h]
        mean[h] = _total(own) / own.size
        for i in range(own.size):
            own[i] -= mean[h]
    average, spread = _total(mean) / mean.size, 0.0
    for h in range(mean.size):
        spread += (mean[h] - average) * (mean[h] - average)
    return spread / (mean.size - 1)


@kernel
def covariance(z, lag):
    """Autocovariance of centred halves, averaged over them."""
    total, length = 0.0, z.shape[1]
    for h in range(z.shape[0]):
        total += _product(z[h, : length - lag], z[h, lag:])
    return total / (z.shape[0] * length)


@kernel
def classical(z, between):
    """R-hat of centred halves, the variance of whose means is `between`."""
    length = z.shape[1]
    within = covariance(z, 0) * length / (length - 1.0)
    return math.sqrt((length * between / within + length - 1.0) / length)


@kernel
def effective(z, between):
    """Effective sample size, as `ess.split_ess`; -1 if Geyer's sequence is long."""
    length = z.shape[1]
    draws = float(z.size)
    first = covariance(z, 0)
    if first == 0.0 and between == 0.0:
        return draws
    within, total = first * length / (length - 1.0), first + between
    last = max(0, (length - 3) // 2)
    time, smallest, even, pair = -1.0, np.inf, 0.0, 0.0
    for i in range(last + 1):
        if 2 * i + 1 > MOST_LAGS:
            return -1.0
        even = 1.0 if i == 0 else 1.0 - (within - covariance(z, 2 * i)) / total
        pair = even + 1.0 - (within - covariance(z, 2 * i + 1)) / total
        if not pair > 0.0 or i == last:
            break
        smallest = min(smallest, pair)
        time += 2.0 * smallest
    if pair >= 0.0 or even > 0.0:
        time += even
    return draws / max(time, 1.0 / math.log10(draws))


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
    half, n = length // 2, chains * length
    size = 2 * chains * half
    work = make_work(chains, length)
    columns = np.empty((TOGETHER, n))
    turn, value = np.empty(size, dtype=np.int64), np.empty(size)
    for start in range(begin, end, TOGETHER):
        some = min(TOGETHER, end - start)
        for c in range(chains):
            for t in range(length):
                for j in range(some):
                    columns[j, c * length + t] = draws[c, t, start + j]
        for j in range(some):
            x, result = columns[j], out[:, start + j]
            finite, moved, every, other, two = True, False, True, x[0], True
            for c in range(chains):
                still = True
                for i in range(c * length, (c + 1) * length):
                    finite = finite and math.isfinite(x[i])
                    still = still and x[i] == x[c * length]
                    if x[i] != x[0]:
                        moved = True
                        two = two and (other == x[0] or x[i] == other)
                        other = x[i]
                every = every and not still
            result[FINITE], result[LEFT] = finite, 0.0
            result[MOVED] = every or (moved and two)
            result[R_HAT] = result[BULK] = result[TAIL] = np.nan
            if not finite:
                continue
            if not moved:
                result[BULK] = result[TAIL] = size
                continue
            side = sort(x, work)
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
                for c in range(chains):
                    for i in range(half):
                        work.z[2 * c, i] = x[c * length + i] <= quantile
                        work.z[2 * c + 1, i] = x[(c + 1) * length - half + i] <= quantile
                between = centre(work)
                tail = min(tail, effective(work.z, between))
            result[TAIL] = tail
            # Of an odd number of draws the middle one belongs to no half.
            kept = 0
            for i in range(n):
                c = work.order[side, i] // length
                t = work.order[side, i] - c * length
                if t < half:
                    work.place[kept] = 2 * c * half + t
                elif t >= length - half:
                    work.place[kept] = (2 * c + 1) * half + t - (length - half)
                else:
                    continue
                work.sorted[kept] = work.sorted[i]
                kept += 1
            if work.sorted[0] == work.sorted[size - 1]:
                result[LEFT] = 1.0
                continue
            fill_folded_scores(size, scores, work, turn, value)
            folded = classical(work.z, centre(work))
            fill_scores(size, scores, work)
            between = centre(work)
            bulk = classical(work.z, between)
            result[R_HAT] = bulk if folded != folded or bulk != bulk else max(bulk, folded)
            result[BULK] = effective(work.z, between)
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
