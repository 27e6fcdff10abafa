"""Two samplers compared: what agrees, what is found, and in which words."""

from dataclasses import replace

import fakes
import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.crosscheck import (
    LOST,
    MANY,
    MAX_Z,
    MAX_Z_MANY,
    Crosscheck,
    Moments,
    compare,
    differences,
    largest_z,
    measure,
    moments,
    parameters,
)
from bayesglmm.posterior import Posterior

WAYS = ("z", "mean", "sd_ratio", "q5", "q95")


def drawn(rng: np.random.Generator, k: int, draws: int = 3000, memory: float = 0.0) -> np.ndarray:
    """Return standard normal draws (4, draws, k), of a first-order autoregression."""
    x = rng.normal(size=(4, draws, k))
    for t in range(1, draws):
        x[:, t] = memory * x[:, t - 1] + np.sqrt(1 - memory**2) * x[:, t]
    return x


def model() -> bg.glmm:
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(8), 5)
    x = rng.normal(size=g.size)
    y = rng.poisson(np.exp(0.4 + 0.3 * x + 0.5 * rng.normal(size=8)[g]))
    priors = {"Intercept": bg.Normal(0, 2), "b": bg.Normal(0, 2), "sd": bg.HalfStudentT(3, 1)}
    data = {"y": y, "x": x, "g": g}
    return bg.glmm("y ~ x + (1 | g)", data, family="poisson", priors=priors)


@pytest.fixture(scope="module")
def post() -> Posterior:
    return model().sample(draws=1500, seed=2, progress=False)


@pytest.fixture(scope="module")
def checked(post: Posterior) -> Crosscheck:
    return post.crosscheck(draws=2500, warmup=500, progress=False)


def shifted(post: Posterior, name: str, by: float) -> Posterior:
    """Return the posterior with one coefficient's draws moved by so many of its sds."""
    place = post.model.names.fixed.index(name)
    beta = post.values["beta"].copy()
    beta[..., place] += by * beta[..., place].std()
    return replace(post, values={**post.values, "beta": beta})


def test_samplers_of_one_posterior_agree(post, checked):
    assert checked.ok
    assert checked.labels == (post.run.sampler, "nuts")
    assert checked.verdict.startswith(f"{post.run.sampler} and nuts agree on 11 parameters")
    assert list(checked.table.index) == [*post.names, *post.effect_names]
    assert checked.table.agrees.all()
    assert "agreed" in repr(checked) and "NOT" not in repr(checked)
    np.testing.assert_allclose(checked.table.mean_nuts, parameters(checked.second).mean)


def test_the_second_run_has_draws_of_its_own(post, checked):
    assert checked.second.run.seed != post.run.seed
    assert checked.second.draws == 2500
    assert checked.second.run.warmup == 500
    assert checked.second.chains == post.chains


def test_a_wrong_sampler_is_named_with_the_row(post, checked):
    wrong = compare(shifted(post, "x", 0.3), checked.second)
    assert not wrong.ok
    lines = wrong.verdict.splitlines()
    assert "DISAGREE on 1 of 11 parameters" in lines[0]
    (found,) = [line for line in lines if line.startswith("  - ")]
    assert found.startswith("  - x: mean ") and "z = " in found
    assert list(wrong.table.index[~wrong.table.agrees]) == ["x"]
    assert "NOT agreed" in repr(wrong)


def test_too_few_effective_draws_decide_nothing(post, checked):
    few = replace(
        checked.second,
        values={
            name: {k: v[:, :60] for k, v in x.items()} if isinstance(x, dict) else x[:, :60]
            for name, x in checked.second.values.items()
        },
    )
    undecided = compare(post, few)
    assert not undecided.ok
    assert undecided.verdict.startswith("Undecided: of 11 parameters")
    assert f"fewer than {LOST} effective draws" in undecided.verdict


def test_effects_that_were_summed_up_are_compared_by_their_moments(post, checked):
    summed = model().sample(draws=1500, seed=2, keep="summary", progress=False)
    known = parameters(summed)
    whole = parameters(post)
    np.testing.assert_allclose(known.mean, whole.mean, rtol=1e-6)
    assert compare(summed, checked.second).ok


