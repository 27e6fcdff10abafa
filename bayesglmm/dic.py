"""The deviance information criterion, as PROC MCMC computes it, conditional on the effects.

Spiegelhalter, Best, Carlin and van der Linde (2002), Journal of the Royal Statistical Society B 64,
583-639: with the deviance D = -2 log p(y | parameters), effects being parameters too, Dbar its
posterior mean and Dmean the deviance at the posterior means, pD = Dbar - Dmean is the effective
number of parameters and DIC = Dbar + pD. It depends on the parameters in which means are taken:
here coefficients, effects and the dispersion as the tables show it (``sigma``, not its square). pD
can be negative where the posterior is far from normal; `Posterior.loo` has neither fault.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from . import families
from .listing import Listing
from .pointwise import CHUNK_VALUES, linear_predictors

if TYPE_CHECKING:
    from .posterior import Posterior


@dataclass(frozen=True)
class DIC:
    """The deviance information criterion.

    Attributes
    ----------
    dbar : float
        Posterior mean of the deviance, with the terms of data alone.
    dmean : float
        Deviance at the posterior means.
    """

    dbar: float
    dmean: float

    @property
    def pd(self) -> float:
        """Effective number of parameters."""
        return self.dbar - self.dmean

    @property
    def dic(self) -> float:
        """The criterion; smaller is better."""
        return self.dbar + self.pd

    @property
    def listing(self) -> Listing:
        """The table as SAS prints it."""
        columns = {
            "Statistic": ["Dbar", "Dmean", "pD", "DIC"],
            "Description": [
                "Posterior Mean of Deviance",
                "Deviance Evaluated at Posterior Mean",
                "Effective Number of Parameters",
                "Smaller is Better",
            ],
            "Value": np.array([self.dbar, self.dmean, self.pd, self.dic]),
        }
        return Listing("Deviance Information Criterion", columns, {"Value": ".3f"})

    def __str__(self) -> str:
        return str(self.listing)


def dic(post: "Posterior") -> DIC:
    """Compute the criterion of a posterior.

    Raises
    ------
    DataError
        If the draws of effects were not kept.
    """
    dispersion = post.model.family.dispersion
    values = {
        "beta": _mean(post.values["beta"]),
        "u": {
            factor.name: _mean(post.values["u"][factor.name])
            for factor in post.model.design.factors
        },
    }
    if dispersion:
        values[dispersion] = _mean(post.values[dispersion])
    at_mean = deviance(replace(post, values=values))
    return DIC(float(deviance(post).mean()), float(at_mean[0, 0]))


def deviance(post: "Posterior") -> np.ndarray:
    """Return deviances (chains, draws): -2 times the log likelihood given the effects."""
    design, family = post.model.design, post.model.family
    y, w, constant = family.prepare(design.response.y, design.response.known, design.weights)
    phi = post.values[family.dispersion] if family.dispersion else None
    rows = families.bind(family)
    chains, draws = post.values["beta"].shape[:2]
    out = np.empty((chains, draws))
    row, unused = np.empty(len(design.X)), np.empty(0)
    step = max(1, CHUNK_VALUES // max(row.size, 1))
    for chain in range(chains):
        for start in range(0, draws, step):
            predictors = linear_predictors(post, chain, slice(start, start + step))
            for k, eta in enumerate(predictors, start):
                at = 1.0 if phi is None else float(phi[chain, k])
                rows(families.LOGLIK, eta, y, w, at, row, unused, unused, unused)
                out[chain, k] = row.sum()
    return -2.0 * (out + constant)


def _mean(draws: np.ndarray) -> np.ndarray:
    """Mean over chains and draws, as one draw of one chain."""
    total = sum(np.asarray(draws[chain]).mean(axis=0) for chain in range(draws.shape[0]))
    return np.asarray(total / draws.shape[0])[None, None]
