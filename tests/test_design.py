"""Designs: columns against formulaic's, groups against pandas', frozen coding against itself."""

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix

from bayesglmm.design import build
from bayesglmm.errors import DataError, DataWarning

N = 90


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "y": rng.normal(size=N),
            "x": rng.normal(size=N),
            "w": rng.uniform(1, 2, N),
            "a": rng.choice(["p", "q", "r"], N),
            "b": rng.choice(["s", "t"], N),
            "c": rng.choice(["u", "v"], N),
            "k": rng.integers(1, 4, N),
            "g": rng.integers(0, 12, N),
            "h": rng.choice(["m1", "m2", "m10"], N),
        }
    )


def our_name(name: str) -> str:
    """formulaic's name of a column, as we write it."""
    for theirs, ours in {"[T.": "[", "C(k)": "factor(k)", "**": "^"}.items():
        name = name.replace(theirs, ours)
    return name


CODINGS = [
    "1",
    "0 + x",
    "x + a",
    "0 + a",
    "0 + a + b",
    "0 + x + a",
    "0 + a:b",
    "a:b",
    "a * b",
    "0 + a * b",
    "a + a:b",
    "b + a:b",
    "x:a",
    "x + x:a",
    "0 + x:a",
    "a + x:a",
    "a * x",
    "0 + a * x",
    "a / b",
    "a / x",
    "a * b * c",
    "a:b + b:c",
    "a + b:c",
    "0 + a + b:c",
    "(a + b + c)^2",
    "a:b:c",
    "0 + a:b:c",
    "a * b + a:b:c",
    "x:w",
    "x * w * a",
    "a:b:x + c",
    "x:a + x:b",
    "x:a + x:a:b",
    "log(w) * a",
    "factor(k) + x",
    "factor(k) * a",
]


@pytest.mark.parametrize("right", CODINGS)
def test_coding_is_full_rank_and_formulaics(right, frame):
    ours = build(f"y ~ {right}", frame)
    theirs = model_matrix(right.replace("factor(", "C("), frame)
    assert set(ours.columns) == {our_name(name) for name in theirs.columns}
    for name in theirs.columns:
        column = ours.X[:, ours.columns.index(our_name(name))]
        assert np.allclose(column, theirs[name].to_numpy(float), rtol=1e-14)
    assert np.linalg.matrix_rank(ours.X) == len(ours.columns)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    {
        "poly(x, 3)": "poly(x, 3)",
        "bs(x, df=5)": "bs(x, df=5)",
        "bs(x, df=4, degree=2)": "bs(x, df=4, degree=2)",
        "scale(x)": "scale(x)",
        "center(x)": "center(x)",
        "I(x^2 + 2*w - 1/w)": "I(x**2 + 2*w - 1/w)",
        "I(-x)": "I(-x)",
        "sqrt(w) + exp(x) + log1p(w)": "np.sqrt(w) + np.exp(x) + np.log1p(w)",
        "log(abs(x) + 1)": "np.log(abs(x) + 1)",
    }.items(),
)
def test_functions_are_formulaics(ours, theirs, frame):
    X = build(f"y ~ {ours}", frame).X
    Y = model_matrix(theirs, frame, context={"np": np, "abs": abs}).to_numpy(float)
    assert np.allclose(X, Y, rtol=1e-12, atol=1e-12)


def test_power_groups_to_the_right(frame):
    X = build("y ~ I(2^w^2)", frame).X
    assert np.allclose(X[:, 1], 2 ** (frame.w**2))


def test_names(frame):
    f = frame.rename(columns={"x": "größe 1", "a": "p:q"})
    found = build('y ~ log(w) * ref(b, "t") + `größe 1` + `p:q` + poly(w, 2)', f).columns
    assert found == (
        "Intercept",
        "log(w)",
        "b[s]",
        "`größe 1`",
        "`p:q`[q]",
        "`p:q`[r]",
        "poly(w, 2)[1]",
        "poly(w, 2)[2]",
        "log(w):b[s]",
    )


