"""Each check of `bayesglmm verify` fails when the part of the package that it checks is broken."""

from dataclasses import replace

import numpy as np
import pytest

from bayesglmm import verification
from bayesglmm.errors import LoadError
from bayesglmm.model import glmm
from bayesglmm.priors import Normal

sample, bind, logdensity = verification._sample, verification.families.bind, verification.logdensity
load, load_columns, rhat = verification.load, verification.load_columns, verification.rhat


def loglik_off_by_1e_9(family):
    def rows(mode, eta, y, w, phi, a, *others):
        bind(family)(mode, eta, y, w, phi, a, *others)
        a *= 1.0 + 1e-9

    return rows


def gradient_off_by_1e_5(rows, data, map, position, gradient):
    value = logdensity(rows, data, map, position, gradient)
    gradient[0] += 1e-5 * np.abs(gradient).max()
    return value


def no_jacobian_of_a_log_sd(rows, data, map, position, gradient):
    covariance = data.prior.covariance
    first = data.obs.X.shape[0] + int(np.flatnonzero(covariance.row == covariance.col)[0])
    return logdensity(rows, data, map, position, gradient) - position[first]


def one_case_more(name):
    columns = load_columns(name)
    response = {"cbpp": "incidence", "sleepstudy": "Reaction", "epil": "y"}[name]
    y = columns[response].values.astype(float)
    y[3] += {"cbpp": 1.0, "sleepstudy": 20.0, "epil": 25.0}[name]
    return columns | {response: replace(columns[response], values=y)}


def wider_prior(model, sampler, draws, jobs=None):
    response = model.design.response
    wider = glmm(
        "y | se(se) ~ 1",
        {"y": response.y, "se": response.se},
        priors={"Intercept": Normal(0.0, 7.0)},
    )
    return sample(wider, sampler, draws, jobs)


def gibbs_of_other_data(model, sampler, draws, jobs=None):
    if sampler == "gibbs":
        formula = "incidence | trials(size) ~ period + (1 | herd)"
        model = glmm(formula, one_case_more("cbpp"), "binomial")
    return sample(model, sampler, draws, jobs)


def seed_of_threads(model, sampler, draws, jobs=None):
    seed = 20 if jobs == 1 else 21
    return model.sample(
        draws=draws, warmup=500, chains=4, seed=seed, sampler=sampler, jobs=jobs, progress=False
    )


class Careless:
    """Loads a damaged file as what was there before."""

    def __init__(self):
        self.last = None

    def __call__(self, path):
        try:
            self.last = load(path)
        except LoadError:
            pass
        return self.last


BREAKS = {
    "log likelihoods, scipy": ("families.bind", loglik_off_by_1e_9),
    "gradient, differences": ("logdensity", gradient_off_by_1e_5),
    "covariance prior, formula": ("logdensity", no_jacobian_of_a_log_sd),
    "Laplace fit, glmmTMB": ("load_columns", one_case_more),
    "REML fit, lme4": ("load_columns", one_case_more),
    "posterior, closed form": ("_sample", wider_prior),
    "posterior, long run of Stan": ("load_columns", one_case_more),
    "posterior, two samplers": ("_sample", gibbs_of_other_data),
    "draws repeat": ("_sample", seed_of_threads),
    "files": ("load", Careless()),
    "R-hat and ESS, ArviZ": ("rhat", lambda draws: rhat(draws) * (1.0 + 1e-7)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_part_fails_its_check(name, monkeypatch):
    check = verification.CHECKS[name]
    monkeypatch.setattr(verification, "CHECKS", {name: check})
    place, broken = BREAKS[name]
    monkeypatch.setattr(f"bayesglmm.verification.{place}", broken)
    found = verification.verify()
    assert not found.ok
    assert f"FAILED  {name}" in str(found) and "1 of 1 FAILED" in str(found)
    assert "Error" not in found.checks[0].found  # it failed by its numbers
    assert found.record()["ok"] is False
    assert {"bayesglmm", "numpy", "numba", "scipy", "python"} <= found.record()["versions"].keys()


def test_every_check_has_been_broken():
    assert set(BREAKS) == set(verification.CHECKS) and len(BREAKS) >= 8
