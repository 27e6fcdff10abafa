"""Two models with few groups and their exact posteriors, by importance sampling without MCMC.

The upper tail of the sd is where a proposal of fixed shape is wrong and R-hat is 1.
"""

import json
import math

import numpy as np
from references import DATA, csv, moments

import bayesglmm as bg
from bayesglmm.diagnostics.ess import ess_mean

MODELS = {
    "poisson_5_groups": ("y ~ x1 + (1|g)", "poisson"),
    "cbpp_6_herds": ("y | trials(m) ~ x1 + x2 + x3 + (1|g)", "binomial"),
}
PROBABILITIES = ("0.25", "0.5", "0.75", "0.95", "0.99")
LARGEST_Z = 4.0
SMALLEST_ESS = 4000


def exact(name: str) -> dict:
    return json.loads((DATA / "few_groups" / f"{name}.json").read_text())


def model(name: str):
    formula, family = MODELS[name]
    priors = {
        "Intercept": bg.Normal(0, 10),
        "b": bg.Normal(0, 10),
        "sd": bg.HalfStudentT(3, 2.5),
    }
    return bg.glmm(formula, csv(f"few_groups/{name}"), family, priors=priors, center=False)


def quantile_deviations(sd: np.ndarray, known: dict) -> dict[str, float]:
    """z of the share of draws (chains, draws) below each exact quantile.

    Both sides are shares of effective numbers of draws, so their errors are binomial.
    """
    z = {}
    for text in PROBABILITIES:
        p = float(text)
        below = (sd < known["sd_quantiles"][text]).astype(float)
        ess = float(ess_mean(below[..., None])[0])
        z[text] = (below.mean() - p) / math.sqrt(p * (1.0 - p) * (1.0 / ess + 1.0 / known["ess"]))
    return z


def coefficient_deviations(beta: np.ndarray, known: dict) -> list[float]:
    """z of the means and of the sds of coefficients; beta (chains, draws, p)."""
    z = []
    for k, (mean, sd) in enumerate(zip(known["beta_mean"], known["beta_sd"], strict=True)):
        own = moments(beta[..., k])
        z.append((own.mean - mean) / math.hypot(own.mcse, sd / math.sqrt(known["ess"])))
        # The mean of the squared deviations from the exact mean, against the exact variance.
        squares = (beta[..., k] - mean) ** 2
        ess = float(ess_mean(squares[..., None])[0])
        error = math.sqrt(squares.var() * (1.0 / ess + 1.0 / known["ess"]))
        z.append((squares.mean() - sd * sd) / error)
    return z
