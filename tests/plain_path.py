"""What compiled code and the same code as plain Python are compared on.

Started as a script it is the plain side: it reads a file of cases and writes what it found.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

if (root := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.append(root)  # for `diagnostics`

from bayesglmm import _random, chains
from bayesglmm._jit import pointer
from bayesglmm.blocks import asked
from bayesglmm.chains import sketch
from bayesglmm.conditionals import crew, transport
from bayesglmm.conditionals.passes import Guess
from bayesglmm.density import Map, logdensity
from bayesglmm.diagnostics import compiled
from bayesglmm.fits import aghq
from bayesglmm.fits.effect_moments import Moments, moments
from bayesglmm.model import Model
from bayesglmm.prior_curve import logpdf
from bayesglmm.recipe import Recipe
from bayesglmm.samplers.hamiltonian import HamiltonianProgram
from bayesglmm.sampling import start
from diagnostics.agreement_cells import KINDS, STRUCTURES, Cell

GROUPS, SIZE = 8, 5  # few rows: a plain density takes a thousand times as long as a compiled one
STATES = 50
WARMUP, DRAWS = 60, 10
CLASSICAL = {"chosen": (), "nbi": 20, "ntu": 10, "maxtune": 4, "propcov": "fit"}

_kinds = {kind.name: kind for kind in KINDS}
_structures = {structure.name: structure for structure in STRUCTURES}
Found = dict[str, np.ndarray]


def cell(kind: str, structure: str) -> Cell:
    """A small cell of the agreement of samplers."""
    return Cell(_kinds[kind], _structures[structure], GROUPS, SIZE)


LINEAR = "effects carried by linear moments"
BOARD = "passes posted on a board"


class Chain(NamedTuple):
    """A sampler on a cell."""

    sampler: str
    kind: str
    structure: str
    blocks: dict[str, str] | None = None
    way: str = ""  # LINEAR or BOARD

    @property
    def name(self) -> str:
        """What a failure is reported as."""
        more = ", ".join(f"{k} by {v}" for k, v in (self.blocks or {}).items()) + self.way
        return f"{self.sampler}, {self.kind}, {self.structure}" + (f", {more}" if more else "")


# Every kind of response with a slope, and every structure with some kind.
DENSITIES = [
    *(Chain("nuts", kind, "x|g") for kind in _kinds),
    *(
        Chain("nuts", ("gaussian identity", "poisson log")[bool(one.only) or k % 2], one.name)
        for k, one in enumerate(STRUCTURES)
    ),
]
CHAINS = [
    Chain("gibbs", "poisson log", "x|g"),
    Chain("gibbs", "gaussian identity", "1|g"),
    Chain("gibbs", "bernoulli logit", "x|g inverse-Wishart"),
    Chain("gibbs", "gamma log", "x + w|g (q = 3)"),
    Chain("gibbs", "poisson log", "crossed, slope"),
    Chain("gibbs", "gaussian identity", "nested a/b"),
    Chain("gibbs", "binomial logit", "1|g, 1|row"),
    Chain("collapsed", "gaussian identity", "x|g"),
    Chain("collapsed", "gaussian identity", "crossed"),
    Chain("collapsed", "gaussian identity se", "nested a/b"),
    Chain("classical", "bernoulli logit", "x|g Huang-Wand"),
    Chain("classical", "gaussian identity", "x|g inverse-Wishart"),
    Chain("classical", "poisson log", "x||g", {"beta": "random_walk", "u": "random_walk"}),
    Chain("nuts", "bernoulli probit", "x|g"),
    Chain("nuts", "negative_binomial log", "crossed"),
    Chain("nuts", "poisson identity", "1|g"),
    Chain("hmc", "binomial cloglog", "x|g"),
]
MORE_CHAINS = [  # of fewer states
    Chain("gibbs", "bernoulli logit", "x|g", way=LINEAR),
    Chain("gibbs", "poisson log", "1|g", way=LINEAR),
    Chain("gibbs", "negative_binomial log", "x|g", way=BOARD),
    Chain("gibbs", "poisson log", "x||g"),
    Chain("classical", "poisson log", "x|g", {"Sigma": "random_walk"}),
    Chain("classical", "gamma log", "x|g", {"Sigma": "slice"}),
    Chain("classical", "gamma log", "x||g", {"beta": "slice", "shape": "random_walk"}),
    Chain("gibbs", "gamma log", "crossed"),
]
FITS = [
    ("laplace", "poisson log", "x|g"),
    ("laplace", "bernoulli logit", "crossed"),
    ("laplace", "gamma log", "nested a/b"),
    ("laplace", "negative_binomial log", "1|g"),
    ("laplace", "poisson log", "no effects"),
    ("aghq", "binomial logit", "x|g"),
    ("rspl", "bernoulli logit", "x|g"),
    ("mspl", "poisson log", "crossed"),
    ("reml", "gaussian identity", "x|g"),
    ("ml", "gaussian identity", "crossed, slope"),
    ("glm", "gamma inverse", "1|g"),
    ("laplace", "gamma inverse", "x|g"),
    ("reml", "gaussian identity", "x||g"),
    ("ml", "gaussian identity", "1|g"),
    ("reml", "gaussian identity", "crossed, slope"),
]


def recipe_of(chain: Chain, model: Model) -> Recipe:
    """The sampler about a fit, which is not repeated on the plain side."""
    map, covariance = start(model, chain.sampler)
    classical = (
        CLASSICAL | {"chosen": asked(chain.blocks)} if chain.sampler == "classical" else None
    )
    warmup = WARMUP
    if classical is not None:
        walks = "random_walk" in (chain.blocks or {}).values()
        warmup = classical["maxtune"] * classical["ntu"] * walks + classical["nbi"]
    return Recipe(
        chain.sampler, warmup, 0.8, 6, map._asdict(), covariance, None, classical=classical
    )


def program_of(case: Chain, recipe: Recipe, model: Model) -> Any:
    """A chain's program, in the way that it would take with more groups or rows."""
    program: Any = recipe.program(model)
    if case.way == LINEAR:
        map, rule = Map(**recipe.map), aghq.nodes(program.q, 5)
        scale = np.linalg.cholesky(recipe.covariance)
        known = Moments(program.rows, program.data, map, scale, *rule)
        program.guess = Guess(map.center, *known.linear())
    if case.way == BOARD:
        program.threads = 2
    return program


