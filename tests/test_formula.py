"""Formulas: what they mean, what is refused, and that nothing in them is ever run."""

import copy

import pytest

from bayesglmm.errors import FormulaError
from bayesglmm.expressions import parse
from bayesglmm.formula import read


def products(formula: str) -> list[str]:
    return [":".join(map(str, product)) or "1" for product in read(formula).products]


@pytest.mark.parametrize(
    ("right", "expected"),
    {
        "x": "1 x",
        "0 + x": "x",
        "x - 1": "x",
        "-1 + x": "x",
        "x + 0 + 1": "1 x",
        "1": "1",
        "a * b": "1 a b a:b",
        "a:b + a": "1 a a:b",
        "a * b - a:b": "1 a b",
        "a / b": "1 a a:b",
        "a / b / c": "1 a a:b a:b:c",
        "(a + b):c": "1 a:c b:c",
        "(a + b + c)^2": "1 a b c a:b a:c b:c",
        "(a + b)**2 - a": "1 b a:b",
        "a:b + b:a": "1 a:b",
        "a * b * c - a:b:c": "1 a b c a:b a:c b:c",
        "(a + b) * log(c)": "1 a b log(c) a:log(c) b:log(c)",
        "I(a^2 - 2*a)": "1 I(a^2 - 2 * a)",
        "log(a+1)": "1 log(a + 1)",
        "`a b` + `k``k`": "1 `a b` `k``k`",
        "bs(a, df=5) + poly(b, 2)": "1 bs(a, df = 5) poly(b, 2)",
    }.items(),
)
def test_right_side_is_a_set_of_products_in_the_order_of_r(right, expected):
    assert " ".join(products(f"y ~ {right}")) == expected


@pytest.mark.parametrize(
    ("bar", "expected"),
    {
        "(1|g)": [("g", "1", True)],
        "(x|g)": [("g", "1 x", True)],
        "(x||g)": [("g", "1 x", False)],
        "(0+x|g)": [("g", "x", True)],
        "(x-1|g)": [("g", "x", True)],
        "(1|a/b)": [("a", "1", True), ("a:b", "1", True)],
        "(1|a:b)": [("a:b", "1", True)],
        "(1|a/b/c)": [("a", "1", True), ("a:b", "1", True), ("a:b:c", "1", True)],
        "(1|a/(b/c))": [("a", "1", True), ("a:b", "1", True), ("a:b:c", "1", True)],
        "((x*w|g))": [("g", "1 x w x:w", True)],
        "(poly(x, 2)|factor(g))": [("g", "1 poly(x, 2)", True)],
    }.items(),
)
def test_bars(bar, expected):
    found = [
        (
            ":".join(b.group),
            " ".join(":".join(map(str, p)) or "1" for p in b.products),
            b.correlated,
        )
        for b in read(f"y ~ 1 + {bar}").bars
    ]
    assert found == expected


def test_responses():
    part = read("y | trials(n) + weights(w) ~ x").response
    assert (str(part.y), str(part.trials), str(part.weights)) == ("y", "n", "w")
    assert str(read("cbind(s, f) ~ x").response.trials) == "s + f"
    assert str(read("prop(s, n) ~ x").response.trials) == "n"
    assert read("log(y) ~ x").response.name == "log(y)"
    assert str(read("y | trials(20) ~ x").response.trials) == "20"


def test_columns_used():
    formula = read("y | trials(n) ~ log(x) * f + offset(log(t)) + (w | a/b)")
    assert formula.columns() == ["y", "n", "x", "f", "t", "w", "a", "b"]
    assert formula.columns(with_response=False) == ["x", "f", "t", "w", "a", "b"]