def test_reference_levels(frame):
    assert build("y ~ a", frame).columns == ("Intercept", "a[q]", "a[r]")
    assert build("y ~ a", frame, reference={"a": "q"}).columns == ("Intercept", "a[p]", "a[r]")
    assert build('y ~ ref(k, "3")', frame).columns == ("Intercept", "k[1]", "k[2]")
    with pytest.raises(DataError, match="no level 'z'; it has 'p', 'q', 'r'"):
        build('y ~ ref(a, "z")', frame)


def test_texts_sort_as_in_r(frame):
    f = frame.assign(a=frame.a.map({"p": "placebo", "q": "Progabide", "r": "Zinc"}))
    assert build("y ~ a", f).columns == ("Intercept", "a[Progabide]", "a[Zinc]")


def test_arrays_are_own_and_writeable(frame):
    d = build("y ~ x + (x | g)", frame, weights="w")
    for array in (d.X, d.response.y, d.offset, d.weights, d.terms[0].z):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous and array.flags.writeable
        assert not any(np.shares_memory(array, frame[c].to_numpy()) for c in "yxw")
    assert d.factors[0].index.dtype == np.int32
    assert d.rows.dtype == np.int64


# --- groups --------------------------------------------------------------------------------------


def test_levels_sort_as_numbers_where_they_are(frame):
    assert build("y ~ 1 + (1|g)", frame).factors[0].levels == tuple(map(str, range(12)))
    assert build("y ~ 1 + (1|g)", frame.assign(g=frame.g.astype(str))).factors[0].levels == tuple(
        map(str, range(12))
    )
    assert build("y ~ 1 + (1|h)", frame).factors[0].levels == ("m1", "m10", "m2")
    halves = build("y ~ 1 + (1|g)", frame.assign(g=frame.g / 2)).factors[0].levels
    assert halves[:4] == ("0", "0.5", "1", "1.5")


@pytest.mark.parametrize("group", ["g", "h", "a:h", "a:b:h"])
def test_index_is_the_groups_of_pandas(group, frame):
    factor = build(f"y ~ 1 + (1|{group})", frame).factors[0]
    keys = group.split(":")
    label = frame[keys].astype(str).agg(":".join, axis=1).to_numpy()
    assert np.array_equal(np.array(factor.levels)[factor.index], label)
    assert set(factor.levels) == set(label)
    assert factor.name == group


def test_terms_of_a_factor_are_adjacent(frame):
    d = build("y ~ 1 + (1|g) + (1|h) + (0 + x|g) + (1|a:b) + (0 + x|b:a)", frame)
    assert [f.name for f in d.factors] == ["g", "h", "a:b"]
    assert [t.factor for t in d.terms] == [0, 0, 1, 2, 2]
    assert [t.names for t in d.terms] == [
        ("Intercept",),
        ("x",),
        ("Intercept",),
        ("Intercept",),
        ("x",),
    ]


def test_z_is_the_columns_left_of_the_bar(frame):
    d = build("y ~ x + (x + a | g) + (0 + a | h)", frame)
    first, second = d.terms
    assert first.names == ("Intercept", "x", "a[q]", "a[r]")
    assert np.array_equal(first.z[:, 1], frame.x)
    assert second.names == ("a[p]", "a[q]", "a[r]")
    assert np.array_equal(second.z.sum(axis=1), np.ones(N))


def test_double_bars_leave_a_factor_correlated_as_lme4(frame):
    (term,) = build("y ~ 1 + (x + w || g)", frame).terms
    assert (term.names, term.correlated) == (("Intercept", "x", "w"), False)
    first, second = build("y ~ 1 + (x + a || g)", frame).terms
    assert (first.names, first.correlated) == (("Intercept", "x"), False)
    assert (second.names, second.correlated) == (("a[p]", "a[q]", "a[r]"), True)
    assert first.factor == second.factor == 0


def test_transforms_share_their_numbers_with_the_fixed_part(frame):
    d = build("y ~ scale(x) + (scale(x) | g)", frame)
    assert np.array_equal(d.X, d.terms[0].z)


# --- rows ----------------------------------------------------------------------------------------


