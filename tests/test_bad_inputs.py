"""Bad inputs: refused or warned about in words, quickly, before anything compiles.

A row of the table is a number in the catalogue of cases (with a letter where a case has several
forms), the frame, what is asked of it, the outcome and words that the message must have. The frame
has 200 rows in 20 groups; all refusals run in one process without numba.
"""

import datetime
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from bayesglmm import checks
from bayesglmm.design import build
from bayesglmm.errors import DataError, DataWarning, FormulaError
from bayesglmm.model import glmm

N, GROUPS = 200, 20
MAX_SECONDS = 2.0


class Outcome(NamedTuple):
    """What became of an attempt."""

    kind: str  # "ok", "warn", "refuse"
    message: str
    result: Any


def attempt(formula: str, data: object, family: str = "gaussian", **arguments: Any) -> Outcome:
    """Do what a user does, and tell what became of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = glmm(formula, data, family, **arguments).design
        except (DataError, FormulaError, TypeError) as error:
            assert not isinstance(error, TypeError) or "argument" in str(error)
            return Outcome("refuse", str(error), None)
    messages = [str(w.message) for w in caught]
    assert all(issubclass(w.category, DataWarning) for w in caught), messages
    assert len(set(messages)) == len(messages)
    assert tuple(messages) == result.warnings
    return Outcome("warn" if messages else "ok", "\n".join(messages), result)


def frame(family: str = "poisson") -> pd.DataFrame:
    rng = np.random.default_rng(7)
    x = rng.normal(size=N)
    g = np.repeat(np.arange(GROUPS), N // GROUPS)
    eta = 0.3 + 0.4 * x + 0.3 * rng.normal(size=GROUPS)[g]
    draws = {
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "bernoulli": lambda: (rng.uniform(size=N) < 1 / (1 + np.exp(-eta))).astype(int),
        "binomial": lambda: rng.binomial(10, 1 / (1 + np.exp(-eta))),
        "gaussian": lambda: eta + rng.normal(size=N),
        "negative_binomial": lambda: rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(eta))),
        "gamma": lambda: rng.gamma(3.0, np.exp(eta) / 3.0),
    }
    columns = {"y": draws[family](), "x": x, "g": g, "n": np.full(N, 10)}
    return pd.DataFrame({**columns, "f": rng.choice(["a", "b", "c"], N), "v": rng.normal(size=N)})


def change(**columns: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Replace columns: by a value, or by what a function of the frame gives."""
    return lambda f: f.assign(**columns)


def at(column: str, row: int | slice, value: Any, kind: Any = None) -> Callable:
    """Put a value into a cell, after a change of type."""

    def put(f: pd.DataFrame) -> pd.DataFrame:
        values = f[column].to_numpy().astype(kind or f[column].dtype)
        values[row] = value
        return f.assign(**{column: values})

    return put


class Case(NamedTuple):
    """A row of the table."""

    number: str
    change: Callable[[pd.DataFrame], Any]
    asked: dict[str, Any]
    outcome: str
    words: tuple[str, ...] = ()


P, B, G, M = ({"family": name} for name in ("poisson", "bernoulli", "gaussian", "binomial"))
NB, GAMMA = {"family": "negative_binomial"}, {"family": "gamma"}
TRIALS = "y | trials(n) ~ x + (1|g)"


def asked(formula: str, family: dict[str, str] = P, **more: Any) -> dict[str, Any]:
    return {"formula": formula, **family, **more}


def same(f: pd.DataFrame) -> pd.DataFrame:
    return f


