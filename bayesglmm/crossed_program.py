"""What one chain of the crossed sampler does: several grouping factors, crossed or nested."""

from typing import TYPE_CHECKING

import numpy as np

from . import families
from ._random import fill_normals_into
from .adaptation import proposal as adaptation
from .bound import Bound
from .conditionals import centring, crossed, directions, factors, loose, nested
from .covariance import factors as lower_factors
from .density import Map

if TYPE_CHECKING:
    from .model import Model

DISPERSION = 2.0  # chains start this many posterior sds away, in each direction
ATTEMPTS = 100  # starts tried, each nearer the centre than the last
POWERS = {"sigma": -2.0, "shape": 1.0}  # of the dispersion that the weights of rows have
LOG_STEP = 1e-3  # for the curvature along the log of the dispersion
NESTED_STEP = 0.4  # of walks along the log sds of a nested pair, before they are tuned


class CrossedProgram(Bound):
    """Gibbs, one grouping factor after the other."""

    def __init__(
        self,
        model: "Model",
        map: Map,
        covariance: np.ndarray,
        warmup: int,
        init: np.ndarray | None = None,
    ) -> None:
        data = model.problem.data
        self.family, self.data, self.init, self.warmup = model.family, data, init, warmup
        self.map, self.covariance = map, covariance
        self.dim, self.effects = map.center.size, map.modes.size
        self.p, self.m = data.obs.X.shape[0], data.prior.covariance.row.size
        table, rows = factors.layouts(data)
        table[:, factors.POOLED] = factors.pooled(model.family.name, model.family.link, data, table)
        reference, weight = factors.at_fit(
            model.problem.rows, data, table, rows, map.center, map.modes
        )
        along, loose_ones = directions.find(data, table, rows)
        pair, parent = factors.nested_pairs(data, table, rows)
        psi = slice(self.p, self.p + self.m)
        sds = np.sqrt(np.diag(covariance)[psi])
        self.plan = factors.Plan(
            table,
            rows,
            reference,
            along,
            factors.split(data.prior.covariance, table),
            centring.WIDTH * sds,
            pair,
            parent,
        )
        L = lower_factors(data.prior.covariance, map.center[psi])
        beta = covariance[: self.p, : self.p]
        basis = directions.with_stiff(loose_ones, along, table, L, beta)
        self.rest = self._rest(model, basis, along.normal, weight)
        self.center, self.psi_covariance = map.center[psi], np.zeros((self.m, self.m))
        self.block: list[tuple[int, int, int, int, int]] = []
        self.walks = []  # of each factor, every how many sweeps its psi walks besides; 0: never
        for f, own in enumerate(table.tolist()):
            first, last = own[factors.PSI], own[factors.PSIS]
            within = slice(first, last)
            self.psi_covariance[within, within] = covariance[psi, psi][within, within]
            edges = adaptation.blocks(last - first, 0)
            walks, every = adaptation.walks(last - first, float(sds[within].max()))
            self.walks.append(every if walks else 0)
            self.block += [(first + a, first + b, crossed.INDEPENDENCE, f, 1) for a, b in edges]
            self.block += [(first + a, first + b, crossed.WALK, f, every) for a, b in walks]
        self.names = [factor.name for factor in model.design.factors]
        self.stats = crossed.STATS + tuple(
            f"accept_{what}{name}" for name in self.names for what in ("", "u_")
        )

    def _rest(
        self, model: "Model", basis: np.ndarray, normal: np.ndarray, weight: np.ndarray
    ) -> loose.Loose:
        data, name = self.data, model.family.dispersion
        X = np.ascontiguousarray(basis @ data.obs.X)
        kind, number = loose.NONE, np.zeros(4)
        if name:
            kind = loose.SQUARES if model.family.name == "gaussian" else loose.STEPS
            log_phi = float(self.map.center[-1])
            number[loose.LOG_PHI], number[loose.POWER] = log_phi, POWERS.get(name, 0.0)
            number[loose.TOTAL] = float(data.obs.w.sum())
            number[loose.CURVATURE] = self._curvature(model, log_phi)
        return loose.Loose(
            basis,
            X,
            np.ascontiguousarray((X * weight) @ X.T),
            np.ascontiguousarray((basis * normal[:, 1]) @ basis.T),
            np.array([kind]),
            number,
        )

    def _curvature(self, model: "Model", log_phi: float) -> float:
        """Along the log of the dispersion, the effects held at the fit's."""
        data, n = self.data, self.data.obs.y.size
        eta = data.obs.offset + self.map.center[: self.p] @ data.obs.X
        L = lower_factors(data.prior.covariance, self.map.center[self.p : self.p + self.m])
        for k, l in zip(*np.nonzero(L), strict=True):
            J, at = int(data.levels[data.factor[k]]), int(data.effect[l])
            own = L[k, l] * self.map.modes[at : at + J]
            eta += data.obs.Z[k] * own[data.level[data.factor[k]]]
        a, b, c = np.empty((3, n))
        slopes = []
        for side in (-1.0, 1.0):
            phi = float(np.exp(log_phi + side * LOG_STEP))
            model.problem.rows(families.GRADIENT, eta, data.obs.y, data.obs.w, phi, a, b, c, c)
            slopes.append(float(c.sum()))
        least = 1.0 / float(self.covariance[-1, -1])
        found = (slopes[0] - slopes[1]) / (2.0 * LOG_STEP)
        return max(found, least) if np.isfinite(found) else least

    def start(self, random_state: np.ndarray, chain: int) -> dict[str, np.ndarray]:
        """State of a new chain, dispersed about the fit."""
        state = crossed.new_state(
            random_state.copy(),
            self.data.obs.y.size,
            self.dim,
            self.effects,
            self.plan.table.shape[0],
        )._asdict()
        proposal = crossed.Proposal(
            self.center.copy(),
            adaptation.triangle(adaptation.INFLATE * self.psi_covariance),
            np.array(self.block, dtype=np.int64),
            np.array([crossed.UNTUNED] * len(self.block)),
            np.array([(1.0, 0.0, 0.0)] * 2),
            np.tile([NESTED_STEP, 0.0, 0.0], (self.plan.pair.shape[0], nested.KINDS, 1)),
        )
        state.update({f"proposal_{k}": v for k, v in proposal._asdict().items()})
        state["history"] = np.zeros((0, self.m))
        scale = adaptation.triangle(self.covariance)
        w, noise, away = np.empty(self.dim), np.empty(self.effects), DISPERSION
        for _ in range(ATTEMPTS):
            fill_normals_into(state["random"], w)
            fill_normals_into(state["random"], noise)
            theta = self.map.center + scale @ (away * w) if self.init is None else self.init
            state["theta"][:] = theta
            state["u"][:] = self._effects(theta, min(away, 1.0) * noise)
            if np.isfinite(state["u"]).all():
                state["flag"][crossed.STATUS] = crossed.NEW
                self.advance(state, 0, *self._nowhere(), 0)
                if np.isfinite(state["value"][0]):
                    return state
            away *= 0.8
        raise FloatingPointError(
            f"chain {chain}: the log density is not finite at any of {ATTEMPTS} starts"
        )

    def _effects(self, theta: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Effects in the order of the layouts: the modes near theta, and noise of their sds."""
        data = self.data
        with np.errstate(over="ignore", invalid="ignore"):
            L = lower_factors(data.prior.covariance, theta[self.p : self.p + self.m])
        if not np.isfinite(L).all():
            return np.full(self.effects, np.nan)  # sds beyond all numbers
        v = self.map.modes + (theta - self.map.center) @ self.map.slopes
        u = np.zeros_like(v)
        for k, l in zip(*np.nonzero(L), strict=True):
            J = int(data.levels[data.factor[k]])
            to, of = int(data.effect[k]), int(data.effect[l])
            u[to : to + J] += L[k, l] * v[of : of + J]
        u = u[self.plan.rows.order]
        for own in self.plan.table.tolist():
            first, J = own[factors.SQUARE], own[factors.LEVELS]
            q = own[factors.COLUMNS] - own[factors.COLUMN]
            inverse = self.plan.reference.inverse[first : first + q * q * J].reshape(q, q, J)
            at = slice(own[factors.EFFECT], own[factors.EFFECT] + q * J)
            sds = np.sqrt(np.einsum("kkg->kg", inverse))
            u[at] += (sds * noise[at].reshape(q, J)).ravel()
        return u

    def _nowhere(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return (
            np.empty((0, self.dim)),
            np.empty((0, self.effects)),
            np.empty((0, len(self.stats))),
        )

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
        """Run n sweeps and write them into the first n rows of the outputs."""
        crossed.advance(
            self.rows,
            self.data,
            self.plan,
            self.rest,
            crossed.Proposal(**{k: state[f"proposal_{k}"] for k in crossed.Proposal._fields}),
            crossed.State(**{k: state[k] for k in crossed.State._fields}),
            theta[:n],
            u[:n],
            stats[:n],
        )
        if iteration < self.warmup:
            psi = theta[:n, self.p : self.p + self.m]
            state["history"] = np.concatenate([state["history"], psi])

    def adapt(self, state: dict[str, np.ndarray], iteration: int) -> None:
        """Renew the proposals from the chain's own draws; at the end of warm-up they are frozen."""
        last, history = iteration == self.warmup, state["history"]
        for own in self.plan.table.tolist():
            within = slice(own[factors.PSI], own[factors.PSIS])
            center, covariance = adaptation.moments(
                history[:, within], self.center[within], self.psi_covariance[within, within]
            )
            state["proposal_center"][within] = center
            state["proposal_scale"][within, within] = adaptation.triangle(covariance)
        self._tune(state, last)
        if last:
            state["history"] = np.zeros((0, self.m))

    def _tune(self, state: dict[str, np.ndarray], last: bool) -> None:
        """Kinds and steps of all moves, by how they have gone since the last time."""
        block, tuning, stuck = state["proposal_block"], state["proposal_tuning"], set()
        for place, (own, tuned) in enumerate(zip(block, tuning, strict=True)):
            rate = tuned[crossed.ACCEPTED] / max(tuned[crossed.PROPOSED], 1.0)
            if own[crossed.KIND] == crossed.WALK:
                tuned[crossed.STEP_SIZE] = adaptation.tune_step(tuned[crossed.STEP_SIZE], rate)
                # A better centre may have been found since: try again, but not blindly at the end.
                if self._planned(place) and not last:
                    own[crossed.KIND] = crossed.INDEPENDENCE
            else:
                if tuned[crossed.LONGEST] > adaptation.LONG_RUN:
                    stuck.add(int(own[crossed.FACTOR]))
                if rate < adaptation.POOR:
                    own[crossed.KIND] = crossed.WALK
        tuning[:, crossed.ACCEPTED :] = 0.0
        for f in sorted(stuck):
            self._free(state, f)
        for steps in state["proposal_loose"]:
            rate = steps[1] / steps[2] if steps[2] > 0.0 else 1.0
            if steps[0] > 0.0 and rate < adaptation.POOR and last:
                steps[0] = -steps[0]
            steps[1:] = 0.0
        for steps in state["proposal_nested"].reshape(-1, 3):
            if steps[2] > 0.0:
                steps[0] = adaptation.tune_step(steps[0], steps[1] / steps[2])
            steps[1:] = 0.0

    def _planned(self, place: int) -> bool:
        """Whether a block was an independence proposal at first."""
        return place < len(self.block) and self.block[place][crossed.KIND] == crossed.INDEPENDENCE

    def _free(self, state: dict[str, np.ndarray], f: int) -> None:
        """Let the psi of a factor walk every sweep: its chain had stayed in a tail."""
        block = state["proposal_block"]
        of = block[:, crossed.FACTOR] == f
        walking = of & ~np.array([self._planned(place) for place in range(len(block))])
        block[walking, crossed.EVERY] = 1
        if not walking.any():
            first, last = self.plan.table[f, [factors.PSI, factors.PSIS]].tolist()
            more = [
                (first + a, first + b, crossed.WALK, f, 1)
                for a, b in adaptation.parts(last - first)
            ]
            untuned = [crossed.UNTUNED] * len(more)
            state["proposal_block"] = np.concatenate([block, more])
            state["proposal_tuning"] = np.concatenate([state["proposal_tuning"], untuned])

    def changes(self, state: dict[str, np.ndarray]) -> list[str]:
        """What warm-up has changed in how a chain moves, in words."""
        found, few = [], "few of the proposals of the fit's shape were accepted"
        for place, own in enumerate(state["proposal_block"]):
            name = self.names[own[crossed.FACTOR]]
            if own[crossed.KIND] == crossed.INDEPENDENCE:
                continue
            if self._planned(place):
                found.append(f"Sigma of {name} by random walk: {few}")
            elif own[crossed.EVERY] == 1 and self.walks[own[crossed.FACTOR]] != 1:
                stayed = "the chain had stayed in a tail"
                found.append(f"Sigma of {name} by random walk as well: {stayed}")
        for steps, what in zip(
            state["proposal_loose"], ("coefficients", "the dispersion"), strict=True
        ):
            if steps[0] < 0.0:
                found.append(f"{what} by random walk: {few}")
        return list(dict.fromkeys(found))

    def summary(self, stats: np.ndarray) -> str:
        """Few words for the progress line."""
        return f"accept {stats[:, 0].mean():.2f}" if stats.size else ""
