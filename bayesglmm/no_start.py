"""Chains that find no start: which rows have no density where the user puts them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from . import families
from .errors import DataError
from .wording import counted, first_rows

if TYPE_CHECKING:
    from .model import Model

SIGNS = ("starts", "starting points")  # in the words of the samplers


@contextmanager
def told(model: "Model", init: Mapping[str, float] | None) -> Iterator[None]:
    """Add the rows without a density to the error of chains that find no start.

    Raises
    ------
    DataError
        With the error and the first of the rows.
    """
    try:
        yield
    except (FloatingPointError, ValueError) as error:
        if not any(sign in str(error) for sign in SIGNS):
            raise
        raise DataError(f"{error}. {_rows(model, init or {})}") from error


def _rows(model: "Model", init: Mapping[str, float]) -> str:
    """Say which rows have no density at the starting values, coefficients not given being 0."""
    design, family = model.design, model.family
    beta = np.array([init.get(name, 0.0) for name in model.names.fixed])
    phi = float(np.prod([init.get(name, 1.0) for name in model.names.dispersion]))
    response = design.response
    y, w, _ = family.prepare(response.y, response.known, design.weights)
    n = len(design.rows)
    density = [np.zeros(n) for _ in range(4)]
    with np.errstate(all="ignore"):
        eta = np.ascontiguousarray(design.offset + design.X @ beta)
        model.problem.rows(families.LOGLIK, eta, y, w, phi, *density)
        where = np.flatnonzero(~np.isfinite(density[0]))
    at = "at the values of init" if init else "at coefficients of 0"
    if not where.size:
        return f"No single row is to blame {at}: look at the priors and the offset"
    return (
        f"{response.name} has no finite density {at} in {counted(where.size, 'row')} "
        f"({first_rows(where, design.rows)}): correct them, or start elsewhere with init="
    )
