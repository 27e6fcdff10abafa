"""Derived numbers against an independent computation, in awkward settings.

Predictions, likelihoods, criteria, residuals, averages over groups, shares of variance and
contrasts of short runs, each computed again from the draws and the data frame by `independent`.
The settings: weights with zeros, offsets, trials, known standard errors, nested and crossed
factors, slopes with and without correlations and intercepts, factors with interactions and levels
in another order, poly(), bs(), scale(), effects of single rows, all families and links; 10 groups
of 1 to 16 rows in random order.

Run as ``python -m diagnostics.derived_numbers``; ends with code 1 if a number is off.
"""

import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

import bayesglmm as bg
from bayesglmm.information import group_log_likelihood

from . import independent, report

BOUND = 1e-8  # of a relative difference, absolute below 1
SIZES = (1, 2, 3, 5, 7, 9, 12, 1, 4, 16)
IDS = (10, 9, 100, 3, 7, 22, 5, 1, 2, 8)
SOME = ((0, 3, 0), (1, 17, 5), (0, 30, 11), (1, 39, 40))  # chain, draw, row: where sums are slow
LATENT = {"logit": np.pi**2 / 3.0, "probit": 1.0, "cloglog": np.pi**2 / 6.0}

# formula, family, link, whether weights, linear predictor of the simulated data
SETTINGS: dict[str, tuple[str, str, str, bool, Any]] = {
    "slope, offset, weights": (
        *("y ~ x * f + offset(log(t)) + (x | g)", "poisson", "log", True),
        lambda d: 0.3 + 0.1 * d.x + np.log(d.t),
    ),
    "row effects": (
        *("y ~ x + (1 | g) + (1 | row)", "poisson", "log", False),
        lambda d: 0.8 + 0.1 * d.x,
    ),
    "sqrt": ("y ~ x + f + (1 | g)", "poisson", "sqrt", False, lambda d: 2.5 + 0.1 * d.x),
    "identity counts": ("y ~ z + (1 | g)", "poisson", "identity", False, lambda d: 9 + d.z),
    "nested and crossed, probit": (
        *("y | trials(m) ~ x + factor(k) + (1 | g/h) + (0 + x | c)", "binomial", "probit", False),
        lambda d: -0.5 + 0.2 * d.x,
    ),
    "double bar, logit": (
        *("y | trials(m) ~ x:f + z + (x || c)", "binomial", "logit", False),
        lambda d: -0.5 + 0.2 * d.x,
    ),
    "text, cloglog, poly": (
        *("y ~ poly(x, 2) + f + (1 | g)", "bernoulli", "cloglog", False),
        lambda d: -0.3 + 0.2 * d.x,
    ),
    "slopes of a factor": (
        *("y ~ f + x + (f | c)", "bernoulli", "logit", False),
        lambda d: -0.3 + 0.2 * d.x,
    ),
    "poly, scale, weights": (
        *("y ~ poly(x, 2) + scale(z) + (x || g)", "gaussian", "identity", True),
        lambda d: 3 + 0.5 * d.x,
    ),
    "three factors, levels reordered": (
        *("y ~ log(z) * f + (1 | g) + (z | c) + (1 | k)", "gaussian", "identity", False),
        lambda d: 3 + 0.5 * d.x,
    ),
    "log link": ("y ~ x + (1 | g)", "gaussian", "log", False, lambda d: 1.5 + 0.1 * d.x),
    "known errors": (
        *("y | se(s) ~ x + (1 | g)", "gaussian", "identity", False),
        lambda d: 1.5 + 0.5 * d.x,
    ),
    "splines, offset": (
        *("y ~ bs(x, df = 4) + offset(log(t)) + (1 | g)", "negative_binomial", "log", False),
        lambda d: 1.5 + 0.1 * d.x + np.log(d.t),
    ),
    "gamma, weights": (
        *("y ~ x + I(x^2) + (1 | g)", "gamma", "log", True),
        lambda d: 1 + 0.1 * d.x,
    ),
    "gamma, inverse": ("y ~ z + (1 | g)", "gamma", "inverse", False, lambda d: 1 + 0.3 * d.z),
    "gamma, identity": ("y ~ z + (1 | g)", "gamma", "identity", False, lambda d: 5 + 2 * d.z),
    "no groups": ("y ~ x * f", "poisson", "log", False, lambda d: 0.5 + 0.2 * d.x),
    "no intercepts": (
        *("y ~ 0 + f + x + (0 + f | g)", "gaussian", "identity", False),
        lambda d: 0.5 + 0.2 * d.x,
    ),
}


