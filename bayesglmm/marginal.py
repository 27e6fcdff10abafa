"""Marginal coefficients and means: of the population, averaged over the effects of groups.

A row's linear predictor varies over groups with variance v = sum over terms of z' Sigma z. What
the link makes of the mean, `averages.linked`, is linear in X again where v is the same for all
rows and the link is probit, log or identity; then marginal coefficients are exact:
beta / sqrt(1 + v) under probit, the intercept + v / 2 under log. Elsewhere they are those of the
least-squares fit of the link of the marginal means on X, over the rows of the data with their
weights and trials (Hedeker, du Toit, Demirtas and Gibbons 2018, Biometrics 74, 354).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import averages
from .coding import Functions
from .errors import DataError
from .new_rows import Rows, rows_at, rows_of
from .quantities import POSITIVE, UNTESTED, Drawn, Estimates, Quantities, response
from .tables import Table as ResultTable

if TYPE_CHECKING:
    import pandas

    from .derived import Derived
    from .likelihood_fit import Fit
    from .model import Model
    from .posterior import Posterior

CHUNK_VALUES = 20_000  # linear predictors held at once: what passes over them stays in the cache
MAX_ROWS = 5_000  # of marginal means: a draw of each, or their covariance, is held
STEP = 1e-5  # of the central difference that carries standard errors over
ROUNDING = 1e-8  # of a linear predictor
KINDS = ("mean", "variance")


class Values(NamedTuple):
    """Coefficients (draws, p), sds, correlations and dispersion of draws, or of one estimate."""

    beta: np.ndarray
    sd: np.ndarray
    cor: np.ndarray
    phi: np.ndarray


@dataclass(frozen=True, eq=False)
class Marginal:
    """Marginal coefficients beside the conditional ones.

    Attributes
    ----------
    quantities : Estimates or Drawn
        The marginal coefficients.
    conditional : ndarray, shape (p,)
        Coefficients given the effects: estimates, or means of draws.
    approximate : ndarray or None, shape (p,)
        For the logit link beta / sqrt(1 + v / 1.7^2), by the formula of Zeger, Liang and Albert.
    exact : bool
        Whether the link of the marginal means is linear in X, so that nothing is left of it.
    """

    quantities: Quantities
    conditional: np.ndarray
    approximate: np.ndarray | None
    exact: bool

    def table(self) -> ResultTable:
        """The marginal coefficients, ``conditional`` ones and under logit the ``c=1.7`` ones."""
        made = self.quantities.table()
        columns = {**made.columns, "conditional": self.conditional}
        if self.approximate is not None:
            columns["c=1.7"] = self.approximate
        return ResultTable(made.rows, columns)

    def frame(self) -> "pandas.DataFrame":
        """Return `table` as a data frame."""
        return self.table().frame()

    def __str__(self) -> str:
        how = "exact" if self.exact else "least squares of the link of the marginal means"
        lines = [f"  {line}" for line in str(self.table()).splitlines()]
        return "\n".join(["Marginal (population-averaged) coefficients", *lines, f"  ({how})"])


def coefficients(result: "Derived", **limits: Any) -> Marginal:
    """Marginal coefficients of a fit or a posterior.

    Parameters
    ----------
    result : Fit or Posterior
    **limits
        ``level=0.95`` of a fit; ``ci_prob=0.95`` and ``ci_kind="eti"`` of a posterior.

    Raises
    ------
    DataError
        Under the inverse link, where the mean does not exist.
    """
    from .posterior import Posterior

    model = result.model
    if not model.names.fixed:
        raise DataError("a model without coefficients has no marginal ones")
    rows, counts = _distinct(rows_of(model.design))
    link = model.family.link
    root = np.sqrt(counts * rows.weights)[:, None]
    project = np.linalg.pinv(root * rows.X) * root.T

    def marginal(values: Values, how: Any = averages.linked) -> np.ndarray:
        return _over_draws(
            model, rows, values, lambda eta, v, _: (how(link, eta, v) - rows.offset) @ project.T
        )

    shortened = averages.approximate(link, np.zeros(1), np.zeros(1)) is not None
    title = "Marginal coefficients"
    made: Quantities
    if isinstance(result, Posterior):
        values = drawn(result)
        shape = (result.chains, result.draws, -1)
        linear = marginal(values).reshape(shape)
        made = Drawn(title, model.names.fixed, linear, **limits)
        short = marginal(values, averages.approximate).mean(axis=0) if shortened else None
        conditional = values.beta.mean(axis=0)
    else:
        fit = as_fit(result)
        values, covariance = moved(fit)
        estimate, covariance = delta(marginal(values), covariance)
        made = Estimates(title, model.names.fixed, estimate, covariance, fit.df, **limits)
        short = marginal(values, averages.approximate)[0] if shortened else None
        conditional = fit.beta
    first = Values(*(x[:1] for x in values))
    fitted = marginal(first) @ rows.X.T + rows.offset
    gone = _over_draws(model, rows, first, lambda eta, v, _: averages.linked(link, eta, v) - fitted)
    exact = float(np.abs(gone * root.T).max()) < ROUNDING
    return Marginal(made, conditional, short, exact)


def means(
    result: "Derived",
    newdata: Any = None,
    *,
    kind: str = "mean",
    functions: Functions | None = None,
    **limits: Any,
) -> Quantities:
    """Marginal means of the response: averaged over the effects of new groups.

    Parameters
    ----------
    result : Fit or Posterior
    newdata : data frame or mapping, optional
        Rows with the predictors; groups are not needed. The rows of the data if not given.
    kind : {"mean", "variance"}
        The mean, or the variance of a response over the population.
    functions : mapping, optional
        The user's own functions, where the formula has some.
    **limits
        ``level=0.95`` of a fit; ``ci_prob=0.95`` and ``ci_kind="eti"`` of a posterior.

    Raises
    ------
    DataError
        For columns or levels that do not fit, or more than `MAX_ROWS` rows.
    """
    from .posterior import Posterior

    if kind not in KINDS:
        raise DataError(f"kind has to be 'mean' or 'variance', not {kind!r}")
    model = result.model
    family = model.family
    rows, labels = rows_at(model.design, newdata, functions)
    if len(labels) > MAX_ROWS:
        raise DataError(
            f"marginal means at {len(labels):,} rows; the limit is {MAX_ROWS:,}. "
            "Give the rows you want as newdata"
        )

    def marginal(eta: np.ndarray, v: np.ndarray, phi: np.ndarray) -> np.ndarray:
        if kind == "mean":
            return averages.linked(family.link, eta, v)
        return averages.response_variance(family.name, family.link, eta, v, phi, rows.trials)

    scale = response(family) if kind == "mean" else UNTESTED
    trials = model.design.response.trials is not None
    what = "proportions" if trials else "means"
    if kind == "variance":
        what = "variances of proportions" if trials else "variances"
    title = f"Marginal {what} of {model.design.response.name}"
    if isinstance(result, Posterior):
        linear = _over_draws(model, rows, drawn(result), marginal)
        linear = linear.reshape(result.chains, result.draws, -1)
        return Drawn(title, labels, linear, scale, **limits)
    fit = as_fit(result)
    values, covariance = moved(fit)
    every = _over_draws(model, rows, values, marginal)
    if kind == "variance":
        every, scale = np.log(every), POSITIVE
    estimate, covariance = delta(every, covariance)
    df = np.full(len(labels), np.min(fit.df, initial=np.inf))
    return Estimates(title, labels, estimate, covariance, df, scale, **limits)


# --- rows ----------------------------------------------------------------------------------------


def _distinct(rows: Rows) -> tuple[Rows, np.ndarray]:
    """The rows that differ in what the mean depends on, and the weight of each."""
    whole = np.column_stack([rows.X, *rows.z, rows.offset])
    _, first, inverse = np.unique(whole, axis=0, return_index=True, return_inverse=True)
    counts = np.bincount(inverse.ravel(), rows.weights * rows.trials)
    kept = Rows(
        rows.X[first],
        tuple(z[first] for z in rows.z),
        rows.offset[first],
        rows.trials[first],
        np.ones(first.size),
    )
    return kept, counts


# --- draws and estimates -------------------------------------------------------------------------


def _over_draws(model: "Model", rows: Rows, values: Values, what: Any) -> np.ndarray:
    """``what(eta, v, phi)`` of all rows for every draw, in chunks of draws."""
    sizes = [len(values.beta), max(1, CHUNK_VALUES // max(1, rows.X.shape[0]))]
    parts = []
    for start in range(0, sizes[0], sizes[1]):
        own = Values(*(x[start : start + sizes[1]] for x in values))
        eta = own.beta @ rows.X.T + rows.offset
        parts.append(what(eta, variances(model, rows.z, own.sd, own.cor), own.phi[:, None]))
    return np.concatenate(parts)


def variances(
    model: "Model", z: tuple[np.ndarray, ...], sd: np.ndarray, cor: np.ndarray
) -> np.ndarray:
    """Variance of the linear predictor over groups: the sum over terms of z' Sigma z.

    Parameters
    ----------
    model : Model
    z : tuple of ndarray, (n, q) each
    sd, cor : ndarray, shapes (draws, Q) and (draws, correlations)

    Returns
    -------
    ndarray, shape (draws, n)
    """
    total = np.zeros((len(sd), z[0].shape[0] if z else 1))
    place = pair = 0
    for term, own in zip(model.design.terms, z, strict=True):
        q = len(term.names)
        for k in range(q):
            total += sd[:, place + k, None] ** 2 * own[:, k] ** 2
            for l in range(k if term.correlated else 0):
                covariance = 2.0 * cor[:, pair] * sd[:, place + k] * sd[:, place + l]
                total += covariance[:, None] * (own[:, k] * own[:, l])
                pair += 1
        place += q
    return np.maximum(total, 0.0)


def drawn(post: "Posterior") -> Values:
    """Values of every draw of a posterior."""
    names = post.model.names
    flat = {
        name: np.asarray(post.values[name]).reshape(post.chains * post.draws, -1)
        for name in ("beta", "sd", "cor", *names.dispersion)
    }
    phi = flat[names.dispersion[0]][:, 0] if names.dispersion else np.ones(len(flat["beta"]))
    return Values(flat["beta"], flat["sd"], flat["cor"], phi)


def as_fit(result: "Derived") -> "Fit":
    """The same object, known to be a fit."""
    from .likelihood_fit import Fit

    assert isinstance(result, Fit)
    return result


def moved(fit: "Fit") -> tuple[Values, np.ndarray]:
    """Values at the estimate, then moved up and down along each direction of theta, whitened.

    Returns the values and the covariance of theta.
    """
    theta, covariance = fit.outcome.theta, fit.outcome.covariance
    if fit.outcome.scale:
        theta, covariance = theta[:-1], covariance[:-1, :-1]
    moves = STEP * np.eye(theta.size)
    every = np.concatenate([theta[None], theta + moves, theta - moves])
    effects = sum(
        len(f.levels) * len(t.names)
        for t in fit.model.design.terms
        for f in [fit.model.design.factors[t.factor]]
    )
    found = fit.model.to_user(every, np.zeros((len(every), effects)))
    without = 0.0 if fit.method == "glm" else 1.0
    name = fit.model.family.dispersion
    phi = found[name] if name else np.ones(len(every))
    return Values(found["beta"], without * found["sd"], found["cor"], phi), covariance


def delta(values: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate and covariance of what `moved` values were made into, (1 + 2 d, k)."""
    d = len(covariance)
    slopes = (values[1 : 1 + d] - values[1 + d :]) / (2.0 * STEP)
    return values[0], slopes.T @ covariance @ slopes
