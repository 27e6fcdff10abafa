"""Exact tests of transitions, whose p-values hold for any number of chains however slow they mix.

Parameters and effects are drawn from their priors and responses given them, so that the draw is one
from the posterior of these responses. Gandy and Scott (2020, "Unit testing for MCMC and other Monte
Carlo methods"):

- `ranks`: a chain is laid through the draw, which is at a random place of it: the transitions
  before it are taken backwards, which for a reversible kernel is no different. All states of the
  chain then have one distribution, and the rank of any function of the draw among them is exactly
  uniform.
- `moved`: after any number of transitions of any kernel, reversible or not, what a chain has come
  to is another draw: functions of it are compared with those of independent draws, two samples of
  independent values.

A sampler whose sweep is a cycle of steps is not reversible, but each step is. `PARTS` holds them,
as far as they can be run alone; else as ``R B R``, which is reversible where B and R are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import joint
import joint_crossed
import numpy as np
from classical_joint import Blocks, Classical
from joint import Load, package
from joint_crossed import CrossedCase, standardized
from kernels import callable_
from scipy import stats

CHAINS, LENGTH = 2000, 10  # goal of the evidence; each state is several transitions off the next
LEVEL = 0.005  # of a function in each of two stages
SAME = 1e-9  # relative: what has been rejected differs by rounding alone, and is a tie
INDEPENDENT = 20_000  # draws that `moved` compares with


def inside(case: CrossedCase, model: Any, prior: dict[str, Any], load: Load):
    """Draws from the priors as the package has them: theta (n, d) and u (n, effects)."""
    problem, names = load("problem"), model.names
    data = model.problem.data
    d = data.obs.X.shape[0] + data.prior.covariance.row.size + data.prior.phi.shape[0]
    rows = [*names.fixed, *names.sd, *names.cor]
    columns = [*prior["beta"].T, *prior["sd"].T, *prior["cor"].T]
    if case.dispersion:
        rows.append(case.dispersion)
        columns.append(prior[case.dispersion])
    theta = np.array(
        [
            problem.to_internal(model, dict(zip(rows, values, strict=True)), np.zeros(d))
            for values in np.array(columns).T
        ]
    )
    nv = int(sum(data.levels[f] for f in data.factor))
    # The place and the scale of every effect, by the way back.
    place = problem.effects_to_user(model, np.arange(float(nv)), scaled=False)
    scale = problem.effects_to_user(model, np.ones(nv))
    u = np.empty((theta.shape[0], nv))
    for term in {term.factor: term for term in case.effects}.values():
        group = case.group(term)
        to, by = (joint_crossed.by_column(case, term, model, x[group]) for x in (place, scale))
        u[:, to.astype(int).ravel()] = (prior["u"][term.factor] / by).reshape(len(u), -1)
    return theta, u


@dataclass(frozen=True)
class Draws:
    """Draws from the joint distribution of a model: on the user's scale, and inside."""

    prior: dict[str, Any]
    y: np.ndarray
    theta: np.ndarray
    u: np.ndarray


def draw(case: CrossedCase, model: Any, load: Load, rng: np.random.Generator, n: int) -> Draws:
    """Draw n times."""
    prior = case.prior(rng, n)
    phi = prior.get(case.dispersion, np.ones(n))[:, None]
    y = case.draw(rng, case.eta_of(prior), phi)
    return Draws(prior, y, *inside(case, model, prior, load))


def respond(case: CrossedCase, obs: Any, y: np.ndarray) -> None:
    """Put responses, as the frame has its rows, into the data."""
    row = np.argmax(obs.offset[:, None] == case.frame.w.to_numpy(), axis=1)
    obs.y[:] = np.log(y[row]) if case.family == "gamma" else y[row]


def values_of(case: CrossedCase, model: Any, theta: np.ndarray, u: np.ndarray, y: np.ndarray):
    """Test functions of states inside (n, ...) and responses (n, rows)."""
    values = model.to_user(theta, u)
    values["u"] = {
        term.factor: joint_crossed.by_column(case, term, model, values["u"][case.group(term)])
        for term in case.effects
    }
    return case.functions(values, y)


