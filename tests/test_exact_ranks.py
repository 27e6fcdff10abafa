"""Every step of every sampler passes an exact test; broken copies do not."""

import exact_ranks
import numpy as np
import pytest
from broken_ranks import BROKEN
from exact_ranks import LENGTH, PARTS, inside, red
from general_cases import CENTRED, CROSSED_THREE, LKJ_THREE, NESTED_WISHART, RANKED, SWEPT
from joint import LARGEST_Z, package
from joint_crossed import SAMPLERS
from mutants import plain_copy

CHAINS = 150  # of each test here; `python -m diagnostics.exact_ranks` has 2,000
QUICK = 3  # broken copies that are quickest to see
# Each part once. The functions of the crossed sampler are called by themselves, as plain Python:
# to compile them apart from their sampler takes ten times as long as to run them.
SHORT = list({part: case for part, case in reversed(RANKED)}.items())


def name(value: object) -> str:
    return str(getattr(value, "name", value))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return plain_copy(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(("part", "case"), SHORT, ids=name)
@pytest.mark.filterwarnings("ignore::bayesglmm.errors.DataWarning")
def test_ranks_are_uniform(part, case, plain):
    load = plain if part.startswith("crossed") else package
    _, functions, found = red(exact_ranks.ranks, case, PARTS[part], chains=CHAINS, load=load)
    assert functions >= 3, "the part has moved nothing"
    assert found == {}


@pytest.mark.slow
@pytest.mark.parametrize(("part", "case"), RANKED, ids=name)
@pytest.mark.filterwarnings("ignore::bayesglmm.errors.DataWarning")
def test_ranks_of_all_parts_and_models_are_uniform(part, case):
    assert red(exact_ranks.ranks, case, PARTS[part], chains=1000)[2] == {}


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "case"), SWEPT, ids=name)
def test_sweeps_lead_from_draw_to_draw(sampler, case):
    assert red(exact_ranks.moved, case, SAMPLERS[sampler], chains=1000)[2] == {}


@pytest.mark.parametrize("broken", BROKEN[:QUICK], ids=name)
def test_broken_copies_are_caught(broken):
    assert max(map(abs, broken.deviations().values())) > LARGEST_Z


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN[QUICK:], ids=name)
def test_all_broken_copies_are_caught(broken):
    assert max(map(abs, broken.deviations().values())) > LARGEST_Z


@pytest.mark.parametrize("case", [LKJ_THREE, CENTRED, NESTED_WISHART, CROSSED_THREE], ids=name)
def test_draws_from_the_priors_are_those_of_the_package(case):
    # To the scale inside and back; and eta by the package is that of the frame.
    model, rng = case.model(), np.random.default_rng(4)
    prior = case.prior(rng, 50)
    theta, u = inside(case, model, prior, package)
    values = model.to_user(theta, u)
    for key in ("beta", "sd", "cor"):
        np.testing.assert_allclose(values[key], prior[key], rtol=1e-9, atol=1e-9)
    data = model.problem.data
    own = data.obs.offset + theta[:, : data.obs.X.shape[0]] @ data.obs.X
    for k, f in enumerate(data.factor):
        own = own + data.obs.Z[k] * u[:, data.effect[k] + data.level[f]]
    row = np.argmax(data.obs.offset[:, None] == case.frame.w.to_numpy(), axis=1)
    np.testing.assert_allclose(own, case.eta_of(prior)[:, row], atol=1e-9)


def test_a_rank_that_is_never_the_first_is_seen():
    # Chains that forget where they began, at something else than the posterior.
    class Elsewhere:
        def __init__(self, model, load):
            self.data, self.rng = model.problem.data, np.random.default_rng(1)

        def begin(self, theta, u):
            self.at = theta, u

        def step(self):
            theta, u = self.at
            return theta + 0.3 * self.rng.normal(size=theta.size) ** 2, u

    found = exact_ranks.ranks(CENTRED, Elsewhere, chains=400, length=LENGTH)
    assert found["beta0"] < 1e-20 and "h00" not in found
