"""Contrasts: which factors of which products have a column for every level.

A categorical factor is coded by treatment contrasts, its first level the reference, or by one
column a level. Which of the two follows from the products before it, so that the columns span what
the formula says and are independent (the rule of patsy and formulaic, which is R's with its
redundant cases resolved): ``1 + f`` has contrasts, ``0 + f`` all levels, ``x + f:x`` contrasts
times x, ``f:x`` alone all levels times x.
"""

from collections.abc import Iterable
from itertools import combinations

# One factor of a coded product: its text, and for a categorical factor whether it has a column for
# every level (True) or for every level but the reference (False).
Coded = tuple[tuple[str, bool | None], ...]


def full_rank(products: Iterable[tuple[str, ...]], categorical: set[str]) -> list[Coded]:
    """Code products so that their columns are independent and span all that the products say.

    Each product of categorical factors is the sum, over the subsets of them, of contrast-coded
    interactions. Those that an earlier product (with the same numeric factors) has are left out;
    of what remains, a subset with and without a factor together are that factor in full.

    Parameters
    ----------
    products : iterable of tuple of str
        Factors of each product by text, ``()`` for the intercept.
    categorical : set of str
        Which of them are categorical.

    Returns
    -------
    list
        Coded products: a tuple of (factor, full or None if numeric) for each.
    """
    return [piece for pieces in by_product(products, categorical) for piece in pieces]


def by_product(products: Iterable[tuple[str, ...]], categorical: set[str]) -> list[list[Coded]]:
    """Return what `full_rank` returns, apart by product."""
    products = list(products)
    coded: list[list[Coded]] = []
    for factors, subsets in zip(products, introduced(products, categorical), strict=True):
        pieces: list[dict[str, bool]] = [dict.fromkeys(subset, False) for subset in subsets]
        while _merge_one(pieces):
            pass
        coded.append(
            [
                tuple((f, piece.get(f)) for f in factors if f not in categorical or f in piece)
                for piece in pieces
            ]
        )
    return coded


def introduced(
    products: Iterable[tuple[str, ...]], categorical: set[str]
) -> list[list[tuple[str, ...]]]:
    """Subsets of the categorical factors of each product that no earlier product has.

    Products differ where their numeric factors do. The columns of a product span the
    contrast-coded interactions of these subsets, times its numeric factors.
    """
    used: set[tuple[frozenset[str], frozenset[str]]] = set()
    found: list[list[tuple[str, ...]]] = []
    for factors in products:
        numeric = frozenset(f for f in factors if f not in categorical)
        classes = [f for f in factors if f in categorical]
        found.append([])
        for size in range(len(classes) + 1):
            for subset in combinations(classes, size):
                key = (numeric, frozenset(subset))
                if key not in used:
                    used.add(key)
                    found[-1].append(subset)
    return found


def _merge_one(pieces: list[dict[str, bool]]) -> bool:
    """Join a piece and the same one with another contrast-coded factor: it becomes full."""
    for i, short in enumerate(pieces):
        for k, long in enumerate(pieces[i + 1 :], i + 1):
            extra = long.items() - short.items()
            if len(extra) == 1 and len(long) == len(short) + 1:
                name, full = next(iter(extra))
                if not full:
                    pieces[k] = {**long, name: True}
                    del pieces[i]
                    return True
    return False
