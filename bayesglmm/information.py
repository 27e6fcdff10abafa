"""Predictive accuracy: leave-one-out cross-validation by row and by group, and WAIC.

Leaving out a row asks how well the model predicts another row of a group that it knows; leaving out
a group, how well it predicts a group that it does not know. The latter needs the likelihood of a
group with its effects integrated out (Merkle, Furr and Rabe-Hesketh 2019, Psychometrika 84, 802),
here by Gauss-Hermite quadrature at nodes that follow each group's mean and covariance given the
draw, as in Naylor and Smith (1982).
"""

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from . import families
from .errors import DataError, DataWarning
from .pointwise import constants
from .prediction import factors

if TYPE_CHECKING:
    import xarray
    from arviz_stats import ELPDData

    from .posterior import Posterior

# Nodes a dimension. With slopes of epilepsy 13 are off by up to 7e-3 of a log likelihood in
# the draws farthest from the mean, 17 by 5e-7.
NODES = {1: 25, 2: 17, 3: 15}
# Responses of 0s or 1s alone cut the distribution of an effect with a large sd off like a step: at
# an sd of 9 25 nodes are off by .01 a group, 101 by 1e-4; at one of 2 25 by 4e-5.
MANY, LARGE_SD = 101, 2.0
JITTER, TINY = 1e-10, 1e-30  # so that effects without spread have nodes
WIDER = 1.25  # spread of the nodes over the posterior sds: one draw's effects may lie off centre
# Nodes lie .6 to .8 of their sd apart: a peak narrower than NARROWER of it may fall between them,
# and its moments mean nothing. So much a pass, then, until it is seen.
NARROWER, PASSES = 0.35, 30
BY = ("row", "group")
UNSURE = (
    0.4  # posterior variance of a log likelihood above which WAIC is poor (Vehtari et al. 2017)
)


def loo(post: "Posterior", by: str = "row", **options: Any) -> "ELPDData":
    """Leave-one-out cross-validation; the arguments are those of `Posterior.loo`."""
    from arviz_stats import loo as of_arviz

    if by not in BY:
        raise DataError(f"by has to be 'row' or 'group', not {by!r}")
    if by == "group":
        return of_arviz(_tree(post), **options)
    _warn_of_single_rows(post)
    return of_arviz(_rows(post), **options)


def waic(post: "Posterior") -> "ELPDData":
    """The widely applicable information criterion of rows given the effects (Watanabe 2010).

    elpd = sum log E p(y_i | draw) - sum Var log p(y_i | draw). `loo` is as cheap, and says where it
    fails.
    """
    from arviz_stats import ELPDData

    _warn_of_single_rows(post)
    values = next(iter(_rows(post)["log_likelihood"].to_dataset().values()))
    logs = values.to_numpy().reshape(-1, values.shape[-1])
    most = logs.max(axis=0)
    mean = most + np.log(np.exp(logs - most).mean(axis=0))
    spread = logs.var(axis=0, ddof=1)
    each = mean - spread
    n = each.size
    return ELPDData(
        kind="waic",
        elpd=float(each.sum()),
        se=float(math.sqrt(n * each.var())),
        p=float(spread.sum()),
        n_samples=len(logs),
        n_data_points=n,
        scale="log",
        warning=bool((spread > UNSURE).any()),
        good_k=math.nan,
        elpd_i=values[0, 0].drop_vars(["chain", "draw"]).copy(data=each),
    )


def _warn_of_single_rows(post: "Posterior") -> None:
    design = post.model.design
    for factor in design.factors:
        if len(factor.levels) == len(factor.index):
            warnings.warn(
                f"every row has its own level of {factor.name}: without the row nothing is known "
                f"of its effect, and leaving it out by importance sampling means little; "
                "loo(by='group') integrates the effects out",
                DataWarning,
                stacklevel=4,
            )


