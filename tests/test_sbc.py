"""Simulation-based calibration: its statistic, its replicates, and the rule by which it judges."""

import itertools
import json
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bayesglmm import families

# Last on the path: the package itself is the one that is installed.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from diagnostics import sbc, sbc_mutants, sbc_quick, sbc_ranks, sbc_runs
from diagnostics.report import Report
from diagnostics.sbc_cells import BY_NAME, CELLS, LKJ
from diagnostics.sbc_runs import Key, Line

CELL = f"gaussian, 1|g, {LKJ}"


def test_p_value_is_that_of_every_pair_of_ranks():
    """All 10,000 pairs of two ranks are as likely: p is the share that is as far off."""
    pairs = np.array(list(itertools.product(range(100), repeat=2)))
    found = np.array([sbc_ranks.gamma(pair) for pair in pairs])
    for level in np.quantile(found, [0.0, 0.01, 0.1, 0.5]):
        share = np.mean(found <= level * sbc_ranks.SAME)
        assert sbc_ranks.p_of(2, float(level)) == pytest.approx(share, abs=1e-9)


def test_p_value_is_uniform_for_uniform_ranks():
    rng = np.random.default_rng(1)
    p = np.array([sbc_ranks.p_value(rng.integers(100, size=40)) for _ in range(800)])
    for alpha in (0.01, 0.1, 0.5):
        assert np.mean(p <= alpha) <= alpha + 4.0 * np.sqrt(alpha * (1.0 - alpha) / p.size)
        assert np.mean(p <= alpha) >= 0.8 * alpha - 4.0 * np.sqrt(alpha / p.size)


