"""Diagnostics of draws against ArviZ's own, column by column."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy.special import ndtri

from bayesglmm._jit import ENABLED
from bayesglmm.diagnostics import columns, compiled, energy, ess, mcse, measured, rhat
from bayesglmm.diagnostics.normal import CENTRE, EDGE, normal_quantile

TAILS = (0.05, 0.95)


def ar1(seed: int, coefficient: float, chains: int, draws: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((chains, draws))
    for t in range(1, draws):
        noise[:, t] += coefficient * noise[:, t - 1]
    return noise


def cases() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    shifted = rng.standard_normal((4, 400))
    shifted[2] += 1.5
    scaled = rng.standard_normal((4, 400))
    scaled[1] *= 4.0
    return {
        "independent": rng.standard_normal((4, 500)),
        "sticky": ar1(1, 0.97, 4, 600),
        "autocorrelated": ar1(2, 0.5, 3, 333),
        "antithetic": ar1(3, -0.7, 4, 500),
        "antithetic, odd": ar1(4, -0.95, 2, 251),
        "one chain apart": shifted,
        "one chain wider": scaled,
        "heavy tails": rng.standard_cauchy((4, 300)),
        "ties": np.repeat(rng.standard_normal((4, 100)), 5, axis=1),
        "integers": rng.poisson(1.0, (4, 401)).astype(float),
        "two values": (rng.random((4, 300)) < 0.02).astype(float),
        "short": rng.standard_normal((2, 5)),
        "very short": rng.standard_normal((2, 4)),
        "seven": rng.standard_normal((3, 7)),
        "tiny scale": 1e-9 * rng.standard_normal((4, 200)) + 3.0,
        "drifting": np.linspace(0.0, 1.0, 200)[None] + 0.01 * rng.standard_normal((4, 200)),
        "constant": np.full((4, 100), 0.1),
        "with a NaN": np.where(np.arange(400).reshape(4, 100) == 37, np.nan, 1.0),
    }


CASES = cases()

MEASURES = {
    "rhat": (rhat.rhat, lambda x: array_stats.rhat(x, method="rank")),
    "bulk": (ess.ess_bulk, lambda x: array_stats.ess(x, method="bulk")),
    "tail": (ess.ess_tail, lambda x: array_stats.ess(x, method="tail", prob=TAILS)),
    "mean": (ess.ess_mean, lambda x: array_stats.ess(x, method="mean")),
    "mcse": (mcse.mcse_mean, lambda x: array_stats.mcse(x, method="mean")),
    "mcse 5%": (
        lambda x: mcse.mcse_quantile(x, 0.05),
        lambda x: array_stats.mcse(x, method="quantile", prob=0.05),
    ),
    "mcse median": (
        lambda x: mcse.mcse_quantile(x, 0.5),
        lambda x: array_stats.mcse(x, method="quantile", prob=0.5),
    ),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # ArviZ divides by zero on constant draws
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("case", CASES)
def test_equals_arviz(case, measure):
    ours, theirs = MEASURES[measure]
    draws = CASES[case]
    if case == "constant" and measure == "rhat":
        assert np.isnan(ours(draws[:, :, None])[0])  # ArviZ: rounding of 0 / 0
        return
    np.testing.assert_allclose(
        ours(draws[:, :, None])[0], float(theirs(draws)), rtol=1e-12, atol=1e-13
    )


@pytest.mark.skipif(not ENABLED, reason="for compiled code")
@pytest.mark.parametrize("case", CASES)
def test_compiled_code_measures_the_same(case, monkeypatch):
    # In the midst of others, so that no column has another's remains.
    rng = np.random.default_rng(11)
    others = rng.standard_normal((*CASES[case].shape, 19))
    draws = np.insert(others, [0, 8, 19], CASES[case][:, :, None], axis=2)
    monkeypatch.setattr(measured, "_compiled", lambda columns: False)
    plain = measured.measure(draws)
    monkeypatch.setattr(measured, "_compiled", lambda columns: True)
    monkeypatch.setattr(compiled, "SHARE", 5)
    for ours, theirs in zip(measured.measure(draws), plain, strict=True):
        np.testing.assert_allclose(ours.astype(float), theirs.astype(float), rtol=1e-12)


@pytest.mark.skipif(not ENABLED, reason="for compiled code")
def test_compiled_code_is_taken_where_it_takes_less_time(monkeypatch):
    there = False
    entry = type(compiled.measure_columns)
    monkeypatch.setattr(entry, "cached", property(lambda self: there))
    monkeypatch.setattr(measured.Tally, "plain", 0)
    monkeypatch.setattr(measured.Tally, "loaded", False)
    few, some = np.random.default_rng(1).standard_normal((2, 2, 10, measured.FEW))
    measured.measure(few)
    assert measured.Tally.plain == measured.FEW and not measured.Tally.loaded
    there = True
    measured.measure(few[:, :, :-1])
    assert not measured.Tally.loaded
    measured.measure(some)
    assert measured.Tally.loaded and measured.Tally.plain == 2 * measured.FEW - 1
    monkeypatch.setattr(measured.Tally, "loaded", False)
    there = False
    measured.measure(np.repeat(few, measured.MANY // measured.FEW, axis=2))
    assert measured.Tally.loaded


@pytest.mark.skipif(not ENABLED, reason="for compiled code")
@pytest.mark.parametrize("kind", ["outlier", "near", "leading", "many"])
def test_any_draws_are_sorted(kind):
    """What the digits that are sorted by do not tell apart: far outliers, draws close together."""
    rng = np.random.default_rng(8)
    draws = rng.standard_normal((4, 500, 3))
    if kind == "outlier":
        draws[1, 7] = -1e300
    elif kind == "near":
        draws = 1e9 + 1e-6 * draws
    elif kind == "leading":
        draws = 1.0 + 1e-12 * draws
        draws[2, 3] = 0.0
    else:
        draws = np.tile(draws, (1, 30, 1)) + 1e-9 * rng.standard_normal((4, 15_000, 3))
    out = compiled.measured(draws, 1)
    found = rhat.convergence(draws)
    kept = out[compiled.LEFT] == 0.0
    assert kind == "many" or kept.all()
    np.testing.assert_allclose(out[compiled.R_HAT][kept], found.r_hat[kept], rtol=1e-12)
    np.testing.assert_allclose(out[compiled.TAIL][kept], found.ess_tail[kept], rtol=1e-12)


@pytest.mark.skipif(not ENABLED, reason="for compiled code")
def test_few_columns_are_left_to_the_fourier_transform():
    rng = np.random.default_rng(12)
    draws = 5.0 * rng.standard_normal((4, 1000, 1000)) ** 3
    out = compiled.measured(draws, 2)
    assert not out[compiled.LEFT].any()
    sticky = np.cumsum(draws[:, :, :4], axis=1)
    assert compiled.measured(sticky, 2)[compiled.LEFT].all()
    np.testing.assert_allclose(out[compiled.BULK], ess.ess_bulk(draws), rtol=1e-12)


@pytest.mark.parametrize("length", [500, 501])
def test_one_pass_equals_the_single_measures_in_any_blocks(monkeypatch, length):
    rng = np.random.default_rng(3)
    draws = rng.standard_normal((4, length, 3, 5))
    draws[:, :, 1, 2] = 4.0
    draws[2, 7, 0, 0] = np.inf
    whole = rhat.convergence(draws)
    monkeypatch.setattr(columns, "BLOCK_ELEMENTS", 4 * length * 2)
    for result in (whole, rhat.convergence(draws)):
        assert result.r_hat.shape == (3, 5)
        np.testing.assert_array_equal(result.r_hat, rhat.rhat(draws))
        np.testing.assert_array_equal(result.ess_bulk, ess.ess_bulk(draws))
        np.testing.assert_array_equal(result.ess_tail, ess.ess_tail(draws))
    assert np.isnan(whole.r_hat[1, 2]) and whole.ess_bulk[1, 2] == 4 * (length // 2 * 2)
    assert np.isnan(whole.ess_tail[0, 0])


def test_one_chain_is_judged_by_its_halves():
    rng = np.random.default_rng(5)
    still = rng.standard_normal((1, 1000, 1))
    trend = still + np.linspace(0.0, 3.0, 1000)[None, :, None]
    assert rhat.rhat(still)[0] < 1.01 < 1.2 < rhat.rhat(trend)[0]


def test_ess_of_ar1_is_its_closed_form():
    coefficient = 0.6
    draws = np.stack([ar1(seed, coefficient, 4, 5000) for seed in range(20)], axis=2)
    exact = 20_000 * (1.0 - coefficient) / (1.0 + coefficient)
    assert abs(ess.ess_mean(draws).mean() / exact - 1.0) < 0.05


def test_too_few_draws_or_dimensions():
    assert np.isnan(rhat.rhat(np.ones((4, 3, 2)))).all()
    assert rhat.convergence(np.ones((4, 10, 0))).r_hat.shape == (0,)
    with pytest.raises(ValueError, match="chains, draws"):
        rhat.rhat(np.ones(4))


def test_ebfmi():
    rng = np.random.default_rng(9)
    good = rng.standard_normal((3, 2000))
    slow = np.cumsum(good, axis=1)
    np.testing.assert_allclose(energy.ebfmi(good), 2.0, rtol=0.1)
    assert (energy.ebfmi(slow) < 0.3).all()
    assert np.isnan(energy.ebfmi(np.ones((2, 50)))).all()
    np.testing.assert_allclose(energy.ebfmi(slow), array_stats.bfmi(slow), rtol=1e-12)


@pytest.mark.parametrize("least", [1, 2, 7, 11, 999, 1001, 2000, 8193])
def test_fast_length(least):
    length = ess._fast_length(least)
    rest = length
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1 and least <= length <= max(least + 2, int(1.15 * least))


def test_normal_quantile_is_scipys():
    borders = [0.5 - CENTRE, 0.5 + CENTRE, np.exp(-(EDGE**2))]
    p = np.concatenate([np.linspace(0.001, 0.999, 999), 10.0 ** np.arange(-300.0, -1.0), borders])
    p = np.concatenate([p, np.nextafter(p, 0.0), np.nextafter(p, 1.0)])
    np.testing.assert_allclose(normal_quantile(p), ndtri(p), rtol=4e-15, atol=1e-16)
    small = 2.0 ** -np.arange(2.0, 50.0)
    np.testing.assert_array_equal(normal_quantile(1.0 - small), -normal_quantile(small))