@contextmanager
def nobody_helps(threads: int, chunks: int, q: int, move: Any) -> Iterator[crew.Crew]:
    """What `crew.at_work` holds ready, without helpers, where a program is to have some."""
    yield crew.gather(chunks, q) if threads > 1 else crew.alone()


def density_at(program: Any, position: np.ndarray) -> Found:
    """Log density and gradient at a whitened position."""
    target, gradient = program.target, np.empty_like(position)
    value = logdensity(pointer(target.rows), target.data, target.map, position, gradient)
    return {"value": np.array([value]), "gradient": gradient}


def states_of(program: Any) -> list[Found]:
    """States of new chains; every second Hamiltonian one collects moments for its metric."""
    made = [program.start(key, k) for k, key in enumerate(_random.keys(11, STATES))]
    if isinstance(program, HamiltonianProgram):
        for state in made[1::2]:
            program.adapt(state, program.boundaries(program.warmup)[0])
    return made


def after_one(program: Any, state: Found) -> Found:
    """What one iteration from a state makes: draws, statistics, and the state it leaves."""
    state = {name: value.copy() for name, value in state.items()}
    theta, u = np.zeros((1, program.dim)), np.zeros((1, program.effects))
    stats = np.zeros((1, len(program.stats)))
    program.advance(state, 1, theta, u, stats, program.warmup)
    return {"theta": theta, "u": u, "stats": stats, **state}


def run_of(program: Any) -> Found:
    """A short run with all of its warm-up."""
    made = chains.run(
        program, seed=5, chains=1, draws=DRAWS, warmup=program.warmup, jobs=1, progress=False
    )
    return {"theta": made.theta, "u": made.u, "stats": np.array(list(made.stats.values()))}


def fitted(method: str, kind: str, structure: str) -> Found:
    """Value and estimates of a fit, and their standard errors."""
    outcome = cell(kind, structure).model().fit(method).outcome
    errors = np.sqrt(np.diag(outcome.covariance))
    return {"loglik": np.array([outcome.loglik]), "theta": outcome.theta, "errors": errors}


