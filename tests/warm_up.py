"""What a chain learns in warm-up, and what it is like afterwards, for every sampler."""

from typing import Any

import crossed_cases
import joint
import joint_crossed
import numpy as np
from broken import BERNOULLI, GAUSSIAN
from joint import Load, package

WARMUP = 40
SAMPLERS = ("gibbs", "crossed", "collapsed", "classical", "nuts", "hmc")
# Of the state: what moves are made with. Columns of counts beside the steps are left out.
LEARNED = (
    "proposal_center", "proposal_scale", "proposal_block", "proposal_near", "map", "tuning_scale",
    "tuning_triangle", "step", "inverse_metric", "phase",
)  # fmt: skip
STEPS = ("proposal_tuning", "proposal_loose", "proposal_nested")  # the first of each row


def program(sampler: str, load: Load = package) -> Any:
    """A tiny model's chains, with coordinates that have not seen the responses."""
    load("problem")  # before a copy's model asks for it: copies are imported uncompiled by `load`
    if sampler == "crossed":
        model = crossed_cases.NESTED.model(load)
        data = model.problem.data
        d = data.obs.X.shape[0] + data.prior.covariance.row.size
        center, spread = joint_crossed.middle(data, d)
        nv = int(sum(data.levels[f] for f in data.factor))
        map = load("density").identity_map(d, nv)._replace(center=center, scale=np.diag(spread))
        return load("crossed_program").CrossedProgram(model, map, np.diag(spread**2), WARMUP)
    model = (GAUSSIAN if sampler == "collapsed" else BERNOULLI).model(load)
    map = joint.fixed_map(model, load)
    covariance = map.scale @ map.scale.T
    if sampler == "gibbs":
        return load("programs").GibbsProgram(model, map, covariance, WARMUP)
    if sampler == "collapsed":
        make = load("collapsed_program").CollapsedProgram
        return make(model, map.center, covariance, WARMUP)
    if sampler == "classical":
        walks = {"beta": "random_walk", "u": "random_walk", "Sigma": "random_walk"}
        identity = load("density").identity_map(map.center.size, map.modes.size)
        return load("classical_program").ClassicalProgram(
            model, identity, np.eye(map.center.size), WARMUP, chosen=load("blocks").asked(walks),
            nbi=WARMUP // 4, ntu=WARMUP // 4, maxtune=3,
        )  # fmt: skip
    target = load("programs").HamiltonianTarget(model, map, None)
    return load("samplers.hamiltonian").HamiltonianProgram(sampler, target, WARMUP)


def faults(sampler: str, load: Load = package) -> list[str]:
    """What of a chain's moves still changes after warm-up; chains that are alike."""
    made, found = program(sampler, load), []
    short, longer = (
        load("chains").run(made, seed=3, chains=2, draws=n, warmup=WARMUP, progress=False)
        for n in (1, 60)
    )
    for one, other in zip(short.states, longer.states, strict=True):
        for key in {*LEARNED, *STEPS} & one.keys():
            then, now = one[key], other[key]
            if key in STEPS:
                then, now = then[..., 0], now[..., 0]
            if not np.array_equal(then, now):
                found.append(f"{key} still changes")
    if np.array_equal(longer.theta[0], longer.theta[1]):
        found.append("chains are alike")
    return sorted(set(found))