CASES = [
    Case("1", change(y=0), P, "warn", ("y is 0 in all 200 rows", "prior")),
    Case("2", change(y=1), B, "warn", ("y is 1 in all 200 rows", "prior")),
    Case("3", lambda f: f.assign(y=(f.x > 0) * 1), B, "warn", ("x separates y perfectly", "prior")),
    Case(
        "4",
        lambda f: f.assign(z=(f.index < 12) * 1, y=np.where(f.index < 12, 1, f.y)),
        asked("y ~ x + z + (1|g)", B),
        "warn",
        ("z = 1", "0 rows have y at its lowest and 12 above"),
    ),
    Case(
        "4 level",
        lambda f: f.assign(y=np.where(f.f == "a", 0, f.y)),
        asked("y ~ x + f + (1|g)"),
        "warn",
        ("f = a", "prior"),
    ),
    Case(
        "4 count",
        lambda f: f.assign(z=(f.index < 12) * 1, y=np.where(f.index < 12, 0, f.y)),
        asked("y ~ x + z + (1|g)"),
        "warn",
        ("z = 1", "12 rows have y at its lowest and 0 above"),
    ),
    Case(
        "4 ties",
        lambda f: f.assign(x=np.where(f.index == 101, 0, f.index - 100), y=(f.index > 100) * 1),
        B,
        "warn",
        ("x separates y but for ties",),
    ),
    Case("5", change(c=1.0), asked("y ~ x + c + (1|g)"), "refuse", ("c is constant", "intercept")),
    Case("5 alone", change(c=1.0), asked("y ~ 0 + x + c + (1|g)"), "ok"),
    Case(
        "6",
        lambda f: f.assign(x2=2 * f.x),
        asked("y ~ x + x2 + (1|g)"),
        "warn",
        ("x2 is a combination of x:", "prior"),
    ),
    Case(
        "6 three",
        lambda f: f.assign(d=f.x - 3 * f.v),
        asked("y ~ x + v + d + (1|g)"),
        "warn",
        ("d is a combination of x, v:",),
    ),
    Case("7", change(g="a"), P, "warn", ("g has 1 level", "prior")),
    Case("8", change(g=range(N)), G, "warn", ("g has one row a level", "sigma")),
    Case("9", change(g=range(N)), P, "ok"),
    Case("10", change(g=range(N)), B, "warn", ("g has one row a level", "not identified")),
    Case("11", lambda f: f.assign(x=f.x * 1e8), P, "ok"),
    Case("12", lambda f: f.assign(x=f.x * 1e-8), P, "ok"),
    Case("13", lambda f: f.assign(x=f.x + 1e8), P, "ok"),
    Case("14", change(o=1000.0), asked("y ~ x + offset(o) + (1|g)"), "ok"),
    Case(
        "14 range",
        lambda f: f.assign(o=f.index * 10.0),
        asked("y ~ x + offset(o) + (1|g)"),
        "refuse",
        ("offset range [0, 1990] exceeds +-700",),
    ),
    Case(
        "15",
        change(t=0),
        asked("y ~ x + offset(log(t)) + (1|g)"),
        "refuse",
        ("log(t) is -inf in 200 rows", "first 0, 1, 2"),
    ),
    Case("16", lambda f: f.assign(y=f.y + 10**9), P, "ok"),
    Case("17", at("y", 3, 3_000_000_000, "int64"), P, "ok"),
    Case("18", at("y", 3, -1), P, "refuse", ("poisson needs y >= 0", "y = -1 at row 3")),
    Case(
        "19",
        lambda f: f.assign(y=f.y + 0.5),
        P,
        "refuse",
        ("whole numbers", "at row 0", "200 rows"),
    ),
    Case("18 size", at("y", 3, -1), NB, "refuse", ("negative_binomial needs y >= 0", "at row 3")),
    Case("19 size", at("y", 3, 0.5, float), NB, "refuse", ("whole numbers", "y = 0.5 at row 3")),
    Case("1 size", change(y=0), NB, "warn", ("y is 0 in all 200 rows", "prior")),
    Case("9 size", change(g=np.arange(N)), NB, "warn", ("g has one row a level", "size")),
    Case("8 shape", change(g=np.arange(N)), GAMMA, "warn", ("g has one row a level", "shape")),
    Case("42 shape", change(y=2.0), GAMMA, "refuse", ("y is constant (= 2)",)),
    Case("46 shape", same, asked(TRIALS, GAMMA), "refuse", ('family="binomial"',)),
    Case("72", at("y", 3, 0), GAMMA, "refuse", ("gamma needs y > 0", "y = 0 at row 3")),
    Case(
        "72 negative",
        at("y", slice(4, 7), -2.5),
        GAMMA,
        "refuse",
        ("gamma needs y > 0", "y = -2.5 at row 4", "3 rows"),
    ),
    Case(
        "73",
        lambda f: f.assign(y=3 + f.index % 3),
        NB,
        "warn",
        ("no more than Poisson", "size has no upper bound", "poisson"),
    ),
    Case(
        "20 se", same, asked("y | se(v) ~ x + (1|g)", G), "refuse", ("have to be positive", "row")
    ),
    Case(
        "20 se family", same, asked("y | se(n) ~ x"), "refuse", ('se() is for family="gaussian"',)
    ),
    Case(
        "8 se",
        change(g=np.arange(N)),
        asked("y | se(n) ~ x + (1|g)", G),
        "ok",
    ),
    Case("20", at("y", 5, 2), B, "refuse", ("0 or 1", "y = 2 at row 5")),
    Case("21", lambda f: f.assign(y=f.y + 1), B, "refuse", ("coded 1 and 2", "recode")),
    Case("22", lambda f: f.assign(y=np.where(f.y == 1, "yes", "no")), B, "ok"),
    Case("23", lambda f: f.assign(y=f.f), B, "refuse", ("two levels", "'a', 'b', 'c'")),
    Case(
        "24",
        at("x", [4, 9, 17, 30], np.nan),
        P,
        "refuse",
        ("'x' in 4 rows", "first 4, 9, 17", 'missing="drop"'),
    ),
    Case("24 drop", at("x", [4, 9], np.nan), {**P, "missing": "drop"}, "ok"),
    Case("24 word", same, {**P, "missing": "omit"}, "refuse", ("missing", "'omit'")),
    Case(
        "24 nothing left",
        lambda f: f.assign(x=f.x.mask(f.index < 100), y=f.y.mask(f.index >= 100)),
        {**P, "missing": "drop"},
        "refuse",
        ("every row lacks a value in one of 'y', 'x'",),
    ),
    Case("25 group", at("g", 6, np.inf, float), P, "refuse", ("'g'", "infinite", "first 6")),
    Case("25", at("x", 6, np.inf), P, "refuse", ("x is inf in 1 row", "first 6")),
    Case("26", at("y", 6, np.inf, float), G, "refuse", ("y is inf in 1 row", "first 6")),
    Case("27", at("g", 2, np.nan, float), P, "refuse", ("'g' in 1 row", "first 2")),
    Case("27 None", at("g", 2, None, object), P, "refuse", ("'g' in 1 row", "first 2")),
    Case(
        "27 empty",
        lambda f: f.assign(g=np.where(f.g == 3, "", f.g.astype(str))),
        P,
        "warn",
        ("g has an empty text",),
    ),
    Case("28", change(x=np.nan), P, "refuse", ("'x' has no usable value",)),
    Case(
        "29",
        lambda f: f.assign(y=f.y.astype("Int64").mask(f.index == 8)),
        P,
        "refuse",
        ("'y' in 1 row", "first 8"),
    ),
    Case("30", same, {**P, "weights": np.r_[np.zeros(10), np.ones(N - 10)]}, "ok"),
    Case("31", change(w=np.r_[1, -1, np.ones(N - 2)]), {**P, "weights": "w"}, "refuse", ("row 1",)),
    Case("31 size", same, {**P, "weights": np.ones(3)}, "refuse", ("200 numbers",)),
    Case("32", same, {**P, "weights": np.zeros(N)}, "refuse", ("all weights are 0",)),
    Case(
        "33",
        lambda f: f.assign(f=pd.Categorical(f.f, categories=["a", "b", "c", "d"])),
        asked("y ~ f + (1|g)"),
        "warn",
        ("1 level ('d') without rows",),
    ),
    Case("34", lambda f: f.assign(g=pd.Categorical(f.g, categories=range(30))), P, "ok"),
    Case("35", change(f="a"), asked("y ~ f + (1|g)"), "refuse", ("f has one level", "'a'")),
    Case("36", lambda f: f.iloc[:0], P, "refuse", ("no rows",)),
    Case("37", lambda f: f.iloc[:1], P, "refuse", ("1 row",)),
    Case("38", lambda f: f.rename(columns={"x": "xx"}), P, "refuse", ("no column 'x'", "'xx'")),
    Case("38 far", same, asked("y ~ os + (1|g)"), "refuse", ("no column 'os'", "columns: y, x")),
    Case("42", change(y=5.0), G, "refuse", ("y is constant",)),
    Case("43", lambda f: f.assign(y=1 + 2 * f.x), G, "warn", ("perfectly", "sigma")),
    Case(
        "45",
        lambda f: f.assign(x=f.g * 1.0),
        asked("y ~ x + (x|g)"),
        "warn",
        ("x is constant within every level of g",),
    ),
    Case("46", lambda f: at("n", 0, 0)(at("y", 0, 0)(f)), asked(TRIALS, M), "ok"),
    Case("47", at("y", 4, 11), asked(TRIALS, M), "refuse", ("y <= trials", "y = 11 at row 4")),
    Case("48", at("n", 4, -2), asked(TRIALS, M), "refuse", ("trials >= 0", "row 4")),
    Case("48 half", at("n", 4, 9.5, float), asked(TRIALS, M), "refuse", ("whole trials", "9.5")),
    Case("48 none", same, M, "refuse", ("y | trials(n)", "their numbers")),
    Case("48 other", same, asked(TRIALS, P), "refuse", ("trials", "binomial")),
    Case("48 zero", change(y=0, n=0), asked(TRIALS, M), "refuse", ("trials are 0",)),
    Case("48 all", change(y=10), asked(TRIALS, M), "warn", ("y is its number of trials",)),
    Case("48 sign", at("y", 4, -1), asked(TRIALS, M), "refuse", ("y >= 0", "row 4")),
    Case("48 part", at("y", 4, 0.5, float), asked(TRIALS, M), "refuse", ("whole number",)),
    Case(
        "49",
        lambda f: f.assign(**{"größe 变量": f.x}),
        asked("y ~ `größe 变量` + (1|g)"),
        "ok",
    ),
    Case("50", lambda f: f.assign(_x=f.x), asked("y ~ _x + (1|g)"), "ok"),
    Case(
        "51",
        lambda f: f.assign(
            **{"a.b": f.x, "a b": f.v, "p|q": f.x**2, "1x": f.v**2, "if": f.x**3, "k`k": f.v**3}
        ),
        asked("y ~ `a.b` + `a b` + `p|q` + `1x` + `if` + `k``k` + (1|g)"),
        "ok",
    ),
    Case("52", lambda f: f.assign(**{"a.b": f.x, "a_b": f.v}), asked("y ~ a.b + a_b"), "ok"),
    Case(
        "53",
        lambda f: f.rename(columns={"x": "gro\u0308ße"}),
        asked("y ~ gr\u00f6ße + (1|g)"),
        "warn",
        ("Unicode",),
    ),
    Case("54", lambda f: f.set_index(np.zeros(N, int)), P, "ok"),
    Case("55", lambda f: f.set_index(np.arange(N)[::-1]), P, "ok"),
    Case("55 multi", lambda f: f.set_index(["f", "n"]), P, "ok"),
    Case("56", lambda f: pd.concat([f, f[["x"]]], axis=1), P, "refuse", ("'x' occurs 2 times",)),
    Case("57", lambda f: f.assign(x=f.x.astype(str)), P, "refuse", ("'x' is text", "199 dummies")),
    Case("58", lambda f: f.assign(y=f.y.astype(str)), P, "ok"),
    Case("58 words", lambda f: f.assign(y=f.f), P, "refuse", ("'y' is text",)),
    Case("59", lambda f: f.assign(g=f.g + 0.5), P, "ok"),
    Case(
        "60",
        same,
        asked("y ~ x + (1|v)"),
        "warn",
        ("v has 200 distinct values in 200 rows",),
    ),
    Case(
        "61",
        lambda f: f.assign(g=[1, "1", *[f"k{k}" for k in f.g[2:]]]),
        P,
        "warn",
        ("mixes texts and numbers",),
    ),
    Case(
        "61 case",
        lambda f: f.assign(g=["A", "a", " a", *[f"k{k}" for k in f.g[3:]]]),
        P,
        "warn",
        ("differ in case or blanks",),
    ),
    Case("62", lambda f: f.assign(g=f.g.astype("int8"), y=f.y.astype("uint8")), P, "ok"),
    Case("62 bool", lambda f: f.assign(y=f.y == 1), B, "ok"),
    Case("63", lambda f: f.assign(g=f.g + 2.0**60), P, "refuse", ("2^53", "lost digits")),
    Case("63 int", lambda f: f.assign(g=f.g + 2**60), P, "ok"),
    Case("64", lambda f: f.assign(x=f.x + 1j), P, "refuse", ("'x'", "complex")),
    Case(
        "65",
        lambda f: f.assign(x=pd.date_range("2020-01-01", periods=N)),
        P,
        "refuse",
        ("'x' holds dates", "days since"),
    ),
    Case(
        "65 time",
        lambda f: f.assign(x=pd.to_timedelta(f.v, unit="D")),
        P,
        "refuse",
        ("'x' holds durations",),
    ),
    Case(
        "64 object",
        lambda f: f.assign(x=pd.Series([1j] * N, dtype=object)),
        P,
        "refuse",
        ("'x'", "complex"),
    ),
    Case("65 date", change(x=datetime.date(2020, 1, 1)), P, "refuse", ("'x' holds dates",)),
    Case("66", lambda f: f.assign(x=[[1, 2]] * N), P, "refuse", ("'x' holds a list", "row 0")),
    Case(
        "66 ordered",
        lambda f: f.assign(f=pd.Categorical(f.f, ordered=True)),
        asked("y ~ f + (1|g)"),
        "ok",
    ),
    Case("66 sparse", lambda f: f.assign(x=f.x.astype(pd.SparseDtype("float"))), P, "ok"),
    Case("67 dict", lambda f: {k: f[k].tolist() for k in f}, P, "ok"),
    Case(
        "67 polars", lambda f: pytest.importorskip("polars").from_dict(f.to_dict("list")), P, "ok"
    ),
    Case("67 list", lambda f: f.to_numpy().tolist(), P, "refuse", ("data frame", "list")),
    Case("67 array", lambda f: f[["y", "x"]].to_numpy(), P, "refuse", ("data frame", "ndarray")),
    Case("67 value", lambda f: {"y": [1, 2], "x": 1}, P, "refuse", ("'x' is one value",)),
    Case(
        "67 matrix", lambda f: {"y": f.y, "x": np.eye(N), "g": f.g}, P, "refuse", ("'x'", "2 dim")
    ),
    Case(
        "67 frame",
        lambda f: {"y": f.y, "x": f, "g": f.g},
        P,
        "refuse",
        ("itself a data frame", "'x'"),
    ),
    Case("67 ragged", lambda f: {"y": [1, 2], "x": [1]}, P, "refuse", ("differ in length",)),
    Case(
        "68",
        lambda f: f.assign(f=[f"l{k}" for k in range(N)]),
        asked("y ~ x * f + (1|g)"),
        "warn",
        ("400 coefficients for 200 rows",),
    ),
    Case("69", same, asked("y ~ x + (1|g) + (1|g)"), "refuse", ("(1 | g) is given twice",)),
    Case("69 slope", same, asked("y ~ x + (1|g) + (x|g)"), "refuse", ("given twice", "intercept")),
    Case(
        "70",
        lambda f: f.assign(g=f.g.map("s{}".format)),
        asked("y ~ x + g + (1|g)"),
        "warn",
        ("both a fixed factor and a group",),
    ),
    Case("71 one", same, asked("y ~ x + (1|1)"), "refuse", ("column of groups",)),
    Case("71 text", same, asked('y ~ x + (1|"g")'), "refuse", ("column of groups",)),
    Case("71 product", same, asked("y ~ x + (1|x*2)"), "refuse", ("column of groups",)),
    Case("75", same, G, "ok"),
    *(
        Case(f"76 {formula}", same, asked(formula), "refuse", ("^", word))
        for formula, word in {
            "": "empty",
            "~ x": "expected",
            "y ~": "ends",
            "y ~ x + (1|g": "not closed",
            "y ~ x @ g": "'@'",
            "y ~ y": "also a predictor",
        }.items()
    ),
    Case("77 length", same, asked("y ~ x" + " + x" * 250_000), "refuse", ("65,536",)),
    Case("77 depth", same, asked("y ~ " + "(" * 10_000), "refuse", ("50 deep",)),
    Case("77 power", same, asked("y ~ x**1000"), "refuse", ("power",)),
    Case("77 terms", same, asked("y ~ " + "*".join("abcdefghijklmnopqrst")), "refuse", ("^",)),
    Case(
        "77 columns",
        lambda f: f.assign(**{c: [f"{c}{k}" for k in range(N)] for c in "ab"}),
        asked("y ~ a * b"),
        "refuse",
        ("40,000 columns", "10,000"),
    ),
    Case("78", same, asked("y ~ I(__import__('os').system('touch x'))"), "refuse", ("^",)),
    Case("78 call", same, asked('y ~ I(__import__("os"))'), "refuse", ("not allowed", "^")),
    Case("78 own", same, {**P, "functions": {"log": abs}}, "refuse", ("'log'",)),
    Case(
        "83",
        lambda f: f.assign(batch=f.g % 5, cask=(f.g // 5).map("abcd".__getitem__)),
        asked("y ~ x + (1|batch) + (1|cask)"),
        "warn",
        ("(1 | batch/cask)",),
    ),
    Case(
        "83 nested",
        lambda f: f.assign(batch=f.g % 5, cask=(f.g // 5).map("abcd".__getitem__)),
        asked("y ~ x + (1|batch/cask)"),
        "ok",
    ),
    Case(
        "84",
        lambda f: f.assign(a=f.index % 4 + 4 * (f.g % 2), b=f.index // 4 % 3 + 3 * (f.g % 2)),
        asked("y ~ x + (1|a) + (1|b)"),
        "ok",
    ),
    Case("85", lambda f: f.assign(g=np.r_[np.zeros(150, int), 1 : N - 149]), P, "ok"),
    Case("86", at("x", 0, 1e6), B, "ok"),
]


@pytest.fixture(scope="module")
def imported():
    """What the first model of a process imports is no time of its case."""
    attempt("y ~ x + (1|g)", frame(), "poisson")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number[:40])
def test_case(case, imported):
    data = case.change(frame(case.asked.get("family", "poisson")))
    # Of the processor: other work beside is no fault of the case.
    start = time.process_time()
    found = attempt(**{"formula": "y ~ x + (1|g)", "data": data, **case.asked})
    seconds = time.process_time() - start
    assert found.kind == case.outcome, found.message
    for word in case.words:
        assert word in found.message
    assert seconds < MAX_SECONDS


# --- cases whose outcome is a result, not a message ----------------------------------------------


def notes(formula: str, data: pd.DataFrame, family: str = "poisson", **more: Any) -> str:
    found = attempt(formula, data, family, **more)
    assert found.kind == "ok", found.message
    return "\n".join(found.result.notes)


def test_22_the_level_that_is_modelled_is_said_and_can_be_chosen():
    f = frame("bernoulli").assign(y=lambda f: np.where(f.y == 1, "yes", "no"))
    assert "modelling P(y = 'yes')" in notes("y ~ x + (1|g)", f, "bernoulli")
    design = build("y ~ x + (1|g)", f, "bernoulli", reference={"y": "yes"})
    assert design.response.success_level == "no"
    assert np.array_equal(design.response.y, f.y == "no")


def test_24_dropped_rows_are_reported():
    f = at("x", [4, 9], np.nan)(frame())
    design = build("y ~ x + (1|g)", f, "poisson", missing="drop")
    assert design.dropped == {"x": 2}
    assert np.array_equal(design.rows, np.delete(np.arange(N), [4, 9]))
    assert "2 rows left out" in design.notes[0]


def test_notes_of_what_is_no_fault():
    weights = np.r_[np.zeros(10), np.ones(N - 10)]
    assert "10 rows of weight 0" in notes("y ~ x + (1|g)", frame(), weights=weights)
    f = frame().assign(g=lambda f: pd.Categorical(f.g, categories=range(30)))
    assert "10 levels without rows" in notes("y ~ x + (1|g)", f)
    assert "family='poisson'" in notes("y ~ x + (1|g)", frame(), "gaussian")
    assert "family='bernoulli'" in notes("y ~ x + (1|g)", frame("bernoulli"), "gaussian")
    f = frame().assign(a=lambda f: f.index % 4 + 4 * (f.g % 2))
    f = f.assign(b=f.index // 4 % 3 + 3 * (f.g % 2))
    assert "2 parts" in notes("y ~ x + (1|a) + (1|b)", f)


def test_52_names_that_look_alike_stay_apart():
    f = frame().rename(columns={"x": "a.b", "v": "a_b"})
    assert build("y ~ 0 + a.b + a_b", f, "poisson").columns == ("a.b", "a_b")


def test_55_order_of_rows_is_position():
    f = frame()
    one = build("y ~ x + (1|g)", f, "poisson")
    two = build("y ~ x + (1|g)", f.set_index(np.arange(N)[::-1]), "poisson")
    assert np.array_equal(one.X, two.X)
    assert np.array_equal(one.factors[0].index, two.factors[0].index)


def test_63_whole_ids_keep_their_digits():
    f = frame().assign(g=lambda f: f.g + 2**60)
    levels = build("y ~ x + (1|g)", f, "poisson").factors[0].levels
    assert levels[:2] == (str(2**60), str(2**60 + 1))


# --- arguments -----------------------------------------------------------------------------------

GOOD = {"draws": 1000, "warmup": 1000, "chains": 4}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("draws", 0),
        ("draws", 10.5),
        ("chains", 0),
        ("chains", True),
        ("warmup", -1),
        ("jobs", 0),
        ("jobs", -5),
        ("seed", -1),
        ("seed", "abc"),
        ("thin", 0),
        ("target_accept", 1.5),
        ("target_accept", 0),
        ("target_accept", float("nan")),
        ("target_accept", "high"),
        ("max_treedepth", 0),
    ],
)
def test_80_sampler_arguments_are_refused_by_name(name, value):
    with pytest.raises(DataError, match=f"^{name} has to .*{value!r}"):
        checks.sampler_arguments(**{**GOOD, name: value})


def test_80_good_sampler_arguments_pass():
    checks.sampler_arguments(**GOOD, jobs=2, seed=2**200, thin=np.int64(2), target_accept=0.95)


def test_81_unknown_keywords_name_the_closest():
    checks.unknown_keywords("sample", ["chains"], ["draws", "chains"])
    with pytest.raises(TypeError, match=r"sample\(\) has no argument 'chain'; .*'chains'"):
        checks.unknown_keywords("sample", ["chain"], ["draws", "chains"])
    with pytest.raises(TypeError, match="it has 'draws', 'chains'"):
        checks.unknown_keywords("sample", ["zzz"], ["draws", "chains"])
    with pytest.raises(TypeError, match="no argument 'tune'; did you mean 'warmup'"):
        checks.unknown_keywords("sample", ["tune"], ["maxtune", "warmup"])


def test_nothing_is_compiled_for_a_refusal():
    code = (
        "import sys, test_bad_inputs as t\n"
        "for case in t.CASES:\n"
        "    if case.outcome != 'refuse':\n"
        "        continue\n"
        "    data = case.change(t.frame(case.asked.get('family', 'poisson')))\n"
        "    t.attempt(**{'formula': 'y ~ x + (1|g)', 'data': data, **case.asked})\n"
        "assert 'numba' not in sys.modules"
    )
    here = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- predictions, results and the command line ---------------------------------------------------

x = np.full(N, 7.0)  # what a formula must never look at


def test_39_new_rows_without_a_column_are_refused_whatever_is_called_so_elsewhere():
    design = build("y ~ x + (1|g)", frame(), "poisson")
    with pytest.raises(DataError, match="no column 'x'"):
        design.new_data(frame().drop(columns="x"))


def test_41_new_rows_that_lack_a_value_are_refused():
    design = build("y ~ x + (1|g)", frame(), "poisson")
    with pytest.raises(DataError, match="'x' in 2 rows .first 4, 9"):
        design.new_data(at("x", [4, 9], np.nan)(frame()))


def test_74_a_family_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match="unknown family 'beta'.*bernoulli.*gaussian"):
        glmm("y ~ x + (1|g)", frame(), "beta")


def test_44_groups_that_do_not_differ_are_sampled_without_divergences():
    f = frame().assign(y=np.random.default_rng(2).poisson(1.5, N))
    options = {"draws": 150, "warmup": 250, "chains": 2, "seed": 1, "progress": False}
    post = glmm("y ~ x + (1|g)", f, "poisson").sample(sampler="nuts", **options)
    assert post.stats["divergent"].sum() == 0
    assert post.values["sd"].min() < 0.1 < 0.5 > np.median(post.values["sd"])


@pytest.mark.parametrize(
    ("case", "change_of", "factor"),
    [
        ("11", lambda x: x * 1e8, 1e8),
        ("12", lambda x: x * 1e-8, 1e-8),
        ("13", lambda x: x + 1e8, 1.0),
    ],
)
def test_11_12_13_the_scale_and_place_of_a_predictor_do_not_matter(case, change_of, factor):
    # The digits that are left at 1e8: what is compared has the same information.
    data = frame().assign(x=lambda f: (f.x + 1e8) - 1e8)
    plain = glmm("y ~ x + (1|g)", data, "poisson").fit("laplace")
    other = glmm("y ~ x + (1|g)", data.assign(x=lambda f: change_of(f.x)), "poisson")
    found = other.fit("laplace")
    assert found.converged
    assert found.estimate[1] * factor == pytest.approx(plain.estimate[1], rel=1e-6)
    assert found.loglik == pytest.approx(plain.loglik, rel=1e-10)


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "negative_binomial", "gaussian"])
def test_87_a_weight_of_many_is_so_many_rows(family):
    from bayesglmm import families

    f, times = frame(family), 50
    many = glmm("y ~ x + (1|g)", pd.concat([f] * times, ignore_index=True), family)
    weighted = glmm("y ~ x + (1|g)", f, family, weights=np.full(N, float(times)))
    total = []
    for model in (many, weighted):
        obs = model.problem.data.obs
        density = [np.zeros(obs.y.size) for _ in range(4)]
        # The same eta in all rows, whose order is not the user's.
        eta = np.full(obs.y.size, 0.3)
        model.problem.rows(families.LOGLIK, eta, obs.y, obs.w, 1.3, *density)
        total.append(density[0].sum() + model.problem.constant)
    assert total[0] == pytest.approx(total[1], rel=1e-10)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: (folder / "fit.nc").write_text("mine"), "exists"),
        (lambda folder: (folder / "fit.nc").symlink_to(folder / "elsewhere"), "is a link"),
        (lambda folder: (folder / "fit.nc").mkdir(), "is a folder"),
    ],
)
def test_89_an_output_that_is_taken_or_a_link_is_refused_at_once(make, words, tmp_path, capsys):
    from bayesglmm.cli import BAD_INPUT, main

    make(tmp_path)
    command = ["fit", "sleepstudy", "Reaction ~ Days + (Days|Subject)", "--save"]
    assert main([*command, str(tmp_path / "fit.nc")]) == BAD_INPUT
    assert words in capsys.readouterr().err
    assert not (tmp_path / "elsewhere").exists()