@pytest.mark.parametrize(
    ("formula", "position", "word"),
    [
        ("y ~ x + (1|g", 8, "not closed"),
        ("y ~ x @ g", 6, "'@'"),
        ("y ~ foo(x)", 4, "'foo' is not allowed"),
        ("y ~ log(x, 2)", 4, "one argument"),
        ("y ~ 2 * x", 4, "I(...)"),
        ('y ~ x + "a"', 8, "quotes"),
        ("y ~ x*(1|g)", 8, "term of its own"),
        ("y ~ x + 1|g", 9, "brackets"),
        ("y ~ x:offset(t)", 6, "term of its own"),
        ("y ~ log(factor(x))", 8, "inside arithmetic"),
        ("y ~ log(cbind(x, y))", 8, "left of ~"),
        ("y ~ x ~ z", 2, "one column"),
        ("y + 1 ~ x", 2, "one column"),
        ("1 ~ x", 0, "column of the data"),
        ("y | sd(s) ~ x", 4, "se(s)"),
        ("y | trials(n) + trials(m) ~ x", 16, "twice"),
        ("cbind(s) ~ x", 0, "cbind(successes, failures)"),
        ("prop(s, n) | trials(n) ~ x", 0, "already"),
        ("y ~ (offset(t)|g)", 5, "fixed effects"),
        ("y ~ (0|g)", 6, "nothing left"),
        ("y ~ ref(f)", 4, 'ref(f, "level")'),
        ("y ~ poly(x, 2.5)", 12, "whole number"),
        ("y ~ poly(x, 100)", 12, "from 1 to 99"),
        (f"y ~ poly(x, {'9' * 5000})", 12, "from 1 to 99"),
        ("y ~ \u0661", 4, "no meaning"),
        ("y ~ poly(x, raw=1)", 16, "degree"),
        ("y ~ bs(x, df=4, 3)", 16, "without a name"),
        ("y ~ I(x:z)", 7, "arithmetic"),
        ("y ~ (a + b)^x", 12, "whole number"),
        ("y ~ x + z^2", 9, "I(z^2)"),
        ("y ~ (x:z)^2", 9, "leave it out"),
        ("y ~ `x", 4, "backtick"),
        ("y ~ 'x", 4, "quote"),
        ("y ~ x x", 6, "unexpected"),
        ("y ~ ()", 5, "expected"),
        ("y ~ log(x", 7, "not closed"),
        ("y ~ I(3)", 4, "no column"),
        ("y ~ bs()", 4, "bs(x, df)"),
        ('y ~ log("x")', 8, "quoted text"),
        ("y ~ a + (b ~ c)", 11, "one ~"),
        ("y ~ ref(factor(a, b))", 8, "factor(column)"),
        ("y ~ mine()", 4, "not allowed"),
        ("x", 1, "response ~ terms"),
        ("y ~ a:b:c:d:e:f:g:h:i", 19, "8 factors"),
    ],
)
def test_errors_point_at_the_place(formula, position, word):
    with pytest.raises(FormulaError) as caught:
        read(formula)
    error = caught.value
    assert (error.formula, error.position) == (formula, position)
    first, shown, caret = str(error).split("\n")
    assert word in first
    assert shown.strip() == formula[: position + 60].strip()
    assert caret.index("^") - 4 == position


def test_the_caret_of_a_long_formula_stays_near():
    with pytest.raises(FormulaError) as caught:
        read("y ~ " + "x + " * 5000 + "@")
    assert max(map(len, str(caught.value).split("\n"))) < 130


def test_long_is_not_deep():
    names = [f"x{k}" for k in range(9000)]
    assert len(read("y~" + "+".join(names)).products) == 9001


def test_rendering_parses_to_itself():
    for text in ("a + b - -c", "-(a + b)^2 * `x y`/3", "f(a, b = 2)", "a^b^c", "(a | b) ~ c || d"):
        once = str(parse(text))
        assert str(parse(once)) == once


def test_numbers_of_terms_are_limited():
    sums = "(" + " + ".join(f"a{k}" for k in range(300)) + ")"
    other = sums.replace("a", "b")
    for formula in (f"y ~ {sums}:{other}", f"y ~ {sums}^3", f"y ~ {sums} * {sums}"):
        with pytest.raises(FormulaError, match="10,000 terms"):
            read(formula)
    with pytest.raises(FormulaError, match="10,000 terms"):
        read("y~" + "+".join(f"x{k}" for k in range(10_001)))


def test_own_functions_take_columns():
    assert read("y ~ mine(x)", {"mine"}).columns() == ["y", "x"]
    with pytest.raises(FormulaError, match=r"mine\(\) takes columns"):
        read("y ~ mine(x, k = 2)", {"mine"})


def test_errors_survive_the_way_to_another_process():
    with pytest.raises(FormulaError) as caught:
        read("y ~ @")
    again = copy.copy(caught.value)
    assert (str(again), again.position) == (str(caught.value), 4)


def test_not_a_text():
    with pytest.raises(FormulaError, match="not int"):
        read(3)


def test_a_name_with_a_space_is_told_of_backticks():
    with pytest.raises(FormulaError, match="unexpected 'pressure'; .* in backticks"):
        parse("y ~ blood pressure")
