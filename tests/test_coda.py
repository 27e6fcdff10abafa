"""The tests and errors that R's package coda computes, of the same draws; and what has no answer.

`tests/data/coda/make.R` made the draws and coda's numbers: white noise, two autoregressions, a
chain with a trend and one with an early transient, a chain that stands still for long.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, special

import bayesglmm as bg
from bayesglmm import frames
from bayesglmm.diagnostics import autocorrelation, batch_means, spectrum
from bayesglmm.diagnostics.geweke import geweke
from bayesglmm.diagnostics.heidelberger import distribution, heidelberger
from bayesglmm.diagnostics.raftery import minimum_draws, raftery

CODA = Path(__file__).parent / "data" / "coda"
REFERENCE = json.loads((CODA / "coda.json").read_text(encoding="utf-8"))
COLUMNS = frames.read_columns(CODA / "draws.csv.gz")
NAMES = [name for name in COLUMNS if name != "chain"]
DRAWS = np.stack([COLUMNS[name].values for name in NAMES], axis=-1).reshape(2, 4000, len(NAMES))
LENGTHS = (4000, 987)
TOLERANCE = 1e-6
CHAINS = [(length, chain) for length in LENGTHS for chain in (0, 1)]


def series(length, chain):
    return DRAWS[chain, :length].T


def numbers(length, chain, test, field=None):
    """One number of coda's for every parameter; nan where it printed NA."""
    found = REFERENCE[str(length)]
    found = (found if chain is None else found[f"chain_{chain + 1}"])[test]
    values = [found[name] if field is None else found[name][field] for name in NAMES]
    return np.array([np.nan if value is None else value for value in values])


def same(ours, theirs, rtol=TOLERANCE):
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=0.0)


@pytest.mark.parametrize("length, chain", CHAINS)
def test_spectral_density_and_what_follows_of_it(length, chain):
    x = series(length, chain)
    found = spectrum.at_zero(x)
    same(found.density, numbers(length, chain, "spectrum"))
    assert list(found.order) == list(numbers(length, chain, "order"))
    same(spectrum.effective_size(x), numbers(length, chain, "ess"))
    same(spectrum.mean_error(x), numbers(length, chain, "series"))


@pytest.mark.parametrize("length, chain", CHAINS)
@pytest.mark.parametrize("test, shares", [("geweke", (0.1, 0.5)), ("geweke_2_4", (0.2, 0.4))])
def test_geweke(length, chain, test, shares):
    found = geweke(series(length, chain), *shares)
    same(found.z, numbers(length, chain, test))
    same(found.p, 2.0 * special.ndtr(-np.abs(found.z)))


HEIDELBERGER = [
    ("heidelberger", {}),
    ("heidelberger_strict", {"eps": 0.02, "level": 0.2}),
]


@pytest.mark.parametrize("length, chain", CHAINS)
@pytest.mark.parametrize("test, options", HEIDELBERGER)
def test_heidelberger_and_welch(length, chain, test, options):
    found = heidelberger(series(length, chain), **options)
    same(found.p, numbers(length, chain, test, "pvalue"))
    same(found.stationary, numbers(length, chain, test, "stest"))
    same(found.discarded + 1, numbers(length, chain, test, "start"))
    same(found.mean, numbers(length, chain, test, "mean"))
    same(found.half_width, numbers(length, chain, test, "halfwidth"))
    precise = np.where(found.stationary, found.precise, np.nan)
    same(precise, numbers(length, chain, test, "htest"))


def test_the_reference_has_chains_that_fail_and_that_are_cut():
    starts = np.concatenate([numbers(n, c, "heidelberger", "start") for n, c in CHAINS])
    assert np.isnan(starts).any() and (starts > 1).any() and (starts == 1).any()


RAFTERY = [
    ("raftery", {}),
    ("raftery_median", {"quantile": 0.5, "accuracy": 0.05, "probability": 0.9}),
    ("raftery_coarse", {"accuracy": 0.0125}),
]


@pytest.mark.parametrize("length, chain", CHAINS)
@pytest.mark.parametrize("test, options", RAFTERY)
def test_raftery_and_lewis(length, chain, test, options):
    found = raftery(series(length, chain), **options)
    if length < minimum_draws(**options):
        assert np.isnan([found.burn_in, found.total, found.dependence]).all()
        same(found.minimum, 3746.0)
        return
    for field, ours in (("M", found.burn_in), ("N", found.total), ("Nmin", found.minimum)):
        same(ours, numbers(length, chain, test, field))
    printed = [float(f"{value:.3g}") for value in found.dependence]
    same(printed, numbers(length, chain, test, "I"))


@pytest.mark.parametrize("length, chain", CHAINS)
def test_autocorrelation(length, chain):
    found = autocorrelation.autocorrelation(series(length, chain))
    for k, lag in enumerate((1, 5, 10, 50)):
        same(found[:, k], numbers(length, chain, "autocorrelation", f"Lag {lag}"))


