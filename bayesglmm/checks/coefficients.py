"""Coefficients that the data cannot tell apart: constant, dependent and too many columns."""

import math
from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from .findings import Findings, Observed

# Part of a column that earlier columns must leave unexplained: R's tolerance in lm().
COLLINEAR = 1e-7
# Part of the response's spread that the fixed effects must leave for the error.
PERFECT_FIT = 1e-10
_BLOCK = 65_536  # rows at a time in the QR decomposition, to hold no second X
_SHOWN_COLUMNS = 6


def fixed_effects(
    X: np.ndarray, columns: Sequence[str], observed: Observed, findings: Findings
) -> None:
    """Constant, empty and dependent columns, more columns than rows, and a perfect fit."""
    n, p = X.shape
    if p == 0:
        return
    low, high = X.min(axis=0), X.max(axis=0)
    centred = columns[0] == "Intercept"
    for k in range(p):
        if low[k] != high[k] or columns[k] == "Intercept":
            continue
        if low[k] == 0:
            findings.warn(f"{columns[k]} is 0 in every row; its coefficient is set by its prior")
        elif centred:
            raise DataError(
                f"{columns[k]} is constant (= {low[k]:g}) and duplicates the intercept; leave one "
                "of them out"
            )
    if p > n:
        findings.warn(
            f"{p} coefficients for {n} rows: the prior decides between many equal fits; use fewer "
            "columns or an informative prior"
        )
        return
    varying = np.flatnonzero(low != high) if centred else np.flatnonzero((low != 0) | (high != 0))
    R = _triangle(X, varying, observed.y, centred)
    for k in range(varying.size):
        rest = R[: varying.size, k]
        if abs(R[k, k]) < COLLINEAR * np.linalg.norm(rest):
            # The combination of the earlier columns that gives this one.
            parts = np.linalg.lstsq(R[:k, :k], R[:k, k], rcond=COLLINEAR)[0]
            inside = np.flatnonzero(np.abs(parts) > math.sqrt(COLLINEAR))
            others = [columns[varying[j]] for j in inside[:_SHOWN_COLUMNS]]
            findings.warn(
                f"{columns[varying[k]]} is a combination of {', '.join(others) or 'the others'}"
                f"{', ...' if inside.size > _SHOWN_COLUMNS else ''}: only their priors tell their "
                "coefficients apart; leave one out"
            )
    if observed.family == "gaussian" and abs(R[-1, -1]) < PERFECT_FIT * np.linalg.norm(R[:, -1]):
        findings.warn(
            f"the fixed effects fit {observed.name} perfectly: sigma goes to 0, where the "
            "likelihood has no bound and only the prior of sigma holds it"
        )


def _triangle(X: np.ndarray, chosen: np.ndarray, y: np.ndarray, centred: bool) -> np.ndarray:
    """R of the QR decomposition of the chosen columns and y, each scaled to length about 1."""
    both = np.concatenate([chosen.astype(np.int64), [-1]])

    def block(start: int) -> np.ndarray:
        rows = slice(start, start + _BLOCK)
        return np.column_stack([X[rows][:, both[:-1]], y[rows]])

    starts = range(0, len(y), _BLOCK)
    mean = np.zeros(both.size)
    if centred:
        mean = sum((block(s).sum(axis=0) for s in starts), mean) / len(y)
    square = sum((((block(s) - mean) ** 2).sum(axis=0) for s in starts), np.zeros(both.size))
    scale = np.sqrt(np.where(square > 0, square, 1.0))
    R: np.ndarray = np.zeros((both.size, both.size))
    for start in starts:
        R = np.asarray(np.linalg.qr(np.vstack([R, (block(start) - mean) / scale]), mode="r"))
    return R
