"""Metropolis steps with every random number in our hands: flows between states are equal, exactly.

A step runs as plain Python, its random numbers scripted (`Script`). Seven states lie on a lattice,
and each is proposed from each other one by the numbers that lead there. A uniform that decides
stays unknown: what it is compared with is the chance of the branch, exactly. Then

    pi_i q_ij min(1, a_ij) = pi_j q_ji min(1, a_ji)

has to hold to rounding (Metropolis et al. 1953, Hastings 1970). pi is `log_density`, made of
scipy's distributions on the user's scale; q is the law that the step says it proposes from, put
down here once more; that the step draws from that law shows in where it arrives.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import exact_ranks
import general_cases as general
import joint_crossed
import numpy as np
from joint import Load
from joint_crossed import CrossedCase, Effects
from scipy import special, stats

STATES = 7
SEED = 5  # such that no term of a density is so large that its rounding shows
ARRIVAL = 1e-11  # relative to the larger of 1 and the coordinate
CERTAIN = 1e-12  # by how much the log of a chance may be off


class Broken(AssertionError):
    """A step does something else than it says."""


def sure(true: Any, what: str) -> None:
    """Raise `Broken` unless something is true."""
    if not true:
        raise Broken(what)


class Unknown:
    """A uniform that has not been drawn, or its logarithm."""

    def __init__(self, script: "Script", logged: bool = False) -> None:
        self.script, self.logged = script, logged

    def log(self) -> "Unknown":
        return Unknown(self.script, True)

    def __lt__(self, limit: float) -> bool:
        return self.script.decide(float(limit) if self.logged else log_of(limit))


def log_of(x: Any) -> Any:
    """As `mutants.QUIET` has it, of what is known; else what is to be compared."""
    if isinstance(x, Unknown):
        return x.log()
    return math.log(x) if x > 0.0 else -math.inf if x == 0.0 else math.nan


class Script:
    """The random numbers of a plain copy of the package, in place of its stream."""

    def __init__(self, load: Load) -> None:
        quiet = load("quiet_math")
        quiet.log = log_of
        package = quiet.__name__.rpartition(".")[0]
        for name, module in list(sys.modules.items()):
            if name.startswith(package + ".") and not name.endswith("._random"):
                for own in ("uniform", "normal", "exponential", "gamma"):
                    if hasattr(module, own):
                        setattr(module, own, getattr(self, own))
                for own in ("fill_uniforms", "fill_normals"):
                    if hasattr(module, own):
                        setattr(module, own, getattr(self, own))
        self.askers: set[str] = set()  # who has drawn uniforms
        self.begin()

    def begin(
        self,
        normals: Sequence[float] = (),
        exponentials: Sequence[float] = (),
        gammas: Sequence[float] = (),
        answers: Sequence[bool] = (),
        uniforms: Sequence[Any] = (),
    ) -> None:
        """What comes next; comparisons without an answer are said to be true."""
        self.normals, self.exponentials = iter(normals), iter(exponentials)
        self.gammas, self.answers, self.uniforms = iter(gammas), iter(answers), iter(uniforms)
        self.limits: list[float] = []  # logs of the chances of what was decided
        self.shapes: list[float] = []  # of gamma variates

    def decide(self, limit: float) -> bool:
        self.limits.append(limit)
        return next(self.answers, True)

    def _note(self) -> None:
        asker = sys._getframe(2)
        package = asker.f_globals["__name__"].partition(".")[2]
        self.askers.add(f"{package}.{asker.f_code.co_name}")

    def uniform(self, state: Any) -> Any:
        self._note()
        return next(self.uniforms, Unknown(self))

    def normal(self, state: Any) -> float:
        return next(self.normals)

    def exponential(self, state: Any) -> float:
        return next(self.exponentials)

    def gamma(self, state: Any, shape: float) -> float:
        self.shapes.append(shape)
        return next(self.gammas)

    def fill_normals(self, state: Any, out: np.ndarray) -> None:
        out[:] = [next(self.normals) for _ in out]

    def fill_uniforms(self, state: Any, out: np.ndarray) -> None:
        self._note()
        out[:] = next(self.uniforms)


# An independent log density.


def correlations(x: np.ndarray) -> np.ndarray:
    """R of angles x (q, q), below the diagonal: rows (sinh x, 1) of length 1; x may be complex."""
    rows = np.tril(np.sinh(x), -1) + np.eye(len(x))
    rows = rows / np.sqrt((rows**2).sum(axis=1))[:, None]
    return rows @ rows.T


def log_slope_of_correlations(R: np.ndarray) -> float:
    """Log |dR / dx|, by complex steps."""
    q = len(R)
    below = np.tril_indices(q, -1)
    if q == 1:
        return 0.0
    L = np.linalg.cholesky(R)
    x = np.arcsinh(np.tril(L, -1) / np.diag(L)[:, None])
    slopes = []
    for k, l in zip(*below, strict=True):
        step = np.zeros((q, q), dtype=complex)
        step[k, l] = 1e-30j
        slopes.append(correlations(x + step)[below].imag / 1e-30)
    return float(np.linalg.slogdet(np.array(slopes))[1])


def covariance_of(term: Effects, sd: np.ndarray, cor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R and Sigma of a term."""
    R = np.eye(term.q)
    if term.correlated:
        k, l = np.tril_indices(term.q, -1)
        R[k, l] = R[l, k] = cor
    return R, sd[:, None] * R * sd


