"""Type III hypotheses: published tests, and sums of squares of a model coded to sum to zero."""

import itertools

import numpy as np
import pytest
import results
from scipy import stats

import bayesglmm as bg
from bayesglmm.design import build
from bayesglmm.type3 import hypotheses
from bayesglmm.wald import joint


def test_published_tests():
    # SAS GLIMMIX, method RSPL: diagnosis, treatment, time, treatment by time.
    frame = results.published().type3()
    np.testing.assert_allclose(frame["F"], [79.69, 41.09, 9.12, 14.73], atol=0.005)
    assert list(frame.index) == ["severe", "new", "week", "new:week"]
    np.testing.assert_array_equal(frame["num_df"], [1, 1, 2, 2])
    np.testing.assert_array_equal(frame["den_df"], 676)
    np.testing.assert_allclose(frame["p"], stats.f.sf(frame["F"], frame["num_df"], 676))


def test_chi_squared_where_tests_are_by_the_normal_distribution():
    fit = results.fit("cbpp")
    frame = fit.type3()
    b, V = fit.beta[1:], fit.beta_covariance[1:, 1:]
    np.testing.assert_allclose(frame["chi2"], [b @ np.linalg.solve(V, b)])
    np.testing.assert_array_equal(frame["df"], [3])


LEVELS = {"a": ("a1", "a2", "a3"), "b": ("b1", "b2"), "c": ("c1", "c2", "c3")}


def data(seed: int = 1) -> dict:
    """Return unbalanced data without empty cells."""
    rng = np.random.default_rng(seed)
    cells = list(itertools.product(*LEVELS.values()))
    rows = [cell for cell in cells for _ in range(rng.integers(1, 5))]
    columns = {name: [row[k] for row in rows] for k, name in enumerate(LEVELS)}
    n = len(rows)
    return {**columns, "x": rng.normal(size=n), "y": rng.normal(size=n)}


def effect(values: list[str], levels: tuple[str, ...]) -> np.ndarray:
    """Return sum-to-zero columns."""
    codes = np.array([levels.index(v) for v in values])
    return (codes[:, None] == np.arange(1, len(levels))) - (codes == 0)[:, None].astype(float)


def interaction(*blocks: np.ndarray) -> np.ndarray:
    made = np.ones((blocks[0].shape[0], 1))
    for block in blocks:
        made = (made[:, :, None] * block[:, None, :]).reshape(made.shape[0], -1)
    return made


def residual(X: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum((y - X @ np.linalg.lstsq(X, y, rcond=None)[0]) ** 2))


# Each formula with its blocks of sum-to-zero columns: the factors of each block, by term.
FORMULAS = {
    "a * b": {"a": ["a"], "b": ["b"], "a:b": ["ab"]},
    "a * b * c": {
        t.replace("_", ":"): [t.replace("_", "")]
        for t in ("a", "b", "c", "a_b", "a_c", "b_c", "a_b_c")
    },
    "a * x": {"a": ["a"], "x": ["x"], "a:x": ["ax"]},
    "a * b * x": {
        "a": ["a"],
        "b": ["b"],
        "x": ["x"],
        "a:b": ["ab"],
        "a:x": ["ax"],
        "b:x": ["bx"],
        "a:b:x": ["abx"],
    },
    "a + a:b": {"a": ["a"], "a:b": ["b", "ab"]},  # b nested in a
    "a + a:x": {"a": ["a"], "a:x": ["x", "ax"]},
    "a + x + a:x": {"a": ["a"], "x": ["x"], "a:x": ["ax"]},
    "ref(a, 'a2') * b": {"a": ["a"], "b": ["b"], "a:b": ["ab"]},
    "0 + a + b": {"a": ["", "a"], "b": ["b"]},
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_wald_is_the_sum_of_squares_of_sum_to_zero_columns(formula):
    frame = data()
    design = build(f"y ~ {formula}", frame)
    y, X = frame["y"], design.X
    n = X.shape[0]
    blocks = {name: effect(frame[name], levels) for name, levels in LEVELS.items()}
    blocks["x"] = frame["x"][:, None]
    columns = {
        term: [interaction(np.ones((n, 1)), *(blocks[k] for k in part)) for part in parts]
        for term, parts in FORMULAS[formula].items()
    }
    intercept = [] if formula.startswith("0") else [np.ones((n, 1))]
    full = np.hstack([*intercept, *itertools.chain(*columns.values())])
    assert full.shape[1] == X.shape[1]
    s2 = residual(X, y) / (n - X.shape[1])
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    V = s2 * np.linalg.inv(X.T @ X)
    found = hypotheses(design)
    assert list(found) == list(columns)
    for term, own in columns.items():
        rest = [part for name, parts in columns.items() if name != term for part in parts]
        reduced = np.hstack([*intercept, *rest, np.zeros((n, 1))])
        rank = sum(part.shape[1] for part in own)
        expected = (residual(reduced, y) - residual(full, y)) / rank / s2
        L = found[term]
        r, F, p = joint(L @ beta, L @ V @ L.T, n - X.shape[1])
        assert r == rank
        np.testing.assert_allclose(F, expected, rtol=1e-8)
        np.testing.assert_allclose(p, stats.f.sf(expected, rank, n - X.shape[1]), rtol=1e-6)


def test_the_choice_of_reference_does_not_matter():
    frame = data()
    X, first = (build("y ~ a * b + x", frame, reference=r) for r in (None, {"a": "a3", "b": "b2"}))
    y = frame["y"]
    statistics = []
    for design in (X, first):
        beta = np.linalg.lstsq(design.X, y, rcond=None)[0]
        V = np.linalg.inv(design.X.T @ design.X)
        statistics.append(
            [joint(L @ beta, L @ V @ L.T, np.inf)[1] for L in hypotheses(design).values()]
        )
    np.testing.assert_allclose(*statistics, rtol=1e-9)


def test_bases_are_one_term():
    frame = data()
    found = hypotheses(build("y ~ poly(x, 3) * b", frame))
    assert {name: L.shape[0] for name, L in found.items()} == {
        "poly(x, 3)": 3,
        "b": 1,
        "poly(x, 3):b": 3,
    }


def test_a_model_of_an_intercept_has_no_terms():
    made = bg.glmm("y ~ 1", {"y": np.arange(5.0)}).fit("glm")
    assert made.type3().empty
