"""Small dense algebra in place: plain loops beat BLAS at these sizes, and threads stay apart."""

import math

from ._jit import kernel


@kernel
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


@kernel
def solve_lower(factor, x):
    """Solve L x' = x in place, L the lower triangle of factor."""
    for i in range(x.size):
        total = x[i]
        for k in range(i):
            total -= factor[i, k] * x[k]
        x[i] = total / factor[i, i]


@kernel
def solve_upper(factor, x):
    """Solve L' x' = x in place, L the lower triangle of factor."""
    for i in range(x.size - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, x.size):
            total -= factor[k, i] * x[k]
        x[i] = total / factor[i, i]
