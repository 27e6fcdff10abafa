"""From a model to its posterior: the start, the sampler, the chains."""

import inspect
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import chains as chain_runner
from . import checks, consistency, keeping, memory, no_start, sampling_history, sas_options
from ._jit import ENABLED
from .chains import Draws
from .checkpoint import SECONDS, Checkpoint, Identity
from .choice import choose
from .collapsed_program import start as collapsed_start
from .conditionals import classical, collapsed, crossed, transport
from .density import IDENTITY, Map, logdensity
from .errors import DataError
from .fits import aghq
from .fits.mode import Objective, at_theta, find, longest_steps, most_connected, unfitted
from .fits.standard import standardized
from .posterior import NotKept, Posterior, summed, user_values
from .recipe import Recipe
from .resumption import Resumption
from .warned import warned

if TYPE_CHECKING:
    from .effects_file import EffectsFile
    from .fits.mode import Mode
    from .model import Model

LARGEST_FITTED = 4000  # connected effects: beyond, a fit takes longer than it saves in warm-up


def sample(
    model: "Model",
    *,
    draws: int | None = None,
    warmup: int | None = None,
    chains: int = 4,
    jobs: int | None = None,
    seed: int | None = None,
    sampler: str = "auto",
    thin: int = 1,
    init: dict[str, float] | None = None,
    target_accept: float = 0.8,
    max_treedepth: int = 10,
    progress: bool | None = None,
    executor: Any = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = SECONDS,
    keep: str = "all",
    stream: str | Path | None = None,
    blocks: dict[Any, Any] | None = None,
    nbi: int | None = None,
    nmc: int | None = None,
    ntu: int | None = None,
    maxtune: int | None = None,
    propcov: str | None = None,
    **unknown: Any,
) -> Posterior:
    """Draw from the posterior of a model; the arguments are those of `Model.sample`.

    Raises
    ------
    DataError
        For an argument outside its domain, by name.
    TypeError
        For an argument that does not exist, with the close ones.
    """
    allowed = [name for name in inspect.signature(sample).parameters if name != "unknown"]
    checks.unknown_keywords("sample", unknown, allowed[1:])
    draws, warmup = sas_options.counts(draws, warmup, thin, nbi, nmc)
    checks.sampler_arguments(
        draws=draws,
        warmup=warmup,
        chains=chains,
        jobs=jobs,
        seed=seed,
        thin=thin,
        target_accept=target_accept,
        max_treedepth=max_treedepth,
        executor=executor,
        checkpoint=checkpoint,
        checkpoint_seconds=checkpoint_seconds,
    )
    plan = choose(model, sampler, blocks is not None)
    warmup, classic = sas_options.classical(
        model, plan.sampler, warmup, blocks=blocks, ntu=ntu, maxtune=maxtune, propcov=propcov
    )
    began = time.perf_counter()
    keeper, found = None, None
    if checkpoint is not None:
        identity = Identity.of(
            model,
            init=init,
            seed=seed,
            chains=chains,
            draws=draws,
            warmup=warmup,
            thin=thin,
            sampler=plan.sampler,
            keep=keep,
            options=repr(classic) if classic else "",
            target_accept=target_accept,
            max_treedepth=max_treedepth,
        )
        keeper = Checkpoint(checkpoint, identity, checkpoint_seconds)
        found = keeper.find()
    keeping.check(
        model,
        keep=keep,
        stream=stream,
        sampler=plan.sampler,
        chains=chains,
        draws=draws,
        jobs=jobs,
        own=found.stream if found else None,
        quiet=progress is False,
    )
    token = secrets.token_hex(4) if keep == "stream" and keeper is not None else None
    if found is not None:
        seed, recipe, token = found.seed, found.recipe, found.stream
    else:
        # The seed of a run without one is drawn here and kept, so that every run can be repeated.
        drawn = int(np.random.SeedSequence().generate_state(1)[0])
        seed = drawn if seed is None else int(seed)
        _compile_ahead(plan.sampler, len(model.design.factors) > 1)
        map, covariance = start(model, plan.sampler)
        values = _initial(model, init, map)
        recipe = Recipe(
            plan.sampler,
            warmup,
            target_accept,
            max_treedepth,
            map._asdict(),
            covariance,
            values,
            keep,
            thin,
            classic,
        )
        if keeper is not None:
            keeper.open(seed, recipe, token)
    inside = _inside(jobs, chains, executor)
    if found is None:
        program = recipe.program(model, inside)
    else:
        with consistency.refused(checkpoint):
            consistency.recipe(recipe)
            program = recipe.program(model, inside)
            consistency.standings(
                program,
                found.standings,
                seed=seed,
                chains=chains,
                last=warmup + draws * thin,
                whole=keep == "all",
            )
    if keep != "all":
        memory.give_back()  # what reading the data and fitting took
    fitted = time.perf_counter()
    begun = found is not None and bool(found.standings)
    told = keeping.told(
        model, keep=keep, sampler=plan.sampler, chains=chains, draws=draws, jobs=jobs
    )
    start_told = no_start.told(model, init)
    with _effects_file(model, stream, chains, draws, token, begun) as file, told, start_told:
        if keeper is not None and file is not None:
            keeper.before = file.flush
        result = chain_runner.run(
            program,
            seed=seed,
            chains=chains,
            draws=draws,
            warmup=warmup,
            thin=thin,
            jobs=jobs,
            progress=progress,
            executor=executor,
            effects=None if file is None else [file.chain(row) for row in range(chains)],
            recorder=keeper,
            standings=() if found is None else found.standings,
            failures=None if found is None else found.failures,
        )
        numbers = [standing.number for standing in result.standings]
        u = None
        if file is not None:
            u = file.finish(numbers, result.theta.shape[1])
            result = _with_rest(result, u)
    result.seconds["fit"] = fitted - began
    held = sampling_history.of(program, result.standings)
    changes = sampling_history.changes(program, result.standings)
    del program  # of many groups what it holds is not small, and summing up takes memory too
    if keep != "all":
        memory.give_back()
    post = Posterior.from_draws(
        model,
        result,
        sampler=plan.sampler,
        reason=plan.reason,
        created=_now(),
        recipe=recipe,
        u=u,
    )
    del result  # the draws as the sampler made them: judging them takes memory too
    return warned(replace(post, run=replace(post.run, classical=held, changes=changes)))


