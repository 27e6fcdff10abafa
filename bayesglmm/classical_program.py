"""The program of classical Metropolis within Gibbs: steps, loops of tuning, and their history."""

from typing import TYPE_CHECKING, Any

import numpy as np

from . import families
from ._random import fill_normals_into
from .adaptation import scale_tuning
from .adaptation.proposal import triangle
from .blocks import Asked, Block, data_of, resolve
from .bound import Bound
from .conditionals import centring, classical
from .conditionals import classical_state as places
from .density import Data, Map, unwhiten
from .prior_defaults import rescaled
from .priors import Flat, Normal

if TYPE_CHECKING:
    from .model import Model

METHODS = {
    "random_walk": places.WALK,
    "iwls": places.IWLS,
    "conjugate": places.CONJUGATE,
    "slice": places.SLICE,
    "near_conjugate": places.NEAR,
    "centred": places.CENTRED,
}
TARGETS = {
    "beta": places.BETA,
    "u": places.EFFECTS,
    "Sigma": places.SIGMA,
    "dispersion": places.PHI,
}
DISPERSION = 2.0  # chains start this many posterior sds away, in each direction
ATTEMPTS = 100  # starts tried, each nearer the centre than the last
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
        self.steps, self.sizes = _steps(model, data, self.blocks, np.sqrt(np.diag(covariance)))
        self.centres = _centres(model, data, self.blocks)
        self.first = self._first_proposals(covariance, propcov)

    def _first_proposals(self, covariance: np.ndarray, propcov: str) -> places.Tuning:
        """Make the proposals that every chain begins with."""
        table, triangles, levels, moments = self.steps.step, [], 0, 0
        scale = np.ones(len(self.blocks))
        u_scale: list[np.ndarray] = []
        curves = _Curvature(self.rows, self.data, self.map) if propcov != "ind" else None
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
        position = np.empty(self.dim + self.effects)
        theta, u = np.empty((1, self.dim)), np.empty((1, self.effects))
        for _ in range(ATTEMPTS):
            fill_normals_into(random, position)
            if self.init is None:
                position[: self.dim] *= away
            else:
                change = self.init - self.map.center
                position[: self.dim] = np.linalg.solve(self.map.scale, change)
            unwhiten(self.data, self.map, position[None], theta, u)
            fresh = places.new_state(random, theta[0].copy(), u[0].copy(), self.data.obs.y.size)
            state = {
                **fresh._asdict(),
                **{f"tuning_{k}": v.copy() for k, v in self.first._asdict().items()},
                "progress": np.array([int(self.loops == 0), 0]),
                "history": np.zeros((self.loops + 1, len(self.blocks), 3)),
            }
            nothing = (np.empty((0, k)) for k in (self.dim, self.effects, len(self.stats)))
            self.advance(state, 0, *nothing, 0)
            if np.isfinite(state["loglik"]).all() and np.isfinite(state["theta"]).all():
                self._begin_loop(state)
                return state
            away *= 0.8
        raise FloatingPointError(
            f"chain {chain}: the log density is not finite at any of {ATTEMPTS} starts"
        )

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
        proposed = tuning.count[:, places.PROPOSED]
        history[:, ITERATIONS] = proposed
        history[:, SCALE] = self.scales(tuning)
        history[:, RATE] = tuning.count[:, places.ACCEPTED] / np.maximum(proposed, 1.0)

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
        accepted, proposed = tuning.count[b]
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
            own = tuning.triangle[first : first + size * size * good.size]
            own = own.reshape(size, size, good.size)
            now = np.moveaxis(own, -1, 0)
            new = scale_tuning.next_triangle(now, self._covariances(tuning, b, proposed))
            own[:] = np.moveaxis(np.where(good[:, None, None], now, new), 0, -1)
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
        tuning.count[:], tuning.level[places.ACCEPTS], tuning.theta[:] = 0.0, 0.0, 0.0
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


