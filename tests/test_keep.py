"""What is kept of effects: the same draws, whether they are kept, summed up or streamed."""

import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from interruption import interrupted_at
from test_extend import STRUCTURES, assert_same, model
from test_sampling import frame

import bayesglmm as bg
from bayesglmm import footprint, keeping, memory
from bayesglmm.chains import sketch
from bayesglmm.diagnostics.batches import Sums, merge
from bayesglmm.diagnostics.ess import ess_mean
from bayesglmm.effects_file import EffectsFile
from bayesglmm.effects_summary import EffectsSummary

OPTIONS = {"draws": 120, "warmup": 60, "chains": 3, "seed": 4, "progress": False}
# Of a quantile, in posterior sds, with 4 chains of 1,000: as `EffectsSummary` states them.
MEDIAN, LIMITS, ODD_LIMITS = 0.05, 0.2, 0.5


def autoregression(seed: int, chains: int, draws: int, effects: int, rho: float) -> np.ndarray:
    """Draws (chains, draws, effects) of unit variance with that autocorrelation."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((chains, draws, effects))
    for i in range(1, draws):
        x[:, i] = rho * x[:, i - 1] + np.sqrt(1 - rho**2) * x[:, i]
    return x


def summed(draws: np.ndarray, cuts: int = 3) -> dict[str, np.ndarray]:
    """The sums of one chain's draws (draws, effects), made in several parts."""
    state = sketch.new(draws.shape[1])
    for part in np.array_split(draws, cuts):
        sketch.update(state, part)
    return state


def sums(state: dict[str, np.ndarray]) -> Sums:
    count = state["sketch_count"]
    batch = state["sketch_batch"][: count[sketch.FULL]]
    return Sums(int(count[0]), state["sketch_mean"], state["sketch_squares"], int(count[1]), batch)


@pytest.mark.parametrize("draws", [5, 9, 100, 1000, 1037])
def test_sums_do_not_depend_on_how_the_draws_are_cut(draws):
    x = autoregression(1, 1, draws, 7, 0.4)[0]
    whole, cut = summed(x, 1), summed(x, min(draws, 13))
    for name, array in whole.items():
        np.testing.assert_array_equal(array, cut[name])


def test_moments_are_exact_and_convergence_is_that_of_the_halves():
    x = autoregression(2, 4, 1024, 50, 0.5) * 3.0 + 2.0
    x[0, :, 3] += 2.0  # a chain elsewhere
    x[:, :, 4] = 1.5  # stuck
    moments = merge([sums(summed(chain)) for chain in x])
    np.testing.assert_allclose(moments.mean, x.mean(axis=(0, 1)), rtol=1e-12)
    spread = x.reshape(-1, 50).std(axis=0, ddof=1)
    np.testing.assert_allclose(moments.sd, spread, rtol=1e-11, atol=1e-12)
    halves = x.reshape(8, 512, 50)
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.sqrt(511 / 512 + between / within)
    expected[4] = np.nan
    np.testing.assert_allclose(moments.measured.r_hat, expected, rtol=1e-5)
    assert moments.measured.r_hat[3] > 1.03
    assert not moments.measured.moved[4] and moments.measured.moved[[0, 3]].all()
    assert moments.measured.finite.all()


def test_batch_means_find_the_effective_sample_size():
    for rho in (0.0, 0.5, 0.8):
        x = autoregression(3, 4, 2000, 400, rho)
        ess = merge([sums(summed(chain)) for chain in x]).measured.ess_bulk
        true = 8000 * (1 - rho) / (1 + rho)
        # Some 60 batches: a relative error of a fifth each, of 400 together of a hundredth.
        assert abs(1.0 / np.mean(1.0 / ess) / true - 1.0) < 0.1
        assert np.std(np.log(ess)) < 0.3
        assert np.std(np.log(ess_mean(x))) < 0.3


def test_what_is_not_finite_is_seen():
    x = autoregression(4, 2, 100, 3, 0.0)
    x[1, 50, 2] = np.inf
    with np.errstate(invalid="ignore"):
        measured = merge([sums(summed(chain)) for chain in x]).measured
    assert measured.finite.tolist() == [True, True, False]


