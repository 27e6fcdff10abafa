"""What a model says, computed again from the rows of its tables and the data frame alone.

Nothing of the package's design is used: columns are made of their names (``x:f[lo]``,
``poly(x, 2)[1]``), densities are scipy's, averages over groups are sums over a fine grid.
"""

import re
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats
from scipy.interpolate import BSpline

INVERSE: dict[str, Any] = {
    "identity": lambda eta: eta,
    "log": np.exp,
    "logit": special.expit,
    "probit": special.ndtr,
    "cloglog": lambda eta: -np.expm1(-np.exp(eta)),
    "sqrt": np.square,
    "inverse": lambda eta: 1.0 / eta,
}
LINK: dict[str, Any] = {
    "identity": lambda mu: mu,
    "log": np.log,
    "logit": special.logit,
    "probit": special.ndtri,
    "cloglog": lambda mu: np.log(-np.log1p(-mu)),
    "sqrt": np.sqrt,
}
GRID = np.linspace(-13.0, 13.0, 4001)  # standard deviations
_PARTS = re.compile(r":(?![^(\[]*[)\]])")  # colons outside of brackets
_LEVEL = re.compile(r"(.+?)\[(.+)\]")


def level(value: Any) -> str:
    """A level as the tables spell it."""
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)


def _poly(x: np.ndarray, degree: int, known: np.ndarray) -> np.ndarray:
    """R's poly(): powers of the centred predictor, orthonormal over the data."""
    R = np.linalg.qr(np.vander(known - known.mean(), degree + 1, increasing=True))[1]
    powers = np.vander(x - known.mean(), degree + 1, increasing=True)
    return np.asarray((np.linalg.solve(R.T, powers.T).T * np.sign(np.diag(R)))[:, 1:])


def _bs(x: np.ndarray, df: int, known: np.ndarray) -> np.ndarray:
    """R's bs(): cubic B-splines, knots at quantiles, the first left out."""
    inner = np.quantile(known, np.linspace(0, 1, df - 1)[1:-1])
    knots = np.r_[[known.min()] * 4, inner, [known.max()] * 4]
    return np.asarray(BSpline.design_matrix(x, knots, 3).toarray()[:, 1:])


def column(name: str, data: pd.DataFrame, known: pd.DataFrame) -> np.ndarray:
    """A column of X or z by the name of its row, of data like those `known` to the model."""
    made = np.ones(len(data))
    for part in _PARTS.split(name) if name != "Intercept" else []:
        place = _LEVEL.fullmatch(part)
        call = re.fullmatch(r"(\w+)\((\w+)(?:, (?:df = )?(\d))?\)", place[1] if place else part)
        x = data[call[2] if call else place[1] if place else part] if part[:2] != "I(" else None
        if place and call and call[1] in ("poly", "bs"):
            basis = {"poly": _poly, "bs": _bs}[call[1]]
            values = basis(x.to_numpy(float), int(call[3]), known[call[2]].to_numpy(float))
            made = made * values[:, int(place[2]) - 1]
        elif place:
            made = made * (x.map(level) == place[2]).to_numpy(float)
        elif part == "I(x^2)":
            made = made * data["x"].to_numpy(float) ** 2
        elif call and call[1] == "scale":
            made = made * ((x - known[call[2]].mean()) / known[call[2]].std(ddof=1)).to_numpy()
        elif call and call[1] == "log":
            made = made * np.log(x.to_numpy(float))
        else:
            made = made * x.to_numpy(float)
    return made


def _row(name: str, kind: str) -> tuple[str, str]:
    inner, group = name.removeprefix(f"{kind}(").removesuffix(")").rsplit("|", 1)
    return inner, group


def linear(post: Any, data: pd.DataFrame, known: pd.DataFrame, effects: bool) -> np.ndarray:
    """X beta + Z u (without offset) by the names of the rows, (chains, draws, n)."""
    names, beta = post.model.names, post.values["beta"]
    eta = np.zeros((*beta.shape[:2], len(data)))
    for j, name in enumerate(names.fixed):
        eta += beta[..., j, None] * column(name, data, known)
    if effects:
        place = {name: k for k, name in enumerate(post.effect_names)}
        u = post.effect_draws
        for z, group in (_row(name, "sd") for name in names.sd):
            values = column(z, data, known)
            rows = data[group.split(":")].itertuples(index=False)
            for i, row in enumerate(rows):
                of = f"u({z}|{group}[{':'.join(map(level, row))}])"
                eta[..., i] += u[..., place[of]] * values[i]
    return eta


def variance(post: Any, data: pd.DataFrame, known: pd.DataFrame) -> np.ndarray:
    """Variance of z'u over groups by the names of the rows, (chains, draws, n)."""
    names = post.model.names
    sd = {name: post.values["sd"][..., k, None] for k, name in enumerate(names.sd)}
    total = np.zeros((*post.values["beta"].shape[:2], len(data)))
    for name, value in sd.items():
        total += value**2 * column(_row(name, "sd")[0], data, known) ** 2
    for k, name in enumerate(names.cor):
        both, group = _row(name, "cor")
        a, b = re.split(r",(?![^(]*\))", both)
        covariance = post.values["cor"][..., k, None] * sd[f"sd({a}|{group})"]
        covariance = covariance * sd[f"sd({b}|{group})"]
        total += 2.0 * covariance * column(a, data, known) * column(b, data, known)
    return total


def over_groups(link: str, eta: float, v: float, power: int = 1) -> float:
    """E[mean^power] of a linear predictor eta + N(0, v), by the trapezoidal rule."""
    weights = np.exp(-0.5 * GRID**2)
    means = INVERSE[link](eta + np.sqrt(v) * GRID) ** power
    return float(means @ weights / weights.sum())


def distribution(family: str, mu: Any, phi: Any, trials: Any, se: Any) -> Any:
    """Distribution of responses, by scipy."""
    return {
        "gaussian": lambda: stats.norm(mu, phi if se is None else se),
        "poisson": lambda: stats.poisson(mu),
        "bernoulli": lambda: stats.bernoulli(mu),
        "binomial": lambda: stats.binom(trials, mu),
        "negative_binomial": lambda: stats.nbinom(phi, phi / (phi + mu)),
        "gamma": lambda: stats.gamma(phi, scale=mu / phi),
    }[family]()


def log_density(family: str, y: Any, *parameters: Any) -> Any:
    """Log density or probability of responses."""
    of = distribution(family, *parameters)
    return of.logpdf(y) if family in ("gaussian", "gamma") else of.logpmf(y)
