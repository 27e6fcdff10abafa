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

import numpy as np

from .. import covariance
from .._jit import ENABLED, entry, kernel, typeof, types
from .._linalg import cholesky, solve_lower, solve_upper
from ..density import MATRIX, VECTOR
from .boundary import ONE
from .elimination import factorize, gram, invert, reorder, solve_border
from .optimizer import SEARCH_TYPE, SEARCHING, STATE, STOPPED, advance
from .pattern import Parts
from .system import PATTERN_TYPE
from .traces import border_slope, remainder, traces, variances

RESTRICTED, PROFILED, MOMENTS = 0, 1, 2  # of rule: REML; s2 estimated; start found from moments
DOF, VALUE, S2, RSS, FIRST_RSS, CODE = 0, 1, 2, 3, 4, 5  # of number
FINE, COLLINEAR, PERFECT = 0.0, 1.0, 2.0  # of number[CODE]

NEAR_ZERO = 0.05  # sds below this share of the residual's are compared with 0
ZERO_LOG = -30.0  # log of the relative sd that stands for 0
SAME = 1e-9  # loss of log-likelihood at which an sd of 0 is as good
STEP = 1e-3  # of differences of the gradient, in standard errors; the error is of its square
NO_RESIDUAL = 1e-14  # share of the first residual sum of squares: rounding, nothing else
LAST_GAIN, LAST_STEP = 1e-5, 0.1  # a Newton step within these lies where curvature is constant
DEPENDENT = 1e-10  # share of a column's sum of squares that the others do not explain
LEAST_RATIO, MOST_RATIO = 1e-2, 1e2  # of variances where the search may begin


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
def borders_only(pattern, b):
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
def _coefficients(border, beta, inverse):
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
def _independent(border, p):
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
def evaluate(cov, pattern, rule, s2, psi, A, F, G, D, gradient, beta, inverse, number):
    """Log-likelihood at psi, -inf where it has none; `s2` 0: at its maximum.

    F receives the factors, G the inverse and H^-1 L'A_b, D what `traces.border_slope` needs,
    `number` S2 and RSS. No gradient where `gradient` has no elements; else it is filled.
    """
    Q, p = pattern.z_order.size, beta.size
    own, L = np.zeros((Q, Q)), np.empty((Q, Q))
    covariance.fill_L(cov, psi, own)
    reorder(pattern, own, L)
    half = factorize(pattern, L, A, F)
    half_x, rss = _coefficients(F.border, beta, inverse)
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
        _residual_weight(beta, -0.5 / s2, weight)
        if rule[RESTRICTED] == 1:
            for k in range(p):
                for l in range(p):
                    weight[k, l] -= 0.5 * inverse[k, l]
        border_slope(pattern, weight, D, G, slope)
        _to_psi(cov, pattern, own, slope, gradient)
    return value


@kernel
def _residual_weight(beta, factor, weight):
    """Weight += factor c c' with c = (-beta, 1): weights of r2 as a sum over [X y]'V^-1 [X y]."""
    p = beta.size
    for k in range(p + 1):
        for l in range(p + 1):
            left = -beta[k] if k < p else 1.0
            right = -beta[l] if l < p else 1.0
            weight[k, l] += factor * left * right


@kernel
def _to_psi(cov, pattern, own, slope, gradient):
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
def _first_guess(cov, pattern, A, s2, profiled, search):
    """Start of the search by moments of y's residuals without effects, and a guess of curvature.

    With a and t the sums z'Wz and z'Wy of a level, t has the variance s2 a + a^2 tau2; the
    information of log tau is about twice the sum of (tau2 a / (s2 + tau2 a))^2.
    """
    Q, q, y = pattern.z_order.size, pattern.own[0], A.border.shape[0] - 1
    sums = np.zeros((Q, 3))  # of a, a^2, t^2
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
    ratio, information = np.ones(Q), np.ones(Q)
    for k in range(Q):
        if sums[k, 1] > 0.0:
            tau2 = (sums[k, 2] - s2 * sums[k, 0]) / sums[k, 1]
            # s2 without effects holds their share too.
            left = max(s2 - tau2, 0.1 * s2) if profiled else s2
            ratio[k] = min(max(tau2 / left, LEAST_RATIO), MOST_RATIO)
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


