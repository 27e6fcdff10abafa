"""Vectors and small dense matrices in place: plain loops, so that threads stay apart."""

import math

from ._jit import bare, reduce


@reduce
def dot(a, b):
    """Sum of products; the order of the sum is the compiler's, and always the same."""
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@reduce
def total_of(a):
    """Sum of a vector, in an order as that of `dot`."""
    total = 0.0
    for i in range(a.size):
        total += a[i]
    return total


@bare
def copy(out, x):
    """Out = x. A loop: an assignment of slices would compile text formatting for its errors."""
    for i in range(out.size):
        out[i] = x[i]


@bare
def add(out, x, factor):
    """Out += factor x."""
    for i in range(out.size):
        out[i] += factor * x[i]


@bare
def cholesky(a):
    """Replace the lower triangle of a by its Cholesky factor; the upper one is not touched.

    Returns
    -------
    bool
        False if the matrix is not positive definite to working accuracy; a is then spoilt.
    """
    n = a.shape[0]
    for i in range(n):
        for j in range(i):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = total / a[j, j]
        pivot = a[i, i]
        for k in range(i):
            pivot -= a[i, k] * a[i, k]
        # Written so that nan fails too.
        if not (pivot > 0.0 and pivot < math.inf):
            return False
        a[i, i] = math.sqrt(pivot)
    return True


@bare
def solve_lower(factor, x):
    """Solve L x' = x in place, L the lower triangle of factor."""
    for i in range(x.size):
        total = x[i]
        for k in range(i):
            total -= factor[i, k] * x[k]
        x[i] = total / factor[i, i]


@bare
def solve_upper(factor, x):
    """Solve L' x' = x in place, L the lower triangle of factor."""
    for i in range(x.size - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, x.size):
            total -= factor[k, i] * x[k]
        x[i] = total / factor[i, i]
