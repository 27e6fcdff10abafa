"""The search for a maximum: known maxima, rejected steps, flat and hopeless functions."""

import numpy as np
import pytest

from bayesglmm.fits.optimizer import CONVERGED, STATE, begin, end, finished, maximize, tell


def rosenbrock(x):
    a, b = 1.0 - x[:-1], x[1:] - x[:-1] ** 2
    gradient = np.zeros(x.size)
    gradient[:-1] += 2.0 * a + 400.0 * b * x[:-1]
    gradient[1:] -= 200.0 * b
    return -float(a @ a + 100.0 * b @ b), gradient


@pytest.mark.parametrize("d", [2, 5, 12])
def test_the_maximum_of_a_curved_valley(d):
    found = maximize(rosenbrock, np.full(d, -0.7), np.eye(d), np.full(d, 1.0))
    assert found.converged
    np.testing.assert_allclose(found.x, 1.0, atol=1e-4)


@pytest.mark.parametrize("d", [1, 3, 8])
def test_a_quadratic_leaves_its_inverse_hessian(d):
    rng = np.random.default_rng(d)
    A = rng.standard_normal((d, d))
    A = A @ A.T + np.eye(d)
    top = rng.standard_normal(d)

    def objective(x):
        return -0.5 * float((x - top) @ A @ (x - top)), A @ (top - x)

    exact = maximize(objective, np.zeros(d), np.linalg.inv(A), np.full(d, np.inf))
    assert exact.converged
    assert exact.evaluations == 2
    np.testing.assert_allclose(exact.x, top, rtol=1e-8, atol=1e-8)
    searched = maximize(objective, np.zeros(d), np.eye(d), np.full(d, np.inf))
    assert searched.converged
    np.testing.assert_allclose(searched.x, top, atol=1e-4)


def test_steps_out_of_the_domain_are_rejected():
    def objective(x):  # log x - x, with its maximum at 1, undefined for x <= 0
        if x[0] <= 0.0:
            return -np.inf, np.array([np.nan])
        return float(np.log(x[0]) - x[0]), 1.0 / x - 1.0

    found = maximize(objective, np.array([9.0]), np.array([[50.0]]), np.array([100.0]))
    assert found.converged
    assert abs(found.x[0] - 1.0) < 1e-4


def test_no_step_is_longer_than_allowed():
    asked = []

    def objective(x):
        asked.append(x[0])
        return -((x[0] - 50.0) ** 2), np.array([100.0 - 2.0 * x[0]])

    maximize(objective, np.zeros(1), np.eye(1), np.array([0.5]))
    assert np.max(np.abs(np.diff(asked))) <= 0.5 + 1e-12


def test_a_function_without_a_maximum_does_not_converge():
    found = maximize(lambda x: (float(x[0]), np.ones(1)), np.zeros(1), np.eye(1), np.ones(1))
    assert not found.converged


def test_a_start_without_a_value_stops_at_once():
    found = maximize(lambda x: (np.nan, np.zeros(1)), np.zeros(1), np.eye(1), np.ones(1))
    assert not found.converged
    assert found.evaluations == 1


def test_a_start_at_the_maximum_is_found_to_be_one():
    search = begin(np.zeros(2), np.eye(2), np.ones(2))
    tell(search, 3.0, np.zeros(2))
    assert search.counts[STATE] == CONVERGED
    assert end(search).value == 3.0
    assert not end(finished(2)).converged
