"""Frozen nouns as JSON with the arrays set aside, and back; nothing else can be made from it."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


class Encoder:
    """Turns dataclasses, named and plain tuples, dicts, texts, numbers and arrays into JSON.

    Attributes
    ----------
    arrays : dict of str to array
        The arrays met so far, by the name that stands for them in the JSON.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def encode(self, value: Any) -> Any:
        """Return the value in terms of JSON.

        Raises
        ------
        TypeError
            For anything but the types above: functions, say.
        """
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            name = f"array_{len(self.arrays)}"
            self.arrays[name] = value
            return {"array": name, "dtype": value.dtype.str}
        if type(value) in (tuple, list):
            return {type(value).__name__: [self.encode(item) for item in value]}
        if isinstance(value, Mapping):
            return {"dict": [[self.encode(k), self.encode(v)] for k, v in value.items()]}
        if names := _fields(value):
            content = {name: self.encode(getattr(value, name)) for name in names}
            return {"noun": type(value).__name__, "fields": content}
        raise TypeError(f"a {type(value).__name__} cannot be saved: {value!r}")


def is_noun(kind: Any) -> bool:
    """Whether a class is a dataclass or a NamedTuple."""
    return isinstance(kind, type) and (
        is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def _fields(value: Any) -> tuple[str, ...]:
    """Return what a noun is made from; nothing for anything else."""
    if not is_noun(type(value)):
        return ()
    if isinstance(value, tuple):
        return tuple(type(value).__annotations__)
    return tuple(field.name for field in fields(value) if field.init)


class Decoder:
    """Turns what `Encoder` made back, making only the nouns it is given.

    Parameters
    ----------
    arrays : mapping of str to array
        The arrays that the JSON names.
    nouns : mapping of str to callable
        The classes that may be made, by name.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], nouns: Mapping[str, Callable[..., Any]]
    ) -> None:
        self.arrays = arrays
        self.nouns = nouns

    def decode(self, value: Any) -> Any:
        """Return the value that was encoded.

        Raises
        ------
        KeyError, TypeError, ValueError
            If this was not made by `Encoder` from these nouns.
        """
        if not isinstance(value, dict):
            return value
        if "noun" in value:
            make = self.nouns[value["noun"]]
            return make(**{name: self.decode(item) for name, item in value["fields"].items()})
        if "array" in value:
            return np.array(self.arrays[value["array"]], dtype=np.dtype(value["dtype"]), order="C")
        if "dict" in value:
            return {self.decode(key): self.decode(item) for key, item in value["dict"]}
        if "tuple" in value:
            return tuple(self.decode(item) for item in value["tuple"])
        return [self.decode(item) for item in value["list"]]
