"""Passes over the levels of one factor, with all else in eta held: the map, and what it moves.

See `crossed` for the formulas. Work goes chunk by chunk, as in `lanes`.
"""

from .. import families
from .._jit import bare
from .._linalg import add, copy, dot, total_of
from ..lanes import (
    CHOLESKY,
    CURVE,
    ETA,
    FIXED,
    NEW_Z,
    OLD_V,
    SCORE,
    STEP,
    TOTAL,
    A,
    B,
    E,
    U,
    V,
    add_effect,
    factorize,
    linear_predictor,
    log_determinants,
    mix,
    multiply_transposed,
    pull_back,
    solve_backward,
    solve_forward,
    sum_rows,
)
from ..layout import GROUP, ROW
from .factors import COUNTS
from .renewal import renew


@bare
def _gather(eta, source, out):
    """Rows of another layout."""
    for i in range(out.size):
        out[i] = eta[source[i]]


@bare
def _leave_out(obs, eta, source, weight, base, inverse, u, fixed, c, work):
    """Fixed = eta without u for the rows of chunk c; V: where the model at the fit leads from it.

    SCORE is that model's score at 0.
    """
    q, lanes, product = u.shape[0], obs.lanes, work.row[E]
    minus, h, u0 = work.vector[U], work.vector[SCORE], work.vector[V]
    first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
    place, end = lanes.chunk[c, GROUP], lanes.chunk[c + 1, GROUP]
    groups = end - place
    own_fixed, own_weight = fixed[first:last], weight[first:last]
    _gather(eta, source[first:last], own_fixed)
    for k in range(q):
        x, y = minus[k, :groups], u[k, place:end]
        for g in range(x.size):
            x[g] = -y[g]
        add_effect(lanes, obs.Z[k], obs.ones[k], c, minus[k], work.lane, own_fixed)
    for i in range(own_fixed.size):
        product[i] = own_weight[i] * own_fixed[i]
    for k in range(q):
        sum_rows(lanes, obs.Z[k], obs.ones[k], c, product, work.lane, h[k])
        x, y = h[k, :groups], base[k, place:end]
        for g in range(x.size):
            x[g] = y[g] - x[g]
    for k in range(q):
        x = u0[k, :groups]
        for g in range(x.size):
            x[g] = 0.0
        for l in range(q):
            _add_product(x, inverse[k, l, place:end], h[l, :groups])


@bare
def prepare(rows, obs, eta, source, weight, base, given, inverse, u, phi, fixed, b, curve, work):
    """Leave out the factor's effects u from eta, and take both Newton steps as far as psi allows.

    `given` and `inverse` are of the quadratic model at the fit; where the point it leads to is
    outside the domain of the link, that model stays.
    """
    q = u.shape[0]
    lanes, product, eta0 = obs.lanes, work.row[E], work.row[ETA]
    score, weights = work.row[A], work.row[B]
    minus, h, u0, sums = work.vector[U], work.vector[SCORE], work.vector[V], work.vector[STEP]
    sure = work.number[TOTAL]
    for c in range(lanes.chunk.shape[0] - 1):
        first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
        place, end = lanes.chunk[c, GROUP], lanes.chunk[c + 1, GROUP]
        m, groups = last - first, end - place
        _leave_out(obs, eta, source, weight, base, inverse, u, fixed, c, work)
        copy(eta0[:m], fixed[first:last])
        for k in range(q):
            add_effect(lanes, obs.Z[k], obs.ones[k], c, u0[k], work.lane, eta0)
        y, w = obs.y[first:last], obs.w[first:last]
        rows(families.IWLS, eta0[:m], y, w, phi, score, weights, score, score)
        for g in range(groups):
            sure[g] = 0.0
        for k in range(q):
            sum_rows(lanes, obs.Z[k], obs.ones[k], c, score, work.lane, sums[k])
            weighted = weights
            if obs.ones[k] == 0:
                z = obs.Z[k, first:last]
                for i in range(z.size):
                    product[i] = z[i] * weights[i]
                weighted = product
            for l in range(k + 1):
                sum_rows(lanes, obs.Z[l], obs.ones[l], c, weighted, work.lane, minus[0])
                copy(curve[k, l, place:end], minus[0, :groups])
                add(sure[:groups], minus[0, :groups], 0.0)
            add(sure[:groups], sums[k, :groups], 0.0)
        for k in range(q):
            x = sums[k, :groups]
            for l in range(q):
                _add_product(x, curve[max(k, l), min(k, l), place:end], u0[l, :groups])
        for k in range(q):
            _where(sure[:groups], sums[k, :groups], h[k, :groups], b[k, place:end])
            for l in range(k + 1):
                own = curve[k, l, place:end]
                _where(sure[:groups], own, given[k, l, place:end], own)


