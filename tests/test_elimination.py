"""Block elimination against dense algebra by numpy, for every structure of factors."""

import numpy as np
import pytest
from kernels import callable_

from bayesglmm import _blocked
from bayesglmm.density import empty_data
from bayesglmm.fits.pattern import arrange
from bayesglmm.fits.system import System

# Of each factor: levels and z columns; how levels are drawn.
STRUCTURES = {
    "none": [],
    "one": [(7, 1)],
    "slopes": [(9, 3)],
    "crossed": [(4, 1), (11, 1)],
    "crossed slopes": [(9, 2), (5, 3)],
    "rest slopes": [(4, 3), (30, 1), (3, 2)],
    "six": [(6, 6), (3, 1)],
    "three crossed": [(6, 1), (5, 2), (8, 1)],
}
N = 60


def make(sizes, rng, n=N, level=None):
    """Data of random rows; the last level of every factor stays empty."""
    factor = np.repeat(np.arange(len(sizes)), [q for _, q in sizes]).astype(np.int64)
    levels = np.array([J for J, _ in sizes], dtype=np.int64)
    ends = np.cumsum(levels[factor]) if factor.size else np.zeros(0, dtype=np.int64)
    if level is None:
        level = [rng.integers(0, max(J - 1, 1), n) for J, _ in sizes]
    Z = rng.normal(size=(factor.size, n))
    Z[::2] = 1.0
    data = empty_data()
    zero = np.zeros(n)
    obs = data.obs._replace(y=zero, w=zero + 1.0, offset=zero, X=np.zeros((0, n)), Z=Z)
    return data._replace(
        obs=obs,
        level=np.array(level, dtype=np.int32).reshape(len(sizes), n),
        levels=levels,
        factor=factor,
        effect=ends - levels[factor],
    )


def random_L(data, rng):
    """Lower triangles within factors."""
    Q = data.factor.size
    L = np.tril(rng.normal(size=(Q, Q))) * (data.factor[:, None] == data.factor[None, :])
    return L + np.eye(Q)


class Dense:
    """The same matrices without any structure."""

    def __init__(self, data, L, w, X):
        n, effects = data.obs.y.size, int(sum(data.levels[f] for f in data.factor))
        self.data, self.L, self.w, self.X = data, L, w, X
        self.Z = np.zeros((n, effects))
        for k, f in enumerate(data.factor):
            self.Z[np.arange(n), data.effect[k] + data.level[f]] = data.obs.Z[k]
        self.big = np.zeros((effects, effects))
        for k, l in np.argwhere(L != 0.0):
            J = data.levels[data.factor[k]]
            own = np.arange(J)
            self.big[data.effect[k] + own, data.effect[l] + own] = L[k, l]
        self.A = self.Z.T @ (w[:, None] * self.Z)
        self.H = np.eye(effects) + self.big.T @ self.A @ self.big
        self.G = np.linalg.inv(self.H)

    def border(self):
        V = np.diag(1 / self.w) + self.Z @ self.big @ self.big.T @ self.Z.T
        return self.X.T @ np.linalg.solve(V, self.X)

    def moved(self, k, l, step):
        L = self.L.copy()
        L[k, l] += step
        return Dense(self.data, L, self.w, self.X)


@pytest.fixture(params=STRUCTURES)
def case(request):
    rng = np.random.default_rng(5)
    data = make(STRUCTURES[request.param], rng)
    w, X = rng.uniform(0.2, 2.0, N), rng.normal(size=(N, 3))
    L = random_L(data, rng)
    system = System(data, X)
    system.gram(w)
    system.factorize(L)
    return data, system, Dense(data, L, w, X)


def test_determinant(case):
    _, system, dense = case
    np.testing.assert_allclose(system.half_log_det, 0.5 * np.linalg.slogdet(dense.H)[1], rtol=1e-11)


def test_solution(case):
    _, system, dense = case
    b = np.random.default_rng(1).normal(size=dense.G.shape[0])
    np.testing.assert_allclose(system.solve(b), dense.G @ b, atol=1e-10)


def test_border(case):
    _, system, dense = case
    np.testing.assert_allclose(system.border, dense.border(), rtol=1e-9)
    expected = dense.G @ dense.big.T @ dense.Z.T @ (dense.w[:, None] * dense.X)
    np.testing.assert_allclose(system.solve_border(), expected, atol=1e-9)