@kernel
def _set_zeros(cov, pattern, rule, A, F, G, D, psi, value, beta, inverse, zero, number):
    """Put sds to 0 where that is no worse; returns the value."""
    none = np.empty(0)
    trial = psi.copy()
    for e in range(psi.size):
        if cov.row[e] == cov.col[e] and math.exp(psi[e]) < NEAR_ZERO:
            trial[e] = ZERO_LOG
            other = evaluate(
                cov, pattern, rule, 0.0, trial, A, F, G, D, none, beta, inverse, number
            )
            if other >= value - SAME:
                psi[e], value, zero[e] = ZERO_LOG, other, 1
            trial[e] = psi[e]
    return value


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
    cov,
    pattern,
    rule,
    z,
    x,
    w,
    search,
    zero,
    hessian,
    gradient,
    beta,
    inverse,
    modes,
    number,
):
    """Maximize over psi, then curvature there, coefficients and modes.

    Parameters
    ----------
    rule : (3,) int64
        RESTRICTED, PROFILED, MOMENTS.
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
    A, F, G = new_parts(pattern, p + 1), new_parts(pattern, p + 1), new_parts(pattern, p + 1)
    D = borders_only(pattern, p + 1)
    number[CODE] = FINE
    gram(pattern, z, x, w, A)
    if not _independent(A.border, p):
        number[CODE] = COLLINEAR
        search.count[STATE] = STOPPED
        return
    start = np.empty(p)
    _coefficients(A.border, start, inverse)
    for r in range(n):
        for k in range(p):
            x[r, p] -= start[k] * x[r, k]
    total = A.border[p, p]
    gram(pattern, z, x, w, A)
    _, rss = _coefficients(A.border, beta, inverse)
    number[FIRST_RSS] = max(rss, 0.0)
    # Rounding leaves some 1e-16 of each of y's squares.
    if rule[PROFILED] == 1 and not rss > 1e-22 * total:
        number[CODE], number[S2], number[RSS] = PERFECT, 0.0, 0.0
        search.count[STATE] = STOPPED
        return
    if rule[MOMENTS] == 1:
        profiled = rule[PROFILED] == 1
        s2 = rss / number[DOF] if profiled else 1.0
        _first_guess(cov, pattern, A, s2, profiled, search)
    while search.count[STATE] == SEARCHING:
        value = evaluate(
            cov,
            pattern,
            rule,
            0.0,
            search.trial,
            A,
            F,
            G,
            D,
            gradient,
            beta,
            inverse,
            number,
        )
        if number[CODE] == PERFECT:
            search.count[STATE] = STOPPED
        else:
            advance(search, value, gradient)
    psi, value, fresh = search.x, search.number[0], True
    for e in range(m):
        zero[e] = 0
        fresh = fresh and psi[e] == search.trial[e]
    if number[CODE] == PERFECT:
        fresh = False
    else:
        value = _set_zeros(cov, pattern, rule, A, F, G, D, psi, value, beta, inverse, zero, number)
        for e in range(m):
            # Where a correlation is 1, its coordinate is no more determined.
            beyond = cov.row[e] != cov.col[e] and abs(psi[e]) > ONE
            fresh = fresh and zero[e] == 0
            zero[e] = 1 if beyond else zero[e]
    code = number[CODE]
    if not fresh:
        value = evaluate(cov, pattern, rule, 0.0, psi, A, F, G, D, gradient, beta, inverse, number)
    rss, s2 = number[RSS], number[S2]
    number[VALUE] = value
    if value > -math.inf:
        _curvature(cov, pattern, rule, s2, psi, A, F, G, D, zero, search.inverse, number, hessian)
        if _newton_step(rule, hessian, gradient, zero, search.trial):
            for e in range(m):
                psi[e] += search.trial[e]
        number[VALUE] = evaluate(
            cov, pattern, rule, 0.0, psi, A, F, G, D, gradient, beta, inverse, number
        )
        rss, s2 = number[RSS], number[S2]
        _modes(pattern, p, beta, G, modes)
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
def _curvature(cov, pattern, rule, s2, psi, A, F, G, D, zero, guess, number, hessian):
    """Minus the Hessian in (psi, log(s2) / 2); G, D and RSS must be those of psi."""
    m, p, Q = psi.size, A.border.shape[0] - 1, pattern.z_order.size
    beta, inverse = np.empty(p), np.empty((p, p))
    own, slope, weight = np.zeros((Q, Q)), np.zeros((Q, Q)), np.zeros((p + 1, p + 1))
    covariance.fill_L(cov, psi, own)
    _coefficients(F.border, beta, inverse)
    # d2 log L / d psi d log s = (d r2 / d psi) / s2
    _residual_weight(beta, -1.0 / s2, weight)
    border_slope(pattern, weight, D, G, slope)
    cross = np.zeros(m)
    _to_psi(cov, pattern, own, slope, cross)
    for e in range(m):
        hessian[e, m] = hessian[m, e] = cross[e]
    hessian[m, m] = 2.0 * number[RSS] / s2
    up, down, trial = np.empty(m), np.empty(m), psi.copy()
    for e in range(m):
        if zero[e] == 1:
            for j in range(m):
                hessian[e, j] = 0.0
            continue
        step = STEP * math.sqrt(min(max(guess[e, e], 1e-12), 1.0))
        trial[e] = psi[e] + step
        evaluate(cov, pattern, rule, s2, trial, A, F, G, D, up, beta, inverse, number)
        trial[e] = psi[e] - step
        evaluate(cov, pattern, rule, s2, trial, A, F, G, D, down, beta, inverse, number)
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