def markers(draws: np.ndarray) -> tuple[list[np.float32], list[int]]:
    """Heights and places by the P2 algorithm as it is written, with places that are numbers."""
    wanted = sketch.PROBABILITIES
    h = sorted(np.float32(x) for x in draws[: len(wanted)])
    at = list(range(1, len(wanted) + 1))
    for n, x in enumerate(draws[len(wanted) :], start=len(wanted) + 1):
        h[0], h[-1] = np.float32(min(h[0], x)), np.float32(max(h[-1], x))
        at = [at[0], *(k + (x < height) for k, height in zip(at[1:-1], h[1:-1], strict=True)), n]
        for i in (4, 3, 2, 1, 5, 6, 7):
            off = 1.0 + (n - 1) * wanted[i] - at[i]
            above, below = at[i + 1] - at[i], at[i] - at[i - 1]
            side = 1 if off >= 1.0 and above > 1 else -1 if off <= -1.0 and below > 1 else 0
            if side:
                low, middle, high = (float(h[k]) for k in (i - 1, i, i + 1))
                up, down = (high - middle) / above, (middle - low) / below
                parts = (below + side) * up + (above - side) * down
                moved = middle + side / (above + below) * parts
                if not low < moved < high:
                    moved = middle + (up if side == 1 else -down)
                h[i] = np.float32(moved)
                at[i] += side
    return h, at


