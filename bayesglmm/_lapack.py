"""Cholesky factors and inverses of dense matrices: plain loops, or LAPACK where they are large.

Compiled code calls SciPy's LAPACK through addresses that Python looks up only when a matrix is
large: small models neither import SciPy nor leave compiled code.
"""

import ctypes
import math
from functools import cache

import numpy as np

from ._jit import ENABLED, intrinsic, kernel, types
from ._linalg import dot

LARGE = 160  # rows from which LAPACK is faster than plain loops
TILE = 32
UPPER = ord("U")  # LAPACK's upper triangle by columns is our lower triangle by rows


def no_addresses() -> np.ndarray:
    """Stand for plain loops whatever the size."""
    return np.zeros(2, dtype=np.int64)


@cache
def addresses() -> np.ndarray:
    """Addresses of dpotrf and dpotri; zeros, for plain loops, where compilation is off."""
    if not ENABLED:
        return no_addresses()
    from scipy.linalg import cython_lapack

    name, place = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    place.restype, place.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    found = [cython_lapack.__pyx_capi__[f] for f in ("dpotrf", "dpotri")]
    return np.array([place(f, name(f)) for f in found], dtype=np.int64)


if ENABLED:
    from llvmlite import ir

    @intrinsic
    def _call(typing_context, address, uplo, n, a, info):
        """Call ``void f(char *uplo, int *n, double *a, int *lda, int *info)`` with lda = n."""

        def code(context, builder, signature, arguments):
            arrays = [
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip(signature.args[1:], arguments[1:], strict=True)
            ]
            order = [arrays[i] for i in (0, 1, 2, 1, 3)]
            kind = ir.FunctionType(ir.VoidType(), [pointer.type for pointer in order])
            builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), order)
            return context.get_dummy_value()

        return types.void(address, uplo, n, a, info), code

else:

    def _call(address: int, uplo: np.ndarray, n: np.ndarray, a: np.ndarray, info: np.ndarray):
        """Without compilation there are no addresses, and nothing comes here."""
        raise NotImplementedError


@kernel
def cholesky(a, lapack):
    """Replace the lower triangle of a (n, n) by its Cholesky factor; upper: left or spoilt.

    Returns
    -------
    float
        Log of the determinant of the factor; nan if the matrix is not positive definite.
    """
    n = a.shape[0]
    if lapack[0] != 0 and n >= LARGE:
        if not _by_lapack(lapack[0], a):
            return math.nan
    else:
        for i in range(n):
            row = a[i]
            for j in range(i):
                other = a[j]
                row[j] = (row[j] - dot(row[:j], other[:j])) / other[j]
            pivot = row[i] - dot(row[:i], row[:i])
            # Written so that nan fails too.
            if not (pivot > 0.0 and pivot < math.inf):
                return math.nan
            row[i] = math.sqrt(pivot)
    total = 0.0
    for i in range(n):
        total += math.log(a[i, i])
    return total


@kernel
def invert(c, lapack):
    """Replace a Cholesky factor in the lower triangle of c by the whole inverse of c c'."""
    n = c.shape[0]
    if lapack[0] != 0 and n >= LARGE:
        _by_lapack(lapack[1], c)
    else:
        # The upper triangle takes the inverse of the factor, transposed, row by row ...
        for i in range(n):
            own = 1.0 / c[i, i]
            for j in range(i):
                total = c[i, j] / c[j, j] + dot(c[i, j + 1 : i], c[j, j + 1 : i])
                c[j, i] = -total * own
        # ... and the lower one its products: (C^-T C^-1)_ij is a sum over k >= i >= j.
        for i in range(n):
            c[i, i] = 1.0 / c[i, i]
        for i in range(n):
            for j in range(i):
                c[i, j] = dot(c[i, i:], c[j, i:])
        for i in range(n):
            c[i, i] = dot(c[i, i:], c[i, i:])
    # Tile by tile, so that a cache line is used while it is at hand.
    for top in range(0, n, TILE):
        for left in range(0, top + 1, TILE):
            for i in range(top, min(top + TILE, n)):
                for j in range(left, min(left + TILE, i)):
                    c[j, i] = c[i, j]


@kernel
def _by_lapack(address, a):
    uplo, info = np.array([UPPER], dtype=np.uint8), np.zeros(1, dtype=np.int32)
    size = np.array([a.shape[0]], dtype=np.int32)
    _call(address, uplo, size, a, info)
    return info[0] == 0
