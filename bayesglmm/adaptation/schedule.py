"""The schedule of warm-up, as data: when the metric is learned, and from which draws.

    |--- fast ---|--- 25 ---|------ 50 ------|------------ 100 ... -------|--- fast ---|
    0          start      end              end                          end        warmup

In the fast phases only the step size is tuned. Each slow window forgets what was collected before
it and ends with a new metric; windows double (Stan's reference manual, "Automatic parameter
tuning"). Two things differ, so that warm-ups of 20 to 300 iterations are of use. The last fast
phase is never cut below 30% of a short warm-up, because dual averaging needs some 20 updates after
the metric changed; and no window is left shorter than the one before it.
"""

from typing import NamedTuple

FIRST_FAST, LAST_FAST, FIRST_WINDOW = 75, 50, 25  # Stan's
SHORT_FIRST, SHORT_LAST = 0.15, 0.30  # shares of a warm-up too short for those
LEAST = 20  # a shorter warm-up tunes the step size alone


class Schedule(NamedTuple):
    """Where the slow windows lie: draws start..ends[0] - 1, ends[0]..ends[1] - 1, and so on."""

    start: int
    ends: tuple[int, ...]

    def boundaries(self, warmup: int) -> list[int]:
        """Return the iterations before which something changes, warmup among them."""
        return sorted({place for place in (self.start, *self.ends, warmup) if place > 0})


def windows(warmup: int) -> Schedule:
    """Return the slow windows of a warm-up of the given length."""
    if warmup < LEAST:
        return Schedule(warmup, ())
    start, last = FIRST_FAST, LAST_FAST
    if warmup < FIRST_FAST + FIRST_WINDOW + LAST_FAST:
        start, last = int(SHORT_FIRST * warmup), int(SHORT_LAST * warmup)
    final = warmup - last
    ends, end, size = [], start, FIRST_WINDOW
    while end < final:
        end += size
        size *= 2
        if end + size > final:
            end = final
        ends.append(end)
    return Schedule(start, tuple(ends))