def test_gamma_is_the_smallest_two_sided_binomial_tail():
    ranks = np.array([3, 3, 10, 55, 56, 80, 81, 82, 83, 99])
    z = np.arange(1, 100) / 100.0
    below = np.array([(ranks < i).sum() for i in range(1, 100)])
    low, high = stats.binom.cdf(below, 10, z), stats.binom.sf(below - 1, 10, z)
    assert sbc_ranks.gamma(ranks) == pytest.approx(2.0 * np.minimum(low, high).min(), rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_band_holds_curves_that_are_not_red(shift):
    rng = np.random.default_rng(2)
    low, high = sbc_ranks.band(200, 0.05)
    z = np.arange(1, 100) / 100.0
    inside = []
    for _ in range(30):
        ranks = np.floor(100 * stats.norm.cdf(rng.normal(shift, 1.0, 200))).astype(int)
        curve = sbc_ranks.counts(ranks) / 200 - z
        inside.append(bool(np.all((low - 1e-12 <= curve) & (curve <= high + 1e-12))))
        assert inside[-1] == (sbc_ranks.p_value(ranks) > 0.05)
    assert np.mean(inside) > 0.7 if shift == 0.0 else np.mean(inside) < 0.5


def test_shifted_posteriors_are_red():
    """A fifth of a posterior sd at 1,000 replicates, where the power is .99."""
    truth = stats.norm.cdf(np.random.default_rng(3).normal(0.2, 1.0, 1000))
    assert sbc_ranks.p_value(np.floor(100 * truth).astype(int)) < sbc_ranks.ALPHA


def test_ranks_count_draws_below():
    draws = np.arange(99.0)[:, None] * [1.0, -1.0]
    assert list(sbc_ranks.rank(np.array([10.5, 0.5]), draws)) == [11, 99]


def test_resumed_runs_have_the_same_lines(tmp_path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    wanted = [(CELL, "gibbs")]
    sbc.run(sbc.first_stage(wanted, 3, ()), whole, 1, np.inf)
    text = whole.read_text()
    cut.write_text(text[: text.index("\n") + 40])  # killed while it wrote the second line
    assert len(sbc_runs.read(cut)) == 1
    sbc.run(sbc.first_stage(wanted, 3, sbc_runs.read(cut)), cut, 1, np.inf)
    one, other = sbc_runs.read(whole), sbc_runs.read(cut)
    assert len(one) == 3
    assert one == other
    assert sbc_runs.md5(one.values()) == sbc_runs.md5(other.values())
    assert not list(sbc.first_stage(wanted, 3, other))


def test_damage_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text("{broken\n" + json.dumps(_line(0, [1])._asdict()) + "\n")
    with pytest.raises(json.JSONDecodeError):
        sbc_runs.read(path)


def test_blocks_of_all_cells_grow_together():
    wanted = [("a", "gibbs"), ("b", "gibbs"), ("a", "hmc")]
    order = [(k[0].cell, k[0].sampler, k[0].number) for k in sbc.first_stage(wanted, 400, ())]
    starts = [turn for turn in order if turn[2] % sbc.BLOCK == 0]
    assert starts == [
        *((c, s, n) for n in (0, 100) for c, s in wanted),
        *((c, "gibbs", n) for n in (200, 300) for c in "ab"),
        ("a", "hmc", 200),
        ("a", "hmc", 300),
    ]


def _line(number: int, ranks: list[int], stage: int = 1, failure: str = "") -> Line:
    key = Key(CELL, "gibbs", stage, number)
    return Line(*key, key.seed, ranks, 300.0, 297, False, failure)


def _lines(stage: int, n: int, low: bool, seed: int) -> list[Line]:
    """Evenly spread ranks in any order; with `low`, the first quantity's in the lower half."""
    even = np.arange(n) * 100 // n
    ranks = np.stack([even for _ in sbc.names_of(BY_NAME[CELL])], axis=-1)
    ranks = np.random.default_rng(seed).permuted(ranks, axis=0)
    ranks[:, 0] //= 1 + low
    return [_line(k, [int(r) for r in own], stage) for k, own in enumerate(ranks)]


@pytest.mark.parametrize(
    ("first", "second", "verdict", "good"),
    [
        (False, None, sbc.FINE, True),
        (True, None, sbc.PENDING, False),
        (True, (100, False), sbc.CHANCE, True),
        (True, (100, True), sbc.RED, False),
        (True, (99, True), sbc.PENDING, False),
    ],
)
def test_red_only_in_both_stages(first, second, verdict, good, capsys):
    lines = _lines(1, 50, first, 4)
    if second is not None:
        lines += _lines(2, *second, 5)
    judged = sbc.judge(lines)
    assert judged[0].verdict == verdict
    assert all(q.verdict == sbc.FINE for q in judged[1:])
    assert sbc.report_of(Report("sbc", keep=False), lines) == good
    again = list(sbc.second_stage(judged, [line.key for line in lines]))
    missing = sum(len(keys) for keys in again)
    assert missing == (100 - (second[0] if second else 0) if first else 0)


def test_failed_replicates_are_failures(capsys):
    lines = [*_lines(1, 50, False, 4), _line(50, [], failure="ValueError: no")]
    assert not sbc.report_of(Report("sbc", keep=False), lines)
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    "cell", [c for c in CELLS if c.structure.name in ("x|g", "nested")], ids=str
)
def test_own_densities_are_the_package_s_but_for_constants(cell):
    """The quantities' likelihood and prior, against what the samplers' target is made of."""
    rng = np.random.default_rng(6)
    draws = [cell.draw(rng) for _ in range(3)]
    y = cell.respond(rng, draws[0])
    model = sbc_runs.with_response(cell.model, y)
    found = [_package(model, cell, values) for values in draws]
    ours = [cell.quantities(values, y) for values in draws]
    own = np.array([[q["log likelihood"][0], q["log prior"][0]] for q in ours])
    np.testing.assert_allclose(np.diff(own, axis=0), np.diff(found, axis=0), rtol=1e-7, atol=1e-7)


def _package(model, cell, values):
    """Log likelihood, and log prior without the Jacobians of psi and log phi."""
    family = model.family
    eta = cell.rows.predictor(values, cell.terms)[0]
    phi = float(values[cell.kind.phi][0]) if cell.kind.phi else 1.0
    known = model.design.response.trials
    y, w, _ = family.prepare(model.design.response.y, known, np.ones(eta.size))
    a = np.empty((4, eta.size))
    families.bind(family)(families.LOGLIK, eta, y, w, phi, *a)
    mean, sd = cell.kind.intercept
    centred = values["beta"][0, 0] + values["beta"][0, 1] * cell.rows.x.mean()
    prior = stats.norm.logpdf(centred, mean, sd)
    prior += stats.norm.logpdf(values["beta"][0, 1], *(0.0, 0.5))
    for term, (sigma,) in cell.sigmas(values):
        q, u = len(term.names), values["u"][term.group][0]
        prior += stats.multivariate_normal.logpdf(u, np.zeros(q), sigma).sum()
        if cell.prior == LKJ:
            prior += sum(
                stats.t.logpdf(np.sqrt(sigma[k, k]), 6.0, scale=s)
                for k, s in enumerate(term.scales)
            )
            if q > 1:
                prior += stats.beta.logpdf((values["cor"][0, 0] + 1.0) / 2.0, 2.0, 2.0)
        else:
            prior += stats.invwishart.logpdf(sigma, *term.wishart)
    if cell.kind.phi:
        prior += cell.phi_prior.logpdf(np.array([phi]))[0]
    return a[0].sum(), prior


@pytest.mark.parametrize("wrong", [False, True])
def test_wrong_scale_of_an_sd_is_red(wrong):
    """The model's prior of the sd is 1.6 times as wide as that of the simulated ones."""
    change = sbc_mutants.wider_sds(1.6) if wrong else sbc_runs.unchanged
    lines = [sbc_runs.replicate(Key(CELL, "collapsed", 7, n), change) for n in range(150)]
    judged = sbc.judge([line._replace(stage=1) for line in lines])
    assert any(q.first for q in judged) == wrong


def test_block_of_a_day_is_that_of_its_date(monkeypatch, capsys):
    monkeypatch.setattr(sbc_quick, "CELLS", (CELL,))
    monkeypatch.setattr(sbc_quick, "SAMPLERS", ("gibbs",))
    day = date(2026, 11, 21)
    assert sbc_quick.block_of(day, 2) == 202611212
    report = Report("sbc_quick", keep=False)
    texts = []
    for when in (day, day, date(2026, 11, 22)):
        capsys.readouterr()
        sbc_quick.calibrated(report, when, 4)
        texts.append(capsys.readouterr().out.splitlines()[1])
    assert texts[0] == texts[1] != texts[2]
