"""Theta with the effects carried along by a map, or integrated out."""

import math
from typing import Any

import exact_ranks
import joint_crossed
import numpy as np
from balance import ARRIVAL, STATES, OnTheta, Step, off
from joint import Load
from joint_crossed import CrossedCase, Effects
from scipy import stats
from scripted import sure


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
        return self.advance(0)

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
