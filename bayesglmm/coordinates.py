"""Coordinates of the effects in which they are nearly standard normal, whatever their sds are.

With the weights of the rows fixed at a fit, the effects v of one level given theta are normal: with
A = Z'WZ and c = A u + Z' score there, c moving linearly with beta,

    v | theta ~ N(H^-1 L'c, H^-1),    H = I + L'A L = C C',

and a position x gives v = H^-1 L'c + C^-T x, with the Jacobian 1 / det C. Levels of few rows are
then left as they are (H near I), those of many rows follow their data (u near A^-1 c): neither has
a funnel in the sds. The map is a fixed function of theta, so that what is sampled stays exact
whatever A and c are; for a Gaussian response of known sigma it is the posterior of v itself.

Each factor has its own levels, the effects of the others held at the fit. Arrays are laid out as u
is: z column k of level g at `effect[k] + g`; element (k, l) of a level's matrix in row l, place k.
"""

import math

import numpy as np

from ._jit import bare, kernel, simd
from ._linalg import add, copy, dot
from ._simd import log

CHUNK = 128  # levels worked at once: a dozen vectors each stay in the first-level cache


@bare
def last_of(factor, k):
    """One past the last z column of the factor that z column k is the first of."""
    last = k + 1
    while last < factor.size and factor[last] == factor[k]:
        last += 1
    return last


@simd
def _narrow(l, A, c, x, C, v):
    """One effect a level: v and C; returns - sum log C."""
    logs = 0.0
    for g in range(x.size):
        h = 1.0 + l * l * A[g]
        C[g] = math.sqrt(h)
        v[g] = l * c[g] / h + x[g] / C[g]
    for g in range(x.size):
        logs -= log(C[g])
    return logs


@simd
def _narrow_back(l, A, c, x, C, d_v, d_x, d_c):
    """Gradients by x and c of one effect a level; returns that by L."""
    total = 0.0
    for g in range(x.size):
        d_x[g] = d_v[g] / C[g]
        along = d_x[g] / C[g]
        d_c[g] = l * along
        mean = l * c[g] / (C[g] * C[g])
        d_h = -0.5 * (x[g] * d_x[g] + 1.0) / (C[g] * C[g]) - along * mean
        total += c[g] * along + 2.0 * l * A[g] * d_h
    return total


@kernel
def from_standard(factor, levels, effect, information, L, c, x, C, v):
    """Fill v and the triangles C from x; return the log of the Jacobian."""
    value, first = 0.0, 0
    while first < factor.size:
        last = last_of(factor, first)
        q, J, place = last - first, levels[factor[first]], effect[first]
        if q == 1:
            end = place + J
            value += _narrow(
                L[first, first],
                information[first, place:end],
                c[place:end],
                x[place:end],
                C[first, place:end],
                v[place:end],
            )
        else:
            A, AL, own = information[first:last], np.empty((q, q, CHUNK)), np.empty((q, q))
            _block_of(L, first, own)
            for low in range(0, J, CHUNK):
                n = min(CHUNK, J - low)
                at = effect[first:last] + low
                value += _wide(A, at, n, own, c, x, C[first:last], v, AL)
        first = last
    return value


@bare
def _block_of(L, first, out):
    """The triangle of one factor."""
    for k in range(out.shape[0]):
        for l in range(k + 1):
            out[k, l] = L[first + k, first + l]


@bare
def _multiply(out, a, b, factor):
    """Out += factor a b, element by element."""
    for g in range(out.size):
        out[g] += factor * a[g] * b[g]


@bare
def _divide(out, a):
    """Out /= a, element by element."""
    for g in range(out.size):
        out[g] /= a[g]


@bare
def _root(out):
    for g in range(out.size):
        out[g] = math.sqrt(out[g])


@simd
def _minus_logs(x):
    total = 0.0
    for g in range(x.size):
        total -= log(x[g])
    return total


@bare
def _fill(out, value):
    for g in range(out.size):
        out[g] = value


@bare
def _times_factor(A, at, n, L, out):
    """A L of n levels, out (q, q, n)."""
    q = at.size
    for k in range(q):
        for l in range(q):
            _fill(out[k, l, :n], 0.0)
            for i in range(l, q):
                add(out[k, l, :n], A[i, at[k] : at[k] + n], L[i, l])


@bare
def _wide(A, at, n, L, c, x, C, v, AL):
    """Several effects of each of n levels: v and C; returns - sum log det C."""
    q, value = at.size, 0.0
    _times_factor(A, at, n, L, AL)
    for k in range(q):
        for l in range(k + 1):
            own = C[l, at[k] : at[k] + n]
            _fill(own, 1.0 if k == l else 0.0)
            for i in range(k, q):
                add(own, AL[i, l, :n], L[i, k])
    # L'c goes through C, then with x added through C': both in the place of v.
    for k in range(q):
        mean = v[at[k] : at[k] + n]
        _fill(mean, 0.0)
        for i in range(k, q):
            add(mean, c[at[i] : at[i] + n], L[i, k])
        for l in range(k):
            own = C[l, at[k] : at[k] + n]
            for i in range(l):
                _multiply(own, C[i, at[k] : at[k] + n], C[i, at[l] : at[l] + n], -1.0)
            _divide(own, C[l, at[l] : at[l] + n])
            _multiply(mean, own, v[at[l] : at[l] + n], -1.0)
        pivot = C[k, at[k] : at[k] + n]
        for i in range(k):
            _multiply(pivot, C[i, at[k] : at[k] + n], C[i, at[k] : at[k] + n], -1.0)
        _root(pivot)
        _divide(mean, pivot)
        value += _minus_logs(pivot)
    for k in range(q):
        add(v[at[k] : at[k] + n], x[at[k] : at[k] + n], 1.0)
    for k in range(q - 1, -1, -1):
        own = v[at[k] : at[k] + n]
        for i in range(k + 1, q):
            _multiply(own, C[k, at[i] : at[i] + n], v[at[i] : at[i] + n], -1.0)
        _divide(own, C[k, at[k] : at[k] + n])
    return value


