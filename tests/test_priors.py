"""Priors integrate to one, their slopes are derivatives, and wrong numbers are refused."""

import math

import numpy as np
import pytest
from kernels import callable_
from scipy import integrate, stats

import bayesglmm as bg
from bayesglmm import prior_density, prior_text
from bayesglmm.errors import PriorError
from bayesglmm.priors import (
    LKJ,
    PC,
    Cauchy,
    Exponential,
    Flat,
    Gamma,
    GammaPrecision,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    HuangWand,
    Inverse,
    InverseGammaVariance,
    InverseSqrt,
    InverseWishart,
    Laplace,
    Normal,
    StudentT,
    Uniform,
)

prior_logpdf = callable_(prior_density.prior_logpdf)
prior_slope = callable_(prior_density.prior_slope)
dispersion_logpdf = callable_(prior_density.dispersion_logpdf)
dispersion_slope = callable_(prior_density.dispersion_slope)

REAL = (Normal(1.0, 2.5), StudentT(4.0, -1.0, 0.7), Cauchy(0.5, 2.0), Laplace(-0.3, 1.5))
POSITIVE = (
    HalfNormal(0.8),
    HalfStudentT(3.0, 2.5),
    HalfCauchy(1.3),
    Exponential(0.7),
    Gamma(2.5, 1.4),
    PC(1.0, 0.05),
    GammaPrecision(1.5, 0.8),
    InverseGammaVariance(2.0, 3.0),
    Uniform(0.0, 4.0),
)
# The distribution that scipy has for each, by its own parameters.
SCIPY = {
    REAL[0]: stats.norm(1.0, 2.5),
    REAL[1]: stats.t(4.0, -1.0, 0.7),
    REAL[2]: stats.cauchy(0.5, 2.0),
    REAL[3]: stats.laplace(-0.3, 1.5),
    POSITIVE[0]: stats.halfnorm(scale=0.8),
    POSITIVE[2]: stats.halfcauchy(scale=1.3),
    POSITIVE[3]: stats.expon(scale=1 / 0.7),
    POSITIVE[4]: stats.gamma(2.5, scale=1 / 1.4),
    POSITIVE[5]: stats.expon(scale=-1 / math.log(0.05)),
    POSITIVE[8]: stats.uniform(0.0, 4.0),
}
scalars = pytest.mark.parametrize("prior", [*REAL, *POSITIVE], ids=str)


def density(prior, x):
    return math.exp(prior_logpdf(*prior.code(), x))


@scalars
def test_integrates_to_one(prior):
    low = -np.inf if prior in REAL else 0.0
    high = 4.0 if prior == Uniform(0.0, 4.0) else np.inf
    middle = 0.9
    total = sum(
        integrate.quad(lambda x: density(prior, x), *part, epsabs=1e-10, limit=200)[0]
        for part in ((low, middle), (middle, high))
    )
    assert total == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("prior", SCIPY, ids=str)
@pytest.mark.parametrize("x", [0.01, 0.9, 3.7])
def test_density_is_that_of_scipy(prior, x):
    assert prior_logpdf(*prior.code(), x) == pytest.approx(SCIPY[prior].logpdf(x), rel=1e-12)


@pytest.mark.parametrize("x", [0.3, 0.9, 3.7])
def test_density_of_an_sd_whose_square_is_inverse_gamma(x):
    want = stats.invgamma(2.0, scale=3.0).logpdf(x * x) + math.log(2.0 * x)
    for prior in (InverseGammaVariance(2.0, 3.0), GammaPrecision(2.0, 3.0)):
        assert prior_logpdf(*prior.code(), x) == pytest.approx(want, rel=1e-12)
    precision = stats.gamma(2.0, scale=1 / 3.0).logpdf(x**-2) + math.log(2.0 * x**-3)
    assert want == pytest.approx(precision, rel=1e-12)