def test_a_run_that_has_not_converged_is_named(post, checked):
    stuck = checked.second.values["beta"].copy()
    stuck[0] += 5.0
    second = replace(checked.second, values={**checked.second.values, "beta": stuck})
    assert "nuts has NOT converged" in compare(post, second).verdict


def test_only_means_are_compared_of_short_runs(post):
    short = Crosscheck(post, post, *(lambda m: ((m, m), differences(m, m)))(short_moments(post)))
    assert "Only means were compared" in short.verdict


def short_moments(post: Posterior) -> Moments:
    return replace(parameters(post), ess=np.full(11, 1000.0))


def test_a_sampler_is_not_checked_by_itself(post):
    with pytest.raises(bg.DataError, match="needs another sampler, such as 'nuts'"):
        post.crosscheck(post.run.sampler)
    with pytest.raises(bg.DataError, match="does not exist"):
        post.crosscheck("slice")


def test_two_posteriors_of_different_rows_are_refused(post):
    with pytest.raises(bg.DataError, match="different"):
        compare(post, fakes.posterior())


@pytest.mark.parametrize("way", WAYS)
def test_each_part_of_the_rule_can_be_broken_alone(way):
    base = Moments(1.0, 0.5, 0.004, 20_000.0, 0.2, 1.8)
    change = {
        "z": {"mean": 1.03},
        "mean": {"mean": 1.05, "mcse": 0.1},
        "sd_ratio": {"sd": 0.54},
        "q5": {"q5": 0.28},
        "q95": {"q95": 1.72},
    }[way]
    found = differences(replace(base, **change), base)
    assert [name for name in WAYS if found.broken[name].any()] == [way]


def test_differences_that_the_draws_explain_are_none():
    base = Moments(1.0, 0.5, 0.004, 20_000.0, 0.2, 1.8)
    noisy = replace(base, q5=0.28, sd=0.54, q5_error=0.03, sd_error=0.02)
    assert not differences(noisy, base).disagree.any()
    assert differences(replace(noisy, q5_error=0.01), base).broken["q5"].all()
    assert differences(replace(noisy, sd_error=0.005), base).broken["sd_ratio"].all()


def test_what_is_not_a_number_agrees_with_nothing():
    base = Moments(1.0, 0.5, 0.004, 20_000.0, 0.2, 1.8)
    found = differences(replace(base, mean=np.nan), base)
    assert found.broken["z"].all() and found.broken["mean"].all()
    assert differences(replace(base, ess=np.nan), base).lost.all()


def test_limits_of_z_grow_with_the_number_of_parameters():
    limits = [largest_z(k) for k in (1, MANY, MANY + 1, 600, 10_000, 1_000_000)]
    assert limits[:3] == [MAX_Z, MAX_Z, MAX_Z_MANY]
    assert limits == sorted(limits)
    assert 5.0 < limits[4] < 5.2 < limits[5] < 6.2


def test_draws_of_one_distribution_agree_and_errors_are_those_of_the_draws():
    rng = np.random.default_rng(8)
    a, b = (measure(drawn(rng, 150, 1500, memory=0.4)) for _ in range(2))
    assert not differences(a, b).disagree.any()
    # Monte Carlo errors against the spread over columns, which share their distribution.
    for name in ("mean", "sd", "q5", "q95"):
        spread = getattr(a, name).std()
        np.testing.assert_allclose(
            np.sqrt((getattr(a, f"{name}_error") ** 2).mean()), spread, rtol=0.2
        )


def test_one_parameter_is_measured_as_many_are():
    draws = drawn(np.random.default_rng(9), 2)
    one, many = moments(draws[..., 1]), measure(draws)
    for name in ("mean", "sd", "mcse", "ess", "q5", "q95"):
        np.testing.assert_allclose(getattr(one, name), getattr(many, name)[1], rtol=1e-12)
