"""The likelihood of a weighted linear mixed model, compiled; coefficients profiled out.

    y ~ N(X beta + Z u, s2 W^-1),    u = sqrt(s2) L v,    V = W^-1 + Z L L' Z'

    log L = - [ dof log s2 + log|I + L'AL| + (REML) log|X'V^-1 X| + r2 / s2 ] / 2
    r2 = min over beta of (y - X beta)' V^-1 (y - X beta)

with dof = n - p for the restricted likelihood (REML; Patterson and Thompson 1971) and n for the
full one; terms of data alone are left out. s2 is either 1 or at its maximum r2 / dof, and then psi
are the parameters of L: relative to the residual sd, as in lme4 (Bates et al. 2015). Everything
comes from cross products (`elimination`), so the cost of a value does not depend on n. Gradient,
with T the traces of `traces.traces`, M = X'V^-1 X and c = (-beta, 1):

    d log L / d L = -T - [ (REML) d log|M| + c' d([X y]'V^-1 [X y]) c / s2 ] / 2.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import covariance
from .._jit import kernel
from .._linalg import cholesky, solve_lower, solve_upper
from .elimination import factorize, invert, reorder, solve_border
from .pattern import Parts
from .traces import border_slope, remainder, traces

# Of rule: REML; s2 estimated; start found from moments; only what gains nothing at all is 0.
RESTRICTED, PROFILED, MOMENTS, STRICT = 0, 1, 2, 3
DOF, VALUE, S2, RSS, FIRST_RSS, CODE = 0, 1, 2, 3, 4, 5  # of number
FINE, COLLINEAR, PERFECT = 0.0, 1.0, 2.0  # of number[CODE]

NO_RESIDUAL = 1e-14  # share of the first residual sum of squares: rounding, nothing else
DEPENDENT = 1e-10  # share of a column's sum of squares that the others do not explain
LEAST_SHARE, MOST_SHARE = 0.1, 1e4  # of what a level's data say of a variance, at the start


class Space(NamedTuple):
    """Matrices that an evaluation goes through, and what it finds."""

    A: Parts  # cross products
    F: Parts  # factors
    G: Parts  # inverse, and H^-1 L'A_b
    D: Parts  # what `traces.border_slope` needs
    beta: np.ndarray  # (p,)
    inverse: np.ndarray  # (p, p), (X'V^-1 X)^-1
    number: np.ndarray  # (6,) DOF and FIRST_RSS are given, S2, RSS and CODE found


@kernel
def new_parts(pattern, b):
    """Zeros of the shapes of a pattern."""
    J, q, R = pattern.first.size - 1, pattern.own[0], pattern.base.size
    return Parts(
        np.zeros((J, q, q)),
        np.zeros((pattern.column.size, q)),
        np.zeros(pattern.square[pattern.square.size - 1]),
        np.zeros((J, q, b)),
        np.zeros((R, b)),
        np.zeros((b, b)),
    )


@kernel
def _borders_only(pattern, b):
    """Zeros of the shapes of a pattern's border."""
    J, q, R = pattern.first.size - 1, pattern.own[0], pattern.base.size
    return Parts(
        np.zeros((0, 0, 0)),
        np.zeros((0, 0)),
        np.zeros(0),
        np.zeros((J, q, b)),
        np.zeros((R, b)),
        np.zeros((0, 0)),
    )


@kernel
def new_space(pattern, beta, inverse, number):
    """Zeros of the shapes of a pattern around the arrays that receive the results."""
    b = beta.size + 1
    return Space(
        new_parts(pattern, b),
        new_parts(pattern, b),
        new_parts(pattern, b),
        _borders_only(pattern, b),
        beta,
        inverse,
        number,
    )


@kernel
def coefficients(border, beta, inverse):
    """Beta, (X'V^-1 X)^-1 from [X y]'V^-1 [X y]; returns log|X'V^-1 X| / 2 and r2, or nan."""
    p = beta.size
    factor = np.empty((p, p))
    for k in range(p):
        for l in range(p):
            factor[k, l] = border[k, l]
    if not cholesky(factor):
        return math.nan, math.nan
    half, rss = 0.0, border[p, p]
    for k in range(p):
        half += math.log(factor[k, k])
        beta[k] = border[k, p]
        for l in range(p):
            inverse[k, l] = 1.0 if k == l else 0.0
    solve_lower(factor, beta)
    for k in range(p):
        rss -= beta[k] * beta[k]
    solve_upper(factor, beta)
    for k in range(p):
        solve_lower(factor, inverse[k])
        solve_upper(factor, inverse[k])
    return half, rss


@kernel
def independent(border, p):
    """Whether the columns of X are independent, judged by pivots in the scale of each column."""
    a = np.empty((p, p))
    for k in range(p):
        for l in range(p):
            scale = math.sqrt(border[k, k] * border[l, l])
            a[k, l] = border[k, l] / scale if scale > 0.0 else 0.0
    for k in range(p):
        if not a[k, k] > DEPENDENT:
            return False
        for i in range(k + 1, p):
            factor = a[i, k] / a[k, k]
            for j in range(k, p):
                a[i, j] -= factor * a[k, j]
    return True


