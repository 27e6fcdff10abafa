"""Steps of the crossed sampler that read theta, u and eta alone."""

import math
from typing import Any

import joint_crossed
import numpy as np
from balance import STATES, OnTheta
from joint import Load
from joint_crossed import CrossedCase
from scipy import special, stats
from scripted import sure


class OfCrossed(OnTheta):
    """A step of the crossed sampler that reads theta, u and eta alone."""

    def begin_at(self, name: str, change: np.ndarray) -> None:
        """States are the first one's theta, changed."""
        theta, self.u = self.first()
        self.moves = self.part(name)
        self.thetas = theta + change
        self.points = [np.concatenate([theta, self.u]) for theta in self.thetas]

    def means(self, i: int) -> np.ndarray:
        """Mean of every row of the data."""
        row = np.argmax(self.moves.data.obs.offset[:, None] == self.case.frame.w.to_numpy(), axis=1)
        self.responses = self.y[row]
        eta = self.case.eta_of(self.density.values(self.thetas[i], self.u))
        return self.case.mean(eta)[0][row]


class Loose(OfCrossed):
    """Coefficients by a Newton step of fixed curvature, or by a walk."""

    def __init__(self, case: CrossedCase, load: Load, walk: bool = False) -> None:
        super().__init__(case, load)
        self.begin_at("crossed: loose coefficients", np.zeros((STATES, 1)))
        self.rest, self.walk, self.module = self.moves.rest, walk, self.moves.loose
        assert self.rest.number[self.module.POWER] == 0.0
        self.s = 0.15 * self.rng.normal(size=(STATES, len(self.rest.basis)))
        assert self.s.size
        p = self.rest.basis.shape[1]
        self.thetas[:, :p] += self.s @ self.rest.basis
        self.points = [np.concatenate([theta, self.u]) for theta in self.thetas]
        self.P = self.rest.gram + self.rest.prior
        self.length = abs(self.moves.state["proposal_loose"][0, 0])

    def middle(self, i: int) -> np.ndarray:
        """Where a step from a state leads without its noise."""
        if self.walk:
            return self.s[i]
        mu, obs = self.means(i), self.moves.data.obs
        p, (mean, scale) = self.rest.basis.shape[1], np.array(self.case.beta).T * self.model.x_scale
        beta = self.thetas[i, :p]
        slope = -np.sign(beta - mean) / scale if self.case.laplace else (mean - beta) / scale**2
        g = self.rest.basis @ (obs.X[:p] @ (self.responses - mu) + slope)
        return self.s[i] + np.linalg.solve(self.P, g)

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        noise = np.linalg.cholesky(self.P).T @ (self.s[j] - self.middle(i))
        return {"normals": noise / (self.length if self.walk else 1.0), "answers": [self.walk]}

    def log_proposal(self, i: int, j: int) -> float:
        sure(self.script.limits[0] == math.log(self.module.WALKS), "another share of walks")
        away = self.s[j] - self.middle(i)
        return -0.5 * float(away @ self.P @ away) / (self.length**2 if self.walk else 1.0)


class Dispersion(OfCrossed):
    """The log dispersion by a Newton step of fixed curvature, or by a walk."""

    def __init__(self, case: CrossedCase, load: Load, walk: bool = False) -> None:
        super().__init__(case, load)
        self.begin_at("crossed: dispersion", np.zeros((STATES, 1)))
        self.thetas[:, -1] += 0.2 * self.rng.normal(size=STATES)
        self.points = [np.concatenate([theta, self.u]) for theta in self.thetas]
        self.walk, self.module = walk, self.moves.loose
        self.P = self.moves.rest.number[self.module.CURVATURE]
        self.length = abs(self.moves.state["proposal_loose"][1, 0])

    def middle(self, i: int) -> float:
        x, (k, rate) = self.thetas[i, -1], self.case.root
        if self.walk:
            return x
        phi, mu = math.exp(x), self.means(i)
        y = self.responses
        if self.case.family == "gamma":
            slopes = math.log(phi) + 1.0 - special.digamma(phi) + np.log(y / mu) - y / mu
        else:
            slopes = special.digamma(y + phi) - special.digamma(phi)
            slopes = slopes + np.log(phi / (phi + mu)) + (mu - y) / (phi + mu)
        # t = phi^-1/2 ~ Gamma(k, rate), log t = - x / 2
        return x + (phi * slopes.sum() - 0.5 * (k - rate * phi**-0.5)) / self.P

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        noise = (self.thetas[j, -1] - self.middle(i)) * math.sqrt(self.P)
        return {"normals": [noise / (self.length if self.walk else 1.0)], "answers": [self.walk]}

    def log_proposal(self, i: int, j: int) -> float:
        away = self.thetas[j, -1] - self.middle(i)
        return -0.5 * self.P * away**2 / (self.length**2 if self.walk else 1.0)


