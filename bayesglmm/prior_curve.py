"""Densities of scalar priors at many points, from Python."""

from typing import Any

import numpy as np

from ._jit import entry, types
from .prior_density import dispersion_logpdf, prior_logpdf
from .priors import Inverse, InverseSqrt

_VECTOR = types.float64[::1]
_NUMBER = types.float64


@entry(lambda: types.void(types.int64, types.int64, _NUMBER, _NUMBER, _NUMBER, _VECTOR, _VECTOR))
def _fill(of_log, kind, a, b, c, x, out):
    for i in range(x.size):
        if of_log == 1:
            out[i] = dispersion_logpdf(kind, a, b, c, x[i])
        else:
            out[i] = prior_logpdf(kind, a, b, c, x[i])


def logpdf(prior: Any, x: np.ndarray) -> np.ndarray:
    """Log density of a prior at x; improper ones have a constant of 0.

    Parameters
    ----------
    prior : scalar prior
        `Inverse` and `InverseSqrt` are of the parameter itself here.
    x : ndarray
        On the user's scale.
    """
    of_log = isinstance(prior, Inverse | InverseSqrt)
    kind, a, b, c = prior.code()
    flat = np.ascontiguousarray(x, dtype=np.float64).reshape(-1)
    out = np.empty_like(flat)
    with np.errstate(divide="ignore"):
        at = np.log(flat) if of_log else flat
    _fill(int(of_log), int(kind), a, b, c, at, out)
    if of_log:
        out -= at  # of log x -> of x
    return out.reshape(np.shape(x))
