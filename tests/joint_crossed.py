"""The joint-distribution test (`joint`) for factors of any number, crossed or nested.

Models are more general here than those of `joint` in everything: columns of effects, priors, links,
weights, known errors, centred predictors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import joint
import numpy as np
import pandas as pd
from joint import BURN, DRAWS, MARGINAL, MOVES, Case, Load, Sampler, package
from scipy import stats

from bayesglmm.diagnostics.ess import ess_mean

ROWS = 8
LEVELS = {
    "g": [0, 1, 0, 0, 1, 0, 1, 0],
    "h": [0, 0, 1, 2, 1, 0, 2, 1],
    "k": [0, 1, 1, 0, 2, 2, 1, 0],
    # Each level lies in one of g.
    "c": [0, 2, 1, 1, 3, 0, 2, 1],
    # One row each.
    "r": [3, 1, 0, 5, 2, 7, 4, 6],
}
COLUMNS = {
    "x": [-1.0, 0.5, 0.2, 1.4, -0.3, 0.8, -0.6, 0.1],
    "z": [0.4, -0.7, 1.1, -0.2, 0.3, -1.2, 0.6, -0.5],
}
WEIGHTS = [1, 2, 1, 3, 1, 1, 2, 1]
ERRORS = [0.7, 1.2, 0.9, 0.5, 1.1, 0.8, 1.3, 0.6]
TYPES = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0, 1.0])}  # of the levels of g and h


@dataclass(frozen=True)
class Effects:
    """Effects of one term: sds and LKJ(eta), or a prior of Sigma.

    Attributes
    ----------
    sd : tuple of float
        Half-normal scales; with `df`, half-t; with `gamma`, the variances are inverse-gamma.
    wishart : (df, scale) or None
        Inverse-Wishart.
    huang : (scales, df) or None
        Huang and Wand's.
    columns : tuple of str
        Z columns; the first of ``Intercept, x, z`` if not given.
    name : str
        Key of the term's priors, where it is not that of the factor.
    """

    factor: str
    sd: tuple[float, ...] = ()
    eta: float = 0.0
    wishart: tuple[float, Any] | None = None
    df: float = 0.0
    gamma: tuple[float, float] | None = None
    huang: tuple[tuple[float, ...], float] | None = None
    columns: tuple[str, ...] = ()

    @property
    def q(self) -> int:
        if self.huang is not None:
            return len(self.huang[0])
        return len(self.sd) or len(self.wishart[1])

    @property
    def names(self) -> tuple[str, ...]:
        """Z columns."""
        return self.columns or ("Intercept", "x", "z")[: self.q]

    @property
    def correlated(self) -> bool:
        return self.q > 1 and (bool(self.eta) or not self.sd)

    @property
    def levels(self) -> int:
        return max(LEVELS[self.factor]) + 1

    @property
    def heavy(self) -> bool:
        """Whether squares of the effects have no variance to speak of."""
        return bool(self.df or self.gamma or self.huang)

    def prior(self, p: Any, by_name: bool = True) -> Any:
        """The prior as the package takes it; `p` is its module of priors."""
        if self.wishart is not None:
            return p.InverseWishart(*self.wishart)
        if self.huang is not None:
            return p.HuangWand(list(self.huang[0]), self.huang[1])

        def law(scale: float) -> Any:
            if self.gamma is not None:
                return p.InverseGammaVariance(*self.gamma)
            return p.HalfStudentT(self.df, scale) if self.df else p.HalfNormal(scale)

        sds = {name: law(s) for name, s in zip(self.names, self.sd, strict=True)}
        made: dict[str, Any] = {"sd": sds if by_name else law(self.sd[0])}
        if self.eta:
            made["cor"] = p.LKJ(self.eta)
        return made

    def covariances(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draws (n, q, q) of Sigma from its prior."""
        q = self.q
        if self.wishart is not None:
            return stats.invwishart(*self.wishart).rvs(n, random_state=rng).reshape(n, q, q)
        if self.huang is not None:
            # Half-t(df) sds by scales of inverse-gamma mixtures (Huang and Wand 2013).
            scales, df = self.huang
            a = 2.0 * df * np.array(scales) ** 2 * rng.gamma(0.5, size=(n, q))
            draws = stats.invwishart(df + q - 1.0, np.eye(q)).rvs(n, random_state=rng)
            return draws.reshape(n, q, q) * np.sqrt(a[:, :, None] * a[:, None, :])
        if self.df:
            sd = np.abs(rng.standard_t(self.df, size=(n, q))) * self.sd
        elif self.gamma is not None:
            sd = np.sqrt(self.gamma[1] / rng.gamma(self.gamma[0], size=(n, q)))
        else:
            sd = np.abs(rng.normal(size=(n, q))) * self.sd
        R = np.broadcast_to(np.eye(q), (n, q, q)).copy()
        if self.eta and q == 2:
            R[:, 0, 1] = R[:, 1, 0] = 2.0 * rng.beta(self.eta, self.eta, n) - 1.0
        elif self.eta:
            # Vines (Lewandowski, Kurowicka and Joe 2009): correlations with the first column, and
            # the partial one of the others.
            a, b = 2.0 * rng.beta(self.eta + 0.5, self.eta + 0.5, (2, n)) - 1.0
            partial = 2.0 * rng.beta(self.eta, self.eta, n) - 1.0
            R[:, 0, 1] = R[:, 1, 0] = a
            R[:, 0, 2] = R[:, 2, 0] = b
            R[:, 1, 2] = R[:, 2, 1] = a * b + partial * np.sqrt((1.0 - a * a) * (1.0 - b * b))
        return sd[:, :, None] * R * sd[:, None, :]


