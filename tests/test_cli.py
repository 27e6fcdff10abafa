"""The command line: what it prints where, and its exit codes."""

import json
import os
import subprocess
import sys

import pytest

import bayesglmm as bg
from bayesglmm.cli import BAD_INPUT, GOOD, INTERRUPTED, NOT_CONVERGED, main

SEIZURES = ["sample", "epilepsy", "seizures ~ treat + (1|id)", "--family", "poisson"]
SHORT = ["--seed", "1", "--warmup", "300", "--draws", "400", "--jobs", "1", "--quiet"]


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    "arguments, word",
    [(["--version"], "0.1.0"), (["--help"], "epilepsy"), (["sample", "--help"], "exit codes")],
)
def test_version_and_help_are_good(capsys, arguments, word):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == GOOD
    assert word in capsys.readouterr().out


def test_datasets_are_listed(capsys):
    code, out, _ = run(capsys, "datasets")
    assert code == GOOD
    assert {"epilepsy", "sleepstudy", "cbpp", "rikz", "depression"} <= {
        line.split()[0] for line in out.splitlines()
    }


def test_json_is_one_object_and_nothing_else(capsys):
    code, out, err = run(capsys, *SEIZURES, *SHORT, "--json", "--prior", "b=normal(0, 2.5)")
    record = json.loads(out)
    assert err == ""
    assert code == (GOOD if record["converged"] else NOT_CONVERGED)
    assert [row["name"] for row in record["summary"]][0] == "Intercept"
    assert {"mean", "sd", "median", "2.5%", "97.5%", "r_hat"} <= set(record["summary"][0])
    assert record["seed"] == 1 and record["chains"] == 4 and record["draws"] == 400
    assert record["seconds"] and record["versions"]["bayesglmm"] == bg.__version__
    assert any("Normal(0, 2.5)" in line for line in record["priors"])


def test_a_csv_file_and_the_shipped_data_give_the_same_draws(capsys, tmp_path):
    path = tmp_path / "seizures.csv"
    bg.load_dataset("epilepsy").to_csv(path, index=False)
    results = []
    for data in ("epilepsy", path):
        formula = ["seizures ~ visit + (1|id)", "--family", "poisson"]
        code, out, _ = run(capsys, "sample", data, *formula, *SHORT, "--json")
        results.append((code, json.loads(out)["summary"]))
    assert results[0] == results[1]


def test_few_draws_are_not_converged(capsys):
    arguments = [*SEIZURES, "--seed", 1, "--chains", 2, "--warmup", 20, "--draws", 20, "--quiet"]
    code, out, _ = run(capsys, *arguments)
    assert code == NOT_CONVERGED
    assert "NOT converged" in out


def test_save_writes_a_posterior_that_loads(capsys, tmp_path):
    path = tmp_path / "fit.nc"
    code, out, _ = run(capsys, *SEIZURES, *SHORT, "--save", path)
    assert code in (GOOD, NOT_CONVERGED)
    assert str(bg.load(path)) == out.rstrip("\n")
    code, out, err = run(capsys, *SEIZURES, *SHORT, "--save", path)
    assert (code, out) == (BAD_INPUT, "")
    assert "--force" in err


def test_effects_are_summed_up_streamed_and_kept_safe(capsys, tmp_path):
    draws = [*SEIZURES, "--seed", 1, "--warmup", 30, "--draws", 30, "--json"]
    whole = json.loads(run(capsys, *draws)[1])["summary"]
    file, kept = tmp_path / "u.nc", tmp_path / "run.ckpt"
    for more in (["--keep", "summary"], ["--stream", file, "--checkpoint", kept]):
        assert json.loads(run(capsys, *draws, *more)[1])["summary"] == whole
    assert file.exists()
    # The same command finds what it made; another one may not have its files.
    again = run(capsys, *draws, "--keep", "stream", "--stream", file, "--checkpoint", kept)
    assert json.loads(again[1])["summary"] == whole
    code, out, err = run(capsys, *draws, "--stream", file)
    assert (code, out) == (BAD_INPUT, "") and "a stream replaces no file" in err
    code, out, err = run(capsys, *draws, "--draws", 31, "--checkpoint", kept)
    assert (code, out) == (BAD_INPUT, "") and "checkpoint of another run" in err
    code, out, err = run(capsys, *draws, "--keep", "stream")
    assert (code, out) == (BAD_INPUT, "") and "takes stream=" in err


