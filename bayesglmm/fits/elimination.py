"""Block elimination of the largest factor: linear algebra of all effects in linear time.

The matrix of all effects v, and of border columns X without a prior, is

    H = [ I + L'AL   L'A_b ]      A = Z'WZ,  A_b = Z'WX,  A_bb = X'WX
        [ A_b'L      A_bb  ]

with W the row weights and u = L v. With 1 the levels i of the eliminated factor and r the rest,

    C_i C_i' = I + L_1' A_i L_1,    W_i = C_i^-1 L_1' A_ir L_r
    S = I + L_r' A_rr L_r - sum_i W_i' W_i

is the Schur complement of the levels (Golub and Van Loan 2013, section 3.2; for mixed models Bates
et al. 2015, section 3.2). S = C_r C_r' falls apart into squares (`pattern`). The border goes last;
what is left of A_bb is X'V^-1 X with V = W^-1 + Z L L' Z' (Searle, Casella and McCulloch 1992,
appendix M.4: Woodbury's identity). Hence with G the inverse of the part of H without the border,

    G_rr = S^-1,   G_ir = -C_i^-T W_i G_rr,   G_ii = C_i^-T (I + W_i G_rr W_i') C_i^-1

of which only the elements where A has some are computed (Takahashi et al. 1973).

Kernels take L in the order of `Pattern.z_order` (`reorder`); vectors of effects are ordered as the
pattern says. Everything here is scalar loops over levels.
"""

import math

import numpy as np

from .. import _blocked
from .._jit import kernel
from .._linalg import cholesky, dot, solve_lower, solve_upper


@kernel
def reorder(pattern, L, out):
    """L in the order of z columns here."""
    Q = pattern.z_order.size
    for k in range(Q):
        for l in range(Q):
            out[k, l] = L[pattern.z_order[k], pattern.z_order[l]]


@kernel
def gram(pattern, z, x, w, out):
    """Cross products of the rows of z (n, Q) and x (n, b) under weights w, all in sorted order."""
    q, others, b = pattern.own[0], pattern.place.shape[1], x.shape[1]
    _clear(out)
    for i in range(pattern.first.size - 1):
        for r in range(pattern.first[i], pattern.first[i + 1]):
            weight = w[r]
            for k in range(q):
                product = weight * z[r, k]
                for l in range(k + 1):
                    out.own[i, k, l] += product * z[r, l]
                for l in range(b):
                    out.own_border[i, k, l] += product * x[r, l]
            at = q
            for f in range(others):
                for c in range(pattern.width[at]):
                    cell = pattern.place[r, f] + c
                    product = weight * z[r, at + c]
                    for k in range(q):
                        out.cells[cell, k] += product * z[r, k]
                    a = pattern.column[cell]
                    for l in range(b):
                        out.rest_border[a, l] += product * x[r, l]
                    left = q
                    for g in range(others):
                        other = pattern.column[pattern.place[r, g]]
                        width = pattern.width[left]
                        # Lower triangle only.
                        if other <= a:
                            for d in range(min(width, a - other + 1)):
                                out.rest[pattern.base[a] + other + d] += product * z[r, left + d]
                        left += width
                at += pattern.width[at]
            for k in range(b):
                for l in range(k + 1):
                    out.border[k, l] += weight * x[r, k] * x[r, l]
        for k in range(q):
            for l in range(k):
                out.own[i, l, k] = out.own[i, k, l]
    for k in range(b):
        for l in range(k):
            out.border[l, k] = out.border[k, l]


@kernel
def _clear(out):
    for i in range(out.own.shape[0]):
        for k in range(out.own.shape[1]):
            for l in range(out.own.shape[1]):
                out.own[i, k, l] = 0.0
            for l in range(out.border.shape[0]):
                out.own_border[i, k, l] = 0.0
    for c in range(out.cells.shape[0]):
        for k in range(out.cells.shape[1]):
            out.cells[c, k] = 0.0
    for i in range(out.rest.size):
        out.rest[i] = 0.0
    for a in range(out.rest_border.shape[0]):
        for k in range(out.border.shape[0]):
            out.rest_border[a, k] = 0.0
    for k in range(out.border.shape[0]):
        for l in range(out.border.shape[0]):
            out.border[k, l] = 0.0


