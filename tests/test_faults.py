"""Faults, each really done to a process (`faults`): what is left is whole, and said in words."""

import faults
import pytest

# What starts a cluster or compiles into an empty cache takes long; `diagnostics.faults` runs all.
SLOW = {"3", "9"}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            each, id=f"{each.number} {each.what}", marks=[pytest.mark.slow] * (each.number in SLOW)
        )
        for each in faults.FAULTS
    ],
)
def test_is_survived(fault, tmp_path):
    assert fault.do(tmp_path)


def test_all_faults_are_there():
    assert [each.number for each in faults.FAULTS] == [str(k) for k in range(1, 14)]
