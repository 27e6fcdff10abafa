"""Tiny models of every family, structure and kind of prior, and their joint distributions.

Nothing here but `Cell.model` is the package's: priors are drawn from, responses simulated, and
log likelihood and log prior computed, by numpy alone and on the user's scale, so that a wrong
density of the package shows. All priors are numbers, and none has tails so long that counts get
out of hand.
"""

import math
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, gammaln

import bayesglmm as bg
from bayesglmm.model import Model

Values = dict[str, Any]  # n draws as `Model.to_user` has them: beta (n, 2), sd, cor, phi, u


class Positive(NamedTuple):
    """A prior of a positive number: the package's object, draws, and log density."""

    prior: Any
    draw: Callable[[np.random.Generator], float]
    logpdf: Callable[[np.ndarray], np.ndarray]  # constants left out


def half_t(df: float, scale: float) -> Positive:
    """Half-t."""
    return Positive(
        bg.HalfStudentT(df, scale),
        lambda rng: scale * abs(rng.standard_t(df)),
        lambda x: -0.5 * (df + 1.0) * np.log1p((x / scale) ** 2 / df),
    )


def inverse_gamma_variance(shape: float, scale: float) -> Positive:
    """Of an sd whose square is inverse-gamma."""
    return Positive(
        bg.InverseGammaVariance(shape, scale),
        lambda rng: math.sqrt(scale / rng.gamma(shape)),
        lambda x: -(2.0 * shape + 1.0) * np.log(x) - scale / x**2,
    )


def inverse_sqrt_half_normal(sd: float) -> Positive:
    """Of a shape whose inverse root is half-normal."""
    return Positive(
        bg.InverseSqrt(bg.HalfNormal(sd)),
        lambda rng: (sd * abs(rng.normal())) ** -2.0,
        lambda x: -1.5 * np.log(x) - 0.5 / (x * sd**2),
    )


def gamma(shape: float, rate: float) -> Positive:
    """Gamma."""
    return Positive(
        bg.Gamma(shape, rate),
        lambda rng: rng.gamma(shape) / rate,
        lambda x: (shape - 1.0) * np.log(x) - rate * x,
    )


class Kind(NamedTuple):
    """A family: priors of its coefficients and dispersion, responses, log likelihood of a row."""

    name: str
    intercept: tuple[float, float]  # mean and sd
    draw: Callable[[np.random.Generator, np.ndarray, float, np.ndarray], np.ndarray]
    loglik: Callable[..., np.ndarray]  # (y, eta, phi, trials); what depends on y alone left out
    left: str = "y"
    right: str = ""
    phi: str = ""
    phi_priors: tuple[Positive, ...] = ()  # with LKJ and with inverse-Wishart


def _negative_binomial(y: Any, eta: Any, phi: Any, trials: Any) -> np.ndarray:
    # y log(mu / (mu + size)) - size log(1 + mu / size); a size beyond 1e8 is Poisson to 8 digits.
    size = np.minimum(phi, 1e8)
    log_ratio = eta - np.log(size)
    gap = gammaln(y + size) - gammaln(size)
    out: np.ndarray = gap + y * log_ratio - (y + size) * np.logaddexp(0.0, log_ratio)
    return out


def _gamma(y: Any, eta: Any, phi: Any, trials: Any) -> np.ndarray:
    out: np.ndarray = phi * (np.log(phi) + np.log(y) - eta) - gammaln(phi) - phi * y * np.exp(-eta)
    return out


KINDS = (
    Kind(
        "gaussian",
        (1.0, 1.0),
        lambda rng, eta, phi, trials: rng.normal(eta, phi),
        lambda y, eta, phi, trials: -np.log(phi) - 0.5 * ((y - eta) / phi) ** 2,
        phi="sigma",
        phi_priors=(half_t(6.0, 0.8), inverse_gamma_variance(4.0, 2.0)),
    ),
    Kind(
        "bernoulli",
        (0.2, 0.8),
        lambda rng, eta, phi, trials: (rng.random(eta.size) < expit(eta)).astype(float),
        lambda y, eta, phi, trials: y * eta - np.logaddexp(0.0, eta),
    ),
    Kind(
        "binomial",
        (-0.3, 0.8),
        lambda rng, eta, phi, trials: rng.binomial(trials, expit(eta)).astype(float),
        lambda y, eta, phi, trials: y * eta - trials * np.logaddexp(0.0, eta),
        left="y | trials(m)",
    ),
    Kind(
        "poisson",
        (0.7, 0.5),
        lambda rng, eta, phi, trials: rng.poisson(np.exp(eta)).astype(float),
        lambda y, eta, phi, trials: y * eta - np.exp(eta),
        right=" + offset(o)",
    ),
    Kind(
        "negative_binomial",
        (1.0, 0.5),
        lambda rng, eta, phi, trials: rng.poisson(
            np.exp(eta) * rng.gamma(phi, size=eta.size) / phi
        ).astype(float),
        _negative_binomial,
        right=" + offset(o)",
        phi="size",
        phi_priors=(inverse_sqrt_half_normal(0.5), gamma(4.0, 1.5)),
    ),
    Kind(
        "gamma",
        (0.5, 0.5),
        lambda rng, eta, phi, trials: np.exp(eta) * rng.gamma(phi, size=eta.size) / phi,
        _gamma,
        phi="shape",
        phi_priors=(inverse_sqrt_half_normal(0.5), gamma(4.0, 1.5)),
    ),
)


