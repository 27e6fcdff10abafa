"""Effects, each level accepted by itself."""

from collections.abc import Iterator
from typing import Any

import joint_crossed
import numpy as np
from balance import ARRIVAL, CERTAIN, STATES, OnTheta, off
from joint import Load
from joint_crossed import CrossedCase
from scipy import special, stats
from scripted import Unknown, sure


class Levels(OnTheta):
    """Effects, each level accepted by itself; all levels go from state i to j at once."""

    def lay(self, name: str, spread: float = 0.5) -> None:
        self.setup(name, [])
        data = self.model.problem.data
        q, J = len(data.factor), int(data.levels[0])
        self.shape, self.theta = (q, J), self.thetas[0]
        self.us = self.u + spread * self.rng.normal(size=(STATES, self.u.size))
        self.points = [np.concatenate([self.theta, u]) for u in self.us]
        self.L = joint_crossed.factor_of(data, self.load("covariance").factors, self.theta)

    def v(self, i: int) -> np.ndarray:
        """L^-1 u (q, J)."""
        return np.linalg.solve(self.L, self.us[i].reshape(self.shape))

    def log_targets(self, i: int) -> np.ndarray:
        """Log target of each level, up to constants."""
        found = np.empty(self.shape[1])
        for g in range(self.shape[1]):
            u = self.us[0].reshape(self.shape).copy()
            u[:, g] = self.us[i].reshape(self.shape)[:, g]
            found[g] = self.density(self.theta, u.ravel())
        return found

    def log_proposals(self, i: int, j: int) -> np.ndarray:
        raise NotImplementedError

    def imbalance(self) -> float:
        """Each level is accepted just below the chance it should have, rejected just above it."""
        states = range(STATES)
        target = [self.log_targets(i) for i in states]
        for i, j in ((i, j) for i in states for j in states if i != j):
            ratio = target[j] - target[i] + self.log_proposals(j, i) - self.log_proposals(i, j)
            chance = np.minimum(ratio, 0.0)
            for above in (False, True):
                u = np.exp(chance + (CERTAIN if above else -CERTAIN))
                numbers = self.numbers(i, j)
                before = numbers.pop("uniforms", ())
                self.place(i)
                self.script.begin(**numbers, uniforms=[*before, np.minimum(u, 1.0 - 1e-16)])
                reached = self.go()
                taken = np.ones(self.shape[1], bool) if not above else u >= 1.0
                want = np.where(taken, *(self.us[k].reshape(self.shape) for k in (j, i)))
                want = np.concatenate([self.theta, want.ravel()])
                sure(off(reached, want) < ARRIVAL, f"{i} to {j}: another chance")
        return CERTAIN


class Renewal(Levels):
    """Effects from the mixture of the transported sampler."""

    def __init__(self, case: CrossedCase, load: Load) -> None:
        super().__init__(case, load)
        self.lay("gibbs: effects")
        renewal, self.transport = load("conditionals.renewal"), load("conditionals.transport")
        self.shares = 1.0 - renewal.DEFENSE - renewal.WIDE, renewal.WIDE, renewal.DEFENSE
        self.spreads = 1.0, renewal.SPREAD
        self.moves.begin(self.theta.copy(), self.us[0].copy())
        state = self.moves.state
        side = state["flag"][self.transport.SIDE]
        self.center, self.C = state["center"][side].copy(), state["C"][side].copy()

    def go(self) -> np.ndarray:
        return self.advance(1)

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        v, J, component = self.v(j), self.shape[1], (i + j) % 3
        away = np.einsum("lkg,lg->kg", np.tril(self.C.transpose(2, 0, 1)).transpose(1, 2, 0),
                         v - self.center)  # fmt: skip
        noise = v if component == 2 else away / self.spreads[component]
        low = (self.shares[1] + self.shares[2], self.shares[2], 0.0)[component]
        return {
            "exponentials": [1.0] * 10,
            "normals": noise.ravel(),
            "uniforms": [Unknown(self.script), np.full(J, low + 0.5 * self.shares[component])],
        }

    def log_proposals(self, i: int, j: int) -> np.ndarray:
        v, q = self.v(j), self.shape[0]
        found = np.empty(self.shape[1])
        for g in range(len(found)):
            C = np.tril(self.C[:, :, g])
            near = np.linalg.inv(C @ C.T)
            laws = [
                stats.multivariate_normal(self.center[:, g], near * spread**2)
                for spread in self.spreads
            ]
            laws.append(stats.multivariate_normal(np.zeros(q)))
            logs = [law.logpdf(v[:, g]) for law in laws]
            found[g] = special.logsumexp(logs, b=self.shares)
        return found


class EffectsWalk(Levels):
    """Effects by random walk."""

    def __init__(self, case: CrossedCase, load: Load) -> None:
        super().__init__(case, load)
        self.lay("classical: walk of u")
        places, state = load("conditionals.classical_state"), self.moves.state
        row, (q, J) = self.moves.program.steps.step[0], self.shape
        tuning = self.moves.program.tuning_of(state)
        scale = tuning.level[places.SCALES, row[places.LEVEL] : row[places.LEVEL] + J]
        at = row[places.TRIANGLE]
        triangle = tuning.triangle[at : at + q * q * J].reshape(q, q, J)
        self.factor = scale * triangle

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        change = (self.us[j] - self.us[i]).reshape(self.shape)
        noise = [np.linalg.solve(self.factor[:, :, g], c) for g, c in enumerate(change.T)]
        return {"normals": np.array(noise).T.ravel()}

    def log_proposals(self, i: int, j: int) -> np.ndarray:
        return np.zeros(self.shape[1])


class EffectsNewton(Levels):
    """Effects by a step of iteratively weighted least squares from where the chain is."""

    def __init__(self, case: CrossedCase, load: Load) -> None:
        super().__init__(case, load)
        self.lay("classical: iwls of u")

    def laws(self, i: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Mean and precision of v of each level: Poisson or Bernoulli rows."""
        data, v = self.moves.data, self.v(i)
        row = np.argmax(data.obs.offset[:, None] == self.case.frame.w.to_numpy(), axis=1)
        eta = self.case.eta_of(self.density.values(self.theta, self.us[i]))
        mu = self.case.mean(eta)[0][row]
        weight = mu if self.case.family == "poisson" else mu * (1.0 - mu)
        for g in range(self.shape[1]):
            own = data.level[0] == g
            Z = data.obs.Z[:, own]
            H = np.eye(len(Z)) + self.L.T @ (Z * weight[own]) @ Z.T @ self.L
            score = self.L.T @ Z @ (self.y[row] - mu)[own] - v[:, g]
            yield v[:, g] + np.linalg.solve(H, score), H

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        noise = [
            np.linalg.cholesky(H).T @ (v - mean)
            for v, (mean, H) in zip(self.v(j).T, self.laws(i), strict=True)
        ]
        return {"normals": np.array(noise).T.ravel()}

    def log_proposals(self, i: int, j: int) -> np.ndarray:
        return np.array(
            [
                stats.multivariate_normal(mean, np.linalg.inv(H)).logpdf(v)
                for v, (mean, H) in zip(self.v(j).T, self.laws(i), strict=True)
            ]
        )