@pytest.mark.parametrize("length", LENGTHS)
def test_batch_means(length):
    for chain in (0, 1):
        one = DRAWS[chain : chain + 1, :length]
        same(batch_means.batch_error(one), numbers(length, chain, "batch"))
        same(batch_means.batch_error(one, 25), numbers(length, chain, "batch_25"))
    same(batch_means.batch_error(DRAWS[:, :length]), numbers(length, None, "batch"))


@pytest.mark.parametrize("length", LENGTHS)
def test_the_tables_of_all_chains_together(length):
    found = bg.diagnose(DRAWS[:, :length], names=NAMES)
    same(found.ess["ess_spectral"], numbers(length, None, "ess"))
    same(found.mcse["mcse_batch"], numbers(length, None, "batch"))
    same(found.mcse["mcse_spectral"], numbers(length, None, "series"))
    for lag in (1, 5, 10, 50):
        theirs = numbers(length, None, "autocorrelation", f"Lag {lag}")
        same(found.autocorrelation[f"lag {lag}"], theirs)


# ---- what coda is no reference for ------------------------------------------------------------


def test_time_of_an_autoregression_is_its_own():
    rng = np.random.default_rng(1)
    n, rho = 60_000, np.array([0.0, 0.5, 0.9])
    x = rng.normal(size=(3, n))
    for t in range(1, n):
        x[:, t] += rho * x[:, t - 1]
    same(autocorrelation.time(x), (1 + rho) / (1 - rho), rtol=0.1)


def test_distribution_is_that_of_the_integrated_squared_bridge():
    # The integral is sum_k N_k^2 / (k pi)^2: its mean is 1/6, its variance 1/45.
    mean, _ = integrate.quad(lambda x: 1 - distribution(np.array(x)), 0, 8)
    square, _ = integrate.quad(lambda x: 2 * x * (1 - distribution(np.array(x))), 0, 8)
    same(mean, 1 / 6, rtol=1e-7)
    same(square - mean**2, 1 / 45, rtol=1e-6)
    # Anderson and Darling (1952), table 1.
    same(distribution(np.array([0.11888, 0.34730, 0.46136, 0.74346])), [0.5, 0.9, 0.95, 0.99], 1e-5)
    assert distribution(np.array([0.0, -1.0])).tolist() == [0.0, 0.0]


def test_independent_chains_pass_as_often_as_they_should():
    x = np.random.default_rng(2).normal(size=(2000, 400))
    assert 0.03 < (geweke(x).p < 0.05).mean() < 0.08
    first = heidelberger(x)
    assert 0.03 < (first.discarded != 0).mean() < 0.07
    assert 0.002 < (~first.stationary).mean() < 0.016  # FALSE_ALARMS of the notes


ODD = {
    "constant": np.full(500, 3.0),
    "straight": np.arange(500.0),
    "infinite": np.where(np.arange(500) == 7, np.inf, 1.0),
    "missing": np.where(np.arange(500) == 7, np.nan, 1.0),
}


@pytest.mark.parametrize("name", ODD)
def test_series_that_have_no_answer_say_nan(name):
    x = np.stack([ODD[name], np.random.default_rng(3).normal(size=500)])
    options = {"quantile": 0.5, "accuracy": 0.1}
    found = [*geweke(x), *raftery(x, **options)[:2], *heidelberger(x)[1:6]]
    found += [autocorrelation.time(x), *autocorrelation.autocorrelation(x).T]
    for values in found:
        assert not np.isnan(values[1])
    for values in (found[0], found[2]):
        assert np.isnan(values[0])
    # A straight line has autocorrelations.
    assert np.isnan([values[0] for values in found[-5:]]).all() == (name != "straight")
    assert not heidelberger(x).stationary[0]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 9])
def test_hardly_any_draws_are_no_error(length):
    x = np.random.default_rng(4).normal(size=(3, length))
    raftery(x)
    heidelberger(x)
    geweke(x)
    autocorrelation.time(x)
    autocorrelation.autocorrelation(x)
    spectrum.effective_size(x)
    batch_means.batch_error(x[:, :, None])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: geweke(x, 0.6, 0.5),
        lambda x: geweke(x, 0.0, 0.5),
        lambda x: heidelberger(x, eps=0.0),
        lambda x: heidelberger(x, level=1.0),
        lambda x: raftery(x, quantile=0.0),
        lambda x: raftery(x, accuracy=0.0),
        lambda x: autocorrelation.autocorrelation(x, [-1]),
        lambda x: autocorrelation.autocorrelation(x, [1.5]),
        lambda x: batch_means.batch_error(x[None].transpose(0, 2, 1), 0),
    ],
)
def test_impossible_settings_are_refused(call):
    with pytest.raises(ValueError):
        call(np.random.default_rng(5).normal(size=(2, 100)))