def simulated(formula: str, family: str, link: str, eta: Any) -> pd.DataFrame:
    """Data of a setting."""
    rng = np.random.default_rng(3)
    g = np.repeat(IDS, SIZES)
    n = len(g)
    data = pd.DataFrame(
        {
            "g": g,
            "h": rng.integers(1, 4, n),
            "c": rng.choice(["k1", "k2", "k3", "k10"], n),
            "f": rng.choice(["lo", "mid", "hi"], n),
            "k": rng.integers(1, 4, n),
            "x": rng.normal(2, 1.5, n),
            "z": rng.uniform(0.5, 4, n),
            "t": rng.uniform(0.5, 5, n),
            "m": rng.integers(1, 15, n),
            "w": rng.integers(0, 4, n).astype(float),
            "s": rng.uniform(0.2, 1, n),
        }
    )
    data = data.iloc[rng.permutation(n)].reset_index(drop=True)
    data["row"] = np.arange(n) + 1
    spread = 0.1 if link in ("sqrt", "inverse") else 0.3
    u = dict(zip(IDS, rng.normal(0, spread, len(IDS)), strict=True))
    mean = independent.INVERSE[link]((eta(data) + data.g.map(u)).to_numpy())
    data["y"] = {
        "poisson": lambda: rng.poisson(mean),
        "binomial": lambda: rng.binomial(data.m, mean),
        "bernoulli": lambda: np.where(rng.uniform(size=n) < mean, "yes", "no"),
        "gaussian": lambda: rng.normal(mean, data.s if "se(" in formula else 0.6),
        "negative_binomial": lambda: rng.negative_binomial(3, 3 / (3 + mean)),
        "gamma": lambda: rng.gamma(4, mean / 4),
    }[family]()
    data["f"] = pd.Categorical(data.f, ["mid", "lo", "hi"]) if "log(z)" in formula else data.f
    return data


@dataclass(frozen=True)
class Setting:
    """One setting: its posterior and what is known of its rows."""

    post: bg.Posterior
    data: pd.DataFrame
    family: str
    link: str
    weighted: bool

    @cached_property
    def offset(self) -> np.ndarray:
        """Offset of the rows."""
        there = "offset" in self.post.model.design.formula
        return np.log(self.data.t.to_numpy()) if there else np.zeros(len(self.data))

    @cached_property
    def eta(self) -> np.ndarray:
        """Linear predictors given the effects."""
        return independent.linear(self.post, self.data, self.data, True) + self.offset

    @cached_property
    def fixed(self) -> np.ndarray:
        """Linear predictors at effects of 0."""
        return independent.linear(self.post, self.data, self.data, False) + self.offset

    @cached_property
    def v(self) -> np.ndarray:
        """Variance of the linear predictors over groups."""
        return independent.variance(self.post, self.data, self.data)

    @property
    def y(self) -> np.ndarray:
        """Responses as numbers."""
        text = self.family == "bernoulli"
        return (self.data.y == "yes" if text else self.data.y).to_numpy(float)

    @property
    def w(self) -> np.ndarray:
        """Weights of the rows."""
        return self.data.w.to_numpy() if self.weighted else np.ones(len(self.data))

    @property
    def trials(self) -> np.ndarray:
        """Numbers of trials."""
        return self.data.m.to_numpy(float) if self.family == "binomial" else np.ones(len(self.data))

    @property
    def phi(self) -> np.ndarray:
        """Dispersion, (chains, draws, 1)."""
        name = self.post.model.family.dispersion
        return self.post.values[name][..., None] if name else np.ones((2, self.post.draws, 1))

    @property
    def se(self) -> np.ndarray | None:
        """Known standard errors."""
        return self.data.s.to_numpy() if "se(" in self.post.model.design.formula else None

    def logs(self, eta: np.ndarray, phi: Any) -> np.ndarray:
        """Log likelihoods of the rows."""
        mean = independent.INVERSE[self.link](eta)
        found = independent.log_density(self.family, self.y, mean, phi, self.trials, self.se)
        return np.where(self.w > 0, found * self.w, 0.0)


