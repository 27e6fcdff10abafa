"""Classical Metropolis within Gibbs: every block's methods leave the posterior as it is."""

import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import broken as one
import classical_joint
import joint
import joint_crossed
import numpy as np
import pandas as pd
import pytest
from broken import BERNOULLI, DIAGONAL, GAMMA, GAUSSIAN, LKJ, NEGATIVE_BINOMIAL, STUDENT, WISHART
from joint import DRAWS, LARGEST_Z, Case
from joint_crossed import CrossedCase, Effects
from mutants import Change, plain_copy
from references import REFERENCES, disagreements
from scipy import stats

import bayesglmm as bg
from bayesglmm.blocks import asked, parsed, resolve
from bayesglmm.chains import run
from bayesglmm.classical_program import ClassicalProgram
from bayesglmm.density import identity_map
from bayesglmm.errors import DataError, PriorError

classical_joint.register()

LONG = 5  # times the draws, for a second look and in the slow tests
SIGNIFICANCE = 1e-4

CROSSED = CrossedCase(
    "bernoulli, crossed",
    "y ~ x + offset(w) + (x|g) + (1|h)",
    "bernoulli",
    beta=((0.3, 0.8), (0.0, 0.7)),
    effects=(Effects("g", (0.8, 0.6), eta=1.5), Effects("h", (0.7,))),
)
CROSSED_GAUSSIAN = CrossedCase(
    "gaussian, crossed",
    "y ~ x + offset(w) + (1|g) + (1|h)",
    "gaussian",
    beta=((0.3, 0.5), (0.0, 0.5)),
    effects=(Effects("g", (0.6,)), Effects("h", (0.5,))),
    sigma=(6.0, 5.0),
)
NESTED = CrossedCase(
    "poisson, nested",
    "y ~ x + offset(w) + (1|g/c)",
    "poisson",
    beta=((-0.4, 0.3), (0.0, 0.3)),
    effects=(Effects("g", (0.25,)), Effects("c", (0.3,))),
)
FAST = [
    (BERNOULLI, "classical"),
    (WISHART, "classical, walks and centring"),
    (GAUSSIAN, "classical, exact"),
    (LKJ, "classical, walks"),
    (DIAGONAL, "classical, parts"),
    (LKJ, "classical, sds noncentred"),
    (CROSSED, "classical"),
]
SLOW = [
    *((case, "classical") for case in one.CASES if case is not BERNOULLI),
    *((case, "classical, walks") for case in (one.POISSON, DIAGONAL, WISHART)),
    *((case, "classical, iwls alone") for case in (BERNOULLI, LKJ, STUDENT)),
    *((case, "classical, sds noncentred") for case in (WISHART, LKJ)),
    (DIAGONAL, "classical, noncentred alone"),
    *((case, "classical, slices") for case in (BERNOULLI, LKJ, GAMMA)),
    (GAUSSIAN, "classical, all walks, sigma"),
    (NEGATIVE_BINOMIAL, "classical, all walks, size"),
    (GAMMA, "classical, all walks, shape"),
    (CROSSED, "classical, walks"),
    (CROSSED, "classical, walks and centring"),
    (CROSSED_GAUSSIAN, "classical, exact"),
    (NESTED, "classical"),
    (NESTED, "classical, walks"),
]


def deviations(case: Case, sampler: str, **options) -> tuple[dict[str, float], float]:
    module = joint_crossed if isinstance(case, CrossedCase) else joint
    return module.deviations(case, sampler, **options)


def name(value: object) -> str:
    return value.name if isinstance(value, Case) else str(value)


def check(case: Case, sampler: str, draws: int) -> None:
    z, _ = deviations(case, sampler, draws=draws)
    if max(map(abs, z.values())) >= LARGEST_Z:
        # One of some 250 functions may exceed it by chance; not twice, with more draws.
        z, _ = deviations(case, sampler, draws=LONG * draws, seed=2)
    assert len(z) >= 12
    assert {k: round(v, 1) for k, v in z.items() if not abs(v) < LARGEST_Z} == {}


@pytest.mark.parametrize(("case", "sampler"), FAST, ids=name)
def test_joint_distribution(case, sampler):
    check(case, sampler, DRAWS)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "sampler"), SLOW, ids=name)
def test_joint_distribution_of_all_methods(case, sampler):
    check(case, sampler, LONG * DRAWS)


THETA = "conditionals/classical_theta.py"
EFFECTS = "conditionals/classical_effects.py"
SCALES = "conditionals/classical_scales.py"
SIGMA = "conditionals/classical_sigma.py"
SWEEP = "conditionals/classical.py"