def _inside(jobs: int | None, chains: int, executor: Any) -> int:
    """Threads of each chain; a worker elsewhere has one."""
    return 1 if executor is not None else chain_runner.inside(jobs, chains)


@contextmanager
def _effects_file(
    model: "Model",
    path: str | Path | None,
    chains: int,
    draws: int,
    token: str | None = None,
    begun: bool = False,
) -> Iterator["EffectsFile | None"]:
    """Open the file that draws of effects are streamed to, if there is to be one."""
    if path is None:
        yield None
        return
    from .effects_file import EffectsFile

    file = EffectsFile(path, model, chains, draws, token, begun)
    try:
        yield file
    except BaseException:
        file.abandon()
        raise


def extend(
    post: Posterior,
    draws: int,
    *,
    jobs: int | None = None,
    progress: bool | None = None,
    executor: Any = None,
    stream: str | Path | None = None,
) -> Posterior:
    """Go on with a posterior's chains; the arguments are those of `Posterior.extend`.

    Raises
    ------
    DataError
        If the states of the chains are not known, or an argument is outside its domain.
    """
    checks.sampler_arguments(draws=draws, warmup=0, chains=1, jobs=jobs, executor=executor)
    held = post.resumption
    if held is None or not held.standings:
        raise DataError(
            "this posterior cannot be extended: it does not have the states of its chains (it was "
            "saved without them, or not made by sample()). Sample again with "
            f"seed={post.run.seed} and more draws: the first of them will be the same"
        )
    keep, model, standings = post.run.keep, post.model, held.standings
    keeping.check(
        model,
        keep=keep,
        stream=stream,
        sampler=post.run.sampler,
        chains=len(standings),
        draws=draws,
        jobs=jobs,
        had=post.draws,
        quiet=progress is False,
    )
    began = time.perf_counter()
    ahead = max(len(standing.theta) for standing in standings)
    with consistency.refused("where the chains of this posterior stand"):
        consistency.recipe(held.recipe)
        program = held.recipe.program(model, _inside(jobs, len(standings), executor))
        consistency.standings(
            program,
            standings,
            seed=post.run.seed,
            chains=len(standings) + len(held.failures),
            last=post.run.warmup + (post.draws + ahead + 1) * post.run.thin,
        )
    previous = Draws(
        post.theta,
        np.empty((0, 0)),
        {},
        post.run.seed,
        post.run.warmup,
        post.run.thin,
        post.run.seconds,
        standings=standings,
        failures=held.failures,
    )
    made = time.perf_counter()
    rows = post.draws + max(draws, ahead)
    with _effects_file(model, stream, len(standings), rows) as file:
        if file is not None:
            for row, standing in enumerate(standings):
                for name, values in post.values["u"].items():
                    file.copy(row, name, values, row)
                file.put_back(row, post.draws, standing.u)
        more = chain_runner.resume(
            program,
            previous,
            draws,
            had=post.draws,
            jobs=jobs,
            progress=progress,
            executor=executor,
            effects=None
            if file is None
            else [file.chain(row, post.draws) for row in range(len(standings))],
        )
        numbers = [standing.number for standing in standings]
        kept = [numbers.index(standing.number) for standing in more.standings]
        whole = post.draws + more.theta.shape[1]
        u = None
        if file is not None:
            u = file.finish(kept, whole)
            more = _with_rest(more, u)
    more.seconds["fit"] = made - began
    run = replace(
        post.run,
        seconds=chain_runner.added(post.run.seconds, more.seconds),
        interrupted=more.interrupted,
        created=_now(),
        classical=sampling_history.of(program, more.standings),
        changes=sampling_history.changes(program, more.standings),
    )
    values = _joined(post.values, user_values(model, more, keep, {}), kept)
    if keep != "all":
        values["u"] = NotKept() if u is None else u
    return warned(
        Posterior(
            model,
            values,
            _joined(post.stats, more.stats, kept),
            np.concatenate([post.theta[kept], more.theta], axis=1),
            run,
            Resumption(held.recipe, more.standings, more.failures),
            summed(model, more) if keep == "summary" else None,
        )
    )


