"""What one chain does, for each sampler: statistics and movement meet here.

A program is what `chains.run` drives: `start` a chain's state, `advance` it, `adapt` it at the
boundaries of warm-up. All of a chain's state is arrays, so that it can be kept and resumed.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from . import families
from ._jit import ENABLED
from ._random import fill_normals_into
from .adaptation import proposal as adaptation
from .bound import Bound
from .conditionals import centring, crew, guess, transport
from .density import Map, logdensity, unwhiten
from .prior_defaults import rescaled
from .priors import Flat, Normal

if TYPE_CHECKING:
    from .model import Model

FEW_GROUPS = 12  # up to here the centred moves end every sweep
EVERY = {1: 3, 2: 2}  # else, by the number of effects a group, every so many; of three, each
DISPERSION = 2.0  # chains start this many posterior sds away, in each direction
ATTEMPTS = 100  # starts tried, each nearer the centre than the last
AS_PLANNED, BY_NEWTON = 0, 1  # state["map"]


class GibbsProgram(Bound):
    """Metropolis within Gibbs in transported coordinates, for one grouping factor."""

    stats = transport.STATS

    def __init__(
        self,
        model: "Model",
        map: Map,
        covariance: np.ndarray,
        warmup: int,
        init: np.ndarray | None = None,
        threads: int = 1,
    ) -> None:
        self.warmup = warmup
        data = model.problem.data
        self.family = model.family
        self.data, self.init = data, init
        self.p, self.m = data.obs.X.shape[0], data.prior.covariance.row.size
        self.dim = map.center.size
        self.q, self.J = data.factor.size, int(data.levels[0])
        self.effects = self.q * self.J
        # psi first: a block of beta alone then leaves L as it is.
        self.order = np.concatenate([np.arange(self.p, self.dim), np.arange(self.p)])
        self.center = map.center[self.order]
        self.covariance = covariance[np.ix_(self.order, self.order)]
        self.edges = adaptation.blocks(self.dim - self.p, self.p)
        vague = np.sqrt(np.diag(covariance))[self.p : self.p + self.m].max(initial=0.0)
        self.walks, self.walk_every = adaptation.walks(self.m, float(vague))
        self.every = 1 if self.J <= FEW_GROUPS else EVERY.get(self.q, 1)
        self.centre = _centring(model, covariance)
        self.threads = 1
        self.newton = self.guess = guess.newton(map)
        self.guess = guess.choose(model.problem.rows, data, map, covariance, self._newton_step)
        self.threads = threads if ENABLED and data.obs.y.size >= crew.ROWS else 1

    def _newton_step(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centre (q, J) and factor (q, q, J) of the map at theta."""
        state = self._begin(np.zeros(2, dtype=np.uint64))
        state["theta"][0] = theta
        self.advance(state, 0, *self._nowhere(), 0)
        return state["center"][0], state["C"][0]

    def _begin(self, random_state: np.ndarray) -> dict[str, np.ndarray]:
        """A state that is nowhere yet."""
        state = transport.new_state(random_state.copy(), self.dim, self.q, self.J)._asdict()
        scale = adaptation.triangle(adaptation.INFLATE * self.covariance)
        proposal = transport.new_proposal(
            self.order, self.center, scale, self.edges, self.walks, self.walk_every
        )
        state.update({f"proposal_{k}": v for k, v in proposal._asdict().items()})
        state["history"] = np.zeros((0, self.dim))
        state["map"] = np.array([AS_PLANNED])
        return state

    def start(self, random_state: np.ndarray, chain: int) -> dict[str, np.ndarray]:
        """State of a new chain, dispersed about the fit."""
        state = self._begin(random_state)
        w, away = np.empty(self.dim), DISPERSION
        for _ in range(ATTEMPTS):
            fill_normals_into(state["random"], w)
            if self.init is None:
                state["theta"][0, self.order] = self.center + state["proposal_scale"] @ (away * w)
            else:
                state["theta"][0] = self.init
            fill_normals_into(state["random"], state["z"].reshape(-1))
            state["flag"][transport.STATUS] = transport.NEW
            self.advance(state, 0, *self._nowhere(), 0)
            if np.isfinite(state["value"][0]).all():
                return state
            away *= 0.8
        raise FloatingPointError(
            f"chain {chain}: the log density is not finite at any of {ATTEMPTS} starts"
        )

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
        proposal = self._proposal(state)
        chain = transport.State(**{k: state[k] for k in transport.State._fields})
        outputs = theta[:n], u[:n], stats[:n]
        map = self.newton if state["map"][0] == BY_NEWTON else self.guess

        def move(team: crew.Crew) -> None:
            transport.advance(
                self.rows, self.data, map, proposal, self.centre, chain, team, self.every,
                *outputs,
            )  # fmt: skip

        chunks = self.data.obs.lanes.chunk.shape[0] - 1
        with crew.at_work(self.threads, chunks, self.q, move) as team:
            move(team)
        if iteration < self.warmup:
            state["history"] = np.concatenate([state["history"], theta[:n]])

    def _proposal(self, state: dict[str, np.ndarray]) -> transport.Proposal:
        return transport.Proposal(**{k: state[f"proposal_{k}"] for k in transport.Proposal._fields})

    def adapt(self, state: dict[str, np.ndarray], iteration: int) -> None:
        """Renew the proposal from the chain's own draws; at the end of warm-up it is frozen."""
        last = iteration == self.warmup
        history = state["history"][:, self.order]
        center, covariance = adaptation.moments(history, self.center, self.covariance)
        state["proposal_center"][:] = center
        state["proposal_scale"][:] = adaptation.triangle(covariance)
        state["flag"][transport.STATUS] = transport.MOVED
        self._tune(state, last)
        if last:
            state["history"] = np.zeros((0, self.dim))

    def _tune(self, state: dict[str, np.ndarray], last: bool) -> None:
        """Kinds and steps of the blocks, by how they have moved since the last time."""
        block, tuning = state["proposal_block"], state["proposal_tuning"]
        kind, longest = block[:, transport.KIND], [0.0, 0.0]
        for place in range(len(block)):
            rate = tuning[place, transport.ACCEPTED] / max(tuning[place, transport.PROPOSED], 1.0)
            if kind[place] == transport.WALK:
                step = tuning[place, transport.STEP]
                tuning[place, transport.STEP] = adaptation.tune_step(step, rate)
                # A better centre may have been found since: try again, but not blindly at the end.
                if place < len(self.edges) and not last:
                    kind[place] = transport.INDEPENDENCE
            else:
                of_psi = int(block[place, transport.LOW] < self.m)
                longest[of_psi] = max(longest[of_psi], tuning[place, transport.LONGEST])
                if rate < adaptation.POOR:
                    kind[place] = transport.WALK
        tuning[:, transport.ACCEPTED :] = 0.0
        if max(longest) > adaptation.STUCK:
            self._free(state)
        elif longest[1] > adaptation.LONG_RUN:
            self._walk(state)

    def _free(self, state: dict[str, np.ndarray]) -> None:
        """Change what may keep a chain in a tail: a map that does not hold there, rare walks."""
        if self.guess.factors.size > 0 and state["map"][0] == AS_PLANNED:
            state["map"][0] = BY_NEWTON
            state["flag"][transport.STATUS] = transport.MAPPED
        state["proposal_block"][len(self.edges) :, transport.EVERY] = 1
        self._walk(state)

    def _walk(self, state: dict[str, np.ndarray]) -> None:
        """Let psi walk if it does not yet."""
        if len(state["proposal_block"]) == len(self.edges):
            more = [(*part, transport.WALK, 1) for part in adaptation.parts(self.m)]
            untuned = [transport.UNTUNED] * len(more)
            state["proposal_block"] = np.concatenate([state["proposal_block"], more])
            state["proposal_tuning"] = np.concatenate([state["proposal_tuning"], untuned])

    def changes(self, state: dict[str, np.ndarray]) -> list[str]:
        """What warm-up has changed in how a chain moves, in words."""
        found, block, count = [], state["proposal_block"], len(self.edges)
        for low, high, kind, _ in block[:count].tolist():
            if kind == transport.WALK:
                what = ["Sigma"] * (low < self.m) + ["beta"] * (high > self.dim - self.p)
                what[1:1] = ["phi"] * (low < self.dim - self.p and high > self.m)
                found.append(f"{' and '.join(what)} by random walk: few of the proposals of the "
                             "fit's shape were accepted")  # fmt: skip
        stayed = "the chain had stayed in a tail"
        if state["map"][0] == BY_NEWTON:
            found.append(f"effects carried along with theta by Newton steps: {stayed}")
        walks = (block[count:, transport.EVERY] == 1).any()
        if walks and (not self.walks or self.walk_every > 1):
            found.append(f"Sigma by random walk as well: {stayed}")
        return found

    def summary(self, stats: np.ndarray) -> str:
        """Few words for the progress line."""
        return f"accept {stats[:, 0].mean():.2f}" if stats.size else ""