@dataclass(frozen=True)
class Broken(Change):
    """One change of the package, and the case and sampler of the joint test that sees it."""

    case: Case
    sampler: str
    draws: int = 1000

    def deviations(self) -> dict[str, float]:
        """z of the test functions in a plain-Python copy of the package with the change."""
        with tempfile.TemporaryDirectory() as folder:
            load = plain_copy(Path(folder), (self.file, self.old, self.new))
            try:
                return deviations(self.case, self.sampler, load=load, draws=self.draws)[0]
            except (ArithmeticError, ValueError) as reason:
                return {f"ran away ({reason})": np.inf}


BROKEN = [
    Broken(
        "an sd moves and its effects do not",
        SCALES,
        "u[g] *= factor",
        "u[g] *= 1.0",
        BERNOULLI,
        "classical, sds noncentred",
    ),
    Broken(
        "sds noncentred with the cube of their prior",
        SCALES,
        "return covariance.psi_logdensity(cov, psi, L)",
        "return 3.0 * covariance.psi_logdensity(cov, psi, L)",
        DIAGONAL,
        "classical, noncentred alone",
    ),
    Broken(
        "linear predictor of the sd before",
        SCALES,
        "copy(state.eta, row[NEW_ETA])",
        "copy(row[NEW_ETA], state.eta)",
        BERNOULLI,
        "classical, sds noncentred",
    ),
    Broken(
        "no Hastings ratio of coefficients",
        THETA,
        "ratio += back - forward",
        "ratio += 0.0",
        BERNOULLI,
        "classical, iwls alone",
    ),
    Broken(
        "no Hastings ratio of effects",
        EFFECTS,
        "add(weight, work.number[OLD_WEIGHT], -1.0)",
        "add(weight, work.number[OLD_WEIGHT], 0.0)",
        BERNOULLI,
        "classical, iwls alone",
    ),
    Broken(
        "effects without their prior",
        EFFECTS,
        "_add_squares(weight, new_v, -0.5)\n    if",
        "_add_squares(weight, new_v, 0.0)\n    if",
        BERNOULLI,
        "classical, walks",
    ),
    Broken(
        "coefficients without their prior",
        THETA,
        "ratio += try_theta(rows, data, members, state.theta, trial, state.eta, scratch.row)",
        "ratio = try_theta(rows, data, members, state.theta, trial, state.eta, scratch.row)",
        BERNOULLI,
        "classical, walks",
    ),
    Broken(
        "variance drawn with twice its degrees of freedom",
        THETA,
        "gamma(random, a + 0.5 * count)",
        "gamma(random, a + count)",
        GAUSSIAN,
        "classical, exact",
    ),
    Broken(
        "linear predictor of the coefficients before",
        THETA,
        "copy(state.eta, row[NEW_ETA])",
        "copy(row[NEW_ETA], state.eta)",
        GAUSSIAN,
        "classical, exact",
    ),
    Broken(
        "a walk whose scale follows the chain",
        SWEEP,
        "scale = tuning.scale[b]",
        "scale = 0.1 + 2.0 * abs(state.theta[0])",
        BERNOULLI,
        "classical, walks",
        draws=3000,
    ),
    Broken(
        "conjugate draw of Sigma without the groups",
        "conditionals/centring.py",
        "_wishart_factor(S, cov.df[block] + J, random, sigma)",
        "_wishart_factor(S, cov.df[block], random, sigma)",
        replace(WISHART, family="bernoulli"),
        "classical, walks and centring",
    ),
    Broken(
        "walk of psi with the cube of its prior",
        "conditionals/centring.py",
        "value = covariance.psi_logdensity(cov, psi, L)\n    lo, hi",
        "value = 3.0 * covariance.psi_logdensity(cov, psi, L)\n    lo, hi",
        BERNOULLI,
        "classical, walks",
        draws=6000,
    ),
]


@pytest.mark.parametrize("broken", BROKEN[:1], ids=name)
def test_broken_copies_are_caught(broken):
    assert max(map(abs, broken.deviations().values())) > LARGEST_Z


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN[1:], ids=name)
def test_all_broken_copies_are_caught(broken):
    assert max(map(abs, broken.deviations().values())) > LARGEST_Z


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 60
    f = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "g": [f"g{k}" for k in rng.integers(0, 7, n)],
            "h": [f"h{k}" for k in rng.integers(0, 4, n)],
        }
    )
    f["between"] = f.g.str[1:].astype(float)
    f["y"] = rng.normal(size=n)
    f["count"] = rng.negative_binomial(1, 0.3, n)
    return f


EXACT = {
    "half-t": (bg.HalfStudentT(4, 0.8), stats.t(4, scale=0.8)),
    "half-Cauchy": (bg.HalfCauchy(0.8), stats.cauchy(scale=0.8)),
}


