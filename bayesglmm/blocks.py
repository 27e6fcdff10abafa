"""Blocks of classical sampling, as the user writes them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .block_plan import Block, Plan
from .errors import DataError

if TYPE_CHECKING:
    from .model import Model

Asked = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]  # names and methods, entry by entry


def asked(blocks: Mapping[Any, Any] | None) -> Asked:
    """Return the user's blocks as tuples of names and of methods.

    Raises
    ------
    DataError
        If it is no mapping of names to methods.
    """
    if blocks is None:
        return ()
    if not isinstance(blocks, Mapping):
        raise DataError(
            "blocks has to be a dict of methods by name, such as "
            f"{{'beta': 'iwls', 'u': 'random_walk', 'Sigma': 'conjugate'}}, not {blocks!r}"
        )
    out = []
    for key, value in blocks.items():
        names = (key,) if isinstance(key, str) else tuple(key) if _is_list(key) else ()
        methods = tuple(value.split("+")) if isinstance(value, str) else value
        if not names or not all(isinstance(name, str) for name in names):
            raise DataError(f"blocks names {key!r}: a name, or a tuple of coefficients, is wanted")
        if not _is_list(methods) or not methods or not all(isinstance(m, str) for m in methods):
            raise DataError(
                f"blocks[{key!r}] has to be a method, or a list of methods to be done in turn, "
                f"not {value!r}"
            )
        out.append((names, tuple(method.strip() for method in methods)))
    return tuple(out)


def parsed(text: str) -> dict[Any, Any]:
    """Return blocks from the text of a command line.

    ``"beta=iwls+centred, u=random_walk"``; several coefficients of one block are joined by ``+``.
    Commas and signs inside brackets are part of names.

    Raises
    ------
    DataError
        For an entry without ``=``.
    """
    blocks = {}
    for entry in _pieces(text, ","):
        names, equals, methods = entry.rpartition("=")
        if not equals:
            raise DataError(
                f'--blocks {entry!r} has no "="; write it as "beta=iwls, u=random_walk"'
            )
        key = _pieces(names, "+")
        blocks[key[0] if len(key) == 1 else tuple(key)] = methods
    return blocks


def _pieces(text: str, separator: str) -> list[str]:
    """Parts of a text between separators that are not inside brackets."""
    depth, parts = 0, [""]
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def resolve(model: "Model", chosen: Asked) -> tuple[Block, ...]:
    """Return the steps of a sweep: the blocks asked for, and what serves best for the rest.

    They are done in this order: coefficients; effects, factor by factor; centred coefficients;
    covariances, term by term; dispersion.

    Raises
    ------
    DataError
        For a name or a method that does not exist, or one thing in two blocks.
    PriorError
        For an exact draw under a prior that has none, with the remedy.
    """
    plan = Plan(model)
    for names, methods in chosen:
        plan.choose(names, methods)
    plan.complete()
    rank = {"beta": 0, "u": 1, "Sigma": 3, "dispersion": 4}
    return tuple(sorted(plan.steps, key=lambda b: 2 if b.method == "centred" else rank[b.target]))
