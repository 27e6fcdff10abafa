"""Block elimination from Python: one model's pattern, and the matrices that it goes through."""

import numpy as np

from .._jit import ENABLED, entry, typeof, types
from ..density import MATRIX, VECTOR, Data, empty_data
from . import elimination, products, traces
from .pattern import Parts, Pattern, arrange, parts, sorted_border, sorted_z

if ENABLED:
    PATTERN_TYPE = typeof(arrange(empty_data()))
    PARTS_TYPE = typeof(parts(arrange(empty_data())))
else:
    PATTERN_TYPE = PARTS_TYPE = None


@entry(lambda: types.void(PATTERN_TYPE, MATRIX, MATRIX, VECTOR, PARTS_TYPE))
def gram(pattern, z, x, w, out):
    """See `elimination.gram`."""
    elimination.gram(pattern, z, x, w, out)


@entry(lambda: types.float64(PATTERN_TYPE, MATRIX, PARTS_TYPE, PARTS_TYPE))
def factorize(pattern, L, A, out):
    """See `elimination.factorize`."""
    return elimination.factorize(pattern, L, A, out)


@entry(lambda: types.void(PATTERN_TYPE, PARTS_TYPE, VECTOR))
def solve(pattern, factor, x):
    """See `elimination.solve`."""
    elimination.solve(pattern, factor, x)


@entry(lambda: types.void(PATTERN_TYPE, PARTS_TYPE, PARTS_TYPE))
def solve_border(pattern, factor, out):
    """See `elimination.solve_border`."""
    elimination.solve_border(pattern, factor, out)


@entry(lambda: types.void(PATTERN_TYPE, PARTS_TYPE, PARTS_TYPE))
def invert(pattern, factor, out):
    """See `elimination.invert`."""
    elimination.invert(pattern, factor, out)


@entry(lambda: types.void(PATTERN_TYPE, MATRIX, MATRIX, PARTS_TYPE, VECTOR))
def levers(pattern, L, z, G, out):
    """See `traces.levers`."""
    traces.levers(pattern, L, z, G, out)


@entry(lambda: types.void(PATTERN_TYPE, MATRIX, PARTS_TYPE, PARTS_TYPE, MATRIX))
def trace(pattern, L, A, G, out):
    """See `traces.traces`."""
    traces.traces(pattern, L, A, G, out)


@entry(lambda: types.void(PATTERN_TYPE, MATRIX, PARTS_TYPE, VECTOR))
def variances(pattern, L, G, out):
    """See `traces.variances`."""
    traces.variances(pattern, L, G, out)


@entry(lambda: types.void(PATTERN_TYPE, MATRIX, VECTOR, VECTOR))
def mix(pattern, L, v, out):
    """See `products.mix`."""
    products.mix(pattern, L, v, out)


@entry(lambda: types.void(PATTERN_TYPE, MATRIX, PARTS_TYPE, MATRIX, PARTS_TYPE, PARTS_TYPE, MATRIX))
def border_slope(pattern, L, A, weight, Y, work, out):
    """See `traces.remainder` and `traces.border_slope`."""
    traces.remainder(pattern, L, A, Y, work)
    traces.border_slope(pattern, weight, work, Y, out)


