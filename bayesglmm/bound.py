"""What a program holds of a family: its name, and compiled code found again by it."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import families

if TYPE_CHECKING:
    from .families import Family


class Bound:
    """What is bound to a family by its name, so that it can be sent to another process."""

    family: "Family | tuple[str, str]"

    @cached_property
    def rows(self) -> Any:
        """Compiled row function of the family."""
        if isinstance(self.family, tuple):
            try:
                return families.bind(families.get(*self.family))
            except ValueError as error:
                error.add_note("Define it in a module that the workers import as well.")
                raise
        return families.bind(self.family)

    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in self.__dict__.items() if k != "rows"}
        family = self.family
        named = family if isinstance(family, tuple) else (family.name, family.link)
        return {**state, "family": named}