def ranks(
    case: CrossedCase,
    part: Callable[[Any, Load], Any],
    load: Load = package,
    chains: int = CHAINS,
    seed: int = 1,
    length: int = LENGTH,
) -> dict[str, float]:
    """P-value of each test function that moves: chi-square of its ranks on `length` cells."""
    rng = np.random.default_rng(seed)
    model = case.model(load)
    moves = part(model, load)
    drawn = draw(case, model, load, rng, chains)
    place = rng.integers(length, size=chains)
    d, nv = drawn.theta.shape[1], drawn.u.shape[1]
    theta, u = np.empty((chains, length, d)), np.empty((chains, length, nv))
    for i in range(chains):
        respond(case, moves.data.obs, drawn.y[i])
        theta[i, place[i]], u[i, place[i]] = drawn.theta[i], drawn.u[i]
        for way in (range(place[i] - 1, -1, -1), range(place[i] + 1, length)):
            if len(way) > 0:
                moves.begin(drawn.theta[i], drawn.u[i])
            for at in way:
                theta[i, at], u[i, at] = moves.step()
    y = np.repeat(drawn.y, length, axis=0)
    found = {}
    functions = values_of(case, model, theta.reshape(-1, d), u.reshape(-1, nv), y)
    for name, value in functions.items():
        value = value.reshape(chains, length)
        own = value[np.arange(chains), place][:, None]
        if not np.isfinite(value).all():
            found[name] = 0.0
            continue
        tied = np.abs(value - own) <= SAME * (1.0 + np.abs(own))
        if tied.all():
            continue
        less = ((value < own) & ~tied).sum(axis=1)
        rank = less + rng.integers(tied.sum(axis=1))
        found[name] = float(stats.chisquare(np.bincount(rank, minlength=length)).pvalue)
    return found


def moved(
    case: CrossedCase,
    sampler: Callable[[Any, Load], Any],
    load: Load = package,
    chains: int = CHAINS,
    seed: int = 1,
    length: int = LENGTH,
) -> dict[str, float]:
    """P-value of each test function after length - 1 steps against independent draws (KS)."""
    rng = np.random.default_rng(seed)
    model = case.model(load)
    moves = sampler(model, load)
    drawn = draw(case, model, load, rng, chains)
    theta, u = np.empty_like(drawn.theta), np.empty_like(drawn.u)
    for i in range(chains):
        respond(case, moves.data.obs, drawn.y[i])
        moves.begin(drawn.theta[i], drawn.u[i])
        for _ in range(length - 1):
            theta[i], u[i] = moves.step()
    others = case.prior(rng, INDEPENDENT)
    phi = others.get(case.dispersion, np.ones(INDEPENDENT))[:, None]
    known = case.functions(others, case.draw(rng, case.eta_of(others), phi))
    found = values_of(case, model, theta, u, drawn.y)
    return {
        name: float(stats.ks_2samp(value, known[name]).pvalue) if np.isfinite(value).all() else 0.0
        for name, value in found.items()
    }


def red(test: Callable[..., dict[str, float]], *what: Any, chains: int, seed: int = 1, **options):
    """Functions whose p-value is below LEVEL twice: with twice the chains the second time.

    Returns the smallest p-value of the first stage, the number of functions, and what is red.
    """
    first = test(*what, chains=chains, seed=seed, **options)
    low = {name for name, p in first.items() if p < LEVEL}
    again: dict[str, float] = {}
    if low:
        second = test(*what, chains=2 * chains, seed=seed + 1000, **options)
        again = {name: second[name] for name in sorted(low) if second[name] < LEVEL}
    return min(first.values()), len(first), again


IDLE = 0  # a block from 0 to 0: a proposal that moves nothing


class Transported(joint.Gibbs):
    """One block of theta with z held, or Sigma given u, between renewals of the effects.

    `block` is "effects" (renewals alone), a range of (psi, log phi, beta) by name, or "Sigma".
    """

    def __init__(
        self, model, load: Load, block: str = "effects", walk: bool = False, linear: bool = False
    ) -> None:
        super().__init__(model, load, every=0, linear=linear)
        program, m = self.program, self.program.m
        self.factors = load("covariance").factors
        none = {"effects": (0, 0), "Sigma": (0, 0)}
        edge = {**none, "theta": (0, program.dim), "psi": (0, m), "rest": (m, program.dim)}[block]
        kind = self.transport.WALK if walk else self.transport.INDEPENDENCE
        self.blocks = [np.array([[*edges, kind, 1]]) for edges in (edge, (0, 0))]
        self.centred = block == "Sigma"
        if self.centred:
            columns = program.centre.column[:0]
            program.centre = program.centre._replace(column=columns)

    def begin(self, theta: np.ndarray, u: np.ndarray) -> None:
        self.state["flag"][self.transport.SIDE] = 0
        super().begin(theta, standardized(self.data, self.factors, theta, u))
        self.find_map()

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        if self.centred:
            # A sweep is a renewal and a draw of Sigma: one renewal more makes it a palindrome.
            self._sweeps(1, 1, len(self.out[0]) - 1)
        self._sweeps(1, 0, 1)
        if not self.centred:
            # A block and a renewal: one renewal before makes it a palindrome.
            self._sweeps(0, 0, len(self.out[0]) - 1)
        return self.out[0][0].copy(), self.out[1][0].copy()

    def _sweeps(self, idle: int, every: int, count: int) -> None:
        self.state["proposal_block"], self.program.every = self.blocks[idle], every
        for _ in range(count):
            self.program.advance(self.state, 1, *self.out, 0)


