"""The report: one page that needs nothing else, says what was done, and can be done again."""

import base64
import csv
import html
import io
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm import cli
from bayesglmm.report import words


@pytest.fixture(scope="module")
def seizures():
    model = bg.glmm(
        "seizures ~ log(base) * treat + (visit | id)", bg.load_dataset("epilepsy"), "poisson"
    )
    return model.sample(draws=300, warmup=300, seed=5, progress=False)


@pytest.fixture(scope="module")
def page(seizures, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "seizures.html"
    assert seizures.report(path) == path
    return path.read_text(encoding="utf-8")


def test_nothing_of_the_page_lies_elsewhere(page):
    for attribute in re.findall(r'(?:src|href|action|data)="([^"]*)"', page):
        assert attribute.startswith("data:"), attribute
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_images_are_pngs_with_words_for_who_does_not_see_them(page):
    images = re.findall(r'<img src="data:image/png;base64,([^"]+)" width="\d+" alt="([^"]+)"', page)
    assert len(images) == page.count("<img") >= 5
    for source, words_instead in images:
        assert base64.b64decode(source).startswith(b"\x89PNG")
        assert words_instead


def test_the_verdict_comes_first_and_tables_hold_what_the_summary_holds(page, seizures):
    text = html.unescape(page)
    assert text.index(str(seizures.verdict).splitlines()[0]) < text.index("The question")
    source = re.search(r'href="data:text/plain;base64,([^"]+)" download="coefficients.csv"', page)
    rows = list(csv.reader(io.StringIO(base64.b64decode(source[1]).decode())))
    summary = seizures.summary().loc[list(seizures.model.names.fixed)]
    np.testing.assert_array_equal(np.array(rows[1:])[:, 1:].astype(float), summary.to_numpy())
    assert "Rate ratios" in page
    for line in seizures.model.describe()["Priors"]:
        assert line in text


def test_the_code_of_the_report_makes_the_same_draws(seizures):
    code = words.code(seizures).replace("data = ...", "data = bg.load_dataset('epilepsy')")
    names: dict = {}
    exec(code, names)
    np.testing.assert_array_equal(names["post"].theta, seizures.theta)
    assert words.fingerprint(names["model"]) == words.fingerprint(seizures.model)


def test_the_code_of_the_report_says_what_was_left_out_and_weighted():
    data = frame().assign(w=2.0)
    data.loc[3, "x"] = np.nan
    model = bg.glmm("y ~ x + (1 | g)", data, "gamma", missing="drop", weights="w")
    post = model.sample(draws=20, warmup=50, chains=1, seed=1, progress=False)
    code = words.code(post).replace("weights=...", "weights='w'")
    names = {"data": data}
    exec(code.replace("data = ...", ""), names)
    assert words.fingerprint(names["model"]) == words.fingerprint(model)
    inside = bg.glmm("y | weights(w) ~ x", data, "gamma", missing="drop")
    post = inside.sample(draws=20, warmup=50, chains=1, seed=1, progress=False)
    assert "weights=" not in words.code(post)


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(12), 6)
    x = rng.normal(size=g.size)
    y = np.exp(0.5 + 0.2 * x + rng.normal(size=12)[g] * 0.4 + 0.3 * rng.normal(size=g.size))
    return pd.DataFrame({"y<b>": y, "x&": x, "g": [f"<i>{k}" for k in g], "y": y, "x": x})


@pytest.mark.parametrize(
    ("formula", "family", "options"),
    [
        ("y ~ x + (x | g)", "gamma", {"priors": {"g": bg.InverseWishart(5, 1.0)}}),
        ("y ~ x + (x || g)", "gaussian", {"center": False}),
        ("y ~ x", "gaussian", {}),
    ],
)
def test_other_models_have_reports_and_their_code_too(formula, family, options):
    data = frame()
    model = bg.glmm(formula, data, family, **options)
    post = model.sample(draws=250, warmup=300, seed=3, progress=False)
    names: dict = {}
    exec(words.code(post).replace("data = ...", "data = frame()"), {"frame": frame}, names)
    np.testing.assert_array_equal(names["post"].theta, post.theta)
    from bayesglmm.report.page import html as text_of

    text = text_of(post)
    assert "<i>" not in text  # levels of g are escaped, or in images
    assert "Methods, ready to paste" in text


def test_effects_that_were_not_kept_are_said_to_be(tmp_path):
    model = bg.glmm("y ~ x + (1 | g)", frame(), "gamma")
    post = model.sample(draws=250, warmup=300, seed=3, keep="summary", progress=False)
    text = post.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "were not kept" in text
    for kind in ("quantile", "response"):
        with pytest.raises(bg.DataError, match="were not kept"):
            post.residuals(kind)


def test_a_report_that_did_not_converge_says_so(tmp_path):
    model = bg.glmm("y ~ x + (1 | g)", frame(), "gamma")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.ConvergenceWarning)
        post = model.sample(draws=40, warmup=20, seed=3, progress=False)
    text = post.report(tmp_path / "r.html", fits=(), title="Short <run>").read_text(
        encoding="utf-8"
    )
    assert 'class="verdict bad"' in text
    assert "Convergence was NOT reached" in text
    assert "Short &lt;run&gt;" in text
    assert "Beside maximum likelihood" not in text


def test_files_are_not_replaced_unasked(seizures, tmp_path):
    path = tmp_path / "r.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="force=True"):
        seizures.report(path)
    assert path.read_text() == "mine"
    with pytest.raises(bg.DataError, match=r"saved as \.html"):
        seizures.report(tmp_path / "r.pdf")
    with pytest.raises(OSError, match="does not exist"):
        seizures.report(tmp_path / "nowhere" / "r.html")


def test_the_command_line_writes_it_from_a_saved_posterior(seizures, tmp_path, capsys):
    saved = tmp_path / "seizures.nc"
    seizures.save(saved)
    assert cli.main(["report", str(saved)]) == (0 if seizures.verdict.ok else 1)
    assert capsys.readouterr().out.strip() == str(tmp_path / "seizures.html")
    assert cli.main(["report", str(saved)]) == 2
    assert "--force" in capsys.readouterr().err
    assert cli.main(["report", str(saved), str(tmp_path / "r.txt")]) == 2


def test_sampling_on_the_command_line_may_write_one(tmp_path, capsys):
    path = tmp_path / "r.html"
    arguments = ["sample", "cbpp", "incidence | trials(size) ~ period + (1 | herd)", "--family"]
    arguments += ["binomial", "--seed", "1", "--quiet", "--report", str(path)]
    assert cli.main(arguments) == 0
    assert "Odds ratios" in path.read_text(encoding="utf-8")
    assert cli.main([*arguments[:-1], str(tmp_path / "r.doc")]) == 2
    assert ".html" in capsys.readouterr().err
