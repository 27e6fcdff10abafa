"""Loops over rows: one compiled function per family-link pair, all of one signature.

Samplers and fits are compiled once, for a pointer of this signature; what y is stays behind it.
"""

from typing import Any

from .._jit import entry, pointer_type, types
from ._registry import Family, curvature, dispersion_score, loglik, score, slope, weight

LOGLIK, IWLS, GRADIENT, FULL, CURVATURE = 0, 1, 2, 3, 4

_vector = types.float64[::1]
ROWS_SIGNATURE = types.void(
    types.int64, _vector, _vector, _vector, types.float64, _vector, _vector, _vector, _vector
)
ROWS_TYPE = pointer_type(ROWS_SIGNATURE)

_bound: dict[type, Any] = {}


def bind(family: Family) -> Any:
    """Return ``rows(mode, eta, y, w, phi, a, b, c, d)`` of a family, compiled at its first call.

    ============== ========== ========= ==================== =======
    mode           a          b         c                    d
    ============== ========== ========= ==================== =======
    LOGLIK = 0     loglik
    IWLS = 1       score      weight
    GRADIENT = 2   loglik     score     dispersion_score
    FULL = 3       loglik     score     curvature            slope
    CURVATURE = 4  score      curvature
    ============== ========== ========= ==================== =======

    Outputs that a mode uses have at least ``eta.size`` entries. Rows of weight 0 give zeros.
    """
    kind = type(family.marker)
    if kind not in _bound:
        made = _rows_of(family.marker)
        # Numba names a symbol by the function's qualified name and a number that counts from 1 in
        # every process. Two families cached by two processes may get the same number, and the
        # linker then takes one for the other: the name has to tell them apart.
        made.__qualname__ = f"rows_{kind.__module__}_{kind.__qualname__}"
        _bound[kind] = entry(ROWS_SIGNATURE, cache=family.packaged)(made)
    return _bound[kind]


def _rows_of(marker: Any) -> Any:
    # Two outputs a loop: with more, LLVM would need too many checks for overlapping arrays and
    # gives up vectorizing. What is computed twice costs less than that.
    # The closure holds the marker alone: numba cannot cache one that holds compiled functions.
    def rows(mode, eta, y, w, phi, a, b, c, d):
        if mode == LOGLIK:
            for i in range(eta.size):
                value = loglik(marker, y[i], w[i], eta[i], phi)
                a[i] = value if w[i] != 0.0 else 0.0
        elif mode == IWLS:
            for i in range(eta.size):
                slant = score(marker, y[i], w[i], eta[i], phi)
                bend = weight(marker, y[i], w[i], eta[i], phi)
                a[i] = slant if w[i] != 0.0 else 0.0
                b[i] = bend if w[i] != 0.0 else 0.0
        elif mode == CURVATURE:
            for i in range(eta.size):
                slant = score(marker, y[i], w[i], eta[i], phi)
                bend = curvature(marker, y[i], w[i], eta[i], phi)
                a[i] = slant if w[i] != 0.0 else 0.0
                b[i] = bend if w[i] != 0.0 else 0.0
        else:
            for i in range(eta.size):
                value = loglik(marker, y[i], w[i], eta[i], phi)
                slant = score(marker, y[i], w[i], eta[i], phi)
                a[i] = value if w[i] != 0.0 else 0.0
                b[i] = slant if w[i] != 0.0 else 0.0
            if mode == GRADIENT:
                for i in range(eta.size):
                    value = dispersion_score(marker, y[i], w[i], eta[i], phi)
                    c[i] = value if w[i] != 0.0 else 0.0
            else:
                for i in range(eta.size):
                    bend = curvature(marker, y[i], w[i], eta[i], phi)
                    turn = slope(marker, y[i], w[i], eta[i], phi)
                    c[i] = bend if w[i] != 0.0 else 0.0
                    d[i] = turn if w[i] != 0.0 else 0.0

    return rows
