"""Centred moves: what they hold fixed, and what they draw, against closed forms."""

import numpy as np
import pandas as pd
import pytest
from kernels import callable_
from scipy import stats

import bayesglmm as bg
from bayesglmm import covariance
from bayesglmm.conditionals import centring
from bayesglmm.programs import GibbsProgram
from bayesglmm.sampling import start

SIGNIFICANCE = 1e-4
KEY = np.array([2024, 0], dtype=np.uint64)


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(6), [1, 2, 3, 5, 7, 6])
    f = pd.DataFrame({"g": [f"g{k}" for k in g], "x": rng.normal(size=g.size)})
    f["between"] = np.array([0.3, -1.0, 0.5, 2.0, 0.1, -0.7])[g]  # constant within groups
    f["product"] = f.between * f.x  # spanned where x is a z column
    f["within"] = rng.normal(size=g.size)
    f["y"] = rng.poisson(2, g.size)
    return f


def bound(effects: str, priors: dict):
    model = bg.glmm(
        f"y ~ x + between + product + within + {effects}",
        frame(),
        "poisson",
        priors=priors,
        center=False,
    )
    return model, model.problem.data


@pytest.mark.parametrize(
    ("effects", "spanned"),
    [
        ("(1|g)", ["Intercept", "between"]),
        ("(x|g)", ["Intercept", "x", "between", "product"]),
        ("(x||g)", ["Intercept", "x", "between", "product"]),
        ("(0+x|g)", ["x", "product"]),
    ],
)
def test_the_columns_found_are_spanned_by_the_effects(effects, spanned):
    model, data = bound(effects, {})
    columns, W = centring.within_groups(data)
    assert [model.design.columns[j] for j in columns] == spanned
    for j, weights in zip(columns, W, strict=True):
        built = sum(z * w[data.level[0]] for z, w in zip(data.obs.Z, weights, strict=True))
        np.testing.assert_allclose(built, data.obs.X[j], atol=1e-9)


def centred(model) -> centring.Centring:
    return GibbsProgram(model, *start(model, "nuts"), 0).centre


