"""A family of a user: the negative binomial of size 1, as one file outside the package."""

import numpy as np

from bayesglmm._simd import exp, log1p
from bayesglmm.families import define


def loglik(y, w, eta, phi):
    """y eta - (y + 1) log(1 + mu): the geometric distribution with mean mu."""
    return w * (y * eta - (y + 1.0) * log1p(exp(eta)))


def score(y, w, eta, phi):
    mu = exp(eta)
    return w * (y - mu) / (1.0 + mu)


def weight(y, w, eta, phi):
    mu = exp(eta)
    return w * mu / (1.0 + mu)


def curvature(y, w, eta, phi):
    mu = exp(eta)
    return w * (y + 1.0) * mu / (1.0 + mu) ** 2


def draw(rng, mu, phi, trials):
    return rng.geometric(1.0 / (1.0 + np.asarray(mu))) - 1


define(
    "geometric", "log", loglik=loglik, score=score, weight=weight, curvature=curvature, draw=draw
)
