"""The command line of fits and comparisons: the same numbers as Python's, and files."""

import csv
import json

import pytest

import bayesglmm as bg
from bayesglmm import exports
from bayesglmm.cli import BAD_INPUT, GOOD, NOT_CONVERGED, main
from bayesglmm.cli_fit import METHODS
from bayesglmm.fitting import METHODS as FITTED

SLEEP = ["fit", "sleepstudy", "Reaction ~ Days + (1|Subject)"]
SEIZURES = ["epilepsy", "seizures ~ treat + (1|id)", "--family", "poisson"]
SHORT = ["--seed", "1", "--warmup", "300", "--draws", "400", "--jobs", "1", "--quiet"]


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    return code, *capsys.readouterr()


def sleep(effects="(1|Subject)"):
    return bg.glmm(f"Reaction ~ Days + {effects}", bg.load_dataset("sleepstudy"))


def test_every_method_can_be_asked_for():
    assert set(METHODS) == set(FITTED)


def test_what_is_printed_is_the_fit(capsys):
    code, out, _ = run(capsys, *SLEEP, "--method", "reml")
    assert (code, out.rstrip("\n")) == (GOOD, str(sleep().fit("reml")))


def test_options_reach_the_fit(capsys):
    code, out, _ = run(capsys, "fit", *SEIZURES, "--method", "aghq", "--nodes", 5, "--json")
    assert code == GOOD and json.loads(out)["nodes"] == 5
    _, out, _ = run(capsys, *SLEEP, "--method", "reml", "--df", "residual", "--level", 0.9)
    assert "residual degrees of freedom" in out and "95%" in out and "97.5%" not in out
    code, out, err = run(capsys, *SLEEP, "--nodes", 5)
    assert (code, out) == (BAD_INPUT, "") and "nodes belongs to aghq" in err


def test_json_holds_every_table(capsys):
    arguments = ["--method", "ml", "--type3", "--variances", "--limits", "profile", "--json"]
    contrasts = ["--contrast", "after nine=9*Days", "--contrast", "Intercept + 9*Days"]
    null = ["--anova", "Reaction ~ 1 + (1|Subject)"]
    code, out, _ = run(capsys, *SLEEP, *arguments, *contrasts, *null)
    record, fit = json.loads(out), sleep().fit("ml")
    assert code == GOOD and record["converged"] and record["warnings"] == []
    assert record["loglik"] == fit.loglik and record["parameters"] == 4
    assert [row["name"] for row in record["summary"]] == list(fit.names)
    assert record["type3"][0]["F"] == pytest.approx(fit.type3()["F"]["Days"])
    assert record["variances"][0]["estimate"] == pytest.approx(fit.variances()["estimate"].iloc[0])
    assert [row["name"] for row in record["contrasts"]] == ["after nine", "Intercept + 9*Days"]
    assert record["contrasts"][0]["estimate"] == pytest.approx(9 * fit.beta[1])
    assert len(record["profile"]) == len(fit.names)
    found = bg.anova(bg.glmm(null[1], bg.load_dataset("sleepstudy")).fit("ml"), fit).frame()
    assert record["anova"][1]["chi2"] == pytest.approx(found["chi2"].iloc[1], rel=1e-10)
    assert record["anova"][0]["chi2"] is None


def test_the_same_is_printed_under_headings(capsys):
    options = ["--method", "reml", "--type3", "--variances", "--refit", "--exponentiate"]
    more = ["--contrast", "Days=Days", "--anova", "Reaction ~ 1 + (1|Subject)"]
    code, out, _ = run(capsys, *SLEEP, *options, *more)
    assert code == GOOD
    for heading in ("Type III tests", "Variances and covariances", "Contrasts", "Likelihood-ratio"):
        assert heading in out
    code, out, err = run(capsys, *SLEEP, "--method", "reml", *more)
    assert code == BAD_INPUT and "refit" in err


def test_separation_is_not_good(capsys, tmp_path):
    path = tmp_path / "apart.csv"
    path.write_text("y,x,g\n" + "".join(f"{k // 10},{k},{k % 4}\n" for k in range(20)))
    arguments = [path, "y ~ x + (1|g)", "--family", "bernoulli", "--quiet"]
    code, out, _ = run(capsys, "fit", *arguments)
    assert code == NOT_CONVERGED
    assert "NOT CONVERGED" in out and "x separates y" in out
    code, out, _ = run(capsys, "compare", *arguments, "--no-posterior", "--json")
    assert code == NOT_CONVERGED
    assert json.loads(out)["flags"][0]["kind"] == "no maximum"


def test_a_fit_is_saved_and_loaded(capsys, tmp_path):
    path, table, plot = (tmp_path / name for name in ("fit.nc", "fit.csv", "fit.png"))
    files = ["--save", path, "--table", table, "--plot", plot]
    code, out, _ = run(capsys, *SLEEP, *files)
    assert code == GOOD
    assert str(bg.load(path)) == out.rstrip("\n")
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    fit = sleep().fit()
    assert [row["name"] for row in rows] == list(fit.names)
    assert [float(row["estimate"]) for row in rows] == pytest.approx(list(fit.estimate), rel=1e-9)
    assert plot.read_bytes().startswith(b"\x89PNG")
    for option in ("--save", "--table", "--plot"):
        taken = files[files.index(option) + 1]
        code, out, err = run(capsys, *SLEEP, option, taken)
        assert (code, out) == (BAD_INPUT, "") and "--force" in err
    assert run(capsys, *SLEEP, *files, "--force")[0] == GOOD


