"""What a posterior is extended from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .chains import Standing
    from .recipe import Recipe


@dataclass(frozen=True, eq=False)
class Resumption:
    """The program of a run and where its chains stand.

    Attributes
    ----------
    recipe : Recipe
    standings : tuple of Standing
        Of the chains that the posterior has draws of, in their order.
    failures : dict of int to str
        Chains (numbered from 0) that failed, with the reason.
    """

    recipe: "Recipe"
    standings: tuple["Standing", ...]
    failures: dict[int, str]
