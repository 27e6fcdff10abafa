"""Log likelihood of every row and draw, given the effects, with the terms of data alone."""

from typing import TYPE_CHECKING

import numpy as np

from . import families

if TYPE_CHECKING:
    from .posterior import Posterior

CHUNK_VALUES = 4_000_000  # linear predictors held at once (32 MB)


def log_likelihood(post: "Posterior") -> np.ndarray:
    """Return log likelihoods (chains, draws, n) of a posterior.

    A row of weight 3 counts three times, one of weight 0 is zero; summed over rows this is what R's
    ``logLik`` is of, conditional on the effects.
    """
    design, family = post.model.design, post.model.family
    response = design.response
    y, w, _ = family.prepare(response.y, response.known, design.weights)
    constant = constants(post)
    phi = post.values[family.dispersion] if family.dispersion else None
    rows = families.bind(family)
    n = len(constant)
    out = np.empty((post.chains, post.draws, n))
    row_out = np.empty(n)
    unused = np.empty(0)
    step = max(1, CHUNK_VALUES // max(n, 1))
    for chain in range(post.chains):
        for start in range(0, post.draws, step):
            predictors = linear_predictors(post, chain, slice(start, start + step))
            for k, eta in enumerate(predictors, start):
                at = 1.0 if phi is None else float(phi[chain, k])
                rows(families.LOGLIK, eta, y, w, at, row_out, unused, unused, unused)
                out[chain, k] = row_out
    return out + constant


def linear_predictors(post: "Posterior", chain: int, draws: slice) -> np.ndarray:
    """Return linear predictors (draws, n) of some draws of a chain."""
    design, values = post.model.design, post.values
    eta = values["beta"][chain, draws] @ design.X.T + design.offset
    column = dict.fromkeys(range(len(design.factors)), 0)
    for term in design.terms:
        factor = design.factors[term.factor]
        effects = values["u"][factor.name][chain, draws]
        for k in range(term.z.shape[1]):
            eta += effects[:, factor.index, column[term.factor]] * term.z[:, k]
            column[term.factor] += 1
    return np.ascontiguousarray(eta)


def constants(post: "Posterior") -> np.ndarray:
    """Return the terms of data alone, row by row; families give their sum over the rows."""
    design, family = post.model.design, post.model.family
    y, known = design.response.y, design.response.known
    return np.array(
        [
            family.prepare(
                y[i : i + 1],
                None if known is None else known[i : i + 1],
                design.weights[i : i + 1],
            )[2]
            for i in range(len(y))
        ]
    )
