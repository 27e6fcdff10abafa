"""The prior of psi: Jacobians against numerical determinants, densities against known marginals."""

import math

import numpy as np
import pytest
from kernels import callable_
from scipy import stats

from bayesglmm import covariance, prior_density
from bayesglmm.conditionals import centring
from bayesglmm.covariance import Block, build
from bayesglmm.covariance_prior import draw_correlation, draw_sigma, implied, implied_lines
from bayesglmm.errors import PriorError
from bayesglmm.priors import (
    PC,
    Exponential,
    GammaPrecision,
    HalfNormal,
    HalfStudentT,
    HuangWand,
    InverseWishart,
    Uniform,
)

fill_L = callable_(covariance.fill_L)
chain_psi = callable_(covariance.chain_psi)
psi_gradient = callable_(covariance.psi_gradient)
psi_logdensity = callable_(covariance.psi_logdensity)
prior_logpdf = callable_(prior_density.prior_logpdf)

SDS = (
    HalfStudentT(3, 2.5),
    HalfNormal(1.2),
    PC(2, 0.1),
    Exponential(0.8),
    GammaPrecision(2, 1),
    HalfStudentT(5, 1.1),
)


def scale_matrix(q):
    A = np.tril(np.random.default_rng(q).normal(0.0, 0.4, (q, q)), -1) + np.eye(q)
    return A @ A.T


def blocks(q):
    made = {
        "lkj": Block(q, True, SDS[:q], 1.7),
        "inverse-wishart": Block(q, sigma=InverseWishart(q + 1.5, scale_matrix(q))),
        "huang-wand": Block(q, sigma=HuangWand(np.linspace(0.5, 2.0, q), 2.3)),
    }
    return {**made, "diagonal": Block(q, False, SDS[:q])}


CASES = [(name, q) for q in range(1, 7) for name in ("lkj", "inverse-wishart", "huang-wand")]
cases = pytest.mark.parametrize(("name", "q"), CASES)


def logdensity(cov, psi):
    L = np.empty((cov.z_scale.size,) * 2)
    fill_L(cov, psi, L)
    return psi_logdensity(cov, psi, L)


def factor(cov, psi):
    L = np.empty((cov.z_scale.size,) * 2)
    fill_L(cov, psi, L)
    return L


def start(cov, seed=1):
    return np.random.default_rng(seed).normal(0.0, 0.5, cov.row.size)