@dataclass(frozen=True)
class CrossedCase(Case):
    """A tiny model of one factor or several.

    Attributes
    ----------
    effects : tuple of Effects
        One a term, in the order of the formula.
    types : bool
        Whether the columns of X tell pairs of types.
    link : str
        Empty for the family's own.
    weighted : bool
        Rows of weights, of a Poisson or binomial family.
    known : bool
        A Gaussian response of known standard errors.
    center : bool
        The intercept's prior is at the mean of x.
    laplace : bool
        Laplace priors of the coefficients, of the scales in `beta`.
    """

    effects: tuple[Effects, ...] = ()
    types: bool = False
    link: str = ""
    weighted: bool = False
    known: bool = False
    center: bool = False
    laplace: bool = False

    @property
    def dispersion(self) -> str:
        return "" if self.known else super().dispersion

    @cached_property
    def frame(self) -> pd.DataFrame:
        y = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
        y = {"gamma": y + 1.0, "negative_binomial": 3.0 * y}.get(self.family, y)
        f = pd.DataFrame(
            {
                "y": y,
                **COLUMNS,
                "weight": WEIGHTS,
                "error": ERRORS,
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
        m = m if self.family == "binomial" else np.ones_like(m)
        return m * np.array(WEIGHTS) if self.weighted else m

    def group(self, term: Effects) -> str:
        """Name of a factor in the model."""
        return "g:c" if term.factor == "c" and "|g/c)" in self.formula else term.factor

    def model(self, load: Load = package):
        p = load("priors")
        names = ("Intercept", *self.columns)
        made: dict[str, Any] = {}
        for name, (mean, sd) in zip(names, self.beta, strict=True):
            made[name] = p.StudentT(self.beta_df, mean, sd) if self.beta_df else p.Normal(mean, sd)
            if self.laplace:
                made[name] = p.Laplace(mean, sd)
        for term in self.effects:
            # Terms of one factor have to have one law of their sds.
            made[self.group(term)] = term.prior(p, self.columns_of[term.factor] == term.names)
        if self.sigma:
            made["sigma"] = p.InverseGammaVariance(*self.sigma)
        if self.root:
            made[self.dispersion] = p.InverseSqrt(p.Gamma(*self.root))
        link = self.link or None
        return load("model").glmm(
            self.formula, self.frame, self.family, link=link, priors=made, center=self.center
        )

    def prior(self, rng: np.random.Generator, n: int) -> dict[str, Any]:
        mean, scale = np.array(self.beta).T
        shape = (n, mean.size)
        t = rng.standard_t(self.beta_df, shape) if self.beta_df else rng.normal(size=shape)
        if self.laplace:
            t = rng.laplace(size=shape)
        out: dict[str, Any] = {"beta": mean + scale * t, "u": {}}
        if self.center:
            out["beta"][:, 0] -= out["beta"][:, 1:] @ self.X[:, 1:].mean(axis=0)
        sds, cors = [], []
        for term in self.effects:
            sigma = term.covariances(rng, n)
            L = np.linalg.cholesky(sigma)
            z = rng.normal(size=(n, term.levels, term.q))
            u = np.einsum("nkl,njl->njk", L, z)
            before = [out["u"][term.factor]] if term.factor in out["u"] else []
            out["u"][term.factor] = np.concatenate([*before, u], axis=2)
            own = np.sqrt(np.einsum("nkk->nk", sigma))
            sds.append(own)
            if term.correlated:
                k, l = np.tril_indices(term.q, -1)
                cors.append(sigma[:, k, l] / (own[:, k] * own[:, l]))
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
        for factor, names in self.columns_of.items():
            u = values["u"][factor][:, LEVELS[factor]]
            for k, name in enumerate(names):
                eta = eta + u[..., k] * (
                    1.0 if name == "Intercept" else self.frame[name].to_numpy()
                )
        return eta

    @property
    def columns_of(self) -> dict[str, tuple[str, ...]]:
        """Z columns of each factor."""
        found: dict[str, tuple[str, ...]] = {}
        for term in self.effects:
            found[term.factor] = (*found.get(term.factor, ()), *term.names)
        return found

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Mean of the responses, by the link."""
        if self.link == "probit":
            return stats.norm.cdf(eta)
        if self.link == "cloglog":
            return -np.expm1(-np.exp(eta))
        if self.family in ("bernoulli", "binomial"):
            return 1.0 / (1.0 + np.exp(-eta))
        return eta if self.family == "gaussian" else np.exp(eta)

    def draw(self, rng: np.random.Generator, eta: np.ndarray, phi: Any) -> np.ndarray:
        if self.known:
            return eta + np.array(ERRORS) * rng.normal(size=eta.shape)
        if self.family == "poisson" and self.weighted:
            return rng.poisson(np.array(WEIGHTS) * np.exp(eta)).astype(float)
        if self.family in ("bernoulli", "binomial"):
            return rng.binomial(self.trials, self.mean(eta)).astype(float)
        return super().draw(rng, eta, phi)

    def loglik(self, y: np.ndarray, eta: np.ndarray, phi: Any) -> np.ndarray:
        if self.known:
            return stats.norm.logpdf(y, eta, np.array(ERRORS)).sum(-1)
        if self.family == "poisson" and self.weighted:
            return stats.poisson.logpmf(y, np.array(WEIGHTS) * np.exp(eta)).sum(-1)
        if self.family in ("bernoulli", "binomial"):
            return stats.binom.logpmf(y, self.trials, self.mean(eta)).sum(-1)
        return super().loglik(y, eta, phi)

    def functions(self, values: dict[str, Any], y: np.ndarray) -> dict[str, np.ndarray]:
        base = {f"beta{k}": values["beta"][:, k] for k in range(len(self.beta))}
        for k in range(values["sd"].shape[1]):
            base[f"log sd{k}"] = np.log(values["sd"][:, k])
        heavy = {term.factor for term in self.effects if term.heavy}
        for name, u in values["u"].items():
            u = np.arcsinh(u) if name in heavy else u
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
        firsts = [f"{factor}00" for factor in values["u"]][:2]
        first, second = firsts[0], firsts[1] if len(firsts) > 1 else f"{self.effects[0].factor}10"
        out["beta0 beta1"] = base["beta0"] * base["beta1"]
        out[f"{first} {second}"] = base[first] * base[second]
        for name in firsts:
            out[f"beta0 {name}"] = base["beta0"] * base[name]
        out[f"log sd0 {first}^2"] = base["log sd0"] * base[first] ** 2
        phi = values[self.dispersion][:, None] if self.dispersion else 1.0
        out["loglik"] = self.loglik(y, self.eta_of(values), phi)
        # Counts of a Poisson grow with exp(u), whose square has no mean: their logarithms do.
        counts = self.family in ("poisson", "negative_binomial")
        size = np.log1p(y) if counts else np.log(y) if self.family == "gamma" else y
        out["mean y"] = size.mean(axis=1)
        for factor, u in values["u"].items():
            own = u[:, LEVELS[factor][0], 0]
            out[f"y {factor}"] = size[:, 0] * (np.arcsinh(own) if factor in heavy else own)
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


class Hamiltonian(joint.Hamiltonian):
    """NUTS or HMC for any number of factors, every level standardized by some information."""

    def __init__(self, model, load: Load, kind: str, step_size: float = 0.2) -> None:
        super().__init__(model, load, kind, step_size)

    def coordinates(self, model, load: Load) -> Any:
        data = model.problem.data
        d = data.obs.X.shape[0] + data.prior.covariance.row.size + data.prior.phi.shape[0]
        nv = int(sum(data.levels[f] for f in data.factor))
        rng = np.random.default_rng(6)
        center, spread = middle(data, d)
        information = np.zeros((data.factor.size, nv))
        for f in range(data.levels.size):
            columns, J = np.flatnonzero(data.factor == f), int(data.levels[f])
            half = rng.normal(size=(J, columns.size, columns.size))
            A = half @ np.swapaxes(half, 1, 2)
            for i, k in enumerate(columns):
                place = data.effect[k] + np.arange(J)
                information[columns[:, None], place] = A[:, :, i].T
        return (
            load("density")
            .identity_map(d, nv)
            ._replace(
                center=center,
                scale=np.diag(spread) @ (np.eye(d) + 0.2 * np.tri(d, k=-1)),
                modes=0.2 * rng.normal(size=nv),
                slopes=0.2 * rng.normal(size=(d, nv)),
                information=information,
                total=0.3 * rng.normal(size=nv),
                fall=0.3 * rng.normal(size=(d, nv)),
            )
        )

    def begin(self, theta: np.ndarray, u: np.ndarray) -> None:
        map, d, data, position = self.map, theta.size, self.data, self.state["position"]
        v, from_center = standardized(data, self.factors, theta, u), theta - self.map.center
        L, x = factor_of(data, self.factors, theta), np.empty(v.size)
        c = map.total + from_center @ map.fall
        for f in range(data.levels.size):
            columns, J = np.flatnonzero(data.factor == f), int(data.levels[f])
            place = data.effect[columns][:, None] + np.arange(J)
            own, A = L[np.ix_(columns, columns)], map.information[columns[:, None, None], place]
            H = np.eye(columns.size) + own.T @ A.transpose(2, 0, 1) @ own
            C = np.linalg.cholesky(H)
            mean = np.linalg.solve(H, (c[place].T @ own)[..., None])[..., 0]
            x[place] = np.einsum("glk,gl->kg", C, v[place].T - mean)
        position[:d] = np.linalg.solve(map.scale, from_center)
        position[d:] = x - map.modes - from_center @ map.slopes


def middle(data: Any, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Center and spread of theta that have not seen the responses."""
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    diagonal = data.prior.covariance.row == data.prior.covariance.col
    center, spread = np.zeros(d), np.full(d, 0.7)
    center[p : p + m] = np.where(diagonal, -0.9, 0.0)
    spread[p : p + m] = np.where(diagonal, 1.2, 0.5)
    center[p + m :] = -0.3
    return center, spread


def factor_of(data: Any, factors: Any, theta: np.ndarray) -> np.ndarray:
    """L at theta."""
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    return factors(data.prior.covariance, theta[p : p + m])


def standardized(data: Any, factors: Any, theta: np.ndarray, u: np.ndarray) -> np.ndarray:
    """V = L^-1 u of every level."""
    L, v = factor_of(data, factors, theta), np.empty_like(u)
    for f in range(data.levels.size):
        columns = np.flatnonzero(data.factor == f)
        place = data.effect[columns][:, None] + np.arange(data.levels[f])
        v[place] = np.linalg.solve(L[np.ix_(columns, columns)], u[place])
    return v


class FromEffects:
    """A sampler of `joint`, which begins at v, beginning at u."""

    def __init__(self, sampler: str, model, load: Load) -> None:
        self.moves = joint.SAMPLERS[sampler](model, load)
        self.factors = load("covariance").factors
        self.data, self.out = self.moves.data, self.moves.out

    def begin(self, theta: np.ndarray, u: np.ndarray) -> None:
        """Set the state."""
        self.moves.begin(theta, standardized(self.data, self.factors, theta, u))

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        """Move given the responses that are in the data now; return theta and u inside."""
        return self.moves.step()


SAMPLERS: dict[str, Callable[[Any, Load], Sampler]] = {
    "crossed": Crossed,
    "crossed, walk": lambda model, load: Crossed(model, load, walk=True),
    "nuts": lambda model, load: Hamiltonian(model, load, "nuts"),
    "hmc": lambda model, load: Hamiltonian(model, load, "hmc"),
}
for _name in joint.SAMPLERS:
    if _name not in SAMPLERS:
        SAMPLERS[_name] = lambda model, load, name=_name: FromEffects(name, model, load)


def by_column(case: CrossedCase, term: Effects, model, u: np.ndarray) -> np.ndarray:
    """Effects (draws, levels, columns) of a factor, columns as the case names them."""
    own = [
        name
        for one in model.design.terms
        if model.design.factors[one.factor].name == case.group(term)
        for name in one.names
    ]
    return u[..., [own.index(name) for name in case.columns_of[term.factor]]]


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
    values["u"] = {
        term.factor: by_column(case, term, model, values["u"][case.group(term)])
        for term in case.effects
    }
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