@kernel
def factorize(pattern, L, A, out):
    """Eliminate: C_i, W_i, C_r; of the border C_i^-1 L'A_ib, C_r^-1 (...), X'V^-1 X.

    Parameters
    ----------
    A : Parts
        As `gram` makes it.

    Returns
    -------
    float
        Half the log determinant of I + L'AL; nan if H is not positive definite.
    """
    q, b = pattern.own[0], A.border.shape[0]
    scale_rest(pattern, L, A, out)
    for k in range(b):
        for l in range(b):
            out.border[k, l] = A.border[k, l]
    value = 0.0
    block, spare = np.empty((q, q)), np.empty((q, q))
    for i in range(pattern.first.size - 1):
        # C_i
        _between(L, A.own[i], spare, block)
        for k in range(q):
            block[k, k] += 1.0
        if not cholesky(block):
            return math.nan
        for k in range(q):
            value += math.log(block[k, k])
            for l in range(k + 1):
                out.own[i, k, l] = block[k, l]
        # W_i
        first, last = pattern.cell[i], pattern.cell[i + 1]
        for c in range(first, last):
            column = out.cells[c]
            for k in range(q):
                total = 0.0
                for m in range(k, q):
                    total += L[m, k] * A.cells[c, m]
                column[k] = total
            solve_lower(block, column)
        c = first
        while c < last:
            at = pattern.rest_z[pattern.column[c]]
            width = pattern.width[at]
            for l in range(width):
                for k in range(q):
                    total = 0.0
                    for m in range(l, width):
                        total += L[at + m, at + l] * out.cells[c + m, k]
                    out.cells[c + l, k] = total
            c += width
        # S -= W_i' W_i
        for c in range(first, last):
            row = pattern.base[pattern.column[c]]
            if q == 1:
                factor = out.cells[c, 0]
                for d in range(first, c + 1):
                    out.rest[row + pattern.column[d]] -= factor * out.cells[d, 0]
            else:
                for d in range(first, c + 1):
                    total = 0.0
                    for k in range(q):
                        total += out.cells[c, k] * out.cells[d, k]
                    out.rest[row + pattern.column[d]] -= total
        for l in range(b):
            for k in range(q):
                total = 0.0
                for m in range(k, q):
                    total += L[m, k] * A.own_border[i, m, l]
                for m in range(k):
                    total -= block[k, m] * out.own_border[i, m, l]
                out.own_border[i, k, l] = total / block[k, k]
        for k in range(q):
            own = out.own_border[i, k]
            for c in range(first, last):
                factor, target = out.cells[c, k], out.rest_border[pattern.column[c]]
                for l in range(b):
                    target[l] -= factor * own[l]
            for l in range(b):
                for m in range(b):
                    out.border[l, m] -= own[l] * own[m]
    for s in range(pattern.component.size - 1):
        square = square_of(pattern, out.rest, s)
        value += _blocked.cholesky(square)
        if not value > -math.inf:
            return math.nan
        if b > 0:
            first, last = pattern.component[s], pattern.component[s + 1]
            border_of_square(square, out.rest_border[first:last], out.border)
    return value


@kernel
def square_of(pattern, rest, s):
    """Square s of rest by rest, a view."""
    size = pattern.component[s + 1] - pattern.component[s]
    return rest[pattern.square[s] : pattern.square[s + 1]].reshape((size, size))


@kernel
def scale_rest(pattern, L, A, out):
    """Rest by rest = I + L'AL and rest by border = L'A."""
    R, b = pattern.base.size, A.border.shape[0]
    for s in range(pattern.component.size - 1):
        first = pattern.component[s]
        a = first
        while a < pattern.component[s + 1]:
            at = pattern.rest_z[a]
            width = pattern.width[at]
            d = first
            while d <= a:
                left = pattern.rest_z[d]
                breadth = pattern.width[left]
                if width == 1 and breadth == 1:
                    place = pattern.base[a] + d
                    out.rest[place] = L[at, at] * A.rest[place] * L[left, left]
                else:
                    for k in range(width):
                        for l in range(breadth if d < a else k + 1):
                            total = 0.0
                            for m in range(k, width):
                                for o in range(l, breadth):
                                    # The lower triangle is all there is.
                                    high = max(a + m, d + o)
                                    low = a + m + d + o - high
                                    value = A.rest[pattern.base[high] + low]
                                    total += L[at + m, at + k] * value * L[left + o, left + l]
                            out.rest[pattern.base[a + k] + d + l] = total
                d += breadth
            a += width
    for a in range(R):
        out.rest[pattern.base[a] + a] += 1.0
        at = pattern.rest_z[a]
        for l in range(b):
            total = 0.0
            for m in range(at, L.shape[0]):
                if L[m, at] != 0.0:
                    total += L[m, at] * A.rest_border[a + m - at, l]
            out.rest_border[a, l] = total


@kernel
def _between(L, A, spare, out):
    """Out = L'AL for a symmetric A, with the leading block of L."""
    q = A.shape[0]
    for k in range(q):
        for l in range(q):
            total = 0.0
            for m in range(l, q):
                total += A[k, m] * L[m, l]
            spare[k, l] = total
    for k in range(q):
        for l in range(q):
            total = 0.0
            for m in range(k, q):
                total += L[m, k] * spare[m, l]
            out[k, l] = total


