"""Groups: their ids, their number, and how factors lie to each other."""

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from .findings import Findings, Grouping, Observed

OVERDISPERSED = {"negative_binomial": "size", "gamma": "shape"}  # families and their dispersion
EXACT_INTEGERS = 2.0**53  # float64 holds every whole number below it


def group_column(
    name: str, values: np.ndarray | None, levels: Sequence[str], size: int, findings: Findings
) -> None:
    """Ids of one column: lost digits, continuous values, empty and look-alike texts.

    Parameters
    ----------
    values : array or None
        The ids where they are floats.
    """
    if values is not None:
        if (np.abs(values) >= EXACT_INTEGERS).any():
            raise DataError(
                f"column {name!r} holds ids above 2^53 as floats, which have lost digits; read "
                "them as whole numbers or as text"
            )
        if len(levels) > size / 2 and not np.array_equal(values, np.floor(values)):
            findings.warn(
                f"{name} has {len(levels)} distinct values in {size} rows; is it a measurement "
                "rather than a group?"
            )
    if "" in levels:
        findings.warn(f"{name} has an empty text as a level; is it a missing value?")
    plain = [" ".join(level.split()).casefold() for level in levels]
    if len(set(plain)) < len(plain):
        seen: dict[str, str] = {}
        for level, key in zip(levels, plain, strict=True):
            if key in seen:
                findings.warn(
                    f"levels {seen[key]!r} and {level!r} of {name} differ in case or blanks only; "
                    "they are kept apart"
                )
                break
            seen[key] = level


def groups(factors: Sequence[Grouping], observed: Observed, findings: Findings) -> None:
    """Too few or too many levels, and how the factors lie to each other."""
    size = observed.y.size
    for factor in factors:
        if factor.levels == 1:
            findings.warn(f"{factor.name} has 1 level: its sd is set by its prior only")
        elif factor.levels == size and observed.family == "gaussian":
            findings.warn(
                f"{factor.name} has one row a level: its sd and sigma cannot be told apart by "
                "the data"
            )
        elif factor.levels == size and observed.family in OVERDISPERSED:
            findings.warn(
                f"{factor.name} has one row a level: its sd and {OVERDISPERSED[observed.family]} "
                "both stand for the variation between rows, and the data hardly tell them apart"
            )
        elif factor.levels == size and observed.family == "bernoulli":
            findings.warn(
                f"{factor.name} has one row a level: its sd is not identified by a 0/1 response"
            )
    plain = [factor for factor in factors if not factor.nested_name]
    for i, one in enumerate(plain):
        for other in plain[i + 1 :]:
            _crossing(one, other, size, findings)


def _crossing(one: Grouping, other: Grouping, size: int, findings: Findings) -> None:
    pairs = np.unique(one.codes.astype(np.int64) * other.levels + other.codes)
    if pairs.size in (one.levels, other.levels):
        return  # one lies within the other
    if pairs.size == one.levels * other.levels:
        if size >= 2 * pairs.size:
            findings.warn(
                f"every level of {other.name} occurs, repeatedly, in every level of {one.name}, "
                f"and they are taken as crossed; if {other.name} is numbered anew within "
                f"{one.name}, write (1 | {one.name}/{other.name})"
            )
        return
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right = pairs // other.levels, one.levels + pairs % other.levels
    total = one.levels + other.levels
    graph = coo_array((np.ones(pairs.size), (left, right)), shape=(total, total))
    parts = connected_components(graph, directed=False, return_labels=False)
    if parts > 1:
        findings.notes.append(
            f"{one.name} and {other.name} fall into {parts} parts without a level in common"
        )


def slopes(
    factor: Grouping, names: Sequence[str], z: np.ndarray, order: np.ndarray, findings: Findings
) -> None:
    """Columns of a term that do not vary within any group.

    Parameters
    ----------
    order : (n,) int array
        Rows sorted by group.
    """
    same_group = np.diff(factor.codes[order]) == 0
    for name, column in zip(names, z.T, strict=True):
        within = np.diff(column[order]) != 0
        if name != "Intercept" and not (within & same_group).any() and np.ptp(column) > 0:
            findings.warn(
                f"{name} is constant within every level of {factor.name}: the data say little of "
                f"how its effect varies; consider (1 | {factor.name})"
            )