def moves(model, theta: np.ndarray, u: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws of theta and u by `count` moves, each from the same start."""
    data, random = model.problem.data, KEY.copy()
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    q = data.factor.size
    centre = centred(model)
    L, draw = np.zeros((q, q)), callable_(centring.draw)
    fill = callable_(covariance.fill_L)
    fill(data.prior.covariance, theta[p : p + m], L)
    v = np.linalg.solve(L, u)
    thetas, us = np.empty((count, theta.size)), np.empty((count, *u.shape))
    new_L, new_v = np.zeros((q, q)), np.empty_like(v)
    for i in range(count):
        thetas[i] = theta
        draw(data.prior, centre, L, thetas[i], v, new_v, random)
        fill(data.prior.covariance, thetas[i, p : p + m], new_L)
        us[i] = new_L @ new_v
    return thetas, us


NORMAL = {"Intercept": bg.Normal(0.2, 1.5), "b": bg.Normal(-0.1, 0.8)}


def begin(model) -> tuple[np.ndarray, np.ndarray]:
    data = model.problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    rng = np.random.default_rng(4)
    theta = 0.3 * rng.normal(size=p + m)
    return theta, 0.5 * rng.normal(size=(data.factor.size, int(data.levels[0])))


@pytest.mark.parametrize("effects", ["(1|g)", "(x|g)"])
def test_the_linear_predictor_does_not_move(effects):
    model, data = bound(effects, NORMAL)
    theta, u = begin(model)
    thetas, us = moves(model, theta, u, 20)
    p = data.obs.X.shape[0]

    def eta(theta, u):
        return theta[:p] @ data.obs.X + sum(
            z * row[data.level[0]] for z, row in zip(data.obs.Z, u, strict=True)
        )

    assert np.ptp(thetas[:, 0]) > 0.0
    for a, b in zip(thetas, us, strict=True):
        np.testing.assert_allclose(eta(a, b), eta(theta, u), atol=1e-10)


@pytest.mark.parametrize("effects", ["(1|g)", "(x|g)"])
def test_coefficients_given_gamma_have_their_normal_moments(effects):
    model, data = bound(effects, NORMAL)
    theta, u = begin(model)
    centre = centred(model)
    columns, W = centre.column[:, 0], centre.W
    q, p = data.factor.size, data.obs.X.shape[0]
    L = np.zeros((q, q))
    psi = theta[p : p + data.prior.covariance.row.size]
    callable_(covariance.fill_L)(data.prior.covariance, psi, L)
    inverse = np.linalg.inv(L @ L.T)
    gamma = u + np.einsum("akg,a->kg", W, theta[columns])
    # Least squares of gamma on W with error covariance Sigma, and the prior on the scale inside.
    mean, precision = data.prior.beta[columns, 1], data.prior.beta[columns, 2] ** -2.0
    P = np.einsum("akg,kl,blg->ab", W, inverse, W) + np.diag(precision)
    h = np.einsum("akg,kl,lg->a", W, inverse, gamma) + precision * mean
    expected, cov = np.linalg.solve(P, h), np.linalg.inv(P)
    count = 20_000
    beta = moves(model, theta, u, count)[0][:, columns]
    z = (beta - expected) @ np.linalg.inv(np.linalg.cholesky(cov)).T
    for k in range(columns.size):
        assert stats.kstest(z[:, k], "norm").pvalue > SIGNIFICANCE
    product = (z[:, :1] * z[:, 1:]).mean(axis=0) * np.sqrt(count)
    assert np.abs(product).max() < 4.5


def test_conjugate_draw_of_sigma_is_inverse_wishart():
    scale = np.array([[1.0, 0.3], [0.3, 0.6]])
    # No coefficient is centred, so u is the given one.
    model = bg.glmm(
        "y ~ 0 + within + (0 + x + product|g)",
        frame(),
        "poisson",
        priors={"g": bg.InverseWishart(5.0, scale)},
    )
    data = model.problem.data
    theta, u = begin(model)
    assert centred(model).column.size == 0
    count, q, J = 20_000, 2, 6
    thetas, _ = moves(model, theta, u, count)
    m = data.prior.covariance.row.size
    fill, sigma = callable_(covariance.fill_L), np.empty((count, q, q))
    L = np.zeros((q, q))
    for i in range(count):
        fill(data.prior.covariance, thetas[i, 1 : 1 + m], L)
        sigma[i] = L @ L.T
    inside = scale * np.outer(model.z_scale, model.z_scale) + u @ u.T
    df = 5.0 + J
    for k in range(q):
        law = stats.invgamma((df - q + 1) / 2, scale=inside[k, k] / 2)
        assert stats.kstest(sigma[:, k, k], law.cdf).pvalue > SIGNIFICANCE
    error = sigma.std(axis=0) / np.sqrt(count)
    assert (np.abs(sigma.mean(axis=0) - inside / (df - q - 1)) < 4.5 * error).all()


@pytest.mark.parametrize(
    ("effects", "cor", "J"),
    [
        ("(0 + x|g)", None, 6),
        ("(0 + x + product||g)", None, 3),
        ("(0 + x + product|g)", 1.7, 6),
        ("(0 + x + product|g)", 1.7, 2),  # too few groups for an inverse-Wishart: slices
    ],
)
def test_moves_given_u_leave_the_posterior_of_psi(effects, cor, J):
    # Sigma from its prior, u given Sigma, a move, and again: Sigma has its prior still.
    own = {"sd": bg.HalfNormal(0.8)} | ({"cor": bg.LKJ(cor)} if cor else {})
    model = bg.glmm(f"y ~ 0 + within + {effects}", frame(), "poisson", priors={"g": own})
    data, rng = model.problem.data, np.random.default_rng(6)
    cov, q = data.prior.covariance, data.factor.size
    centre = centred(model)
    assert centre.column.size == 0
    draw, fill = callable_(centring.draw), callable_(covariance.fill_L)
    fill_psi = callable_(covariance.fill_psi)
    count, random = 10_000, KEY.copy()
    theta, L, v_new = np.zeros(1 + cov.row.size), np.zeros((q, q)), np.empty((q, J))
    sds, rho = np.empty((count, q)), np.empty(count)
    for i in range(count):
        sd = 0.8 * np.abs(rng.normal(size=q))
        R = np.eye(q)
        if cor:
            R[0, 1] = R[1, 0] = 2.0 * rng.beta(cor, cor) - 1.0
        L[:] = np.linalg.cholesky(np.outer(sd, sd) * np.outer(model.z_scale, model.z_scale) * R)
        fill_psi(cov, L, theta[1:])
        for _ in range(2):
            draw(data.prior, centre, L, theta, rng.normal(size=(q, J)), v_new, random)
            fill(cov, theta[1:], L)
        norms = np.sqrt((L**2).sum(axis=1))
        sds[i] = norms / model.z_scale
        if cor:
            rho[i] = L[1, 0] / norms[1]
    for k in range(q):
        assert stats.kstest(sds[:, k], stats.halfnorm(scale=0.8).cdf).pvalue > SIGNIFICANCE
    if cor:
        assert stats.kstest((rho + 1) / 2, stats.beta(cor, cor).cdf).pvalue > SIGNIFICANCE
