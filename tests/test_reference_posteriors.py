"""Posteriors agree with long runs of other software, by every sampler."""

from dataclasses import replace

import numpy as np
import pytest
from references import DATA, REFERENCES, Moments, disagreements, draws_of, samplers_of

pytestmark = pytest.mark.reference


FEW = {"classical": ("rats", "eight_schools"), "hmc": ("cbpp",)}  # the rest: `diagnostics`


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: r.name)
def test_posterior_agrees_with_reference_and_samplers_with_each_other(reference):
    model, known = reference.model(), reference.known()
    first = None
    for sampler in samplers_of(model):
        if reference.name not in FEW.get(sampler, (reference.name,)):
            continue
        draws = draws_of(reference.name, sampler)
        post = model.sample(sampler=sampler, draws=draws, seed=1, progress=False)
        ours = reference.ours(post)
        assert disagreements(ours, known) == [], sampler
        first = ours if first is None else first
        assert disagreements(ours, first) == [], sampler


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: r.name)
def test_every_variable_of_a_reference_is_compared(reference):
    effects = {f"{name}[" for name in reference.sums}
    named = {*reference.variables, *reference.derived}
    for variable in reference.known():
        assert variable in named or variable.partition("[")[0] + "[" in effects, variable


def test_every_file_of_references_is_used():
    files = {reference.file for reference in REFERENCES}
    there = {
        f"{folder}/{path.name}"
        for folder, pattern in (("posteriors", "*.json"), ("posteriordb", "*.summary.json"))
        for path in (DATA / folder).glob(pattern)
    }
    assert files == there


KNOWN = Moments(mean=1.0, sd=0.5, mcse=0.005, ess=10_000, q5=0.2, q95=1.8)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"mean": 1.03}, "z = "),
        ({"mean": 1.05, "mcse": 0.1}, "mean off"),
        ({"sd": 0.54}, "sd ratio"),
        ({"sd": 0.46}, "sd ratio"),
        ({"q5": 0.28}, "5% quantile"),
        ({"q95": 1.72}, "95% quantile"),
        ({"mean": np.nan}, "z = "),
        ({"ess": 4.0, "mcse": 0.3, "mean": 0.7}, "4 effective draws"),
    ],
)
def test_the_rule_of_agreement_finds_what_is_wrong(change, word):
    (line,) = disagreements({"x": replace(KNOWN, **change)}, {"x": KNOWN})
    assert word in line
    assert disagreements({"x": KNOWN}, {"x": KNOWN}) == []
