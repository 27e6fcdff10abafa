"""From a model to the arrays that compiled code reads, and back to the user's scale.

Inside, columns of X are centred and scaled, z columns scaled, rows and the levels of the first
factor ordered as in `layout`. The way back is exact: beta_k = b_k / scale_k, Intercept = b_0 -
sum_k beta_k center_k, and effects and sds divided by the scale of their z column.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from . import covariance, families
from .density import Data, Observations, Prior
from .fits.mode import Start
from .layout import arrange
from .model import Problem
from .prior_defaults import rescaled, spread
from .priors import LKJ

if TYPE_CHECKING:
    from .model import Model

INSIDE = 0.5  # of the mean of eta: the largest spread that a link's domain has room for


def bind(model: "Model") -> Problem:
    """What fits and samplers work on."""
    design, family = model.design, model.family
    factors, terms = design.factors, design.terms
    n = design.X.shape[0]
    y, w, constant = family.prepare(design.response.y, design.response.known, design.weights)

    index = [np.asarray(f.index) for f in factors]
    order = [np.arange(len(f.levels)) for f in factors]
    if factors:
        lanes, rows, order[0] = arrange(index[0], len(factors[0].levels))
        place = np.empty(order[0].size, dtype=np.int64)
        place[order[0]] = np.arange(order[0].size)
        index[0] = place[index[0]]
    else:
        lanes, rows, _ = arrange(np.zeros(n, dtype=np.int64), 1)

    factor = np.array([t.factor for t in terms for _ in t.names], dtype=np.int64)
    levels = np.array([len(f.levels) for f in factors], dtype=np.int64)
    effect = np.cumsum(levels[factor]) - levels[factor] if factor.size else factor
    columns = list(zip((z for t in terms for z in t.z.T), model.z_scale, strict=True))
    X = np.empty((design.X.shape[1], n))
    for j, column in enumerate(design.X.T):
        X[j] = ((column - model.x_center[j]) / model.x_scale[j])[rows]
    # Of many rows every array counts: those that are all ones may be one.
    ones = None
    if design.has_intercept:
        ones = X[model.intercept]
        ones[:] = 1.0

    data = Data(
        Observations(
            y=y[rows].astype(np.float64),
            w=w[rows].astype(np.float64) if ones is None or np.any(w != 1.0) else ones,
            # Zeros that nobody has written take no memory.
            offset=design.offset[rows] if design.offset.any() else np.zeros(n),
            X=X,
            Z=_scaled(columns, rows, ones),
            ones=np.array([int(np.all(z / s == 1.0)) for z, s in columns], dtype=np.int64),
            lanes=lanes,
        ),
        Prior(
            _codes(map(rescaled, model.priors.beta, model.x_scale)),
            _codes([model.priors.dispersion] if family.dispersion else []),
            _covariance(model),
        ),
        level=np.array([i[rows] for i in index], dtype=np.int32).reshape(len(factors), n),
        levels=levels,
        factor=factor,
        effect=effect.astype(np.int64),
    )
    return Problem(families.bind(family), data, _start(model), constant, tuple(order))


def _scaled(
    columns: list[tuple[np.ndarray, float]], rows: np.ndarray, ones: np.ndarray | None
) -> np.ndarray:
    """Columns over their scales in the order of `rows`, shape (columns, n)."""
    if ones is not None and len(columns) == 1 and np.all(columns[0][0] / columns[0][1] == 1.0):
        return ones[None]
    Z = np.empty((len(columns), rows.size))
    for own, (column, scale) in zip(Z, columns, strict=True):
        own[:] = (column / scale)[rows]
    return Z


def _codes(priors: Any) -> np.ndarray:
    """Kind and three numbers of scalar priors, shape (k, 4)."""
    return np.array([prior.code() for prior in priors], dtype=np.float64).reshape(-1, 4)


def _covariance(model: "Model") -> covariance.Covariance:
    blocks = []
    for term, prior in zip(model.design.terms, model.priors.terms, strict=True):
        q = len(term.names)
        if prior.sigma is None:
            eta = prior.cor.eta if isinstance(prior.cor, LKJ) else 1.0
            blocks.append(covariance.Block(q, term.correlated, prior.sd, eta))
        else:
            blocks.append(covariance.Block(q, True, sigma=prior.sigma))
    return covariance.build(blocks, model.z_scale)


def _start(model: "Model") -> Start:
    """Least squares of the link of a smoothed response, kept inside the link's domain."""
    family, design = model.family, model.design
    s, m, sd_y = spread(design, family)
    trials = design.response.trials
    y = design.response.y
    known_errors = design.response.se is not None
    if family.name in ("bernoulli", "binomial"):
        total = np.ones_like(y) if trials is None else trials
        mu = (y + 0.5) / (total + 1.0)
    elif family.dispersion in (None, "size") and not known_errors:
        mu = np.maximum(y, 0.0) + 0.5
    else:
        mu = y if family.link == "identity" else np.maximum(y, 1e-3 * sd_y)
    X = (design.X - model.x_center) / model.x_scale
    if design.has_intercept:
        X[:, model.intercept] = 1.0
    target = np.clip(family.linkfun(mu) - design.offset, -1e300, 1e300)
    beta = np.linalg.lstsq(X, target, rcond=1e-10)[0] if X.size else np.zeros(X.shape[1])
    flat = np.zeros(X.shape[1])
    if design.has_intercept:
        flat[model.intercept] = m
    noise = family.dispersion == "sigma" or known_errors
    positive = family.link in ("identity", "sqrt", "inverse") and not noise
    eta = X @ beta + design.offset
    if not np.all(np.isfinite(beta)) or (positive and np.any(eta <= 0.0)):
        beta = flat
        eta = X @ beta + design.offset
    average = float(design.weights @ y / design.weights.sum())
    # Of a Gamma response with one mean, the shape is (mean / sd)^2.
    shape = (average / sd_y) ** 2 if sd_y > 0.0 else 1.0
    phi = {None: 1.0, "size": 1.0, "shape": shape}.get(family.dispersion, sd_y)
    if positive:
        # Large effects would take eta out of the link's domain, where no search can begin.
        s = min(s, INSIDE * max(float(np.mean(eta)), 1e-3 * s))
    return Start(beta, s, phi, family.dispersion == "sigma" and family.link == "identity")


