"""The nested pair move: what it holds, that it leaves the prior as it is, and its closed forms."""

import numpy as np
import pytest
from kernels import callable_
from scipy import stats

from bayesglmm import covariance, priors
from bayesglmm._random import keys
from bayesglmm.conditionals import nested

PARENT_OF = np.array([0, 0, 0, 1, 1, 2, 0, 2, 1], dtype=np.int32)
PARENTS = 4  # one has no children
REPLICATES = 10_000
SD = (priors.HalfNormal(1.0),)
CASES = {
    "one sd each": [covariance.Block(1, sd=SD), covariance.Block(1, sd=SD)],
    "slopes, LKJ": [covariance.Block(2, sd=SD * 2, eta=2.0) for _ in range(2)],
    "slopes, uncorrelated": [covariance.Block(2, False, sd=SD * 2) for _ in range(2)],
    "slopes, inverse-Wishart": [
        covariance.Block(2, sigma=priors.InverseWishart(8.0, np.eye(2))) for _ in range(2)
    ],
}


def steps() -> np.ndarray:
    return np.array([[0.7, 0.0, 0.0]] * nested.KINDS)


def prior_factor(block, rng) -> np.ndarray:
    """Cholesky factor of a covariance drawn from the prior of a term."""
    if block.sigma is not None:
        drawn = stats.invwishart(block.sigma.df, block.sigma.scale).rvs(random_state=rng)
        return np.linalg.cholesky(drawn)
    R = np.eye(block.size)
    if block.correlated and block.size == 2:
        R[0, 1] = R[1, 0] = 2.0 * rng.beta(block.eta, block.eta) - 1.0
    return np.abs(rng.normal(size=block.size))[:, None] * np.linalg.cholesky(R)


@pytest.mark.parametrize("case", CASES)
def test_the_move_leaves_the_prior_and_the_linear_predictor_as_they_are(case):
    """Effects drawn given psi of the prior: after the move both still follow the prior."""
    cov = covariance.build(CASES[case], np.ones(sum(b.size for b in CASES[case])))
    q = cov.z_scale.size // 2
    rng = np.random.default_rng(4)
    move = callable_(nested.move)
    random = keys(11, 1)[0]
    before, after, moved = [], [], 0
    L = np.zeros((2 * q, 2 * q))
    for _ in range(REPLICATES):
        L[:q, :q], L[q:, q:] = (prior_factor(block, rng) for block in CASES[case])
        psi = covariance.coordinates(cov, L)
        child = L[:q, :q] @ rng.normal(size=(q, PARENT_OF.size))
        parent = L[q:, q:] @ rng.normal(size=(q, PARENTS))
        before.append(functions(psi, child, parent))
        eta, start = child + parent[:, PARENT_OF], psi.copy()
        move(cov, 0, q, q, PARENT_OF, child, parent, psi, L, steps(), random)
        np.testing.assert_allclose(child + parent[:, PARENT_OF], eta, atol=1e-9)
        after.append(functions(psi, child, parent))
        moved += not np.array_equal(psi, start)
    assert moved > 0.5 * REPLICATES
    z = paired(np.array(before), np.array(after))
    assert np.abs(z).max() < 4.5, z.round(1)


def functions(psi, child, parent) -> np.ndarray:
    """What is compared: psi, and scale-free and mixed functions of the effects."""
    square = np.log1p((child**2).mean(axis=1)), np.log1p((parent**2).mean(axis=1))
    return np.concatenate(
        [
            psi,
            np.tanh(psi) ** 2,
            *square,
            np.tanh(child[:, 0]) * np.tanh(parent[:, 0]),
            np.tanh(parent[:, 3]) ** 2,
            psi[:1] * np.tanh(psi[-1:]),
            square[0][:1] * square[1][:1],
        ]
    )


def paired(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    change = after - before
    return change.mean(axis=0) / (change.std(axis=0) / np.sqrt(len(change)))


def test_one_parent_follows_its_closed_form():
    """Steps of 0 keep psi: the parents' effects are then the Normal of a one-way layout."""
    cov = covariance.build(CASES["one sd each"], np.ones(2))
    psi = np.log([0.6, 1.3])
    L = np.diag(np.exp(psi))
    s = np.random.default_rng(2).normal(size=PARENT_OF.size)
    move, random = callable_(nested.move), keys(5, 1)[0]
    still, draws = np.zeros((nested.KINDS, 3)), np.empty((4000, PARENTS))
    for i in range(len(draws)):
        child, parent = s[None].copy(), np.zeros((1, PARENTS))
        move(cov, 0, 1, 1, PARENT_OF, child, parent, psi, L, still, random)
        draws[i] = parent[0]
    count = np.bincount(PARENT_OF, minlength=PARENTS)
    precision = count / 0.6**2 + 1 / 1.3**2
    mean = np.bincount(PARENT_OF, s, PARENTS) / 0.6**2 / precision
    for g in range(PARENTS):
        assert stats.kstest(draws[:, g], "norm", (mean[g], precision[g] ** -0.5)).pvalue > 1e-4
