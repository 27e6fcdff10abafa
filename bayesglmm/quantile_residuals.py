"""Randomized quantile residuals: standard normal if the model is right, whatever the family.

With F the distribution function of a response given the parameters, u is uniform between F(y-) and
F(y), and the residual the normal quantile of u (Dunn and Smyth 1996, J. Comput. Graph. Stat. 5,
236). Of a posterior F is averaged over the draws, so that u is a posterior predictive probability.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    from .likelihood_fit import Fit
    from .model import Model
    from .posterior import Posterior

Below = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
LARGEST_MEAN = 1e300  # of counts: an infinite one has no ratio to the size
EDGE = 1e-16  # a probability closer to 0 or 1 than this counts as this far from it


def _functions() -> dict[str, Below]:
    """Distribution functions P(Y <= y) by family, of y, mean, dispersion and trials (or se)."""
    from scipy import special

    def counts(y: np.ndarray, p: np.ndarray, phi: np.ndarray, trials: np.ndarray) -> np.ndarray:
        inside = np.clip(y, 0.0, trials)
        made = special.bdtr(inside, trials.astype(np.int64), p)
        return np.where(y < 0.0, 0.0, np.where(y >= trials, 1.0, made))

    def negative_binomial(
        y: np.ndarray, mu: np.ndarray, size: np.ndarray, _: np.ndarray
    ) -> np.ndarray:
        # Of mu / (size + mu), which keeps its digits where size / (size + mu) rounds to 1.
        mean = np.minimum(mu, LARGEST_MEAN)
        made = special.betaincc(np.maximum(y, 0.0) + 1.0, size, mean / (size + mean))
        return np.where(y < 0.0, 0.0, made)

    return {
        "gaussian": lambda y, mu, phi, _: special.ndtr((y - mu) / phi),
        "gaussian_se": lambda y, mu, _, se: special.ndtr((y - mu) / se),
        "poisson": lambda y, mu, phi, _: np.where(y < 0.0, 0.0, special.pdtr(np.maximum(y, 0), mu)),
        "bernoulli": counts,
        "binomial": counts,
        "negative_binomial": negative_binomial,
        "gamma": lambda y, mu, shape, _: special.gammainc(shape, shape * y / mu),
    }


CONTINUOUS = ("gaussian", "gaussian_se", "gamma")


def of_posterior(post: "Posterior", seed: int = 0) -> np.ndarray:
    """Residuals (n,) of the rows of the data given the effects of their groups.

    Parameters
    ----------
    post : Posterior
    seed : int
        Of the randomization of discrete responses.

    Raises
    ------
    DataError
        For a family whose distribution function is not known here.
    """
    name = post.model.family.dispersion
    phi = post.values[name][..., None] if name else np.ones((1, 1, 1))
    parts = [
        _bounds(post.model, rows, mean, phi, averaged=True)
        for rows, mean in post.predict().blocks()
    ]
    low, high = (np.concatenate(ends) for ends in zip(*parts, strict=True))
    return _normal(low, high, seed)


def of_fit(fit: "Fit", phi: float, seed: int = 0) -> np.ndarray:
    """Residuals (n,) of the rows of the data at the conditional modes; arguments as above."""
    mean = fit.fitted()
    low, high = _bounds(fit.model, slice(None), mean, np.array(phi), averaged=False)
    return _normal(low, high, seed)


def _bounds(
    model: "Model", rows: slice, mean: np.ndarray, phi: np.ndarray, *, averaged: bool
) -> tuple[np.ndarray, np.ndarray]:
    """F(y-) and F(y) of some rows."""
    family, response = model.family, model.design.response
    functions = _functions()
    if family.name not in functions:
        raise DataError(f"the distribution function of family {family.name!r} is not known")
    y = response.y[rows]
    known = np.ones_like(response.y) if response.known is None else response.known
    below = functions[family.name]
    high = below(y, mean, phi, known[rows])
    low = high if family.name in CONTINUOUS else below(y - 1.0, mean, phi, known[rows])
    if averaged:
        low, high = low.mean(axis=(0, 1)), high.mean(axis=(0, 1))
    return low, high


def _normal(low: np.ndarray, high: np.ndarray, seed: int) -> np.ndarray:
    from scipy.special import ndtri

    share = np.random.default_rng(seed).uniform(size=low.size)
    return np.asarray(ndtri(np.clip(low + share * (high - low), EDGE, 1.0 - EDGE)))