class Residual(OfCrossed):
    """Sigma of a Gaussian response, proposed as if its prior were flat."""

    def __init__(self, case: CrossedCase, load: Load) -> None:
        super().__init__(case, load)
        self.begin_at("crossed: dispersion", np.zeros((STATES, 1)))
        self.thetas[:, -1] += 0.4 * self.rng.normal(size=STATES)
        self.points = [np.concatenate([theta, self.u]) for theta in self.thetas]
        self.squares = float(((self.means(0) - self.responses) ** 2).sum())

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        return {"gammas": [0.5 * self.squares * math.exp(-2.0 * self.thetas[j, -1])]}

    def log_proposal(self, i: int, j: int) -> float:
        half = 0.5 * joint_crossed.ROWS
        sure(self.script.shapes == [half], "another gamma law")
        law, x = stats.invgamma(half, scale=0.5 * self.squares), self.thetas[j, -1]
        return float(law.logpdf(math.exp(2.0 * x))) + 2.0 * x


class Nested(OfCrossed):
    """Covariances of a nested pair, walking at random with the parents' effects integrated out."""

    def __init__(self, case: CrossedCase, load: Load, which: int) -> None:
        super().__init__(case, load)
        name = ("child", "parent", "against each other")[which]
        self.begin_at(f"crossed: nested, {name}", np.zeros((STATES, 1)))
        self.replace("conditionals.nested", ROUNDS=1)
        plan, fields = self.moves.program.plan, self.moves.fields
        cov, p = self.moves.data.prior.covariance, self.moves.program.p
        child, parent = (plan.table[plan.pair[0, k]] for k in (0, 1))
        own = [
            np.flatnonzero((cov.row >= t[fields.COLUMN]) & (cov.row < t[fields.COLUMNS]))
            for t in (child, parent)
        ]
        self.sizes = [len(own[0]), len(own[1]), 0]
        self.accepted = self.which = which
        self.step = self.moves.steps[which, 0]
        if which < 2:
            directions = np.eye(cov.row.size)[own[which]]
        else:
            diagonal = cov.row == cov.col
            directions = np.zeros((1, cov.row.size))
            directions[0, own[0]], directions[0, own[1]] = 1.0, -1.0
            directions *= diagonal
        self.noise = 0.5 * self.rng.normal(size=(STATES, len(directions)))
        self.thetas[:, p : p + cov.row.size] += self.noise @ directions
        self.points = list(self.thetas)

    def place(self, i: int) -> None:
        self.moves.begin(self.thetas[i].copy(), self.u.copy())

    def go(self) -> np.ndarray:
        return self.moves.step()[0]

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        # A walk begins with a number for what goes up and down.
        before = sum(1 + size for size in self.sizes[: self.which])
        own = (self.noise[j] - self.noise[i]) / self.step
        own = [*own] if self.which == 2 else [0.0, *own]
        return {
            "normals": [*[0.0] * before, *own, *[0.0] * 50],
            "answers": [False] * self.which,
        }

    def log_proposal(self, i: int, j: int) -> float:
        return 0.0

    def log_target(self, i: int) -> float:
        values = self.density.values(self.thetas[i], self.u)
        child, parent = values["u"]["c"][0], values["u"]["g"][0]
        sigma = {term.factor: sd[:, None] * R * sd for term, sd, R in self.density.terms(values)}
        above = np.empty(len(child), dtype=int)
        above[joint_crossed.LEVELS["c"]] = joint_crossed.LEVELS["g"]
        total = self.density.of_scales(values)
        for g in range(len(parent)):
            s = child[above == g] + parent[g]
            n = len(s)
            V = np.kron(np.eye(n), sigma["c"]) + np.kron(np.ones((n, n)), sigma["g"])
            total += float(stats.multivariate_normal(cov=V).logpdf(s.ravel()))
        return total
