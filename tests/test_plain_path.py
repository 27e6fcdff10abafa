"""Compiled code and the same code as plain Python compute the same numbers.

Densities and gradients are compared at 50 random positions, sweeps of every sampler from 50 states
with the same random stream, whole runs and fits: the plain side works in a process of its own.
"""

import numpy as np
import plain_path as plain
import pytest

import bayesglmm as bg
from bayesglmm._jit import ENABLED
from bayesglmm.fits.mode import find

EXACT = 1e-12  # relative to the larger of 1 and the element
# Whitened coordinates come out of triangular solves, which lose a digit or two.
OF_STATE = 1e-10
FEW_STATES = 6
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
        yield case, recipe, plain.program_of(case, recipe, model)


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
    assert {len(states) for *_, states in questions} == {plain.STATES}
    questions += [
        ("sweep", case, recipe, plain.states_of(program)[:FEW_STATES])
        for case, recipe, program in recipes(plain.MORE_CHAINS)
    ]
    for (_, case, _, states), ours, theirs in both(questions, tmp_path):
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


def shapes_of_draws():
    """Draws (chains, draws, k) of every kind that is told apart, in the midst of others."""
    rng = np.random.default_rng(21)
    for length in (4, 5, 60, 201):
        noise = rng.standard_normal((3, length, 12))
        sticky = np.cumsum(rng.standard_normal((3, length, 1)), axis=1)
        values = {
            "ties": np.round(noise[..., :1]),
            "two values": noise[..., 1:2] > 1.0,
            "constant": np.full_like(sticky, 0.1),
            "one chain stands": np.where(np.arange(3)[:, None, None] == 1, 2.0, noise[..., 2:3]),
            "not finite": np.where(np.arange(length)[:, None] == 3, np.inf, noise[..., 3:4]),
            "heavy": noise[..., 4:5] ** 9,
            "far": 1e9 + noise[..., 5:6],
            "zeros": noise[..., 6:7] * (noise[..., 7:8] > 0.0),
            "negated zeros": np.where(noise[..., 8:9] > 0.0, 0.0, -0.0),
        }
        yield np.concatenate([noise[..., :2], sticky, *values.values(), noise[..., 9:]], axis=2)


def test_convergence_and_sums_of_draws(tmp_path):
    draws = list(shapes_of_draws())
    walk = np.cumsum(np.random.default_rng(22).standard_normal((400, 3)), axis=0)
    kinds = np.stack([np.arange(400.0), -(np.arange(400.0) ** 2), np.ones(400)], axis=1)
    questions = [
        *(("measured_of", each) for each in draws),
        *(("summed_up", each) for each in (walk, kinds, draws[-1][0], walk[:7], walk[:0])),
    ]
    for (what, *_), ours, theirs in both(questions, tmp_path):
        agree(what, ours, theirs)


@pytest.mark.parametrize("kind", ["bernoulli logit", "gamma log", "poisson identity"])
def test_quadrature(kind, tmp_path):
    questions = []
    for structure in ("1|g", "x|g", "x + w|g (q = 3)"):
        made = plain.cell(kind, structure).model()
        found = find(made.problem.rows, made.problem.data, True, made.problem.start)
        at = found.theta, found.map.modes, found.map.blocks
        questions.append(("by_quadrature", kind, structure, *at))
    for (_, *case), ours, theirs in both(questions, tmp_path):
        assert np.isfinite(ours["gradient"]).all()
        agree(f"{case[:2]}", ours, theirs)


PRIORS = [
    bg.Normal(1.0, 2.0),
    bg.StudentT(4, 0.5, 2.0),
    bg.Laplace(0.3, 1.5),
    bg.HalfNormal(2.0),
    bg.HalfCauchy(1.5),
    bg.Exponential(0.7),
    bg.Uniform(0.5, 3.0),
    bg.Gamma(2.0, 0.5),
    bg.PC(2.0, 0.05),
    bg.GammaPrecision(2.0, 1.5),
    bg.InverseGammaVariance(2.0, 1.5),
    bg.Inverse(bg.HalfNormal(1.0)),
    bg.InverseSqrt(bg.HalfStudentT(3, 1.0)),
]


def test_priors(tmp_path):
    questions = [("prior_at", prior, np.array([0.0, 0.01, 0.7, 2.9, 40.0])) for prior in PRIORS]
    for (_, prior, _), ours, theirs in both(questions, tmp_path):
        assert np.isfinite(ours["logpdf"]).any()
        agree(str(prior), ours, theirs)


def test_a_helper_that_comes_late(tmp_path):
    cases = [case for case in plain.MORE_CHAINS if case.way]
    questions = [
        ("help_late", case, recipe, plain.states_of(program)[0])
        for case, recipe, program in recipes(cases)
    ]
    for (_, case, *_), ours, theirs in both(questions, tmp_path):
        agree(case.name, ours, theirs, lambda field: EXACT if field == "sheet" else OF_STATE)
        assert ours["sheet"][-2] != 0.0  # it was all to do again


@pytest.mark.parametrize("other", [1.0 + 3e-12, np.nan, np.inf, -1.0])
def test_numbers_that_differ_are_told_apart(other):
    ours = {"theta": np.array([2.0, 1.0, np.nan])}
    agree("", ours, {"theta": np.array([2.0, 1.0, np.nan])})
    with pytest.raises(AssertionError, match="theta"):
        agree("", ours, {"theta": np.array([2.0, other, np.nan])})
