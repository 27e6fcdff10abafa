"""Cholesky factors and inverses of dense symmetric matrices, tile by tile.

Plain loops over tiles that stay in cache reach half to most of what BLAS does on one core, and
never wait for other threads: several fits at once, or chains in threads, do not slow each other
down as BLAS's own threads would.
"""

import math

import numpy as np

from ._jit import kernel, simd

DEPTH = 48  # products summed in one visit to a tile
BREADTH = 96  # columns of a tile: with DEPTH rows of it, 36 kB


@simd
def _add_eight(out, a, first, sign, b, row, left, right):
    """Out += sign * a[first:first + 8] @ b[row:row + 8, left:right]."""
    a0, a1, a2, a3 = sign * a[first], sign * a[first + 1], sign * a[first + 2], sign * a[first + 3]
    a4, a5, a6, a7 = (
        sign * a[first + 4],
        sign * a[first + 5],
        sign * a[first + 6],
        sign * a[first + 7],
    )
    b0, b1, b2, b3 = (
        b[row, left:right],
        b[row + 1, left:right],
        b[row + 2, left:right],
        b[row + 3, left:right],
    )
    b4, b5, b6, b7 = (
        b[row + 4, left:right],
        b[row + 5, left:right],
        b[row + 6, left:right],
        b[row + 7, left:right],
    )
    for j in range(out.size):
        low = (a0 * b0[j] + a1 * b1[j]) + (a2 * b2[j] + a3 * b3[j])
        out[j] += low + ((a4 * b4[j] + a5 * b5[j]) + (a6 * b6[j] + a7 * b7[j]))


@kernel
def _add_product(out, a, sign, b, row, left, right):
    """out[left:right] += sign * a @ b[row:row + a.size, left:right]."""
    part, k = out[left:right], 0
    while k + 8 <= a.size:
        _add_eight(part, a, k, sign, b, row + k, left, right)
        k += 8
    while k < a.size:
        factor, other = sign * a[k], b[row + k, left:right]
        for j in range(part.size):
            part[j] += factor * other[j]
        k += 1


@kernel
def cholesky(a):
    """Replace the lower triangle of a (n, n) by its Cholesky factor; the upper one stays.

    Returns
    -------
    float
        Log of the determinant of the factor; nan if the matrix is not positive definite.
    """
    n = a.shape[0]
    panel = np.empty((min(DEPTH, n), n))  # columns of the factor, transposed
    for first in range(0, n, DEPTH):
        last = min(first + DEPTH, n)
        depth = last - first
        for i in range(first, last):
            for j in range(first, i + 1):
                total = a[i, j]
                for k in range(first, j):
                    total -= a[i, k] * a[j, k]
                if j < i:
                    a[i, j] = total / a[j, j]
                elif total > 0.0 and total < math.inf:
                    a[i, i] = math.sqrt(total)
                else:  # nan too
                    return math.nan
        if last == n:
            break
        for i in range(last, n):
            for k in range(depth):
                panel[k, i] = a[i, first + k]
        for k in range(depth):
            row = a[first + k, first : first + k]
            _add_product(panel[k], row, -1.0, panel, 0, last, n)
            own, factor = panel[k, last:n], 1.0 / a[first + k, first + k]
            for i in range(own.size):
                own[i] *= factor
        for i in range(last, n):
            for k in range(depth):
                a[i, first + k] = panel[k, i]
        for left in range(last, n, BREADTH):
            for i in range(left, n):
                right = min(left + BREADTH, i + 1)
                _add_product(a[i], a[i, first:last], -1.0, panel, 0, left, right)
    value = 0.0
    for i in range(n):
        value += math.log(a[i, i])
    return value


@kernel
def invert(c, out):
    """Out = (C C')^-1 in full, C the lower triangle of c (n, n), which stays as it is."""
    n = c.shape[0]
    inverse = np.zeros((n, n))
    _invert_triangle(c, inverse)
    for i in range(n):
        for j in range(n):
            out[i, j] = 0.0
    # Lower triangle of inverse' inverse: row k of `inverse` reaches its column k.
    column = np.empty((BREADTH, DEPTH))
    for first in range(0, n, DEPTH):
        last = min(first + DEPTH, n)
        for top in range(0, last, BREADTH):
            bottom = min(top + BREADTH, last)
            for k in range(first, last):
                for i in range(top, bottom):
                    column[i - top, k - first] = inverse[k, i]
            for left in range(0, bottom, BREADTH):
                for i in range(max(top, left), bottom):
                    own, right = column[i - top, : last - first], min(left + BREADTH, i + 1)
                    _add_product(out[i], own, 1.0, inverse, first, left, right)
    for top in range(0, n, DEPTH):
        for left in range(0, top + 1, DEPTH):
            for i in range(top, min(top + DEPTH, n)):
                for j in range(left, min(left + DEPTH, i)):
                    out[j, i] = out[i, j]


@kernel
def _invert_triangle(c, out):
    """Lower triangle of out, whose upper is 0, = C^-1: rows I are -C_II^-1 C_I,<I out_<I."""
    n = c.shape[0]
    for top in range(0, n, DEPTH):
        bottom = min(top + DEPTH, n)
        for left in range(0, top, BREADTH):
            right = min(left + BREADTH, top)
            # Columns left to right - 1 of `out` are 0 above row `left`.
            for first in range(left, top, DEPTH):
                last = min(first + DEPTH, top)
                for i in range(top, bottom):
                    _add_product(out[i], c[i, first:last], -1.0, out, first, left, right)
        for i in range(top, bottom):
            _add_product(out[i], c[i, top:i], -1.0, out, top, 0, i)
            row, factor = out[i, :i], 1.0 / c[i, i]
            for j in range(row.size):
                row[j] *= factor
            out[i, i] = factor
