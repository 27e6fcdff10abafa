"""The verdict: silent on good draws, and each fault named with its parameter and a remedy."""

import numpy as np
import pytest

from bayesglmm.diagnostics.verdict import judge


def good_draws(k: int = 4, chains: int = 4, draws: int = 1000) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((chains, draws, k))


def good_stats(chains: int = 4, draws: int = 1000) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        "divergent": np.zeros((chains, draws)),
        "max_depth": np.zeros((chains, draws)),
        "energy": rng.standard_normal((chains, draws)),
        "stuck_run": rng.geometric(0.4, (chains, draws)) - 1.0,
    }


def theta(draws: np.ndarray):
    return draws, lambda column: f"theta[{column}]"


def test_good_draws_pass_and_say_so():
    verdict = judge([theta(good_draws())], good_stats())
    assert verdict.ok and verdict.items == ()
    assert str(verdict).startswith("Converged: R-hat at most 1.0")
    assert len(verdict.checks) == 7


def shift_a_chain(draws, stats):
    draws[1, :, 2] += 2.0


def make_sticky(draws, stats):
    for t in range(1, draws.shape[1]):
        draws[:, t, 2] += 0.97 * draws[:, t - 1, 2]


def stop_moving(draws, stats):
    draws[:, :, 2] = 1.25


def lose_a_number(draws, stats):
    draws[3, 17, 2] = np.nan


def diverge(draws, stats):
    stats["divergent"][2, 5] = 1.0


def go_deep(draws, stats):
    stats["max_depth"][:, :11] = 1.0


def wander_in_energy(draws, stats):
    stats["energy"][1] = np.cumsum(stats["energy"][1])


def get_stuck(draws, stats):
    stats["stuck_run"][1, 700] = 101.0


FAULTS = [
    (shift_a_chain, "R-hat of theta[2]", "sample longer"),
    (make_sticky, "bulk ESS of theta[2]", "sample longer"),
    (stop_moving, "number of parameters that never moved of theta[2]", "stuck"),
    (lose_a_number, "number of non-finite draws of theta[2]", "priors"),
    (diverge, "number of divergences is 1, limit 0", "target_accept"),
    (go_deep, "share of draws at the largest tree depth is 0.011", "max_treedepth"),
    (wander_in_energy, "E-BFMI of chain 2", "priors"),
    (get_stuck, "longest run of rejections of chain 2 is 101", "sampler='nuts'"),
]


@pytest.mark.parametrize(("fault", "words", "remedy"), FAULTS)
def test_each_fault_is_named(fault, words, remedy):
    draws, stats = good_draws(), good_stats()
    fault(draws, stats)
    verdict = judge([theta(draws)], stats)
    assert not verdict.ok
    assert str(verdict).startswith("NOT converged")
    line = next(str(item) for item in verdict.items if words in str(item))
    assert remedy in line


def test_effects_are_judged_and_named_only_when_needed():
    asked = []

    def name(column: int) -> str:
        asked.append(column)
        return f"u[{column}]"

    effects = good_draws(k=300)
    effects[1, :, 123] += 2.0
    effects[1, :, 200] += 1.0
    verdict = judge([theta(good_draws()), (effects, name)], good_stats())
    first = verdict.items[0]
    assert (first.check, first.parameter, first.others) == ("R-hat", "u[123]", 1)
    assert "(and 1 more)" in str(first)
    assert len(asked) <= 3  # at most the worst of R-hat, bulk and tail


def test_chains_that_each_sit_still_apart_fail():
    draws = good_draws()
    draws[:, :, 0] = np.arange(4)[:, None]
    items = {item.check for item in judge([theta(draws)]).items}
    assert "R-hat" in items


def test_without_effects_or_draws():
    assert judge([theta(good_draws()), (np.empty((4, 1000, 0)), str)]).ok
    assert not judge([theta(good_draws(draws=3))]).ok
    assert not judge([theta(good_draws(draws=0))], good_stats(draws=0)).ok


@pytest.mark.parametrize(("draws", "enough"), [(60, False), (400, True)])
def test_threshold_counts_chains(draws, enough):
    verdict = judge([theta(good_draws(draws=draws))])
    assert ("bulk ESS" not in {item.check for item in verdict.items}) is enough
