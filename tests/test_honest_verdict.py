"""Draws that must not be used are named as such, with the reason: whatever sampler made them."""

import warnings

import numpy as np
import pandas as pd
import pytest
from references import REFERENCES
from targets import FUNNEL, TWO_MODES, ToyTarget

import bayesglmm as bg
from bayesglmm import chains
from bayesglmm.diagnostics import measured
from bayesglmm.diagnostics.batches import Sums, merge
from bayesglmm.diagnostics.verdict import judge
from bayesglmm.samplers.hamiltonian import HamiltonianProgram

STILL = "number of parameters that never moved"


def failed(verdict) -> set[str]:
    """Checks that failed; each is a line of the printed verdict, with what to do."""
    lines = str(verdict).splitlines()
    assert lines[0].startswith("NOT converged") is (not verdict.ok)
    assert sum(line.startswith("  - ") for line in lines) == len(verdict.items)
    assert all(item.remedy and str(item).endswith(item.remedy) for item in verdict.items)
    assert all(words in verdict.warning for i in verdict.items for words in (i.finding, i.remedy))
    assert bool(verdict.warning) is (not verdict.ok)
    return {item.check for item in verdict.items}


# ---- targets that samplers fail on --------------------------------------------------------------

HARD = {
    "funnel": (ToyTarget(FUNNEL, 10), {"number of divergences", "E-BFMI", "bulk ESS"}),
    "two modes": (ToyTarget(TWO_MODES, 2), {"R-hat", "bulk ESS"}),
}


@pytest.mark.parametrize("sampler", ["nuts", "hmc"])
@pytest.mark.parametrize("case", HARD)
def test_targets_that_samplers_fail_on(case, sampler):
    target, reasons = HARD[case]
    program = HamiltonianProgram(sampler, target, 300)
    draws = chains.run(program, seed=3, chains=4, warmup=300, draws=500, progress=False)
    found = failed(judge([(draws.theta, str)], draws.stats))
    assert found & reasons, found
    # The same from the draws alone, as of a sampler from elsewhere.
    again = bg.diagnose(draws.theta, names=[f"x{i}" for i in range(draws.theta.shape[2])]).verdict
    assert failed(again) & {"R-hat", "bulk ESS", "tail ESS"}


def bernoulli(y: np.ndarray, x: np.ndarray, priors: dict) -> bg.Model:
    groups = np.arange(len(y)) % 12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.DataWarning)
        data = pd.DataFrame({"y": y, "x": x, "g": groups})
        return bg.glmm("y ~ x + (1 | g)", data, "bernoulli", priors=priors)


X = np.linspace(-1.0, 1.0, 60)
FLAT = {"b": bg.Flat(), "Intercept": bg.Flat()}


# Sampler, and whether two rows break the separation: then a posterior exists, without moments.
SEPARATED = [("auto", False), ("hmc", False), ("auto", True), ("nuts", True), ("classical", True)]


@pytest.mark.parametrize(("sampler", "nearly"), SEPARATED)
def test_separation_under_flat_priors(sampler, nearly):
    y = (X > 0.01).astype(int)
    if nearly:
        y[29], y[31] = 1, 0
    post = bernoulli(y, X, FLAT).sample(
        seed=1, sampler=sampler, draws=500, warmup=500, progress=False
    )
    assert failed(post.verdict) & {"R-hat", "bulk ESS"}
    assert str(post).count("NOT converged") == 1  # whoever prints it sees it
    tight = bernoulli(y, X, {"b": bg.Normal(0, 2.5)}).sample(seed=1, draws=500, progress=False)
    assert tight.verdict.ok, str(tight.verdict)


def test_two_posteriors_in_one():
    """Chains of two data sets: each pair agrees, all four do not."""
    one = np.where(np.arange(60) % 5 < 2, 0, 1)
    posts = [
        bernoulli(y, X, {}).sample(seed=2, chains=2, draws=1000, progress=False)
        for y in (one, 1 - one)
    ]
    assert all(post.verdict.ok for post in posts), str(posts[0].verdict)
    mixed = np.concatenate([post.scalar_draws for post in posts])
    verdict = bg.diagnose(mixed, names=list(posts[0].names)).verdict
    assert "R-hat" in failed(verdict)
    assert verdict.items[0].parameter == "Intercept"


# ---- a chain that stands still ------------------------------------------------------------------

# Where a chain stands, R-hat may see nothing of it: these of 32 chains have one below 1.01.
PLACES = (0.0, 0.45, 0.55, 0.6745, -0.6745)


def still(many: int, place: float, columns: int = 3) -> np.ndarray:
    draws = np.random.default_rng(4).normal(size=(many, 400, columns))
    draws[many // 2, :, 1] = place
    return draws


@pytest.mark.parametrize("many", [2, 4, 32])
@pytest.mark.parametrize("place", PLACES)
def test_a_chain_that_stands_still_is_named(many, place):
    verdict = bg.diagnose(still(many, place), names=["a", "b", "c"]).verdict
    assert STILL in failed(verdict)
    item = next(item for item in verdict.items if item.check == STILL)
    assert (item.parameter, item.value) == ("b", 1) and "a chain is stuck" in item.remedy


def test_r_hat_alone_would_not_have_seen_it():
    hidden = [
        item.value
        for place in PLACES
        for item in bg.diagnose(still(32, place), names=["a", "b", "c"]).verdict.checks
        if item.check == "R-hat"
    ]
    assert min(hidden) < 1.01


@pytest.mark.parametrize("columns", [3, measured.MANY])
def test_few_and_many_parameters_alike(columns):
    found = measured.measure(still(4, 0.5, columns))
    assert not found.moved[1] and found.moved[[0, 2]].all()
    assert measured.measure(np.full((4, 50, columns), 2.0)).moved.any() == np.False_


def test_sums_of_a_streamed_run_alike():
    draws = still(4, 0.5)
    sums = []
    for chain in draws:
        mean = chain.mean(axis=0)
        batches = chain.reshape(20, 20, 3).mean(axis=1)
        squares = ((chain - mean) ** 2).sum(axis=0)
        squares[1] = 0.0 if np.ptp(chain[:, 1]) == 0.0 else squares[1]
        sums.append(Sums(len(chain), mean, squares, 20, batches))
    assert merge(sums).measured.moved.tolist() == [True, False, True]


@pytest.mark.parametrize("columns", [1, measured.MANY])
def test_an_indicator_may_stay_in_a_chain(columns):
    """A rare event that one chain has not met is no stuck chain; with three values it is one."""
    draws = np.zeros((4, 100, columns))
    draws[1:, ::9, 0] = 1.0
    assert measured.measure(draws).moved[0]
    draws[2, 50, 0] = 2.0
    assert not measured.measure(draws).moved[0]


# ---- and good ones are not ----------------------------------------------------------------------


@pytest.mark.reference
@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: r.name)
def test_references_pass_by_default(reference):
    post = reference.model().sample(seed=1, progress=False)
    assert post.verdict.ok and not failed(post.verdict)
