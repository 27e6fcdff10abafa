"""Draws of a model's parameters from their priors, on the user's scale."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import priors as p
from .errors import PriorError

if TYPE_CHECKING:
    from .model import Model
    from .prior_defaults import TermPrior

Draw = Callable[[Any, np.random.Generator, int], np.ndarray]

SCALARS: dict[type, Draw] = {
    p.Normal: lambda q, rng, n: rng.normal(q.mean, q.sd, n),
    p.StudentT: lambda q, rng, n: q.mean + q.scale * rng.standard_t(q.df, n),
    p.Cauchy: lambda q, rng, n: q.mean + q.scale * rng.standard_cauchy(n),
    p.Laplace: lambda q, rng, n: rng.laplace(q.mean, q.scale, n),
    p.HalfNormal: lambda q, rng, n: np.abs(rng.normal(0.0, q.sd, n)),
    p.HalfStudentT: lambda q, rng, n: np.abs(q.scale * rng.standard_t(q.df, n)),
    p.HalfCauchy: lambda q, rng, n: np.abs(q.scale * rng.standard_cauchy(n)),
    p.Exponential: lambda q, rng, n: rng.exponential(1.0 / q.rate, n),
    p.Gamma: lambda q, rng, n: rng.gamma(q.shape, 1.0 / q.rate, n),
    p.PC: lambda q, rng, n: rng.exponential(-q.upper / math.log(q.probability), n),
    p.GammaPrecision: lambda q, rng, n: rng.gamma(q.shape, 1.0 / q.rate, n) ** -0.5,
    p.InverseGammaVariance: lambda q, rng, n: (q.scale / rng.gamma(q.shape, 1.0, n)) ** 0.5,
    p.Inverse: lambda q, rng, n: 1.0 / scalar(q.prior, rng, n),
    p.InverseSqrt: lambda q, rng, n: scalar(q.prior, rng, n) ** -2.0,
}


def scalar(prior: Any, rng: np.random.Generator, n: int, name: str = "") -> np.ndarray:
    """Draws (n,) from the prior of one number.

    Raises
    ------
    PriorError
        For a prior that is no distribution.
    """
    if isinstance(prior, p.Uniform) and math.isfinite(prior.high - prior.low):
        return rng.uniform(prior.low, prior.high, n)
    if type(prior) not in SCALARS:
        raise PriorError(
            f"{name or 'a parameter'} ~ {prior} is no distribution, so nothing can be drawn from "
            f'it: give a proper prior, priors={{"{name}": ...}}'
        )
    return np.asarray(SCALARS[type(prior)](prior, rng, n))


def correlations(eta: float, q: int, rng: np.random.Generator, n: int) -> np.ndarray:
    """Correlation matrices (n, q, q) from LKJ(eta).

    By partial correlations of a C-vine, each a Beta on (-1, 1) (Lewandowski, Kurowicka and Joe
    2009, section 2.4); they are angles of the rows of the Cholesky factor.
    """
    L = np.zeros((n, q, q))
    L[:, 0, 0] = 1.0
    for k in range(1, q):
        left = np.ones(n)
        for l in range(k):
            beta = eta + 0.5 * (q - 2 - l)
            partial = 2.0 * rng.beta(beta, beta, n) - 1.0
            L[:, k, l] = partial * np.sqrt(left)
            left *= 1.0 - partial**2
        L[:, k, k] = np.sqrt(left)
    return L @ L.transpose(0, 2, 1)


def covariances(prior: Any, q: int, rng: np.random.Generator, n: int) -> np.ndarray:
    """Covariance matrices (n, q, q) from an inverse-Wishart or Huang and Wand's prior."""
    from scipy.stats import invwishart

    prior = prior.for_size(q, "the term")
    if isinstance(prior, p.InverseWishart):
        drawn = invwishart(prior.df, np.array(prior.scale)).rvs(n, random_state=rng)
        return np.asarray(drawn).reshape(n, q, q)
    # Sigma | a ~ IW(df + q - 1, 2 df diag(1 / a)), a_k ~ InverseGamma(1/2, 1 / scale_k^2)
    a = 1.0 / (np.array(prior.scale) ** 2 * rng.gamma(0.5, 1.0, (n, q)))
    root = np.sqrt(2.0 * prior.df / a)
    unit = np.asarray(invwishart(prior.df + q - 1.0, np.eye(q)).rvs(n, random_state=rng))
    return unit.reshape(n, q, q) * root[:, :, None] * root[:, None, :]


def draw(model: "Model", n: int, seed: int, *, effects: bool = True) -> dict[str, Any]:
    """Draw coefficients, sds, correlations, dispersion and effects from their priors.

    Parameters
    ----------
    model : Model
    n : int
    seed : int
    effects : bool
        Whether effects are drawn; else ``u`` is empty.

    Returns
    -------
    dict
        As `Model.to_user` returns it, of one chain: arrays (1, n, ...).

    Raises
    ------
    PriorError
        For a prior that is no distribution, by the name of its parameter.
    """
    rng = np.random.default_rng(seed)
    design, names = model.design, model.names
    beta = np.stack(
        [
            scalar(prior, rng, n, name)
            for prior, name in zip(model.priors.beta, names.fixed, strict=True)
        ]
        or [np.zeros((0, n))],
        axis=-1,
    ).reshape(n, len(names.fixed))
    if design.has_intercept:
        # Its prior is at the centred predictors.
        beta[:, model.intercept] -= beta @ model.x_center
    sds, cors = [], []
    drawn: dict[str, list[np.ndarray]] = {}
    place = 0
    for term, prior in zip(design.terms, model.priors.terms, strict=True):
        q = len(term.names)
        sigma = _sigma(prior, q, names.sd[place : place + q], rng, n)
        place += q
        sd = np.sqrt(np.einsum("nkk->nk", sigma))
        sds.append(sd)
        if term.correlated:
            R = sigma / (sd[:, :, None] * sd[:, None, :])
            cors += [R[:, k, l] for k in range(q) for l in range(k)]
        if effects:
            factor = design.factors[term.factor]
            noise = rng.standard_normal((n, len(factor.levels), q))
            own = noise @ np.linalg.cholesky(sigma).transpose(0, 2, 1)
            drawn.setdefault(factor.name, []).append(own)
    values: dict[str, Any] = {
        "beta": beta[None],
        "sd": np.concatenate(sds, axis=1)[None] if sds else np.zeros((1, n, 0)),
        "cor": np.stack(cors, axis=-1)[None] if cors else np.zeros((1, n, 0)),
        "u": {name: np.concatenate(parts, axis=-1)[None] for name, parts in drawn.items()},
    }
    for name in names.dispersion:
        values[name] = scalar(model.priors.dispersion, rng, n, name)[None]
    return values


def _sigma(
    prior: "TermPrior", q: int, names: tuple[str, ...], rng: np.random.Generator, n: int
) -> np.ndarray:
    if prior.sigma is not None:
        return covariances(prior.sigma, q, rng, n)
    pairs = zip(prior.sd, names, strict=True)
    sd = np.stack([scalar(one, rng, n, name) for one, name in pairs], axis=-1)
    R = np.broadcast_to(np.eye(q), (n, q, q))
    if prior.cor is not None and q > 1:
        R = correlations(prior.cor.eta, q, rng, n)
    return np.asarray(sd[:, :, None] * R * sd[:, None, :])