def log_of_sigma(sd: np.ndarray, R: np.ndarray) -> float:
    """Log |d Sigma / d (log sds, angles)|."""
    q = len(sd)
    return q * math.log(2.0) + (q + 1) * np.log(sd).sum() + log_slope_of_correlations(R)


def log_prior_of_term(term: Effects, sd: np.ndarray, R: np.ndarray, sigma: np.ndarray) -> float:
    """Log prior of log sds and angles."""
    if term.wishart is not None:
        return stats.invwishart(*term.wishart).logpdf(sigma) + log_of_sigma(sd, R)
    if term.huang is not None:
        # Huang and Wand (2013), equation 4, up to a constant.
        scales, nu = np.array(term.huang[0]), term.huang[1]
        precision = np.diag(np.linalg.inv(sigma))
        value = -0.5 * (nu + 2.0 * term.q) * np.linalg.slogdet(sigma)[1]
        value -= 0.5 * (nu + term.q) * np.log(nu * precision + scales**-2.0).sum()
        return value + log_of_sigma(sd, R)
    if term.gamma is not None:
        a, b = term.gamma
        value = (stats.invgamma.logpdf(sd**2, a, scale=b) + np.log(2.0 * sd)).sum()
    elif term.df:
        value = stats.t.logpdf(sd, term.df, scale=term.sd).sum()
    else:
        value = stats.halfnorm.logpdf(sd, scale=term.sd).sum()
    if term.correlated:
        value += (term.eta - 1.0) * np.linalg.slogdet(R)[1] + log_slope_of_correlations(R)
    return value + np.log(sd).sum()


def log_prior_of_dispersion(case: CrossedCase, phi: float) -> float:
    """Log prior of the log dispersion."""
    if case.sigma:
        a, b = case.sigma
        return stats.invgamma.logpdf(phi**2, a, scale=b) + 2.0 * math.log(phi)
    a, rate = case.root
    return stats.gamma.logpdf(phi**-0.5, a, scale=1.0 / rate) - 0.5 * math.log(phi)


class Density:
    """Log density of (beta, log sds, angles, log dispersion, effects) and its parts.

    Parameters
    ----------
    y : ndarray
        Responses, rows as in the frame.
    """

    def __init__(self, case: CrossedCase, model: Any, y: np.ndarray) -> None:
        self.case, self.model, self.y = case, model, y

    def values(self, theta: np.ndarray, u: np.ndarray) -> dict[str, Any]:
        """What inside is theta and u, on the user's scale."""
        found = self.model.to_user(theta[None], u[None])
        found["u"] = {
            term.factor: joint_crossed.by_column(
                self.case, term, self.model, found["u"][self.case.group(term)]
            )
            for term in self.case.effects
        }
        return found

    def terms(self, values: dict[str, Any]) -> Iterator[tuple[Effects, np.ndarray, np.ndarray]]:
        """Each term with its sds and its R."""
        place = at = 0
        for term in self.case.effects:
            sd = values["sd"][0, place : place + term.q]
            size = term.q * (term.q - 1) // 2 if term.correlated else 0
            yield term, sd, covariance_of(term, sd, values["cor"][0, at : at + size])[0]
            place, at = place + term.q, at + size

    def of_beta(self, beta: np.ndarray) -> float:
        mean, scale = np.array(self.case.beta).T
        if self.case.laplace:
            return stats.laplace.logpdf(beta, mean, scale).sum()
        if self.case.beta_df:
            return stats.t.logpdf(beta, self.case.beta_df, mean, scale).sum()
        return stats.norm.logpdf(beta, mean, scale).sum()

    def of_scales(self, values: dict[str, Any]) -> float:
        """Prior of all sds and angles, and of the dispersion."""
        total = 0.0
        for term, sd, R in self.terms(values):
            total += log_prior_of_term(term, sd, R, sd[:, None] * R * sd)
        if self.case.dispersion:
            total += log_prior_of_dispersion(self.case, float(values[self.case.dispersion][0]))
        return total

    def __call__(self, theta: np.ndarray, u: np.ndarray) -> float:
        values = self.values(theta, u)
        phi = values[self.case.dispersion][0] if self.case.dispersion else 1.0
        total = self.case.loglik(self.y, self.case.eta_of(values)[0], phi)
        total += self.of_beta(values["beta"][0]) + self.of_scales(values)
        for term, sd, R in self.terms(values):
            law = stats.multivariate_normal(cov=sd[:, None] * R * sd)
            total += np.sum(law.logpdf(values["u"][term.factor][0]))
        return float(total)


# Steps.