def prior_draws(effects: str, group, sigma, draws: int = 2000) -> dict[str, np.ndarray]:
    """What the chains draw where the rows say nothing: the prior."""
    model = bg.glmm(
        f"y ~ 1 + {effects}",
        frame(),
        priors={"Intercept": bg.Normal(0, 1), "g": group, "sigma": sigma},
    )
    data = model.problem.data
    data.obs.w[:] = 0.0
    map = identity_map(1 + data.prior.covariance.row.size + 1, 7 * data.factor.size)
    chosen = asked({"Sigma": "conjugate", "sigma": "conjugate", "u": "conjugate"})
    program = ClassicalProgram(model, map, np.eye(map.center.size), 100, chosen=chosen, nbi=100)
    # So far apart that draws are nearly independent, which a test of distributions needs.
    result = run(program, seed=5, chains=1, draws=draws, warmup=100, thin=30, progress=False)
    values = model.to_user(result.theta, None)
    return {name: values[name][0] for name in ("sd", "cor", "sigma")}


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("effects", ["(1|g)", "(x||g)"])
def test_exact_draws_of_variances_have_the_prior_where_data_say_nothing(effects, kind):
    prior, law = EXACT[kind]
    draws = prior_draws(effects, {"sd": prior}, prior)
    for values in (*draws["sd"].T, draws["sigma"]):
        share = 2.0 * law.cdf(values) - 1.0
        assert stats.kstest(share, "uniform").pvalue > SIGNIFICANCE


def test_exact_draws_under_huang_and_wand_have_half_t_sds_and_uniform_correlations():
    draws = prior_draws("(x|g)", bg.HuangWand([0.9, 0.6]), bg.InverseGammaVariance(3.0, 2.0))
    for values, scale in zip(draws["sd"].T, (0.9, 0.6), strict=True):
        share = 2.0 * stats.t(2, scale=scale).cdf(values) - 1.0
        assert stats.kstest(share, "uniform").pvalue > SIGNIFICANCE
    assert stats.kstest(draws["cor"][:, 0], stats.uniform(-1, 2).cdf).pvalue > SIGNIFICANCE
    law = stats.invgamma(3.0, scale=2.0)
    assert stats.kstest(draws["sigma"] ** 2, law.cdf).pvalue > SIGNIFICANCE


def steps(formula: str, family: str = "poisson", blocks=None, **priors) -> list[tuple[str, str]]:
    model = bg.glmm(formula, frame(), family, priors=priors)
    return [(block.label, block.method) for block in resolve(model, asked(blocks))]


def test_what_is_not_named_gets_what_serves_best():
    assert steps("count ~ x + between + (1|g)") == [
        ("beta", "iwls"),
        ("u[g]", "iwls"),
        ("beta given u[g]", "centred"),
        ("Sigma[g]", "conjugate"),
        ("Sigma[g]", "noncentred"),
    ]
    assert steps("y ~ x + (x|g) + (1|h)", "gaussian") == [
        ("beta", "conjugate"),
        ("u[g]", "conjugate"),
        ("u[h]", "conjugate"),
        ("beta given u[g]", "centred"),
        ("beta given u[h]", "centred"),
        ("Sigma[g]", "near_conjugate"),
        ("Sigma[g]", "noncentred"),
        ("Sigma[h]", "conjugate"),
        ("Sigma[h]", "noncentred"),
        ("sigma", "conjugate"),
    ]
    assert steps("count ~ x", "negative_binomial") == [("beta", "iwls"), ("size", "slice")]


def test_coefficients_have_blocks_of_their_own():
    chosen = {("x", "between"): "random_walk", "Sigma[g]": "slice", "u[g]": "random_walk+iwls"}
    assert steps("count ~ x + between + (1|g)", blocks=chosen) == [
        ("x, between", "random_walk"),
        ("Intercept", "iwls"),
        ("u[g]", "random_walk"),
        ("u[g]", "iwls"),
        ("Intercept given u[g]", "centred"),
        ("Sigma[g]", "slice"),
    ]


def test_terms_of_one_factor_have_covariances_of_their_own():
    found = steps("count ~ x + (1|g) + (0 + x|g)", blocks={"g": "slice"})
    assert found[-2:] == [("Sigma[Intercept|g]", "slice"), ("Sigma[x|g]", "slice")]


