"""Move of a nested pair of factors with the linear predictor held.

Levels c of the child lie each in one level g of the parent (schools and their classes), and both
have the same z columns. With s_c = u_c + u_g held, eta does not change, and what is left is a
one-way layout: s_c ~ N(u_g, Sigma_child), u_g ~ N(0, Sigma_parent). With u_g integrated out, the
n children of a parent, of sum t and of squares W = sum (s_c - t/n)(s_c - t/n)', contribute

    -(n - 1)/2 log|Sigma_child| - 1/2 log|M| - 1/2 tr(Sigma_child^-1 W) - 1/2 tr(M^-1 t t'/n),
    M = Sigma_child + n Sigma_parent,

under which the covariances walk at random. W and, of all parents with n children, t t'/n are summed
up first: a step costs as much as there are different n. At last u_g is drawn given s: Normal with
precision P = n Sigma_child^-1 + Sigma_parent^-1 and mean P^-1 Sigma_child^-1 t (Lindley and Smith
1972). Where few children a parent leave only the sum of two variances known, no move of one factor
at a time goes along that ridge; this one does.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import covariance
from .._jit import bare, kernel
from .._linalg import cholesky, solve_lower, solve_upper
from .._random import normal, uniform

KINDS = 3  # walks: the child's psi, the parent's, and sds of one up as those of the other go down
STEP, ACCEPTED, PROPOSED = 0, 1, 2  # columns of `steps`
ROUNDS = 4  # of the three walks a move; they read sums alone, so they cost little


class Sums(NamedTuple):
    """Of the sums s of effects: what their density depends on."""

    within: np.ndarray  # (q, q) W
    n: np.ndarray  # (classes,) children of a parent
    parents: np.ndarray  # (classes,) with so many children
    square: np.ndarray  # (classes, q, q) sum of t t' / n


@kernel
def move(cov, child, parent, q, parent_of, child_u, parent_u, psi, L, steps, random):
    """Move psi and the effects of a nested pair, in place; L follows psi.

    Parameters
    ----------
    cov : Covariance
    child, parent : int
        First z column of each of the two terms.
    q : int
        Their number of z columns.
    parent_of : (children,) int
    child_u, parent_u : (q, children) and (q, parents)
        Effects inside, u = L v; u_child + u_parent does not change.
    psi : (elements,)
    L : (Q, Q)
    steps : (KINDS, 3)
        Step of each walk, and counts of accepted and proposed that grow.
    random : (2,) uint64
    """
    children, parents = child_u.shape[1], parent_u.shape[1]
    count, total = np.zeros(parents, dtype=np.int64), np.zeros((parents, q))
    M, x, trial = np.zeros((q, q)), np.empty(q), np.empty(psi.size)
    for i in range(children):
        g = parent_of[i]
        count[g] += 1
        for k in range(q):
            child_u[k, i] += parent_u[k, g]
            total[g, k] += child_u[k, i]
    sums = _sum_up(child_u, parent_of, count, total, x)
    value = _collapsed(cov, child, parent, psi, L, sums, M, x)
    for _ in range(ROUNDS):
        for kind in range(KINDS):
            _propose(cov, child, parent, q, kind, steps[kind, STEP], psi, trial, random)
            proposed = _collapsed(cov, child, parent, trial, L, sums, M, x)
            steps[kind, PROPOSED] += 1.0
            if math.log(uniform(random)) < proposed - value:
                value = proposed
                steps[kind, ACCEPTED] += 1.0
                for e in range(psi.size):
                    psi[e] = trial[e]
    covariance.fill_L(cov, psi, L)
    _draw_parents(child, parent, q, L, count, total, parent_u, x, random)
    for i in range(children):
        for k in range(q):
            child_u[k, i] -= parent_u[k, parent_of[i]]


@kernel
def _sum_up(s, parent_of, count, total, x):
    """Sums over children and parents; `count` and `total` are of each parent."""
    q, largest, classes = s.shape[0], 0, 0
    for g in range(count.size):
        largest = max(largest, count[g])
    place = np.full(largest + 1, -1)
    for g in range(count.size):
        if count[g] > 0 and place[count[g]] < 0:
            place[count[g]] = classes
            classes += 1
    sums = Sums(np.zeros((q, q)), np.zeros(classes), np.zeros(classes), np.zeros((classes, q, q)))
    for i in range(s.shape[1]):
        g = parent_of[i]
        for k in range(q):
            x[k] = s[k, i] - total[g, k] / count[g]
        for k in range(q):
            for l in range(q):
                sums.within[k, l] += x[k] * x[l]
    for g in range(count.size):
        if count[g] == 0:
            continue
        c, n = place[count[g]], float(count[g])
        sums.n[c] = n
        sums.parents[c] += 1.0
        for k in range(q):
            for l in range(q):
                sums.square[c, k, l] += total[g, k] * total[g, l] / n
    return sums


@bare
def _propose(cov, child, parent, q, kind, step, psi, trial, random):
    """Trial = psi after a step of the walk of that kind."""
    both = step * normal(random)
    for e in range(psi.size):
        trial[e] = psi[e]
        row = cov.row[e]
        of_child = child <= row < child + q
        of_parent = parent <= row < parent + q
        if kind == 2:
            if cov.col[e] == row:
                trial[e] += both if of_child else (-both if of_parent else 0.0)
        elif (kind == 0 and of_child) or (kind == 1 and of_parent):
            trial[e] += step * normal(random)


@bare
def _collapsed(cov, child, parent, psi, L, sums, M, x):
    """Log p(psi) + log p(s | psi), the parents' effects integrated out; fills L."""
    q = x.size
    covariance.fill_L(cov, psi, L)
    value = covariance.psi_logdensity(cov, psi, L)
    own = L[child : child + q, child : child + q]
    above = L[parent : parent + q, parent : parent + q]
    log_own = 0.0
    for k in range(q):
        log_own += math.log(own[k, k])
    value -= 0.5 * _trace(own, sums.within, x)
    for c in range(sums.n.size):
        n = sums.n[c]
        for k in range(q):
            for l in range(k + 1):
                M[k, l] = 0.0
                for i in range(l + 1):
                    M[k, l] += own[k, i] * own[l, i] + n * above[k, i] * above[l, i]
        if not cholesky(M):
            return -np.inf
        log_M = (n - 1.0) * log_own
        for k in range(q):
            log_M += math.log(M[k, k])
        value -= sums.parents[c] * log_M + 0.5 * _trace(M, sums.square[c], x)
    return value if value == value else -np.inf


