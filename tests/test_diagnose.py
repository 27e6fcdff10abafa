"""Diagnostics of draws of any kind: the same draws, the same answer; and what is no draws."""

import json
import subprocess
import sys
from pathlib import Path

import fakes
import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayesglmm as bg
from bayesglmm import any_draws
from bayesglmm.diagnostics.autocorrelation import time

CHAINS, LENGTH = 3, 400
NAMES = ["mu", "beta[0]", "beta[1]"]


def made(seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(CHAINS, LENGTH, 3))
    for t in range(1, LENGTH):
        x[:, t, 1] += 0.6 * x[:, t - 1, 1]
    return x


X = made()
DIVERGENT = np.zeros((CHAINS, LENGTH))
DIVERGENT[1, 3] = 1.0


def frame(chain="chain", draw="draw", statistic=None):
    columns = {
        chain: np.repeat(np.arange(1, CHAINS + 1), LENGTH),
        draw: np.tile(np.arange(LENGTH), CHAINS),
    }
    columns |= {name: X[..., k].ravel() for k, name in enumerate(NAMES)}
    if statistic:
        columns[statistic] = DIVERGENT.ravel()
    return pd.DataFrame(columns)


def tree(stats=False):
    import arviz_base

    groups = {"posterior": {"mu": X[..., 0], "beta": X[..., 1:]}}
    if stats:
        groups["sample_stats"] = {"diverging": DIVERGENT.astype(bool)}
    return arviz_base.from_dict(groups)


class OldInferenceData:
    """What ArviZ before 1.0 gives: groups as attributes, no children."""

    def __init__(self):
        self.posterior = tree().posterior.to_dataset()


class Transposed:
    """Dims in another order."""

    def __new__(cls):
        return tree().posterior.to_dataset().transpose("beta_dim_0", "draw", "chain")


SAME = {
    "array and names": lambda: {"draws": X, "names": NAMES},
    "list": lambda: {"draws": X.tolist(), "names": NAMES},
    "mapping": lambda: {"draws": {"mu": X[..., 0], "beta": X[..., 1:]}},
    "pandas": lambda: {"draws": frame()},
    "pandas of R's posterior": lambda: {"draws": frame(".chain", ".iteration")},
    "shuffled rows": lambda: {"draws": frame().sample(frac=1.0, random_state=3)},
    "index": lambda: {"draws": frame().set_index(["chain", "draw"])},
    "texts of chains": lambda: {"draws": frame().assign(chain=lambda d: "c" + d.chain.astype(str))},
    "polars": lambda: {"draws": pl.from_pandas(frame())},
    "tree": lambda: {"draws": tree()},
    "dataset": lambda: {"draws": tree().posterior.to_dataset()},
    "inference data": lambda: {"draws": OldInferenceData()},
    "dims turned": lambda: {"draws": Transposed()},
}


@pytest.mark.parametrize("kind", SAME)
def test_every_kind_of_draws_gives_the_same(kind):
    found = bg.diagnose(**SAME[kind]())
    assert list(found.draws.names) == NAMES
    np.testing.assert_array_equal(found.draws.values, X)


ONE = {
    "array": (X[0, :, 0], ["x"]),
    "mapping": ({"mu": X[0, :, 0], "beta": X[0, :, 1:]}, NAMES),
    "frame": (frame().query("chain == 1").drop(columns=["chain", "draw"]), NAMES),
    "dataset": (tree().posterior.to_dataset().isel(chain=0, drop=True), NAMES),
    "data array": (tree().posterior["mu"].isel(chain=[0]), ["mu"]),
}


@pytest.mark.parametrize("kind", ONE)
def test_one_chain(kind):
    draws, names = ONE[kind]
    found = bg.diagnose(draws)
    assert list(found.draws.names) == names
    np.testing.assert_array_equal(found.draws.values, X[:1, :, : len(names)])
    assert "One chain" in str(found.verdict)


STATISTICS = {
    "given": lambda: bg.diagnose(X, stats={"divergent": DIVERGENT}),
    "tree": lambda: bg.diagnose(tree(stats=True)),
    "Stan's frame": lambda: bg.diagnose(frame("chain__", "iter__", "divergent__")),
}


@pytest.mark.parametrize("kind", STATISTICS)
def test_statistics_of_the_sampler_are_judged(kind):
    found = STATISTICS[kind]()
    assert "number of divergences is 1" in str(found.verdict)
    assert list(found.sampler["divergences"]) == [0, 1, 0]
    assert list(found.sampler.index) == [1, 2, 3]


