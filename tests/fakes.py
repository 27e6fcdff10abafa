"""A posterior of known content, without formula, data frame or sampler."""

from types import SimpleNamespace

import numpy as np

from bayesglmm import families
from bayesglmm.design import Response
from bayesglmm.posterior import Posterior, Run

CHAINS, DRAWS, ROWS, LEVELS = 4, 500, 12, 3
MEANS = np.array([1.0, -0.5])
SDS = np.array([0.2, 0.1])


def model(family: str = "poisson") -> SimpleNamespace:
    """Return y ~ x + (x|school/class) in all but the nesting: what a posterior asks of a model."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS)
    index = np.arange(ROWS, dtype=np.int32) % LEVELS
    trials = np.full(ROWS, 9.0) if family == "binomial" else None
    z = np.column_stack([np.ones(ROWS), x])
    design = SimpleNamespace(
        formula="y ~ x + (x|a/b)",
        response=Response("y", rng.integers(0, 9, ROWS).astype(float), trials, None),
        X=z.copy(),
        columns=("Intercept", "x"),
        factors=(SimpleNamespace(name="a/b", index=index, levels=("007", "8", "ä")),),
        terms=(SimpleNamespace(factor=0, names=("Intercept", "x"), z=z),),
        offset=np.full(ROWS, 0.3),
        weights=np.where(np.arange(ROWS) == 1, 0.0, 1.0 + (np.arange(ROWS) == 2)),
        rows=np.arange(ROWS) * 2,
    )
    chosen = families.get(family)
    names = SimpleNamespace(
        fixed=("Intercept", "x"),
        sd=("sd(Intercept|a/b)", "sd(x|a/b)"),
        cor=("cor(Intercept,x|a/b)",),
        dispersion=(chosen.dispersion,) if chosen.dispersion else (),
        inverse=(),
    )
    return SimpleNamespace(
        design=design,
        family=chosen,
        names=names,
        to_user=to_user,
        describe=lambda: {"Data": ["rows used: 12 of 24"], "Priors": ["b ~ Normal(0, 2.5)"]},
    )


def to_user(theta: np.ndarray, u: np.ndarray) -> dict:
    """Return theta = (beta, log sds, atanh cor, log sigma) and u on the user's scale."""
    values = {
        "beta": theta[..., :2],
        "sd": np.exp(theta[..., 2:4]),
        "cor": np.tanh(theta[..., 4:5]),
        "u": {"a/b": u.reshape(*u.shape[:-1], LEVELS, 2)},
    }
    if theta.shape[-1] > 5:
        values["sigma"] = np.exp(theta[..., 5])
    return values


def draws(size: int, seed: int = 1, shift: float = 0.0) -> SimpleNamespace:
    """Return independent draws of `size` parameters; chain 0 shifted by `shift` sds."""
    rng = np.random.default_rng(seed)
    theta = 0.1 * rng.normal(size=(CHAINS, DRAWS, size))
    theta[..., :2] = MEANS + SDS * rng.normal(size=(CHAINS, DRAWS, 2))
    theta[0, :, 0] += shift * SDS[0]
    stats = {
        "accept": rng.uniform(0.7, 0.9, size=(CHAINS, DRAWS)),
        "divergent": np.zeros((CHAINS, DRAWS)),
    }
    return SimpleNamespace(
        theta=theta,
        u=rng.normal(size=(CHAINS, DRAWS, 2 * LEVELS)),
        stats=stats,
        seed=1,
        warmup=200,
        thin=1,
        seconds={"warmup": 0.5, "sampling": 1.5},
        interrupted=False,
    )


def posterior(family: str = "poisson", **options) -> Posterior:
    """Return a posterior of known draws."""
    size = 6 if family == "gaussian" else 5
    return Posterior.from_draws(
        model(family), draws(size, **options), sampler="nuts", reason="asked for"
    )


__all__ = ["MEANS", "SDS", "Run", "draws", "model", "posterior", "to_user"]
