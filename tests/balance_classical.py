"""Walks, scoring steps and exact proposals of coefficients and covariances."""

import math
from collections.abc import Sequence
from typing import Any

import joint_crossed
import numpy as np
from balance import OnTheta, off
from joint import Load
from joint_crossed import CrossedCase
from joint_density import log_of_sigma
from scipy import special, stats
from scripted import sure


class Walk(OnTheta):
    """Random walks of the classical sampler: symmetric."""

    def __init__(self, case: CrossedCase, load: Load, name: str, members: Sequence[int]) -> None:
        super().__init__(case, load)
        self.setup(name, members)
        program, state = self.moves.program, self.moves.state
        size, row = self.members.size, program.steps.step[0]
        places = load("conditionals.classical_state")
        at = row[places.TRIANGLE]
        self.factor = state["tuning_scale"][0] * program.tuning_of(state).triangle[
            at : at + size * size
        ].reshape(size, size)
        own = program.steps.member[row[places.FIRST] : row[places.LAST]]
        assert sorted(own) == sorted(self.members)
        self.members = own

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        change = (self.thetas[j] - self.thetas[i])[self.members]
        return {"normals": np.linalg.solve(self.factor, change)}

    def log_proposal(self, i: int, j: int) -> float:
        return 0.0


class Newton(OnTheta):
    """Coefficients by a step of iteratively weighted least squares from where the chain is."""

    def __init__(self, case: CrossedCase, load: Load, name: str) -> None:
        super().__init__(case, load)
        self.setup(name, range(len(case.beta)))

    def law(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and precision: Poisson or Bernoulli rows, and Normals near the priors."""
        obs, p, beta = self.moves.data.obs, self.members.size, self.thetas[i][self.members]
        theta, u = np.split(self.points[i], [len(self.thetas[i])])
        row = np.argmax(obs.offset[:, None] == self.case.frame.w.to_numpy(), axis=1)
        eta = self.case.eta_of(self.density.values(theta, u))[0][row]
        mu = np.exp(eta) if self.case.family == "poisson" else special.expit(eta)
        weight = mu if self.case.family == "poisson" else mu * (1.0 - mu)
        mean, scale = np.array(self.case.beta).T * self.model.x_scale
        X, y = obs.X[:p], self.y[row]
        H = (X * weight) @ X.T + np.diag(scale**-2.0)
        return beta + np.linalg.solve(H, X @ (y - mu) + (mean - beta) / scale**2), H

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        mean, H = self.law(i)
        return {"normals": np.linalg.cholesky(H).T @ (self.thetas[j][self.members] - mean)}

    def log_proposal(self, i: int, j: int) -> float:
        mean, H = self.law(i)
        law = stats.multivariate_normal(mean, np.linalg.inv(H))
        return float(law.logpdf(self.thetas[j][self.members]))


class Sigma(OnTheta):
    """Sigma of a term, or one sd of it, given the effects: proposed as if the prior were flat."""

    def __init__(self, case: CrossedCase, load: Load, name: str) -> None:
        super().__init__(case, load)
        data, term = self.model.problem.data, case.effects[0]
        p, m = data.obs.X.shape[0], data.prior.covariance.row.size
        self.whole = term.correlated
        self.accepted = -1 if self.whole else 0
        self.setup(name, range(p, p + m) if self.whole else [p])
        z = self.model.z_scale
        u = self.user(0)["u"][term.factor][0] * z
        self.sums, self.z = u.T @ u, z
        self.levels = term.levels

    def user(self, i: int) -> dict[str, Any]:
        return self.density.values(*np.split(self.points[i], [len(self.thetas[i])]))

    def sigma(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sds, R and Sigma of a state, on the scale inside."""
        _, sd, R = next(self.density.terms(self.user(i)))
        sd = sd * self.z
        return sd, R, sd[:, None] * R * sd

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        sd, _, sigma = self.sigma(j)
        if not self.whole:
            # The last one, of the other sd, is rejected.
            return {"gammas": [0.5 * self.sums[0, 0] / sd[0] ** 2, 1.0]}
        # Bartlett (1933): A A' = F' Sigma^-1 F with F F' the sums.
        F = np.linalg.cholesky(self.sums)
        A = np.linalg.cholesky(F.T @ np.linalg.solve(sigma, F))
        k, l = np.tril_indices(len(sd), -1)
        return {"gammas": 0.5 * np.diag(A) ** 2, "normals": A[k, l]}

    def log_proposal(self, i: int, j: int) -> float:
        sd, R, sigma = self.sigma(j)
        shapes = 0.5 * (self.levels - 1.0 - np.arange(len(sd) if self.whole else 1))
        sure(off(np.array(self.script.shapes[: len(shapes)]), shapes) < 1e-14, "another gamma law")
        if self.whole:
            law = stats.invwishart(self.levels - 1.0, self.sums)
            return float(law.logpdf(sigma)) + log_of_sigma(sd, R)
        law = stats.invgamma(0.5 * (self.levels - 1.0), scale=0.5 * self.sums[0, 0])
        return float(law.logpdf(sd[0] ** 2)) + 2.0 * math.log(sd[0])


class Centred(OnTheta):
    """Coefficients given the effects they are the means of, or given their sums along directions.

    Proposed under a Normal near each prior; the linear predictor is held.
    """

    def __init__(self, case: CrossedCase, load: Load, name: str, factor: int = 0) -> None:
        super().__init__(case, load)
        self.setup(name, [])
        data, self.factor = self.model.problem.data, factor
        p = data.obs.X.shape[0]
        columns = np.flatnonzero(data.factor == factor)
        self.place_u = data.effect[columns][:, None] + np.arange(data.levels[factor])
        X, Z, level = data.obs.X, data.obs.Z[columns], data.level[factor]
        # W of each coefficient that these effects can take up.
        self.own, W = [], []
        for j in range(p):
            w = np.zeros((columns.size, self.place_u.shape[1]))
            for g in range(w.shape[1]):
                w[:, g] = np.linalg.lstsq(Z[:, level == g].T, X[j, level == g], rcond=None)[0]
            if np.abs((Z * w[:, level]).sum(axis=0) - X[j]).max() < 1e-9:
                self.own.append(j)
                W.append(w)
        self.W = np.array(W)
        assert self.own
        for theta, point in zip(self.thetas, self.points, strict=True):
            change = 0.5 * self.rng.normal(size=len(self.own))
            theta[self.own] += change
            point[: theta.size] = theta
            point[theta.size + self.place_u] -= np.einsum("a,akg->kg", change, self.W)
        L = joint_crossed.factor_of(data, load("covariance").factors, self.thetas[0])
        self.L = L[np.ix_(columns, columns)]
        self.mean, self.scale = (np.array(case.beta).T * self.model.x_scale)[:, self.own]

    def law(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and precision, of what is held alone: gamma = W beta + u."""
        beta, u = self.thetas[0][self.own], self.points[0][self.thetas[0].size + self.place_u]
        gamma = u + np.einsum("a,akg->kg", beta, self.W)
        V = np.linalg.solve(self.L, self.W.transpose(1, 0, 2).reshape(len(self.L), -1))
        V = V.reshape(len(self.L), len(self.own), -1)
        g = np.linalg.solve(self.L, gamma)
        P = np.einsum("kag,kbg->ab", V, V) + np.diag(self.scale**-2.0)
        h = np.einsum("kag,kg->a", V, g) + self.mean / self.scale**2
        return np.linalg.solve(P, h), P

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        mean, P = self.law()
        return {"normals": np.linalg.cholesky(P).T @ (self.thetas[j][self.own] - mean)}

    def log_proposal(self, i: int, j: int) -> float:
        mean, P = self.law()
        away = self.thetas[j][self.own] - mean
        return -0.5 * float(away @ P @ away)