def back(model: "Model") -> np.ndarray:
    """Slopes (p, p) of the coefficients of the user's columns by those of the columns inside."""
    slopes = np.diag(1.0 / model.x_scale)
    if model.design.has_intercept:
        slopes[model.intercept] -= model.x_center / model.x_scale
    return slopes


def to_user(model: "Model", theta: np.ndarray, u: np.ndarray | None) -> dict[str, Any]:
    """Draws on the user's scale; shapes as in `Model.to_user`.

    What becomes of a draw does not depend on the draws beside it, to the last bit.
    """
    design = model.design
    data = model.problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    beta = theta[..., :p] / model.x_scale
    if design.has_intercept:
        # Column by column: a matrix product may round a draw by its place among the others.
        for j in np.flatnonzero(model.x_center):
            beta[..., model.intercept] -= beta[..., j] * model.x_center[j]
    L = covariance.factors(data.prior.covariance, theta[..., p : p + m]) / model.z_scale[:, None]
    sd = np.sqrt((L**2).sum(axis=-1))
    cor, place = [], 0
    for term in design.terms:
        q = len(term.names)
        if term.correlated:
            with np.errstate(invalid="ignore", divide="ignore"):  # no correlation with an sd of 0
                rows = L[..., place : place + q, :] / sd[..., place : place + q, None]
            cor += [(rows[..., k, :] * rows[..., l, :]).sum(-1) for k in range(q) for l in range(k)]
        place += q
    shape = theta.shape[:-1]
    values: dict[str, Any] = {
        "beta": beta,
        "sd": sd,
        "cor": np.stack(cor, axis=-1) if cor else np.zeros((*shape, 0)),
        "u": {},
    }
    if model.family.dispersion:
        values[model.family.dispersion] = np.exp(theta[..., p + m])
    if u is not None:
        values["u"] = effects_to_user(model, u)
    return values


