"""``bayesglmm diagnose``: what it reads and prints, and its exit codes."""

import json
from pathlib import Path

import fakes
import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.cli import BAD_INPUT, GOOD, NOT_CONVERGED, main

CODA = Path(__file__).parent / "data" / "coda" / "draws.csv.gz"


def run(capsys, *arguments):
    code = main(["diagnose", *map(str, arguments)])
    return code, *capsys.readouterr()


def good(chains=4):
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "chain": np.repeat(np.arange(chains), 600),
            "a": rng.normal(size=600 * chains),
            "b": rng.normal(size=600 * chains),
        }
    )


def test_draws_that_did_not_converge(capsys):
    code, out, err = run(capsys, CODA)
    assert (code, err) == (NOT_CONVERGED, "")
    assert out.startswith("NOT converged")
    assert "drift" in out and "lag 50" in out and "60,158" in out


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_draws_that_converged(capsys, tmp_path, suffix):
    path = tmp_path / f"draws.{suffix}"
    getattr(good(), f"to_{suffix}")(path, index=False)
    code, out, _ = run(capsys, path)
    assert code == GOOD and out.startswith("Converged")


def test_several_files_are_chains(capsys, tmp_path):
    whole = good()
    paths = [tmp_path / f"{c}.csv" for c in range(4)]
    for c, path in enumerate(paths):
        whole[whole.chain == c].drop(columns="chain")[["b", "a"] if c else ["a", "b"]].to_csv(
            path, index=False
        )
    _, out, _ = run(capsys, *paths, "--json")
    assert json.loads(out) == json.loads(json.dumps(bg.diagnose(whole).records()))


def test_json_has_the_tables_that_are_asked_for(capsys):
    code, out, _ = run(
        capsys, CODA, "--json", "--tables", "geweke,raftery", "--parameter", "slow",
        "--quantile", ".5", "--accuracy", ".02",
    )  # fmt: skip
    record = json.loads(out)
    assert record["converged"] is (code == GOOD)
    assert "ess" not in record
    assert [row["parameter"] for row in record["geweke"]] == ["slow", "slow"]
    assert record["raftery"][0]["minimum"] == 2401


def test_a_saved_fit_without_draws_and_other_bad_input(capsys, tmp_path):
    (tmp_path / "draws.parquet").write_text("no parquet")
    (tmp_path / "fit.nc").write_text("no netCDF")
    (tmp_path / "text.csv").write_text("a,b\n1,x\n2,y\n")
    good().to_csv(tmp_path / "four.csv", index=False)
    good().rename(columns={"a": "c"}).to_csv(tmp_path / "other.csv", index=False)
    for arguments, words in (
        (["nowhere.csv"], "nowhere.csv"),
        (["nowhere.parquet"], "nowhere.parquet"),
        (["draws.parquet"], "draws.parquet"),
        (["fit.nc"], "fit.nc"),
        (["fit.nc", "four.csv"], "alone"),
        (["text.csv"], "'b'"),
        (["four.csv", "other.csv"], "'a'"),
        (["four.csv", "--effects"], "--effects"),
        (["four.csv", "--lags", "one"], "--lags"),
        (["four.csv", "--tables", "gewecke"], "gewecke"),
        (["four.csv", "--parameter", "x"], "'x'"),
    ):
        given = [str(tmp_path / a) if "." in a else a for a in arguments]
        code, out, err = run(capsys, *given)
        assert (code, out) == (BAD_INPUT, ""), arguments
        assert words in err
        assert err.count("\n") == 1


def test_a_saved_posterior_is_diagnosed_as_it_prints(capsys, monkeypatch):
    from bayesglmm import io

    post = fakes.posterior()
    monkeypatch.setattr(io, "load", lambda path: post)
    code, out, _ = run(capsys, "post.nc", "--effects", "--tables", "ess")
    assert code == GOOD
    assert out.rstrip("\n") == post.diagnose(u=True).text(["ess"])
    assert "u(x|a/b[007])" in out


def test_a_posterior_that_arviz_wrote(capsys, tmp_path):
    import arviz_base

    path = tmp_path / "other.nc"
    x = np.random.default_rng(2).normal(size=(2, 500, 3))
    tree = arviz_base.from_dict(
        {"posterior": {"b": x}, "sample_stats": {"diverging": x[..., 0] > 9}}
    )
    tree.to_netcdf(path, engine="h5netcdf")
    code, out, _ = run(capsys, path)
    assert code == GOOD
    assert "number of divergences 0" in out and "b[2]" in out