def test_89_an_output_that_leads_out_of_its_folder_is_refused(tmp_path, capsys):
    from bayesglmm.cli import BAD_INPUT, main

    (tmp_path / "inside").mkdir()
    place = str(tmp_path / "inside" / ".." / "fit.nc")
    command = ["fit", "sleepstudy", "Reaction ~ Days + (Days|Subject)", "--save", place]
    assert main(command) == BAD_INPUT
    assert "leads out" in capsys.readouterr().err
    assert main([*command[:-1], "/proc/fit.nc"]) == BAD_INPUT
    assert "fit.nc" in capsys.readouterr().err


# Cases of the catalogue whose tests are not rows of the table above: outcome, and the tests.
ELSEWHERE = {
    39: ("refuse", ["test_bad_inputs.py::test_39"]),
    40: ("refuse", ["test_prediction.py::test_new_groups_are_refused_zero_or_drawn"]),
    41: ("refuse", ["test_bad_inputs.py::test_41"]),
    44: ("ok", ["test_bad_inputs.py::test_44"]),
    74: ("refuse", ["test_bad_inputs.py::test_74"]),
    79: ("refuse", ["test_priors.py::test_refusals_name_what_is_wrong"]),
    80: ("refuse", ["test_bad_inputs.py::test_80"]),
    81: ("refuse", ["test_bad_inputs.py::test_81"]),
    82: ("refuse", ["test_keep.py::test_draws_that_would_not_fit_are_refused"]),
    87: ("ok", ["test_bad_inputs.py::test_87"]),
    88: ("refuse", ["test_frames.py::test_"]),
    89: ("refuse", ["test_bad_inputs.py::test_89"]),
    90: ("ok", ["test_cli_fit.py::test_cells_that_a_spreadsheet_would_run_are_disarmed"]),
}
LAST = 90


def number(case: Case) -> int:
    """Return the number in the catalogue of a row of the table."""
    return int(case.number.split()[0])


def test_every_case_of_the_catalogue_is_tested():
    table = {number(case) for case in CASES}
    assert table | ELSEWHERE.keys() == set(range(1, LAST + 1))
    assert not table & ELSEWHERE.keys()
    for _, tests in ELSEWHERE.values():
        for each in tests:
            file, _, name = each.partition("::")
            source = (Path(__file__).parent / file).read_text(encoding="utf-8")
            assert f"def {name}" in source, each