def _with_rest(draws: Draws, u: dict[str, Any]) -> Draws:
    """Put draws of streamed effects beyond the common ones beside the states, for `extend`."""
    from .effects_file import rest

    standings = tuple(
        replace(standing, u=rest(u, row, len(standing.theta)))
        for row, standing in enumerate(draws.standings)
    )
    return replace(draws, standings=standings)


def _joined(before: dict[str, Any], after: dict[str, Any], kept: list[int]) -> dict[str, Any]:
    """Draws (chains, draws, ...) of the kept chains, one after the other, by name."""
    return {
        name: _joined(before[name], values, kept)
        if isinstance(values, dict)
        else np.concatenate([before[name][kept], values], axis=1)
        for name, values in after.items()
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _compile_ahead(sampler: str, several: bool) -> None:
    """The first time ever, half of the work is compiled in a second process, the fit in this."""
    if ENABLED:
        gibbs = crossed.advance if several else transport.advance
        entries = {
            "gibbs": gibbs,
            "collapsed": collapsed.advance,
            "classical": classical.advance,
        }
        entries.get(sampler, logdensity).compile_elsewhere()


def start(model: "Model", sampler: str) -> tuple[Map, np.ndarray]:
    """Coordinates about the fit, and the covariance of theta there."""
    if sampler == "collapsed":
        return collapsed_start(model)
    rows, data, first, _, _ = model.problem
    mode = None if most_connected(data) > LARGEST_FITTED else find(rows, data, True, first)
    lost = mode is not None and not (np.isfinite(mode.value) and (mode.definite or mode.converged))
    if mode is None or lost:
        map = unfitted(rows, data, first)
        if sampler in ("nuts", "hmc"):
            map = standardized(rows, data, map, fitted=False)
        return map, map.scale @ map.scale.T
    if sampler == "gibbs" and data.levels.size > 1:
        # Coordinates of all effects together are of no use here, and may be large.
        return mode.map._replace(kind=np.array([IDENTITY]), dense=np.zeros((0, 0))), mode.covariance
    if sampler in ("nuts", "hmc"):
        return standardized(rows, data, mode.map), mode.covariance
    if sampler == "gibbs":
        mode = centre(model, mode)
    return mode.map, mode.covariance


def centre(model: "Model", mode: "Mode") -> "Mode":
    """The mode moved to where the marginal posterior by quadrature has its own."""
    rows, data, first, _, _ = model.problem
    q, p, m = data.factor.size, data.obs.X.shape[0], data.prior.covariance.row.size
    if q not in aghq.NODES:
        return mode  # too many nodes a group; warm-up moves the centre
    diagonal = mode.theta[p : p + m][data.prior.covariance.row == data.prior.covariance.col]
    large = q == 1 and float(np.exp(diagonal.max())) > aghq.LARGE_SD * first.spread
    points, log_weights = aghq.nodes(q, aghq.MANY_NODES if large else aghq.NODES[q])
    objective = Objective(rows, data, True, first.spread)
    objective.v = mode.map.modes.copy()

    def score(theta: np.ndarray) -> np.ndarray:
        value, _ = objective(theta)
        gradient = np.full(theta.size, np.nan)
        if np.isfinite(value):
            aghq.score(
                rows, data, theta, objective.v, objective.blocks, points, log_weights, gradient
            )
        return gradient

    theta, found = aghq.find_root(score, mode.theta, mode.covariance, longest_steps(data, first))
    return at_theta(objective, mode, theta) if found else mode


def _initial(model: "Model", init: dict[str, float] | None, map: Map) -> np.ndarray | None:
    """Theta at the user's values, or None."""
    if init is None:
        return None
    from .problem import to_internal

    names = model.names
    known = [*names.fixed, *names.sd, *names.cor, *names.dispersion]
    for name, value in init.items():
        if name not in known:
            raise DataError(f"init names {name!r}; the rows are {', '.join(known)}")
        positive = name in names.sd or name in names.dispersion
        bad = not np.isfinite(value) or (positive and value <= 0.0)
        if bad or (name in names.cor and abs(value) >= 1.0):
            raise DataError(f"init[{name!r}] = {value!r} is outside its domain")
    return to_internal(model, dict(init), map.center)
