"""Priors as written on the command line: ``normal(0, 2.5)``."""

import ast
import math
from dataclasses import fields
from typing import Any

from .errors import PriorError
from .priors import MATRIX_PRIORS, SCALAR_PRIORS

LONGEST_TEXT = 2000

_BY_NAME = {kind.__name__.lower(): kind for kind in (*SCALAR_PRIORS, *MATRIX_PRIORS)}


def parse(text: str) -> Any:
    """Read a prior as written on the command line, ``"normal(0, 2.5)"``.

    Names are those of the classes, in any case and with or without underscores; matrices are
    nested lists, and a prior of 1/x or 1/sqrt(x) holds another: ``"inverse(exponential(1))"``.

    Raises
    ------
    PriorError
        If the text is not a prior.
    """
    if len(text) > LONGEST_TEXT:
        raise PriorError(f"a prior of {len(text)} characters is too long")
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _unreadable(text) from None
    return _read(call, text)


def _unreadable(text: str) -> PriorError:
    return PriorError(f"cannot read the prior {text!r}; write it like normal(0, 2.5)")


def _read(call: ast.expr, text: str) -> Any:
    """The prior that a call in the text makes."""
    try:
        if isinstance(call, ast.Name):
            call = ast.Call(call, [], [])
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            raise ValueError("not a name with numbers in parentheses")
        name = call.func.id
        args = [_argument(node, text) for node in call.args]
        keywords = {str(node.arg): _argument(node.value, text) for node in call.keywords}
    except (ValueError, TypeError, MemoryError, RecursionError):
        raise _unreadable(text) from None
    kind = _BY_NAME.get(name.replace("_", "").lower())
    if kind is None:
        known = ", ".join(sorted(_BY_NAME))
        raise PriorError(f"unknown prior {name!r}; there are {known}")
    try:
        return kind(*args, **keywords)
    except TypeError:
        takes = ", ".join(field.name for field in fields(kind))
        raise PriorError(f"{kind.__name__} takes ({takes}), got {text!r}") from None


def _argument(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    if isinstance(node, ast.Call):
        return _read(node, text)
    return ast.literal_eval(node)
