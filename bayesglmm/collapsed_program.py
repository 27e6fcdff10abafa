"""The collapsed sampler of Gaussian models as a program: its start, its chains, its adaptation."""

from typing import TYPE_CHECKING

import numpy as np

from . import collapsed_cost
from ._random import fill_normals_into
from .adaptation import proposal as adaptation
from .conditionals import collapsed
from .conditionals.collapsed_sums import collect
from .conditionals.sd_coordinate import coordinate
from .density import Map, identity_map
from .errors import DataError
from .fits.optimizer import curvature, invert, maximize

if TYPE_CHECKING:
    from .model import Model

MULTIPLES = (1.0, 2.0, 4.0)  # of the fit's sd, where the coordinate of an sd turns to log log
LEAST_DRAWS = 50  # from which their skewness is judged
TINY = 1e-300
DISPERSION = 2.0  # chains start this many posterior sds away, in each direction
ATTEMPTS = 100  # starts tried, each nearer the centre than the last
# Of differences of the log density: its logarithms of sds have no other scale. Where sds are 10^4
# of sigma its rounding errors are 1e-5, too much for smaller steps.
STEP = 2e-3
PERFECT = 1e-7  # of sd(y): a sigma of less is rounding error
WIDE_STEP = 0.1  # of differences for the curvature, in standard errors: what a chain sees of it
LONGEST = 2.0  # logs of sds change by this much in one step of the search at most
EASY_WHOLE = 0.6  # acceptance of all of t at once above which it needs no moves in parts
POOR_WHOLE = 0.2  # and below which it is not worth its time
LONG_STEP = 20_000.0  # nanoseconds of a move of t above which time counts more than draws
WIDEST = 1.5  # sd of the first proposal in a direction that the data say nothing of


