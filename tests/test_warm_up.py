"""Adaptation ends with warm-up, and chains have random numbers of their own."""

import numpy as np
import pytest
from catalogue import NEVER_FROZEN, SAME_SEEDS, TWELVE
from joint import LARGEST_Z
from warm_up import SAMPLERS, WARMUP, faults, program

from bayesglmm import _random, chains


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_a_chain_has_learned_is_frozen_and_no_two_chains_are_alike(sampler):
    assert faults(sampler) == []


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_something_is_learned_in_warm_up(sampler):
    # Else nothing being changed afterwards would say nothing.
    made = program(sampler)
    begun = made.start(_random.keys(3, 1)[0], 0)
    done = chains.run(made, seed=3, chains=1, draws=1, warmup=WARMUP, progress=False).states[0]
    keys = ("proposal_center", "proposal_tuning", "tuning_scale", "step")
    assert any(key in done and not np.array_equal(begun[key], done[key]) for key in keys)


def test_streams_of_chains_differ():
    assert len({int(key) for key, _ in _random.keys(1, 1000)}) == 1000


@pytest.mark.parametrize("broken", [NEVER_FROZEN, SAME_SEEDS], ids=lambda b: b.name)
def test_broken_copies_are_caught(broken):
    assert broken.found() != []


@pytest.mark.slow
@pytest.mark.parametrize("fault", TWELVE)
def test_every_fault_of_the_catalogue_is_caught(fault):
    assert max(map(abs, TWELVE[fault].deviations().values())) > LARGEST_Z