class Term(NamedTuple):
    """Effects of a factor: its column, levels, columns of z, and priors of both kinds."""

    group: str
    levels: int
    names: tuple[str, ...]
    scales: tuple[float, ...]  # of half-t sds
    wishart: tuple[float, tuple[tuple[float, ...], ...]]


HALF_T_DF = 6.0
LKJ_ETA = 2.0
SLOPE = (0.0, 0.5)  # prior of x's coefficient


class Structure(NamedTuple):
    """Random effects."""

    name: str
    formula: str
    terms: tuple[Term, ...]
    sizes: tuple[int, ...] = ()  # rows of each level of the only factor


STRUCTURES = (
    Structure(
        "1|g",
        "(1 | g)",
        (Term("g", 6, ("Intercept",), (0.5,), (7.0, ((1.2,),))),),
        (3, 2, 4, 3, 5, 3),
    ),
    Structure(
        "x|g",
        "(x | g)",
        (Term("g", 6, ("Intercept", "x"), (0.5, 0.35), (7.0, ((0.9, 0.2), (0.2, 0.5)))),),
        (3, 4, 5, 4, 5, 3),
    ),
    Structure(
        "crossed",
        "(1 | g) + (1 | h)",
        (
            Term("g", 5, ("Intercept",), (0.5,), (7.0, ((1.2,),))),
            Term("h", 4, ("Intercept",), (0.35,), (8.0, ((0.7,),))),
        ),
    ),
    Structure(
        "nested",
        "(1 | a/b)",
        (
            Term("a", 4, ("Intercept",), (0.5,), (7.0, ((1.2,),))),
            Term("a:b", 8, ("Intercept",), (0.35,), (8.0, ((0.7,),))),
        ),
    ),
)
LKJ, WISHART = "LKJ", "inverse-Wishart"
PRIORS = (LKJ, WISHART)


class Rows(NamedTuple):
    """Columns of a data set, and the level of each row in the factor of each term."""

    x: np.ndarray
    offset: np.ndarray
    trials: np.ndarray
    level: tuple[np.ndarray, ...]

    def predictor(self, values: Values, terms: tuple[Term, ...]) -> np.ndarray:
        """Eta (n, rows) of n draws."""
        beta = values["beta"]
        eta: np.ndarray = beta[:, :1] + beta[:, 1:] * self.x + self.offset
        for term, level in zip(terms, self.level, strict=True):
            u = values["u"][term.group][:, level]
            eta += u[..., 0]
            if len(term.names) > 1:
                eta += u[..., 1] * self.x
        return eta