@pytest.mark.parametrize("kind", ["noise", "rising", "falling", "ends", "outwards", "stuck"])
def test_markers_are_where_the_algorithm_puts_them(kind):
    n = 4000
    i, sign = np.arange(n), np.where(np.arange(n) % 2, 1.0, -1.0)
    x = {
        "noise": np.random.default_rng(8).normal(size=n),
        "rising": 1.0 * i,
        "falling": -1.0 * i,
        "ends": np.where(i < n // 2, sign, sign + 0.5 * (i > n // 2 + 900)),
        "outwards": sign * i,
        "stuck": np.ones(n),
    }[kind]
    state = summed(x[:, None], 7)
    heights, places = markers(x)
    base = [1 + int((n - 1) * p) for p in sketch.PROBABILITIES]
    beyond = state["sketch_place"][0].astype(int)
    assert (beyond + base).tolist() == places
    np.testing.assert_allclose(state["sketch_height"][0], heights, rtol=1e-6, atol=1e-6)
    assert abs(beyond).max() <= 24  # and so far from the limits of its eight bits


@pytest.mark.parametrize("shape", ["normal", "skewed", "heavy"])
@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_quantiles_are_within_the_stated_accuracy(shape, rho):
    x = autoregression(5, 4, 1000, 300, rho)
    if shape == "skewed":
        x = np.exp(0.7 * x)
    elif shape == "heavy":
        x = np.sinh(1.2 * x)
    sketched = np.mean([summed(chain)["sketch_height"] for chain in x], axis=0)
    exact = np.quantile(x, sketch.PROBABILITIES, axis=(0, 1)).T
    off = np.abs(sketched - exact) / x.std(axis=(0, 1))[:, None]
    true = np.quantile(x, sketch.PROBABILITIES, axis=(0, 1, 2))
    error = np.abs(exact - true) / x.std(axis=(0, 1))[:, None]
    assert off[:, 4].max() < MEDIAN
    for place in (2, 6):
        assert np.median(off[:, place]) < np.median(error[:, place])
        if shape == "normal":
            assert off[:, place].max() < LIMITS
        else:
            assert np.quantile(off[:, place], 0.99) < ODD_LIMITS


@pytest.mark.parametrize("thin", [1, 3])
@pytest.mark.parametrize("sampler", STRUCTURES)
def test_a_summary_says_what_all_draws_say(sampler, thin):
    options = OPTIONS | {"sampler": sampler, "thin": thin}
    kept = model(sampler).sample(**options)
    post = model(sampler).sample(keep="summary", **options)
    np.testing.assert_array_equal(post.theta, kept.theta)
    np.testing.assert_array_equal(post.scalar_draws, kept.scalar_draws)
    ours, theirs = post.table(u=True), kept.table(u=True)
    assert ours.rows == theirs.rows
    for column in ("mean", "sd"):
        np.testing.assert_allclose(ours.columns[column], theirs.columns[column], rtol=1e-9)
    first = len(post.table())
    for column, limit in (("median", 0.25), ("2.5%", 0.6), ("97.5%", 0.6)):
        off = np.abs(ours.columns[column] - theirs.columns[column]) / theirs.columns["sd"]
        assert off[:first].max() == 0.0 and off.max() < limit
    assert (np.abs(ours.columns["r_hat"] - theirs.columns["r_hat"]) < 0.15).all()
    assert {item.check for item in post.verdict.checks} == {
        item.check for item in kept.verdict.checks
    }
    assert "moments and quantiles (keep='summary')" in str(post)
    with pytest.raises(bg.DataError, match="not kept.*keep='all' or 'stream'"):
        _ = post.effect_draws
    with pytest.raises(bg.DataError, match="ci_kind='eti' only"):
        post.table(u=True, ci_kind="hdi")
    assert "beta" in post.data.posterior and "u_g" not in post.data.posterior


def test_the_verdict_of_a_summary_covers_the_effects():
    post = model("gibbs").sample(keep="summary", **OPTIONS)
    state = post.resumption.standings[1].state
    state["sketch_mean"] += 5.0
    state["sketch_batch"] += 5.0
    states = [standing.state for standing in post.resumption.standings]
    moved = replace(post, effects=EffectsSummary.of(post.model, states))
    assert "R-hat of u(" in str(moved.verdict) and not moved.verdict.ok


def equal_summaries(one, other):
    for name, values in vars(one.effects).items():
        np.testing.assert_array_equal(values, getattr(other.effects, name))
    np.testing.assert_array_equal(one.theta, other.theta)
    assert str(one.verdict) == str(other.verdict)
    assert str(one.table(u=True)) == str(other.table(u=True))


@pytest.mark.parametrize("sampler", STRUCTURES)
def test_a_summary_is_reproducible_extended_saved_and_resumed(sampler, tmp_path):
    options = OPTIONS | {"sampler": sampler, "keep": "summary"}
    whole = model(sampler).sample(**options)
    with ThreadPoolExecutor(2) as executor:
        equal_summaries(whole, model(sampler).sample(executor=executor, **options))
    first = model(sampler).sample(**options | {"draws": 50})
    first.save(tmp_path / "first.nc")
    loaded = bg.load(tmp_path / "first.nc")
    equal_summaries(first, loaded)
    with pytest.raises(bg.DataError, match="not kept"):
        _ = loaded.effect_draws
    equal_summaries(whole, loaded.extend(70, progress=False))
    path = tmp_path / "run.ckpt"
    model(sampler).sample(checkpoint=path, **options)
    equal_summaries(whole, model(sampler).sample(checkpoint=path, **options))
    with pytest.raises(bg.DataError, match="keep was 'summary', now it is 'all'"):
        model(sampler).sample(checkpoint=path, **options | {"keep": "all"})


@pytest.mark.parametrize("thin", [1, 3])
@pytest.mark.parametrize("sampler", STRUCTURES)
def test_streamed_draws_are_those_that_are_kept(sampler, thin, tmp_path):
    options = OPTIONS | {"sampler": sampler, "thin": thin}
    kept = model(sampler).sample(**options)
    post = model(sampler).sample(keep="stream", stream=tmp_path / "u.nc", **options)
    assert_same(post, kept)
    assert os.listdir(tmp_path) == ["u.nc"]
    for name, values in kept.values["u"].items():
        streamed = post.values["u"][name]
        assert streamed.shape == values.shape
        for key in ((), 1, (slice(None), slice(3, 9)), (1, -1), (slice(1, None), 2, [0, 2]), ...):
            np.testing.assert_array_equal(streamed[key], values[key])
    np.testing.assert_array_equal(
        post.log_likelihood().log_likelihood.to_dataset().to_array(),
        kept.log_likelihood().log_likelihood.to_dataset().to_array(),
    )


def test_a_streamed_posterior_is_saved_loaded_and_extended(tmp_path):
    options = OPTIONS | {"keep": "stream"}
    whole = model("gibbs").sample(**OPTIONS)
    with ThreadPoolExecutor(2) as executor:
        first = model("gibbs").sample(
            stream=tmp_path / "a.nc", executor=executor, **options | {"draws": 50}
        )
    assert_same(first.extend(70, stream=tmp_path / "b.nc", progress=False), whole)
    first.save(tmp_path / "fit.nc")
    (tmp_path / "a.nc").unlink()
    loaded = bg.load(tmp_path / "fit.nc")
    assert loaded.values["u"]["g"].path == tmp_path / "fit.nc"
    more = loaded.extend(70, stream=tmp_path / "c.nc", progress=False)
    assert_same(more, whole)
    assert more.data.posterior["u_g"].equals(whole.data.posterior["u_g"])
    with pytest.raises(bg.LoadError, match=r"a\.nc cannot be read"):
        _ = first.effect_draws
    with pytest.raises(bg.DataError, match="takes stream="):
        loaded.extend(5)


def test_xarray_opens_a_stream(tmp_path):
    import xarray

    post = model("gibbs").sample(keep="stream", stream=tmp_path / "u.nc", **OPTIONS)
    with xarray.open_dataset(tmp_path / "u.nc", group="posterior", engine="h5netcdf") as data:
        np.testing.assert_array_equal(data["u_g"], np.asarray(post.values["u"]["g"]))
        assert list(data["g"].values) == list(post.model.design.factors[0].levels)
        assert list(data["g_effect"].values) == ["Intercept", "x"]


def test_an_interrupted_stream_is_extended(tmp_path):
    subject = model("gibbs")
    subject.sample(draws=1, warmup=1, progress=False)
    options = {"warmup": 5, "chains": 3, "seed": 4, "jobs": 2}
    with interrupted_at(300, chains_there=3, longest=50):
        stopped = subject.sample(
            draws=1_000_000, keep="stream", stream=tmp_path / "a.nc", progress=False, **options
        )
    assert stopped.run.interrupted and 295 <= stopped.draws < 1_000_000
    stopped.save(tmp_path / "fit.nc")
    ahead = max(len(standing.theta) for standing in stopped.resumption.standings)
    for number, post in enumerate((stopped, bg.load(tmp_path / "fit.nc"))):
        more = post.extend(ahead + 5, stream=tmp_path / f"{number}.nc", progress=False)
        whole = subject.sample(draws=stopped.draws + ahead + 5, progress=False, **options)
        np.testing.assert_array_equal(more.theta, whole.theta)
        np.testing.assert_array_equal(more.effect_draws, whole.effect_draws)


def test_a_stream_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(EffectsFile, "put", full)
    with pytest.raises(OSError, match=r"u\.nc could not be written: No space left"):
        model("gibbs").sample(keep="stream", stream=tmp_path / "u.nc", **OPTIONS)
    assert os.listdir(tmp_path) == []


def test_a_file_is_not_replaced_by_a_stream(tmp_path):
    (tmp_path / "u.nc").write_text("mine")
    with pytest.raises(bg.DataError, match=r"u\.nc exists, and a stream replaces no file"):
        model("gibbs").sample(keep="stream", stream=tmp_path / "u.nc", **OPTIONS)
    with pytest.raises(FileExistsError, match=r"u\.nc exists"):
        EffectsFile(tmp_path / "u.nc", model("gibbs"), 1, 1)
    assert (tmp_path / "u.nc").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": "some"}, "keep='some' does not exist; there are all, summary, stream"),
        ({"keep": "stream"}, "takes stream="),
        ({"stream": "u.nc"}, "takes stream="),
        ({"keep": "stream", "stream": "nowhere/u.nc"}, "no folder"),
    ],
)
def test_what_does_not_go_together_is_refused(options, words):
    with pytest.raises(bg.DataError, match=words):
        model("gibbs").sample(**OPTIONS | options)


