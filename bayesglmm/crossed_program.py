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
        reference, weight = factors.at_fit(
            model.problem.rows, data, table, rows, map.center, map.modes
        )
        along, basis = directions.find(data, table, rows)
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
        self.rest = self._rest(model, basis, along.normal, weight)
        self.center, self.psi_covariance = map.center[psi], np.zeros((self.m, self.m))
        self.block: list[tuple[int, int, int, int]] = []
        for f, own in enumerate(table.tolist()):
            first, last = own[factors.PSI], own[factors.PSIS]
            within = slice(first, last)
            self.psi_covariance[within, within] = covariance[psi, psi][within, within]
            edges = adaptation.blocks(last - first, 0)
            vague = bool(np.any(sds[within] > adaptation.VAGUE))
            walks = adaptation.parts(last - first) if vague else []
            for kind, ranges in ((crossed.INDEPENDENCE, edges), (crossed.WALK, walks)):
                self.block += [(first + a, first + b, kind, f) for a, b in ranges]
        names = [factor.name for factor in model.design.factors]
        self.stats = crossed.STATS + tuple(
            f"accept_{what}{name}" for name in names for what in ("", "u_")
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
            np.array([(1.0, 0.0, 0.0)] * len(self.block)),
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
        L = lower_factors(data.prior.covariance, theta[self.p : self.p + self.m])
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
        kind, tuning = state["proposal_block"][:, 2], state["proposal_tuning"]
        for block, (*_, first_kind, _) in enumerate(self.block):
            rate = tuning[block, 1] / max(tuning[block, 2], 1.0)
            if kind[block] == crossed.WALK:
                tuning[block, 0] = adaptation.tune_step(tuning[block, 0], rate)
                # A better centre may have been found since: try again, but not blindly at the end.
                if first_kind == crossed.INDEPENDENCE and not last:
                    kind[block] = crossed.INDEPENDENCE
            elif rate < adaptation.POOR:
                kind[block] = crossed.WALK
        for steps in state["proposal_loose"]:
            rate = steps[1] / steps[2] if steps[2] > 0.0 else 1.0
            if steps[0] > 0.0 and rate < adaptation.POOR and last:
                steps[0] = -steps[0]
        for steps in state["proposal_nested"].reshape(-1, 3):
            if steps[2] > 0.0:
                steps[0] = adaptation.tune_step(steps[0], steps[1] / steps[2])
        for name in ("tuning", "loose"):
            state[f"proposal_{name}"][:, 1:] = 0.0
        state["proposal_nested"][..., 1:] = 0.0
        if last:
            state["history"] = np.zeros((0, self.m))

    def summary(self, stats: np.ndarray) -> str:
        """Few words for the progress line."""
        return f"accept {stats[:, 0].mean():.2f}" if stats.size else ""
