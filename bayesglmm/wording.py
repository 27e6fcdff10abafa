"""Pieces of messages: counts, first rows, some levels."""

from collections.abc import Iterable

import numpy as np

_SHOWN_ROWS = 3
_SHOWN_LEVELS = 6


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def first_rows(where: np.ndarray, rows: np.ndarray | None) -> str:
    """``first 0, 1, 2``: positions in the user's data, of which `rows` were kept."""
    positions = where[:_SHOWN_ROWS] if rows is None else rows[where[:_SHOWN_ROWS]]
    return "first " + ", ".join(map(str, positions.tolist()))


def shown_levels(levels: Iterable[str]) -> str:
    """The first few of some levels, quoted."""
    levels = list(levels)
    more = ", ..." if len(levels) > _SHOWN_LEVELS else ""
    return ", ".join(map(repr, levels[:_SHOWN_LEVELS])) + more


def listed(noun: str, levels: Iterable[str]) -> str:
    """``2 levels ('a', 'b')``."""
    levels = list(levels)
    return f"{counted(len(levels), noun)} ({shown_levels(levels)})"
