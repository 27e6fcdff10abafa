"""Replicates of simulation-based calibration: data from the prior, one chain, ranks; kept as lines.

A replicate depends on its key alone (cell, sampler, stage, number), so lines may be made in any
order, by any number of processes, and in as many sittings as it takes.
"""

import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bayesglmm import chains, sampling, sas_options
from bayesglmm.chains import Program
from bayesglmm.diagnostics.ess import ess_bulk
from bayesglmm.model import Model
from bayesglmm.recipe import Recipe

from . import sbc_ranks
from .sbc_cells import BY_NAME, Values

SEED = 20_261_121
WARMUP = {"nuts": 200, "hmc": 200}
WARMUP_GIBBS = 400  # cheaper iterations
FIRST = 3 * sbc_ranks.DRAWS  # iterations kept at first; doubled until all ESS are enough
ENOUGH = 1.5 * sbc_ranks.DRAWS  # smallest ESS: thinned draws of an AR(1) chain correlate by e^-3
LONGEST = 2**6 * FIRST

Named = dict[str, np.ndarray]  # quantities (n,) of n draws


class Key(NamedTuple):
    """What a replicate is of."""

    cell: str
    sampler: str
    stage: int
    number: int

    @property
    def seed(self) -> list[int]:
        """Of data and chain."""
        cell, sampler = zlib.crc32(self.cell.encode()), zlib.crc32(self.sampler.encode())
        return [SEED, cell, sampler, self.stage, self.number]


class Line(NamedTuple):
    """What a replicate gave."""

    cell: str
    sampler: str
    stage: int
    number: int
    seed: list[int]
    ranks: list[int]
    ess: float  # smallest, of the quantities
    draws: int  # iterations kept before thinning
    capped: bool  # whether the longest chain had less than enough
    failure: str = ""

    @property
    def key(self) -> Key:
        """What it is of."""
        return Key(self.cell, self.sampler, self.stage, self.number)


class Thinned(NamedTuple):
    """Ranks of true values among nearly independent draws of one chain; fields as of `Line`."""

    ranks: list[int]
    ess: float
    draws: int
    capped: bool


def with_response(model: Model, y: np.ndarray) -> Model:
    """The same model of another response; formula and priors are not read again."""
    response = replace(model.design.response, y=y)
    return replace(model, design=replace(model.design, response=response))


def program_of(model: Model, sampler: str, warmup: int) -> tuple[Program, int]:
    """Program of a model's chains as `sample` makes it, and its iterations of warm-up."""
    warmup, classical = sas_options.classical(
        model, sampler, warmup, blocks=None, ntu=None, maxtune=None, propcov=None
    )
    map, covariance = sampling.start(model, sampler)
    recipe = Recipe(sampler, warmup, 0.8, 10, map._asdict(), covariance, None, classical=classical)
    return recipe.program(model), warmup


def thinned(
    model: Model, sampler: str, seed: int, quantities: Callable[[Values], Named], truth: Values
) -> Thinned:
    """Run one chain until its draws are worth enough, and rank the true values of quantities."""
    program, warmup = program_of(model, sampler, WARMUP.get(sampler, WARMUP_GIBBS))
    quiet: dict[str, Any] = {"jobs": 1, "progress": False}
    run = chains.run(program, seed=seed, chains=1, draws=FIRST, warmup=warmup, **quiet)
    parts: list[np.ndarray] = []
    had = 0
    while True:
        new = model.to_user(run.theta[0, had:], run.u[0, had:])
        parts.append(np.stack(list(quantities(new).values()), axis=-1))
        had = run.theta.shape[1]
        draws = np.concatenate(parts)
        least = float(ess_bulk(draws[None]).min())
        if least >= ENOUGH or had >= LONGEST:
            break
        run = chains.extend(program, run, had, **quiet)
    if not np.isfinite(least):
        raise FloatingPointError("a quantity is not finite")
    step = had // sbc_ranks.DRAWS
    true = np.array([value[0] for value in quantities(truth).values()])
    ranks = sbc_ranks.rank(true, draws[step - 1 :: step])
    return Thinned([int(r) for r in ranks], round(least, 1), had, least < ENOUGH)


def line_of(key: Key, make: Callable[[], Thinned]) -> Line:
    """What a replicate gives; one that fails is kept as well, for it may be just what matters."""
    try:
        return Line(*key, key.seed, *make())
    except (ArithmeticError, ValueError, RuntimeError) as reason:
        return Line(*key, key.seed, [], 0.0, 0, False, f"{type(reason).__name__}: {reason}")


def unchanged(model: Model) -> Model:
    """Leave a model as it is."""
    return model


def replicate(key: Key, change: Callable[[Model], Model] = unchanged) -> Line:
    """Draw parameters and data from the prior, and rank the parameters among a chain's draws.

    Parameters
    ----------
    key : Key
    change : callable
        Makes the model that is sampled from: a wrong one, to see whether that is found.
    """
    cell = BY_NAME[key.cell]
    rng = np.random.default_rng(key.seed)
    truth = cell.draw(rng)
    y = cell.respond(rng, truth)
    seed = int(rng.integers(2**31))
    model = change(with_response(cell.model, y))
    return line_of(
        key, lambda: thinned(model, key.sampler, seed, lambda v: cell.quantities(v, y), truth)
    )


def read(path: Path) -> dict[Key, Line]:
    """Lines of a file, by key; the last may have been cut off when the process was stopped."""
    known: dict[Key, Line] = {}
    texts = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for place, text in enumerate(texts):
        try:
            line = Line(**json.loads(text))
        except json.JSONDecodeError:
            if place != len(texts) - 1:
                raise
            continue
        known[line.key] = line
    return known


def append(path: Path, lines: Iterable[Line]) -> None:
    """Add lines to a file; one at its end that was cut off is removed."""
    text = "".join(json.dumps(line._asdict()) + "\n" for line in lines)
    with path.open("a+b") as file:
        file.seek(0)
        whole = file.read().rpartition(b"\n")
        file.truncate(len(whole[0]) + len(whole[1]))
        file.write(text.encode())


def md5(lines: Iterable[Line]) -> str:
    """Of the lines, ordered by key."""
    ordered = sorted(lines, key=lambda line: line.key)
    whole = "".join(json.dumps(line._asdict()) + "\n" for line in ordered)
    return hashlib.md5(whole.encode(), usedforsecurity=False).hexdigest()


def tables(lines: Iterable[Line]) -> dict[tuple[str, str, int], list[Line]]:
    """Lines by cell, sampler and stage, in the order of their numbers."""
    out: dict[tuple[str, str, int], list[Line]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: line.key):
        out[line.cell, line.sampler, line.stage].append(line)
    return out