def test_one_mask_over_everything(frame):
    f = frame.astype({"g": object, "k": "Int64"})
    f["t"] = 1.0
    f["u"] = 2.0
    for row, column in enumerate(["y", "x", "w", "a", "g", "k", "t", "u"]):
        f.loc[row, column] = None
    formula = "y | weights(u) ~ x + factor(k) + offset(log(t)) + (w | a/g)"
    with pytest.raises(DataError) as caught:
        build(formula, f)
    for row, column in enumerate(["y", "x", "w", "a", "g", "k", "t", "u"]):
        assert f"{column!r} in 1 row (first {row})" in str(caught.value)
    d = build(formula, f, missing="drop")
    assert np.array_equal(d.rows, np.arange(8, N))
    assert d.dropped == dict.fromkeys(["y", "u", "x", "k", "t", "w", "a", "g"], 1)
    rest = build(formula, f.iloc[8:])
    assert np.array_equal(d.X, rest.X)
    assert d.factors[1].levels == rest.factors[1].levels


def test_rows_are_positions_in_the_users_data(frame):
    f = frame.copy()
    f.loc[3, "x"] = np.nan
    f.loc[10, "y"] = np.inf
    with pytest.raises(DataError, match="y is inf in 1 row .first 10"):
        build("y ~ x", f, missing="drop")


def test_weights_and_offsets(frame):
    by_name = build("y ~ x", frame, weights="w")
    by_array = build("y ~ x", frame, weights=frame.w)
    in_formula = build("y | weights(w) ~ x + offset(x) + offset(2 * w)", frame)
    for d in (by_name, by_array, in_formula):
        assert np.array_equal(d.weights, frame.w)
    assert np.allclose(in_formula.offset, frame.x + 2 * frame.w)
    assert not by_name.offset.any()
    with pytest.raises(DataError, match="given twice"):
        build("y | weights(w) ~ x", frame, weights="w")


def test_trials(frame):
    f = frame.assign(s=frame.k, f=frame.g, n=frame.k + frame.g)
    designs = [
        build(f"{left} ~ x", f, "binomial")
        for left in ("cbind(s, f)", "prop(s, n)", "s | trials(n)")
    ]
    for d in designs:
        assert np.array_equal(d.response.y, f.k)
        assert np.array_equal(d.response.trials, f.n)


# --- frames --------------------------------------------------------------------------------------


def test_other_frames_give_the_same_design(frame):
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    f = frame.assign(a=pd.Categorical(frame.a, categories=["r", "p", "q"]), t=frame.x > 0)
    formula = "y ~ x * a + factor(k) + t + (x | h/g)"
    expected = build(formula, f)
    columns = {name: f[name].astype(object if name == "a" else f[name].dtype) for name in f}
    lists = {name: column.tolist() for name, column in columns.items()}
    polars = pl.DataFrame(lists).with_columns(pl.col("a").cast(pl.Enum(["r", "p", "q"])))
    forms = {
        "polars": polars,
        "dict": {**columns, "a": f.a},
        "nullable": f.convert_dtypes(),
        "arrow": f.convert_dtypes(dtype_backend="pyarrow").assign(a=f.a),
        "object": f.astype({"x": object, "k": object, "g": object}),
    }
    for name, form in forms.items():
        found = build(formula, form)
        assert found.columns == expected.columns, name
        assert np.array_equal(found.X, expected.X), name
        assert [x.levels for x in found.factors] == [x.levels for x in expected.factors], name
    arrow = pa.table(lists)
    assert build("y ~ x + (1 | g)", arrow).factors[0].levels == expected_levels(f)


def expected_levels(f: pd.DataFrame) -> tuple[str, ...]:
    return tuple(map(str, sorted(f.g.unique())))


def test_missing_values_of_polars(frame):
    pl = pytest.importorskip("polars")
    data = pl.DataFrame(
        {"y": [1.0, None, 2.0, 3.0], "g": [1, 2, None, 2**60], "h": list("aab") + [None]}
    )
    with pytest.raises(DataError, match="'y' in 1 row .first 1.*'g' in 1 row .first 2.*'h' in 1"):
        build("y ~ 1 + (1|g) + (1|h)", data)
    data = data.with_columns(pl.col("h").fill_null("b"))
    with pytest.warns(DataWarning):
        levels = build("y ~ 1 + (1|g)", data, missing="drop").factors[0].levels
    assert levels == ("1", str(2**60))
    with pytest.raises(DataError, match="collected"):
        build("y ~ 1", data.lazy())