def group_log_likelihood(post: "Posterior") -> np.ndarray:
    """Log likelihoods of the groups with their effects integrated out, (chains, draws, levels).

    Raises
    ------
    DataError
        Without exactly one grouping factor, or with more effects a group than nodes can cover.
    """
    model = post.model
    design, family = model.design, model.family
    if len(design.factors) != 1:
        raise DataError(
            "leaving out groups needs one grouping factor; this model has "
            f"{len(design.factors) or 'none'}"
        )
    q = sum(len(term.names) for term in design.terms)
    if q not in NODES:
        raise DataError(f"leaving out groups is for up to {max(NODES)} effects a group, not {q}")
    factor = design.factors[0]
    if len(factor.levels) == 1:
        raise DataError(f"{factor.name} has one level: without it there are no data")
    order = np.argsort(factor.index, kind="stable")
    first = np.searchsorted(factor.index[order], np.arange(len(factor.levels)))
    z = np.concatenate([term.z for term in design.terms], axis=1)[order]
    draws_u = np.asarray(post.values["u"][factor.name]).reshape(-1, len(factor.levels), q)
    away = draws_u - draws_u.mean(axis=0)
    cov = np.einsum("njk,njl->jkl", away, away) / len(draws_u)
    mean = draws_u.mean(axis=0)
    steps = q == 1 and family.name in ("bernoulli", "binomial")
    nodes, many = Nodes(q, NODES[q]), Nodes(q, MANY if steps else NODES[q])
    index = factor.index[order]
    response = design.response
    y, w, _ = family.prepare(response.y, response.known, design.weights)
    repeated = {n: tuple(np.repeat(x[order], n) for x in (y, w)) for n in (nodes.count, many.count)}
    X, offset = design.X[order], design.offset[order]
    constant = np.add.reduceat(constants(post)[order], first)
    L = factors(model, post.values["sd"], post.values["cor"])
    phi = post.values[family.dispersion] if family.dispersion else None
    rows = families.bind(family)
    unused = np.empty(0)

    def integrand(
        at: tuple[np.ndarray, np.ndarray], eta: np.ndarray, phi: float, L: np.ndarray
    ) -> np.ndarray:
        v, log_weights = at
        both = eta[:, None] + np.einsum("nk,nik->ni", z @ L, v[index])
        values = np.empty(both.shape)
        flat = both.reshape(-1), *repeated[v.shape[1]], phi, values.reshape(-1)
        rows(families.LOGLIK, *flat, unused, unused, unused)
        logs = np.add.reduceat(values, first, axis=0)
        return np.asarray(logs + _log_normal(v) + log_weights)

    out = np.empty((post.chains, post.draws, len(factor.levels)))
    for chain in range(post.chains):
        for k in range(post.draws):
            eta = X @ post.values["beta"][chain, k] + offset
            at = 1.0 if phi is None else float(phi[chain, k])
            given = eta, at, L[chain, k]
            # The draw's own mean and covariance of the effects, by the wide nodes; then at them.
            middle, spread = _standardized(mean, cov, L[chain, k])
            for _ in range(PASSES):
                at_wide = nodes.at(middle, spread)
                middle, found = _moments(at_wide[0], integrand(at_wide, *given))
                spread, seen = _at_most_narrower(spread, found)
                if seen:
                    break
            last = many if np.abs(L[chain, k]).max() > LARGE_SD else nodes
            out[chain, k] = _log_sum(integrand(last.at(middle, spread), *given))
    return out + constant