@kernel
def border_of_square(square, rows, border):
    """Rows = C^-1 rows, border -= rows' rows."""
    b = border.shape[0]
    for i in range(square.shape[0]):
        for j in range(i):
            factor = square[i, j]
            for l in range(b):
                rows[i, l] -= factor * rows[j, l]
        for l in range(b):
            rows[i, l] /= square[i, i]
        for l in range(b):
            for m in range(b):
                border[l, m] -= rows[i, l] * rows[i, m]


@kernel
def solve(pattern, factor, x):
    """Solve (I + L'AL) x' = x in place; x (effects,) in the order of the pattern."""
    q, J = pattern.own[0], pattern.first.size - 1
    rest = x[J * q :]
    for i in range(J):
        own = x[i * q : (i + 1) * q]
        solve_lower(factor.own[i], own)
        for c in range(pattern.cell[i], pattern.cell[i + 1]):
            total = 0.0
            for k in range(q):
                total += factor.cells[c, k] * own[k]
            rest[pattern.column[c]] -= total
    for s in range(pattern.component.size - 1):
        square = square_of(pattern, factor.rest, s)
        part = rest[pattern.component[s] : pattern.component[s + 1]]
        for i in range(part.size):
            part[i] = (part[i] - dot(square[i, :i], part[:i])) / square[i, i]
        for i in range(part.size - 1, -1, -1):
            row = square[i]
            part[i] /= row[i]
            for j in range(i):
                part[j] -= row[j] * part[i]
    for i in range(J):
        own = x[i * q : (i + 1) * q]
        for c in range(pattern.cell[i], pattern.cell[i + 1]):
            value = rest[pattern.column[c]]
            for k in range(q):
                own[k] -= factor.cells[c, k] * value
        solve_upper(factor.own[i], own)


@kernel
def solve_border(pattern, factor, out):
    """(I + L'AL)^-1 L'A_b for all border columns, into own_border and rest_border of `out`."""
    q, J, b = pattern.own[0], pattern.first.size - 1, factor.border.shape[0]
    for s in range(pattern.component.size - 1):
        square = square_of(pattern, factor.rest, s)
        first = pattern.component[s]
        for i in range(square.shape[0] - 1, -1, -1):
            row = out.rest_border[first + i]
            for l in range(b):
                row[l] = factor.rest_border[first + i, l]
            for j in range(i + 1, square.shape[0]):
                for l in range(b):
                    row[l] -= square[j, i] * out.rest_border[first + j, l]
            for l in range(b):
                row[l] /= square[i, i]
    for i in range(J):
        own, block = out.own_border[i], factor.own[i]
        for k in range(q - 1, -1, -1):
            for l in range(b):
                own[k, l] = factor.own_border[i, k, l]
            for c in range(pattern.cell[i], pattern.cell[i + 1]):
                value = out.rest_border[pattern.column[c]]
                for l in range(b):
                    own[k, l] -= factor.cells[c, k] * value[l]
            for m in range(k + 1, q):
                for l in range(b):
                    own[k, l] -= block[m, k] * own[m, l]
            for l in range(b):
                own[k, l] /= block[k, k]


@kernel
def invert(pattern, factor, out):
    """Elements of G = (I + L'AL)^-1 on the pattern, into own, cells and rest of `out`."""
    q = pattern.own[0]
    for s in range(pattern.component.size - 1):
        _blocked.invert(square_of(pattern, factor.rest, s), square_of(pattern, out.rest, s))
    total = np.empty(q)
    for i in range(pattern.first.size - 1):
        first, last = pattern.cell[i], pattern.cell[i + 1]
        own, block = out.own[i], factor.own[i]
        for k in range(q):
            for l in range(q):
                own[k, l] = 1.0 if k == l else 0.0
        for c in range(first, last):
            # G_cells W_i', the row of one cell
            row = pattern.base[pattern.column[c]]
            if q == 1:
                value = 0.0
                for d in range(first, last):
                    value += out.rest[row + pattern.column[d]] * factor.cells[d, 0]
                total[0] = value
            else:
                for k in range(q):
                    total[k] = 0.0
                for d in range(first, last):
                    value = out.rest[row + pattern.column[d]]
                    for k in range(q):
                        total[k] += value * factor.cells[d, k]
            for k in range(q):
                for l in range(q):
                    own[k, l] += factor.cells[c, k] * total[l]
            for k in range(q):
                out.cells[c, k] = -total[k]
            solve_upper(block, out.cells[c])
        # C_i^-T (...) C_i^-1; the middle is symmetric.
        for k in range(q):
            solve_upper(block, own[k])
        for k in range(q):
            solve_upper(block, own[:, k])
