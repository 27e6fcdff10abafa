"""The joint-distribution test (`joint`) for several grouping factors, crossed or nested."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from joint import BURN, DRAWS, MARGINAL, MOVES, Case, Load, package
from scipy import stats

from bayesglmm.diagnostics.ess import ess_mean

ROWS = 8
LEVELS = {
    "g": [0, 1, 0, 0, 1, 0, 1, 0],
    "h": [0, 0, 1, 2, 1, 0, 2, 1],
    "k": [0, 1, 1, 0, 2, 2, 1, 0],
    # Each level lies in one of g.
    "c": [0, 2, 1, 1, 3, 0, 2, 1],
}
TYPES = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0, 1.0])}  # of the levels of g and h


@dataclass(frozen=True)
class Effects:
    """Effects of one factor: half-normal sds and LKJ(eta), or an inverse-Wishart Sigma."""

    factor: str
    sd: tuple[float, ...] = ()
    eta: float = 0.0
    wishart: tuple[float, Any] | None = None

    @property
    def q(self) -> int:
        return len(self.sd) or len(self.wishart[1])

    @property
    def levels(self) -> int:
        return max(LEVELS[self.factor]) + 1

    def covariances(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draws (n, q, q) of Sigma from its prior."""
        q = self.q
        if self.wishart is not None:
            return stats.invwishart(*self.wishart).rvs(n, random_state=rng).reshape(n, q, q)
        sd = np.abs(rng.normal(size=(n, q))) * self.sd
        R = np.broadcast_to(np.eye(q), (n, q, q)).copy()
        if self.eta:
            R[:, 0, 1] = R[:, 1, 0] = 2.0 * rng.beta(self.eta, self.eta, n) - 1.0
        return sd[:, :, None] * R * sd[:, None, :]


