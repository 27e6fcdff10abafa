"""The search for the maximum of a weighted linear mixed model's likelihood, in one compiled call.

BFGS on psi, then what a search by gradients cannot see: sds that may as well be 0, sds at 0 that
may grow again with a correlation of the right sign, correlations of 1. Then the exact curvature,
a last Newton step with it, and coefficients and modes there.
"""

import math

import numpy as np

from .. import covariance
from .._jit import ENABLED, entry, kernel, typeof, types
from .._linalg import cholesky, solve_lower, solve_upper
from ..density import MATRIX, VECTOR
from .boundary import ONE
from .elimination import factorize, gram, invert, reorder
from .optimizer import (
    EVALUATIONS,
    FRESH,
    ITERATIONS,
    SEARCH_TYPE,
    SEARCHING,
    STATE,
    STOPPED,
    advance,
)
from .optimizer import VALUE as BEST
from .system import PATTERN_TYPE
from .traces import border_slope, variances
from .weighted import (
    CODE,
    COLLINEAR,
    DOF,
    FINE,
    FIRST_RSS,
    MOMENTS,
    PERFECT,
    PROFILED,
    RSS,
    S2,
    STRICT,
    VALUE,
    coefficients,
    evaluate,
    first_guess,
    independent,
    level_sums,
    new_parts,
    new_space,
    residual_weight,
    to_psi,
)

NEAR_ZERO = 0.3  # variances of which the data of a level say no more than this are compared with 0
FLAT = 1e-3  # so are those of less curvature
ZERO_LOG = -30.0  # log of the relative sd that stands for 0
SAME = 2e-6  # loss of log-likelihood at which an sd of 0 is as good: no data show such a one
ROUNDING = 1e-9  # the same, where small sds are to be followed
ESCAPE = 0.1  # of what a level's data say of a variance, where an sd of 0 begins to grow again
HINT = 1e-3  # the same, where the gradient shows whether it would
ESCAPE_ANGLE = 1.5  # Fisher's z of its correlation there
STEP = 1e-3  # of differences of the gradient, in standard errors; the error is of its square
ROUNDED = 1e-28  # share of the squares of y of that residuals of 100 of its rounding errors are
LAST_GAIN, LAST_STEP = 1e-5, 0.1  # a Newton step within these lies where curvature is constant


@kernel
def _search(cov, pattern, rule, space, search, gradient):
    """Run a search to its end; returns the best value."""
    while search.counts[STATE] == SEARCHING:
        value = evaluate(cov, pattern, rule, 0.0, search.trial, space, gradient)
        if space.number[CODE] == PERFECT:
            search.counts[STATE] = STOPPED
        else:
            advance(search, value, gradient)
    return search.number[BEST]


@kernel
def _reaches(pattern, A, reach):
    """What the data of a level say of a variance of 1, by z column of the model."""
    sums = np.zeros((reach.size, 3))
    level_sums(pattern, A, sums)
    for k in range(reach.size):
        if sums[k, 0] > 0.0:
            reach[pattern.z_order[k]] = sums[k, 1] / sums[k, 0]


@kernel
def _set_zero(cov, pattern, rule, space, reach, e, psi, value, zero):
    """Put one sd to 0 if that is no worse, but a moderate one is; returns the value."""
    before, none = psi[e], np.empty(0)
    psi[e] = ZERO_LOG
    other = evaluate(cov, pattern, rule, 0.0, psi, space, none)
    if other >= value - (ROUNDING if rule[STRICT] == 1 else SAME):
        # Where every sd is as good, the data say nothing of it, least of all that it is 0.
        moderate = -0.5 * math.log(max(reach[cov.row[e]], 1e-300))
        for j in range(psi.size):
            if cov.row[j] == cov.col[j] and j != e:
                moderate = max(moderate, psi[j])
        psi[e] = moderate
        if evaluate(cov, pattern, rule, 0.0, psi, space, none) < other - SAME:
            psi[e], zero[e] = ZERO_LOG, 1
            return other
    psi[e] = before
    return value