@kernel
def to_standard(factor, levels, effect, information, L, c, x, v, C, d_v, d_x, d_c, d_L):
    """Fill the gradients by x and c from that by v, and add to that by L, the Jacobian's too."""
    first = 0
    while first < factor.size:
        last = last_of(factor, first)
        q, J, place = last - first, levels[factor[first]], effect[first]
        if q == 1:
            end = place + J
            d_L[first, first] += _narrow_back(
                L[first, first],
                information[first, place:end],
                c[place:end],
                x[place:end],
                C[first, place:end],
                d_v[place:end],
                d_x[place:end],
                d_c[place:end],
            )
        else:
            A, own, slant = information[first:last], np.empty((q, q)), np.zeros((q, q))
            squares, vectors = np.empty((3, q, q, CHUNK)), np.empty((3, q, CHUNK))
            _block_of(L, first, own)
            for low in range(0, J, CHUNK):
                n = min(CHUNK, J - low)
                at = effect[first:last] + low
                _wide_back(
                    A, at, n, own, c, x, v, C[first:last], d_v, d_x, d_c, slant,
                    squares, vectors,
                )  # fmt: skip
            for k in range(q):
                for l in range(k + 1):
                    d_L[first + k, first + l] += slant[k, l]
        first = last


@bare
def _solve_upper(C, at, n, x):
    """Solve C' x = x in place, of n levels: x (q, CHUNK)."""
    for k in range(at.size - 1, -1, -1):
        for i in range(k + 1, at.size):
            _multiply(x[k, :n], C[k, at[i] : at[i] + n], x[i, :n], -1.0)
        _divide(x[k, :n], C[k, at[k] : at[k] + n])


@bare
def _wide_back(A, at, n, L, c, x, v, C, d_v, d_x, d_c, d_L, squares, vectors):
    """Gradients of several effects of each of n levels."""
    q = at.size
    AL, P, S = squares[0], squares[1], squares[2]
    along, rest, mean = vectors[0], vectors[1], vectors[2]
    _times_factor(A, at, n, L, AL)
    for k in range(q):
        own = d_x[at[k] : at[k] + n]
        copy(own, d_v[at[k] : at[k] + n])
        for l in range(k):
            _multiply(own, C[l, at[k] : at[k] + n], d_x[at[l] : at[l] + n], -1.0)
        _divide(own, C[k, at[k] : at[k] + n])
        copy(along[k, :n], own)
        copy(rest[k, :n], x[at[k] : at[k] + n])
    _solve_upper(C, at, n, along)
    _solve_upper(C, at, n, rest)
    for k in range(q):
        copy(mean[k, :n], v[at[k] : at[k] + n])
        add(mean[k, :n], rest[k, :n], -1.0)
        own = d_c[at[k] : at[k] + n]
        _fill(own, 0.0)
        for l in range(k + 1):
            add(own, along[l, :n], L[k, l])
            d_L[k, l] += dot(c[at[k] : at[k] + n], along[l, :n])
    # By H = C C': C^-T P C^-1, P the lower triangle of - (x d_x' + I) with half of its diagonal.
    for k in range(q):
        for l in range(q):
            _fill(P[k, l, :n], -0.5 if k == l else 0.0)
        for l in range(k, -1, -1):
            half = -0.5 if k == l else -1.0
            _multiply(P[k, l, :n], x[at[k] : at[k] + n], d_x[at[l] : at[l] + n], half)
            for i in range(l + 1, k + 1):
                _multiply(P[k, l, :n], P[k, i, :n], C[l, at[i] : at[i] + n], -1.0)
            _divide(P[k, l, :n], C[l, at[l] : at[l] + n])
    for k in range(q - 1, -1, -1):
        for l in range(q):
            for i in range(k + 1, q):
                _multiply(P[k, l, :n], C[k, at[i] : at[i] + n], P[i, l, :n], -1.0)
            _divide(P[k, l, :n], C[k, at[k] : at[k] + n])
    # d H = d L' A L + L' A d L; the mean moves by - H^-1 d H mean.
    for k in range(q):
        for l in range(q):
            copy(S[k, l, :n], P[k, l, :n])
            add(S[k, l, :n], P[l, k, :n], 1.0)
            _multiply(S[k, l, :n], along[k, :n], mean[l, :n], -1.0)
            _multiply(S[k, l, :n], along[l, :n], mean[k, :n], -1.0)
    for k in range(q):
        for l in range(k + 1):
            for i in range(q):
                d_L[k, l] += dot(AL[k, i, :n], S[i, l, :n])