class Alone(Classical):
    """One step of the classical sampler: the first of a target (``beta``, ``u``...) and method."""

    def __init__(self, model, load: Load, blocks: Blocks, target: str, method: str) -> None:
        super().__init__(model, load, blocks)
        program = self.program
        found = [
            b
            for b, block in enumerate(program.blocks)
            if (block.target, block.method) == (target, method)
        ]
        program.steps = program.steps._replace(step=program.steps.step[found[:1]].copy())
        program.blocks = tuple(program.blocks[b] for b in found[:1])
        for key in ("tuning_scale", "tuning_tally"):
            self.state[key] = self.state[key][found[:1]].copy()


class Integrated(joint.Collapsed):
    """The collapsed sampler with one block of all of t, one move a draw."""

    def __init__(self, model, load: Load, walk: bool) -> None:
        super().__init__(model, load, "one")
        kind = self.module.WALK if walk else self.module.INDEPENDENCE
        self.state["proposal_block"] = np.array([[0, self.program.center.size, kind]])
        self.state["proposal_tuning"] = self.state["proposal_tuning"][:1].copy()
        self.program.rounds = 1

    def begin(self, theta: np.ndarray, u: np.ndarray) -> None:
        super().begin(theta, u)
        self.program.sums, self.program.pattern = self.collect(self.data)

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        self.state["flag"][self.module.STATUS] = self.module.MOVED
        self.program.advance(self.state, len(self.out[0]), *self.out, 0)
        return self.out[0][-1], self.out[1][-1]


class OfCrossed(joint_crossed.Crossed):
    """One compiled function of the crossed sampler: `what` it moves, and of which factor."""

    def __init__(self, model, load: Load, what: str, which: int = 0) -> None:
        super().__init__(model, load)
        self.what, self.which = what, which
        jit = load("_jit")
        self.rows_pointer = jit.pointer(self.program.rows)

        def outside(function):
            return callable_(function) if jit.ENABLED else function

        self.loose = load("conditionals.loose")
        self.directions = outside(load("conditionals.directions").draw)
        self.nested, self.rest = outside(load("conditionals.nested").move), self.program.rest
        self.fields = load("conditionals.factors")
        self.factors = load("covariance").factors
        if what == "coefficients":
            self.rest = self.rest._replace(kind=np.array([self.loose.NONE]))
        elif what == "dispersion":
            none = np.zeros((0, 0))
            self.rest = self.rest._replace(
                basis=self.rest.basis[:0], X=self.rest.X[:0], gram=none, prior=none
            )
        self.move_loose = outside(self.loose.move)
        n = self.data.obs.y.size
        self.spare = np.empty((3, n))
        self.steps = np.tile([0.0, 0.0, 0.0], (3, 1))
        self.steps[which, 0] = 0.6
        self.chain = load("conditionals.crossed").State(
            **{k: self.state[k] for k in load("conditionals.crossed").State._fields}
        )

    def begin(self, theta: np.ndarray, u: np.ndarray) -> None:
        super().begin(theta, u)
        self.state["flag"][self.crossed.STATUS] = self.crossed.NEW
        self.program.advance(self.state, 0, *(out[:0] for out in self.out), 0)

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        for _ in range(len(self.out[0])):
            if self.what == "directions":
                self._directions()
            elif self.what == "nested":
                self._nested()
            else:
                self.move_loose(
                    self.rows_pointer, self.data.obs, self.data.prior, self.rest,
                    self.state["proposal_loose"], self.chain, self.spare,
                )  # fmt: skip
        u = np.empty_like(self.state["u"])
        u[self.program.plan.rows.order] = self.state["u"]
        return self.state["theta"].copy(), u

    def _directions(self) -> None:
        plan, fields = self.program.plan, self.fields
        own, p = plan.table[self.which], self.program.p
        q, J, c = (
            own[fields.COLUMNS] - own[fields.COLUMN],
            own[fields.LEVELS],
            own[fields.DIRECTIONS],
        )
        at, shift, cross = own[fields.DIRECTION], own[fields.SHIFT], own[fields.CROSS]
        columns = slice(own[fields.COLUMN], own[fields.COLUMNS])
        theta, effect = self.state["theta"], own[fields.EFFECT]
        L = self.factors(self.data.prior.covariance, theta[p : p + self.program.m])
        u = self.state["u"][effect : effect + q * J].reshape(q, J)
        self.directions(
            self.data.prior.beta,
            plan.directions.normal,
            plan.directions.T[at : at + c * p].reshape(c, p),
            plan.directions.W[shift : shift + c * q * J].reshape(c, q, J),
            plan.directions.cross[cross : cross + q * q * c * c].reshape(q, q, c, c),
            np.ascontiguousarray(L[columns, columns]),
            theta[:p],
            u,
            np.empty(p),
            self.state["random"],
        )

    def _nested(self) -> None:
        plan, fields, p = self.program.plan, self.fields, self.program.p
        child, parent = plan.table[plan.pair[0, 0]], plan.table[plan.pair[0, 1]]
        q, J, K = (
            child[fields.COLUMNS] - child[fields.COLUMN],
            child[fields.LEVELS],
            parent[fields.LEVELS],
        )
        at, above, place = child[fields.EFFECT], parent[fields.EFFECT], plan.pair[0, 2]
        Q = self.data.factor.size
        self.nested(
            self.data.prior.covariance,
            child[fields.COLUMN],
            parent[fields.COLUMN],
            q,
            plan.parent[place : place + J],
            self.state["u"][at : at + q * J].reshape(q, J),
            self.state["u"][above : above + q * K].reshape(q, K),
            self.state["theta"][p : p + self.program.m],
            np.zeros((Q, Q)),
            self.steps,
            self.state["random"],
        )


