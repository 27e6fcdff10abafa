"""The program of classical Metropolis within Gibbs: steps, loops of tuning, and their history."""

from typing import TYPE_CHECKING

import numpy as np

from ._random import fill_normals_into
from .adaptation import scale_tuning
from .adaptation.proposal import triangle
from .blocks import Asked, resolve
from .bound import Bound
from .classical_steps import Curvature, centres_of, steps_of
from .conditionals import classical
from .conditionals import classical_state as places
from .density import Map, unwhiten
from .errors import DataError

if TYPE_CHECKING:
    from .model import Model

DISPERSION = 2.0  # chains start this many posterior sds away, in each direction
ATTEMPTS = 100  # starts tried, each nearer the centre than the last
# A row that is so much less likely than at the fit, in nats, has effects where weighted least
# squares overshoots time and again: a chain can stay there for good.
LOST_ROW = 20.0
MOST_LEVELS = 0.9  # of the levels of a factor have to be within the tolerance, and their mean
ITERATIONS, SCALE, RATE = 0, 1, 2  # of a row of the history
TUNED, LOOPS = 0, 1  # of state["progress"]


class ClassicalProgram(Bound):
    """Metropolis within Gibbs with blocks chosen by the user.

    Parameters
    ----------
    model : Model
    map : Map
        Of the fit that chains start about.
    covariance : (d, d) array
        Of theta, at the fit.
    warmup : int
        Iterations of tuning and of burn-in; the last `nbi` are burn-in.
    init : (d,) array, optional
    chosen : tuple
        The user's blocks, as `blocks.asked` returns them.
    nbi, ntu, maxtune : int
        Iterations of burn-in and of a loop of tuning; the most loops. A chain that is tuned before
        does nothing in the iterations that are left for tuning.
    propcov : {"fit", "quanew", "ind"}
        Covariance of random walks: from the curvature at the fit (all but the block held); the same
        at first, learned in loops of tuning; the identity at first. With the first, loops of tuning
        find scales alone.
    """

    stats = classical.STATS

    def __init__(
        self,
        model: "Model",
        map: Map,
        covariance: np.ndarray,
        warmup: int,
        init: np.ndarray | None = None,
        *,
        chosen: Asked = (),
        nbi: int = 1000,
        ntu: int = 500,
        maxtune: int = 24,
        propcov: str = "fit",
    ) -> None:
        data = model.problem.data
        self.family, self.data, self.map, self.init = model.family, data, map, init
        self.warmup, self.ntu = warmup, ntu
        self.p, self.m = data.obs.X.shape[0], data.prior.covariance.row.size
        self.dim, self.effects = map.center.size, map.modes.size
        self.blocks = resolve(model, chosen)
        self.loops = maxtune if any(b.method == "random_walk" for b in self.blocks) else 0
        self.tuning = self.loops * ntu
        self.learns = propcov != "fit"
        if warmup != self.tuning + nbi:
            raise ValueError(f"{warmup} is not {self.loops} loops of {ntu} and {nbi} of burn-in")
        self.steps, self.sizes = steps_of(model, data, self.blocks, np.sqrt(np.diag(covariance)))
        self.centres = centres_of(model, data, self.blocks)
        self.first = self._first_proposals(covariance, propcov)

    def _first_proposals(self, covariance: np.ndarray, propcov: str) -> places.Tuning:
        """Make the proposals that every chain begins with."""
        table, triangles, levels, moments = self.steps.step, [], 0, 0
        scale = np.ones(len(self.blocks))
        u_scale: list[np.ndarray] = []
        curves = Curvature(self.rows, self.data, self.map) if propcov != "ind" else None
        place = 0
        for b, block in enumerate(self.blocks):
            row = table[b]
            row[places.TRIANGLE], row[places.LEVEL], row[places.MOMENT] = place, levels, moments
            if block.method != "random_walk":
                continue
            size = self.sizes[b]
            scale[b] = scale_tuning.first_scale(size)
            if block.target == "u":
                J = int(self.data.levels[block.which])
                own = np.broadcast_to(np.eye(size), (J, size, size))
                if curves is not None:
                    own = curves.effects(block.which)
                own = np.moveaxis(own, 0, -1)
                u_scale.append(np.full(J, scale[b]))
                levels, moments = levels + J, moments + (2 * size + size * size) * J
            else:
                members = self._members(b)
                own = np.eye(size)
                if curves is not None and block.target == "beta":
                    own = curves.coefficients(members, self.steps.normal[members, 1])
                elif curves is not None:
                    own = triangle(covariance[np.ix_(members, members)])
            triangles.append(np.ascontiguousarray(own).ravel())
            place += triangles[-1].size
        joined = np.concatenate([np.zeros(0), *u_scale])
        return places.Tuning(
            scale,
            np.zeros((len(self.blocks), 2)),
            np.concatenate([np.zeros(0), *triangles]),
            np.stack([joined, np.zeros_like(joined)]),
            np.zeros((2 + self.dim, self.dim)),
            np.zeros(moments),
        )

    def _members(self, b: int) -> np.ndarray:
        row = self.steps.step[b]
        return self.steps.member[row[places.FIRST] : row[places.LAST]]

    def start(self, random_state: np.ndarray, chain: int) -> dict[str, np.ndarray]:
        """State of a new chain, dispersed about the fit."""
        random, away = random_state.copy(), DISPERSION
        position = np.zeros(self.dim + self.effects)
        fit = self._state_at(position, random)["loglik"]
        least = np.where(np.isfinite(fit) & (self.init is None), fit - LOST_ROW, -np.inf)
        found: dict[str, np.ndarray] = {}
        for _ in range(ATTEMPTS):
            fill_normals_into(random, position)
            if self.init is None:
                position[: self.dim] *= away
            else:
                change = self.init - self.map.center
                position[: self.dim] = np.linalg.solve(self.map.scale, change)
            state = self._state_at(position, random)
            if np.isfinite(state["loglik"]).all() and np.isfinite(state["theta"]).all():
                found = state
                if (state["loglik"] >= least).all():
                    break
            away *= 0.8
        if not found:
            raise FloatingPointError(
                f"chain {chain}: the log density is not finite at any of {ATTEMPTS} starts"
            )
        self._begin_loop(found)
        return found

    def _state_at(self, position: np.ndarray, random: np.ndarray) -> dict[str, np.ndarray]:
        """State at a position, which goes on with these random numbers."""
        theta, u = np.empty((1, self.dim)), np.empty((1, self.effects))
        unwhiten(self.data, self.map, position[None], theta, u)
        n = self.data.obs.y.size
        state: dict[str, np.ndarray] = {
            **places.new_state(random.copy(), theta[0], u[0], n)._asdict(),
            **{f"tuning_{k}": v.copy() for k, v in self.first._asdict().items()},
            "progress": np.array([int(self.loops == 0), 0]),
            "history": np.zeros((self.loops + 1, len(self.blocks), 3)),
        }
        nothing = np.empty((0, self.dim)), np.empty((0, self.effects)), np.empty((0, 2))
        self.advance(state, 0, *nothing, 0)
        return state

    def boundaries(self, warmup: int) -> list[int]:
        """Iterations of warm-up at which `adapt` is called."""
        ends = [loop * self.ntu for loop in range(1, self.loops + 1)]
        return sorted({*ends, warmup} - {0})

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
        if state["tuning_tally"].shape[0] != len(self.blocks):
            raise DataError(
                "these chains were drawn by an earlier version, with other blocks than the model "
                "has now: they cannot go on; sample anew"
            )
        tuning = iteration < self.tuning
        if tuning and n > 0 and state["progress"][TUNED] == 1:
            theta[:n], u[:n], stats[:n] = state["theta"], state["u"], 0.0
            return
        classical.advance(
            self.rows,
            self.data,
            self.steps,
            self.tuning_of(state),
            self.centres,
            places.State(**{k: state[k] for k in places.State._fields}),
            int(tuning),
            theta[:n],
            u[:n],
            stats[:n],
        )

    def tuning_of(self, state: dict[str, np.ndarray]) -> places.Tuning:
        """Return the proposals that are part of a chain's state."""
        return places.Tuning(**{k: state[f"tuning_{k}"] for k in places.Tuning._fields})

    def adapt(self, state: dict[str, np.ndarray], iteration: int) -> None:
        """End a loop of tuning, or burn-in: note what it was like, and tune what needs it."""
        progress, tuning = state["progress"], self.tuning_of(state)
        if iteration <= self.tuning and progress[TUNED] == 0:
            self._note(state, progress[LOOPS])
            progress[LOOPS] += 1
            settled = [self._tune(tuning, b) for b in range(len(self.blocks))]
            if progress[LOOPS] >= self.loops or (
                all(settled) and progress[LOOPS] >= scale_tuning.MIN_LOOPS
            ):
                progress[TUNED] = 1
            self._begin_loop(state)
        if iteration == self.warmup:
            if iteration > self.tuning:
                self._note(state, self.loops)
            self._begin_loop(state)

    def _note(self, state: dict[str, np.ndarray], row: int) -> None:
        """Put iterations, scales and acceptances since the last time into the history."""
        tuning, history = self.tuning_of(state), state["history"][row]
        proposed = tuning.tally[:, places.PROPOSED]
        history[:, ITERATIONS] = proposed
        history[:, SCALE] = self.scales(tuning)
        history[:, RATE] = tuning.tally[:, places.ACCEPTED] / np.maximum(proposed, 1.0)

    def scales(self, tuning: places.Tuning) -> np.ndarray:
        """Scales of walks; of effects their mean over the levels."""
        scales = tuning.scale.copy()
        for b, block in enumerate(self.blocks):
            if block.target == "u" and block.method == "random_walk":
                scales[b] = tuning.level[places.SCALES, self._levels(b)].mean()
        return scales

    def _levels(self, b: int) -> slice:
        first = int(self.steps.step[b, places.LEVEL])
        return slice(first, first + int(self.data.levels[self.blocks[b].which]))

    def _tune(self, tuning: places.Tuning, b: int) -> bool:
        """Give a walk its next proposal; return whether it could stay as it was."""
        block, size = self.blocks[b], self.sizes[b]
        if block.method != "random_walk":
            return True
        accepted, proposed = tuning.tally[b]
        rate = accepted / max(proposed, 1.0)
        first = int(self.steps.step[b, places.TRIANGLE])
        if block.target != "u":
            if scale_tuning.settled(rate, size):
                return True
            if self.learns:
                own = tuning.triangle[first : first + size * size].reshape(size, size)
                own[:] = scale_tuning.next_triangle(own, self._covariance(tuning, b, proposed))
            tuning.scale[b] = scale_tuning.next_scale(tuning.scale[b], rate, size, proposed)
            return False
        levels = self._levels(b)
        rates = tuning.level[places.ACCEPTS, levels] / max(proposed, 1.0)
        good = scale_tuning.settled(rates, size)
        if self.learns:
            flat = tuning.triangle[first : first + size * size * good.size]
            all_levels = flat.reshape(size, size, good.size)
            now = np.moveaxis(all_levels, -1, 0)
            new = scale_tuning.next_triangle(now, self._covariances(tuning, b, proposed))
            all_levels[:] = np.moveaxis(np.where(good[:, None, None], now, new), 0, -1)
        scales = tuning.level[places.SCALES, levels]
        scales[:] = np.where(good, scales, scale_tuning.next_scale(scales, rates, size, proposed))
        return bool(scale_tuning.settled(rate, size) and good.mean() >= MOST_LEVELS)

    def _covariance(self, tuning: places.Tuning, b: int, n: float) -> np.ndarray:
        """Covariance (size, size) of a block's draws in this loop."""
        members = self._members(b)
        mean = tuning.theta[places.SUM, members] / n
        lower = tuning.theta[places.PRODUCTS :]
        full = (np.tril(lower) + np.tril(lower, -1).T)[np.ix_(members, members)]
        return full / n - np.outer(mean, mean)

    def _covariances(self, tuning: places.Tuning, b: int, n: float) -> np.ndarray:
        """Covariances (J, size, size) of the effects of each level in this loop."""
        q, J = self.sizes[b], int(self.data.levels[self.blocks[b].which])
        first = int(self.steps.step[b, places.MOMENT]) + q * J
        mean = tuning.moment[first : first + q * J].reshape(q, J) / n
        lower = tuning.moment[first + q * J : first + (q + q * q) * J].reshape(q, q, J) / n
        below = lower * np.tri(q, k=-1)[:, :, None]
        full = lower * np.tri(q)[:, :, None] + np.swapaxes(below, 0, 1)
        return np.moveaxis(full - mean[:, None] * mean[None], -1, 0)

    def _begin_loop(self, state: dict[str, np.ndarray]) -> None:
        """Set counts and moments to 0; moments are taken about where the chain is now."""
        tuning = self.tuning_of(state)
        tuning.tally[:], tuning.level[places.ACCEPTS], tuning.theta[:] = 0.0, 0.0, 0.0
        tuning.theta[places.SHIFT], tuning.moment[:] = state["theta"], 0.0
        for b, block in enumerate(self.blocks):
            if block.target == "u" and block.method == "random_walk":
                q, J = self.sizes[b], int(self.data.levels[block.which])
                first = int(self.steps.step[b, places.MOMENT])
                base = int(self.data.effect[self.steps.step[b, places.FIRST]])
                tuning.moment[first : first + q * J] = state["u"][base : base + q * J]

    def summary(self, stats: np.ndarray) -> str:
        """Few words for the progress line."""
        return f"accept {stats[:, 0].mean():.2f}" if stats.size else ""
