"""Gaussian models of known Sigma and errors: means and covariances of beta and u in closed form."""

import numpy as np
import pytest
from classical_joint import Classical
from joint import package
from test_collapsed import PRIORS, Dense, frame

import bayesglmm as bg
from bayesglmm import sampling
from bayesglmm.conditionals import factors, transport
from bayesglmm.crossed_program import CrossedProgram
from bayesglmm.diagnostics.ess import ess_mean
from bayesglmm.programs import GibbsProgram

DRAWS = 100_000
LARGEST_Z = 4.0
FORMULAS = {
    "gibbs": "y | se(s) ~ x + (x|g)",
    "classical": "y | se(s) ~ x + (x|g) + (1|h)",
    "crossed": "y | se(s) ~ x + (x|g) + (1|h)",
}


def model(formula: str) -> bg.Model:
    priors = {name: prior for name, prior in PRIORS.items() if name != "sigma"}
    return bg.glmm(formula, frame(), priors=priors, center=False)


def begun(program) -> dict[str, np.ndarray]:
    return program.start(np.array([9, 0], dtype=np.uint64), 0)


def gibbs(made: bg.Model):
    """All but beta and u is held."""
    program = GibbsProgram(made, *sampling.start(made, "gibbs"), 0)
    program.every, state = 0, begun(program)
    state["proposal_block"] = np.array([[program.m, program.dim, transport.INDEPENDENCE, 1]])
    return program, state


def classical(made: bg.Model):
    """The same, by its exact steps alone."""
    moves = Classical(made, package, {"beta": "conjugate", "u": "conjugate", "Sigma": "slice"})
    program, state = moves.program, moves.state
    kept = [b for b, block in enumerate(program.blocks) if block.target in ("beta", "u")]
    program.steps = program.steps._replace(step=program.steps.step[kept].copy())
    program.blocks = tuple(program.blocks[b] for b in kept)
    for key in ("tuning_scale", "tuning_tally"):
        state[key] = state[key][kept].copy()
    return program, state


def crossed(made: bg.Model):
    """The same: psi proposes nothing, and there is no Sigma to draw."""
    program = CrossedProgram(made, *sampling.start(made, "gibbs"), 0)
    table, state = program.plan.table, begun(program)
    table[:, factors.BLOCKS] = table[:, factors.BLOCK]
    state["proposal_block"][:, 1] = state["proposal_block"][:, 0]
    return program, state


SAMPLERS = {"gibbs": gibbs, "classical": classical, "crossed": crossed}


def standardized_errors(made: bg.Model, program, state) -> tuple[np.ndarray, np.ndarray]:
    """Z of the means of beta and u; of their centred squares and products with the first."""
    theta, u = np.empty((DRAWS, program.dim)), np.empty((DRAWS, program.effects))
    program.advance(state, DRAWS, theta, u, np.empty((DRAWS, len(program.stats))), 0)
    p = program.p
    assert (theta[:, p:] == theta[0, p:]).all()
    mean, covariance = Dense(made).moments(theta[0, p:])
    away = np.column_stack([theta[:, :p], u]) - mean
    found, each = [], np.arange(len(mean))
    k, l = np.append(each, each[1:]), np.append(each, 0 * each[1:])
    for values, known in ((away, 0.0), (away[:, k] * away[:, l], covariance[k, l])):
        values = values - known
        error = values.std(axis=0) / np.sqrt(ess_mean(values[None]))
        found.append(values.mean(axis=0) / error)
    return found[0], found[1]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_beta_and_u_have_their_closed_form(sampler):
    made = model(FORMULAS[sampler])
    first, second = standardized_errors(made, *SAMPLERS[sampler](made))
    assert np.abs(first).max() < LARGEST_Z
    assert np.abs(second).max() < LARGEST_Z


def test_errors_that_are_larger_than_known_are_seen():
    made = model(FORMULAS["gibbs"])
    program, state = gibbs(made)
    program.data.obs.w[:] *= 0.9
    program.advance(state, 0, *program._nowhere(), 0)
    first, second = standardized_errors(model(FORMULAS["gibbs"]), program, state)
    assert max(np.abs(first).max(), np.abs(second).max()) > 8.0