def _transported(**options):
    return lambda model, load: Transported(model, load, **options)


def _alone(blocks: Blocks, target: str, method: str):
    return lambda model, load: Alone(model, load, blocks, target, method)


def _of_crossed(what: str, which: int = 0):
    return lambda model, load: OfCrossed(model, load, what, which)


def _hamiltonian(kind: str):
    def made(model, load: Load):
        moves = joint_crossed.Hamiltonian(model, load, kind)
        moves.out = [out[:2] for out in moves.out]
        return moves

    return made


PARTS: dict[str, Callable[[Any, Load], Any]] = {
    "gibbs: effects": _transported(),
    "gibbs: theta": _transported(block="theta"),
    "gibbs: psi": _transported(block="psi"),
    "gibbs: coefficients and dispersion": _transported(block="rest"),
    "gibbs: walk of psi": _transported(block="psi", walk=True),
    "gibbs: theta, linear map": _transported(block="theta", linear=True),
    "gibbs: Sigma given u": _transported(block="Sigma"),
    "collapsed: t": lambda model, load: Integrated(model, load, False),
    "collapsed: walk of t": lambda model, load: Integrated(model, load, True),
    "hmc": _hamiltonian("hmc"),
    "nuts": _hamiltonian("nuts"),
    "crossed: centred coefficients": _of_crossed("directions"),
    "crossed: loose coefficients": _of_crossed("coefficients"),
    "crossed: dispersion": _of_crossed("dispersion"),
    "crossed: nested, child": _of_crossed("nested", 0),
    "crossed: nested, parent": _of_crossed("nested", 1),
    "crossed: nested, against each other": _of_crossed("nested", 2),
    "classical: walk of beta": _alone({"beta": "random_walk"}, "beta", "random_walk"),
    "classical: iwls of beta": _alone({"beta": "iwls"}, "beta", "iwls"),
    "classical: slice of a coefficient": _alone(
        {"x": "slice", "Intercept": "slice"}, "beta", "slice"
    ),
    "classical: exact beta": _alone({"beta": "conjugate"}, "beta", "conjugate"),
    "classical: centred beta": _alone({"beta": "iwls+centred"}, "beta", "centred"),
    "classical: walk of u": _alone({"u": "random_walk"}, "u", "random_walk"),
    "classical: iwls of u": _alone({"u": "iwls"}, "u", "iwls"),
    "classical: exact u": _alone({"u": "conjugate"}, "u", "conjugate"),
    "classical: walk of Sigma": _alone({"Sigma": "random_walk"}, "Sigma", "random_walk"),
    "classical: slice of Sigma": _alone({"Sigma": "slice"}, "Sigma", "slice"),
    "classical: exact Sigma": _alone({"Sigma": "conjugate"}, "Sigma", "conjugate"),
    "classical: nearly exact Sigma": _alone({"Sigma": "near_conjugate"}, "Sigma", "near_conjugate"),
    "classical: sd, effects along": _alone(
        {"Sigma": ["slice", "noncentred"]}, "Sigma", "noncentred"
    ),
    "classical: walk of the dispersion": _alone(
        {"sigma": "random_walk"}, "dispersion", "random_walk"
    ),
    "classical: exact sigma": _alone({"sigma": "conjugate"}, "dispersion", "conjugate"),
    "classical: slice of the dispersion": _alone({}, "dispersion", "slice"),
}
