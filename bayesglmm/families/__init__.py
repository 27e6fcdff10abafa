"""What y is: one file per family, scalar functions of one row, ``define(...)`` as its last line.

A new family is one file here and one name in the import below; a user's own module needs only
``define``. Compiled code gets at a family through ``bind``, a loop over rows of one signature.
"""

from . import bernoulli, binomial, gamma, gaussian, negative_binomial, poisson
from ._registry import FAMILIES, Family, define, get
from ._rows import (
    CURVATURE,
    FULL,
    GRADIENT,
    IWLS,
    LOGLIK,
    ROWS_SIGNATURE,
    ROWS_TYPE,
    bind,
)

__all__ = [
    "CURVATURE",
    "FAMILIES",
    "FULL",
    "GRADIENT",
    "IWLS",
    "LOGLIK",
    "ROWS_SIGNATURE",
    "ROWS_TYPE",
    "Family",
    "bernoulli",
    "bind",
    "binomial",
    "define",
    "gamma",
    "gaussian",
    "get",
    "negative_binomial",
    "poisson",
]
