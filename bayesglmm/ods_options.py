"""What SAS's options STATISTICS=, DIAG= and their own options say, in our terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import DataError

# Keywords of STATISTICS= and DIAG=; a unique beginning of two letters or more will do.
STATISTICS = {
    "summary": "PostSummaries",
    "interval": "PostIntervals",
    "correlation": "Corr",
    "covariance": "Cov",
}
DIAGNOSTICS = {
    "autocorr": "AutoCorr",
    "ess": "ESS",
    "geweke": "Geweke",
    "heidelberger": "Heidelberger",
    "mcse": "MCSE",
    "mcerror": "MCSE",
    "raftery": "Raftery",
    "rl": "Raftery",
}
DEFAULT_DIAGNOSTICS = ("autocorr", "ess", "geweke", "mcse")  # SAS's own
ALPHA, PERCENTILES = (0.05,), (25.0, 50.0, 75.0)
# SAS's names of what the tests are made with.
TEST_OPTIONS = {
    "geweke": {"frac1": "first", "frac2": "last"},
    "heidelberger": {"salpha": "level", "eps": "eps"},
    "raftery": {
        "quantile": "quantile",
        "accuracy": "accuracy",
        "probability": "probability",
        "epsilon": "epsilon",
        **{"q": "quantile", "r": "accuracy", "s": "probability"},
    },
}


@dataclass(frozen=True)
class Options:
    """What tables are printed, and with what settings."""

    statistics: tuple[str, ...] = ("summary", "interval")
    diag: tuple[str, ...] = DEFAULT_DIAGNOSTICS
    dic: bool = False
    alpha: tuple[float, ...] = ALPHA
    percentiles: tuple[float, ...] = PERCENTILES
    monitor: tuple[str, ...] | None = None
    tests: dict[str, Any] = field(default_factory=dict)


def several(value: str | Sequence[str]) -> tuple[str, ...]:
    """Names, of which one may be given alone."""
    return (value,) if isinstance(value, str) else tuple(value)


def keywords(
    option: str,
    given: str | Sequence[str] | None,
    known: Mapping[str, str],
    default: tuple[str, ...],
) -> tuple[str, ...]:
    """Return keywords in full; any beginning of at least two letters that is unique will do."""
    if given is None:
        return default
    words = [word.lower() for word in several(given)]
    if words == ["none"]:
        return ()
    if words == ["all"]:
        return tuple(known)
    out = []
    for word in words:
        found = [name for name in known if name == word] or [
            name for name in known if len(word) > 1 and name.startswith(word)
        ]
        if len(found) != 1:
            raise DataError(f"{option} knows {', '.join(known)}, all and none, not {word!r}")
        out.append(found[0])
    return tuple(out)


def inside(option: str, given: float | Sequence[float], end: float) -> tuple[float, ...]:
    """Return numbers between 0 and `end`; others are refused by the option's name."""
    values = tuple(float(x) for x in np.atleast_1d(np.asarray(given, dtype=float)))
    if not values or not all(0.0 < value < end for value in values):
        raise DataError(f"{option} has to lie between 0 and {end:g}; it is {given}")
    return values


def translated(test: str, settings: Mapping[str, float]) -> dict[str, float]:
    """Return the settings of a test by our names; SAS's and ours are both known."""
    known = TEST_OPTIONS[test]
    ours = set(known.values())
    for name in settings:
        if name.lower() not in known and name not in ours:
            raise DataError(f"{test} has {', '.join(known)}, not {name!r}")
    return {known.get(name.lower(), name): value for name, value in settings.items()}
