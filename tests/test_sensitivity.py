"""Priors at the draws against the density the samplers use; sensitivity where it must show."""

import numpy as np
import pandas as pd
import pytest
import results
from kernels import callable_

import bayesglmm as bg
from bayesglmm import covariance, sensitivity
from bayesglmm.density import theta_logprior


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(8), 5)
    x = rng.normal(size=g.size)
    y = rng.gamma(2.0, np.exp(0.4 + 0.3 * x) / 2.0)
    return pd.DataFrame({"y": y, "x": x, "g": [f"g{k}" for k in g]})


CASES = {
    "LKJ": ("(x | g)", {"cor": bg.LKJ(2.5), "sd": bg.HalfStudentT(3, 2)}),
    "uncorrelated": ("(x || g)", {"sd": bg.Exponential(1.5)}),
    "inverse-Wishart": ("(x | g)", {"g": bg.InverseWishart(6, [[1.0, 0.2], [0.2, 2.0]])}),
    "Huang-Wand": ("(x | g)", {"g": bg.HuangWand((1.0, 2.0), 3.0)}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_prior_on_the_users_scale_is_the_samplers_without_its_jacobian(case):
    effects, priors = CASES[case]
    shape = bg.InverseSqrt(bg.HalfNormal(0.7))
    model = bg.glmm(f"y ~ x + {effects}", frame(), "gamma", priors={**priors, "shape": shape})
    data = model.problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    wishart = case in ("inverse-Wishart", "Huang-Wand")
    density, fill = callable_(theta_logprior), callable_(covariance.fill_L)

    def user(theta):
        made = model.to_user(theta, None)
        sd, cor = made["sd"], made["cor"]
        variances = [sd[0] ** 2, np.prod(sd) * cor[0], sd[1] ** 2] if wishart else [*sd, *cor]
        return np.array([*made["beta"], *variances, made["shape"]])

    rng, differences = np.random.default_rng(3), []
    for _ in range(4):
        theta = 0.5 * rng.normal(size=p + m + 1)
        L = np.zeros((2, 2))
        fill(data.prior.covariance, theta[p : p + m], L)
        step = 1e-6
        J = [
            (user(theta + step * e) - user(theta - step * e)) / (2 * step)
            for e in np.eye(p + m + 1)
        ]
        values = {
            k: np.asarray(v)[None, None] for k, v in model.to_user(theta, None).items() if k != "u"
        }
        post = results.posterior(model, np.zeros(2), np.eye(2))
        post.values.update(values)
        own = sensitivity.log_prior(post)[0, 0]
        differences.append(density(data.prior, theta, L) - own - np.linalg.slogdet(np.array(J))[1])
    np.testing.assert_allclose(differences, differences[0], atol=1e-5)


def test_a_prior_that_decides_is_named():
    """A tight prior far from the data conflicts with them; a wide one does not matter."""
    data = frame()
    tight = bg.glmm("y ~ x + (1 | g)", data, "gamma", priors={"x": bg.Normal(-1.0, 0.1)})
    made = tight.sample(seed=2, draws=500, progress=False).sensitivity()
    assert made.loc["x", "prior"] > 0.2
    assert made.loc["x", "diagnosis"] != "✓"
    wide = bg.glmm("y ~ x + (1 | g)", data, "gamma", priors={"x": bg.Normal(0.0, 10.0)})
    made = wide.sample(seed=2, draws=500, progress=False).sensitivity()
    assert made.loc["x", "prior"] < 0.02
    assert made.loc["x", "likelihood"] > 0.05
