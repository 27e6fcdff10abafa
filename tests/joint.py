"""Geweke's joint-distribution test (2004): two ways to simulate (theta, u, y) have to agree.

One draws theta and u from their priors and y given them; the priors are simulated here, on the
user's scale, by numpy alone. The other alternates y given (theta, u) with a transition of a sampler
given y. Both have the joint distribution of the model if the sampler leaves the posterior of every
y as it is, and if the density is the model's: a wrong constant in a prior shows as well as a
missing Hastings term.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import stats

from bayesglmm.diagnostics.ess import ess_mean

Load = Callable[[str], ModuleType]  # imports a module of the package, or of a copy of it

LARGEST_Z = 4.0
MARGINAL = 200_000  # draws of the marginal-conditional simulator
DRAWS = 12_000  # of the successive-conditional one, after as many as BURN
BURN = 200
DISPERSIONS = {"gaussian": "sigma", "negative_binomial": "size", "gamma": "shape"}
MOVES = 5  # transitions for each set of responses: more would cost little and gain little


def package(module: str) -> ModuleType:
    """Import a module of the package itself."""
    return importlib.import_module(f"bayesglmm.{module}")


@dataclass(frozen=True)
class Case:
    """A tiny model and its priors, all numeric.

    Attributes
    ----------
    beta : tuple of (mean, sd)
        Normal priors; with `beta_df`, Student's t of these scales.
    sd : tuple of float
        Half-normal scales, one a z column.
    eta : float
        LKJ(eta) of a term with two columns; 0 without correlation.
    wishart : (df, scale) or None
        Inverse-Wishart instead of `sd` and `eta`.
    sigma : (shape, scale)
        Inverse-gamma prior of a Gaussian variance.
    root : (shape, rate)
        Gamma prior of 1/sqrt(size) or of 1/sqrt(shape).
    """

    name: str
    formula: str
    family: str
    beta: tuple[tuple[float, float], ...]
    sd: tuple[float, ...] = ()
    eta: float = 0.0
    wishart: tuple[float, Any] | None = None
    beta_df: float = 0.0
    sigma: tuple[float, float] = ()
    root: tuple[float, float] = ()
    groups: int = 2

    @property
    def q(self) -> int:
        return len(self.sd) or len(self.wishart[1])

    @property
    def dispersion(self) -> str:
        """Name of the dispersion, empty without one."""
        return DISPERSIONS.get(self.family, "")

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Six rows; groups of unlike size, in no order."""
        y = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
        # What the model is made with, before the first responses are simulated.
        y = {"gamma": y + 1.0, "negative_binomial": 3.0 * y}.get(self.family, y)
        g = [0, 1, 0, 0, 1, 0] if self.groups == 2 else [2, 0, 1, 0, 2, 0]
        return pd.DataFrame(
            {
                "y": y,
                "x": [-1.0, 0.5, 0.2, 1.4, -0.3, 0.8],
                "w": [0.6, -0.4, 0.1, 0.8, 0.2, -1.0],
                "m": [3, 1, 2, 2, 5, 1],
                "g": [f"g{k}" for k in g],
            }
        )

    def model(self, load: Load = package):
        """Return the model, made by the package or by a copy of it."""
        p = load("priors")
        made = {}
        for name, (mean, sd) in zip(("Intercept", "x"), self.beta, strict=True):
            made[name] = p.StudentT(self.beta_df, mean, sd) if self.beta_df else p.Normal(mean, sd)
        if self.wishart is not None:
            made["g"] = p.InverseWishart(*self.wishart)
        else:
            names = ("Intercept", "x")[: self.q]
            made["g"] = {
                "sd": {name: p.HalfNormal(s) for name, s in zip(names, self.sd, strict=True)}
            }
            if self.eta:
                made["g"]["cor"] = p.LKJ(self.eta)
        if self.sigma:
            made["sigma"] = p.InverseGammaVariance(*self.sigma)
        if self.root:
            made[self.dispersion] = p.InverseSqrt(p.Gamma(*self.root))
        return load("model").glmm(self.formula, self.frame, self.family, priors=made, center=False)

    def prior(self, rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
        """Draw n times from the prior of theta and u, on the user's scale."""
        mean, scale = np.array(self.beta).T
        q, shape = self.q, (n, mean.size)
        t = rng.standard_t(self.beta_df, shape) if self.beta_df else rng.normal(size=shape)
        if self.wishart is not None:
            sigma = stats.invwishart(*self.wishart).rvs(n, random_state=rng).reshape(n, q, q)
        else:
            sd = np.abs(rng.normal(size=(n, q))) * self.sd
            R = np.broadcast_to(np.eye(q), (n, q, q)).copy()
            if self.eta:
                # LKJ of two dimensions: (rho + 1) / 2 ~ Beta(eta, eta)
                R[:, 0, 1] = R[:, 1, 0] = 2.0 * rng.beta(self.eta, self.eta, n) - 1.0
            sigma = sd[:, :, None] * R * sd[:, None, :]
        L = np.linalg.cholesky(sigma)
        u = np.einsum("nkl,njl->njk", L, rng.normal(size=(n, self.groups, q)))
        sds = np.sqrt(np.einsum("nkk->nk", sigma))
        out = {"beta": mean + scale * t, "sd": sds, "u": u}
        if self.eta or (self.wishart is not None and q == 2):
            out["cor"] = sigma[:, 1, :1] / (sds[:, :1] * sds[:, 1:])
        if self.sigma:
            shape, scale = self.sigma
            out["sigma"] = np.sqrt(scale / rng.gamma(shape, size=n))
        if self.root:
            shape, rate = self.root
            out[self.dispersion] = (rng.gamma(shape, size=n) / rate) ** -2.0
        return out

    def eta_of(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """Linear predictors (n, 6), from the frame."""
        f = self.frame
        x, level = f.x.to_numpy(), f.g.str[1:].to_numpy(int)
        u = values["u"][:, level]
        eta = values["beta"] @ np.stack([np.ones_like(x), x]) + u[..., 0] + f.w.to_numpy()
        return eta + u[..., 1] * x if self.q == 2 else eta

    def draw(self, rng: np.random.Generator, eta: np.ndarray, phi: Any) -> np.ndarray:
        """Responses given the linear predictors."""
        if self.family == "gaussian":
            return eta + phi * rng.normal(size=eta.shape)
        if self.family == "gamma":
            return rng.gamma(phi, np.exp(eta) / phi)
        if self.family == "negative_binomial":
            return rng.negative_binomial(phi, phi / (phi + np.exp(eta))).astype(float)
        if self.family == "poisson":
            return rng.poisson(np.exp(eta)).astype(float)
        return rng.binomial(self.trials, 1.0 / (1.0 + np.exp(-eta))).astype(float)

    @cached_property
    def trials(self) -> np.ndarray:
        m = self.frame.m.to_numpy()
        return m if self.family == "binomial" else np.ones_like(m)

    def loglik(self, y: np.ndarray, eta: np.ndarray, phi: Any) -> np.ndarray:
        if self.family == "gaussian":
            return stats.norm.logpdf(y, eta, phi).sum(-1)
        if self.family == "gamma":
            return stats.gamma.logpdf(y, phi, scale=np.exp(eta) / phi).sum(-1)
        if self.family == "negative_binomial":
            return stats.nbinom.logpmf(y, phi, phi / (phi + np.exp(eta))).sum(-1)
        if self.family == "poisson":
            return stats.poisson.logpmf(y, np.exp(eta)).sum(-1)
        return stats.binom.logpmf(y, self.trials, 1.0 / (1.0 + np.exp(-eta))).sum(-1)

    def functions(self, values: dict[str, np.ndarray], y: np.ndarray) -> dict[str, np.ndarray]:
        """The test functions: first and second moments, products, the likelihood, the data."""
        u = values["u"]
        base = {f"beta{k}": values["beta"][:, k] for k in range(len(self.beta))}
        for k in range(self.q):
            base[f"log sd{k}"] = np.log(values["sd"][:, k])
            base[f"u0{k}"], base[f"u1{k}"] = u[:, 0, k], u[:, 1, k]
        if "cor" in values and values["cor"].size:
            base["cor"] = values["cor"][:, 0]
        if self.dispersion:
            base[f"log {self.dispersion}"] = np.log(values[self.dispersion])
        out = dict(base)
        # Fourth powers of t-distributed coefficients have no variance.
        squares = [name for name in base if not (self.beta_df and name.startswith("beta"))]
        out.update({f"{name}^2": base[name] ** 2 for name in squares})
        out["beta0 beta1"] = base["beta0"] * base["beta1"]
        out["beta0 u00"] = base["beta0"] * base["u00"]
        out["u00 u10"] = base["u00"] * base["u10"]
        out["log sd0 u00^2"] = base["log sd0"] * base["u00"] ** 2
        phi = values[self.dispersion][:, None] if self.dispersion else 1.0
        out["loglik"] = self.loglik(y, self.eta_of(values), phi)
        # Counts of a Poisson grow with exp(u), whose square has no mean: their logarithms do.
        counts = self.family in ("poisson", "negative_binomial")
        size = np.log1p(y) if counts else np.log(y) if self.family == "gamma" else y
        out["mean y"] = size.mean(axis=1)
        out["y u"] = size[:, 0] * u[:, int(self.frame.g[0][1:]), 0]
        return out


class Sampler(Protocol):
    """Transitions that leave the posterior as it is, one model with changing responses."""

    data: Any

    def begin(self, theta: np.ndarray, v: np.ndarray) -> None:
        """Set the state."""

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        """Move given the responses that are in the data now; return theta and u inside."""


def fixed_map(model, load: Load):
    """Coordinates that have not seen the responses: any will do, so no good ones."""
    data = model.problem.data
    d = data.obs.X.shape[0] + data.prior.covariance.row.size + data.prior.phi.shape[0]
    q, J = data.factor.size, int(data.levels[0])
    rng = np.random.default_rng(5)
    density = load("density")
    blocks = np.zeros((q, q, J))
    for k in range(q):
        blocks[k, k] = 1.0 + rng.random(J)
        for l in range(k):
            blocks[k, l] = 0.3 * rng.normal(size=J)
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    diagonal = data.prior.covariance.row == data.prior.covariance.col
    center = np.zeros(d)
    center[p : p + m] = np.where(diagonal, -0.9, 0.0)
    center[p + m :] = -0.3
    spread = np.full(d, 0.7)
    spread[p : p + m] = np.where(diagonal, 1.2, 0.5)
    return density.identity_map(d, q * J)._replace(
        kind=np.array([density.BLOCKS]),
        center=center,
        scale=np.diag(spread) @ (np.eye(d) + 0.2 * np.tri(d, k=-1)),
        modes=0.2 * rng.normal(size=q * J),
        slopes=0.2 * rng.normal(size=(d, q * J)),
        blocks=blocks,
    )


def standardizing(map):
    """The same with levels that are standardized by some information, as if there were data."""
    d, (q, J) = map.center.size, map.blocks.shape[1:]
    rng = np.random.default_rng(6)
    half = rng.normal(size=(J, q, q))
    A = half @ np.swapaxes(half, 1, 2)
    return map._replace(
        information=np.ascontiguousarray(A.transpose(1, 2, 0)).reshape(q, q * J),
        total=0.3 * rng.normal(size=q * J),
        fall=0.3 * rng.normal(size=(d, q * J)),
    )


class Gibbs:
    """The transported sampler.

    `every` is how often the centred moves end a sweep (0: never); `blocks` says how theta moves:
    "one" block, "two", or two by random "walk". With `linear` the effects are carried along by
    centers and factors that are linear in theta.
    """

    def __init__(
        self, model, load: Load, every: int = 1, blocks: str = "one", linear: bool = False
    ) -> None:
        transport = load("conditionals.transport")
        map = fixed_map(model, load)
        program = load("programs").GibbsProgram(model, map, map.scale @ map.scale.T, 0)
        program.every = every
        if linear:
            rng, elements = np.random.default_rng(7), program.q * (program.q + 1) // 2
            factors = 0.25 * rng.normal(size=(program.dim + 1, elements, program.J))
            program.guess = program.guess._replace(factors=factors.astype(np.float32))
        d, p = program.dim, program.p
        whole, halves = [(0, d)], [(0, d - p), (d - p, d)]
        edges = {"one": whole, "two": halves, "walk": []}[blocks]
        walks = halves if blocks == "walk" else []
        scale = load("adaptation.proposal").triangle(program.covariance)
        proposal = transport.new_proposal(program.order, program.center, scale, edges, walks)
        state = transport.new_state(
            np.array([11, 0], dtype=np.uint64), d, program.q, program.J
        )._asdict()
        state.update({f"proposal_{k}": v for k, v in proposal._asdict().items()})
        state["map"] = np.array([load("programs").AS_PLANNED])
        self.program, self.transport, self.state = program, transport, state
        self.data = program.data
        self.out = [np.empty((MOVES, k)) for k in (d, program.effects, len(program.stats))]

    def begin(self, theta: np.ndarray, v: np.ndarray) -> None:
        self.state["theta"][0] = theta
        self.state["v"][0] = v.reshape(self.program.q, self.program.J)

    def find_map(self) -> None:
        """The map depends on the responses: find it with z = 0, then z = C'(v - m)."""
        state, t = self.state, self.transport
        side = state["flag"][t.SIDE]
        v = state["v"][side].copy()
        state["z"][:] = 0.0
        state["flag"][t.STATUS] = t.NEW
        self.program.advance(state, 0, *(out[:0] for out in self.out), 0)
        state["z"][:] = np.einsum("lkg,lg->kg", state["C"][side], v - state["center"][side])
        state["flag"][t.STATUS] = t.NEW

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        self.find_map()
        self.program.advance(self.state, MOVES, *self.out, 0)
        return self.out[0][-1], self.out[1][-1]


class Hamiltonian:
    """NUTS or HMC with a fixed step size and a metric that is not the identity."""

    def __init__(self, model, load: Load, kind: str, step_size: float = 0.25) -> None:
        programs, places = load("programs"), load("samplers.state")
        self.map = self.coordinates(model, load)
        self.factors = load("covariance").factors
        self.target = programs.HamiltonianTarget(model, self.map, None)
        self.program = load("samplers.hamiltonian").HamiltonianProgram(kind, self.target, 0)
        size = self.program.dim + self.program.effects
        state = places.initial(
            np.array([12, 0], dtype=np.uint64), np.zeros(size), np.zeros(size), 0.0
        )
        state.phase[:] = 0
        state.step[load("adaptation.step_size").STEP_SIZE] = step_size
        state.inverse_metric[:] = np.linspace(0.6, 1.6, size)
        self.state, self.data = state._asdict(), self.target.data
        self.rows = load("_jit").pointer(self.target.rows)
        stats = len(self.program.stats)
        self.out = [np.empty((MOVES, k)) for k in (self.program.dim, self.program.effects, stats)]

    def coordinates(self, model, load: Load) -> Any:
        """The map, which has not seen the responses."""
        return standardizing(fixed_map(model, load))

    def begin(self, theta: np.ndarray, v: np.ndarray) -> None:
        map, d = self.map, theta.size
        q, J = map.blocks.shape[0], map.blocks.shape[2]
        from_center = theta - map.center
        p, m = self.data.obs.X.shape[0], self.data.prior.covariance.row.size
        L = self.factors(self.data.prior.covariance, theta[p : p + m])
        A = map.information.reshape(q, q, J).transpose(2, 0, 1)
        C = np.linalg.cholesky(np.eye(q) + L.T @ A @ L)
        c = (map.total + from_center @ map.fall).reshape(q, J)
        mean = np.linalg.solve(C @ np.swapaxes(C, 1, 2), (c.T @ L)[..., None])[..., 0]
        x = np.einsum("glk,gl->kg", C, v.reshape(q, J).T - mean).ravel()
        away = x - map.modes - from_center @ map.slopes
        position = self.state["position"]
        position[:d] = np.linalg.solve(map.scale, from_center)
        position[d:] = np.einsum("lkg,lg->kg", map.blocks, away.reshape(q, J)).ravel()

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        state, target = self.state, self.target
        state["value"][0] = target.logdensity(
            self.rows, target.data, target.map, state["position"], state["gradient"]
        )
        self.program.advance(state, len(self.out[0]), *self.out, 0)
        return self.out[0][-1], self.out[1][-1]


class Collapsed:
    """The collapsed sampler: one block, all blocks, or random walks."""

    def __init__(self, model, load: Load, blocks: str = "all") -> None:
        self.collect = load("conditionals.collapsed_sums").collect
        self.module = load("conditionals.collapsed")
        map = fixed_map(model, load)
        make = load("collapsed_program").CollapsedProgram
        self.program = make(model, map.center, map.scale @ map.scale.T, 0)
        d = self.program.center.size
        self.program.edges = {"one": [(0, d)]}.get(blocks, [(0, d), (0, d - 1), (d - 1, d)])
        self.state = self.program.start(np.array([13, 0], dtype=np.uint64), 0)
        if blocks == "walk":
            self.state["proposal_block"][:, 2] = self.module.WALK
        self.data = model.problem.data
        stats = len(self.program.stats)
        self.out = [np.empty((MOVES, k)) for k in (map.center.size, self.program.effects, stats)]

    def begin(self, theta: np.ndarray, v: np.ndarray) -> None:
        t, near = theta[self.program.p :], self.state["proposal_near"]
        self.state["x"][:] = self.program.fold(t, near)

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        self.program.sums, self.program.pattern = self.collect(self.data)
        self.state["flag"][self.module.STATUS] = self.module.MOVED
        self.program.advance(self.state, MOVES, *self.out, 0)
        return self.out[0][-1], self.out[1][-1]


SAMPLERS: dict[str, Callable[[Any, Load], Sampler]] = {
    "gibbs": Gibbs,
    "gibbs, transport alone": lambda model, load: Gibbs(model, load, every=0, blocks="two"),
    "gibbs, linear": lambda model, load: Gibbs(model, load, blocks="two", linear=True),
    "gibbs, linear, transport alone": lambda model, load: Gibbs(
        model, load, every=0, blocks="two", linear=True
    ),
    "gibbs, walk": lambda model, load: Gibbs(model, load, every=2, blocks="walk"),
    "collapsed": Collapsed,
    "collapsed, one block": lambda model, load: Collapsed(model, load, "one"),
    "collapsed, walk": lambda model, load: Collapsed(model, load, "walk"),
    "nuts": lambda model, load: Hamiltonian(model, load, "nuts"),
    "hmc": lambda model, load: Hamiltonian(model, load, "hmc"),
}


def successive(
    case: Case, sampler: str, load: Load, draws: int, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Values on the user's scale (draws, ...) and responses (draws, 6), rows as in the frame."""
    rng = np.random.default_rng(seed)
    model = case.model(load)
    moves = SAMPLERS[sampler](model, load)
    data = moves.data
    obs, d = data.obs, moves.out[0].shape[1]
    p, m = obs.X.shape[0], data.prior.covariance.row.size
    diagonal = data.prior.covariance.row == data.prior.covariance.col
    theta = np.zeros(d)
    theta[p : p + m] = np.where(diagonal, -0.7, 0.0)
    nv = moves.out[1].shape[1]
    moves.begin(theta, rng.normal(size=nv))
    u = np.zeros(nv)
    # Rows of the frame in the order of the layout: the offsets are all different.
    row = np.argmax(obs.offset[:, None] == case.frame.w.to_numpy(), axis=1)
    place, offset = data.effect[:, None] + data.level[0], case.frame.w.to_numpy()[row]
    thetas, us, ys = np.empty((draws, d)), np.empty((draws, nv)), np.empty((draws, 6))
    for i in range(-BURN, draws):
        eta = np.empty(6)
        eta[row] = offset + theta[:p] @ obs.X + (obs.Z * u[place]).sum(axis=0)
        y = case.draw(rng, eta, np.exp(theta[-1]))
        obs.y[:] = np.log(y[row]) if case.family == "gamma" else y[row]
        theta, u = moves.step()
        if i >= 0:
            thetas[i], us[i], ys[i] = theta, u, y
    values = model.to_user(thetas, us)
    values["u"] = values["u"]["g"]
    return values, ys


def deviations(
    case: Case, sampler: str, load: Load = package, draws: int = DRAWS, seed: int = 1
) -> tuple[dict[str, float], float]:
    """z of each test function, and the smallest effective sample size.

    A function that is not finite somewhere has an infinite z.
    """
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