@scalars
@pytest.mark.parametrize("x", [0.05, 0.9, 3.7])
def test_slope_is_the_derivative(prior, x):
    code, step = prior.code(), 1e-6 * x
    difference = prior_logpdf(*code, x + step) - prior_logpdf(*code, x - step)
    assert prior_slope(*code, x) == pytest.approx(difference / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("prior", POSITIVE[:-1], ids=str)
def test_no_density_at_zero_and_below(prior):
    assert prior_logpdf(*prior.code(), 0.0) == prior_logpdf(*prior.code(), -1.0) == -np.inf


def test_uniform_and_flat():
    assert prior_logpdf(*Uniform(1.0, 3.0).code(), 0.9) == -np.inf
    assert prior_logpdf(*Uniform(0.0, math.inf).code(), 1e6) == 0.0
    assert prior_logpdf(*Flat().code(), -1e6) == prior_slope(*Flat().code(), 2.0) == 0.0


def test_pc_means_what_it_says():
    tail = integrate.quad(lambda x: density(PC(1.7, 0.03), x), 1.7, np.inf)[0]
    assert tail == pytest.approx(0.03, rel=1e-8)


@scalars
def test_draws_follow_the_density(prior):
    draws = np.sort(prior.draw(np.random.default_rng(17), 2000))
    low = -np.inf if prior in REAL else 0.0
    cuts = np.quantile(draws, np.linspace(0.1, 0.9, 9))
    for share, cut in zip(np.linspace(0.1, 0.9, 9), cuts, strict=True):
        below = integrate.quad(lambda x: density(prior, x), low, cut, limit=200)[0]
        # Four standard errors of a share of 2,000 draws.
        assert abs(below - share) < 4 * math.sqrt(share * (1 - share) / 2000)


@pytest.mark.parametrize("prior", [Flat(), Uniform(0.0, math.inf)], ids=str)
def test_nothing_is_drawn_from_an_improper_prior(prior):
    with pytest.raises(PriorError, match="improper"):
        prior.draw(np.random.default_rng(1))


DISPERSIONS = (
    HalfNormal(2.0),
    Gamma(2.0, 0.5),
    Inverse(Exponential(0.7)),
    Inverse(Gamma(0.8, 0.6)),
    InverseSqrt(HalfNormal(1.0)),
    InverseSqrt(Uniform(0.0, 4.0)),
)
dispersions = pytest.mark.parametrize("prior", DISPERSIONS, ids=str)


@dispersions
def test_prior_of_a_dispersion_integrates_to_one_over_its_logarithm(prior):
    def at(log_phi):
        return math.exp(dispersion_logpdf(*prior.code(), log_phi))

    total = sum(
        integrate.quad(at, *part, epsabs=1e-10, limit=400)[0]
        for part in ((-80.0, -2.77258872), (-2.77258872, 0.0), (0.0, 80.0))
    )
    assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("log_phi", [-1.0, 0.4, 6.0])
def test_prior_of_the_inverse_of_a_dispersion_has_its_jacobian(log_phi):
    phi = math.exp(log_phi)
    root = stats.halfnorm(scale=0.8).logpdf(phi**-0.5) + math.log(0.5 * phi**-1.5)
    inverse = stats.gamma(0.8, scale=1 / 0.6).logpdf(1 / phi) - 2 * log_phi
    for prior, density in (
        (InverseSqrt(HalfNormal(0.8)), root),
        (Inverse(Gamma(0.8, 0.6)), inverse),
        (Gamma(0.8, 0.6), stats.gamma(0.8, scale=1 / 0.6).logpdf(phi)),
    ):
        want = density + log_phi  # of log(phi)
        assert dispersion_logpdf(*prior.code(), log_phi) == pytest.approx(want, rel=1e-12)


@dispersions
@pytest.mark.parametrize("log_phi", [-2.0, 0.4, 7.0])
def test_slope_of_a_dispersion_is_the_derivative(prior, log_phi):
    code, step = prior.code(), 1e-5
    up, down = (dispersion_logpdf(*code, log_phi + s) for s in (step, -step))
    assert dispersion_slope(*code, log_phi) == pytest.approx(
        (up - down) / (2 * step), rel=1e-6, abs=1e-7
    )


@dispersions
def test_draws_of_a_dispersion_follow_the_density(prior):
    draws = np.sort(np.log(prior.draw(np.random.default_rng(23), 2000)))
    cuts = np.quantile(draws, np.linspace(0.1, 0.9, 9))
    for share, cut in zip(np.linspace(0.1, 0.9, 9), cuts, strict=True):
        below = integrate.quad(
            lambda x: math.exp(dispersion_logpdf(*prior.code(), x)), -60.0, cut, limit=400
        )[0]
        assert abs(below - share) < 4 * math.sqrt(share * (1 - share) / 2000)


def test_statements_name_what_a_prior_is_of():
    assert HalfNormal(2).statement("size") == "size ~ HalfNormal(2)"
    assert Inverse(Exponential(1)).statement("size") == "1/size ~ Exponential(1)"
    assert InverseSqrt(HalfNormal(1)).statement("shape") == "1/sqrt(shape) ~ HalfNormal(1)"


ALL = (
    *REAL,
    *POSITIVE,
    *DISPERSIONS,
    Flat(),
    Uniform(0.0, math.inf),
    LKJ(2.0),
    InverseWishart(3.0, [[2.0, 0.5], [0.5, 1.0]]),
    InverseWishart(3.0, 1.5),
    HuangWand(2.5),
    HuangWand([1.0, 2.0], df=3.0),
)


@pytest.mark.parametrize("prior", ALL, ids=str)
def test_text_reads_back(prior):
    assert prior_text.parse(repr(prior)) == prior
    assert prior_text.parse(str(prior)) == prior
    name, _, rest = str(prior).partition("(")
    assert prior_text.parse(f" {name.lower()}({rest} ") == prior


def test_text():
    assert str(Normal(0, 2.5)) == "Normal(0, 2.5)"
    assert str(InverseWishart(3, np.eye(2))) == "InverseWishart(3, [[1, 0], [0, 1]])"
    assert prior_text.parse("half_student_t(3, scale=2.5)") == HalfStudentT(3, 2.5)
    assert prior_text.parse("flat") == Flat()
    assert prior_text.parse("uniform(0, inf)") == Uniform()
    assert prior_text.parse("inverse_sqrt(half_normal(1))") == InverseSqrt(HalfNormal(1))
    assert prior_text.parse("inverse(gamma(2, rate=0.5))") == Inverse(Gamma(2, 0.5))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("normal(0", "cannot read"),
        ("", "cannot read"),
        ("normal(x, 1)", "cannot read"),
        ("__import__('os').system('true')", "cannot read"),
        ("normal(*[0, 1])", "cannot read"),
        ("normul(0, 1)", "unknown prior 'normul'"),
        ("normal(0, 1, 2)", "takes \\(mean, sd\\)"),
        ("normal(mu=0)", "takes \\(mean, sd\\)"),
        ("normal(0, -1)", "sd must be positive"),
        ("inverse(normal(0, 1))", "inside must be one of HalfNormal"),
        ("inverse(inverse(half_normal(1)))", "inside must be one of HalfNormal"),
        ("normal(half_normal(1), 1)", "mean must be a number"),
        ("(" * 5000, "too long"),
    ],
)
def test_text_that_is_no_prior(text, words):
    with pytest.raises(PriorError, match=words):
        prior_text.parse(text)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Normal(0, 0), "sd must be positive, got 0"),
        (lambda: Normal(0, -1), "sd must be positive, got -1"),
        (lambda: Normal(0, math.nan), "sd must be finite"),
        (lambda: Normal(math.inf, 1), "mean must be finite"),
        (lambda: Normal("0", 1), "mean must be a number"),
        (lambda: Normal(0, True), "sd must be a number"),
        (lambda: HalfStudentT(0, 1), "df must be positive"),
        (lambda: Uniform(2, 1), "high must be above low"),
        (lambda: Uniform(0, -math.inf), "high must be finite"),
        (lambda: PC(1, 1), "probability must be below 1"),
        (lambda: LKJ(0), "eta must be positive"),
        (lambda: LKJ(-2), "eta must be positive"),
        (lambda: InverseWishart(1, np.eye(2)), "df must be above 1 for 2 effects"),
        (lambda: InverseWishart(3, [[1, 2], [2, 1]]), "not positive definite"),
        (lambda: InverseWishart(3, [[1, 1], [1, 1]]), "not positive definite"),
        (lambda: InverseWishart(3, [[1, 0.5], [0.4, 1]]), "not symmetric"),
        (lambda: InverseWishart(3, [[1, math.nan], [0, 1]]), "finite numbers"),
        (lambda: InverseWishart(3, [1, 2]), "square matrix"),
        (lambda: InverseWishart(3, np.zeros((2, 3))), "square matrix"),
        (lambda: InverseWishart(3, -1), "positive number or a matrix"),
        (lambda: InverseWishart(3, np.eye(2)).for_size(3, "id"), "id has 3 effects"),
        (lambda: InverseWishart(1.5, 1.0).for_size(3, "id"), "df must be above 2"),
        (lambda: HuangWand([1.0, -1.0]), "scale must be positive"),
        (lambda: HuangWand([]), "empty"),
        (lambda: HuangWand([1.0, 2.0]).for_size(3, "id"), "id has 3 effects"),
    ],
)
def test_refusals_name_what_is_wrong(make, words):
    with pytest.raises(PriorError, match=words):
        make()