@kernel
def _set_zeros(cov, pattern, rule, space, reach, psi, value, zero):
    """Put small sds to 0 where that is no worse; returns the value."""
    for e in range(psi.size):
        zero[e] = 0
    for e in range(psi.size):
        k = cov.row[e]
        if k == cov.col[e] and reach[k] * math.exp(2.0 * psi[e]) < NEAR_ZERO:
            value = _set_zero(cov, pattern, rule, space, reach, e, psi, value, zero)
    return value


@kernel
def _escape(cov, pattern, rule, space, reach, psi, zero, start, gradient):
    """Where the search begins again for sds of 0 that may be none; False if there are none.

    At 0 the gradient in the log of an sd vanishes: a search that came there with a correlation of
    the wrong sign, or too far in one step, stays, though a small sd would be better.
    """
    m, found, none = psi.size, False, True
    alone = np.zeros(m, dtype=np.int64)
    for e in range(m):
        start[e] = psi[e]
    for e in range(m):
        k = cov.row[e]
        if cov.col[e] == k and zero[e] == 1 and reach[k] > 0.0:
            alone[e], none = 1, False
            for j in range(m):
                if cov.row[j] != cov.col[j] and (cov.row[j] == k or cov.col[j] == k):
                    start[j], alone[e], found = 0.0, 0, True
            start[e] = 0.5 * math.log((HINT if alone[e] == 1 else ESCAPE) / reach[k])
    if none:
        return False
    evaluate(cov, pattern, rule, 0.0, start, space, gradient)
    for e in range(m):
        if alone[e] == 1:
            rising = gradient[e] > 0.0
            found = found or rising
            start[e] = 0.5 * math.log(ESCAPE / reach[cov.row[e]]) if rising else ZERO_LOG
        elif cov.row[e] != cov.col[e] and start[e] == 0.0:
            start[e] = ESCAPE_ANGLE if gradient[e] > 0.0 else -ESCAPE_ANGLE
    return found


@kernel
def _search_again(cov, pattern, rule, space, reach, search, start, value, zero, gradient):
    """Search from another start, and keep what is better; returns its value."""
    m = start.size
    psi, state, again = search.x.copy(), search.counts[STATE], np.zeros(m, dtype=np.int64)
    evaluations = search.counts[EVALUATIONS]
    for e in range(m):
        search.trial[e] = start[e]
        for j in range(m):
            search.inverse[e, j] = 0.5 if e == j else 0.0
    search.counts[STATE], search.counts[EVALUATIONS] = SEARCHING, 0
    search.counts[ITERATIONS], search.counts[FRESH] = 0, 1
    other = _search(cov, pattern, rule, space, search, gradient)
    search.counts[EVALUATIONS] += evaluations
    if space.number[CODE] != PERFECT:
        other = _set_zeros(cov, pattern, rule, space, reach, search.x, other, again)
        if other > value + SAME:
            for e in range(m):
                zero[e] = again[e]
            return other
    space.number[CODE] = FINE
    search.counts[STATE] = state
    for e in range(m):
        search.x[e] = psi[e]
    return value


@kernel
def _set_ones(cov, psi, zero):
    """Mark correlations of 1 or -1, and what they leave undetermined: the others of their row."""
    for e in range(psi.size):
        if cov.row[e] != cov.col[e] and abs(psi[e]) > ONE:
            for j in range(psi.size):
                if cov.row[j] == cov.row[e] and cov.row[j] != cov.col[j]:
                    zero[j] = 1


if ENABLED:
    COVARIANCE_TYPE = typeof(covariance.empty())
    INTEGERS = types.int64[::1]
else:
    COVARIANCE_TYPE = INTEGERS = None


