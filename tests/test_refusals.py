"""What is refused in words, or shown in few digits, where nothing is sampled."""

import copy
import json
import math
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm import any_draws, checks, comparison, frames
from bayesglmm.cli import main
from bayesglmm.columns import Table
from bayesglmm.design import build
from bayesglmm.errors import DataError, FormulaError, PriorError
from bayesglmm.listing import Listing
from bayesglmm.prior_defaults import rescaled
from bayesglmm.series import of_values

N = 24


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "y": rng.normal(size=N),
            "x": rng.normal(size=N),
            "k": rng.integers(0, 3, N) + np.arange(N) % 2,
            "f": np.resize(["a", "b", "c"], N),
            "g": np.resize(list("stuvwxyz"), N),
            "yes": np.resize(["no", "yes", "no"], N),
        }
    )


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y + x", "a formula is: response ~ terms"),
        ("~ x", "a term is expected before '~'"),
        ("y ~ x + (1 | g + f)", "right of a bar is a column of groups"),
        ("y ~ x + (1 | log(g))", "right of a bar is a column of groups"),
        ("y ~ " + "(" * 300 + "x" + ")" * 300, "nested"),
        ("y ~ x +", "the formula ends where a term is expected"),
        ("y ~ x + * f", "a term is expected before '*'"),
    ],
)
def test_formulas(formula, words):
    with pytest.raises(FormulaError, match=re.escape(words)):
        build(formula, frame())


def test_a_sign_before_a_term_is_read():
    assert build("y ~ I(+x)", frame()).X[:, 1].tolist() == frame().x.tolist()


def test_a_reference_level_inside_of_a_factor():
    columns = build("y ~ ref(factor(k), '2')", frame()).columns
    assert [name[-3:] for name in columns[1:]] == ["[0]", "[1]", "[3]"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"formula": "yes ~ x", "family": "bernoulli", "reference": {"yes": "maybe"}}, "no level"),
        ({"formula": "yes ~ x"}, "is text; gaussian needs numbers"),
        ({"weights": "f"}, "the weights in column 'f' are text"),
        ({"weights": [[1.0], [2.0, 3.0]]}, "weights have to be 24 numbers, one a row"),
        ({"weights": np.ones(N), "formula": "y | weights(k) ~ x"}, "weights are given twice"),
        ({"formula": "k | trials(m) ~ x", "family": "binomial"}, "nothing to learn from"),
    ],
)
def test_data(arguments, words):
    asked = {"formula": "y ~ x", "data": frame().assign(k=0, m=0), **arguments}
    with pytest.raises(DataError, match=words):
        build(**asked)


def test_combinations_of_levels_that_have_one_name():
    data = frame().assign(p=np.resize(["a", "a:b"], N), q=np.resize(["b:c", "c", "b:c", "c"], N))
    with pytest.raises(DataError, match="two combinations of levels would both be called 'a:b:c'"):
        build("y ~ x + (1 | p:q)", data)


def test_a_column_that_is_a_data_frame():
    with pytest.raises(DataError, match="column 'x' is itself a data frame"):
        of_values("x", frame()[["x", "y"]])


PRIORS = [
    ({"sd": bg.Normal(0, 1)}, r"priors\['sd'\] must be one of .*HalfNormal"),
    ({"g": bg.LKJ(2)}, "must be InverseWishart, HuangWand or a dict"),
    ({"g": {"scale": bg.HalfNormal(1)}}, "knows 'sd' and 'cor', not 'scale'"),
    ({"g": {"sd": {"z": bg.HalfNormal(1)}}}, "names 'z'; the columns are Intercept, x"),
    ({"g": {"cor": bg.HalfNormal(1)}}, r"priors\['cor'\] must be LKJ"),
]


@pytest.mark.parametrize(("priors", "words"), PRIORS)
def test_priors(priors, words):
    with pytest.raises(PriorError, match=words):
        bg.glmm("y ~ x + (x | g)", frame(), priors=priors)


def test_a_matrix_prior_of_effects_without_correlations():
    with pytest.raises(PriorError, match="needs an unstructured Sigma"):
        bg.glmm("y ~ x + (x || g)", frame(), priors={"g": bg.HuangWand(1.0)})


GOOD = {"draws": 10, "warmup": 10, "chains": 2}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"jobs": 0}, "jobs"),
        ({"seed": -1}, "seed"),
        ({"executor": 3}, "executor has to be a concurrent.futures.Executor"),
        ({"checkpoint": 3}, "checkpoint has to be the name of a file"),
        ({"checkpoint_seconds": -1.0}, "checkpoint_seconds has to be a number of 0 or more"),
        ({"target_accept": True}, "target_accept"),
    ],
)
def test_arguments_of_samplers(asked, words):
    checks.sampler_arguments(**GOOD)
    with pytest.raises(DataError, match=words):
        checks.sampler_arguments(**GOOD, **asked)