def test_timing_goes_to_stderr_by_phase(capsys):
    _, out, err = run(capsys, *SEIZURES, *SHORT, "--timing")
    phases = [line.split()[0] for line in err.splitlines()]
    assert phases[:2] == ["import", "design"]
    assert phases[-1] == "summary"
    assert "sampling" in phases
    assert " s" not in out.splitlines()[0]


def test_fit_prints_estimates(capsys):
    code, out, _ = run(capsys, "fit", "sleepstudy", "Reaction ~ Days + (Days|Subject)", "--json")
    record = json.loads(out)
    assert code == GOOD
    # lme4 1.1-31, lmer(Reaction ~ Days + (Days | Subject), REML = FALSE): logLik -875.9697
    assert record["loglik"] == pytest.approx(-875.9697, abs=1e-3)
    assert record["summary"][1]["name"] == "Days"
    code, out, _ = run(capsys, "fit", "sleepstudy", "Reaction ~ Days + (Days|Subject)")
    assert code == GOOD and "sd(Days|Subject)" in out


def test_interruption_before_any_draw(capsys, monkeypatch):
    from bayesglmm import model

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(model.Model, "sample", interrupted)
    code, out, err = run(capsys, *SEIZURES)
    assert (code, out) == (INTERRUPTED, "")
    assert "interrupted" in err


BAD = {
    "missing file": (["nowhere.csv", "y ~ x"], "nowhere.csv"),
    "address": (["https://example.org/d.csv", "y ~ x"], "example.org"),
    "unknown column": (["epilepsy", "seizures ~ tret + (1|id)"], "treat"),
    "formula": (["epilepsy", "seizures ~ treat + (1|id"], "^"),
    "family": (["epilepsy", "seizures ~ treat", "--family", "poison"], "poisson"),
    "link": (["epilepsy", "seizures ~ treat", "--family", "poisson", "--link", "logit"], "logit"),
    "no prior": (["epilepsy", "seizures ~ treat", "--prior", "b"], "="),
    "prior scale": (["epilepsy", "seizures ~ treat", "--prior", "b=normal(0,-1)"], "-1"),
    "prior name": (["epilepsy", "seizures ~ treat", "--prior", "b=gauss(0,1)"], "gauss"),
    "prior key": (["epilepsy", "seizures ~ treat", "--prior", "nobody=normal(0,1)"], "nobody"),
    "factor": (["epilepsy", "seizures ~ treat", "--factor", "visit"], "factor(column)"),
    "draws": (["epilepsy", "seizures ~ treat", "--draws", "0"], "draws"),
    "chains": (["epilepsy", "seizures ~ treat", "--chains", "0"], "chains"),
    "seed": (["epilepsy", "seizures ~ treat", "--seed", "-1"], "seed"),
    "acceptance": (["epilepsy", "seizures ~ treat", "--target-accept", "1.5"], "target_accept"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_two_and_words_on_stderr(capsys, what):
    arguments, word = BAD[what]
    code, out, err = run(capsys, "sample", *arguments)
    assert (code, out) == (BAD_INPUT, "")
    assert word in err and err.startswith("bayesglmm: ")


@pytest.mark.parametrize(
    "content, word",
    [(b"y,x\n1,2\n3\n", "3"), (b"y,y\n1,2\n", "y"), (b"y,x\n1,\x002\n", "2"), (b"", "empty")],
)
def test_a_broken_file_is_refused_with_its_line(capsys, tmp_path, content, word):
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    code, out, err = run(capsys, "sample", path, "y ~ x")
    assert (code, out) == (BAD_INPUT, "")
    assert word in err.replace(str(tmp_path), "")


@pytest.mark.parametrize(
    "arguments", [["sample"], ["sample", "a", "b", "--draws", "x"], ["smaple"]]
)
def test_wrong_arguments_are_said_on_one_line(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == BAD_INPUT
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["datasets"], ["--print-completion", "bash"]])
def test_a_reader_that_has_seen_enough_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    made = subprocess.run(
        [sys.executable, "-m", "bayesglmm.cli", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (made.returncode, made.stderr) == (3, "")


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "bayesglmm.cli", "sample", "nowhere.csv", "y ~ x"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == BAD_INPUT
    assert "Traceback" not in done.stderr