def test_labels_of_coords_are_names():
    import arviz_base

    x = arviz_base.from_dict(
        {"posterior": {"b": X[..., 1:]}}, coords={"term": ["age", "sex"]}, dims={"b": ["term"]}
    )
    assert bg.diagnose(x).draws.names == ("b[age]", "b[sex]")


def test_a_posterior_and_its_tree_have_the_same_names():
    post = fakes.posterior("gaussian")
    direct, through = post.diagnose(), bg.diagnose(post.data, parameters=post.names)
    assert direct.draws.names == through.draws.names == post.names
    np.testing.assert_array_equal(direct.draws.values, through.draws.values)
    np.testing.assert_array_equal(bg.diagnose(post.to_frame()).draws.values, direct.draws.values)
    assert len(post.diagnose(u=True).draws.names) == len(post.names) + 6
    assert bg.diagnose(post).verdict.checks == post.verdict.checks


def test_effects_of_a_posterior_are_judged_though_they_are_not_shown():
    post = fakes.posterior()
    post.values["u"]["a/b"][1, :, 2, 0] += 5
    found = post.diagnose()
    assert not found.verdict.ok and "u(Intercept|a/b[ä])" in str(found)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_outpost_is_read_back(tmp_path, suffix):
    post = fakes.posterior()
    path = tmp_path / f"draws{suffix}"
    post.outpost(path, u=True)
    back = pd.read_parquet(path) if suffix == ".parquet" else bg.read_csv(path)
    np.testing.assert_array_equal(back.to_numpy(), post.to_frame(u=True).to_numpy())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(FileExistsError):
        post.outpost(path)
    with pytest.raises(bg.DataError, match=r"\.parquet"):
        post.outpost(tmp_path / "draws.sas7bdat")


# ---- the tables -------------------------------------------------------------------------------


def test_tables_agree_with_arviz_and_with_the_parts():
    import arviz_stats

    found = bg.diagnose(X, names=NAMES)
    theirs = arviz_stats.summary(tree(), round_to="none", ci_prob=0.9, ci_kind="eti")
    for column, table in (
        ("r_hat", found.rhat),
        ("ess_bulk", found.ess),
        ("mcse_mean", found.mcse),
    ):
        np.testing.assert_allclose(table[column], theirs[column], rtol=1e-8)
    tail = arviz_stats.ess(tree(), method="tail", prob=(0.05, 0.95))
    np.testing.assert_allclose(found.ess["ess_tail"]["mu"], tail["mu"], rtol=1e-8)
    quantile = arviz_stats.mcse(tree(), method="quantile", prob=0.975)
    np.testing.assert_allclose(found.mcse["mcse_97.5%"]["mu"], quantile["mu"], rtol=1e-8)
    by_chain = [LENGTH / time(X[c, :, 1:2].T)[0] for c in range(CHAINS)]
    np.testing.assert_allclose(found.ess["ess_sas"]["beta[0]"], sum(by_chain))
    np.testing.assert_allclose(
        found.ess["autocorrelation_time"] * found.ess["ess_sas"], CHAINS * LENGTH
    )


def test_rows_are_named_by_parameter_and_chain():
    found = bg.diagnose(X, names=NAMES, raftery={"accuracy": 0.02})
    for table in (found.geweke, found.heidelberger, found.raftery):
        assert list(table.index) == [name for name in NAMES for _ in range(CHAINS)]
        assert list(table["chain"]) == [1, 2, 3] * 3
    assert list(found.autocorrelation.columns) == ["lag 1", "lag 5", "lag 10", "lag 50"]
    assert found.raftery["total"].notna().all()
    one = bg.diagnose(X[1, :, 1])
    np.testing.assert_allclose(one.geweke["z"].iloc[0], found.geweke["z"]["beta[0]"].iloc[1])


def test_settings_reach_the_tests():
    found = bg.diagnose(
        X,
        geweke={"first": 0.3},
        heidelberger={"eps": 9.0, "level": 0.5},
        lags=[2],
        quantiles=[0.2],
        batch=50,
    )
    plain = bg.diagnose(X)
    assert list(found.autocorrelation.columns) == ["lag 2"]
    assert "mcse_20%" in found.mcse
    assert not np.allclose(found.geweke["z"], plain.geweke["z"])
    assert found.heidelberger["stationary"].sum() < plain.heidelberger["stationary"].sum()
    assert (found.mcse["mcse_batch"] != plain.mcse["mcse_batch"]).all()


def test_parameters_are_chosen():
    assert bg.diagnose(X, names=NAMES, parameters=["beta"]).draws.names == ("beta[0]", "beta[1]")
    assert bg.diagnose(X, names=NAMES, parameters="mu").draws.names == ("mu",)