def _steps(
    model: "Model", data: Data, blocks: tuple[Block, ...], sds: np.ndarray
) -> tuple[places.Steps, list[int]]:
    """Lay blocks out for compiled code; the parameters that each moves at once."""
    cov, p = data.prior.covariance, data.obs.X.shape[0]
    table, members, sizes = np.zeros((len(blocks), 8), dtype=np.int64), [], []
    for b, block in enumerate(blocks):
        own: list[int] = list(block.members)
        if block.target == "Sigma":
            lo, hi = cov.block_start[block.which], cov.block_start[block.which + 1]
            own = [p + e for e in range(cov.row.size) if lo <= cov.row[e] < hi]
        elif block.target == "dispersion":
            own = [sds.size - 1]
        first = len(members)
        if block.target == "u":
            columns = np.flatnonzero(data.factor == block.which)
            first, last = int(columns[0]), int(columns[-1]) + 1
            sizes.append(last - first)
        else:
            members += own
            last = len(members)
            sizes.append(len(own))
        which = 0 if block.method == "centred" else block.which
        table[b, :5] = METHODS[block.method], TARGETS[block.target], first, last, which
    centred = [b for b, block in enumerate(blocks) if block.method == "centred"]
    table[centred, places.WHICH] = range(len(centred))
    pairs = zip(model.priors.beta, model.x_scale, strict=True)
    normal = [_stand_in(rescaled(prior, scale))[:2] for prior, scale in pairs]
    steps = places.Steps(
        table,
        np.array(members, dtype=np.int64),
        np.array(normal, dtype=np.float64).reshape(-1, 2),
        centring.WIDTH * sds,
    )
    return steps, sizes


def _stand_in(prior: Any) -> tuple[float, float, int]:
    """Mean and precision of a Normal near the prior, and whether it is the prior itself."""
    if isinstance(prior, Flat):
        return 0.0, 0.0, 1
    if isinstance(prior, Normal):
        return prior.mean, prior.sd**-2, 1
    return prior.mean, prior.scale**-2, 0


def _centres(model: "Model", data: Data, blocks: tuple[Block, ...]) -> places.Centres:
    """What the centred steps need, one after the other."""
    parts = []
    for block in blocks:
        if block.method != "centred":
            continue
        own = data_of(data, block.which)
        columns, W = centring.within_groups(own)
        kept = np.isin(columns, block.members)
        columns, W = columns[kept], np.ascontiguousarray(W[kept])
        stand_ins = [
            _stand_in(rescaled(model.priors.beta[j], model.x_scale[j])) for j in columns.tolist()
        ]
        part = centring.Centring(
            np.array([(j, s[2]) for j, s in zip(columns, stand_ins, strict=True)], dtype=np.int64),
            W,
            np.ascontiguousarray(np.einsum("akg,blg->klab", W, W)),
            np.array([s[:2] for s in stand_ins], dtype=np.float64),
            np.zeros(0),
        )
        first = int(np.flatnonzero(data.factor == block.which)[0])
        parts.append((first, int(own.levels[0]), part))
    return places.pack(parts)


class _Curvature:
    """Curvature of the log posterior at a fit, block by block, all else held."""

    def __init__(self, rows: Any, data: Data, map: Map) -> None:
        from .covariance import factors

        self.data = data
        p, m = data.obs.X.shape[0], data.prior.covariance.row.size
        theta = map.center
        position = np.zeros((1, theta.size + map.modes.size))
        u, out = np.empty((1, map.modes.size)), np.empty((1, theta.size))
        unwhiten(data, map, position, out, u)
        eta = data.obs.offset + theta[:p] @ data.obs.X
        for k, f in enumerate(data.factor):
            eta = eta + data.obs.Z[k] * u[0, data.effect[k] + data.level[f]]
        phi = float(np.exp(theta[-1])) if data.prior.phi.shape[0] else 1.0
        score, weight, spare = np.empty((3, eta.size))
        rows(families.IWLS, eta, data.obs.y, data.obs.w, phi, score, weight, spare, spare)
        self.weight = np.where(np.isfinite(weight) & (weight > 0.0), weight, 0.0)
        self.L = factors(data.prior.covariance, theta[p : p + m])

    def effects(self, f: int) -> np.ndarray:
        """Cholesky factors (J, q, q) of the covariances of the effects of a factor's levels."""
        data, own = self.data, np.flatnonzero(self.data.factor == f)
        J, level, q = int(data.levels[f]), data.level[f], own.size
        L = self.L[np.ix_(own, own)]
        A = np.empty((J, q, q))
        for i, k in enumerate(own):
            for j, l in enumerate(own):
                product = data.obs.Z[k] * data.obs.Z[l] * self.weight
                A[:, i, j] = np.bincount(level, product, minlength=J)
        # (Z'WZ + Sigma^-1)^-1 = L (I + L'Z'WZ L)^-1 L'
        inner = np.linalg.cholesky(np.linalg.inv(np.eye(q) + L.T @ A @ L))
        factor: np.ndarray = L @ inner
        return factor

    def coefficients(self, members: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Cholesky factor of the covariance of some coefficients."""
        X = self.data.obs.X[members]
        return triangle(np.linalg.pinv((X * self.weight) @ X.T + np.diag(precision)))
