"""Products of L and Z with vectors of effects and of rows, in the order of a `pattern`."""

from .._jit import kernel


@kernel
def mix(pattern, L, v, out):
    """Out = L v."""
    q, J = pattern.own[0], pattern.first.size - 1
    for i in range(J):
        for k in range(q):
            total = 0.0
            for l in range(k + 1):
                total += L[k, l] * v[i * q + l]
            out[i * q + k] = total
    for a in range(pattern.base.size):
        at, place = pattern.rest_z[a], J * q + a
        total = L[at, at] * v[place]
        for step in range(1, at - start_of(pattern, at) + 1):
            total += L[at, at - step] * v[place - step]
        out[place] = total


@kernel
def start_of(pattern, at):
    """First z column of the factor of z column `at`, among the rest."""
    place = pattern.own[0]
    while place + pattern.width[place] <= at:
        place += pattern.width[place]
    return place


@kernel
def pull_back(pattern, L, score, out):
    """Out = L' score."""
    q, J = pattern.own[0], pattern.first.size - 1
    for i in range(J):
        for l in range(q):
            total = 0.0
            for k in range(l, q):
                total += L[k, l] * score[i * q + k]
            out[i * q + l] = total
    for a in range(pattern.base.size):
        at, place = pattern.rest_z[a], J * q + a
        total = 0.0
        for step in range(start_of(pattern, at) + pattern.width[at] - at):
            total += L[at + step, at] * score[place + step]
        out[place] = total


@kernel
def predict(pattern, z, u, eta):
    """Eta += Z u; rows are sorted."""
    q, J, others = pattern.own[0], pattern.first.size - 1, pattern.group.shape[1]
    plain = pattern.z_order.size == q + others
    for i in range(J):
        for r in range(pattern.first[i], pattern.first[i + 1]):
            total = eta[r]
            for k in range(q):
                total += z[r, k] * u[i * q + k]
            if plain:
                for f in range(others):
                    total += z[r, q + f] * u[J * q + pattern.group[r, f]]
            else:
                at = q
                for f in range(others):
                    place = J * q + pattern.group[r, f]
                    for c in range(pattern.width[at]):
                        total += z[r, at + c] * u[place + c]
                    at += pattern.width[at]
            eta[r] = total


@kernel
def collect(pattern, z, x, out):
    """Out = Z' x; rows are sorted."""
    q, J, others = pattern.own[0], pattern.first.size - 1, pattern.group.shape[1]
    plain = pattern.z_order.size == q + others
    for i in range(out.size):
        out[i] = 0.0
    for i in range(J):
        for r in range(pattern.first[i], pattern.first[i + 1]):
            value = x[r]
            for k in range(q):
                out[i * q + k] += z[r, k] * value
            if plain:
                for f in range(others):
                    out[J * q + pattern.group[r, f]] += z[r, q + f] * value
            else:
                at = q
                for f in range(others):
                    place = J * q + pattern.group[r, f]
                    for c in range(pattern.width[at]):
                        out[place + c] += z[r, at + c] * value
                    at += pattern.width[at]


@kernel
def add_outer(pattern, factor, x, y, out):
    """out_kl += factor * sum over levels of x_k y_l, for z columns k, l of one factor."""
    q, J = pattern.own[0], pattern.first.size - 1
    for i in range(J):
        for k in range(q):
            for l in range(q):
                out[k, l] += factor * x[i * q + k] * y[i * q + l]
    for a in range(pattern.base.size):
        at = pattern.rest_z[a]
        if at == start_of(pattern, at):
            place = J * q + a
            for k in range(pattern.width[at]):
                for l in range(pattern.width[at]):
                    out[at + k, at + l] += factor * x[place + k] * y[place + l]