@kernel
def evaluate(cov, pattern, rule, s2, psi, space, gradient):
    """Log-likelihood at psi, -inf where it has none; `s2` 0: at its maximum.

    No gradient where `gradient` has no elements; else it is filled.
    """
    A, F, G, D, number = space.A, space.F, space.G, space.D, space.number
    Q, p = pattern.z_order.size, space.beta.size
    own, L = np.zeros((Q, Q)), np.empty((Q, Q))
    covariance.fill_L(cov, psi, own)
    reorder(pattern, own, L)
    half = factorize(pattern, L, A, F)
    half_x, rss = coefficients(F.border, space.beta, space.inverse)
    number[RSS] = rss
    if rule[PROFILED] == 1 and not rss > NO_RESIDUAL * number[FIRST_RSS]:
        number[CODE] = PERFECT
        return -math.inf
    if s2 == 0.0:
        s2 = rss / number[DOF] if rule[PROFILED] == 1 else 1.0
    number[S2] = s2
    value = -half - 0.5 * (number[DOF] * math.log(s2) + rss / s2)
    if rule[RESTRICTED] == 1:
        value -= half_x
    if not (value > -math.inf and value < math.inf):
        return -math.inf
    if gradient.size > 0:
        solve_border(pattern, F, G)
        remainder(pattern, L, A, G, D)
        invert(pattern, F, G)
        slope = np.empty((Q, Q))
        traces(pattern, L, A, G, slope)
        for k in range(Q):
            for l in range(Q):
                slope[k, l] = -slope[k, l]
        weight = np.zeros((p + 1, p + 1))
        residual_weight(space.beta, -0.5 / s2, weight)
        if rule[RESTRICTED] == 1:
            for k in range(p):
                for l in range(p):
                    weight[k, l] -= 0.5 * space.inverse[k, l]
        border_slope(pattern, weight, D, G, slope)
        to_psi(cov, pattern, own, slope, gradient)
    return value


@kernel
def residual_weight(beta, factor, weight):
    """Weight += factor c c' with c = (-beta, 1): weights of r2 as a sum over [X y]'V^-1 [X y]."""
    p = beta.size
    for k in range(p + 1):
        for l in range(p + 1):
            left = -beta[k] if k < p else 1.0
            right = -beta[l] if l < p else 1.0
            weight[k, l] += factor * left * right


@kernel
def to_psi(cov, pattern, own, slope, gradient):
    """Gradient with respect to psi from that with respect to L in the order of the pattern."""
    Q = pattern.z_order.size
    d_L = np.zeros((Q, Q))
    for k in range(Q):
        for l in range(Q):
            d_L[pattern.z_order[k], pattern.z_order[l]] = slope[k, l]
    for e in range(gradient.size):
        gradient[e] = 0.0
    covariance.chain_psi(cov, own, d_L, gradient)


@kernel
def level_sums(pattern, A, sums):
    """Sums over the levels of each z column of a, a^2 and t^2, with a = z'Wz and t = z'Wy."""
    q, y = pattern.own[0], A.border.shape[0] - 1
    for i in range(pattern.first.size - 1):
        for k in range(q):
            a, t = A.own[i, k, k], A.own_border[i, k, y]
            sums[k, 0] += a
            sums[k, 1] += a * a
            sums[k, 2] += t * t
    for c in range(pattern.base.size):
        k = pattern.rest_z[c]
        a, t = A.rest[pattern.base[c] + c], A.rest_border[c, y]
        sums[k, 0] += a
        sums[k, 1] += a * a
        sums[k, 2] += t * t


@kernel
def first_guess(cov, pattern, A, s2, profiled, search):
    """Start of the search by moments of y's residuals without effects, and a guess of curvature.

    With a and t the sums z'Wz and z'Wy of a level, t has the variance s2 a + a^2 tau2; the
    information of log tau is about twice the sum of (tau2 a / (s2 + tau2 a))^2.
    """
    Q, q = pattern.z_order.size, pattern.own[0]
    sums = np.zeros((Q, 3))
    level_sums(pattern, A, sums)
    ratio, information = np.ones(Q), np.ones(Q)
    for k in range(Q):
        if sums[k, 1] > 0.0:
            tau2 = (sums[k, 2] - s2 * sums[k, 0]) / sums[k, 1]
            # s2 without effects holds their share too.
            left = max(s2 - tau2, 0.1 * s2) if profiled else s2
            reach = sums[k, 1] / sums[k, 0]
            ratio[k] = min(max(tau2 / left, LEAST_SHARE / reach), MOST_SHARE / reach)
    for i in range(pattern.first.size - 1):
        for k in range(q):
            share = ratio[k] * A.own[i, k, k]
            information[k] += 2.0 * (share / (1.0 + share)) ** 2
    for c in range(pattern.base.size):
        k = pattern.rest_z[c]
        share = ratio[k] * A.rest[pattern.base[c] + c]
        information[k] += 2.0 * (share / (1.0 + share)) ** 2
    place = np.empty(Q, dtype=np.int64)
    for k in range(Q):
        place[pattern.z_order[k]] = k
    for e in range(search.x.size):
        k, l = place[cov.row[e]], place[cov.col[e]]
        start = 0.5 * math.log(ratio[k]) if k == l else 0.0
        search.x[e] = start
        search.trial[e] = start
        for j in range(search.x.size):
            search.inverse[e, j] = 0.0
        search.inverse[e, e] = 1.0 / min(information[k], information[l])