def differences(s: Setting) -> Iterator[tuple[str, float]]:
    """Name of each quantity and its largest difference."""
    post, inverse = s.post, independent.INVERSE[s.link]
    yield "linear predictors", off(post.predict(scale="link").draws, s.eta)
    yield "means", off(post.predict().draws, inverse(s.eta))
    some = np.random.default_rng(0).permutation(len(s.data))[:23]
    rows = s.data.iloc[some]
    yield "new rows, permuted", off(post.predict(rows, scale="link").draws, s.eta[..., some])
    at_0 = post.predict(rows.drop(columns="y"), scale="link", effects="population").draws
    yield "at effects of 0", off(at_0, s.fixed[..., some])
    logs = s.logs(s.eta, s.phi)
    made = next(iter(post.log_likelihood()["log_likelihood"].to_dataset().values()))
    yield "log likelihood by row", off(made.to_numpy(), logs)
    flat = logs.reshape(-1, logs.shape[-1])
    elpd = special.logsumexp(flat, axis=0) - np.log(len(flat)) - flat.var(axis=0, ddof=1)
    yield "WAIC", off(post.waic().elpd, elpd.sum())
    dic, phi = post.dic(), s.phi.mean()
    yield "DIC", off([dic.dbar], -2.0 * logs.sum(axis=-1).mean())
    yield "DIC", off([dic.dmean], -2.0 * s.logs(s.eta.mean(axis=(0, 1)), phi).sum())
    yield "quantile residuals", _residuals(s)
    if s.link != "inverse":
        yield from _averages(s)
    try:
        yield from _shares(s)
    except bg.DataError:
        pass  # said to have no variance on the scale of the link
    beta = post.values["beta"]
    names = post.model.names.fixed
    expected = (2.0 * beta[..., 0] - beta[..., -1]).ravel()
    shown = post.contrasts({"a": {names[0]: 2.0, names[-1]: -1.0}}).frame().iloc[0]
    limits = np.quantile(expected, [0.025, 0.975])
    own = [expected.mean(), expected.std(ddof=1), *limits, (expected > 0).mean()]
    yield "contrasts", off(shown[["mean", "sd", "2.5%", "97.5%", "P(>0)"]].to_numpy(float), own)
    if post.model.names.sd == ("sd(Intercept|g)",):
        yield "log likelihood by group", _groups(s)
    with tempfile.TemporaryDirectory() as folder:
        post.save(Path(folder, "fit.nc"))
        again = bg.load(Path(folder, "fit.nc"))
    for of in (
        lambda p: p.summary(u=True),
        lambda p: p.predict(rows).draws,
        lambda p: p.residuals(),
    ):
        yield "saved and loaded", off(of(again), of(post))


def _residuals(s: Setting) -> float:
    """How far Phi(residual) lies outside of F(y-) and F(y)."""
    made = special.ndtr(s.post.residuals())
    mean = independent.INVERSE[s.link](s.eta)
    of = independent.distribution(s.family, mean, s.phi, s.trials, s.se)
    high = of.cdf(s.y).mean(axis=(0, 1))
    discrete = s.family not in ("gaussian", "gamma")
    low = of.cdf(s.y - 1.0).mean(axis=(0, 1)) if discrete else high
    return float(np.maximum(np.maximum(low - made, made - high), 0.0).max())


def _averages(s: Setting) -> Iterator[tuple[str, float]]:
    post = s.post
    means, spreads = post.marginal_means().draws, None
    if s.se is None:
        spreads = post.marginal_means(kind="variance").draws
    marginal = post.predict(effects="marginal").draws
    for at in SOME:
        mean, square = (independent.over_groups(s.link, s.fixed[at], s.v[at], k) for k in (1, 2))
        yield "marginal means", off([means[at], marginal[at]], mean)
        if spreads is not None:
            phi, trials = s.phi[at[0], at[1], 0], s.trials[at[2]]
            within = {
                "gaussian": phi**2,
                "poisson": mean,
                "bernoulli": mean - square,
                "binomial": (mean - square) / trials,
                "negative_binomial": mean + square / phi,
                "gamma": square / phi,
            }[s.family]
            yield "marginal variances", off([spreads[at]], within + square - mean**2)
    X = np.stack([independent.column(n, s.data, s.data) for n in post.model.names.fixed], axis=1)
    root = np.sqrt(s.w * s.trials)
    made = post.marginal().quantities.draws
    for c, k in ((0, 5), (1, 20)):
        pairs = zip(s.fixed[c, k], s.v[c, k], strict=True)
        mean = np.array([independent.over_groups(s.link, *pair) for pair in pairs])
        linked = root * (independent.LINK[s.link](mean) - s.offset)
        own = np.linalg.lstsq(root[:, None] * X, linked, rcond=None)[0]
        yield "marginal coefficients", off(made[c, k], own)


