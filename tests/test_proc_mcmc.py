"""The page for users of SAS: its Python runs as one script, with fewer draws."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "examples" / "proc_mcmc.md"
FEWER = {"nbi": 100, "nmc": 200, "ntu": 100, "maxtune": 2}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)


@pytest.mark.filterwarnings("ignore::bayesglmm.ConvergenceWarning")
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        for option, few in FEWER.items():
            block = re.sub(rf"\b{option}=\d+", f"{option}={few}", block)
        exec(compile(block, str(PAGE), "exec"), names)
    text = capsys.readouterr().out
    for words in ("Deviance Information Criterion", "Raftery-Lewis", "period 1 against 4"):
        assert words in text
    assert {path.name for path in tmp_path.iterdir()} == {"post.csv", "herds.csv"}
    assert len(names["post"].to_frame()) == 100
    assert list(names["post"].ods["TuneHistory"]["Sampling Method"].unique()) == ["random_walk"]
    assert names["herds"].names.fixed == ("Intercept", "period[1]", "period[2]", "period[3]")


def test_every_line_of_the_programs_is_explained():
    page = PAGE.read_text("utf-8")
    explained = page[page.index("| SAS |") :]
    for program in blocks("sas"):
        for word in re.findall(r"\b(\w+)=", program):
            if word not in ("var", "scale", "shape", "data", "stats", "alpha", "percent", "type"):
                assert re.search(rf"`{word}|\b{word}=", explained), word
