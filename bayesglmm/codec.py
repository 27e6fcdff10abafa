"""Frozen nouns as JSON with the arrays set aside, and back; nothing else can be made from it."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np


class Encoder:
    """Turns dataclasses, tuples, dicts, texts, numbers and arrays into what JSON can hold.

    Parameters
    ----------
    nouns : iterable of type
        The dataclasses that may be met: those that the `Decoder` will be given.

    Attributes
    ----------
    arrays : dict of str to array
        The arrays met so far, by the name that stands for them in the JSON.
    """

    def __init__(self, nouns: Iterable[type]) -> None:
        self.nouns = tuple(nouns)
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
        if type(value) in self.nouns:
            content = {f.name: self.encode(getattr(value, f.name)) for f in fields(value)}
            return {"noun": type(value).__name__, "fields": content}
        raise TypeError(f"a {type(value).__name__} cannot be saved: {value!r}")


class Decoder:
    """Turns what `Encoder` made back, making only the nouns it is given.

    Parameters
    ----------
    arrays : mapping of str to array
        The arrays that the JSON names.
    nouns : iterable of type
        The dataclasses that may be made.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], nouns: Iterable[type]) -> None:
        self.arrays = arrays
        self.nouns = {noun.__name__: noun for noun in nouns}

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
