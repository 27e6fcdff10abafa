"""The command line: predictions, completion of shells, and the check of an installed copy."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import results

import bayesglmm as bg
from bayesglmm.cli import BAD_INPUT, GOOD, NOT_CONVERGED, main


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    return code, *capsys.readouterr()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "herds.nc"
    results.drawn("cbpp").save(path)
    return path


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_predictions_for_new_rows(saved, tmp_path, capsys):
    # `period` came as a categorical column; in the new rows it is numbers.
    new = table(tmp_path / "new.csv", "herd,period\n1,1\n99,2\n")
    code, out, err = run(capsys, "predict", saved, new, "--new-levels", "sample")
    assert (code, err) == (GOOD, "")
    assert "period=2, herd=99" in out
    frame = pd.DataFrame({"herd": [1, 99], "period": ["1", "2"]})
    made = results.drawn("cbpp").predict(frame, new_levels="sample").table()
    code, out, _ = run(capsys, "predict", saved, new, "--new-levels", "sample", "--json")
    rows = json.loads(out)["rows"]
    np.testing.assert_allclose([row["mean"] for row in rows], made.columns["mean"])


def test_predictions_for_the_data_are_saved(saved, tmp_path, capsys):
    path = tmp_path / "predicted.csv"
    code, out, _ = run(capsys, "predict", saved, "--save", path, "--effects", "marginal")
    assert (code, out) == (GOOD, "")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    expected = results.drawn("cbpp").predict(effects="marginal").table().columns["mean"]
    np.testing.assert_allclose([float(row["mean"]) for row in rows], expected, rtol=1e-9)
    code, _, err = run(capsys, "predict", saved, "--save", path)
    assert code == BAD_INPUT and "--force" in err


def test_responses_need_trials_and_are_whole(saved, tmp_path, capsys):
    new = table(tmp_path / "new.csv", "herd,period,size\n1,1,10\n2,2,12\n")
    code, out, _ = run(capsys, "predict", saved, new, "--responses", "--json")
    rows = json.loads(out)["rows"]
    assert code == GOOD and all(row["median"] == int(row["median"]) for row in rows)
    assert 0 < rows[0]["mean"] < 10


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("herd,period\n99,1\n", [], "new_levels"),
        ("herd,period\n1,9\n", [], "'9'"),
        ("herd\n1\n", [], "period"),
        ("herd,period\n1,1\n", ["--responses", "--scale", "link"], "link scale"),
        ("herd,period\n1,1\n", ["--save", "x.xlsx"], ".csv or .md or .tex"),
    ],
)
def test_refusals(saved, tmp_path, capsys, text, more, words):
    new = table(tmp_path / "new.csv", text)
    code, _, err = run(capsys, "predict", saved, new, *more)
    assert code == BAD_INPUT
    assert words in err and "Traceback" not in err


def test_parquet_files_are_data_too(tmp_path, capsys):
    path = tmp_path / "sleep.parquet"
    bg.load_dataset("sleepstudy").to_parquet(path)
    code, out, _ = run(capsys, "fit", path, "Reaction ~ Days + (1 | Subject)", "--json")
    assert code == GOOD and json.loads(out)["rows"] == 180
    code, _, err = run(capsys, "fit", path, "Reaction ~ Days + (1 | Subject)", "--factor", "Days")
    assert code == BAD_INPUT and "Parquet" in err


def test_a_summary_is_saved_as_latex(tmp_path, capsys):
    path = tmp_path / "summary.tex"
    formula = "incidence | trials(size) ~ period + (1 | herd)"
    options = ["--family", "binomial", "--seed", 1, "--quiet", "--table", path]
    code, *_ = run(capsys, "sample", "cbpp", formula, *options)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert code == GOOD
    assert lines[0] == r"\begin{tabular}{lrrrrrrrrr}" and lines[-1] == r"\end{tabular}"
    assert r"ess\_bulk" in lines[2]
    assert any(line.startswith(r"sd(Intercept\textbar{}herd) & ") for line in lines)
    assert any(line.startswith("Intercept & $-1.") for line in lines)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_and_options(capsys, shell):
    with pytest.raises(SystemExit) as stop:
        main(["--print-completion", shell])
    assert stop.value.code == GOOD
    out = capsys.readouterr().out
    assert "predict" in out and "--new-levels" in out
    with pytest.raises(SystemExit) as stop:
        main(["--print-completion", "dos"])
    assert stop.value.code == BAD_INPUT


def test_the_installed_copy_is_right(capsys):
    code, out, _ = run(capsys, "verify")
    assert code == GOOD
    assert out.count("passed  ") == 11 and "all 11 passed" in out
    assert "numba" in out


def test_what_is_wrong_is_found(capsys, monkeypatch):
    from bayesglmm import verification

    monkeypatch.setattr(verification, "CBPP_LOGLIK", -92.1)
    monkeypatch.setattr(verification, "SLEEP", (251.4, 10.5))
    monkeypatch.setattr(verification, "EPIL", {"lbase": (0.8, 0.14, 8732)})
    code, out, _ = run(capsys, "verify", "--json")
    failed = {check["name"] for check in json.loads(out)["checks"] if not check["ok"]}
    assert code == NOT_CONVERGED
    assert failed == {"Laplace fit, glmmTMB", "REML fit, lme4", "posterior, long run of Stan"}


def test_a_check_that_breaks_is_a_check_that_failed(monkeypatch):
    from bayesglmm import verification

    monkeypatch.setattr(verification, "CHECKS", {"broken": lambda: 1 / 0})
    found = verification.verify()
    assert not found.ok and "ZeroDivisionError" in str(found)