@entry(
    lambda: types.void(
        COVARIANCE_TYPE,
        PATTERN_TYPE,
        INTEGERS,
        MATRIX,
        MATRIX,
        VECTOR,
        SEARCH_TYPE,
        INTEGERS,
        MATRIX,
        VECTOR,
        VECTOR,
        MATRIX,
        VECTOR,
        VECTOR,
    )
)
def climb(
    cov, pattern, rule, z, x, w, search, zero, hessian, gradient, beta, inverse, modes, number
):
    """Maximize over psi, then curvature there, coefficients and modes.

    Parameters
    ----------
    rule : (4,) int64
        RESTRICTED, PROFILED, MOMENTS, STRICT.
    z, x, w : (n, Q), (n, p + 1), (n,)
        In the order of the pattern's rows; the last column of x is the response, which is replaced
        by its residuals of least squares so that large numbers cancel before they are squared.
    search : Search
        Of psi; its start is set here under MOMENTS.
    zero : (m,) int64
        Receives 1 where an sd is 0 or a correlation 1 or -1.
    hessian : (m + 1, m + 1)
        Receives minus the Hessian with respect to psi and log(s2) / 2.
    gradient : (m,)
    beta, inverse : (p,), (p, p)
        Receive the coefficients and (X'V^-1 X)^-1.
    modes : (effects,)
        Receives sqrt(s2) v, in the order of the model.
    number : (6,)
        DOF is given, the others are received.
    """
    n, p, m = w.size, beta.size, search.x.size
    space = new_space(pattern, beta, inverse, number)
    A = space.A
    number[CODE] = FINE
    gram(pattern, z, x, w, A)
    if not independent(A.border, p):
        number[CODE] = COLLINEAR
        search.counts[STATE] = STOPPED
        return
    start = np.empty(p)
    coefficients(A.border, start, inverse)
    for r in range(n):
        for k in range(p):
            x[r, p] -= start[k] * x[r, k]
    total = A.border[p, p]
    gram(pattern, z, x, w, A)
    _, rss = coefficients(A.border, beta, inverse)
    number[FIRST_RSS] = max(rss, 0.0)
    if rule[PROFILED] == 1 and not rss > ROUNDED * total:
        number[CODE], number[S2], number[RSS] = PERFECT, 0.0, 0.0
        search.counts[STATE] = STOPPED
        return
    if rule[MOMENTS] == 1:
        profiled = rule[PROFILED] == 1
        s2 = rss / number[DOF] if profiled else 1.0
        first_guess(cov, pattern, A, s2, profiled, search)
    psi, reach = search.x, np.zeros(pattern.z_order.size)
    value = _search(cov, pattern, rule, space, search, gradient)
    # The last evaluation was at the best point, unless the search was stopped short of another.
    fresh = number[CODE] == FINE
    for e in range(m):
        zero[e] = 0
        fresh = fresh and psi[e] == search.trial[e]
    if number[CODE] == FINE:
        _reaches(pattern, A, reach)
        value = _set_zeros(cov, pattern, rule, space, reach, psi, value, zero)
        for e in range(m):
            fresh = fresh and reach[cov.row[e]] * math.exp(2.0 * psi[e]) >= NEAR_ZERO
        other = np.empty(m)
        if _escape(cov, pattern, rule, space, reach, psi, zero, other, gradient):
            value = _search_again(
                cov, pattern, rule, space, reach, search, other, value, zero, gradient
            )
        _set_ones(cov, psi, zero)
    code = number[CODE]
    if not fresh:
        value = evaluate(cov, pattern, rule, 0.0, psi, space, gradient)
    number[VALUE] = value
    rss, s2 = number[RSS], number[S2]
    if value > -math.inf:
        _curvature(cov, pattern, rule, s2, psi, space, zero, search.inverse, hessian)
        for e in range(m):
            if cov.row[e] == cov.col[e] and zero[e] == 0 and hessian[e, e] < FLAT:
                value = _set_zero(cov, pattern, rule, space, reach, e, psi, value, zero)
        if _newton_step(rule, hessian, gradient, zero, search.trial):
            for e in range(m):
                psi[e] += search.trial[e]
        number[VALUE] = evaluate(cov, pattern, rule, 0.0, psi, space, gradient)
        rss, s2 = number[RSS], number[S2]
        _modes(pattern, p, beta, space.G, modes)
    number[RSS], number[S2], number[CODE] = rss, s2, max(code, number[CODE])
    for k in range(p):
        beta[k] += start[k]


