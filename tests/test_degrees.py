"""Degrees of freedom: SAS's published ones, and ranks against dense linear algebra."""

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.design import build
from bayesglmm.errors import DataError
from bayesglmm.fits import degrees

EPILEPSY = "seizures ~ log(base) * treat + log(age) + visit + (visit | id)"


def by_name(design, rule="containment"):
    return dict(zip(design.columns, degrees.coefficients(design, rule), strict=True))


def test_depression_has_the_published_degrees_of_freedom():
    data = bg.load_dataset("depression")
    data["time"] = data["time"].astype(str)
    design = build("outcome ~ diagnose + treat * time + (1 | case)", data, "bernoulli")
    df = by_name(design)
    assert df.pop("Intercept") == 337
    assert set(df.values()) == {676}


def test_epilepsy_has_the_degrees_of_freedom_of_its_ranks():
    df = by_name(build(EPILEPSY, bg.load_dataset("epilepsy"), "poisson"))
    assert (df.pop("Intercept"), df.pop("visit")) == (54, 58)
    assert set(df.values()) == {118}


def test_published_epilepsy_has_one_rank_more():
    # 55, 117, 58 are those of [X Z] of rank 119, not 118: as if a covariate that is constant within
    # patients had come in with another value in one visit.
    data = bg.load_dataset("epilepsy")
    data["age"] = data["age"].astype(float)
    data.loc[5, "age"] *= 1.01
    df = by_name(build(EPILEPSY, data, "poisson"))
    assert (df.pop("Intercept"), df.pop("visit")) == (55, 58)
    assert set(df.values()) == {117}


def test_between_within_splits_the_residual():
    df = by_name(build(EPILEPSY, bg.load_dataset("epilepsy"), "poisson"), "between-within")
    assert df.pop("visit") == 236 - 6 - 54
    assert set(df.values()) == {59 - 5}


def test_residual_counts_weights_as_rows():
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "x": [0.0, 1.0, 2.0, 3.0], "w": [1, 3, 0, 2]})
    df = degrees.coefficients(build("y ~ x", data, weights="w"), "containment")
    assert set(df) == {6 - 2}


def test_split_plot_gives_whole_plots_their_own_error():
    rows = [(b, a, s) for b in "pqrs" for a in "xyz" for s in "uv"]
    data = pd.DataFrame(rows, columns=["block", "a", "sub"])
    data["y"] = np.random.default_rng(1).normal(size=len(rows))
    df = by_name(build("y ~ a * sub + (1 | block / a)", data))
    assert df["Intercept"] == 3
    assert df["a[y]"] == df["a[z]"] == 6
    assert df["sub[v]"] == df["a[y]:sub[v]"] == 24 - 6 - 3 - 6


def test_slopes_by_a_class_contain_that_class():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": np.repeat(range(9), 8), "f": np.tile(list("abcd"), 18)})
    data["y"] = rng.normal(size=72)
    df = by_name(build("y ~ factor(f) + (0 + f | g)", data))
    assert set(df.values()) == {9 * 4 - 4}


@pytest.mark.parametrize("seed", range(4))
def test_residual_is_n_less_the_rank_of_all_columns(seed):
    rng = np.random.default_rng(seed)
    n = 90
    data = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n) + 1e6,
            "a": rng.integers(0, 6 + seed, n),
            "b": rng.integers(0, 12, n),
        }
    )
    data["level"] = data["a"] * 2.0  # constant within a
    design = build("y ~ x + level + (x | a) + (1 | b)", data)
    Z = [
        term.z[:, [k]] * (design.factors[term.factor].index[:, None] == np.arange(levels))
        for term in design.terms
        for levels in [len(design.factors[term.factor].levels)]
        for k in range(len(term.names))
    ]
    X = design.X - design.X.mean(axis=0)
    X[:, 0] = 1.0
    rank = np.linalg.matrix_rank(np.hstack([X, *Z]) / 1.0, tol=1e-6)
    assert by_name(design)["level"] == n - rank


def test_crossed_factors_have_no_subjects():
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {"y": rng.normal(size=40), "a": np.arange(40) % 5, "b": rng.integers(0, 8, 40)}
    )
    with pytest.raises(DataError, match="not nested"):
        degrees.coefficients(build("y ~ 1 + (1 | a) + (1 | b)", data), "between-within")


def test_a_hypothesis_has_the_least_of_its_coefficients():
    df = np.array([54.0, 118.0, 58.0])
    assert degrees.hypothesis(df, np.array([0.0, 1.0, 0.0])) == 118
    assert degrees.hypothesis(df, np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -2.0]])) == 58


def test_names_with_colons_and_brackets_are_read():
    data = pd.DataFrame({"y": np.arange(8.0), "a:b": np.tile(["x:1", "y[2]"], 4), "g": [1, 2] * 4})
    data["z"] = [1.0, 2.0, 4.0, 3.0, 1.5, 2.5, 0.0, 1.0]
    design = build("y ~ `a:b` * z", data)
    effects = [degrees.effect_of(name, design) for name in design.columns]
    assert [len(e.classes) for e in effects] == [0, 1, 0, 1]
    assert [len(e.continuous) for e in effects] == [0, 0, 1, 1]


def test_unknown_rules_are_refused():
    design = build("y ~ x", pd.DataFrame({"y": [1.0, 2.0, 4.0], "x": [0.0, 1.0, 5.0]}))
    with pytest.raises(ValueError, match="containment"):
        degrees.coefficients(design, "satterthwaite")