class Nodes:
    """Gauss-Hermite nodes of q dimensions, so many in each.

    Attributes
    ----------
    count : int
        Of all.
    """

    def __init__(self, q: int, each: int) -> None:
        from numpy.polynomial.hermite_e import hermegauss

        x, w = hermegauss(each)
        self.grid = np.stack(np.meshgrid(*[x] * q, indexing="ij"), axis=-1).reshape(-1, q)
        weights = np.stack(np.meshgrid(*[w] * q, indexing="ij"), axis=-1).reshape(-1, q)
        # hermegauss is for the weight exp(-x^2 / 2)
        self.own = np.log(weights).sum(axis=1) + 0.5 * (self.grid**2).sum(axis=1)
        self.count = len(self.grid)

    def at(self, mean: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (J, K, q) at means (J, q) and covariances (J, q, q), and log weights (J, K).

        The sum of exp(log weight) f(node) is the integral of f.
        """
        most = np.einsum("jkk->jk", cov).max(axis=1)
        jitter = JITTER * np.maximum(most, TINY)[:, None, None] * np.eye(cov.shape[-1])
        C = np.linalg.cholesky(cov + jitter)
        log_det = np.log(np.einsum("jkk->jk", C)).sum(axis=1)
        return mean[:, None] + np.einsum("jkl,il->jik", C, self.grid), log_det[:, None] + self.own


def _moments(nodes: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (J, q) and covariances (J, q, q) under the integrand at nodes."""
    share = np.exp(logs - logs.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    mean = np.einsum("ji,jik->jk", share, nodes)
    away = nodes - mean[:, None]
    return mean, np.einsum("ji,jik,jil->jkl", share, away, away)


def _at_most_narrower(wide: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, bool]:
    """Covariances found at nodes of wide ones, no narrower than those can tell; whether all are."""
    most = np.einsum("jkk->jk", wide).max(axis=1)
    floor = JITTER * np.maximum(most, TINY)[:, None, None] * np.eye(wide.shape[-1])
    C = np.linalg.cholesky(wide + floor)
    inverse = np.linalg.inv(C)
    ratio, axes = np.linalg.eigh(inverse @ found @ inverse.swapaxes(1, 2))
    narrow = ratio < NARROWER**2
    if not narrow.any():
        return found, True
    root = C @ axes * np.sqrt(np.maximum(ratio, NARROWER**2))[:, None, :]
    return root @ root.swapaxes(1, 2), False


def _log_sum(logs: np.ndarray) -> np.ndarray:
    most = logs.max(axis=1)
    return np.asarray(most + np.log(np.exp(logs - most[:, None]).sum(axis=1)))


def _log_normal(v: np.ndarray) -> np.ndarray:
    """Log density of N(0, I) at v (J, K, q)."""
    return np.asarray(-0.5 * ((v**2).sum(axis=-1) + v.shape[-1] * math.log(2.0 * math.pi)))


def _standardized(
    mean: np.ndarray, cov: np.ndarray, L: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where to look for a draw's standardized effects: means (J, q), covariances (J, q, q).

    Those of all draws, but never wider than the effects are before the data are seen: a draw with a
    small sd has its effects near 0, and nodes as far apart as those of other draws miss them.
    """
    inverse = np.linalg.inv(L + TINY * np.eye(len(L)))
    spread, axes = np.linalg.eigh(inverse @ cov @ inverse.T)
    own = np.einsum("jkl,jk->jl", axes, mean @ inverse.T) * np.minimum(
        1.0, 1.0 / np.maximum(spread, TINY)
    )
    scaled = axes * (WIDER**2 * np.clip(spread, 0.0, 1.0))[:, None, :]
    return np.einsum("jkl,jl->jk", axes, own), scaled @ axes.swapaxes(1, 2)


def _tree(post: "Posterior") -> "xarray.DataTree":
    from . import arviz_form

    tree = arviz_form.groups_left_out(post, group_log_likelihood(post))
    factor = post.model.design.factors[0]
    rows = np.bincount(factor.index, _counts(post), len(factor.levels))
    return _part(tree, rows > 0.0)


def _rows(post: "Posterior") -> "xarray.DataTree":
    return _part(post.log_likelihood(), _counts(post))


def _counts(post: "Posterior") -> np.ndarray:
    """Whether a row adds to the likelihood: its weight and its number of trials are above 0."""
    design = post.model.design
    y, known = design.response.y, design.response.known
    return np.asarray(post.model.family.prepare(y, known, design.weights)[1] > 0.0)


def _part(tree: "xarray.DataTree", counts: np.ndarray) -> "xarray.DataTree":
    """Rows or groups that can be left out, since they are in the data."""
    import xarray

    if counts.all():
        return tree
    logs = tree["log_likelihood"].to_dataset()
    dim = next(iter(logs.data_vars.values())).dims[-1]
    part = {"posterior": tree["posterior"].to_dataset(), "log_likelihood": logs.isel({dim: counts})}
    return xarray.DataTree.from_dict(part)
