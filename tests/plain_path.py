"""What compiled code and the same code as plain Python are compared on.

Started as a script it is the plain side: it reads a file of cases and writes what it found.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

if (root := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.append(root)  # for `diagnostics`

from bayesglmm import _random, chains
from bayesglmm._jit import pointer
from bayesglmm.blocks import asked
from bayesglmm.density import logdensity
from bayesglmm.model import Model
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


class Chain(NamedTuple):
    """A sampler on a cell."""

    sampler: str
    kind: str
    structure: str
    blocks: dict[str, str] | None = None

    @property
    def name(self) -> str:
        """What a failure is reported as."""
        more = ", ".join(f"{k} by {v}" for k, v in (self.blocks or {}).items())
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


def main(asked: Path, found: Path) -> None:
    """Answer the questions of a file: each a function of this module with its arguments."""
    questions = pickle.loads(asked.read_bytes())
    found.write_bytes(pickle.dumps([answer(question) for question in questions]))


def answer(question: tuple[Any, ...]) -> Any:
    """What one side says."""
    what, *rest = question
    if what == "fit":
        return fitted(*rest)
    case, recipe, places = rest
    program = recipe.program(cell(case.kind, case.structure).model())
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
