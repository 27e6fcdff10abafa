"""Every sampler leaves the joint distribution of its model as it is; broken copies do not."""

import pytest
from broken import (
    CASES,
    CATALOGUE,
    DIAGONAL,
    GAUSSIAN,
    HASTINGS,
    JACOBIAN,
    LINEAR,
    LKJ,
    PRIOR,
    WISHART,
)
from joint import DRAWS, LARGEST_Z, Case, deviations

SMALLEST_ESS = 500  # of the slowest function; of most, thousands
LONG = 5  # times the draws, for a second look and in the slow tests
FAST = [
    *((case, "gibbs") for case in CASES),
    (LKJ, "gibbs, walk"),
    (DIAGONAL, "gibbs, linear"),
    (GAUSSIAN, "gibbs, transport alone"),
    (WISHART, "nuts"),
    (WISHART, "hmc"),
]
# With sds near 0 of two correlated effects a fixed step size sticks, so not LKJ.
SLOW = [
    (case, sampler)
    for sampler in ("gibbs, transport alone", "gibbs, linear", "gibbs, walk", "nuts", "hmc")
    for case in CASES
    if (case, sampler) not in FAST and not (case is LKJ and sampler != "gibbs, walk")
]


def check(case: Case, sampler: str, draws: int) -> None:
    z, ess = deviations(case, sampler, draws=draws)
    if max(map(abs, z.values())) >= LARGEST_Z:
        # One of some 250 functions may exceed it by chance; not twice, with more draws.
        z, ess = deviations(case, sampler, draws=LONG * draws, seed=2)
    assert ess > SMALLEST_ESS
    assert len(z) >= 12
    broken = {name: round(value, 1) for name, value in z.items() if not abs(value) < LARGEST_Z}
    assert broken == {}


def name(value: object) -> str:
    return value.name if isinstance(value, Case) else str(value)


@pytest.mark.parametrize(("case", "sampler"), FAST, ids=name)
def test_joint_distribution(case, sampler):
    check(case, sampler, DRAWS)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "sampler"), SLOW, ids=name)
def test_joint_distribution_of_parts_and_other_samplers(case, sampler):
    check(case, sampler, LONG * DRAWS)


@pytest.mark.parametrize("broken", [HASTINGS, JACOBIAN, PRIOR, LINEAR], ids=lambda b: b.name)
def test_broken_copies_are_caught(broken):
    assert max(map(abs, broken.deviations().values())) > LARGEST_Z


@pytest.mark.slow
@pytest.mark.parametrize("broken", CATALOGUE[4:], ids=lambda b: f"{b.name}, {b.sampler}")
def test_all_broken_copies_are_caught(broken):
    assert max(map(abs, broken.deviations().values())) > LARGEST_Z