@kernel
def _modes(pattern, p, beta, G, modes):
    """Modes = H^-1 L'Z'W (y - X beta), which is sqrt(s2) v, from H^-1 L'A_b."""
    q, J = pattern.own[0], pattern.first.size - 1
    for i in range(J):
        for k in range(q):
            row = G.own_border[i, k]
            total = row[p]
            for l in range(p):
                total -= row[l] * beta[l]
            modes[pattern.origin[i * q + k]] = total
    for a in range(pattern.base.size):
        row = G.rest_border[a]
        total = row[p]
        for l in range(p):
            total -= row[l] * beta[l]
        modes[pattern.origin[J * q + a]] = total


@kernel
def _curvature(cov, pattern, rule, s2, psi, space, zero, guess, hessian):
    """Minus the Hessian in (psi, log(s2) / 2); the space must be that of psi, and is spoilt."""
    m, p, Q = psi.size, space.beta.size, pattern.z_order.size
    own, slope, weight = np.zeros((Q, Q)), np.zeros((Q, Q)), np.zeros((p + 1, p + 1))
    covariance.fill_L(cov, psi, own)
    # d2 log L / d psi d log s = (d r2 / d psi) / s2
    residual_weight(space.beta, -1.0 / s2, weight)
    border_slope(pattern, weight, space.D, space.G, slope)
    cross = np.zeros(m)
    to_psi(cov, pattern, own, slope, cross)
    for e in range(m):
        hessian[e, m] = hessian[m, e] = cross[e]
    hessian[m, m] = 2.0 * space.number[RSS] / s2
    up, down, trial = np.empty(m), np.empty(m), psi.copy()
    for e in range(m):
        if zero[e] == 1:
            for j in range(m):
                hessian[e, j] = 0.0
            continue
        step = STEP * math.sqrt(min(max(guess[e, e], 1e-12), 1.0))
        trial[e] = psi[e] + step
        evaluate(cov, pattern, rule, s2, trial, space, up)
        trial[e] = psi[e] - step
        evaluate(cov, pattern, rule, s2, trial, space, down)
        trial[e] = psi[e]
        for j in range(m):
            hessian[e, j] = (down[j] - up[j]) / (2.0 * step)
    for e in range(m):
        for j in range(e):
            hessian[e, j] = hessian[j, e] = 0.5 * (hessian[e, j] + hessian[j, e])


@kernel
def _newton_step(rule, hessian, gradient, zero, step):
    """Last step to the maximum by the exact curvature; False where it is not a small one."""
    m = gradient.size
    a = np.empty((m, m))
    for e in range(m):
        for j in range(m):
            a[e, j] = hessian[e, j]
            if rule[PROFILED] == 1:
                a[e, j] -= hessian[e, m] * hessian[j, m] / hessian[m, m]
            if zero[e] == 1 or zero[j] == 1:
                a[e, j] = 1.0 if e == j else 0.0
        step[e] = 0.0 if zero[e] == 1 else gradient[e]
    if not cholesky(a):
        return False
    solve_lower(a, step)
    gain = 0.0
    for e in range(m):
        gain += 0.5 * step[e] * step[e]
    solve_upper(a, step)
    largest = 0.0
    for e in range(m):
        largest = max(largest, abs(step[e]))
    return gain < LAST_GAIN and largest < LAST_STEP


@entry(lambda: types.void(COVARIANCE_TYPE, PATTERN_TYPE, MATRIX, VECTOR, VECTOR, VECTOR))
def effect_variances(cov, pattern, z, w, psi, out):
    """Diagonal of L (I + L'AL)^-1 L' in the order of the model: variances of u, over s2."""
    Q = pattern.z_order.size
    own, L = np.zeros((Q, Q)), np.empty((Q, Q))
    covariance.fill_L(cov, psi, own)
    reorder(pattern, own, L)
    A, F = new_parts(pattern, 0), new_parts(pattern, 0)
    gram(pattern, z, np.empty((w.size, 0)), w, A)
    factorize(pattern, L, A, F)
    invert(pattern, F, A)
    found = np.empty(out.size)
    variances(pattern, L, A, found)
    for i in range(out.size):
        out[pattern.origin[i]] = found[i]