class Cell:
    """A family with random effects and a kind of prior.

    Parameters
    ----------
    kind, structure : Kind, Structure
    prior : {"LKJ", "inverse-Wishart"}
        Of each Sigma: half-t sds with an LKJ correlation, or inverse-Wishart.
    """

    def __init__(self, kind: Kind, structure: Structure, prior: str) -> None:
        self.kind, self.structure, self.prior = kind, structure, prior
        self.name = f"{kind.name}, {structure.name}, {prior}"
        self.code = zlib.crc32(self.name.encode())

    def __repr__(self) -> str:
        return f"<Cell {self.name}>"

    @property
    def terms(self) -> tuple[Term, ...]:
        """Of the structure."""
        return self.structure.terms

    @cached_property
    def phi_prior(self) -> Positive | None:
        """Prior of the dispersion."""
        return self.kind.phi_priors[PRIORS.index(self.prior)] if self.kind.phi else None

    @cached_property
    def rows(self) -> Rows:
        """The design, in no order: the same on every machine."""
        rng = np.random.default_rng(zlib.crc32(self.structure.name.encode()))
        match self.structure.name:
            case "crossed":
                level = tuple(np.indices((5, 4)).reshape(2, -1))
            case "nested":
                # Rows of a level of a:b: 2 or 3, in levels of b that are 1 or 2.
                pair = np.repeat(np.arange(8), [3, 2, 3, 3, 2, 3, 3, 2])
                level = (pair // 2, pair)
            case _:
                level = (np.repeat(np.arange(len(self.structure.sizes)), self.structure.sizes),)
        n = level[0].size
        shuffled = rng.permutation(n)
        return Rows(
            np.round(rng.uniform(-1.2, 2.0, n), 2),
            np.round(rng.uniform(-0.5, 0.5, n), 2) if self.kind.right else np.zeros(n),
            rng.integers(1, 7, size=n),
            tuple(one[shuffled] for one in level),
        )

    @cached_property
    def model(self) -> Model:
        """The package's model, of some response."""
        rows, kind, level = self.rows, self.kind, self.rows.level
        columns: dict[str, Any] = {"x": rows.x, "m": rows.trials, "o": rows.offset}
        columns["y"] = np.arange(rows.x.size) % 2
        if kind.phi:
            columns["y"] = 1 + 6 * columns["y"]  # positive, and more spread than a Poisson
        if self.structure.name == "nested":
            columns |= {"a": _texts("a", level[0]), "b": _texts("b", level[1] % 2)}
        else:
            columns |= {t.group: _texts(t.group, i) for t, i in zip(self.terms, level, strict=True)}
        priors: dict[str, Any] = {
            "Intercept": bg.Normal(*kind.intercept),
            "x": bg.Normal(*SLOPE),
            **{term.group: self._sigma(term) for term in self.terms},
        }
        if self.phi_prior is not None:
            priors[kind.phi] = self.phi_prior.prior
        formula = f"{kind.left} ~ x + {self.structure.formula}{kind.right}"
        model = bg.glmm(formula, columns, kind.name, priors=priors)
        for factor, own in zip(model.design.factors, level, strict=True):
            if not np.array_equal(factor.index, own):
                raise ValueError(f"{self.name}: levels of {factor.name} are not in order")
        return model

    def _sigma(self, term: Term) -> Any:
        if self.prior == WISHART:
            return bg.InverseWishart(*term.wishart)
        sds = [bg.HalfStudentT(HALF_T_DF, scale) for scale in term.scales]
        own: dict[str, Any] = {"sd": dict(zip(term.names, sds, strict=True))}
        return own | {"cor": bg.LKJ(LKJ_ETA)} if len(sds) > 1 else own

    def draw(self, rng: np.random.Generator) -> Values:
        """Draw once from the prior of everything; shapes (1, ...)."""
        mean, sd = self.kind.intercept
        slope = rng.normal(*SLOPE)
        # The package's prior of the intercept is at the mean of x.
        beta = np.array([rng.normal(mean, sd) - slope * self.rows.x.mean(), slope])
        sds, cors, u = [], [], {}
        for term in self.terms:
            sigma = self._draw_sigma(rng, term)
            root = np.linalg.cholesky(sigma)
            u[term.group] = (rng.normal(size=(term.levels, len(term.names))) @ root.T)[None]
            own = np.sqrt(np.diag(sigma))
            sds.append(own)
            if own.size > 1:
                cors.append(sigma[1, 0] / (own[0] * own[1]))
        values: Values = {
            "beta": beta[None],
            "sd": np.concatenate(sds)[None],
            "cor": np.array(cors)[None],
            "u": u,
        }
        if self.phi_prior is not None:
            values[self.kind.phi] = np.array([self.phi_prior.draw(rng)])
        return values

    def _draw_sigma(self, rng: np.random.Generator, term: Term) -> np.ndarray:
        q = len(term.names)
        if self.prior == LKJ:
            sd = np.abs(rng.standard_t(HALF_T_DF, q)) * term.scales
            # LKJ of two dimensions: (rho + 1) / 2 ~ Beta(eta, eta)
            R = np.eye(q)
            if q > 1:
                R[0, 1] = R[1, 0] = 2.0 * rng.beta(LKJ_ETA, LKJ_ETA) - 1.0
            out: np.ndarray = sd[:, None] * R * sd
            return out
        # The inverse of a Wishart matrix by Bartlett's decomposition.
        df, scale = term.wishart
        A = np.diag(np.sqrt(rng.chisquare(df - np.arange(q))))
        A[np.tril_indices(q, -1)] = rng.normal(size=q * (q - 1) // 2)
        B = np.linalg.cholesky(np.linalg.inv(scale)) @ A
        return np.asarray(np.linalg.inv(B @ B.T))

    def respond(self, rng: np.random.Generator, values: Values) -> np.ndarray:
        """Simulate the responses of one draw of the parameters."""
        eta = self.rows.predictor(values, self.terms)[0]
        phi = float(values[self.kind.phi][0]) if self.kind.phi else 1.0
        return self.kind.draw(rng, eta, phi, self.rows.trials)

    def sigmas(self, values: Values) -> Iterator[tuple[Term, np.ndarray]]:
        """Covariance matrices (n, q, q) of each term."""
        place = 0
        for term in self.terms:
            q = len(term.names)
            sd = values["sd"][:, place : place + q]
            place += q
            sigma = sd[:, :, None] * np.eye(q) * sd[:, None, :]
            if q > 1:
                sigma[:, 0, 1] = sigma[:, 1, 0] = values["cor"][:, 0] * sd[:, 0] * sd[:, 1]
            yield term, sigma

    def quantities(self, values: Values, y: np.ndarray) -> dict[str, np.ndarray]:
        """Test quantities (n,) of n draws, given the responses.

        ``u`` are three effects, the first, one in the middle, and the last; ``prediction`` is the
        linear predictor of a row that is not in the data.
        """
        out = {f"beta[{name}]": values["beta"][:, k] for k, name in enumerate(("Intercept", "x"))}
        names = [f"sd({name}|{t.group})" for t in self.terms for name in t.names]
        out |= {name: values["sd"][:, k] for k, name in enumerate(names)}
        if values["cor"].shape[1]:
            out["cor"] = values["cor"][:, 0]
        first, last = values["u"][self.terms[0].group], values["u"][self.terms[-1].group]
        out |= {"u first": first[:, 0, 0], "u middle": first[:, 2, -1], "u last": last[:, -1, -1]}
        kind = self.kind
        phi = values[kind.phi][:, None] if kind.phi else np.ones((len(values["sd"]), 1))
        if kind.phi:
            out[kind.phi] = phi[:, 0]
        eta = self.rows.predictor(values, self.terms)
        out["log likelihood"] = kind.loglik(y, eta, phi, self.rows.trials).sum(axis=1)
        prior, determinant = self._logprior(values)
        out["log prior"], out["det Sigma"] = prior, determinant
        new = Rows(
            np.array([1.3]),
            np.zeros(1),
            np.ones(1),
            tuple(np.ones(1, dtype=np.int64) for _ in self.terms),
        )
        out["prediction"] = new.predictor(values, self.terms)[:, 0]
        return out

    def _logprior(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        """Log prior of coefficients, Sigmas, dispersion and effects; product of determinants."""
        mean, sd = self.kind.intercept
        beta = values["beta"]
        centred = beta[:, 0] + beta[:, 1] * self.rows.x.mean()
        prior = -0.5 * ((centred - mean) / sd) ** 2
        prior -= 0.5 * ((beta[:, 1] - SLOPE[0]) / SLOPE[1]) ** 2
        product = np.ones(len(beta))
        for term, sigma in self.sigmas(values):
            q, u = len(term.names), values["u"][term.group]
            determinant = np.linalg.det(sigma)
            product *= determinant
            squares = np.einsum("njk,njl->nkl", u, u)
            if self.prior == WISHART:
                df, scale = term.wishart
                prior -= 0.5 * (df + q + 1.0) * np.log(determinant)
                squares = squares + np.array(scale)
            else:
                for k, s in enumerate(term.scales):
                    prior += half_t(HALF_T_DF, s).logpdf(np.sqrt(sigma[:, k, k]))
                if q > 1:
                    rho = values["cor"][:, 0]
                    prior += (LKJ_ETA - 1.0) * np.log1p(-(rho**2))
            prior -= 0.5 * term.levels * np.log(determinant)
            prior -= 0.5 * np.einsum("nkl,nlk->n", np.linalg.inv(sigma), squares)
        if self.phi_prior is not None:
            prior += self.phi_prior.logpdf(values[self.kind.phi])
        return prior, product


def _texts(name: str, level: np.ndarray) -> list[str]:
    return [f"{name}{k}" for k in level]


CELLS = tuple(Cell(k, s, prior) for k in KINDS for s in STRUCTURES for prior in PRIORS)
BY_NAME = {cell.name: cell for cell in CELLS}
