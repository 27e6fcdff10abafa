"""Rows in the order that vectorizes: every row in its place, whatever the groups."""

import numpy as np
import pytest

from bayesglmm.layout import CUTS, DIRECT, GROUP, LANE, LANES, LEVEL, ROW, SHORTEST_CUT, arrange

RNG = np.random.default_rng(3)
CASES = {
    "one row": ([0], 1),
    "one group": (np.zeros(40, dtype=int), 1),
    "groups of one row": (RNG.permutation(700), 700),
    "unlike sizes": (RNG.integers(0, 30, 200) ** 2 // 30, 30),
    "empty groups": ([3, 3, 5, 0, 5, 3], 8),
    "no rows": ([], 3),
    "more groups than a chunk": (RNG.integers(0, 900, 5000), 900),
    "one group among small ones": (RNG.permutation(np.r_[np.zeros(3000), range(1, 400)]), 400),
    "all groups cut": (RNG.integers(0, 3, 30_000), 3),
    "cut groups fill chunks": (RNG.integers(0, 40, 6000) ** 2 // 40, 40),
}


@pytest.fixture(params=CASES, name="case")
def _case(request):
    index, groups = CASES[request.param]
    index = np.array(index, dtype=np.int64)
    return index, groups, *arrange(index, groups)


def test_every_row_is_in_one_place(case):
    index, groups, _, rows, order = case
    assert sorted(rows.tolist()) == list(range(index.size))
    assert sorted(order.tolist()) == list(range(groups))


def test_every_place_belongs_to_the_group_of_its_row(case):
    index, groups, lanes, rows, order = case
    chunk, level = lanes.chunk, lanes.level
    seen = np.zeros(index.size, dtype=int)
    for c in range(len(chunk) - 1):
        first_lane, first_group = chunk[c, LANE], chunk[c, GROUP]
        width = chunk[c + 1, LANE] - first_lane
        last = width
        for start, count in level[chunk[c, LEVEL] : chunk[c + 1, LEVEL]]:
            # The lanes that reach a level are the first ones of the chunk, never more than before.
            assert 0 < count <= last
            last = count
            assert chunk[c, ROW] <= start and start + count <= chunk[c + 1, ROW]
            for i in range(count):
                group = first_group + lanes.group[first_lane + i]
                assert group < chunk[c + 1, GROUP]
                assert order[group] == index[rows[start + i]]
                seen[start + i] += 1
    assert (seen == 1).all()
    if groups:
        assert chunk[-1, ROW] == index.size and chunk[-1, GROUP] == groups


def test_direct_chunks_have_one_lane_a_group_in_order(case):
    lanes = case[2]
    chunk = lanes.chunk
    for c in range(len(chunk) - 1):
        local = lanes.group[chunk[c, LANE] : chunk[c + 1, LANE]]
        groups = chunk[c + 1, GROUP] - chunk[c, GROUP]
        assert set(local.tolist()) == set(range(groups))  # empty groups have a lane too
        direct = local.size == groups and (local == np.arange(groups)).all()
        assert chunk[c, DIRECT] == int(direct)


def test_chunks_are_small_and_lanes_of_like_length(case):
    index, groups, lanes, _, _ = case
    longest = max(SHORTEST_CUT, -(-index.size // CUTS))
    widths = np.diff(lanes.chunk[:, LANE])
    depths = np.diff(lanes.chunk[:, LEVEL])
    # A single group that is cut may need more lanes than a chunk should have; it is not split.
    pieces = -(-np.bincount(index, minlength=groups) // longest)
    assert (widths <= max(LANES, pieces.max(initial=0))).all()
    assert (depths <= longest).all()


def test_sums_by_group_are_those_of_bincount(case):
    index, groups, lanes, rows, order = case
    x = np.random.default_rng(1).normal(size=index.size)[rows]
    total = np.zeros(groups)
    chunk = lanes.chunk
    for c in range(len(chunk) - 1):
        for start, count in lanes.level[chunk[c, LEVEL] : chunk[c + 1, LEVEL]]:
            local = lanes.group[chunk[c, LANE] : chunk[c, LANE] + count]
            np.add.at(total, order[chunk[c, GROUP] + local], x[start : start + count])
    values = np.empty(index.size)
    values[rows] = x
    np.testing.assert_allclose(total, np.bincount(index, values, groups), atol=1e-12)