class Step:
    """A step of a sampler on a lattice.

    Attributes
    ----------
    points : list of ndarray
        Coordinates of the states, as `go` returns them.
    accepted : int
        Place among the decisions of a run of that which accepts.
    """

    accepted = -1
    points: list[np.ndarray]

    def __init__(self, case: CrossedCase, load: Load) -> None:
        self.case, self.load = case, load
        self.rng = np.random.default_rng(SEED)
        self.model = case.model(load)
        self.drawn = exact_ranks.draw(case, self.model, load, self.rng, 1)
        self.y = self.drawn.y[0]
        self.density = Density(case, self.model, self.y)
        self.replaced: list[tuple[Any, str, Any]] = []

    def replace(self, module: str, **new: Any) -> None:
        """Put something else in the place of what a sweep does besides, until `restore`."""
        place = self.load(module)
        for name, value in new.items():
            self.replaced.append((place, name, getattr(place, name)))
            setattr(place, name, value)

    def restore(self) -> None:
        """What was replaced is as it was."""
        for place, name, value in self.replaced:
            setattr(place, name, value)

    def part(self, name: str) -> Any:
        """A part by name (`exact_ranks.PARTS`), given the responses; its numbers are scripted."""
        return self.use(exact_ranks.PARTS[name](self.model, self.load))

    def use(self, moves: Any) -> Any:
        exact_ranks.respond(self.case, moves.data.obs, self.y)
        moves.out = [out[:1] for out in moves.out]
        self.script = Script(self.load)
        return moves

    def first(self) -> tuple[np.ndarray, np.ndarray]:
        """The state inside, theta and u, that the responses are drawn at."""
        return self.drawn.theta[0].copy(), self.drawn.u[0].copy()

    def place(self, i: int) -> None:
        """Put the chain at a state."""
        raise NotImplementedError

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        """The numbers that lead from i to j (`Script.begin`); `answers` up to the last one."""
        raise NotImplementedError

    def go(self) -> np.ndarray:
        """Do the step; return the coordinates after."""
        raise NotImplementedError

    def log_target(self, i: int) -> float:
        raise NotImplementedError

    def log_proposal(self, i: int, j: int) -> float:
        raise NotImplementedError

    def to(self, i: int, j: int, accept: bool = True) -> np.ndarray:
        """Propose j from i."""
        self.place(i)
        numbers = self.numbers(i, j)
        before = list(numbers.pop("answers", ()))
        self.script.begin(**numbers, answers=[*before, accept, *[False] * 20])
        return self.go()


def off(x: np.ndarray, y: np.ndarray) -> float:
    """The largest difference, relative to the larger of 1 and the coordinate."""
    return float((np.abs(x - y) / np.maximum(1.0, np.abs(y))).max())


def imbalance(step: Step) -> float:
    """The largest |flow forth / flow back - 1| of two states.

    Fails where a step does not arrive at what it proposes, or leaves where it is rejected.
    """
    states = range(len(step.points))
    target, flow = [step.log_target(i) for i in states], np.zeros((STATES, STATES))
    for i, j in ((i, j) for i in states for j in states if i != j):
        reached = step.to(i, j)
        sure(off(reached, step.points[j]) < ARRIVAL, f"{i} to {j}: elsewhere than proposed")
        limits = list(step.script.limits)
        # A step that need not ask has accepted.
        chance = min(0.0, limits[step.accepted]) if limits else 0.0
        if limits and step.script.limits[step.accepted] < math.inf:
            left = step.to(i, j, accept=False)
            sure(off(left, step.points[i]) < ARRIVAL, f"{i} to {j}: rejected, and yet moved")
            sure(step.script.limits[step.accepted] == limits[step.accepted], "another chance")
        flow[i, j] = target[i] + step.log_proposal(i, j) + chance
    return float(np.abs(np.expm1(flow - flow.T)).max())


class OnTheta(Step):
    """Steps of theta (and u) of a part: states are whole, (theta, u)."""

    def setup(self, name: str, members: Sequence[int], spread: float = 0.25) -> None:
        """A lattice along some elements of theta."""
        self.members = np.array(members, dtype=int)
        theta, self.u = self.first()
        self.moves = self.part(name)
        self.thetas = np.tile(theta, (STATES, 1))
        noise = self.rng.normal(size=(STATES, self.members.size))
        self.thetas[:, self.members] += spread * noise
        self.points = [np.concatenate([theta, self.u]) for theta in self.thetas]

    def place(self, i: int) -> None:
        theta, u = np.split(self.points[i], [len(self.thetas[i])])
        self.moves.begin(theta.copy(), u.copy())

    def go(self) -> np.ndarray:
        return np.concatenate(self.moves.step())

    def log_target(self, i: int) -> float:
        return self.density(*np.split(self.points[i], [len(self.thetas[i])]))


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


class Carried(OnTheta):
    """A step that carries effects along by a map: states are what it makes of the first one.

    The target is that of (theta, z); how the map stretches shows when the first state is moved.
    """

    def carry(self) -> None:
        """Find the states' effects, and log |du / du_0| of each."""
        d, nv = self.thetas[0].size, self.u.size
        start = self.points[0].copy()
        made = [start, *(self.to(0, j) for j in range(1, STATES))]
        for j, theta in enumerate(self.thetas):
            sure(off(made[j][:d], theta) < ARRIVAL, f"0 to {j}: elsewhere than proposed")
        self.stretch = np.zeros(STATES)
        shifted = np.empty((nv, STATES, nv))
        for k in range(nv):
            self.points[0] = start.copy()
            self.points[0][d + k] += 0.5
            for j in range(1, STATES):
                shifted[k, j] = 2.0 * (self.to(0, j) - made[j])[d:]
        self.points = made
        for j in range(1, STATES):
            self.stretch[j] = np.linalg.slogdet(shifted[:, j])[1]

    def log_target(self, i: int) -> float:
        return super().log_target(i) + self.stretch[i]


