"""From a model to its maximum-likelihood fit: which method, and what it takes."""

import inspect
from typing import TYPE_CHECKING, Any

from . import checks
from .errors import DataError
from .fits import laplace
from .likelihood_fit import Fit

if TYPE_CHECKING:
    from .fits.outcome import Outcome
    from .model import Model

METHODS = ("laplace",)


def fit(model: "Model", method: str = "laplace", **unknown: Any) -> Fit:
    """Fit a model by maximum likelihood; the arguments are those of `Model.fit`.

    Raises
    ------
    DataError
        For a method that does not exist or does not suit the model, with what does.
    TypeError
        For an argument that does not exist, with the close ones.
    """
    allowed = [name for name in inspect.signature(fit).parameters if name != "unknown"]
    checks.unknown_keywords("fit", unknown, allowed[1:])
    if method not in METHODS:
        raise DataError(f"method {method!r} does not exist; there are {', '.join(METHODS)}")
    rows, data, start, _, _ = model.problem
    outcome: Outcome = laplace.fit(rows, data, start)
    return Fit(model, outcome)
