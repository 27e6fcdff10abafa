"""Exact draws of beta and u of a Gaussian model, given t = (psi, log sigma).

Beta ~ N(P^-1 r, P^-1), the rest effects given beta, and level by level u_i given both, with

    T = lambda C^-T,  C C' = I + lambda'A lambda:   u_i = sigma T (T's_i + z),   z ~ N(0, I),

s_i = Z_i'W_i (y - X beta - what the rest effects say) / sigma, in the notation of
`collapsed_density`.
"""

from .._jit import bare, kernel
from .._linalg import add, dot, solve_upper
from .._random import fill_normals, normal
from ..fits.elimination import square_of
from ..fits.products import start_of
from .collapsed_density import LEVELS


@bare
def draw_beta(sums, side, random, beta, weights):
    """Beta given t, and the weights (-deviation, 1) of the border columns."""
    p = beta.size
    for k in range(p):
        weights[k] = side.r[k] + normal(random)
    solve_upper(side.P, weights[:p])
    for k in range(p):
        beta[k] = sums.start[k] + weights[k]
        weights[k] = -weights[k]
    weights[p] = 1.0


@kernel
def draw_rest(pattern, side, random, weights, v, u):
    """The rest effects u (R,) given beta: v = C^-T (C^-1 lambda'a / sigma + z), u = sigma lambda v.

    The pattern has them last among its effects.
    """
    factor, sigma = side.factor, side.sigma[0]
    fill_normals(random, v)
    for s in range(pattern.component.size - 1):
        square = square_of(pattern, factor.rest, s)
        low = pattern.component[s]
        part = v[low : low + square.shape[0]]
        for i in range(part.size):
            part[i] += dot(factor.rest_border[low + i], weights) / sigma
        for i in range(part.size - 1, -1, -1):
            row = square[i]
            part[i] /= row[i]
            for j in range(i):
                part[j] -= row[j] * part[i]
    for a in range(u.size):
        at = pattern.rest_z[a]
        total = 0.0
        for step in range(at - start_of(pattern, at) + 1):
            total += side.lam[at, at - step] * v[a - step]
        u[a] = sigma * total


@bare
def _gather(x, member, out):
    for g in range(out.size):
        out[g] = x[member[g]]


@bare
def draw_levels(sums, side, weights, shift, random, score, noise, table, u):
    """Effects of the eliminated levels given beta and the rest effects, into u."""
    q, J, sigma = side.T.shape[0], sums.member.size, side.sigma[0]
    with_rest = sums.column.size > 0
    for first in range(0, J, LEVELS):
        size = min(LEVELS, J - first)
        member = sums.member[first : first + size]
        for k in range(q):
            out, gathered = score[k, :size], table[:size]
            fill_normals(random, noise[k, :size])
            for g in range(size):
                out[g] = 0.0
            for i in range(weights.size):
                add(out, sums.border[i, k, first : first + size], weights[i] / sigma)
            if with_rest:
                _gather(shift[k], member, gathered)
                add(out, gathered, -1.0 / sigma)
        for j in range(q):
            out, gathered = noise[j, :size], table[:size]
            for k in range(q):
                own = score[k, :size]
                _gather(side.T[k, j], member, gathered)
                for g in range(size):
                    out[g] += gathered[g] * own[g]
        for k in range(q):
            out, gathered = u[sums.place[k] + first : sums.place[k] + first + size], table[:size]
            for g in range(size):
                out[g] = 0.0
            for j in range(q):
                own = noise[j, :size]
                _gather(side.T[k, j], member, gathered)
                for g in range(size):
                    out[g] += sigma * gathered[g] * own[g]


@bare
def shifts(sums, rest, shift):
    """What the rest effects say of each class: sum over its cells."""
    for c in range(sums.levels.size):
        for k in range(shift.shape[0]):
            total = 0.0
            for a in range(sums.cell[c], sums.cell[c + 1]):
                total += sums.cells[a, k] * rest[sums.column[a]]
            shift[k, c] = total
