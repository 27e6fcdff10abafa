"""The verdict as a warning: one, at the user's line, where and only where the verdict says no."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm import chains, sampling, warned
from bayesglmm.cli import NOT_CONVERGED, main
from bayesglmm.posterior import Posterior

GOOD = {"draws": 400, "warmup": 300, "seed": 1, "progress": False}
SHORT = {"draws": 20, "warmup": 200, "seed": 1, "progress": False}
ANY = pytest.mark.filterwarnings("always::bayesglmm.ConvergenceWarning")
ERROR = pytest.mark.filterwarnings("error::bayesglmm.ConvergenceWarning")


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(15), 10)
    x = rng.normal(size=150)
    y = rng.poisson(np.exp(0.5 + 0.3 * x + 0.4 * rng.normal(size=15)[g]))
    return bg.glmm("y ~ x + (1 | g)", pd.DataFrame({"x": x, "g": g, "y": y}), "poisson")


def only(heard) -> warnings.WarningMessage:
    """The one warning, which points here."""
    (one,) = heard
    assert one.filename == __file__ and one.category is bg.ConvergenceWarning
    return one


@ANY
@pytest.mark.parametrize("sampler", ["gibbs", "nuts", "classical"])
def test_draws_that_have_not_converged_warn(model, sampler):
    with pytest.warns(bg.ConvergenceWarning) as heard:
        post = model.sample(**SHORT, sampler=sampler)
    text, verdict = str(only(heard).message), post.verdict
    assert not verdict.ok and text == verdict.warning and len(text.splitlines()) == 2
    assert text.startswith("NOT converged: ")
    for item in verdict.items:
        assert item.finding in text and item.remedy in text
    assert text.count("sample longer") == 1
    assert heard[0].message.posterior is post


@ERROR
def test_good_draws_do_not(model):
    post = model.sample(**GOOD)
    assert post.verdict.ok and post.verdict.warning == ""
    assert post.extend(10, progress=False).verdict.ok


@ERROR
def test_where_warnings_are_errors_the_draws_are_in_them(model):
    with pytest.raises(bg.ConvergenceWarning) as caught:
        model.sample(**SHORT)
    post = caught.value.posterior
    assert post.draws == 20 and not post.verdict.ok
    with pytest.raises(bg.ConvergenceWarning) as caught:
        post.extend(5, progress=False)
    assert caught.value.posterior.draws == 25
    assert post.extend(800, progress=False).verdict.ok  # the whole is what is judged


@ANY
@pytest.mark.parametrize("bad", [True, False])
def test_effects_whose_draws_are_not_in_memory(model, bad, tmp_path):
    for keep in ({"keep": "summary"}, {"keep": "stream", "stream": tmp_path / "u.nc"}):
        with warnings.catch_warnings(record=True) as heard:
            post = model.sample(**(SHORT if bad else GOOD), **keep)
        assert post.verdict.ok is not bad and len(heard) == bad
        assert all(str(one.message) == post.verdict.warning for one in heard)


@ANY
def test_what_is_large_is_not_read_back(model, monkeypatch, tmp_path):
    def read(post):
        raise AssertionError("draws of effects were read")

    with monkeypatch.context() as only_here:
        only_here.setattr(warned, "MOST_READ", 8 * 4 * 20 * 15 - 1)
        only_here.setattr(Posterior, "effect_blocks", read)
        with pytest.warns(bg.ConvergenceWarning) as heard:
            post = model.sample(**SHORT, keep="stream", stream=tmp_path / "u.nc")
    assert not post.verdict.ok and "tail ESS of" in str(only(heard).message)
    assert str(heard[0].message) != post.verdict.warning
    monkeypatch.setattr(warned, "MOST_READ", 8 * 4 * 20 * 15)
    with pytest.warns(bg.ConvergenceWarning) as heard:
        model.sample(**SHORT, keep="stream", stream=tmp_path / "v.nc")
    assert str(heard[0].message) == post.verdict.warning


def changed(monkeypatch, change) -> None:
    """Let the chains of runs be changed before anything sees them."""
    real = chains.run
    monkeypatch.setattr(sampling.chain_runner, "run", lambda *a, **k: change(real(*a, **k)))


@ANY
def test_a_stuck_chain(model, monkeypatch):
    def stuck(draws):
        draws.theta[2, :, 1] = np.median(draws.theta[:, :, 1])
        return draws

    changed(monkeypatch, stuck)
    with pytest.warns(bg.ConvergenceWarning, match="number of parameters that never moved of x"):
        model.sample(**GOOD)


@ANY
@pytest.mark.parametrize("length", [0, 1, 30])
def test_an_interrupted_run(model, monkeypatch, length):
    def stopped(draws):
        stats = {name: values[:, :length] for name, values in draws.stats.items()}
        theta, u = draws.theta[:, :length], draws.u[:, :length]
        return replace(draws, theta=theta, u=u, stats=stats, interrupted=True)

    changed(monkeypatch, stopped)
    with pytest.warns(bg.ConvergenceWarning) as heard:
        post = model.sample(**GOOD)
    assert post.run.interrupted and post.draws == length
    assert str(only(heard).message) == post.verdict.warning


@ERROR
def test_an_interruption_while_draws_are_judged_keeps_them(model, monkeypatch):
    def verdict(post):
        raise KeyboardInterrupt

    with monkeypatch.context() as only_here:
        only_here.setattr(Posterior, "verdict", property(verdict))
        post = model.sample(**SHORT)
    assert post.run.interrupted and post.draws == 20 and not post.verdict.ok


@ANY
def test_the_second_sampler_of_a_crosscheck_warns_at_the_users_line(model):
    post = model.sample(**GOOD)
    with pytest.warns(bg.ConvergenceWarning) as heard:
        post.crosscheck(draws=20, warmup=10, progress=False)
    only(heard)


@ANY
def test_the_command_line_says_it_once(model, monkeypatch, capsys):
    def failed(draws):
        warnings.warn("chain 5 failed", bg.ConvergenceWarning, stacklevel=2)
        return draws

    changed(monkeypatch, failed)
    arguments = ["sample", "epilepsy", "seizures ~ treat + (1|id)", "--family", "poisson"]
    assert main([*arguments, "--draws", "20", "--warmup", "10", "--seed", "1"]) == NOT_CONVERGED
    out, err = capsys.readouterr()
    assert out.count("NOT converged") == 1
    assert err == "warning: chain 5 failed\n"  # which is nowhere else