@bare
def _trace(L, S, x):
    """Trace of (L L')^-1 S."""
    q, value = x.size, 0.0
    for l in range(q):
        for k in range(q):
            x[k] = S[k, l]
        solve_lower(L, x)
        solve_upper(L, x)
        value += x[l]
    return value


@kernel
def _draw_parents(child, parent, q, L, count, total, parent_u, x, random):
    """Effects of the parents given the sums s of their children."""
    own = L[child : child + q, child : child + q]
    above = L[parent : parent + q, parent : parent + q]
    inverse, prior, P = np.zeros((q, q)), np.zeros((q, q)), np.zeros((q, q))
    _invert(own, inverse, x)
    _invert(above, prior, x)
    for g in range(count.size):
        for k in range(q):
            x[k] = 0.0
            for l in range(q):
                P[k, l] = count[g] * inverse[k, l] + prior[k, l]
                x[k] += inverse[k, l] * total[g, l]
        if not cholesky(P):
            continue  # keeps its effect: rounding alone can bring it here
        solve_lower(P, x)
        for k in range(q):
            x[k] += normal(random)
        solve_upper(P, x)
        for k in range(q):
            parent_u[k, g] = x[k]


@bare
def _invert(L, out, x):
    """Out = (L L')^-1."""
    q = x.size
    for l in range(q):
        for k in range(q):
            x[k] = 1.0 if k == l else 0.0
        solve_lower(L, x)
        solve_upper(L, x)
        for k in range(q):
            out[k, l] = x[k]
