"""Warm-up: the schedule as a table, the step size's fixed point, the metric's moments."""

import numpy as np
import pytest
from targets import plain

from bayesglmm.adaptation import metric, proposal, step_size
from bayesglmm.adaptation.schedule import windows


@pytest.mark.parametrize(
    ("warmup", "start", "ends"),
    [
        (0, 0, ()),
        (5, 5, ()),
        (20, 3, (14,)),
        (100, 15, (70,)),
        (150, 75, (100,)),
        (300, 75, (100, 150, 250)),
        # Stan's reference manual: 75 | 25, 50, 100, 200, 500 | 50
        (1000, 75, (100, 150, 250, 450, 950)),
    ],
)
def test_schedule(warmup, start, ends):
    assert windows(warmup) == (start, ends)


def test_schedule_is_sound():
    for warmup in range(0, 2100, 7):
        schedule = windows(warmup)
        places = schedule.boundaries(warmup)
        assert places == sorted(set(places)) and all(0 < place <= warmup for place in places)
        assert places[-1:] == [warmup][: warmup > 0]
        if warmup >= 20:
            sizes = np.diff([schedule.start, *schedule.ends])
            assert sizes.min() >= 10 and (np.diff(sizes) >= 0).all()
            assert warmup - schedule.ends[-1] >= 6


def test_dual_averaging_finds_the_step_size_of_the_target():
    # Acceptance exp(-step size): 0.8 at -log 0.8, with noise of sd 0.1.
    rng = np.random.default_rng(4)
    state = step_size.unset()
    for _ in range(2000):
        accept = np.exp(-state[step_size.STEP_SIZE]) + 0.1 * rng.standard_normal()
        plain(step_size.update)(state, min(1.0, max(0.0, accept)), 0.8)
    step_size.freeze(state)
    assert abs(state[step_size.STEP_SIZE] / -np.log(0.8) - 1.0) < 0.1


def test_dual_averaging_is_stans_recursion():
    state = step_size.unset()
    plain(step_size.restart)(state, 0.5)
    mu, gamma, t0, kappa = np.log(10 * 0.5), 0.05, 10, 0.75
    s_bar = x_bar = 0.0
    for counter, accept in enumerate([0.3, 1.0, 0.9, 0.0, 0.75], start=1):
        plain(step_size.update)(state, accept, 0.8)
        eta = 1 / (counter + t0)
        s_bar = (1 - eta) * s_bar + eta * (0.8 - accept)
        x = mu - s_bar * np.sqrt(counter) / gamma
        x_bar = (1 - counter**-kappa) * x_bar + counter**-kappa * x
        assert np.isclose(state[step_size.STEP_SIZE], np.exp(x), rtol=1e-12)
    step_size.freeze(state)
    assert np.isclose(state[step_size.STEP_SIZE], np.exp(x_bar), rtol=1e-12)


def test_freezing_without_updates_keeps_the_guess():
    state = step_size.unset()
    plain(step_size.restart)(state, 0.25)
    step_size.freeze(state)
    assert np.isclose(state[step_size.STEP_SIZE], 0.25)


def test_metric_is_the_shrunken_variance():
    draws = 1e6 + np.random.default_rng(2).standard_normal((50, 3)) * [1e-3, 1.0, 30.0]
    moments = np.zeros((metric.ROWS, 3))
    for draw in draws:
        plain(metric.collect)(moments, draw)
    expected = 50 / 55 * draws.var(axis=0, ddof=1) + 1e-3 * 5 / 55
    np.testing.assert_allclose(metric.inverse_metric(moments), expected, rtol=1e-8)


@pytest.mark.parametrize(
    "wrong", [[[np.nan]], [[-1.0]], [[0.0]], [[np.inf]], [[1.0, 9.0], [9.0, 0.0]]]
)
def test_a_covariance_that_cannot_be_mended_ends_in_an_error_and_not_in_a_loop(wrong):
    with pytest.raises(FloatingPointError, match="not positive"):
        proposal.triangle(np.array(wrong))
    mended = proposal.triangle(np.array([[1.0, 1.0], [1.0, 1.0]]))
    np.testing.assert_allclose(mended @ mended.T, 1.0, atol=1e-8)
