"""Separation: directions of beta along which a likelihood rises for ever (Konis 2007).

A response at its lowest value (no success, a count of 0) pulls its eta down, one at its highest
(all trials succeed) pulls it up, one between holds it. Where a direction d pulls no row the wrong
way, moves none that is held, and moves at least one, the likelihood rises along d without end: its
maximum does not exist. Random effects do not change that, since it holds at every value of theirs.
Whether there is such a d is a linear programme:

    maximize sum_i s_i x_i'd   with   s_i x_i'd >= 0,  x_i'd = 0 where held,  -1 <= d <= 1.
"""

from typing import NamedTuple

import numpy as np

MOVED = 1e-5  # least movement of a row, in columns of unit spread; HiGHS is exact to 1e-7
MOST_SETS = 5  # of columns that are looked for; more are never read
MOST_CELLS = 200_000  # of the programme for which the fewest columns are searched: a second or so


class Pulled(NamedTuple):
    """Rows by where the response pulls them; a row without either is held."""

    X: np.ndarray  # (p, n), columns of about unit spread
    up: np.ndarray  # bool (n,)
    down: np.ndarray  # bool (n,)


def proportions(X: np.ndarray, y: np.ndarray, w: np.ndarray) -> Pulled:
    """Successes y of w trials; rows without trials pull nothing and are left out."""
    kept = w > 0.0
    y, w = y[kept], w[kept]
    return Pulled(X[:, kept], y == w, y == 0.0)


def counts(X: np.ndarray, y: np.ndarray, w: np.ndarray) -> Pulled:
    """Counts y of weight w whose mean can go to 0 but not to infinity."""
    kept = w > 0.0
    return Pulled(X[:, kept], np.zeros(int(kept.sum()), dtype=bool), y[kept] == 0.0)


def separating(rows: Pulled) -> list[tuple[int, ...]]:
    """Sets of columns that separate the response, each as small as it can be; none: no separation.

    Parameters
    ----------
    rows : Pulled

    Returns
    -------
    list of tuple of int
        Columns of each set; what one set explains is not part of the next.
    """
    distinct = _distinct(rows)
    found: list[tuple[int, ...]] = []
    free = np.ones(rows.X.shape[0], dtype=bool)
    while len(found) < MOST_SETS and (moved := _direction(distinct, free)).any():
        chosen = moved
        if distinct.X.size <= MOST_CELLS:
            for j in np.flatnonzero(moved)[::-1]:
                fewer = chosen.copy()
                fewer[j] = False
                found_without = _direction(distinct, fewer)
                chosen = found_without if found_without.any() else chosen
        found.append(tuple(np.flatnonzero(chosen).tolist()))
        # The next direction has to do without one column of this set that is not in all of them.
        varying = chosen & (np.ptp(distinct.X, axis=1) > 0.0)
        free &= ~(varying if varying.any() else chosen)
    return found


def _distinct(rows: Pulled) -> Pulled:
    """The same without repeated rows."""
    both = np.column_stack([rows.X.T, rows.up, rows.down])
    unique = np.unique(both, axis=0)
    return Pulled(unique[:, :-2].T, unique[:, -2] > 0.0, unique[:, -1] > 0.0)


def _direction(rows: Pulled, free: np.ndarray) -> np.ndarray:
    """Columns (p,) that a separating direction among the free ones moves; none if there is none."""
    from scipy.optimize import linprog

    none = np.zeros(free.size, dtype=bool)
    if not free.any():
        return none
    sign = rows.up * 1.0 - rows.down
    pulled = sign != 0.0
    A = (rows.X[free] * sign)[:, pulled].T
    held = rows.X[free][:, ~pulled].T
    if not pulled.any():
        return none
    result = linprog(
        -A.sum(axis=0),
        A_ub=-A,
        b_ub=np.zeros(A.shape[0]),
        A_eq=held if held.size else None,
        b_eq=np.zeros(held.shape[0]) if held.size else None,
        bounds=(-1.0, 1.0),
        method="highs",
    )
    if result.x is None or not (A @ result.x).max() > MOVED:
        return none
    none[np.flatnonzero(free)[np.abs(result.x) > MOVED]] = True
    return none