def _centring(model: "Model", covariance: np.ndarray) -> centring.Centring:
    """Which coefficients move with the effects, and the sums that move needs."""
    data = model.problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    columns, W = centring.within_groups(data)
    stand_ins = [
        stand_in(rescaled(model.priors.beta[j], model.x_scale[j])) for j in columns.tolist()
    ]
    exact = [s[2] for s in stand_ins]
    return centring.Centring(
        np.array(list(zip(columns, exact, strict=True)), dtype=np.int64).reshape(-1, 2),
        W,
        np.ascontiguousarray(np.einsum("akg,blg->klab", W, W)),
        np.array([s[:2] for s in stand_ins], dtype=np.float64).reshape(-1, 2),
        centring.WIDTH * np.sqrt(np.diag(covariance)[p : p + m]),
    )


def stand_in(prior: Any) -> tuple[float, float, int]:
    """Mean and precision of a Normal near the prior, and whether it is the prior itself."""
    if isinstance(prior, Flat):
        return 0.0, 0.0, 1
    if isinstance(prior, Normal):
        return prior.mean, prior.sd**-2, 1
    return prior.mean, prior.scale**-2, 0


def _bounded(model: "Model") -> bool:
    """Whether the link has a domain: eta = -1 is outside of each that is not the whole line."""
    obs, one = model.problem.data.obs, np.ones(1)
    found = np.empty(1)
    model.problem.rows(families.LOGLIK, -one, obs.y[:1], one, 1.0, found, found, found, found)
    return bool(found[0] == -np.inf)


class HamiltonianTarget(Bound):
    """The posterior in whitened coordinates, as HMC and NUTS see it."""

    logdensity = staticmethod(logdensity)

    def __init__(self, model: "Model", map: Map, init: np.ndarray | None) -> None:
        self.family = model.family
        self.data, self.map, self.init = model.problem.data, map, init
        self.dim, self.effects = map.center.size, map.modes.size
        self.bounded = _bounded(model)

    def unwhiten(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Theta (n, dim) and effects (n, effects) of positions (n, dim + effects)."""
        n = positions.shape[0]
        theta, u = np.empty((n, self.dim)), np.empty((n, self.effects))
        unwhiten(self.data, self.map, positions, theta, u)
        return theta, u

    def start(self, random_state: np.ndarray, chain: int, away: float = 1.0) -> np.ndarray:
        """A position (dim + effects,) about the fit, or at the user's values."""
        position = np.empty(self.dim + self.effects)
        fill_normals_into(random_state, position)
        position *= away
        if self.init is None:
            position[: self.dim] *= DISPERSION
        else:
            position[: self.dim] = np.linalg.solve(self.map.scale, self.init - self.map.center)
        return position