@bare
def pool(
    rows, obs, kind, eta, source, weight, base, given, inverse, u, phi, fixed, b, curve, y, w, work
):
    """As `prepare`, for a factor whose rows of a level are as good as one (see `crossed`): y, w."""
    lanes, score, weights = obs.lanes, work.row[A], work.row[B]
    h, u0 = work.vector[SCORE], work.vector[V]
    for c in range(lanes.chunk.shape[0] - 1):
        first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
        place, end = lanes.chunk[c, GROUP], lanes.chunk[c + 1, GROUP]
        _leave_out(obs, eta, source, weight, base, inverse, u, fixed, c, work)
        own_y, own_w = obs.y[first:last], obs.w[first:last]
        rows(families.IWLS, fixed[first:last], own_y, own_w, phi, score, weights, score, score)
        one_y, one_w, start = y[place:end], w[place:end], u0[0, : end - place]
        sum_rows(lanes, obs.y, 1, c, weights, work.lane, one_w)
        if kind == COUNTS:
            sum_rows(lanes, obs.y, 1, c, own_y, work.lane, one_y)
        else:
            sum_rows(lanes, obs.y, 1, c, score, work.lane, one_y)
            for g in range(one_y.size):
                one_y[g] = one_y[g] / one_w[g] if one_w[g] > 0.0 else 0.0
                one_w[g] *= phi * phi
        rows(families.IWLS, start, one_y, one_w, phi, score, weights, score, score)
        own_b, own_curve = b[0, place:end], curve[0, 0, place:end]
        for g in range(own_b.size):
            total = score[g] + weights[g] * start[g]
            sure = total - total == 0.0
            own_b[g] = total if sure else h[0, g]
            own_curve[g] = weights[g] if sure else given[0, 0, place + g]


@bare
def _add_product(out, x, y):
    """Out += x y, element by element."""
    for g in range(out.size):
        out[g] += x[g] * y[g]


@bare
def _where(sure, x, y, out):
    """Out = x where `sure` is 0, y where it is not a number."""
    for g in range(out.size):
        out[g] = x[g] if sure[g] == 0.0 else y[g]


@bare
def unmix(L, u, v):
    """V = L^-1 u for each group."""
    for k in range(L.shape[0]):
        x, diagonal = v[k], 1.0 / L[k, k]
        copy(x, u[k])
        for l in range(k):
            if L[k, l] != 0.0:
                add(x, v[l], -L[k, l])
        for g in range(x.size):
            x[g] *= diagonal


