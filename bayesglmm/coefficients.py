"""The coefficients of a design: which term each belongs to, and which levels its name stands for.

A column of X is a product of parts: ``treat[new]:week[1]`` has the part of level ``new`` of
``treat`` and that of level ``1`` of ``week``. The design stores names; the parts are read again
from its formula in the order in which the columns were made.
"""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from . import formula as language
from .coding import Functions
from .errors import DataError
from .expressions import Call, Expression, Text, names, parse, walk
from .redundancy import by_product

if TYPE_CHECKING:
    from .design import Design


class Part(NamedTuple):
    """A factor of a product: one level of a class, or one column of a number.

    Attributes
    ----------
    factor : str
        The factor's text in the formula, ``ref(treat, "old")``.
    name : str
        How tables call it, ``treat``.
    level : str or None
        The level, for a categorical factor.
    column : int
        Which column of a basis like poly(); 0 elsewhere.
    label : str
        How it is written in a row's name, ``treat[new]``.
    """

    factor: str
    name: str
    level: str | None
    column: int
    label: str


class Coefficient(NamedTuple):
    """A column of X: its name, its parts, and the place of its term in `terms`."""

    name: str
    parts: tuple[Part, ...]
    term: int


class Term(NamedTuple):
    """A term of the fixed effects: its name, and its factors by their text in the formula."""

    name: str
    factors: tuple[str, ...]


def formula_of(design: "Design", functions: Functions | None = None) -> language.Formula:
    """The formula that a design was made of, read again.

    Parameters
    ----------
    design : Design
    functions : mapping, optional
        The user's own functions, if new columns are to be made: then all that it calls.

    Raises
    ------
    DataError
        If functions are given, and one that the formula calls is not among them.
    """
    tables = (*language.FUNCTIONS, *language.RESPONSES, *language.ADDITIONS)
    calls = {node.function for node in walk(parse(design.formula)) if isinstance(node, Call)}
    own = calls - set(tables)
    if functions is not None and not own <= set(functions):
        missing = ", ".join(sorted(own - set(functions)))
        raise DataError(f"the formula calls {missing}: give it again with functions={{...}}")
    return language.read(design.formula, own)


def terms(design: "Design") -> tuple[Term, ...]:
    """Terms of the fixed effects in their order, the intercept first with no factors."""
    return tuple(
        Term(":".join(_shown(f) for f in p) or "Intercept", tuple(map(str, p)))
        for p in formula_of(design).products
    )


def coefficients(design: "Design") -> tuple[Coefficient, ...]:
    """Coefficients in the order of the columns of X.

    The columns of a product may stand in for margins that the formula left out: those of ``a:b``
    in ``y ~ a:b`` are one for every combination of levels.
    """
    found = tuple(_products(design, with_references=False))
    assert tuple(c.name for c in found) == tuple(design.columns)  # both are made by one rule
    return found


def references(design: "Design") -> tuple[Coefficient, ...]:
    """What would be coefficients, were they not 0 for a reference level."""
    names = set(design.columns)
    return tuple(c for c in _products(design, with_references=True) if c.name not in names)


def _products(design: "Design", with_references: bool) -> Iterator[Coefficient]:
    products = formula_of(design).products
    texts = [tuple(map(str, p)) for p in products]
    factors = {str(f): f for p in products for f in p}
    categorical = {text for text in factors if text in design.frozen.levels}
    for k, pieces in enumerate(by_product(texts, categorical)):
        for coded in pieces:
            parts = [
                _parts(factors[f], None if full is None else full or with_references, design)
                for f, full in coded
            ]
            # The first factor varies fastest, as in R and in `coding`.
            for reverse in product(*reversed(parts)):
                chosen = reverse[::-1]
                yield Coefficient(":".join(part.label for part in chosen) or "Intercept", chosen, k)


def is_categorical(node: Expression, design: "Design") -> bool:
    """Whether a factor of the formula has levels."""
    return str(node) in design.frozen.levels


def column_of(node: Expression) -> str:
    """The column of the data that a categorical factor is made of."""
    return names(node)[0]


def _shown(node: Expression) -> str:
    """How tables call a factor: ``ref(f, "a")`` is ``f`` with a level chosen."""
    if isinstance(node, Call) and node.function == "ref" and isinstance(node.arguments[1], Text):
        return str(node.arguments[0])
    return str(node)


def _parts(node: Expression, full: bool | None, design: "Design") -> list[Part]:
    text, name = str(node), _shown(node)
    if full is not None:
        levels = design.frozen.levels[text]
        return [
            Part(text, name, level, 0, f"{name}[{level}]")
            for k, level in enumerate(levels)
            if full or k > 0
        ]
    width = basis_width(node)
    if width is None:
        return [Part(text, name, None, 0, text)]
    return [Part(text, name, None, k, f"{text}[{k + 1}]") for k in range(width)]


def basis_width(node: Expression) -> int | None:
    """Number of columns of poly() or bs(); None for anything else."""
    if not (isinstance(node, Call) and node.function in language.BASES):
        return None
    allowed = language.BASES[node.function]
    given = dict(zip(allowed, node.arguments[1:], strict=False)) | dict(node.options)
    options = {name: int(str(value)) for name, value in given.items()}
    default = 1 if node.function == "poly" else 3
    return options.get("df", options.get("degree", default))
