"""Posteriors agree with long runs of other software and with exact ones, by both samplers."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from references import DATA, REFERENCES, Moments, csv, disagreements, moments

import bayesglmm as bg
from bayesglmm.diagnostics.ess import ess_bulk

pytestmark = pytest.mark.reference

# So many that nearly all parameters pass the 4,000 effective draws from which shapes are compared.
DRAWS = {"gibbs": 20_000, "nuts": 10_000}
MEANS_ONLY = {"simlogit": 2500}  # the reference itself has 880 effective draws


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: r.name)
def test_posterior_agrees_with_reference_and_samplers_with_each_other(reference):
    model = reference.model()
    samplers = ["gibbs", "nuts"] if model.design.terms else ["nuts"]
    known = reference.known()
    ours = []
    for sampler in samplers:
        draws = MEANS_ONLY.get(reference.name, DRAWS[sampler])
        post = model.sample(sampler=sampler, draws=draws, seed=1, progress=False)
        ours.append(reference.ours(post))
        assert disagreements(ours[-1], known) == [], sampler
    assert disagreements(ours[0], ours[-1]) == []


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
    ],
)
def test_the_rule_of_agreement_finds_what_is_wrong(change, word):
    (line,) = disagreements({"x": replace(KNOWN, **change)}, {"x": KNOWN})
    assert word in line
    assert disagreements({"x": KNOWN}, {"x": KNOWN}) == []


FEW = {
    "poisson_5_groups": ("y ~ x1 + (1|g)", "poisson"),
    "cbpp_6_herds": ("y | trials(m) ~ x1 + x2 + x3 + (1|g)", "binomial"),
}
UPPER = ("0.25", "0.5", "0.75", "0.95", "0.99")  # where a proposal of fixed shape falls short


@pytest.mark.parametrize("sampler, draws", [("gibbs", 25_000), ("nuts", 10_000)])
@pytest.mark.parametrize("name", FEW)
def test_few_groups_have_the_exact_quantiles_of_sd(name, sampler, draws):
    exact = json.loads((DATA / "few_groups" / f"{name}.json").read_text())
    formula, family = FEW[name]
    priors = {
        "Intercept": bg.Normal(0, 10),
        "b": bg.Normal(0, 10),
        "sd": bg.HalfStudentT(3, 2.5),
    }
    model = bg.glmm(formula, csv(f"few_groups/{name}"), family, priors=priors, center=False)
    post = model.sample(sampler=sampler, draws=draws, seed=2, progress=False)
    sd = post.values["sd"][..., 0]
    for probability in UPPER:
        # The share of draws below the exact quantile, against the probability itself: both Monte
        # Carlo errors are binomial, with effective numbers of draws.
        p = float(probability)
        below = (sd < exact["sd_quantiles"][probability]).astype(float)
        ess = float(ess_bulk(below[..., None])[0])
        error = math.sqrt(p * (1 - p) * (1 / ess + 1 / exact["ess"]))
        assert abs(below.mean() - p) < 4 * error, f"{probability}: {below.mean():.4f}"
    for k, (mean, spread) in enumerate(zip(exact["beta_mean"], exact["beta_sd"], strict=True)):
        ours = moments(post.values["beta"][..., k])
        error = np.hypot(ours.mcse, spread / math.sqrt(exact["ess"]))
        assert abs(ours.mean - mean) < 4 * error, post.model.names.fixed[k]
