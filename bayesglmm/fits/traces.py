"""What derivatives of log det(I + L'AL) and of X'V^-1 X with respect to L need.

All from the elements of the inverse G on the pattern (`elimination`); vectors and L in its order.
"""

import numpy as np

from .._jit import kernel
from .products import start_of


@kernel
def levers(pattern, L, z, G, out):
    """out_r = z_r' L G L' z_r for each row r, in sorted order."""
    q, others, Q = pattern.own[0], pattern.place.shape[1], pattern.z_order.size
    a = np.empty(Q)
    for i in range(pattern.first.size - 1):
        block = G.own[i]
        for r in range(pattern.first[i], pattern.first[i + 1]):
            _pulled(pattern, L, z[r], a)
            total = 0.0
            for k in range(q):
                inner = 0.0
                for l in range(k):
                    inner += block[k, l] * a[l]
                total += a[k] * (2.0 * inner + block[k, k] * a[k])
            at = q
            for f in range(others):
                for c in range(pattern.width[at]):
                    cell = pattern.place[r, f] + c
                    inner = 0.0
                    for k in range(q):
                        inner += G.cells[cell, k] * a[k]
                    inner *= 2.0
                    row = pattern.base[pattern.column[cell]]
                    left = q
                    for g in range(f + 1):
                        other = pattern.column[pattern.place[r, g]]
                        double = 2.0 if g < f else 1.0
                        for d in range(pattern.width[left]):
                            inner += double * G.rest[row + other + d] * a[left + d]
                        left += pattern.width[left]
                    total += a[at + c] * inner
                at += pattern.width[at]
            out[r] = total


@kernel
def _pulled(pattern, L, z, a):
    """A = L' z of one row."""
    Q, at = a.size, 0
    while at < Q:
        last = at + pattern.width[at]
        for l in range(at, last):
            total = 0.0
            for k in range(l, last):
                total += L[k, l] * z[k]
            a[l] = total
        at = last


@kernel
def traces(pattern, L, A, G, out):
    """out_kl = sum over levels of (A L G) at (k, level), (l, level), for k, l of one factor.

    Half of log det(I + L'AL) has the derivative out_kl with respect to L_kl.
    """
    q, Q = pattern.own[0], pattern.z_order.size
    for k in range(Q):
        for l in range(Q):
            out[k, l] = 0.0
    for i in range(pattern.first.size - 1):
        first, last = pattern.cell[i], pattern.cell[i + 1]
        for l in range(q):
            for m in range(q):
                moved = 0.0  # (L G)_ml
                for o in range(m + 1):
                    moved += L[m, o] * G.own[i, o, l]
                for k in range(q):
                    out[k, l] += A.own[i, k, m] * moved
        c = first
        while c < last:
            at = pattern.rest_z[pattern.column[c]]
            width = pattern.width[at]
            for j in range(width):
                for l in range(q):
                    moved = 0.0
                    for o in range(j + 1):
                        moved += L[at + j, at + o] * G.cells[c + o, l]
                    for k in range(q):
                        out[k, l] += A.cells[c + j, k] * moved
                for m in range(q):
                    moved = 0.0
                    for o in range(m + 1):
                        moved += L[m, o] * G.cells[c + j, o]
                    for k in range(width):
                        out[at + k, at + j] += A.cells[c + k, m] * moved
            c += width
    for s in range(pattern.component.size - 1):
        a = pattern.component[s]
        while a < pattern.component[s + 1]:
            at = pattern.rest_z[a]
            width = pattern.width[at]
            d = pattern.component[s]
            while d <= a:
                left = pattern.rest_z[d]
                breadth = pattern.width[left]
                for k in range(width):
                    for m in range(breadth if d < a else k + 1):
                        value = A.rest[pattern.base[a + k] + d + m]
                        if value != 0.0:
                            _add_pair(pattern, L, G, value, a, at, k, d, left, m, out)
                            if d + m < a + k:
                                _add_pair(pattern, L, G, value, d, left, m, a, at, k, out)
                d += breadth
            a += width