@bare
def carry(rows, obs, L, phi, hold_v, b, curve, fixed, v, z, center, C, loglik, work):
    """Map of all levels at L; returns the sum over levels of log pi (see the module).

    With hold_v = 0, z is held: v and the log-likelihoods follow. With hold_v = 1, v is held: z
    follows, and the log-likelihoods are left out.
    """
    q = L.shape[0]
    lanes, eta, a = obs.lanes, work.row[ETA], work.row[A]
    own, step, total, factor = work.vector[V], work.vector[STEP], work.number[TOTAL], work.matrix
    score, new_z = work.vector[SCORE], work.vector[NEW_Z]
    value = 0.0
    for c in range(lanes.chunk.shape[0] - 1):
        first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
        place, end = lanes.chunk[c, GROUP], lanes.chunk[c + 1, GROUP]
        m, groups = last - first, end - place
        for k in range(q):
            copy(score[k, :groups], b[k, place:end])
            for l in range(k + 1):
                copy(factor[CURVE, k, l, :groups], curve[k, l, place:end])
        factorize(L, groups, factor)
        pull_back(L, score, groups, step)
        solve_forward(factor[CHOLESKY], step, groups)
        solve_backward(factor[CHOLESKY], step, groups)
        for k in range(q):
            copy(center[k, place:end], step[k, :groups])
            for l in range(k + 1):
                copy(C[k, l, place:end], factor[CHOLESKY, k, l, :groups])
        log_determinants(factor[CHOLESKY], groups, total)
        if hold_v == 1:
            for k in range(q):
                copy(own[k, :groups], v[k, place:end])
                copy(step[k, :groups], v[k, place:end])
                add(step[k, :groups], center[k, place:end], -1.0)
            multiply_transposed(factor[CHOLESKY], step, groups, new_z)
            for k in range(q):
                copy(z[k, place:end], new_z[k, :groups])
        else:
            for k in range(q):
                copy(own[k, :groups], z[k, place:end])
            solve_backward(factor[CHOLESKY], own, groups)
            for k in range(q):
                add(own[k, :groups], center[k, place:end], 1.0)
                copy(v[k, place:end], own[k, :groups])
            copy(work.row[FIXED, :m], fixed[first:last])
            linear_predictor(obs, c, L, own, groups, work)
            y, w = obs.y[first:last], obs.w[first:last]
            rows(families.LOGLIK, eta[:m], y, w, phi, a, a, a, a)
            sum_rows(lanes, obs.y, 1, c, a, work.lane, loglik[place:end])
            value += total_of(loglik[place:end])
        for k in range(q):
            value -= 0.5 * dot(own[k, :groups], own[k, :groups])
        value -= total_of(total[:groups])
    return value


@bare
def logliks(rows, obs, L, phi, fixed, v, loglik, work):
    """Log-likelihood of every level."""
    lanes, eta, a, own = obs.lanes, work.row[ETA], work.row[A], work.vector[OLD_V]
    for c in range(lanes.chunk.shape[0] - 1):
        first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
        place, end = lanes.chunk[c, GROUP], lanes.chunk[c + 1, GROUP]
        m, groups = last - first, end - place
        for k in range(L.shape[0]):
            copy(own[k, :groups], v[k, place:end])
        copy(work.row[FIXED, :m], fixed[first:last])
        linear_predictor(obs, c, L, own, groups, work)
        rows(families.LOGLIK, eta[:m], obs.y[first:last], obs.w[first:last], phi, a, a, a, a)
        sum_rows(lanes, obs.y, 1, c, a, work.lane, loglik[place:end])


@bare
def put_back(obs, L, v, fixed, work):
    """Fixed becomes eta."""
    lanes, u, own = obs.lanes, work.vector[U], work.vector[OLD_V]
    for c in range(lanes.chunk.shape[0] - 1):
        place, end = lanes.chunk[c, GROUP], lanes.chunk[c + 1, GROUP]
        groups = end - place
        for k in range(L.shape[0]):
            copy(own[k, :groups], v[k, place:end])
        mix(L, own, groups, u)
        eta = fixed[lanes.chunk[c, ROW] : lanes.chunk[c + 1, ROW]]
        for k in range(L.shape[0]):
            add_effect(lanes, obs.Z[k], obs.ones[k], c, u[k], work.lane, eta)


@bare
def mix_all(L, v, u):
    """U = L v."""
    for k in range(L.shape[0]):
        own = u[k]
        for g in range(own.size):
            own[g] = L[k, k] * v[k, g]
        for l in range(k):
            if L[k, l] != 0.0:
                add(own, v[l], L[k, l])


@bare
def redraw(rows, obs, L, phi, random, fixed, v, z, center, C, loglik, work):
    """Move v and z of every level given psi. Returns the mean acceptance."""
    accepted, lanes = 0.0, obs.lanes
    for c in range(lanes.chunk.shape[0] - 1):
        first, last = lanes.chunk[c, ROW], lanes.chunk[c + 1, ROW]
        copy(work.row[FIXED, : last - first], fixed[first:last])
        accepted += renew(rows, obs, L, phi, random, c, v, z, center, C, loglik, work)
    return accepted / loglik.size