@pytest.mark.parametrize(
    ("blocks", "kind", "words"),
    [
        ({"beta": "iwsl"}, DataError, "has no method 'iwsl'; it has random_walk, iwls"),
        ({"gamma": "iwls"}, DataError, "'gamma'; there are beta, Intercept, x"),
        ({("x", "z"): "iwls"}, DataError, "'z' among coefficients"),
        ({"beta": "conjugate"}, DataError, "Gaussian with identity link; this is poisson"),
        ({"u": "conjugate"}, DataError, "Take 'iwls' or 'random_walk'"),
        ({"Sigma": "conjugate"}, PriorError, "sd(Intercept|g) ~ HalfNormal(1). Take 'near_conj"),
        ({"beta": "centred"}, DataError, "x cannot be centred"),
        ({"x": "centred"}, DataError, "no coefficient of x can be centred"),
        ({"x": "iwls", "Intercept": "iwls", "beta": "iwls"}, DataError, "a block of its own"),
        ({"u": "iwls", "u[g]": "iwls"}, DataError, "u[g] twice"),
        ({"beta": 3}, DataError, "has to be a method"),
        ("iwls", DataError, "has to be a dict of methods"),
    ],
)
def test_what_cannot_be_is_said_in_words(blocks, kind, words):
    with pytest.raises(kind) as error:
        steps("count ~ x + (1|g)", blocks=blocks, sd=bg.HalfNormal(1))
    assert words in str(error.value)


def test_correlations_need_another_step_than_that_of_sds_alone():
    with pytest.raises(DataError, match="correlations would never move by 'noncentred'"):
        steps("count ~ x + (x|g)", blocks={"Sigma": "noncentred"})
    found = steps("count ~ x + (x||g)", blocks={"Sigma": "noncentred"})
    assert found[-1] == ("Sigma[g]", "noncentred")


def test_blocks_from_the_command_line():
    text = "beta=iwls+centred, x+trt[a,b]=random_walk, I(x+z)=slice,Sigma=conjugate"
    assert parsed(text) == {
        "beta": "iwls+centred",
        ("x", "trt[a,b]"): "random_walk",
        "I(x+z)": "slice",
        "Sigma": "conjugate",
    }
    with pytest.raises(DataError, match='has no "="'):
        parsed("beta")


KNOWN = {reference.name: reference for reference in REFERENCES}
AGREEING = [
    ("epil", {"beta": "random_walk+centred", "u": "random_walk", "Sigma": "random_walk"}, 20_000),
    ("cbpp", {}, 20_000),
    ("sleep", {}, 15_000),
    ("sleep", {"Sigma": "slice", "sigma": "slice"}, 15_000),
    ("rats", {}, 10_000),
    ("surgical", {"beta": "slice", "Sigma": "random_walk"}, 20_000),
]


@pytest.mark.reference
@pytest.mark.parametrize(("name", "blocks", "draws"), AGREEING[:2])
def test_posterior_agrees_with_reference(name, blocks, draws):
    reference = KNOWN[name]
    post = reference.model().sample(blocks=blocks, draws=draws, seed=1, progress=False)
    assert disagreements(reference.ours(post), reference.known()) == []


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.parametrize(("name", "blocks", "draws"), AGREEING[2:])
def test_posterior_agrees_with_more_references(name, blocks, draws):
    test_posterior_agrees_with_reference(name, blocks, draws)


def test_chains_start_where_weighted_least_squares_can_go_on(monkeypatch):
    rng = np.random.default_rng(8)
    n, x = 200, rng.normal(size=200)
    g = np.arange(n) // 10
    slope = rng.normal(size=20)[g]
    f = {"x": x, "g": g, "y": (rng.random(n) < -np.expm1(-np.exp(0.3 + slope * x))).astype(int)}
    model = bg.glmm("y ~ x + (x|g)", f, "bernoulli", link="cloglog", priors={"g": bg.HuangWand(2)})
    away, start = [], ClassicalProgram.start

    def watched(self, random_state, chain):
        state = start(self, random_state, chain)
        position = np.zeros(self.dim + self.effects)
        away.append((self._state_at(position, random_state)["loglik"] - state["loglik"]).max())
        return state

    monkeypatch.setattr(ClassicalProgram, "start", watched)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.ConvergenceWarning)  # of so few draws
        model.sample(8, 8, 30, sampler="classical", seed=1, progress=False)
    assert len(away) == 30
    assert max(away) < 25.0  # nats that a row is less likely than at the fit; 1e8 are possible
    assert max(away) > 2.0  # and they are dispersed


def test_chains_of_other_blocks_do_not_go_on():
    model = bg.glmm("count ~ x + (1|g)", frame(), "poisson", priors={"b": bg.Normal(0, 1)})

    def program(blocks):
        return ClassicalProgram(
            model, identity_map(3, 7), np.eye(3), 0, chosen=asked(blocks), nbi=0
        )

    state = program({"Sigma": "slice"}).start(np.array([1, 0], dtype=np.uint64), 0)
    out = np.empty((1, 3)), np.empty((1, 7)), np.empty((1, 2))
    program({"Sigma": "slice", "u": "iwls"}).advance(state, 1, *out, 0)
    with pytest.raises(DataError, match="drawn by an earlier version"):
        program({}).advance(state, 1, *out, 0)