@dataclass(frozen=True)
class CrossedCase(Case):
    """A tiny model with several factors; `types` puts in the columns that tell pairs of types."""

    effects: tuple[Effects, ...] = ()
    types: bool = False

    @cached_property
    def frame(self) -> pd.DataFrame:
        y = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
        y = {"gamma": y + 1.0, "negative_binomial": 3.0 * y}.get(self.family, y)
        f = pd.DataFrame(
            {
                "y": y,
                "x": [-1.0, 0.5, 0.2, 1.4, -0.3, 0.8, -0.6, 0.1],
                "w": [0.6, -0.4, 0.1, 0.8, 0.2, -1.0, 0.3, -0.2],
                "m": [3, 1, 2, 2, 5, 1, 2, 1],
                **{name: [f"{name}{k}" for k in levels] for name, levels in LEVELS.items()},
            }
        )
        a, b = TYPES["a"][LEVELS["g"]], TYPES["b"][LEVELS["h"]]
        f["ab"], f["a_"], f["_b"] = a * b, a * (1.0 - b), (1.0 - a) * b
        return f

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of X after the intercept."""
        return ("ab", "a_", "_b") if self.types else ("x",)

    @cached_property
    def X(self) -> np.ndarray:
        return np.column_stack([np.ones(ROWS), *(self.frame[name] for name in self.columns)])

    @cached_property
    def trials(self) -> np.ndarray:
        m = self.frame.m.to_numpy()
        return m if self.family == "binomial" else np.ones_like(m)

    def group(self, term: Effects) -> str:
        """Name of a factor in the model."""
        return "g:c" if term.factor == "c" and "(1|g/c)" in self.formula else term.factor

    def model(self, load: Load = package):
        p = load("priors")
        names = ("Intercept", *self.columns)
        made: dict[str, Any] = {}
        for name, (mean, sd) in zip(names, self.beta, strict=True):
            made[name] = p.StudentT(self.beta_df, mean, sd) if self.beta_df else p.Normal(mean, sd)
        for term in self.effects:
            group = self.group(term)
            if term.wishart is not None:
                made[group] = p.InverseWishart(*term.wishart)
                continue
            z = ("Intercept", "x")[: term.q]
            made[group] = {
                "sd": {name: p.HalfNormal(s) for name, s in zip(z, term.sd, strict=True)}
            }
            if term.eta:
                made[group]["cor"] = p.LKJ(term.eta)
        if self.sigma:
            made["sigma"] = p.InverseGammaVariance(*self.sigma)
        if self.root:
            made[self.dispersion] = p.InverseSqrt(p.Gamma(*self.root))
        return load("model").glmm(self.formula, self.frame, self.family, priors=made, center=False)

    def prior(self, rng: np.random.Generator, n: int) -> dict[str, Any]:
        mean, scale = np.array(self.beta).T
        shape = (n, mean.size)
        t = rng.standard_t(self.beta_df, shape) if self.beta_df else rng.normal(size=shape)
        out: dict[str, Any] = {"beta": mean + scale * t, "u": {}}
        sds, cors = [], []
        for term in self.effects:
            sigma = term.covariances(rng, n)
            L = np.linalg.cholesky(sigma)
            z = rng.normal(size=(n, term.levels, term.q))
            out["u"][term.factor] = np.einsum("nkl,njl->njk", L, z)
            own = np.sqrt(np.einsum("nkk->nk", sigma))
            sds.append(own)
            if term.eta or (term.wishart is not None and term.q == 2):
                cors.append(sigma[:, 1, :1] / (own[:, :1] * own[:, 1:]))
        out["sd"] = np.concatenate(sds, axis=1)
        out["cor"] = np.concatenate(cors, axis=1) if cors else np.zeros((n, 0))
        if self.sigma:
            shape, scale = self.sigma
            out["sigma"] = np.sqrt(scale / rng.gamma(shape, size=n))
        if self.root:
            shape, rate = self.root
            out[self.dispersion] = (rng.gamma(shape, size=n) / rate) ** -2.0
        return out

    def eta_of(self, values: dict[str, Any]) -> np.ndarray:
        """Linear predictors (n, ROWS), from the frame."""
        eta = values["beta"] @ self.X.T + self.frame.w.to_numpy()
        for term in self.effects:
            u = values["u"][term.factor][:, LEVELS[term.factor]]
            eta = eta + u[..., 0]
            if term.q == 2:
                eta = eta + u[..., 1] * self.frame.x.to_numpy()
        return eta

    def functions(self, values: dict[str, Any], y: np.ndarray) -> dict[str, np.ndarray]:
        base = {f"beta{k}": values["beta"][:, k] for k in range(len(self.beta))}
        for k in range(values["sd"].shape[1]):
            base[f"log sd{k}"] = np.log(values["sd"][:, k])
        for name, u in values["u"].items():
            for k in range(u.shape[2]):
                base[f"{name}0{k}"], base[f"{name}1{k}"] = u[:, 0, k], u[:, 1, k]
        for k in range(values["cor"].shape[1]):
            base[f"cor{k}"] = values["cor"][:, k]
        if self.dispersion:
            base[f"log {self.dispersion}"] = np.log(values[self.dispersion])
        out = dict(base)
        # Fourth powers of t-distributed coefficients have no variance.
        squares = [name for name in base if not (self.beta_df and name.startswith("beta"))]
        out.update({f"{name}^2": base[name] ** 2 for name in squares})
        first, second = (f"{term.factor}00" for term in self.effects[:2])
        out["beta0 beta1"] = base["beta0"] * base["beta1"]
        out[f"{first} {second}"] = base[first] * base[second]
        for name in (first, second):
            out[f"beta0 {name}"] = base["beta0"] * base[name]
        out[f"log sd0 {first}^2"] = base["log sd0"] * base[first] ** 2
        phi = values[self.dispersion][:, None] if self.dispersion else 1.0
        out["loglik"] = self.loglik(y, self.eta_of(values), phi)
        # Counts of a Poisson grow with exp(u), whose square has no mean: their logarithms do.
        counts = self.family in ("poisson", "negative_binomial")
        size = np.log1p(y) if counts else np.log(y) if self.family == "gamma" else y
        out["mean y"] = size.mean(axis=1)
        for term in self.effects:
            own = values["u"][term.factor][:, LEVELS[term.factor][0], 0]
            out[f"y {term.factor}"] = size[:, 0] * own
        return out


class Crossed:
    """The sampler of crossed factors, with coordinates found at the responses of the frame.

    `walk`: psi, the coefficients and the dispersion by random walks alone.
    """

    def __init__(self, model, load: Load, walk: bool = False) -> None:
        density = load("density")
        self.crossed = load("conditionals.crossed")
        data = model.problem.data
        p, m = data.obs.X.shape[0], data.prior.covariance.row.size
        d = p + m + data.prior.phi.shape[0]
        nv = int(sum(data.levels[f] for f in data.factor))
        rng = np.random.default_rng(5)
        center, spread = np.zeros(d), np.full(d, 0.7)
        diagonal = data.prior.covariance.row == data.prior.covariance.col
        center[p : p + m] = np.where(diagonal, -0.9, 0.0)
        spread[p : p + m] = np.where(diagonal, 1.2, 0.5)
        center[p + m :] = -0.3
        scale = np.diag(spread) @ (np.eye(d) + 0.2 * np.tri(d, k=-1))
        map = density.identity_map(d, nv)._replace(
            center=center, scale=scale, modes=0.2 * rng.normal(size=nv)
        )
        program = load("crossed_program").CrossedProgram(model, map, scale @ scale.T, 0)
        state = program.start(np.array([11, 0], dtype=np.uint64), 0)
        if walk:
            state["proposal_block"][:, 2] = self.crossed.WALK
            state["proposal_loose"][:, 0] = -1.0
        self.program, self.state, self.data = program, state, program.data
        self.out = [np.empty((MOVES, k)) for k in (d, nv, len(program.stats))]
        rows = program.plan.rows
        self.rows = [np.arange(ROWS)]  # row of the data at each place of each layout
        for f in range(1, data.levels.size):
            self.rows.append(self.rows[-1][rows.source[f]])

    def begin(self, theta: np.ndarray, u: np.ndarray) -> None:
        """Set the state; u in the order of the data."""
        self.state["theta"][:] = theta
        self.state["u"][:] = u[self.program.plan.rows.order]

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        """Move given the responses that are in the data now; return theta and u inside."""
        for f, rows in enumerate(self.rows):
            self.program.plan.rows.y[f] = self.data.obs.y[rows]
        self.state["flag"][self.crossed.STATUS] = self.crossed.NEW
        self.program.advance(self.state, MOVES, *self.out, 0)
        return self.out[0][-1], self.out[1][-1]


SAMPLERS: dict[str, Callable[[Any, Load], Crossed]] = {
    "crossed": Crossed,
    "crossed, walk": lambda model, load: Crossed(model, load, walk=True),
}


def successive(
    case: CrossedCase, sampler: str, load: Load, draws: int, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Values on the user's scale (draws, ...) and responses (draws, ROWS), rows as in the frame."""
    rng = np.random.default_rng(seed)
    model = case.model(load)
    moves = SAMPLERS[sampler](model, load)
    data = moves.data
    obs, d, nv = data.obs, moves.out[0].shape[1], moves.out[1].shape[1]
    p, m = obs.X.shape[0], data.prior.covariance.row.size
    diagonal = data.prior.covariance.row == data.prior.covariance.col
    theta = np.zeros(d)
    theta[p : p + m] = np.where(diagonal, -0.7, 0.0)
    u = 0.3 * rng.normal(size=nv)
    moves.begin(theta, u)
    # Rows of the frame in the order of the layout: the offsets are all different.
    row = np.argmax(obs.offset[:, None] == case.frame.w.to_numpy(), axis=1)
    place, offset = data.effect[:, None] + data.level[data.factor], case.frame.w.to_numpy()[row]
    thetas, us, ys = np.empty((draws, d)), np.empty((draws, nv)), np.empty((draws, ROWS))
    for i in range(-BURN, draws):
        eta = np.empty(ROWS)
        eta[row] = offset + theta[:p] @ obs.X + (obs.Z * u[place]).sum(axis=0)
        y = case.draw(rng, eta, np.exp(theta[-1]))
        obs.y[:] = np.log(y[row]) if case.family == "gamma" else y[row]
        theta, u = moves.step()
        if i >= 0:
            thetas[i], us[i], ys[i] = theta, u, y
    values = model.to_user(thetas, us)
    values["u"] = {term.factor: values["u"][case.group(term)] for term in case.effects}
    return values, ys


def deviations(
    case: CrossedCase,
    sampler: str,
    load: Load = package,
    draws: int = DRAWS,
    seed: int = 1,
) -> tuple[dict[str, float], float]:
    """z of each test function, and the smallest effective sample size."""
    rng = np.random.default_rng(seed + 1000)
    prior = case.prior(rng, MARGINAL)
    phi = prior.get(case.dispersion, np.ones(MARGINAL))[:, None]
    marginal = case.functions(prior, case.draw(rng, case.eta_of(prior), phi))
    values, y = successive(case, sampler, load, draws, seed)
    z, smallest = {}, np.inf
    for name, own in case.functions(values, y).items():
        other = marginal[name]
        if not np.isfinite(own).all():
            z[name] = np.inf
            continue
        size = float(ess_mean(own[None, :, None])[0])
        smallest = min(smallest, size)
        error = np.sqrt(own.var(ddof=1) / size + other.var(ddof=1) / other.size)
        z[name] = float((own.mean() - other.mean()) / error) if error > 0.0 else np.inf
    return z, smallest
