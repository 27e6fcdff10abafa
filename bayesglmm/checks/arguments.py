"""Arguments: their domains, and names that do not exist."""

import operator
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from os import PathLike
from typing import Any

from .. import dialects
from ..errors import DataError
from ..wording import shown_levels


def sampler_arguments(
    *,
    draws: object,
    warmup: object,
    chains: object,
    jobs: object = None,
    seed: object = None,
    thin: object = 1,
    target_accept: object = 0.8,
    max_treedepth: object = 10,
    executor: object = None,
    checkpoint: object = None,
    checkpoint_seconds: object = 0.0,
    **optional: object,
) -> None:
    """Refuse arguments of ``sample`` outside their domain, by name.

    Optional are numbers of iterations by SAS's names, which are whole where they are given.

    Raises
    ------
    DataError
        With the name, the value and the domain.
    """
    _whole("draws", draws, 1)
    _whole("warmup", warmup, 0)
    _whole("chains", chains, 1)
    _whole("thin", thin, 1)
    _whole("max_treedepth", max_treedepth, 1)
    for name, value in optional.items():
        if value is not None:
            _whole(name, value, 0 if name == "nbi" else 1)
    if jobs is not None:
        _whole("jobs", jobs, 1)
    if seed is not None:
        _whole("seed", seed, 0)
    if not (executor is None or hasattr(executor, "submit") or callable(executor)):
        raise DataError(
            "executor has to be a concurrent.futures.Executor (it has a method submit), or a "
            f"function that makes one, not {executor!r}"
        )
    if checkpoint is not None and not isinstance(checkpoint, str | PathLike):
        raise DataError(f"checkpoint has to be the name of a file, not {checkpoint!r}")
    seconds = checkpoint_seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise DataError(f"checkpoint_seconds has to be a number of 0 or more, not {seconds!r}")
    if isinstance(target_accept, bool | str) or not isinstance(target_accept, int | float):
        raise DataError(f"target_accept has to be a number, not {target_accept!r}")
    if not 0 < target_accept < 1:
        raise DataError(f"target_accept has to lie between 0 and 1, not {target_accept!r}")


def _whole(name: str, value: Any, least: int) -> None:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise DataError(f"{name} has to be a whole number of {least} or more, not {value!r}")


def unknown_keywords(function: str, given: Iterable[str], allowed: Sequence[str]) -> None:
    """Refuse keywords that a function does not have, with the closest that it has.

    Raises
    ------
    TypeError
        For the first of them.
    """
    for name in given:
        if name not in allowed:
            known = dialects.ARGUMENTS.get(name)
            close = [known] if known in allowed else get_close_matches(name, allowed, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {shown_levels(allowed)}"
            raise TypeError(f"{function}() has no argument {name!r}; {hint}")