def _shares(s: Setting) -> Iterator[tuple[str, float]]:
    r2 = s.post.r2().draws
    share = s.w * s.trials / np.sum(s.w * s.trials)
    eta = s.fixed - s.offset
    fixed = ((eta - (eta @ share)[..., None]) ** 2) @ share
    groups, phi = s.v @ share, s.phi[..., 0]
    if s.family in ("bernoulli", "binomial"):
        own = LATENT[s.link]
    elif s.family == "gaussian":
        own = phi**2
    elif s.family == "gamma":
        own = np.log1p(1.0 / phi)
    elif s.link == "sqrt":
        own = 0.25
    else:
        size = 1.0 / phi if s.family == "negative_binomial" else 0.0
        own = np.log1p(1.0 / (np.exp(s.fixed + 0.5 * s.v) @ share) + size)
    total = fixed + groups + own
    yield "R2", off(r2, np.stack([fixed / total, (fixed + groups) / total], axis=-1))
    if s.post.model.names.sd:
        yield "ICC", off(s.post.icc().draws.sum(axis=-1), groups / (groups + own))


def _groups(s: Setting) -> float:
    made, worst = group_log_likelihood(s.post), 0.0
    for c, k, _ in SOME:
        sd = s.post.values["sd"][c, k, 0]
        u = np.linspace(-9.0, 9.0, 20_001) * sd
        for j, name in enumerate(s.post.model.design.factors[0].levels):
            rows = np.flatnonzero((s.data.g.map(independent.level) == name).to_numpy())
            total = -0.5 * (u / sd) ** 2 - 0.5 * np.log(2 * np.pi) - np.log(sd)
            for i in rows[s.w[rows] > 0]:
                mean = independent.INVERSE[s.link](s.fixed[c, k, i] + u)
                if s.family in ("poisson", "gamma", "negative_binomial"):
                    mean = np.where(mean > 0, mean, np.nan)
                se = None if s.se is None else s.se[i]
                given = mean, s.phi[c, k, 0], s.trials[i], se
                total = total + s.w[i] * independent.log_density(s.family, s.y[i], *given)
            total = np.where(np.isfinite(total), total, -np.inf)
            worst = max(worst, off(made[c, k, j], special.logsumexp(total) + np.log(u[1] - u[0])))
    return worst


def off(made: Any, expected: Any) -> float:
    """The largest difference, relative where the expected is above 1."""
    made, expected = np.asarray(made, dtype=float), np.asarray(expected, dtype=float)
    return float(np.max(np.abs(made - expected) / np.maximum(1.0, np.abs(expected))))


# Gauss-Hermite quadrature at a group's own moments is no closer for one 0/1 answer.
LOOSER = {"log likelihood by group": 2e-5}


def setting(name: str) -> Setting:
    """Sample a setting, briefly: the draws need not be good to be computed with."""
    formula, family, link, weighted, eta = SETTINGS[name]
    data = simulated(formula, family, link, eta)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = "w" if weighted else None
        model = bg.glmm(formula, data, family=family, link=link, weights=weights)
        post = model.sample(draws=40, warmup=150, chains=2, seed=2, progress=False)
    return Setting(post, data, family, link, weighted)


def main() -> int:
    """Compare all quantities in all settings; a table and the largest differences."""
    arguments = report.parser(__doc__).parse_args()
    say = report.Report("derived_numbers", not arguments.no_save)
    found: dict[str, list[tuple[float, str]]] = {}
    for name in SETTINGS:
        of = setting(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bg.DataWarning)
            for quantity, size in differences(of):
                found.setdefault(quantity, []).append((size, name))
    bad = []
    rows = []
    for quantity, sizes in found.items():
        worst, where = max(sizes)
        bad += [quantity] * (not worst < LOOSER.get(quantity, BOUND))
        settings = len({name for _, name in sizes})
        rows.append((quantity, str(settings), f"{worst:.1e}", where))
    say.table(("quantity", "settings", "largest difference", "in"), rows)
    say(f"off: {', '.join(bad)}" if bad else "all within their bounds")
    say.save()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
