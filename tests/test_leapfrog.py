"""The integrator by physics: reversible, of second order, and volume-preserving."""

import numpy as np
import pytest
from mutants import plain_copy
from targets import CORRELATION, NORMAL, SKEWED, ToyTarget, plain

from bayesglmm._jit import entry, types
from bayesglmm.samplers import leapfrog
from bayesglmm.samplers.leapfrog import kinetic
from bayesglmm.samplers.leapfrog import refresh as draw_momentum

INVERSE_METRIC = np.array([0.7, 1.6, 1.0, 0.4])


def covariance() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = CORRELATION
    return matrix


class Path:
    """Leapfrog steps on a target, by a given integrator."""

    def __init__(self, kind: int, module=leapfrog) -> None:
        self.target = ToyTarget(kind, 4, covariance=covariance())
        self.module = module

    def start(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        return rng.standard_normal(4), rng.standard_normal(4)

    def integrate(self, position, momentum, step_size, steps):
        """Return position, momentum and energy after the steps."""
        target, edge = self.target, np.array([position, momentum, np.zeros(4)])

        def density():
            return target.logdensity(target.rows, target.data, target.map, edge[0], edge[2])

        value = density()
        for _ in range(steps):
            plain(self.module.drift)(edge, step_size, INVERSE_METRIC)
            value = density()
            plain(self.module.kick)(edge, step_size)
        return edge[0], edge[1], plain(kinetic)(edge[1], INVERSE_METRIC) - value


def check_reversible(path: Path) -> None:
    position, momentum = path.start(1)
    there, moved, _ = path.integrate(position, momentum, 0.1, 100)
    assert np.abs(there - position).max() > 0.1
    back, reversed_momentum, _ = path.integrate(there, -moved, 0.1, 100)
    np.testing.assert_allclose(back, position, atol=1e-10)
    np.testing.assert_allclose(-reversed_momentum, momentum, atol=1e-10)
    again, _, _ = path.integrate(there, moved, -0.1, 100)
    np.testing.assert_allclose(again, position, atol=1e-10)


def check_second_order(path: Path) -> None:
    steps = 0.2 / 2.0 ** np.arange(5)
    errors = np.zeros(5)
    for seed in range(5):
        position, momentum = path.start(seed)
        _, _, before = path.integrate(position, momentum, 0.1, 0)
        for k, step in enumerate(steps):
            _, _, after = path.integrate(position, momentum, step, round(1.0 / step))
            errors[k] += abs(after - before)
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope - 2.0) < 0.1


def check_volume(path: Path) -> None:
    state, h = np.concatenate(path.start(3)), 1e-5

    def move(x):
        return np.concatenate(path.integrate(x[:4], x[4:], 0.3, 5)[:2])

    columns = [(move(state + h * e) - move(state - h * e)) / (2 * h) for e in np.eye(8)]
    assert abs(np.linalg.det(np.array(columns)) - 1.0) < 1e-6


CHECKS = [check_reversible, check_second_order, check_volume]


@pytest.mark.parametrize("kind", [NORMAL, SKEWED], ids=["normal", "skewed"])
@pytest.mark.parametrize("check", CHECKS)
def test_physics(check, kind):
    check(Path(kind))


MOVE = "position[i] += step_size * inverse_metric[i] * momentum[i]"
BROKEN = {
    # Reversible and of volume 1, so that a chain would be exact, but slow: only energy shows it.
    "position moves the wrong way": (check_second_order, MOVE, MOVE.replace("+=", "-=")),
    "half a kick is forgotten": (
        check_reversible,
        "for i in range(momentum.size):\n        momentum[i] += half",
        "for i in range(momentum.size):\n        momentum[i] += 0.0",
    ),
    "position shrinks": (check_volume, MOVE, f"position[i] *= 0.99\n        {MOVE}"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_copies_are_caught(fault, tmp_path):
    check, old, new = BROKEN[fault]
    broken = plain_copy(tmp_path, ("samplers/leapfrog.py", old, new))("samplers.leapfrog")
    with pytest.raises(AssertionError):
        check(Path(NORMAL, broken))


def test_momentum_has_the_metric_as_variance():
    @entry(
        lambda: types.void(types.uint64[::1], types.float64[::1], types.float64[:, ::1]),
        cache=False,
    )
    def draw(random, inverse_metric, out):
        for i in range(out.shape[0]):
            draw_momentum(random, inverse_metric, out[i])

    draws = np.empty((4000, 4))
    draw(np.array([3, 0], dtype=np.uint64), INVERSE_METRIC, draws)
    # sd of a variance estimate: sqrt(2 / 4000) = 2.2%
    np.testing.assert_allclose(draws.var(axis=0) * INVERSE_METRIC, 1.0, atol=0.1)
    np.testing.assert_allclose(np.corrcoef(draws.T) - np.eye(4), 0.0, atol=0.07)