class System:
    """The matrix I + L'Z'WZL of all effects of a model, with border columns, and its factors.

    Vectors and matrices go in and out in the model's order: rows as in the data, effects as in
    ``Data.effect``, L and its derivatives by z column of the model.

    Parameters
    ----------
    data : Data
        Any number of factors, also none.
    border : ndarray, shape (n, b), optional
        Columns without a prior, X and y say.

    Attributes
    ----------
    half_log_det : float
        Half of log det(I + L'AL), nan if the last `factorize` failed.
    border : ndarray, shape (b, b)
        After `factorize`: X'V^-1 X, with V = W^-1 + Z L L' Z'.
    """

    def __init__(self, data: Data, border: np.ndarray | None = None) -> None:
        self.pattern: Pattern = arrange(data)
        n = data.obs.y.size
        columns = np.zeros((n, 0)) if border is None else border
        self.z = sorted_z(self.pattern, data)
        self.x = sorted_border(self.pattern, columns)
        b = self.x.shape[1]
        self.A: Parts = parts(self.pattern, b)
        self.factor: Parts = parts(self.pattern, b)
        self.G: Parts | None = None
        self.Y: Parts | None = None
        self.half_log_det = np.nan
        self.L = np.zeros((data.factor.size, data.factor.size))

    def gram(self, w: np.ndarray) -> None:
        """Cross products under the weights w (n,)."""
        gram(self.pattern, self.z, self.x, np.ascontiguousarray(w[self.pattern.row]), self.A)

    def set_border(self, border: np.ndarray) -> None:
        """Other border columns (n, b), of the same number; `gram` has to follow."""
        self.x = sorted_border(self.pattern, border)

    def factorize(self, L: np.ndarray) -> float:
        """Eliminate at L (Q, Q); half the log determinant, nan if it fails."""
        order = self.pattern.z_order
        self.L = np.ascontiguousarray(L[np.ix_(order, order)])
        self.half_log_det = factorize(self.pattern, self.L, self.A, self.factor)
        return self.half_log_det

    @property
    def border(self) -> np.ndarray:
        """X'V^-1 X, shape (b, b)."""
        return self.factor.border

    def solve(self, x: np.ndarray) -> np.ndarray:
        """(I + L'AL)^-1 x, shape (effects,)."""
        own = np.ascontiguousarray(x[self.pattern.origin])
        solve(self.pattern, self.factor, own)
        return self._restored(own)

    def mix(self, v: np.ndarray) -> np.ndarray:
        """U = L v, shape (effects,)."""
        out = np.empty(v.size)
        mix(self.pattern, self.L, np.ascontiguousarray(v[self.pattern.origin]), out)
        return self._restored(out)

    def _restored(self, own: np.ndarray) -> np.ndarray:
        out = np.empty(own.size)
        out[self.pattern.origin] = own
        return out

    def solve_border(self) -> np.ndarray:
        """(I + L'AL)^-1 L'A_b, shape (effects, b): column by column the v that belong to X."""
        self.Y = self.Y or parts(self.pattern, self.x.shape[1])
        solve_border(self.pattern, self.factor, self.Y)
        b = self.x.shape[1]
        own = np.concatenate([self.Y.own_border.reshape(-1, b), self.Y.rest_border])
        out = np.empty_like(own)
        out[self.pattern.origin] = own
        return out

    def invert(self) -> Parts:
        """Elements of (I + L'AL)^-1 on the pattern, in its order."""
        self.G = self.G or parts(self.pattern)
        invert(self.pattern, self.factor, self.G)
        return self.G

    def levers(self) -> np.ndarray:
        """z_r' L G L' z_r of each row (n,), after `invert`."""
        own = np.empty(self.z.shape[0])
        levers(self.pattern, self.L, self.z, self._inverse(), own)
        out = np.empty(own.size)
        out[self.pattern.row] = own
        return out

    def traces(self) -> np.ndarray:
        """Derivative of half log det(I + L'AL) by L (Q, Q), after `invert`; 0 across factors."""
        own = np.zeros_like(self.L)
        trace(self.pattern, self.L, self.A, self._inverse(), own)
        return self._by_model(own)

    def border_slope(self, weight: np.ndarray) -> np.ndarray:
        """Derivative of sum(weight * border) by L (Q, Q), after `solve_border`.

        `weight` (b, b) is symmetric.
        """
        if self.Y is None:
            raise RuntimeError("solve_border() comes first")
        own = np.zeros_like(self.L)
        work = parts(self.pattern, self.x.shape[1])
        symmetric = np.ascontiguousarray(weight, dtype=np.float64)
        border_slope(self.pattern, self.L, self.A, symmetric, self.Y, work, own)
        return self._by_model(own)

    def variances(self) -> np.ndarray:
        """Diagonal of L G L' (effects,), after `invert`."""
        own = np.empty(self.pattern.origin.size)
        variances(self.pattern, self.L, self._inverse(), own)
        return self._restored(own)

    def _by_model(self, own: np.ndarray) -> np.ndarray:
        out = np.zeros_like(own)
        order = self.pattern.z_order
        out[np.ix_(order, order)] = own
        return out

    def _inverse(self) -> Parts:
        if self.G is None:
            raise RuntimeError("invert() comes first")
        return self.G