def log_jacobian(function, x):
    """Log determinant of the derivative of a vector function, by central differences."""
    step = 1e-5
    columns = [
        (function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(x.size)
    ]
    return np.linalg.slogdet(np.array(columns).T)[1]


def lower(matrix):
    return matrix[np.tril_indices(matrix.shape[0])]


def sds_and_correlations(sigma):
    s = np.sqrt(np.diag(sigma))
    R = sigma / s / s[:, None]
    return np.concatenate([s, R[np.tril_indices(s.size, -1)]])


def log_lkj(R, eta):
    """LKJ by its own recursion over sizes (Stan reference manual), not by the formula in use."""
    q = R.shape[0]
    log_constant = 0.0
    for k in range(1, q):
        log_constant += 0.5 * k * math.log(math.pi)
        log_constant += math.lgamma(eta + 0.5 * (q - 1 - k)) - math.lgamma(eta + 0.5 * (q - 1))
    return (eta - 1.0) * np.linalg.slogdet(R)[1] - log_constant


def log_huang_wand(sigma, scales, nu):
    """The mixture of inverse-Wisharts, its scales a integrated over numerically one by one."""
    q = sigma.shape[0]
    df, precision = nu + q - 1, np.diag(np.linalg.inv(sigma))
    value = stats.invwishart(df, 2 * nu * np.eye(q)).logpdf(sigma)  # at a = 1
    for k in range(q):
        mixing = stats.invgamma(0.5, scale=scales[k] ** -2)

        def ratio(t, k=k, mixing=mixing):
            # Density at a = e^t over that at a = 1, times p(a) da.
            a = np.exp(t)
            return np.exp(mixing.logpdf(a) + t - 0.5 * df * t - nu * precision[k] * (1 / a - 1))

        t = np.linspace(-12, 40, 2001)  # the trapezoidal rule converges geometrically here
        value += math.log(ratio(t).sum() * (t[1] - t[0]))
    return value


@cases
def test_density_of_psi_is_that_of_sigma_times_the_numerical_jacobian(name, q):
    z_scale = np.linspace(0.4, 2.0, q)
    block = blocks(q)[name]
    cov = build([block], z_scale)
    psi = start(cov)

    def user_sigma(psi):
        L = factor(cov, psi) / z_scale[:, None]
        return L @ L.T

    sigma = user_sigma(psi)
    if name == "lkj":
        s = np.sqrt(np.diag(sigma))
        want = sum(prior_logpdf(*p.code(), x) for p, x in zip(block.sd, s, strict=True))
        want += log_lkj(sigma / s / s[:, None], block.eta)
        want += log_jacobian(lambda x: sds_and_correlations(user_sigma(x)), psi)
    elif name == "inverse-wishart":
        want = stats.invwishart(q + 1.5, scale_matrix(q)).logpdf(sigma)
        want += log_jacobian(lambda x: lower(user_sigma(x)), psi)
    else:
        want = log_huang_wand(sigma, np.array(block.sigma.scale), 2.3)
        want += log_jacobian(lambda x: lower(user_sigma(x)), psi)
    assert logdensity(cov, psi) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("eta", [1.0, 2.5])
def test_correlation_of_two_is_a_stretched_beta(eta):
    cov = build([Block(2, True, (Exponential(1), Exponential(1)), eta)], np.ones(2))
    s1, s2, r = 0.7, 1.4, -0.3
    psi = np.array([math.log(s1), math.atanh(r), math.log(s2)])
    # d(s1, s2, r) / d psi = s1 s2 (1 - r^2), worked by hand
    want = -s1 - s2 + stats.beta(eta, eta, -1, 2).logpdf(r) + math.log(s1 * s2 * (1 - r * r))
    assert logdensity(cov, psi) == pytest.approx(want, rel=1e-12)


def test_lkj_one_is_uniform_over_correlation_matrices_of_three():
    # Volume of the correlation matrices of size 3: pi^2 / 2 (Rousseeuw and Molenberghs 1994).
    assert covariance._lkj_constant(3, 1.0) == pytest.approx(math.log(math.pi**2 / 2), rel=1e-14)


def test_inverse_wishart_of_one_is_inverse_gamma():
    cov = build([Block(1, sigma=InverseWishart(3.0, 1.7))], np.ones(1))
    psi = np.array([-0.4])
    variance = math.exp(-0.8)
    want = stats.invgamma(1.5, scale=0.85).logpdf(variance) + math.log(2.0 * variance)
    assert logdensity(cov, psi) == pytest.approx(want, rel=1e-12)


def test_one_sd_needs_only_its_own_prior():
    for correlated in (True, False):
        cov = build([Block(1, correlated, (HalfNormal(1.2),), 3.0)], [2.0])
        s = 0.9
        want = stats.halfnorm(scale=1.2).logpdf(s) + math.log(s)
        assert logdensity(cov, np.array([math.log(2.0 * s)])) == pytest.approx(want, rel=1e-12)


def whole():
    made = [blocks(3)["lkj"], blocks(2)["diagonal"], blocks(3)["inverse-wishart"]]
    made += [blocks(2)["huang-wand"], Block(1, True, (Uniform(0, math.inf),))]
    return made, build(made, np.linspace(0.3, 3.0, 11))


def test_terms_add_up():
    made, cov = whole()
    psi, total, first, z = start(cov), 0.0, 0, 0
    for block in made:
        own = build([block], cov.z_scale[z : z + block.size])
        total += logdensity(own, psi[first : first + own.row.size])
        first, z = first + own.row.size, z + block.size
    assert logdensity(cov, psi) == pytest.approx(total, rel=1e-13)
    L = factor(cov, psi)
    assert np.count_nonzero(L) == cov.row.size  # nothing between terms


@pytest.mark.parametrize("seed", range(5))
def test_gradient(seed):
    _, cov = whole()
    psi, step = start(cov, seed), 1e-6
    want = [
        (logdensity(cov, psi + step * e) - logdensity(cov, psi - step * e)) / (2 * step)
        for e in np.eye(psi.size)
    ]
    gradient = np.full(psi.size, 3.0)
    psi_gradient(cov, psi, factor(cov, psi), gradient)
    assert gradient - 3.0 == pytest.approx(np.array(want), rel=1e-6, abs=1e-7)


def test_chain_rule():
    _, cov = whole()
    psi, step = start(cov), 1e-6
    rng = np.random.default_rng(4)
    weights = rng.normal(size=(psi.size, psi.size))[: cov.z_scale.size, : cov.z_scale.size]
    want = [
        (weights * (factor(cov, psi + step * e) - factor(cov, psi - step * e))).sum() / (2 * step)
        for e in np.eye(psi.size)
    ]
    out = np.zeros(psi.size)
    chain_psi(cov, factor(cov, psi), weights, out)
    assert out == pytest.approx(np.array(want), rel=1e-8, abs=1e-8)


def sigmas(cov, count=4000):
    rng = np.random.default_rng(23)
    return np.array([draw_sigma(cov, rng) for _ in range(count)])


ALPHA = 1e-3


@pytest.mark.parametrize("q", [2, 3, 5])
def test_lkj_draws_have_beta_correlations(q):
    rng, eta = np.random.default_rng(q), 1.6
    R = np.array([draw_correlation(q, eta, rng) for _ in range(4000)])
    a = eta - 1.0 + 0.5 * q
    for k, l in zip(*np.tril_indices(q, -1), strict=True):
        assert stats.kstest(R[:, k, l], stats.beta(a, a, -1, 2).cdf).pvalue > ALPHA


@pytest.mark.parametrize("q", [1, 2, 3, 5])
def test_inverse_wishart_draws(q):
    df = q + 5.0
    cov = build([Block(q, sigma=InverseWishart(df, scale_matrix(q)))], np.ones(q))
    draws = sigmas(cov)
    error = draws.std(axis=0) / math.sqrt(len(draws))
    assert np.all(abs(draws.mean(axis=0) - scale_matrix(q) / (df - q - 1)) < 4 * error)
    for k in range(q):
        marginal = stats.invgamma(0.5 * (df - q + 1), scale=0.5 * scale_matrix(q)[k, k])
        assert stats.kstest(draws[:, k, k], marginal.cdf).pvalue > ALPHA


@pytest.mark.parametrize("q", [1, 2, 3, 5])
def test_compiled_inverse_wishart_draws(q):
    # Bartlett's decomposition as the samplers have it; the factor goes in and a factor comes out.
    factor, S, df = callable_(centring._wishart_factor), scale_matrix(q), q + 5.0
    random, draws = np.array([5, 0], dtype=np.uint64), np.empty((4000, q, q))
    for out in draws:
        assert factor(S.copy(), df, random, out)
        out[:] = np.tril(out) @ np.tril(out).T
    error = draws.std(axis=0) / math.sqrt(len(draws))
    assert np.all(abs(draws.mean(axis=0) - S / (df - q - 1)) < 4 * error)
    for k in range(q):
        marginal = stats.invgamma(0.5 * (df - q + 1), scale=0.5 * S[k, k])
        assert stats.kstest(draws[:, k, k], marginal.cdf).pvalue > ALPHA


@cases
def test_there_and_back(name, q):
    cov = build([blocks(q)[name]], np.linspace(0.4, 2.0, q))
    psi, found = start(cov), np.empty(cov.row.size)
    callable_(covariance.fill_psi)(cov, factor(cov, psi), found)
    np.testing.assert_allclose(found, psi, rtol=0.0, atol=1e-12)
    again = factor(cov, found)
    np.testing.assert_allclose(again, factor(cov, psi), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(covariance.coordinates(cov, again), psi, rtol=0.0, atol=1e-12)


def test_huang_wand_draws_have_half_t_sds_and_uniform_correlations():
    z_scale = np.array([0.5, 1.0, 3.0])
    cov = build([Block(3, sigma=HuangWand([1.0, 2.0, 0.3]))], z_scale)
    draws = sigmas(cov)
    s = np.sqrt(np.diagonal(draws, axis1=1, axis2=2))
    for k, A in enumerate((1.0, 2.0, 0.3)):
        cdf = 2 * stats.t(2).cdf(s[:, k] / z_scale[k] / A) - 1
        assert stats.kstest(cdf, "uniform").pvalue > ALPHA
    for k, l in ((1, 0), (2, 0), (2, 1)):
        r = draws[:, k, l] / s[:, k] / s[:, l]
        assert stats.kstest(0.5 * (r + 1), "uniform").pvalue > ALPHA


def test_sd_draws_follow_their_priors_on_the_users_scale():
    cov = build(
        [Block(2, True, (HalfNormal(1.2), Exponential(0.8))), blocks(1)["diagonal"]],
        [2.0, 0.1, 1.0],
    )
    s = np.sqrt(np.diagonal(sigmas(cov), axis1=1, axis2=2)) / cov.z_scale
    assert stats.kstest(s[:, 0], stats.halfnorm(scale=1.2).cdf).pvalue > ALPHA
    assert stats.kstest(s[:, 1], stats.expon(scale=1 / 0.8).cdf).pvalue > ALPHA
    with pytest.raises(PriorError, match="improper"):
        draw_sigma(whole()[1], np.random.default_rng(1))


@pytest.mark.parametrize("prior", [InverseWishart(5, [[2, 0.6], [0.6, 1]]), HuangWand([1, 2])])
def test_implied_quantiles_are_those_of_draws(prior):
    draws = sigmas(build([Block(2, sigma=prior)], np.ones(2)))
    sd, cor = implied(prior, 2)
    s = np.sqrt(np.diagonal(draws, axis1=1, axis2=2))
    r = draws[:, 1, 0] / s[:, 0] / s[:, 1]
    for values, quantiles in ((s[:, 0], sd[0]), (s[:, 1], sd[1]), (r, cor[0])):
        for p, quantile in zip((0.025, 0.5, 0.975), quantiles, strict=True):
            share = np.mean(values < quantile)
            assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / len(draws)) + 0.002
    lines = implied_lines(prior, ("Intercept", "x"))
    assert lines == implied_lines(prior, ("Intercept", "x"))
    assert [line.split(":")[0] for line in lines] == [
        "implies sd(Intercept)",
        "implies sd(x)",
        "implies cor(Intercept,x)",
    ]


def test_no_random_effects():
    cov = covariance.empty()
    assert psi_logdensity(cov, np.zeros(0), np.zeros((0, 0))) == 0.0
    assert [a.dtype for a in cov] == [a.dtype for a in whole()[1]]