class CollapsedProgram:
    """Independence sampling of covariances and sigma, then exact draws of beta and u."""

    stats = collapsed.STATS

    def __init__(
        self,
        model: "Model",
        center: np.ndarray,
        covariance: np.ndarray,
        warmup: int,
        init: np.ndarray | None = None,
    ) -> None:
        data = model.problem.data
        self.warmup, self.init = warmup, init
        self.sums, self.pattern = collect(data)
        self.prior = data.prior
        self.p, self.dim = self.sums.start.size, center.size
        self.effects = int(sum(data.levels[f] for f in data.factor))
        self.center = center[self.p :]
        self.covariance = covariance[self.p :, self.p :]
        cov = data.prior.covariance
        self.sds = np.flatnonzero(cov.row == cov.col)
        d = self.center.size
        parts = adaptation.blocks(d, 0) if d > 0 else []
        self.edges = [(0, d), *parts] if len(parts) > 1 else parts
        step = collapsed_cost.value(self.sums, self.pattern)
        self.rounds = _rounds(step, collapsed_cost.draw(self.sums))

    def start(self, random_state: np.ndarray, chain: int) -> dict[str, np.ndarray]:
        """State of a new chain, dispersed about the mode."""
        spread = adaptation.triangle(adaptation.INFLATE * self.covariance)
        random = random_state.copy()
        points = np.tile(self.center, (ATTEMPTS, 1))
        w, away = np.empty(self.center.size), DISPERSION
        for point in points:
            fill_normals_into(random, w)
            point += spread @ (away * w)
            away *= 0.8
        if self.init is not None:
            points[:] = self.init[self.p :]
        finite = np.flatnonzero(np.isfinite(self.values(points)))
        if not finite.size:
            raise FloatingPointError(
                f"chain {chain}: the log density is not finite at any of {ATTEMPTS} starts"
            )
        near = self.near(np.ones(self.sds.size))
        middle, covariance = self._folded(near)
        scale = adaptation.triangle(adaptation.INFLATE * covariance)
        state = collapsed.new_state(random, self.fold(points[finite[0]], near))._asdict()
        proposal = collapsed.new_proposal(near, middle, scale, self.edges)
        state.update({f"proposal_{k}": v for k, v in proposal._asdict().items()})
        state["history"] = np.zeros((0, self.center.size))
        return state

    def values(self, points: np.ndarray) -> np.ndarray:
        """Log densities of t = (psi, log sigma) at points (k, d)."""
        out, d = np.empty(len(points)), self.center.size
        state = collapsed.new_state(np.zeros(2, dtype=np.uint64), self.center)
        proposal = collapsed.new_proposal(np.zeros(d), self.center, np.eye(d), self.edges)
        none = np.empty((0, 0))
        points = np.ascontiguousarray(points, dtype=np.float64)
        collapsed.advance(
            self.sums, self.pattern, self.prior, proposal, state, 0, none, none, none, points, out
        )
        return out

    def near(self, multiples: np.ndarray) -> np.ndarray:
        """Return c of each element of t, multiples of the fit's sds; 0 for what is no sd."""
        near = np.zeros(self.center.size)
        near[self.sds] = multiples * np.exp(self.center[self.sds])
        return near

    def fold(self, t: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Coordinates x of values of t (..., d)."""
        x = t.copy()
        for i in np.flatnonzero(near):
            x[..., i] = coordinate(t[..., i], near[i])
        return x

    def _folded(self, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The fit and its covariance in coordinates x."""
        up, down = self.fold(self.center + STEP, near), self.fold(self.center - STEP, near)
        slope = (up - down) / (2.0 * STEP)
        return self.fold(self.center, near), self.covariance * np.outer(slope, slope)

    def boundaries(self, warmup: int) -> list[int]:
        """Iterations of warm-up at which `adapt` is called."""
        return adaptation.boundaries(warmup)

    def advance(
        self,
        state: dict[str, np.ndarray],
        n: int,
        theta: np.ndarray,
        u: np.ndarray,
        stats: np.ndarray,
        iteration: int,
    ) -> None:
        """Run n iterations and write them into the first n rows of the outputs."""
        collapsed.advance(
            self.sums,
            self.pattern,
            self.prior,
            collapsed.Proposal(**{k: state[f"proposal_{k}"] for k in collapsed.Proposal._fields}),
            collapsed.State(**{k: state[k] for k in collapsed.State._fields}),
            self.rounds,
            theta[:n],
            u[:n],
            stats[:n],
            np.empty((0, 0)),
            np.empty(0),
        )
        if iteration < self.warmup:
            state["history"] = np.concatenate([state["history"], theta[:n, self.p :]])

    def adapt(self, state: dict[str, np.ndarray], iteration: int) -> None:
        """Renew the proposal from the chain's own draws; at the end of warm-up it is frozen."""
        last = iteration == self.warmup
        if not self.center.size:
            return
        history = state["history"]
        near = self._least_skew(history)
        center, covariance = adaptation.moments(self.fold(history, near), *self._folded(near))
        state["proposal_near"][:] = near
        state["x"][:] = self.fold(history[-1], near)
        state["proposal_center"][:] = center
        state["proposal_scale"][:] = adaptation.triangle(covariance)
        stuck = _longest_run(history[-_stage(self.warmup, iteration) :]) > adaptation.LONG_RUN
        self._choose(state["proposal_block"][:, 2], state["proposal_tuning"], last, stuck)
        state["proposal_tuning"][:, 1:] = 0.0
        state["flag"][collapsed.STATUS] = collapsed.MOVED
        if last:
            state["history"] = np.zeros((0, self.center.size))

    def _least_skew(self, history: np.ndarray) -> np.ndarray:
        """C of each element of t under which its draws (n, d) are least skew."""
        recent = history[len(history) // adaptation.DISCARD :]
        best, least = np.ones(self.sds.size), np.full(self.sds.size, np.inf)
        for multiple in MULTIPLES if len(recent) >= LEAST_DRAWS else ():
            near = self.near(np.full(self.sds.size, multiple))
            x = self.fold(recent, near)[:, self.sds]
            x = x - x.mean(axis=0)
            skew = np.abs((x**3).mean(axis=0)) / np.maximum((x**2).mean(axis=0), TINY) ** 1.5
            best = np.where(skew < least, multiple, best)
            least = np.minimum(skew, least)
        return self.near(best)

    def _choose(self, kind: np.ndarray, tuning: np.ndarray, last: bool, stuck: bool) -> None:
        """How each block moves from now on: all of t at once where that goes well, or in parts.

        The last block walks where the others were rejected for long: they have missed a tail.
        """
        tried = tuning[:, 2] > 0.0
        rate = tuning[:, 1] / np.maximum(tuning[:, 2], 1.0)
        walking = kind == collapsed.WALK
        for block in np.flatnonzero(walking & tried):
            tuning[block, 0] = adaptation.tune_step(tuning[block, 0], rate[block])
        if not last:
            # A better centre may have been found: all may try again, but not blindly at the end.
            kind[:-1] = collapsed.INDEPENDENCE
        kind[:-1][(tried & ~walking & (rate < adaptation.POOR))[:-1]] = collapsed.WALK
        if len(kind) > 2 and tried[0]:
            if rate[0] < POOR_WHOLE:
                kind[0] = collapsed.IDLE
            elif rate[0] > EASY_WHOLE and last:
                kind[1:-1] = collapsed.IDLE
        kind[-1] = collapsed.WALK if stuck or (last and walking[-1]) else collapsed.IDLE

    def summary(self, stats: np.ndarray) -> str:
        """Few words for the progress line."""
        return f"accept {stats[:, 0].mean():.2f}" if stats.size else ""


def _stage(warmup: int, iteration: int) -> int:
    """Iterations since the proposal was last renewed."""
    return iteration - max([b for b in adaptation.boundaries(warmup) if b < iteration], default=0)


def _longest_run(draws: np.ndarray) -> int:
    """Draws (n, d) in a row that are the same."""
    moved = np.flatnonzero(np.any(draws[1:] != draws[:-1], axis=1)) + 1
    return int(np.diff(moved, prepend=0, append=len(draws)).max())


def _rounds(step: float, draw: float) -> int:
    """Moves of t for each draw of beta and u, by the time of both in nanoseconds.

    With half the moves accepted, a second one raises the effective size of a draw from .6 to .9: of
    use where it costs little, or where the draw takes longer.
    """
    if step > max(draw, LONG_STEP):
        return 1
    return 2 + int(draw > 4.0 * step) + int(draw > 16.0 * step)


def start(model: "Model") -> tuple[Map, np.ndarray]:
    """The mode of the collapsed posterior as the centre of a map, and a covariance there.

    Beta is that of least squares: nothing depends on it.
    """
    data = model.problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    d = m + data.prior.phi.shape[0]
    none = CollapsedProgram(model, np.zeros(p + d), np.eye(p + d), 0)
    diagonal = data.prior.covariance.row == data.prior.covariance.col
    spread = model.problem.start.spread
    if d > m:
        # Half of the variance is the effects'.
        square = float(none.sums.fixed[p, p]) / max(float(none.sums.size[0]), 1.0)
        spread = float(np.sqrt(max(0.5 * square, 1e-12 * spread**2)))
    x = np.zeros(d)
    x[:m][diagonal] = np.log(spread)
    x[m:] = np.log(spread)
    inverse = np.diag(np.concatenate([np.full(m, 0.5), np.full(d - m, 0.1)]))

    def objective(t: np.ndarray) -> tuple[float, np.ndarray]:
        moves = STEP * np.eye(d)
        found = none.values(np.concatenate([[t], t + moves, t - moves]))
        found[~np.isfinite(found)] = np.nan  # a step to here is rejected
        return float(found[0]), (found[1 : d + 1] - found[d + 1 :]) / (2.0 * STEP)

    center, covariance = np.zeros(p + d), np.eye(p + d)
    center[:p] = none.sums.start
    if d > 0:
        best = maximize(objective, x, inverse, np.full(d, LONGEST))
        if d > m:
            _check_residuals(model, float(np.exp(best.x[m])))
        steps = WIDE_STEP * np.clip(np.sqrt(np.diag(best.inverse)), 1e-4, WIDEST)
        hessian = curvature(objective, best.x, steps)
        found, _ = invert(np.where(np.isfinite(hessian), hessian, np.eye(d)), smallest=1e-3)
        center[p:] = best.x
        covariance[p:, p:] = _narrowed(found)
    return identity_map(p + d, 0)._replace(center=center), covariance


def _check_residuals(model: "Model", sigma: float) -> None:
    """Refuse data that leave no residuals: sigma would fall towards 0 without end."""
    obs = model.problem.data.obs
    if sigma < PERFECT * float(np.std(obs.y - obs.offset)):
        raise DataError(
            "the model fits the response perfectly (residuals are rounding errors): sigma would "
            "fall towards 0 without end. Leave out terms, or see whether one of them is made of "
            "the response"
        )


def _narrowed(covariance: np.ndarray) -> np.ndarray:
    """A covariance with no sd above WIDEST."""
    shrink = np.minimum(1.0, WIDEST / np.sqrt(np.diag(covariance)))
    return covariance * np.outer(shrink, shrink)
