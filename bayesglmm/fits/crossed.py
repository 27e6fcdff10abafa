"""Laplace's approximation for crossed and nested factors, by block elimination.

    loglik(theta) = sum_r l_r - |v|^2 / 2 - log det C,      C C' = H = I + L'Z'KZL

at the mode v of all effects, with K the observed curvature, and its gradient, the movement of the
mode included. The formulas are those of `one_factor` with one H for all effects. `newton` finds the
mode; `elimination` and `traces` supply solutions, levers a_r'H^-1 a_r and traces, in time linear in
rows and cells.
"""

import math

import numpy as np

from .. import covariance, families
from .._jit import entry, kernel, types
from .._linalg import add, copy, dot
from ..density import (
    DATA_TYPE,
    MATRIX,
    VECTOR,
    Data,
    dispersion,
    theta_logprior,
    theta_logprior_gradient,
)
from ..errors import DataError
from .elimination import factorize, gram, invert, reorder, solve
from .newton import (
    BEND,
    ETA,
    FIXED,
    GRADIENT,
    LEVER,
    LL,
    ROWS_OF_PATTERN,
    SCORE,
    SHIFT,
    TURN,
    WORK_TYPE,
    B,
    U,
    make_work,
    modes,
    sort_rows,
)
from .optimizer import SEARCH_TYPE, SEARCHING, STATE, Search, advance
from .pattern import arrange, largest_square
from .products import add_outer, collect, mix, predict, pull_back
from .system import PATTERN_TYPE
from .system import variances as variances_of
from .traces import levers, traces

MOST_CONNECTED = 8000  # effects in one dense square: it takes 0.5 GB, four times over
PHI_STEP = 1e-5  # relative step of the central difference in log phi


@entry(
    lambda: types.void(
        families.ROWS_TYPE,
        DATA_TYPE,
        ROWS_OF_PATTERN,
        PATTERN_TYPE,
        WORK_TYPE,
        types.int64,
        SEARCH_TYPE,
        MATRIX,
        VECTOR,
        MATRIX,
        MATRIX,
        VECTOR,
    )
)
def evaluate(
    rows, data, obs, pattern, work, penalized, search, points, values, gradients, found, modes_v
):
    """Laplace log-likelihoods along a search, then at points; as `one_factor.evaluate`.

    modes_v (nv,) and found (k, nv) are in the model's order. `work` is left with Z'KZ and the
    factor at the last evaluation.
    """
    n, d, nv = obs.y.size, gradients.shape[1], modes_v.size
    line, effect = np.empty((8, n)), np.empty((8, nv))
    v, start, gradient = np.empty(nv), np.empty(nv), np.zeros(d)
    for i in range(nv):
        start[i] = modes_v[pattern.origin[i]]
    searching = search.counts[STATE] == SEARCHING
    place = 0
    while searching or place < points.shape[0]:
        theta = search.trial if searching else points[place]
        copy(v, start)
        value = laplace(
            rows, data.prior, obs, pattern, work, penalized, theta, line, effect, v, gradient
        )
        if searching:
            if value > -np.inf:
                copy(start, v)
            advance(search, value, gradient)
            searching = search.counts[STATE] == SEARCHING
            continue
        values[place] = value
        copy(gradients[place], gradient)
        for i in range(nv):
            found[place, pattern.origin[i]] = v[i]
        place += 1
    for i in range(nv):
        modes_v[pattern.origin[i]] = start[i]


