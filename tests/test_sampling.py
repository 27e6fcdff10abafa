"""From a model to its posterior: choice of the sampler, options, reproducibility, structures."""

import importlib

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm import chains, sampling
from bayesglmm.diagnostics.mcse import mcse_mean, mcse_quantile
from bayesglmm.programs import GibbsProgram


def frame(seed: int = 1, groups: int = 30, size: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = groups * size
    g, h = np.repeat(np.arange(groups), size), rng.integers(0, 20, n)
    x, w = rng.normal(size=n), rng.normal(size=n)
    u = rng.normal(size=(groups, 2)) * (0.6, 0.3)
    eta = 0.4 + 0.3 * x - 0.2 * w + u[g, 0] + u[g, 1] * x + 0.4 * rng.normal(size=20)[h]
    return pd.DataFrame(
        {
            "g": g,
            "h": h,
            "x": x,
            "w": w,
            "count": rng.poisson(np.exp(eta)),
            "yes": (rng.uniform(size=n) < 1 / (1 + np.exp(-eta))).astype(int),
            "real": eta + rng.normal(size=n),
        }
    )


def agree(one, other, limit: float = 4.5) -> None:
    """Means and quartiles of all scalars within Monte Carlo error."""
    assert one.names == other.names
    a, b = one.scalar_draws, other.scalar_draws
    measures = [(lambda x: x.mean(axis=(0, 1)), mcse_mean)]
    for p in (0.25, 0.75):
        measures.append(
            (lambda x, p=p: np.quantile(x, p, axis=(0, 1)), lambda x, p=p: mcse_quantile(x, p))
        )
    for value, error in measures:
        z = (value(a) - value(b)) / np.hypot(error(a), error(b))
        assert np.abs(z).max() < limit, dict(zip(one.names, z, strict=True))


def test_auto_chooses_by_structure_and_says_why():
    f = frame()
    plans = {
        formula: sampling.choose(bg.glmm(formula, f, "poisson"))
        for formula in ("count ~ x + (x | g)", "count ~ x + (1 | g) + (1 | h)", "count ~ x")
    }
    assert [plan.sampler for plan in plans.values()] == ["gibbs", "gibbs", "nuts"]
    assert [plan.reason for plan in plans.values()] == [
        "one grouping factor (g)",
        "several grouping factors, one after the other (g, h)",
        "no random effects",
    ]


def test_gibbs_is_refused_where_it_does_not_reach():
    model = bg.glmm("count ~ x", frame(), "poisson")
    with pytest.raises(bg.DataError, match="this model has no grouping factor"):
        model.sample(sampler="gibbs")
    with pytest.raises(bg.DataError, match="'metropolis' does not exist; there are auto, gibbs"):
        model.sample(sampler="metropolis")


def test_an_unknown_argument_is_named_with_the_close_one():
    model = bg.glmm("count ~ x + (1 | g)", frame(), "poisson")
    with pytest.raises(TypeError, match="'chain'.*'chains'"):
        model.sample(chain=4)
    with pytest.raises(bg.DataError, match="draws"):
        model.sample(draws=0)


@pytest.mark.parametrize("sampler", ["gibbs", "nuts", "hmc"])
def test_draws_do_not_depend_on_threads_chunks_or_the_number_of_chains(sampler):
    model = bg.glmm("count ~ x + (1 | g)", frame(), "poisson")
    few = {"draws": 60, "warmup": 60, "seed": 3, "sampler": sampler, "progress": False}
    one = model.sample(chains=4, jobs=1, **few)
    for jobs in (2, 4):
        assert np.array_equal(one.theta, model.sample(chains=4, jobs=jobs, **few).theta)
    fewer = model.sample(chains=2, jobs=2, **few)
    assert np.array_equal(one.theta[:2], fewer.theta)
    assert np.array_equal(one.values["u"]["g"][:2], fewer.values["u"]["g"])
    assert not np.array_equal(one.theta[0], one.theta[1])


def test_draws_of_gibbs_do_not_depend_on_how_calls_are_cut():
    model = bg.glmm("count ~ x + (x | g)", frame(), "poisson")
    map, covariance = sampling.start(model, "gibbs")
    runs = [
        chains.run(
            GibbsProgram(model, map, covariance, 40),
            seed=5,
            chains=2,
            draws=50,
            warmup=40,
            jobs=1,
            progress=False,
            chunk_seconds=seconds,
        )
        for seconds in (1e-6, 1.0)
    ]
    assert np.array_equal(runs[0].theta, runs[1].theta)
    assert np.array_equal(runs[0].u, runs[1].u)


def test_thin_keeps_every_so_manieth_draw():
    model = bg.glmm("count ~ x + (1 | g)", frame(), "poisson")
    options = {"chains": 1, "warmup": 40, "seed": 3, "progress": False}
    all_draws, thinned = (
        model.sample(draws=60, **options),
        model.sample(draws=20, thin=3, **options),
    )
    assert np.array_equal(all_draws.theta[:, 2::3], thinned.theta)


@pytest.mark.parametrize("sampler", ["gibbs", "nuts"])
def test_init_puts_every_chain_at_the_values(sampler):
    model = bg.glmm("real ~ x + (x | g)", frame(), "gaussian")
    values = {
        "Intercept": 0.1,
        "x": 0.2,
        "sd(Intercept|g)": 0.7,
        "sd(x|g)": 0.4,
        "cor(Intercept,x|g)": -0.3,
        "sigma": 1.1,
    }
    map, covariance = sampling.start(model, sampler)
    theta = sampling._initial(model, values, map)
    back = model.to_user(theta, np.zeros(2 * 30))
    found = [*back["beta"], *back["sd"], *back["cor"], back["sigma"]]
    assert np.allclose(found, list(values.values()), rtol=1e-12)
    if sampler == "gibbs":
        program = GibbsProgram(model, map, covariance, 0, theta)
        states = [program.start(np.array([k, 0], dtype=np.uint64), k) for k in (1, 2)]
        assert all(np.array_equal(s["theta"][0], theta) for s in states)
    options = {"sampler": sampler, "draws": 20, "warmup": 20, "chains": 1, "progress": False}
    assert np.isfinite(model.sample(init=values, **options).theta).all()
    with pytest.raises(bg.DataError, match="names 'y'"):
        model.sample(init={"y": 1.0})
    with pytest.raises(bg.DataError, match="outside its domain"):
        model.sample(init={"sigma": -1.0})


@pytest.mark.parametrize(
    ("formula", "family", "priors"),
    [
        ("count ~ x + w + (x || g)", "poisson", {}),
        ("yes ~ x + (1 | g) + (0 + x + w | g)", "bernoulli", {}),
        ("real ~ x + (x | g)", "gaussian", {"g": bg.InverseWishart(5, 1.0)}),
        ("count ~ x + (x | g)", "poisson", {"g": bg.HuangWand(1.0)}),
        (
            "count ~ x + w + (1 | g)",
            "poisson",
            {"b": bg.StudentT(3, 0, 0.3), "x": bg.Laplace(0, 1)},
        ),
    ],
)
def test_gibbs_agrees_with_nuts(formula, family, priors):
    model = bg.glmm(formula, frame(), family, priors=priors)
    options = {"seed": 2, "progress": False}
    agree(
        model.sample(sampler="gibbs", draws=3000, **options),
        model.sample(sampler="nuts", draws=1500, **options),
    )


@pytest.mark.parametrize(
    ("formula", "priors"),
    [
        ("count ~ x + (x | g) + (1 | h)", {}),
        ("count ~ x + (1 | h/g)", {"h": bg.InverseWishart(4, 1.0)}),
        ("count ~ x + w", {}),
    ],
)
def test_nuts_agrees_with_hmc_where_gibbs_does_not_reach(formula, priors):
    model = bg.glmm(formula, frame(), "poisson", priors=priors)
    options = {"seed": 2, "progress": False, "draws": 1500}
    agree(model.sample(sampler="nuts", **options), model.sample(sampler="hmc", **options))


def test_the_verdict_covers_a_finished_run():
    post = bg.glmm("count ~ x + (1 | g)", frame(), "poisson").sample(seed=1, progress=False)
    assert post.verdict.ok, str(post.verdict)
    assert post.run.sampler == "gibbs" and post.run.seed == 1
    assert set(post.run.seconds) >= {"fit", "warmup", "sampling"}


def test_predictors_far_from_zero_and_of_any_scale_give_the_same_answer():
    f = frame()
    options = {"seed": 4, "progress": False, "draws": 500}
    base = bg.glmm("count ~ x + (1 | g)", f, "poisson").sample(**options)
    moved = bg.glmm("count ~ I(1e8 + x) + (1 | g)", f, "poisson").sample(**options)
    scaled = bg.glmm("count ~ I(1e8 * x) + (1 | g)", f, "poisson").sample(**options)
    slope = base.summary()["mean"].iloc[1]
    assert np.isclose(moved.summary()["mean"].iloc[1], slope, rtol=1e-4)
    assert np.isclose(scaled.summary()["mean"].iloc[1] * 1e8, slope, rtol=1e-6)


def test_a_users_family_samples_with_every_sampler():
    # A geometric count y is y failures and one success of probability 1 / (1 + mu): the same
    # posterior as a binomial model with y successes in y + 1 trials and the logit link.
    importlib.import_module("toy_family")
    f = frame()
    rng = np.random.default_rng(3)
    f["y"] = rng.geometric(1 / (1 + np.exp(0.3 * f["x"] + 0.4 * rng.normal(size=30)[f["g"]]))) - 1
    f["n"] = f["y"] + 1
    priors = {"Intercept": bg.Normal(0, 2), "b": bg.Normal(0, 1), "sd": bg.HalfNormal(1)}
    binomial = bg.glmm("y | trials(n) ~ x + (1 | g)", f, "binomial", priors=priors)
    geometric = bg.glmm("y ~ x + (1 | g)", f, "geometric", priors=priors)
    options = {"seed": 2, "progress": False}
    known = binomial.sample(draws=3000, **options)
    for sampler in ("gibbs", "nuts"):
        agree(known, geometric.sample(sampler=sampler, draws=2000, **options))
    one, other = binomial.fit("laplace"), geometric.fit("laplace")
    assert np.allclose(one.estimate, other.estimate, atol=1e-3)
