"""Gradients of the log density against central differences: every family, link and kind of prior.

Models are small and simulated; positions are drawn about the fit, in the coordinates in which the
samplers move, so that the derivatives of the whitening are covered as well.

Run as ``python -m diagnostics.gradients``; ends with code 1 if an error is not below 1e-6.
"""

import math
import sys
from collections.abc import Iterator

import numpy as np

import bayesglmm as bg
from bayesglmm import sampling
from bayesglmm._jit import pointer
from bayesglmm.model import Model
from bayesglmm.programs import HamiltonianTarget

from .report import Report, parser

MAX_ERROR = 1e-6  # relative to the larger of 1 and the element
STEP = 3e-4  # differences of fourth order: both errors are below 1e-9
POSITIONS, TRIES = 3, 50
SPREAD = 0.5  # of the positions, in posterior sds
GROUPS, OTHERS, ROWS = 8, 5, 10

LINKS = {
    "gaussian": ("identity", "log"),
    "bernoulli": ("logit", "probit", "cloglog"),
    "binomial": ("logit", "probit", "cloglog"),
    "poisson": ("log", "identity", "sqrt"),
    "negative_binomial": ("log", "identity", "sqrt"),
    "gamma": ("log", "inverse", "identity"),
}
SHAPES = {"negative_binomial": "size", "gamma": "shape"}
BETA = (
    bg.Flat(),
    bg.Normal(0.3, 2),
    bg.StudentT(4, 0.1, 2),
    bg.Cauchy(0, 2),
    bg.Laplace(0.4, 1.5),
)
SD = (
    bg.HalfNormal(1.5),
    bg.HalfStudentT(3, 2.5),
    bg.HalfCauchy(1),
    bg.Uniform(0, 50),
    bg.Exponential(0.7),
    bg.PC(2, 0.05),
    bg.GammaPrecision(2, 1.5),
    bg.InverseGammaVariance(2, 1.5),
    bg.Gamma(2, 1.5),
)
SHAPE = (
    bg.HalfNormal(1.5),
    bg.Gamma(2, 0.4),
    bg.Inverse(bg.Exponential(0.7)),
    bg.InverseSqrt(bg.HalfStudentT(3, 1)),
)
SIGMA = {
    "lkj": {"sd": bg.HalfStudentT(3, 2.5), "cor": bg.LKJ(2.5)},
    "inverse-Wishart": {"g": bg.InverseWishart(5, [[1.0, 0.2], [0.2, 0.8]])},
    "Huang-Wand": {"g": bg.HuangWand(1.5)},
}
TERMS = ("(1 | g)", "(x | g)", "(x || g)", "(1 | g) + (1 | h)", "(x | g) + (1 | g:h)")


def frame(family: str) -> dict[str, np.ndarray]:
    """Rows of two crossed factors, with a response that every link of the family can have."""
    rng = np.random.default_rng(40)
    n = GROUPS * ROWS
    x, g, h = rng.normal(size=n), np.repeat(np.arange(GROUPS), ROWS), rng.integers(OTHERS, size=n)
    eta = 0.2 * x + 0.3 * rng.normal(size=GROUPS)[g]
    size = rng.integers(2, 9, size=n)
    y = {
        "gaussian": 3.0 + eta + 0.4 * rng.normal(size=n),
        "bernoulli": rng.random(n) < 0.5 + 0.2 * np.tanh(eta),
        "binomial": rng.binomial(size, 0.5 + 0.2 * np.tanh(eta)),
        "poisson": rng.poisson(6.0 + eta),
        "negative_binomial": rng.negative_binomial(20.0, 20.0 / (45.0 + eta)),
        "gamma": rng.gamma(4.0, (1.0 + 0.2 * np.tanh(eta)) / 4.0),
    }[family]
    weight = rng.integers(1, 4, size=n).astype(float)
    exposure = rng.normal(size=n) * 0.1
    return {"y": y * 1.0, "x": x, "g": g, "h": h, "size": size, "w": weight, "off": exposure}


def build(family: str, link: str, terms: str, priors: dict) -> Model:
    """A model with weights and an offset."""
    response = "y | trials(size)" if family == "binomial" else "y"
    formula = f"{response} ~ x + offset(off) + {terms}"
    return bg.glmm(formula, frame(family), family, link=link, priors=priors, weights="w")


def models() -> Iterator[tuple[str, Model]]:
    """Label and model of each case: all links by all terms, then every prior in its turn."""
    for family, links in LINKS.items():
        for link in links:
            for terms in TERMS:
                yield f"{family} {link} {terms}", build(family, link, terms, {})
    for family in LINKS:
        link = LINKS[family][0]
        for prior in BETA:
            yield f"{family}, b {prior}", build(family, link, "(1 | g)", {"b": prior})
        for prior in SD:
            priors = {"sd": prior} | ({"sigma": prior} if family == "gaussian" else {})
            yield f"{family}, sd {prior}", build(family, link, "(x | g)", priors)
        for prior in SHAPE if family in SHAPES else ():
            name = SHAPES[family]
            yield f"{family}, {name} {prior}", build(family, link, "(1 | g)", {name: prior})
        for name, priors in SIGMA.items():
            yield f"{family}, {name}", build(family, link, "(x | g)", priors)


def worst_error(model: Model) -> float:
    """Largest relative error of the gradient at some positions; infinite if there are none."""
    map, _ = sampling.start(model, "nuts")
    target = HamiltonianTarget(model, map, None)
    rows, gradient = pointer(target.rows), np.empty(target.dim + target.effects)
    spare, rng = np.empty_like(gradient), np.random.default_rng(41)

    def value(position: np.ndarray) -> float:
        return target.logdensity(rows, target.data, target.map, position, spare)

    errors: list[float] = []
    for _ in range(TRIES):
        position = SPREAD * rng.normal(size=gradient.size)
        centre = target.logdensity(rows, target.data, target.map, position, gradient)
        if not math.isfinite(centre):
            continue  # outside the link's domain
        differences = np.array([_difference(value, position, k) for k in range(position.size)])
        relative = np.abs(gradient - differences) / np.maximum(1.0, np.abs(gradient))
        errors.append(float(relative.max()))
        if len(errors) == POSITIONS:
            break
    return max(errors, default=math.inf)


def _difference(value, position: np.ndarray, k: int) -> float:
    """Central difference of fourth order in coordinate k."""
    at = []
    for steps in (-2, -1, 1, 2):
        moved = position.copy()
        moved[k] += steps * STEP
        at.append(value(moved))
    return (at[0] - 8.0 * at[1] + 8.0 * at[2] - at[3]) / (12.0 * STEP)


def main() -> int:
    arguments = parser(__doc__).parse_args()
    report = Report("gradients", not arguments.no_save)
    errors = {label: worst_error(model) for label, model in models()}
    report.table(
        ("model", "largest relative error"),
        [(label, f"{error:.1e}") for label, error in errors.items()],
    )
    good = max(errors.values()) < MAX_ERROR
    report(f"{len(errors)} models: {'all' if good else 'NOT ALL'} below {MAX_ERROR:g}")
    report.save()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