def effects_to_user(model: "Model", u: np.ndarray, scaled: bool = True) -> dict[str, np.ndarray]:
    """Effects (..., effects) by factor, shapes (..., levels, columns), in the design's order.

    Parameters
    ----------
    scaled : bool
        Whether they are effects, or sds or quantiles of them; False for what has no scale.
    """
    problem = model.problem
    data = problem.data
    values = {}
    for f, factor in enumerate(model.design.factors):
        columns = np.flatnonzero(data.factor == f)
        J = len(factor.levels)
        effects = np.empty((*u.shape[:-1], J, columns.size))
        for i, k in enumerate(columns):
            own = u[..., data.effect[k] : data.effect[k] + J]
            effects[..., problem.order[f], i] = own / model.z_scale[k] if scaled else own
        values[factor.name] = effects
    return values


def rows_of_table(model: "Model", theta: np.ndarray, effects: bool = True) -> np.ndarray:
    """Coefficients, sds and correlations (if `effects`), dispersion at theta, shape (..., rows)."""
    values = to_user(model, theta, None)
    parts = [values["beta"]] + ([values["sd"], values["cor"]] if effects else [])
    parts += [values[name][..., None] for name in model.names.dispersion]
    return np.concatenate(parts, axis=-1)


def mix(model: "Model", theta: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Effects u = L v on the internal scale, shape (nv,)."""
    data = model.problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    L = covariance.factors(data.prior.covariance, theta[p : p + m])
    u = np.zeros_like(v)
    for k, l in zip(*np.nonzero(L), strict=True):
        J = int(data.levels[data.factor[k]])
        own, other = int(data.effect[k]), int(data.effect[l])
        u[own : own + J] += L[k, l] * v[other : other + J]
    return u


def to_internal(model: "Model", values: dict[str, float], theta: np.ndarray) -> np.ndarray:
    """Theta with the named values, given on the user's scale, put in.

    Parameters
    ----------
    values : dict
        By row name: coefficients, sds, correlations, the dispersion.
    theta : ndarray, shape (d,)
        What is not named stays as here.
    """
    names, problem = model.names, model.problem
    data = problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    now = to_user(model, theta, np.zeros(int(sum(data.levels[f] for f in data.factor))))
    beta = now["beta"].copy()
    for j, name in enumerate(names.fixed):
        beta[j] = values.get(name, beta[j])
    out = theta.copy()
    internal = beta * model.x_scale
    if model.design.has_intercept:
        internal[model.intercept] = beta[model.intercept] + beta @ model.x_center
    out[:p] = internal
    sd = np.array([values.get(n, s) for n, s in zip(names.sd, now["sd"], strict=True)])
    cor = [values.get(n, c) for n, c in zip(names.cor, now["cor"], strict=True)]
    L = np.zeros((data.factor.size,) * 2)
    place = 0
    remaining = iter(cor)
    for term in model.design.terms:
        q = len(term.names)
        R = np.eye(q)
        if term.correlated:
            for k in range(q):
                for l in range(k):
                    R[k, l] = R[l, k] = next(remaining)
        own = slice(place, place + q)
        L[own, own] = (sd[own] * model.z_scale[own])[:, None] * np.linalg.cholesky(R)
        place += q
    out[p : p + m] = covariance.coordinates(data.prior.covariance, L)
    if model.family.dispersion in values:
        out[p + m] = np.log(values[model.family.dispersion])
    return out