def test_the_verdict_is_printed_first_and_covers_the_tests():
    text = str(bg.diagnose(X, names=NAMES))
    assert text.startswith("Converged: R-hat at most 1.00")
    for words in ("Geweke", "Heidelberger-Welch", "Raftery-Lewis", "3 chains x 400 draws"):
        assert words in text
    assert text.index("Raftery-Lewis: to know") < text.index("lag 50") < text.index("mcse_sas")


def test_tables_to_print_are_chosen():
    found = bg.diagnose(X)
    assert "lag 50" not in found.text(["ess"]) and "ess_sas" in found.text(["ESS"])
    assert found.text("none").count("\n\n") == 1
    assert "half_width" in found.text("all")
    with pytest.raises(bg.DataError, match="gewecke"):
        found.text(["gewecke"])


def test_trend_is_named_with_its_chain():
    x = X.copy()
    x[2, :, 0] += np.linspace(0.0, 3.0, LENGTH)
    text = str(bg.diagnose(x, names=NAMES).verdict)
    assert text.startswith("NOT converged") and "R-hat of mu" in text
    assert "not stationary in 1 of 9 traces (by chance 0.072), such as mu in chain 3" in text
    assert "sampler='nuts'" not in text


def test_records_are_json():
    x = X.copy()
    x[..., 2] = 1.0
    record = json.loads(json.dumps(bg.diagnose(x).records(), allow_nan=False))
    assert record["converged"] is False and record["chains"] == CHAINS
    assert record["geweke"][-1]["z"] is None
    assert record["rhat"][0]["parameter"] == "x[0]"
    assert record["heidelberger"][0]["stationary"] is True


@pytest.mark.parametrize("shape", [(2, 0, 3), (1, 1, 1), (2, 3, 1), (2, 12, 2)])
def test_hardly_any_draws_are_not_converged(shape):
    found = bg.diagnose(np.random.default_rng(1).normal(size=shape))
    assert not found.verdict.ok
    str(found)
    json.dumps(found.records(), allow_nan=False)


def test_long_tables_are_cut():
    found = bg.diagnose(np.random.default_rng(1).normal(size=(2, 50, 70)))
    assert "... and 10 more rows" in str(found)


REFUSED = {
    "two axes": (X[0], {}, "x[None]"),
    "axes turned": (X.swapaxes(0, 1), {}, "swapaxes"),
    "four axes": (X[None], {}, "(chains, draws, parameters)"),
    "text": ("draws.csv", {}, "numbers"),
    "nothing": ({}, {}, "empty"),
    "a number": ({"a": 1.0}, {}, "one number"),
    "complex": (X + 1j, {}, "complex"),
    "unequal": ({"a": X[..., 0], "b": X[:, :-1, 0]}, {}, "'b'"),
    "names": (X, {"names": ["a"]}, "3 parameters and 1 names"),
    "names twice": (frame(), {"names": NAMES}, "names of its own"),
    "texts": (frame().assign(model="m"), {}, "'model'"),
    "chains of other lengths": (frame().iloc[:-5], {}, "395 of chain 3"),
    "only chains": (frame()[["chain", "draw"]], {}, "no column"),
    "unknown parameter": (X, {"names": NAMES, "parameters": ["m"]}, "'m'"),
    "statistics of another shape": (X, {"stats": {"divergent": DIVERGENT[:, :9]}}, "(3, 9)"),
    "unknown statistic": (X, {"stats": {"heat": DIVERGENT}}, "'heat'"),
    "unknown setting": (X, {"geweke": {"frac": 0.1}}, "'frac'"),
    "no draw": (tree().posterior["mu"].rename(draw="i"), {}, "'draw'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_draws_is_refused_in_words(kind):
    draws, options, words = REFUSED[kind]
    with pytest.raises(bg.DataError) as error:
        bg.diagnose(draws, **options)
    assert words in str(error.value)


def test_what_is_read_names_its_source():
    assert any_draws.read(X).source == "array"
    assert any_draws.read(frame()).source == "data frame"


def test_diagnosing_does_not_import_arviz_or_pandas():
    code = (
        "import sys, numpy as np, bayesglmm as bg\n"
        "print(bg.diagnose(np.random.default_rng(1).normal(size=(2, 300, 2))).verdict.ok)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(bg.__file__).parent.parent,
    )
    imported = set(done.stdout.split())
    assert "True" in imported
    assert {"arviz_base", "arviz_stats", "xarray", "pandas"}.isdisjoint(imported)