class Transported(Carried):
    """A block of theta of the transported sampler, z held."""

    def __init__(
        self, case: CrossedCase, load: Load, block: str, walk: bool = False, linear: bool = False
    ) -> None:
        super().__init__(case, load)
        theta, self.u = self.first()
        transport = load("conditionals.transport")
        # The renewal of the effects is another step.
        self.replace("conditionals.transport", redraw=lambda *_: 0.0)
        moves = exact_ranks.Transported(self.model, load, block, walk, linear)
        self.moves, self.walk = self.use(moves), walk
        self.low, self.high = moves.blocks[0][0, :2]
        proposal = [moves.state[f"proposal_{key}"] for key in ("order", "center", "scale")]
        order, center, scale = proposal
        w = np.tile(np.linalg.solve(scale, theta[order] - center), (STATES, 1))
        # Counts far from zero would cost digits of the log-likelihood.
        w[:, self.low : self.high] += 0.15 * self.rng.normal(size=(STATES, self.high - self.low))
        self.w, self.thetas = w, np.empty((STATES, theta.size))
        self.thetas[:, order] = center + w @ scale.T
        self.points = [np.concatenate([theta, self.u]) for theta in self.thetas]
        self.half = max(transport.HALF_DF, (self.high - self.low + 1) // 2)
        self.step = moves.state["proposal_tuning"][0, transport.STEP]
        self.carry()

    def go(self) -> np.ndarray:
        moves = self.moves
        moves.state["proposal_block"] = moves.blocks[0]
        moves.program.advance(moves.state, 1, *moves.out, 0)
        return np.concatenate([moves.out[0][0], moves.out[1][0]])

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        old, new = (self.w[k, self.low : self.high] for k in (i, j))
        if self.walk:
            return {"normals": (new - old) / self.step}
        exponentials = 0.4 + 0.1 * np.arange(self.half)
        # A t variate is a normal over the root of a chi-square's mean square.
        return {
            "normals": new * math.sqrt(2.0 * exponentials.sum() / (2.0 * self.half)),
            "exponentials": exponentials,
        }

    def log_proposal(self, i: int, j: int) -> float:
        if self.walk:
            return 0.0
        return log_t(self.w[j, self.low : self.high], 2.0 * self.half)


def log_t(w: np.ndarray, df: float) -> float:
    """Log density of a multivariate t of scale 1."""
    return float(stats.multivariate_t(np.zeros(w.size), np.eye(w.size), df).logpdf(w))


class OfFactor(Carried):
    """Psi of one factor of the crossed sampler, z held."""

    def __init__(self, case: CrossedCase, load: Load, walk: bool = False) -> None:
        super().__init__(case, load)
        theta, self.u = self.first()
        moves = self.moves = self.use(joint_crossed.Crossed(self.model, load, walk))
        self.walk, self.crossed = walk, load("conditionals.crossed")
        # All else that a sweep does is left out.
        self.replace("conditionals.levels", redraw=lambda *_: 0.0)
        self.replace("conditionals.directions", draw=lambda *_: None)
        self.replace("conditionals.loose", move=lambda *_: 0.0)
        self.replace(
            "conditionals.centring", draw=lambda p, c, L, t, v, new_v, r: copy_into(new_v, v)
        )
        # The first block of the factor that moves first: all other proposals are rejected.
        block, factor = moves.state["proposal_block"], 1 % len(moves.program.plan.table)
        own_block = int(np.flatnonzero(block[:, self.crossed.FACTOR] == factor)[0])
        low, high = block[own_block, : self.crossed.KIND]
        self.accepted, self.low, self.high = 0, low, high
        center, scale = moves.state["proposal_center"], moves.state["proposal_scale"]
        p = moves.program.p
        own = slice(low, high)
        self.scale = scale[own, own]
        w = np.linalg.solve(self.scale, theta[p + low : p + high] - center[own])
        self.w = w + 0.3 * self.rng.normal(size=(STATES, high - low))
        self.thetas = np.tile(theta, (STATES, 1))
        self.thetas[:, p + low : p + high] = center[own] + self.w @ self.scale.T
        self.points = [np.concatenate([theta, self.u]) for theta in self.thetas]
        self.others = int(sum(block[:, 1] - block[:, 0])) + 20
        self.step = moves.state["proposal_tuning"][own_block, self.crossed.STEP_SIZE]
        self.carry()

    def go(self) -> np.ndarray:
        return np.concatenate(self.moves.step())

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        rest, exponentials = [0.1] * self.others, 0.4 + 0.1 * np.arange(4)
        if self.walk:
            return {"normals": [*(self.w[j] - self.w[i]) / self.step, *rest]}
        factor = math.sqrt(self.crossed.T_DF / (2.0 * exponentials.sum()))
        return {
            "normals": [*self.w[j] / factor, *rest],
            "exponentials": [*exponentials, *[1.0] * 20],
        }

    def log_proposal(self, i: int, j: int) -> float:
        return 0.0 if self.walk else log_t(self.w[j], self.crossed.T_DF)


def copy_into(out: np.ndarray, x: np.ndarray) -> None:
    out[:] = x


class Integrated(Step):
    """t = (psi, log sigma) of the collapsed sampler, coefficients and effects integrated out."""

    def __init__(self, case: CrossedCase, load: Load, walk: bool = False) -> None:
        super().__init__(case, load)
        moves = self.moves = self.use(exact_ranks.Integrated(self.model, load, walk))
        self.walk, self.collapsed = walk, load("conditionals.collapsed")
        nothing = dict.fromkeys(("draw_beta", "draw_rest", "draw_levels"), lambda *_: None)
        self.replace("conditionals.collapsed", **nothing)
        state = moves.state
        self.near, self.center = state["proposal_near"], state["proposal_center"]
        self.scale, d = state["proposal_scale"], state["proposal_center"].size
        assert (self.near > 0.0).any()
        self.w = 0.5 * self.rng.normal(size=(STATES, d))
        self.points = list(self.center + self.w @ self.scale.T)
        moves.program.sums, moves.program.pattern = moves.collect(moves.data)
        self.step = state["proposal_tuning"][0, 0]

    def place(self, i: int) -> None:
        self.moves.state["x"][:] = self.points[i]

    def go(self) -> np.ndarray:
        self.moves.state["flag"][self.collapsed.STATUS] = self.collapsed.MOVED
        self.moves.program.advance(self.moves.state, 1, *self.moves.out, 0)
        return self.moves.state["x"].copy()

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        if self.walk:
            return {"normals": (self.w[j] - self.w[i]) / self.step}
        z, exponentials = 0.8, [0.7, 1.4]
        chi_square = z * z + 2.0 * sum(exponentials)
        factor = math.sqrt(self.collapsed.DF / chi_square)
        return {"normals": [*self.w[j] / factor, z], "exponentials": exponentials}

    def log_proposal(self, i: int, j: int) -> float:
        return 0.0 if self.walk else log_t(self.w[j], float(self.collapsed.DF))

    def log_target(self, i: int) -> float:
        # log sd = log(c log(1 + exp(sinh y))): its slope by a complex step
        c, x = np.where(self.near > 0.0, self.near, 1.0), self.points[i] + 1e-30j
        t = np.where(self.near > 0.0, np.log(c * np.log1p(np.exp(np.sinh(x)))), x)
        slope = np.log(t.imag / 1e-30).sum()
        case, data = self.case, self.model.problem.data
        effects = int(sum(data.levels[f] for f in data.factor))
        theta = np.concatenate([np.zeros(len(case.beta)), t.real])
        values = self.density.values(theta, np.zeros(effects))
        mean, scale = np.array(case.beta).T
        sd = np.array(joint_crossed.ERRORS) if case.known else values[case.dispersion][0]
        V = np.diag(np.full(joint_crossed.ROWS, 1.0) * sd**2) + (case.X * scale**2) @ case.X.T
        for term, sds, R in self.density.terms(values):
            Z, level = columns_of(case, term), np.array(joint_crossed.LEVELS[term.factor])
            V = V + (level[:, None] == level) * (Z @ (sds[:, None] * R * sds) @ Z.T)
        law = stats.multivariate_normal(case.X @ mean + case.frame.w.to_numpy(), V)
        return float(law.logpdf(self.y)) + self.density.of_scales(values) + slope


def columns_of(case: CrossedCase, term: Effects) -> np.ndarray:
    """Z columns of a term (rows, q), from the frame."""
    ones = np.ones(joint_crossed.ROWS)
    return np.array(
        [ones if n == "Intercept" else case.frame[n] for n in term.names], dtype=float
    ).T


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
        moves = self.moves
        moves.state["proposal_block"] = moves.blocks[1]
        moves.program.advance(moves.state, 1, *moves.out, 0)
        return np.concatenate([moves.out[0][0], moves.out[1][0]])

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


class Trajectory(OnTheta):
    """HMC: states lie along one trajectory, and momenta lead from one to the other."""

    def __init__(self, case: CrossedCase, load: Load) -> None:
        super().__init__(case, load)
        theta, self.u = self.first()
        moves = self.moves = self.part("hmc")
        self.state, self.target = moves.state, moves.program.target
        self.size = self.state["step"][0]
        moves.begin(theta, self.u)
        start, momentum = self.state["position"].copy(), 0.8 * self.rng.normal(size=self.dim)
        self.positions, self.momenta = np.tile(start, (STATES + 1, 1)), np.empty((STATES, self.dim))
        self.momenta[0] = momentum
        for n in range(1, STATES + 1):
            self.put(0)
            self.script.begin(**self.lead(momentum, n), answers=[True])
            self.go()
            self.positions[n] = self.state["position"]
        mass = 1.0 / self.state["inverse_metric"]
        for n in range(STATES):
            self.put(n)
            away = (self.positions[n + 1] - self.positions[n]) * mass / self.size
            self.momenta[n] = away - 0.5 * self.size * self.state["gradient"]
        self.points = list(self.positions[:STATES])

    @property
    def dim(self) -> int:
        return self.state["position"].size

    def put(self, i: int) -> None:
        state, target = self.state, self.target
        state["position"][:] = self.positions[i]
        state["value"][0] = target.logdensity(
            self.moves.rows, target.data, target.map, state["position"], state["gradient"]
        )

    place = put

    def lead(self, momentum: np.ndarray, steps: int) -> dict[str, Any]:
        """Numbers for a trajectory of so many steps."""
        self.moves.program = replace(self.moves.program, path_length=self.size * (steps - 0.25))
        return {
            "normals": momentum * np.sqrt(self.state["inverse_metric"]),
            "uniforms": [0.5],
        }

    def numbers(self, i: int, j: int) -> dict[str, Any]:
        return self.lead(self.momenta[i] if j > i else -self.momenta[i], abs(j - i))

    def go(self) -> np.ndarray:
        out = [*self.moves.out, np.empty((1, len(self.moves.program.stats)))]
        self.moves.program.advance(self.state, 1, *out[:3], 0)
        return self.state["position"].copy()

    def log_proposal(self, i: int, j: int) -> float:
        return -0.5 * float((self.momenta[i] ** 2 * self.state["inverse_metric"]).sum())

    def log_target(self, i: int) -> float:
        moves, x = self.moves, self.positions[i]
        d = moves.program.dim
        shifted = np.tile(x, (self.dim - d + 1, 1))
        shifted[1:, d:] += np.eye(self.dim - d)
        theta, u = self.target.unwhiten(shifted)
        stretch = np.linalg.slogdet(u[1:] - u[0])[1]
        return self.density(theta[0], u[0]) + stretch


class Point:
    """A uniform on an interval that is one of the lattice points there."""

    __array_ufunc__ = None  # numpy leaves the multiplication to us

    def __init__(self, pick: Any) -> None:
        self.pick = pick

    def __rmul__(self, span: float) -> "Point":
        self.span = float(span)
        return self

    def __radd__(self, left: float) -> float:
        return self.pick(float(left), float(left) + self.span)


class Slice(OnTheta):
    """A slice along one element of theta (Neal 2003), on a lattice finer than its width.

    Where the first interval lies, how it may grow and which of its points is tried are counted out:
    given the height, the chance from i to j is that from j to i. States may move past the lattice.
    """

    WIDE, OUT = 2, 3  # lattice steps of a width; steps out allowed
    HEIGHTS = (0.15, 0.4, 0.65, 0.9)  # quantiles of the density about the lattice

    def __init__(
        self,
        case: CrossedCase,
        load: Load,
        name: str,
        member: int,
        module: str,
        along: bool = False,
    ) -> None:
        super().__init__(case, load)
        self.setup(name, [])
        self.along, self.member, self.step = along, member, 0.45
        self.replace(f"conditionals.{module}", STEPS_OUT=self.OUT)
        steps = self.moves.program.steps
        steps.width[member] = self.WIDE * self.step
        place = load("conditionals.classical_state")
        row = steps.step[0]
        # Of several elements that are moved in turn, this one alone.
        own = list(steps.member[row[place.FIRST] : row[place.LAST]])
        at = row[place.FIRST] + own.index(member)
        row[[place.FIRST, place.LAST]] = at, at + 1
        self.reach = self.WIDE * self.OUT
        self.begun = self.thetas[0].copy()
        self.marks = [self.state(k) for k in range(-self.reach, STATES + self.reach)]
        self.levels = np.array([self.log_density(k) for k in range(len(self.marks))])

    def state(self, k: int) -> np.ndarray:
        theta = self.begun.copy()
        theta[self.member] += (k - STATES // 2) * self.step
        grown = math.exp(theta[self.member] - self.begun[self.member]) if self.along else 1.0
        return np.concatenate([theta, grown * self.u])

    def log_density(self, k: int) -> float:
        point = self.marks[k]
        value = self.density(*np.split(point, [len(self.begun)]))
        # Of the effects over the sd, which are held.
        return value + self.along * self.u.size * point[self.member]

    def pick(self, left: float, right: float) -> float:
        """One of the lattice points between, as the script has it."""
        start = self.marks[0][self.member] - self.origin
        first = math.floor((left - start) / self.step + 1.25)
        last = math.floor((right - start) / self.step - 0.25)
        sure(last >= first, "nothing left of a slice")
        self.options.append(last - first + 1)
        return self.marks[first + next(self.choices, 0)][self.member] - self.origin

    def chances(self, i: int, height: float) -> np.ndarray:
        """Chance of each lattice point after a slice from i at a height."""
        found, i = np.zeros(len(self.marks)), i + self.reach
        # Steps along a log sd are counted from where it is.
        self.origin = self.marks[i][self.member] if self.along else 0.0
        for part, room in np.ndindex(self.WIDE, self.OUT):
            open_: list[list[int]] = [[]]
            while open_:
                choices = open_.pop()
                self.choices, self.options = iter(choices), []
                begin = [(part + 0.5) / self.WIDE, (room + 0.5) / self.OUT]
                self.script.begin(
                    exponentials=[self.levels[i] - height],
                    uniforms=[*begin, *[Point(self.pick)] * 30],
                )
                theta, u = np.split(self.marks[i], [len(self.begun)])
                self.moves.begin(theta.copy(), u.copy())
                reached = np.concatenate(self.moves.step())
                taken = choices + [0] * (len(self.options) - len(choices))
                for k in range(len(choices), len(taken)):
                    open_ += [[*taken[:k], other] for other in range(1, self.options[k])]
                end = round((reached[self.member] - self.marks[0][self.member]) / self.step)
                sure(off(reached, self.marks[end]) < ARRIVAL, f"{i}: off the lattice")
                found[end] += 1.0 / math.prod(self.options) / self.WIDE / self.OUT
        sure(abs(found.sum() - 1.0) < CERTAIN, "the chances do not add up to 1")
        return found[self.reach : self.reach + STATES]

    def imbalance(self) -> float:
        """The largest |chance forth / chance back - 1| at any height."""
        worst, moved = 0.0, 0
        order = np.sort(self.levels)
        for share in self.HEIGHTS:
            place = int(share * (len(order) - 1))
            height = 0.5 * (order[place] + order[place + 1])
            inside = [i for i in range(STATES) if self.levels[i + self.reach] > height]
            chance = np.zeros((STATES, STATES))
            for i in inside:
                chance[i] = self.chances(i, height)
            larger = np.maximum(chance, chance.T)
            moved += int((larger > 0.0).sum()) - len(inside)
            apart = np.abs(chance - chance.T)[larger > 0.0] / larger[larger > 0.0]
            worst = max(worst, float(apart.max()))
        sure(moved > 2 * STATES, "hardly any flow")
        return worst


def paths(script: Script, run: Any) -> Iterator[tuple[float, Any]]:
    """Every way that decisions can go: its probability, and what `run` returns there."""
    open_ = [[]]
    while open_:
        answers = open_.pop()
        made = run(answers)
        chances = [math.exp(min(0.0, limit)) for limit in script.limits]
        taken = answers + [True] * (len(chances) - len(answers))
        for k in range(len(answers), len(chances)):
            open_.append([*taken[:k], False])
        share = math.prod(p if yes else 1.0 - p for p, yes in zip(chances, taken, strict=True))
        if share > 0.0:
            yield share, made


class Trees:
    """NUTS: from each of seven points of a trajectory to any other, by every way there is."""

    def __init__(self, load: Load, depth: int, step: float, depths: set[int]) -> None:
        self.precision = np.array([[1.5, 0.6], [0.6, 0.8]])
        self.wanted, self.scale = depths, np.array([0.7, 1.3])  # inverse metric
        first = np.array([0.4, -0.9]), np.array([0.5, 0.8])
        reach = 2**depth
        self.orbit = {0: first}
        for side in (1, -1):
            x, p = first
            for k in range(1, STATES + reach):
                # Backwards in time is forwards with the momentum turned round.
                p = p - 0.5 * side * step * self.precision @ x
                x = x + side * step * self.scale * p
                p = p - 0.5 * side * step * self.precision @ x
                self.orbit[side * k] = x, p
        self.ends = list(self.orbit)
        self.positions = np.array([self.orbit[k][0] for k in self.ends])
        hamiltonian, places = load("samplers.hamiltonian"), load("samplers.state")
        target = Toy(self.precision)
        self.program = hamiltonian.HamiltonianProgram("nuts", target, 0, max_treedepth=depth)
        state = places.initial(np.zeros(2, dtype=np.uint64), np.zeros(2), np.zeros(2), 0.0)
        state.phase[:] = 0
        state.step[0] = step
        state.inverse_metric[:] = self.scale
        self.state, self.script = state._asdict(), Script(load)

    def run(self, i: int, answers: Sequence[bool]) -> int:
        """One transition; returns the place on the trajectory where it ends."""
        (x, p), state = self.orbit[i], self.state
        state["position"][:], state["gradient"][:] = x, -self.precision @ x
        state["value"][0] = -0.5 * x @ self.precision @ x
        self.script.begin(normals=p * np.sqrt(self.scale), answers=answers)
        out = np.empty((1, 2)), np.empty((1, 0)), np.empty((1, len(self.program.stats)))
        self.program.advance(state, 1, *out, 0)
        self.depths.add(int(out[2][0, self.program.stats.index("depth")]))
        distance = np.abs(self.positions - out[0][0]).max(axis=1)
        sure(distance.min() < ARRIVAL, "off the trajectory")
        return self.ends[int(distance.argmin())]

    def imbalance(self) -> float:
        """As `imbalance`, and the probabilities of a state add up to 1."""
        flow, self.depths = np.zeros((STATES, STATES)), set()
        for i in range(STATES):
            total = 0.0
            x, p = self.orbit[i]
            weight = math.exp(-0.5 * x @ self.precision @ x - 0.5 * p**2 @ self.scale)
            for share, end in paths(self.script, lambda answers, i=i: self.run(i, answers)):
                total += share
                if 0 <= end < STATES:
                    flow[i, end] += weight * share
            sure(abs(total - 1.0) < CERTAIN, "the chances do not add up to 1")
        sure((flow > 0.0).sum() > 3 * STATES, "hardly any flow")
        sure(self.depths == self.wanted, "trajectories turn elsewhere")
        either = flow + flow.T > 0.0
        return float(np.abs(flow - flow.T)[either].max() / flow[either].max())


class Toy:
    """A Gaussian of two dimensions as a target."""

    bounded, rows, map, data = 0, 1.0, 1.0, 1.0
    dim, effects, names = 2, 0, ("a", "b")

    def __init__(self, precision: np.ndarray) -> None:
        self.precision = precision

    def logdensity(self, rows, data, map, position, gradient) -> float:
        gradient[:] = -self.precision @ position
        return 0.5 * float(position @ gradient)

    def unwhiten(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return positions, positions[:, :0]


def _made(kind: Any, case: CrossedCase, *rest: Any, **options: Any) -> Any:
    return lambda load: kind(case, load, *rest, **options)


# What accepts or rejects in the package, each where it differs.
STEPS: dict[str, Any] = {
    "transported: theta": _made(Transported, general.BERNOULLI, "theta"),
    "transported: theta, LKJ": _made(Transported, general.LKJ, "theta"),
    "transported: theta, linear map": _made(Transported, general.LKJ, "theta", linear=True),
    "transported: psi of a variance": _made(Transported, general.VARIANCE, "psi"),
    "transported: coefficients and dispersion": _made(Transported, general.GAMMA_ONE, "rest"),
    "transported: walk of psi": _made(Transported, general.WISHART, "psi", walk=True),
    "transported: effects": _made(Renewal, general.BERNOULLI),
    "transported: effects and slopes": _made(Renewal, general.LKJ),
    "collapsed: t": _made(Integrated, general.GAUSSIAN_LKJ),
    "collapsed: t, nested": _made(Integrated, general.NESTED_GAUSSIAN),
    "collapsed: walk of t": _made(Integrated, general.GAUSSIAN_LKJ, walk=True),
    "crossed: psi": _made(OfFactor, general.CROSSED_PROBIT),
    "crossed: psi, pooled counts": _made(OfFactor, general.CROSSED_WEIGHTED),
    "crossed: walk of psi": _made(OfFactor, general.CROSSED_PROBIT, walk=True),
    "crossed: coefficients along a factor": _made(
        Centred, general.CROSSED_LAPLACE, "crossed: centred coefficients"
    ),
    "crossed: loose coefficients": _made(Loose, general.WIDE_COUNTS),
    "crossed: loose coefficients, Laplace priors": _made(Loose, general.CROSSED_LAPLACE),
    "crossed: walk of loose coefficients": _made(Loose, general.WIDE_COUNTS, walk=True),
    "crossed: size": _made(Dispersion, general.CROSSED_SIZE),
    "crossed: shape": _made(Dispersion, general.CROSSED_SHAPE),
    "crossed: walk of the shape": _made(Dispersion, general.CROSSED_SHAPE, walk=True),
    "crossed: sigma": _made(Residual, general.NESTED_GAUSSIAN),
    "crossed: nested, child": _made(Nested, general.NESTED_LKJ, 0),
    "crossed: nested, parent": _made(Nested, general.NESTED_LKJ, 1),
    "crossed: nested, against each other": _made(Nested, general.NESTED_LKJ, 2),
    "classical: walk of beta": _made(Walk, general.STUDENT, "classical: walk of beta", (0, 1)),
    "classical: walk of sigma": _made(
        Walk, general.GAUSSIAN, "classical: walk of the dispersion", (3,)
    ),
    "classical: walk of Sigma": _made(
        Walk, general.LKJ_THREE, "classical: walk of Sigma", range(2, 8)
    ),
    "classical: walk of Sigma, Huang and Wand": _made(
        Walk, general.HUANG, "classical: walk of Sigma", range(2, 5)
    ),
    "classical: iwls of beta": _made(Newton, general.POISSON, "classical: iwls of beta"),
    "classical: iwls of beta, Laplace priors": _made(
        Newton, general.LAPLACE, "classical: iwls of beta"
    ),
    "classical: centred beta": _made(Centred, general.STUDENT, "classical: centred beta"),
    "classical: nearly exact Sigma": _made(
        Sigma, general.LKJ_THREE, "classical: nearly exact Sigma"
    ),
    "classical: nearly exact sds": _made(Sigma, general.DIAGONAL, "classical: nearly exact Sigma"),
    "classical: walk of u": _made(EffectsWalk, general.WISHART),
    "classical: iwls of u": _made(EffectsNewton, general.BERNOULLI),
    "classical: iwls of u and slopes": _made(EffectsNewton, general.LKJ),
    "classical: slice of a coefficient": _made(
        Slice, general.CLOGLOG, "classical: slice of a coefficient", 1, "classical_theta"
    ),
    "classical: slice of the shape": _made(
        Slice, general.GAMMA_ONE, "classical: slice of the dispersion", 3, "classical_theta"
    ),
    "classical: slice of Sigma": _made(
        Slice, general.VARIANCE, "classical: slice of Sigma", 2, "centring"
    ),
    "classical: sd, effects along": _made(
        Slice,
        general.BERNOULLI,
        "classical: sd, effects along",
        2,
        "classical_scales",
        along=True,
    ),
    "hmc": _made(Trajectory, general.BERNOULLI),
    "hmc, slopes": _made(Trajectory, general.WISHART),
    "nuts, short steps": lambda load: Trees(load, 3, 0.1, {3}),
    "nuts, long steps": lambda load: Trees(load, 3, 0.9, {1, 2, 3}),
}


def result_of(name: str, load: Load) -> tuple[float, set[str]]:
    """Imbalance of a step by name, in a plain copy of the package, and who has drawn uniforms."""
    step = STEPS[name](load)
    if isinstance(step, Trees):
        return step.imbalance(), step.script.askers
    try:
        found = step.imbalance() if isinstance(step, Levels | Slice) else imbalance(step)
        return found, step.script.askers
    finally:
        step.restore()


# Which step shows that a function that draws uniforms is right.
SHOWN = {
    "conditionals.transport.advance": "transported: theta",
    "conditionals.renewal.renew": "transported: effects",
    "conditionals.collapsed.advance": "collapsed: t",
    "conditionals.crossed._move_factor": "crossed: psi",
    "conditionals.directions.draw": "crossed: coefficients along a factor",
    "conditionals.loose.move": "crossed: loose coefficients",
    "conditionals.loose._move_dispersion": "crossed: shape",
    "conditionals.loose._draw_sigma": "crossed: sigma",
    "conditionals.nested.move": "crossed: nested, child",
    "conditionals.classical_theta.walk": "classical: walk of beta",
    "conditionals.classical_theta.iwls": "classical: iwls of beta",
    "conditionals.classical_theta._slice": "classical: slice of a coefficient",
    "conditionals.classical_sigma._walk": "classical: walk of Sigma",
    "conditionals.classical_scales._slice": "classical: sd, effects along",
    "conditionals.classical_effects._accept": "classical: iwls of u",
    "conditionals.centring._draw_beta": "classical: centred beta",
    "conditionals.centring._draw_nearly_conjugate": "classical: nearly exact Sigma",
    "conditionals.centring._draw_sds": "classical: nearly exact sds",
    "conditionals.centring._slice": "classical: slice of Sigma",
    "samplers.hmc.begin": "hmc",
    "samplers.hmc.record": "hmc",
    "samplers.nuts.choose_side": "nuts, long steps",
    "samplers.nuts.double": "nuts, long steps",
    "samplers.nuts.merge": "nuts, long steps",
}
