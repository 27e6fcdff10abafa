"""Sensitivity of a posterior to its priors, by power-scaling.

The priors of the coefficients, sds, correlations and the dispersion are raised to a power near 1,
and the likelihood is; how far each changes the posterior is found by importance sampling, without
new draws (Kallioinen, Paananen, Buerkner and Vehtari 2024, Statistics and Computing 34, 57). The
distribution of the effects is part of the model and stays as it is.
"""

from typing import TYPE_CHECKING

import numpy as np

from .prior_curve import logpdf
from .priors import LKJ, HuangWand, InverseWishart

if TYPE_CHECKING:
    import pandas

    from .posterior import Posterior

DIGITS = 12  # of what ArviZ returns; how many are shown is for the tables
THRESHOLD = 0.05  # of the change of a posterior for each doubling of the power, as in priorsense


def log_prior(post: "Posterior") -> np.ndarray:
    """Log density of the priors at the draws, on the user's scale, shape (chains, draws).

    Up to a constant; that of an improper prior counts as 0.
    """
    model, values = post.model, post.values
    beta = np.array(values["beta"])
    if model.priors.centred and model.design.has_intercept:
        # Stated at the centred predictors.
        beta[..., model.intercept] += beta @ model.x_center
    total = sum(
        (logpdf(prior, beta[..., j]) for j, prior in enumerate(model.priors.beta)),
        np.zeros(beta.shape[:2]),
    )
    place = pair = 0
    for term, prior in zip(model.design.terms, model.priors.terms, strict=True):
        q = len(term.names)
        pairs = q * (q - 1) // 2 if term.correlated else 0
        sd, cor = values["sd"][..., place : place + q], values["cor"][..., pair : pair + pairs]
        place, pair = place + q, pair + pairs
        if prior.sigma is None:
            for k, one in enumerate(prior.sd):
                total += logpdf(one, sd[..., k])
            if isinstance(prior.cor, LKJ) and pairs:
                total += (prior.cor.eta - 1.0) * np.linalg.slogdet(_correlation(cor, q))[1]
        else:
            total += _of_sigma(prior.sigma.for_size(q, "the term"), sd, _correlation(cor, q))
    for name in model.names.dispersion:
        total += logpdf(model.priors.dispersion, values[name])
    return np.asarray(total)


def _correlation(cor: np.ndarray, q: int) -> np.ndarray:
    R = np.broadcast_to(np.eye(q), (*cor.shape[:-1], q, q)).copy()
    pairs = [(k, l) for k in range(q) for l in range(k)]
    for e, (k, l) in enumerate(pairs[: cor.shape[-1]]):
        R[..., k, l] = R[..., l, k] = cor[..., e]
    return R


def _of_sigma(prior: "InverseWishart | HuangWand", sd: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Log density of Sigma under an inverse-Wishart or Huang and Wand's prior, up to a constant."""
    q = sd.shape[-1]
    Sigma = sd[..., :, None] * R * sd[..., None, :]
    inverse = np.linalg.inv(Sigma)
    log_det = np.linalg.slogdet(Sigma)[1]
    if isinstance(prior, InverseWishart):
        trace = np.einsum("kl,...lk->...", np.array(prior.scale), inverse)
        return np.asarray(-0.5 * (prior.df + q + 1.0) * log_det - 0.5 * trace)
    df, scale = prior.df, np.array(prior.scale)
    diagonal = np.einsum("...kk->...k", inverse)
    mixed = np.log(df * diagonal + scale**-2.0).sum(axis=-1)
    return np.asarray(-0.5 * (df + 2.0 * q) * log_det - 0.5 * (df + q) * mixed)


def sensitivity(post: "Posterior") -> "pandas.DataFrame":
    """Power-scaling sensitivity of every parameter; see `Posterior.sensitivity`."""
    import arviz_base
    import arviz_stats
    import xarray

    rows = next(iter(post.log_likelihood()["log_likelihood"].to_dataset().values()))
    groups = {
        "posterior": post.scalar_draws,
        "log_prior": log_prior(post),
        "log_likelihood": rows.sum("row").to_numpy(),
    }
    tree = xarray.DataTree()
    for group, draws in groups.items():
        dims = {group: ["name"]} if draws.ndim == 3 else {}
        coords = {"name": list(post.names)} if dims else {}
        tree[group] = arviz_base.from_dict({group: {group: draws}}, dims=dims, coords=coords)[group]
    made = arviz_stats.psense_summary(tree, threshold=THRESHOLD, round_to=DIGITS)
    made.index = list(post.names)
    return made