def test_draws_that_would_not_fit_are_refused_before_anything_happens(monkeypatch):
    subject = bg.glmm("count ~ x + (x | g)", frame(), "poisson")
    monkeypatch.setattr(memory, "available", lambda: 2**20)
    # 4 x 1000 x 60 effects x 8 bytes, twice: 3.7 MiB.
    words = "effects and .* take 0.00.* GiB of memory with keep='all'; .*keep='summary' takes"
    with pytest.raises(bg.DataError, match=words):
        subject.sample(draws=1000, chains=4)
    assert "problem" not in vars(subject)  # nothing was made of the data yet
    monkeypatch.setattr(memory, "available", lambda: 2**10)
    with pytest.raises(bg.DataError, match="fewer draws, or thin them"):
        subject.sample(keep="summary")
    monkeypatch.setattr(memory, "available", lambda: None)
    assert subject.sample(draws=5, warmup=5, chains=1, progress=False).draws == 5


def test_a_large_estimate_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(keeping, "LARGE", 1000)
    subject = model("gibbs")
    asked = {"keep": "all", "stream": None, "sampler": "gibbs", "chains": 4, "draws": 100}
    keeping.check(subject, **asked)
    assert "4 chains of 100 draws of 60 effects" in capsys.readouterr().err
    keeping.check(subject, **asked, quiet=True)
    assert capsys.readouterr().err == ""


