"""Compiled code and the same code as plain Python compute the same numbers.

Densities and gradients are compared at 50 random positions, sweeps of every sampler from 50 states
with the same random stream, whole runs and fits: the plain side works in a process of its own.
"""

import numpy as np
import plain_path as plain
import pytest

from bayesglmm._jit import ENABLED

EXACT = 1e-12  # relative to the larger of 1 and the element
# Whitened coordinates come out of triangular solves, which lose a digit or two.
OF_STATE = 1e-10
DRAWN = ("theta", "u", "stats")
# A search ends where a Newton step would gain less than 1e-10, which is this far from the maximum.
NEARBY = 3e-5  # standard errors
ON_BOUNDARY = 1e-4  # where there is none: the log of an sd that goes to 0

pytestmark = pytest.mark.skipif(not ENABLED, reason="nothing is compiled")


def distance(ours, theirs):
    """The largest difference of two arrays, relative to the larger of 1 and the element."""
    ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    assert ours.shape == theirs.shape
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    if same.all():
        return 0.0
    ours, theirs = ours[~same], theirs[~same]
    return float(np.nan_to_num(abs(ours - theirs) / np.maximum(1.0, abs(ours)), nan=np.inf).max())


def agree(name, ours, theirs, allowed=lambda field: EXACT):
    assert ours.keys() == theirs.keys()
    for field in ours:
        assert distance(ours[field], theirs[field]) <= allowed(field), f"{name}: {field}"


def recipes(cases):
    """Model, recipe and program of each case."""
    for case in cases:
        model = plain.cell(case.kind, case.structure).model()
        recipe = plain.recipe_of(case, model)
        yield case, recipe, recipe.program(model)


def both(questions, folder):
    """Each question with the answers of compiled and of plain code."""
    assert questions
    ours = [plain.answer(question) for question in questions]
    return list(zip(questions, ours, plain.plainly(questions, folder), strict=True))


def test_log_density_and_gradient(tmp_path):
    rng = np.random.default_rng(4)
    questions = [
        (
            "density",
            case,
            recipe,
            list(rng.normal(size=(plain.STATES, program.dim + program.effects))),
        )
        for case, recipe, program in recipes(plain.DENSITIES)
    ]
    for (_, case, *_), ours, theirs in both(questions, tmp_path):
        assert sum(bool(np.isfinite(one["value"]).all()) for one in ours) >= plain.STATES // 2
        for one, other in zip(ours, theirs, strict=True):
            agree(case.name, one, other)


def test_a_sweep_of_every_sampler(tmp_path):
    questions = [
        ("sweep", case, recipe, plain.states_of(program))
        for case, recipe, program in recipes(plain.CHAINS)
    ]
    for (_, case, _, states), ours, theirs in both(questions, tmp_path):
        assert len(ours) == plain.STATES
        assert any(
            (one["random"] != state["random"]).any()
            for one, state in zip(ours, states, strict=True)
        )
        for one, other in zip(ours, theirs, strict=True):
            agree(case.name, one, other, lambda field: EXACT if field in DRAWN else OF_STATE)


def test_whole_runs(tmp_path):
    """Those of NUTS and HMC part after dozens of trajectories: there the last digits multiply."""
    questions = [
        ("run", case, recipe, None)
        for case, recipe, _ in recipes(plain.CHAINS)
        if case.sampler not in ("nuts", "hmc")
    ]
    for (_, case, *_), ours, theirs in both(questions, tmp_path):
        agree(case.name, ours, theirs)


def test_fits(tmp_path):
    for (_, *case), ours, theirs in both([("fit", *case) for case in plain.FITS], tmp_path):
        assert distance(ours["loglik"], theirs["loglik"]) < 1e-10, case
        off = abs(ours["theta"] - theirs["theta"])
        errors = ours["errors"]
        assert (off <= np.where(errors > 0, EXACT + NEARBY * errors, ON_BOUNDARY)).all(), case


@pytest.mark.parametrize("other", [1.0 + 3e-12, np.nan, np.inf, -1.0])
def test_numbers_that_differ_are_told_apart(other):
    ours = {"theta": np.array([2.0, 1.0, np.nan])}
    agree("", ours, {"theta": np.array([2.0, 1.0, np.nan])})
    with pytest.raises(AssertionError, match="theta"):
        agree("", ours, {"theta": np.array([2.0, other, np.nan])})