def test_levers_and_variances(case):
    _, system, dense = case
    system.invert()
    M = dense.big @ dense.G @ dense.big.T
    np.testing.assert_allclose(system.levers(), np.diag(dense.Z @ M @ dense.Z.T), rtol=1e-9)
    np.testing.assert_allclose(system.variances(), np.diag(M), rtol=1e-9)


def test_inverse_on_the_pattern(case):
    data, system, dense = case
    pattern, G = system.pattern, system.invert()
    own = dense.G[np.ix_(pattern.origin, pattern.origin)]
    q, J = int(pattern.own[0]), pattern.first.size - 1
    for i in range(J):
        block = slice(i * q, (i + 1) * q)
        np.testing.assert_allclose(G.own[i], own[block, block], atol=1e-10)
        cells = slice(pattern.cell[i], pattern.cell[i + 1])
        rest = J * q + pattern.column[cells]
        np.testing.assert_allclose(G.cells[cells], own[rest, block], atol=1e-10)
    for a in range(pattern.base.size):
        for s in range(pattern.component.size - 1):
            first, last = pattern.component[s], pattern.component[s + 1]
            if first <= a < last:
                row = G.rest[pattern.base[a] + first : pattern.base[a] + last]
                np.testing.assert_allclose(row, own[J * q + a, J * q + first : J * q + last])


def test_derivatives(case):
    data, system, dense = case
    weight = np.array([[1.0, 0.3, 0.0], [0.3, 2.0, 0.1], [0.0, 0.1, 0.5]])
    system.invert()
    system.solve_border()
    traces, slopes = system.traces(), system.border_slope(weight)
    step = 1e-5
    for k in range(data.factor.size):
        for l in range(k + 1):
            if data.factor[k] == data.factor[l]:
                up, down = dense.moved(k, l, step), dense.moved(k, l, -step)
                change = 0.5 * (np.linalg.slogdet(up.H)[1] - np.linalg.slogdet(down.H)[1])
                np.testing.assert_allclose(traces[k, l], change / (2 * step), rtol=1e-6, atol=1e-8)
                change = np.sum(weight * (up.border() - down.border())) / (2 * step)
                np.testing.assert_allclose(slopes[k, l], change, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [1, 7, 48, 49, 97, 230])
def test_dense_factor_and_inverse(n):
    rng = np.random.default_rng(n)
    a = rng.normal(size=(n, n))
    a = a @ a.T + np.eye(n)
    c = a.copy()
    half = callable_(_blocked.cholesky)(c)
    np.testing.assert_allclose(half, 0.5 * np.linalg.slogdet(a)[1], rtol=1e-11)
    np.testing.assert_allclose(np.tril(c), np.linalg.cholesky(a), atol=1e-10)
    inverse = np.full((n, n), np.nan)
    callable_(_blocked.invert)(c, inverse)
    np.testing.assert_allclose(inverse, np.linalg.inv(a), atol=1e-9)


@pytest.mark.parametrize("place", [0, 30, 60])
def test_indefinite_dense_matrices_are_reported(place):
    a = np.eye(70)
    a[place, place] = -1.0
    assert np.isnan(callable_(_blocked.cholesky)(a))
    a[place, place] = np.nan
    assert np.isnan(callable_(_blocked.cholesky)(a))


def test_nested_rest_falls_apart():
    """Squares of one parent each: memory and time are linear in the number of parents."""
    parents = np.arange(3000) % 1000
    data = make([(1000, 1), (3000, 2)], np.random.default_rng(3), 3000, [parents, np.arange(3000)])
    pattern = arrange(data)
    np.testing.assert_array_equal(np.diff(pattern.component), 1)
    assert pattern.square[-1] == 1000


def test_a_chain_is_one_component():
    """Level i of the eliminated factor has rest effects i and i + 1."""
    i = np.arange(400)
    level = [np.concatenate([i, i + 1]), np.concatenate([i, i])]
    data = make([(401, 1), (400, 2)], np.random.default_rng(3), 800, level)
    assert arrange(data).component.size == 2


def test_indefinite_weights_are_reported():
    rng = np.random.default_rng(4)
    data = make(STRUCTURES["crossed"], rng)
    system = System(data)
    system.gram(np.full(N, -5.0))
    assert np.isnan(system.factorize(np.eye(2)))