@kernel
def laplace(rows, prior, obs, pattern, work, penalized, theta, line, effect, v, gradient):
    """Laplace log-likelihood at theta, plus the log prior if `penalized`; fills the gradient.

    v holds the start of the modes and receives them. -inf if they are not found or H is not
    positive definite.
    """
    p, m, Q = obs.X.shape[0], prior.covariance.row.size, obs.z.shape[1]
    n, A, G = obs.y.size, work.A, work.G
    given, L, d_L, trace = np.zeros((Q, Q)), np.zeros((Q, Q)), np.zeros((Q, Q)), np.empty((Q, Q))
    covariance.fill_L(prior.covariance, theta[p : p + m], given)
    reorder(pattern, given, L)
    phi = dispersion(prior, theta)
    copy(line[FIXED], obs.offset)
    for k in range(p):
        add(line[FIXED], obs.X[k], theta[k])
    for j in range(theta.size):
        gradient[j] = 0.0
    if not modes(rows, obs, pattern, L, phi, work, line, effect, v):
        return -np.inf

    eta, ll, s, bend, turn = line[ETA], line[LL], line[SCORE], line[BEND], line[TURN]
    rows(families.FULL, eta, obs.y, obs.w, phi, ll, s, bend, turn)
    gram(pattern, obs.z, obs.none, bend, A)
    half = factorize(pattern, L, A, work.factor)
    work.usable[0] = 1 if half > -math.inf else 0
    if not half > -math.inf:
        return -np.inf
    value = -0.5 * dot(v, v) - half
    for r in range(n):
        value += ll[r]

    invert(pattern, work.factor, G)
    lever, shift, u, b = line[LEVER], line[SHIFT], effect[U], effect[B]
    levers(pattern, L, obs.z, G, lever)
    traces(pattern, L, A, G, trace)
    for r in range(n):
        turn[r] *= 0.5 * lever[r]
        shift[r] = 0.0
    collect(pattern, obs.z, turn, u)
    pull_back(pattern, L, u, b)
    solve(pattern, work.factor, b)
    mix(pattern, L, b, u)
    predict(pattern, obs.z, u, shift)
    collect(pattern, obs.z, s, effect[GRADIENT])
    for r in range(n):
        turn[r] = s[r] - turn[r] + bend[r] * shift[r]
    for k in range(p):
        gradient[k] = dot(obs.X[k], turn)
    collect(pattern, obs.z, turn, u)
    add_outer(pattern, 1.0, u, v, d_L)
    add_outer(pattern, -1.0, effect[GRADIENT], b, d_L)
    for k in range(Q):
        for l in range(Q):
            given[pattern.z_order[k], pattern.z_order[l]] = L[k, l]
            d_L[k, l] -= trace[k, l]
    for k in range(Q):
        for l in range(Q):
            trace[pattern.z_order[k], pattern.z_order[l]] = d_L[k, l]
    covariance.chain_psi(prior.covariance, given, trace, gradient[p : p + m])
    if prior.phi.shape[0] > 0:
        slope = 0.0
        for side in range(2):
            sign = 1.0 if side == 0 else -1.0
            other = phi * math.exp(sign * PHI_STEP)
            rows(families.FULL, eta, obs.y, obs.w, other, ll, s, bend, turn)
            for r in range(n):
                slope += sign * (ll[r] - 0.5 * lever[r] * bend[r] - shift[r] * s[r])
        gradient[p + m] = slope / (2.0 * PHI_STEP)
    if penalized == 1:
        value += theta_logprior(prior, theta, given)
        theta_logprior_gradient(prior, theta, given, gradient)
    return value


class Crossed:
    """The objective of one model: its pattern, sorted rows and matrices.

    Raises
    ------
    DataError
        For crossed factors of which even the smaller ones have more effects than fit in memory.
    """

    def __init__(self, rows, data: Data) -> None:
        self.rows, self.data = rows, data
        self.pattern = arrange(data)
        if (connected := largest_square(self.pattern)) > MOST_CONNECTED:
            raise DataError(
                f"{connected} effects beside the largest factor's are connected with each other "
                f"through the data; a fit takes at most {MOST_CONNECTED}. Sample the model with "
                "sampler='nuts' instead, which has no such limit."
            )
        self.obs = sort_rows(data, self.pattern)
        self.work = make_work(self.pattern)

    def evaluate(
        self,
        penalized: bool,
        search: Search,
        points: np.ndarray,
        v: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Go along a search, then evaluate points (k, d), from the modes v, which are changed.

        Returns
        -------
        values : ndarray, shape (k,)
        gradients : ndarray, shape (k, d)
        found : ndarray, shape (k, nv)
            Modes.
        """
        k, d = points.shape
        values, gradients, found = np.empty(k), np.empty((k, d)), np.empty((k, v.size))
        evaluate(
            self.rows,
            self.data,
            self.obs,
            self.pattern,
            self.work,
            int(penalized),
            search,
            np.ascontiguousarray(points),
            values,
            gradients,
            found,
            v,
        )
        return values, gradients, found

    def variances(self, L: np.ndarray) -> np.ndarray:
        """Conditional variances of u (nv,), the diagonal of L H^-1 L', at the last evaluation."""
        order = self.pattern.z_order
        own, out = np.empty(self.pattern.origin.size), np.empty(self.pattern.origin.size)
        given = np.ascontiguousarray(L[np.ix_(order, order)])
        variances_of(self.pattern, given, self.work.G, own)
        out[self.pattern.origin] = own
        return out

    def cholesky(self, L: np.ndarray) -> np.ndarray:
        """Dense Cholesky factor C (nv, nv) of all effects in the model's order, as `variances`."""
        pattern, A, data = self.pattern, self.work.A, self.data
        J, q = A.own.shape[:2]
        nv = pattern.origin.size
        own, rest = pattern.origin[: J * q].reshape(J, q), pattern.origin[J * q :]
        H = np.zeros((nv, nv))
        H[own[:, :, None], own[:, None, :]] = A.own
        level = np.repeat(np.arange(J), np.diff(pattern.cell))
        H[rest[pattern.column][:, None], own[level]] = A.cells
        H[own[level], rest[pattern.column][:, None]] = A.cells
        for first, last, begin in zip(
            pattern.component[:-1], pattern.component[1:], pattern.square[:-1], strict=True
        ):
            size = last - first
            square = np.tril(A.rest[begin : begin + size**2].reshape(size, size))
            H[np.ix_(rest[first:last], rest[first:last])] = square + np.tril(square, -1).T
        for _ in range(2):
            # (A L)' = L'A, then the same again.
            moved = np.zeros_like(H)
            for k, l in np.argwhere(L != 0.0):
                levels = np.arange(data.levels[data.factor[k]])
                moved[:, data.effect[l] + levels] += L[k, l] * H[:, data.effect[k] + levels]
            H = moved.T
        return np.linalg.cholesky(np.eye(nv) + H)