GROUPS, ROWS_EACH = 20_000, 3


@pytest.mark.parametrize(
    ("sampler", "formula"),
    [
        ("gibbs", "y ~ x + (1 | g)"),
        ("gibbs", "y ~ x + (x | g)"),
        ("gibbs", "y ~ x + (1 | g) + (1 | h)"),
        ("classical", "y ~ x + (1 | g)"),
        ("collapsed", "z ~ x + (1 | g)"),
        ("nuts", "y ~ x + (1 | g)"),
        ("hmc", "y ~ x + (1 | g)"),
    ],
)
def test_the_estimate_is_what_is_taken(sampler, formula):
    options = {"sampler": sampler, "warmup": 2, "chains": 3, "jobs": 2, "seed": 1}
    options["progress"] = False
    family = "gaussian" if formula.startswith("z") else "bernoulli"

    def subject(groups: int) -> bg.Model:
        rng = np.random.default_rng(1)
        n = groups * ROWS_EACH
        g, x = rng.permutation(np.arange(n) % groups), rng.normal(size=n)
        eta = 0.7 * rng.normal(size=groups)[g] + 0.3 * x
        columns = {"x": x, "g": g, "h": rng.integers(0, max(groups // 50, 2), n)}
        columns |= {"y": (rng.logistic(size=n) < eta) * 1, "z": eta + rng.normal(size=n)}
        return bg.glmm(formula, columns, family=family)

    for keep, draws in (("summary", 10), ("all", 20)):
        # Imports and compilation; what is compiled depends on the number of groups.
        subject(GROUPS).sample(draws=draws, keep=keep, **options)
        model = subject(GROUPS)
        # What is traced is what is allocated.
        counts = {"chains": 3, "draws": draws, "threads": 2}
        estimate = footprint.size(model, sampler, keep, **counts, untouched=True)
        tracemalloc.start(1)
        model.sample(draws=draws, keep=keep, **options)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0.85 < estimate / taken < 1.15


def test_every_sampler_has_an_estimate(monkeypatch):
    from bayesglmm.choice import SAMPLERS

    # A state that would not fit is refused too, however few draws there are.
    monkeypatch.setattr(memory, "available", lambda: 30_000)
    for sampler in set(SAMPLERS) - {"auto"}:
        with pytest.raises(bg.DataError, match="GiB of memory with keep='stream'"):
            keeping.check(
                model("gibbs"), keep="stream", stream="u.nc", sampler=sampler, chains=4, draws=1
            )


def test_available_memory_is_that_of_the_machine_or_its_container(monkeypatch, tmp_path):
    free = memory.available()
    assert free is None or free > 2**20
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    assert memory.available() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() != 600_000