def test_the_saved_limits_are_those_asked_for(capsys, tmp_path):
    table = tmp_path / "fit.csv"
    options = ["--method", "reml", "--limits", "profile", "--table", table]
    assert run(capsys, *SLEEP, *options)[0] == GOOD
    with open(table, encoding="utf-8", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    fit = sleep().fit("reml")
    for method in ("wald", "profile"):
        for name, limits in fit.confint(method=method).iterrows():
            for end, value in limits.items():
                assert float(rows[name][f"{method} {end}"]) == pytest.approx(value, rel=1e-6)
    assert rows["Days"]["profile 2.5%"] == ""  # a restricted likelihood has none
    assert "2.5%" not in rows["Days"]


def test_compare_refuses_an_option_of_no_method(capsys):
    options = ["--nodes", 5, "--no-posterior", "--methods"]
    code, out, err = run(capsys, "compare", *SEIZURES, *options, "laplace")
    assert (code, out) == (BAD_INPUT, "") and "--nodes belongs to aghq" in err
    code, out, _ = run(capsys, "compare", *SEIZURES, *options, "laplace,aghq")
    assert code == GOOD and "5 nodes" in out


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("--save", "nowhere/fit.nc", "does not exist"),
        ("--plot", "nowhere/fit.png", "does not exist"),
        ("--table", "nowhere/fit.csv", "does not exist"),
        ("--save", "", "is a folder"),
        ("--plot", "fit.plot", "a plot is saved as"),
    ],
)
def test_files_are_refused_before_the_fit(capsys, tmp_path, option, name, words):
    code, out, err = run(capsys, *SLEEP, option, tmp_path / name)
    assert (code, out) == (BAD_INPUT, "") and words in err and "bytes" not in err


def test_a_fit_is_not_saved_where_no_file_can_be(tmp_path):
    fit = sleep().fit()
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere of fit.nc does not exist"):
        fit.save(tmp_path / "nowhere" / "fit.nc")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        fit.save(tmp_path, force=True)


def test_compare_prints_and_saves_the_comparison(capsys, tmp_path):
    path, table, plot = (tmp_path / name for name in ("post.nc", "table.md", "forest.png"))
    files = ["--save", path, "--table", table, "--plot", plot]
    methods = ["--methods", "laplace,aghq", "--nodes", 7]
    code, out, _ = run(capsys, "compare", *SEIZURES, *SHORT, *methods, *files)
    post = bg.load(path)
    fits = (post.model.fit("laplace"), post.model.fit("aghq", nodes=7))
    assert out.rstrip("\n") == str(bg.compare(post, *fits))
    assert code == (GOOD if post.verdict.ok else NOT_CONVERGED)
    lines = table.read_text().splitlines()
    assert lines[0].startswith("| parameter | kind | method | estimate | se |")
    assert len(lines) == 2 + 3 * 3
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_compare_as_json(capsys):
    code, out, err = run(capsys, "compare", *SEIZURES, *SHORT, "--json", "--effects")
    record = json.loads(out)
    assert err == ""
    assert record["methods"] == ["posterior", "laplace"]
    assert code == (GOOD if all(record["converged"]) else NOT_CONVERGED)
    assert {row["kind"] for row in record["rows"]} == {"fixed", "sd", "u"}
    assert record["seed"] == 1 and record["priors"]


def test_a_gaussian_response_is_compared_with_reml(capsys):
    arguments = ["sleepstudy", "Reaction ~ Days + (1|Subject)", "--no-posterior", "--json"]
    code, out, _ = run(capsys, "compare", *arguments)
    assert code == GOOD and json.loads(out)["methods"] == ["reml"]


BAD = {
    "method": (["fit", *SEIZURES, "--method", "reml"], "gaussian"),
    "contrast": (["fit", *SEIZURES, "--contrast", "a=treatt"], "treat"),
    "table": (["fit", *SEIZURES, "--table", "table.xls"], ".csv or .md"),
    "save": (["compare", *SEIZURES, "--no-posterior", "--save", "x.nc"], "no-posterior"),
    "draws": (["compare", *SEIZURES, "--draws", "0"], "draws"),
    "level": (["fit", *SEIZURES, "--level", "95"], "level"),
    "anova": (["fit", *SEIZURES, "--anova", "seizures ~ tret"], "treat"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_two_and_words_on_stderr(capsys, what):
    arguments, word = BAD[what]
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (BAD_INPUT, "")
    assert word in err and err.startswith("bayesglmm: ")


@pytest.mark.parametrize("methods", ["lapalce", "", "laplace,reml2"])
def test_unknown_methods_are_said_on_one_line(capsys, methods):
    with pytest.raises(SystemExit) as stop:
        main(["compare", *SEIZURES, "--methods", methods])
    assert stop.value.code == BAD_INPUT
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and "there are laplace, aghq" in err


@pytest.mark.parametrize("command", ["fit", "compare"])
def test_help_shows_examples(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == GOOD
    assert f"bayesglmm {command}" in capsys.readouterr().out.partition("examples:")[2]


def test_cells_that_a_spreadsheet_would_run_are_disarmed(tmp_path):
    path = tmp_path / "t.csv"
    exports.save(path, [{"name": "=cmd()", "x": -1.5, "text": "@a"}, {"name": "b", "x": None}])
    assert path.read_text() == "name,x,text\n'=cmd(),-1.5,'@a\nb,,\n"


def test_bars_do_not_break_a_markdown_table(tmp_path):
    path = tmp_path / "t.md"
    exports.save(path, [{"name": "sd(x|g)", "x": 0.5}])
    assert path.read_text().splitlines()[2] == "| sd(x\\|g) | 0.5 |"