def measured_of(draws: np.ndarray) -> Found:
    """Convergence of columns of draws (chains, draws, k)."""
    return {"measured": compiled.measured(draws, 1)}


def summed_up(draws: np.ndarray) -> Found:
    """Sums of draws (draws, effects)."""
    state = sketch.new(draws.shape[1])
    sketch.update(state, draws)
    return state


def by_quadrature(
    kind: str, structure: str, theta: np.ndarray, v: np.ndarray, blocks: np.ndarray
) -> Found:
    """Marginal likelihood, its score, and moments of the effects, with nodes about v."""
    problem = cell(kind, structure).model().problem
    q, groups = problem.data.factor.size, blocks.shape[2]
    points, log_weights = aghq.nodes(q, 3)
    gradient = np.zeros(theta.size)
    mean, factor = np.zeros((q, groups)), np.zeros((q * (q + 1) // 2, groups))
    about = problem.rows, problem.data, theta, v, blocks, points, log_weights
    values = [aghq.score(*about, gradient), moments(*about, mean, factor)]
    return {"value": np.array(values), "gradient": gradient, "mean": mean, "factor": factor}


def prior_at(prior: Any, x: np.ndarray) -> Found:
    """Log density of a prior."""
    return {"logpdf": logpdf(prior, x)}


def help_late(case: Chain, recipe: Recipe, state: Found) -> Found:
    """What a helper makes of the last pass of a sweep when it finds that open."""
    program = program_of(case, recipe, cell(case.kind, case.structure).model())
    chain = transport.State(**{name: state[name].copy() for name in transport.State._fields})
    team = crew.gather(program.data.obs.lanes.chunk.shape[0] - 1, program.q)

    def move(team: crew.Crew, n: int) -> None:
        transport.advance(
            program.rows, program.data, program.guess, program._proposal(state), program.centre,
            chain, team, program.every, np.empty((n, program.dim)), np.empty((n, program.effects)),
            np.empty((n, len(program.stats))),
        )  # fmt: skip

    move(team, 1)
    whole = team.sheet.copy()
    team.sheet[-2 * int(team.board[crew.RUNS]) :] = 0.0
    team.board[crew.DONE] = 0
    team.board[crew.TAKEN] = ((team.board[crew.TAKEN] >> crew.NUMBER) + 1) << crew.NUMBER
    move(team._replace(helps=1, stream=np.zeros(2, dtype=np.uint64)), 1)
    assert team.board[crew.DONE] == team.board[crew.RUNS]
    return {"whole": whole, "sheet": team.sheet, **chain._asdict()}


CALLS = {one.__name__: one for one in (measured_of, summed_up, by_quadrature, prior_at, help_late)}


def main(asked: Path, found: Path) -> None:
    """Answer the questions of a file: each a function of this module with its arguments."""
    questions = pickle.loads(asked.read_bytes())
    found.write_bytes(pickle.dumps([answer(question) for question in questions]))


def answer(question: tuple[Any, ...]) -> Any:
    """What one side says."""
    what, *rest = question
    if what == "fit":
        return fitted(*rest)
    if what in CALLS:
        return CALLS[what](*rest)
    case, recipe, places = rest
    program = program_of(case, recipe, cell(case.kind, case.structure).model())
    with patch.object(crew, "at_work", nobody_helps):
        if what == "run":
            return run_of(program)
        one = density_at if what == "density" else after_one
        return [one(program, place) for place in places]


def plainly(questions: list[tuple[Any, ...]], folder: Path) -> list[Any]:
    """What the plain side answers."""
    asked, found = folder / "asked", folder / "found"
    asked.write_bytes(pickle.dumps(questions))
    subprocess.run(
        [sys.executable, __file__, str(asked), str(found)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=True,
        timeout=7200,  # a few minutes, on an idle machine
    )
    return pickle.loads(found.read_bytes())


if __name__ == "__main__":
    import plain_path  # by its name: cases are pickled as its classes

    plain_path.main(*map(Path, sys.argv[1:]))