def test_files_of_commas(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("y;x\n1,5;2\n2,5;3\n")
    with pytest.raises(DataError, match="decimal commas"):
        frames.read_columns(str(path))
    path.write_text("id,x\n007,1\n012,NA\n,NA\n")
    columns = Table(frames.read_columns(str(path)))
    # Leading zeros are of texts: 007 is no number.
    assert not columns.column("id").is_numeric
    assert columns.column("x").missing.tolist() == [False, True, True]


def test_digits_of_comparisons():
    assert comparison._decimals([math.nan, 0.0]) == 3
    assert comparison._decimals([0.5, 0.004]) == comparison._decimals([0.004])
    assert comparison._decimals([1e-12]) is None
    assert comparison._value(math.nan, 2) == "-"
    assert comparison._value(1.0, None) == "1.00e+00" and comparison._value(1.0, 2) == "1.00"


def test_rows_of_a_listing():
    whole = Listing("T", {"name": ["a", "b", "c"], "x": [1.0, math.nan, np.inf]}, {}, "name")
    assert whole.take([2, 0]).columns == {"name": ["c", "a"], "x": [np.inf, 1.0]}
    assert whole.records()[1:] == [{"name": "b", "x": None}, {"name": "c", "x": None}]


def test_completion_is_for_known_shells(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "none"])
    assert ended.value.code == 2
    assert "bash" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "bash"])
    assert ended.value.code == 0 and "bayesglmm" in capsys.readouterr().out


def test_datasets_are_listed_for_people_and_programs(capsys):
    assert main(["datasets", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert main(["datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(described) and "epilepsy" in described


def test_a_folder_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    allowed = os.access  # root may write everywhere
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != tmp_path and allowed(path, mode)
    )
    code = main(["fit", "epilepsy", "seizures ~ treat", "--save", str(tmp_path / "a.nc")])
    assert code != 0 and "nothing can be written" in capsys.readouterr().err


def test_a_parquet_file_says_what_its_columns_are(tmp_path, capsys):
    path = tmp_path / "d.parquet"
    frame().to_parquet(path)
    assert main(["fit", str(path), "y ~ x + (1 | g)", "--factor", "k"]) != 0
    assert "whose columns" in capsys.readouterr().err


def test_rescaled_priors_keep_their_shape():
    made = rescaled(bg.StudentT(3, 1.0, 2.0), 4.0)
    assert (made.df, made.mean, made.scale) == (3, 4.0, 8.0)


def test_numbers_of_rows_take_no_memory_where_all_are_used(tmp_path):
    whole = build("y ~ x + (1 | g)", frame())
    assert "rows" not in vars(whole)
    np.testing.assert_array_equal(whole.rows, np.arange(N))
    for other in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole)), replace(whole)):
        np.testing.assert_array_equal(other.rows, np.arange(N))
        assert other.rows.dtype == np.int64 and "rows" not in vars(other)
    data = frame().assign(x=lambda f: f.x.where(f.index != 3))
    some = build("y ~ x + (1 | g)", data, missing="drop")
    np.testing.assert_array_equal(some.rows, np.delete(np.arange(N), 3))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(some)).rows, some.rows)
    with pytest.raises(AttributeError, match="'Design' object has no attribute 'row'"):
        name = "row"
        getattr(whole, name)
    bg.glmm("y ~ x", frame()).fit().save(tmp_path / "fit.nc")
    np.testing.assert_array_equal(bg.load(tmp_path / "fit.nc").model.design.rows, np.arange(N))


DRAWS = np.random.default_rng(6).normal(size=(2, 30))


@pytest.mark.parametrize(
    ("draws", "arguments", "words"),
    [
        ({}, {}, "is empty"),
        (np.empty((2, 30, 0)), {}, "has no parameters"),
        ([["a", "b"]], {}, "holds <U1, no numbers"),
        ([[1.0, "b"], [object(), 2.0]], {}, "is no array of numbers"),
        ({"b": DRAWS}, {"names": ["b"]}, "names are for arrays"),
        (pd.DataFrame({"chain": [1, 2], ".chain": [1, 2], "b": [1.0, 2.0]}), {}, "both say which"),
        (pd.DataFrame({"chain": [1.0, np.nan], "b": [1.0, 2.0]}), {}, "'chain' lacks values"),
        (pd.DataFrame(DRAWS[:, :2], columns=["b", "b"]), {}, "two columns of the same name"),
    ],
)
def test_draws_from_elsewhere(draws, arguments, words):
    with pytest.raises(DataError, match=words):
        bg.diagnose(draws, **arguments)


def test_a_fit_has_no_draws():
    with pytest.raises(DataError, match=r"has no draws; sample\(\) makes a posterior"):
        bg.diagnose(bg.glmm("y ~ x", frame()).fit())


def test_columns_that_are_no_draws_are_left_out():
    data = any_draws.read({"b": DRAWS, "accept_stat__": np.abs(DRAWS)})
    assert data.names == ("b",) and data.values.shape == (2, 30, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": ["b", "c"]}, "do not both have 'c'"),
        ({"length": 20}, "has 30 draws a chain and .* 20"),
    ],
)
def test_chains_that_do_not_go_together(changes, words):
    names = changes.get("names", ["b"])
    other = {name: DRAWS[:, : changes.get("length", 30)] for name in names}
    with pytest.raises(DataError, match=words):
        any_draws.beside([any_draws.read({"b": DRAWS}), any_draws.read(other)])
