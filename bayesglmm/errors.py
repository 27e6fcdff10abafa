"""Exceptions and warnings: what can be wrong with what the user gave, or with the draws."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .posterior import Posterior

# How much of a long formula is shown on either side of the caret.
_CONTEXT = 60


class DataError(ValueError):
    """Data or an argument that cannot be used; the message names it and the remedy."""


class FormulaError(ValueError):
    """A formula that cannot be read.

    Parameters
    ----------
    reason : str
        What is wrong, and what to write instead.
    formula : str
        The whole formula.
    position : int
        Character of the formula at which it goes wrong.
    """

    def __init__(self, reason: str, formula: str, position: int) -> None:
        self.reason = reason
        self.formula = formula
        self.position = position
        start = max(0, position - _CONTEXT)
        shown = formula[start : position + _CONTEXT]
        # One column a character, and no control characters sent to a terminal.
        shown = "".join(c if c.isprintable() else " " for c in shown)
        super().__init__(f"{reason}\n    {shown}\n    {' ' * (position - start)}^")

    def __reduce__(self) -> tuple[type, tuple[str, str, int]]:
        return type(self), (self.reason, self.formula, self.position)


class PriorError(ValueError):
    """A prior whose parameters are outside their domain."""


class LoadError(ValueError):
    """A saved file that is damaged, or not ours."""


class DataWarning(UserWarning):
    """Data that can be used, with a consequence the user should know."""


class ConvergenceWarning(UserWarning):
    """Draws that do not yet describe the posterior, or estimates that have not arrived.

    Attributes
    ----------
    posterior : Posterior or None
        What `Model.sample` or `Posterior.extend` returns where its verdict is the warning: where
        warnings are errors, the draws are here. None in other warnings.
    """

    posterior: "Posterior | None" = None
