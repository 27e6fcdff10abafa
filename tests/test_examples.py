"""The examples run, and say what their texts promise."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

# Words that each has to print.
SAYS = {
    "epilepsy": ("rate ratio", "share"),
    "published_epilepsy": ("-2.3423", "-1.3681", "rate ratio is 1", "aghq"),
    "sleepstudy": ("251.4", "42.139", "posterior"),
    "depression": ("half-t(3, 0, 2.5)", "laplace"),
    "epil": ("1/size", "posterior #2"),
    "cbpp": ("period[1] / period[2]", "herd=new"),
    "rikz": ("1.66229", "sd(Intercept|Sample)"),
    "penicillin": ("22.972", "icc(sample)"),
    "salamander": ("laplace", "W female"),
    "tvsfp": ("cc with tv", "icc(school:class)"),
}


def run(name, *arguments):
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](["--draws", "200", *arguments])


@pytest.mark.filterwarnings("ignore::bayesglmm.ConvergenceWarning")
@pytest.mark.parametrize("name", SAYS)
def test_example_runs(name, capsys):
    run(name)
    text = capsys.readouterr().out
    for words in SAYS[name]:
        assert words in text


@pytest.mark.filterwarnings("ignore::bayesglmm.ConvergenceWarning")
def test_figure_of_depression(tmp_path, capsys):
    path = tmp_path / "depression.png"
    run("depression", "--figure", str(path))
    assert path.stat().st_size > 10_000


@pytest.mark.filterwarnings("ignore::bayesglmm.ConvergenceWarning")
def test_reports(tmp_path, capsys):
    run("reports", "--folder", str(tmp_path))
    for name in ("epilepsy", "depression", "sleepstudy"):
        assert f"{name}.html" in capsys.readouterr().out or (tmp_path / f"{name}.html").is_file()
        assert (EXAMPLES / "reports" / f"{name}.html").stat().st_size < 800_000


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SAYS, "reports"}
