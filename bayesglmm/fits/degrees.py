"""Denominator degrees of freedom of the coefficients, from the design alone.

Containment, SAS's rule for models with random effects: a fixed effect that a random effect contains
has the rank that this random effect adds to [X Z] as the effects enter one after the other, outer
factors first (the least of them, if several contain it); any other one has the residual
n - rank [X Z]. An effect contains another if both have the same continuous
variables and it has all the classes of the other, and more; so `visit | id` contains `visit`, and
`1 | id` the intercept alone, but nothing contains `treat`.

Between and within: n - rank X is split into subjects - (rank of the columns that are constant
within subjects), for those, and the remainder for the others. Residual: n - rank X for all.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..design import Design
from ..errors import DataError

RULES = ("containment", "between-within", "residual")
TOLERANCE = 1e-9  # of a column's sum of squares: what is left of it counts as 0 below
LARGEST = 3000  # columns besides those of the largest factor, whose rank is found densely

_CLASS = re.compile(r"^(?:factor|C|ref)\((.*)\)$")


class Effect(NamedTuple):
    """The variables of a fixed or random effect."""

    continuous: tuple[str, ...]
    classes: frozenset[str]

    def contains(self, other: "Effect") -> bool:
        """Whether the other is this one with fewer classes."""
        return self.continuous == other.continuous and other.classes < self.classes


@dataclass(frozen=True, eq=False)
class Block:
    """Columns of Z: each of z by the levels of a factor."""

    effect: Effect
    index: np.ndarray
    levels: int
    z: np.ndarray


def coefficients(design: Design, rule: str = "containment") -> np.ndarray:
    """Degrees of freedom of each coefficient, shape (p,).

    Parameters
    ----------
    design : Design
    rule : {"containment", "between-within", "residual"}
        Weights are frequencies: a row of weight 3 counts three times.

    Raises
    ------
    ValueError
        For another rule.
    DataError
        For between-within with factors that are not nested.
    """
    if rule not in RULES:
        raise ValueError(f"df has to be one of {', '.join(map(repr, RULES))}, not {rule!r}")
    used = design.weights > 0.0
    n, p = float(design.weights.sum()), design.X.shape[1]
    X = _centred(design)[used]
    if rule == "residual" or not design.terms:
        return np.full(p, _at_least_one(n - _rank(X, [])))
    if rule == "between-within":
        return _between_within(design, X, used, n)
    blocks = _random_effects(design, used)
    ranks = [_rank(X, blocks[:k]) for k in range(len(blocks) + 1)]
    df = np.full(p, _at_least_one(n - ranks[-1]))
    added = [_at_least_one(rank) for rank in np.diff(ranks)]
    for j, name in enumerate(design.columns):
        fixed = effect_of(name, design)
        inside = [a for a, block in zip(added, blocks, strict=True) if block.effect.contains(fixed)]
        df[j] = min(inside, default=df[j])
    return df


def hypothesis(df: np.ndarray, L: np.ndarray) -> float:
    """Degrees of freedom of a linear hypothesis: the least of the coefficients it involves.

    Parameters
    ----------
    df : ndarray, shape (p,)
    L : ndarray, shape (p,) or (r, p)
        Rows of coefficients that are 0 under the hypothesis.
    """
    involved = np.any(np.atleast_2d(L) != 0.0, axis=0)
    return float(df[involved].min()) if np.any(involved) else float("inf")


def effect_of(column: str, design: Design, group: Iterable[str] = ()) -> Effect:
    """The effect a column belongs to, by the column's name.

    Parameters
    ----------
    column : str
        Of X, or of the z of a term.
    design : Design
    group : iterable of str
        Variables of the term's factor.
    """
    continuous, classes = [], {_plain(name) for name in group}
    for part in _parts(column, design):
        if part in design.frozen.levels:
            classes.add(_plain(part))
        elif part != "Intercept":
            continuous.append(part)
    return Effect(tuple(sorted(continuous)), frozenset(classes))


def _parts(column: str, design: Design) -> Iterable[str]:
    """Factors of a product by their text in the formula, without the levels."""
    labels = {
        f"{text}[{level}]": text for text, found in design.frozen.levels.items() for level in found
    }
    rest = column
    while rest:
        known = [label for label in labels if rest == label or rest.startswith(f"{label}:")]
        if known:
            label = max(known, key=len)
            yield labels[label]
        else:
            label = _until_colon(rest)
            yield label
        rest = rest[len(label) + 1 :]


def _until_colon(text: str) -> str:
    """What stands before the first colon outside of backticks and brackets."""
    depth, quoted = 0, False
    for k, letter in enumerate(text):
        if letter == "`":
            quoted = not quoted
        elif not quoted:
            depth += (letter in "([") - (letter in ")]")
            if letter == ":" and depth == 0:
                return text[:k]
    return text


def _plain(text: str) -> str:
    """The column behind ``factor(x)``, ``C(x)``, ``ref(x, "a")``."""
    wrapped = _CLASS.match(text)
    return (wrapped.group(1).split(",")[0] if wrapped else text).strip().strip("`")


def _random_effects(design: Design, used: np.ndarray) -> list[Block]:
    """Columns of z by effect: those of one class variable belong together.

    Factors of few levels come first: an outer factor adds nothing after one nested in it.
    """
    found: dict[Effect, Block] = {}
    for term in design.terms:
        factor = design.factors[term.factor]
        for k, name in enumerate(term.names):
            effect = effect_of(name, design, factor.name.split(":"))
            z = term.z[used, k : k + 1]
            if name != "Intercept" and "Intercept" in term.names:
                z = z - z.mean()  # the same span; large numbers would drown their differences
            if effect in found:
                z = np.hstack([found[effect].z, z])
            index = np.asarray(factor.index)[used].astype(np.int64)
            found[effect] = Block(effect, index, len(factor.levels), z)
    return sorted(found.values(), key=lambda block: block.levels)


def _between_within(design: Design, X: np.ndarray, used: np.ndarray, n: float) -> np.ndarray:
    """Subjects are the levels of the factor in which all others are nested."""
    index = [np.asarray(f.index)[used].astype(np.int64) for f in design.factors]
    top = min(range(len(index)), key=lambda f: len(design.factors[f].levels))
    subject = index[top]
    for k, factor in enumerate(design.factors):
        pairs = np.unique(np.stack([index[k], subject]), axis=1).shape[1]
        if pairs > len(factor.levels):
            raise DataError(
                f"between-within degrees of freedom need one factor of subjects; "
                f"{factor.name} is not nested in {design.factors[top].name}. "
                "Ask for df='containment' or 'residual'."
            )
    levels = len(design.factors[top].levels)
    sizes = np.maximum(np.bincount(subject, minlength=levels), 1)
    constant = np.ones(X.shape[1], dtype=bool)
    for j, column in enumerate(X.T):
        mean = np.bincount(subject, column, minlength=levels) / sizes
        spread = np.abs(column - mean[subject]).max(initial=0.0)
        constant[j] = spread <= 1e-10 * max(np.abs(column).max(initial=0.0), 1e-300)
    subjects = np.unique(subject).size
    between = subjects - _rank(X[:, constant], [])
    within = n - _rank(X, []) - between
    return np.where(constant, _at_least_one(between), _at_least_one(within))


def _centred(design: Design) -> np.ndarray:
    """X with the same span, its columns centred where there is an intercept, of length about 1."""
    X = design.X.copy()
    if design.has_intercept:
        place = design.columns.index("Intercept")
        X -= X.mean(axis=0)
        X[:, place] = 1.0
    length = np.sqrt((X**2).mean(axis=0))
    length[~(length > 0.0)] = 1.0
    return np.asarray(X / length)


def _at_least_one(df: float) -> float:
    """Degrees of freedom as large as a t distribution needs."""
    return max(float(df), 1.0)


def _rank(X: np.ndarray, blocks: list[Block]) -> float:
    """Rank of X and the columns of Z of some effects.

    The largest factor is projected out level by level; what remains is judged densely, or, where
    that would be too large, taken to be of full rank but for one column a factor.
    """
    if not blocks:
        return float(np.linalg.matrix_rank(X)) if X.size else 0.0
    from scipy import sparse

    names = {block.effect.classes: block for block in blocks}
    largest = max(names.values(), key=lambda block: block.levels)
    first = [b for b in blocks if np.array_equal(b.index, largest.index)]
    others = [b for b in blocks if not any(b is own for own in first)]
    n, levels = X.shape[0], largest.levels
    z = np.hstack([block.z for block in first])
    q = z.shape[1]
    gram = np.empty((levels, q, q))
    for k in range(q):
        for l in range(q):
            gram[:, k, l] = np.bincount(largest.index, z[:, k] * z[:, l], minlength=levels)
    values, inverse = _pseudo_inverse(gram)
    own = float(values.sum())

    rows = np.arange(n)
    rest = [
        sparse.csr_array((column, (rows, block.index)), shape=(n, block.levels))
        for block in others
        for column in block.z.T
    ]
    columns = sum(part.shape[1] for part in rest)
    if columns > LARGEST:
        estimate = own + columns - len(others) + X.shape[1]
        return min(float(n), estimate)
    B = sparse.hstack([*rest, sparse.csr_array(X)], format="csr")
    Z1 = [sparse.csr_array((column, (rows, largest.index)), shape=(n, levels)) for column in z.T]
    cross = [part.T @ B for part in Z1]
    total = (B.T @ B).toarray()
    length = np.sqrt(np.maximum(np.diag(total), 1e-300))
    for k in range(q):
        for l in range(q):
            weight = sparse.diags_array(inverse[:, k, l])
            total -= (cross[k].T @ weight @ cross[l]).toarray()
    left = np.linalg.eigvalsh(total / np.outer(length, length))
    return own + float(np.count_nonzero(left > TOLERANCE))


def _pseudo_inverse(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank (J,) and pseudo-inverse (J, q, q) of small matrices of sums of squares."""
    length = np.sqrt(np.maximum(np.einsum("jkk->jk", gram), 1e-300))
    values, vectors = np.linalg.eigh(gram / (length[:, :, None] * length[:, None, :]))
    good = values > TOLERANCE
    weights = np.where(good, 1.0 / np.where(good, values, 1.0), 0.0)
    half = vectors / length[:, :, None]
    inverse = np.einsum("jkr,jr,jlr->jkl", half, weights, half)
    return good.sum(axis=1), inverse