def test_numbers_stand_for_all_effects():
    assert InverseWishart(3, 2.0).for_size(2, "id").scale == ((2.0, 0.0), (0.0, 2.0))
    assert HuangWand(2.0).for_size(2, "id").scale == (2.0, 2.0)


def test_sds_of_two_terms_of_one_group_are_given_by_name():
    frame = {"y": [1, 0, 2, 1, 3, 0], "x": [0.1, 0.2, -0.3, 0.4, 0.5, -0.6], "g": list("aabbcc")}
    sds = {"Intercept": bg.HalfNormal(0.7), "x": bg.HalfNormal(0.2)}
    model = bg.glmm("y ~ x + (1 | g) + (0 + x | g)", frame, "poisson", priors={"g": {"sd": sds}})
    assert [term.sd for term in model.priors.terms] == [(sds["Intercept"],), (sds["x"],)]
    with pytest.raises(PriorError, match="names 'z'; the columns are Intercept, x"):
        bg.glmm(
            "y ~ x + (1 | g) + (0 + x | g)", frame, "poisson",
            priors={"g": {"sd": {"z": bg.HalfNormal(1)}}},
        )  # fmt: skip


def test_a_group_may_be_called_as_coefficients_are():
    rng = np.random.default_rng(3)
    frame = {"y": rng.poisson(2.0, 40), "x": rng.normal(size=40), "b": np.arange(40) % 8}
    coefficients = bg.glmm("y ~ x + (1 | b)", frame, "poisson", priors={"b": bg.Normal(0, 0.3)})
    assert coefficients.priors.beta[1] == bg.Normal(0, 0.3)
    assert isinstance(coefficients.priors.terms[0].sd[0], bg.HalfStudentT)
    group = bg.glmm("y ~ x + (1 | b)", frame, "poisson", priors={"b": {"sd": bg.HalfNormal(0.7)}})
    assert group.priors.beta[1] != bg.Normal(0, 0.3)
    assert group.priors.terms[0].sd == (bg.HalfNormal(0.7),)