# --- new data ------------------------------------------------------------------------------------

FROZEN = "y ~ scale(x) * a + poly(w, 2) + bs(g, df=4) + center(k) + offset(log(w)) + (scale(x)|h/g)"


def test_new_data_get_the_same_columns(frame):
    d = build(FROZEN, frame)
    some = frame.iloc[[5, 17, 2]].drop(columns="y")
    new = d.new_data(some)
    assert np.allclose(new.X, d.X[[5, 17, 2]], rtol=1e-14)
    assert np.allclose(new.offset, d.offset[[5, 17, 2]])
    for old, term in zip(d.terms, new.terms, strict=True):
        assert np.allclose(term.z, old.z[[5, 17, 2]])
        assert (term.names, term.factor) == (old.names, old.factor)
    for factor, other in zip(d.factors, new.factors, strict=True):
        assert np.array_equal(other.index, factor.index[[5, 17, 2]])
        assert other.levels == factor.levels


def test_39_new_data_never_look_elsewhere(frame):
    x = frame.x
    d = build("y ~ x", frame)
    with pytest.raises(DataError, match="no column 'x'"):
        d.new_data(frame[["w"]])
    assert len(x) == N  # a variable of that name was in reach all along


def test_40_unknown_groups(frame):
    d = build("y ~ x + (1|g)", frame)
    new = frame.head(3).assign(g=[11, 99, 100])
    with pytest.raises(
        DataError, match=r"g has 2 levels that the model does not know \('99', '100"
    ):
        d.new_data(new)
    factor = d.new_data(new, new_levels="append").factors[0]
    assert factor.index.tolist() == [11, 12, 13]
    assert factor.levels == (*d.factors[0].levels, "99", "100")
    with pytest.raises(DataError, match="new_levels"):
        d.new_data(new, new_levels="sample?")


def test_41_new_data_with_missing_values(frame):
    with pytest.raises(DataError, match="'x' in 1 row .first 1"):
        build("y ~ x", frame).new_data(pd.DataFrame({"x": [1, None]}))


def test_new_data_with_unknown_levels_or_beyond_the_spline(frame):
    d = build("y ~ a + bs(x, df=4)", frame)
    with pytest.raises(DataError, match=r"1 level \('z'\) that the model does not know"):
        d.new_data(frame.head(2).assign(a=["z", "p"]))
    with pytest.raises(DataError, match="outside the range"):
        d.new_data(frame.head(1).assign(x=100.0))


# --- the user's functions ------------------------------------------------------------------------


def test_own_functions(frame):
    own = {"hinge": lambda x, at: np.maximum(x - at, 0)}
    d = build("y ~ hinge(x, 0.5) * a", frame, functions=own)
    assert np.allclose(d.X[:, 1], np.maximum(frame.x - 0.5, 0))
    assert d.columns[1] == "hinge(x, 0.5)"
    assert np.allclose(d.new_data(frame, functions=own).X, d.X)


def test_own_functions_have_to_give_a_column(frame):
    with pytest.raises(DataError, match="it has to give 90 numbers"):
        build("y ~ bad(x)", frame, functions={"bad": lambda x: x[:3]})


def test_what_cannot_be_evaluated(frame):
    for formula, words in {
        "y ~ log(a)": "'a' is text",
        "y ~ scale(I(0 * x))": "spread of a constant",
        "y ~ log(x)": "log.x. is nan in",
        "y ~ exp(1e6 * w)": "is inf in 90 rows",
        "y ~ poly(k, 5)": "distinct values",
        "y ~ bs(x, df=2)": "cannot be made",
        "y ~ 0": "no terms",
        "y ~ ref(k, '1') + ref(k, '2')": "would both be called",
    }.items():
        with pytest.raises(DataError, match=words):
            build(formula, frame)