@kernel
def _add_pair(pattern, L, G, value, a, at, k, d, left, m, out):
    """A rest element (a + k, d + m): a and d begin levels, at and left their z columns."""
    for l in range(pattern.width[at]):
        moved = 0.0
        for o in range(m + 1):
            moved += L[left + m, left + o] * G.rest[pattern.base[a + l] + d + o]
        out[at + k, at + l] += value * moved


@kernel
def variances(pattern, L, G, out):
    """Diagonal of L G L', the conditional variances of u."""
    q, J = pattern.own[0], pattern.first.size - 1
    for i in range(J):
        for k in range(q):
            total = 0.0
            for l in range(k + 1):
                for m in range(k + 1):
                    total += L[k, l] * G.own[i, l, m] * L[k, m]
            out[i * q + k] = total
    for a in range(pattern.base.size):
        at = pattern.rest_z[a]
        back = at - start_of(pattern, at)
        total = 0.0
        for l in range(back + 1):
            for m in range(back + 1):
                value = G.rest[pattern.base[a - l] + a - m]
                total += L[at, at - l] * value * L[at, at - m]
        out[J * q + a] = total


@kernel
def remainder(pattern, L, A, Y, out):
    """A_b - A L Y, into own_border and rest_border of `out`; Y as of `elimination.solve_border`."""
    q, b = pattern.own[0], A.border.shape[0]
    J, R = pattern.first.size - 1, pattern.base.size
    rest, own = np.empty((R, b)), np.empty((q, b))
    for a in range(R):
        at = pattern.rest_z[a]
        back = at - start_of(pattern, at)
        for l in range(b):
            rest[a, l] = 0.0
            out.rest_border[a, l] = A.rest_border[a, l]
        for m in range(back + 1):
            for l in range(b):
                rest[a, l] += L[at, at - m] * Y.rest_border[a - m, l]
    for s in range(pattern.component.size - 1):
        for a in range(pattern.component[s], pattern.component[s + 1]):
            for d in range(pattern.component[s], a + 1):
                value = A.rest[pattern.base[a] + d]
                if value != 0.0:
                    for l in range(b):
                        out.rest_border[a, l] -= value * rest[d, l]
                    if d < a:
                        for l in range(b):
                            out.rest_border[d, l] -= value * rest[a, l]
    for i in range(J):
        for k in range(q):
            for l in range(b):
                total = 0.0
                for m in range(k + 1):
                    total += L[k, m] * Y.own_border[i, m, l]
                own[k, l] = total
        for k in range(q):
            for l in range(b):
                total = A.own_border[i, k, l]
                for m in range(q):
                    total -= A.own[i, k, m] * own[m, l]
                out.own_border[i, k, l] = total
        for c in range(pattern.cell[i], pattern.cell[i + 1]):
            a = pattern.column[c]
            for k in range(q):
                value = A.cells[c, k]
                for l in range(b):
                    out.own_border[i, k, l] -= value * rest[a, l]
                    out.rest_border[a, l] -= value * own[k, l]


@kernel
def border_slope(pattern, weight, D, Y, out):
    """Add to out (Q, Q) the derivative with respect to L of sum(weight * X'V^-1 X).

    `weight` (b, b) is symmetric, D from `remainder`, Y from `elimination.solve_border`:
    d(X'V^-1 X) = -(Y' dL' D + D' dL Y).
    """
    q, b = pattern.own[0], weight.shape[0]
    for i in range(pattern.first.size - 1):
        for m in range(b):
            for l in range(q):
                total = 0.0
                for o in range(b):
                    total += weight[m, o] * Y.own_border[i, l, o]
                for k in range(q):
                    out[k, l] -= 2.0 * D.own_border[i, k, m] * total
    for a in range(pattern.base.size):
        at = pattern.rest_z[a]
        start = start_of(pattern, at)
        for m in range(b):
            total = 0.0
            for o in range(b):
                total += weight[m, o] * Y.rest_border[a, o]
            for k in range(pattern.width[at]):
                out[start + k, at] -= 2.0 * D.rest_border[a - at + start + k, m] * total
