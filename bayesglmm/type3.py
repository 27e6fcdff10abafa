"""Type III tests: each term of the fixed effects given all others, whatever the coding.

A term's hypothesis is that its coefficients are 0 when factors are coded by sum-to-zero contrasts,
so that main effects are averages over the levels of the factors they interact with; for data
without empty cells these are SAS's Type III hypotheses. With X = T B and X~ = E B the same columns
written in products B of indicators, X~ = X A has A = T^-1 E, and beta~ = A^-1 beta: the rows of
A^-1 that belong to a term are its hypothesis.
"""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from .coefficients import Part, basis_width, coefficients, formula_of, terms
from .fits.degrees import hypothesis
from .quantities import joint_table
from .redundancy import introduced
from .tables import Table
from .wald import joint

if TYPE_CHECKING:
    from .design import Design
    from .expressions import Expression
    from .likelihood_fit import Fit

# A monomial: the indicator of a level of each of some factors, and columns of numbers.
Monomial = frozenset[tuple[str, str | int]]
Polynomial = dict[Monomial, float]
ROUNDING = 1e-10  # what is left of a 0 in a hypothesis


def tests(fit: "Fit") -> Table:
    """Type III tests of the terms of a fit.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    Table
        A row for each term but the intercept: ``num_df den_df F p``, the denominator degrees of
        freedom the least of the coefficients that the hypothesis involves; or ``df chi2 p`` where
        tests are by the normal distribution.
    """
    found = hypotheses(fit.model.design)
    rows = []
    for L in found.values():
        df = hypothesis(fit.df, L)
        rank, statistic, p = joint(L @ fit.beta, L @ fit.beta_covariance @ L.T, df)
        rows.append((rank, df, statistic, p))
    return joint_table(tuple(found), rows)


def hypotheses(design: "Design") -> dict[str, np.ndarray]:
    """Rows (r, p) of each term's hypothesis by the term's name, the intercept left out."""
    treatment = [_product([_treatment(p, design) for p in c.parts]) for c in coefficients(design)]
    effect: list[Polynomial] = []
    owner: list[int] = []
    for k, columns in enumerate(_effect_columns(design)):
        for column in columns:
            effect.append(column)
            owner.append(k)
    A = _change(treatment, effect)
    inverse = np.linalg.inv(A)
    inverse[np.abs(inverse) < ROUNDING] = 0.0
    place = np.array(owner)
    return {
        term.name: inverse[place == k]
        for k, term in enumerate(terms(design))
        if term.factors and np.any(place == k)
    }


def _effect_columns(design: "Design") -> Iterator[list[Polynomial]]:
    """Columns of each product when its factors are coded by sum-to-zero contrasts."""
    products = formula_of(design).products
    texts = [tuple(map(str, p)) for p in products]
    factors = {str(f): f for p in products for f in p}
    categorical = {text for text in factors if text in design.frozen.levels}
    for own, subsets in zip(texts, introduced(texts, categorical), strict=True):
        columns = []
        for subset in subsets:
            parts = [
                _effect(f, design) if f in categorical else _numeric(f, factors[f])
                for f in own
                if f in subset or f not in categorical
            ]
            columns += [_product(list(chosen)) for chosen in product(*parts)]
        yield columns


def _treatment(part: Part, design: "Design") -> Polynomial:
    """A part as indicators of levels other than the reference."""
    if part.level is None:
        return {frozenset([(part.factor, part.column)]): 1.0}
    levels = design.frozen.levels[part.factor]
    if part.level != levels[0]:
        return {frozenset([(part.factor, part.level)]): 1.0}
    return _reference(part.factor, levels)


def _reference(factor: str, levels: tuple[str, ...]) -> Polynomial:
    """The indicator of the reference: 1 minus the others."""
    return {frozenset(): 1.0} | {frozenset([(factor, level)]): -1.0 for level in levels[1:]}


def _effect(factor: str, design: "Design") -> list[Polynomial]:
    """Sum-to-zero contrasts: the indicator of a level minus that of the reference."""
    levels = design.frozen.levels[factor]
    columns = []
    for level in levels[1:]:
        column = {monomial: -c for monomial, c in _reference(factor, levels).items()}
        column[frozenset([(factor, level)])] += 1.0
        columns.append(column)
    return columns


def _numeric(factor: str, node: "Expression") -> list[Polynomial]:
    return [{frozenset([(factor, k)]): 1.0} for k in range(basis_width(node) or 1)]


def _product(factors: list[Polynomial]) -> Polynomial:
    """The product of polynomials of different factors."""
    total: Polynomial = {frozenset(): 1.0}
    for factor in factors:
        total = {a | b: x * y for a, x in total.items() for b, y in factor.items()}
    return total


def _change(treatment: list[Polynomial], effect: list[Polynomial]) -> np.ndarray:
    """A with effect columns = treatment columns times A, shape (p, p)."""
    monomials = {m: k for k, m in enumerate(dict.fromkeys(m for c in treatment for m in c))}
    T, E = (np.zeros((len(monomials), len(columns))) for columns in (treatment, effect))
    for matrix, columns in ((T, treatment), (E, effect)):
        for k, column in enumerate(columns):
            for monomial, c in column.items():
                matrix[monomials[monomial], k] = c
    if len(monomials) == len(treatment):  # no factor is coded in full: an exact and quicker way
        return np.linalg.solve(T, E)
    return np.asarray(np.linalg.lstsq(T, E, rcond=None)[0])
