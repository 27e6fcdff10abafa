"""Frozen nouns as JSON with the arrays set aside, and back; nothing else can be made from it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

DTYPE = re.compile("[<>|=]?[biuf][1248]")  # numpy itself would read much more from a text


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
            content = {name: self.decode(item) for name, item in value["fields"].items()}
            checked(make, content, self.nouns)
            return make(**content)
        if "array" in value:
            if not DTYPE.fullmatch(value["dtype"]):
                raise ValueError(f"an array of type {value['dtype']!r:.30}")
            return np.array(self.arrays[value["array"]], dtype=np.dtype(value["dtype"]), order="C")
        if "dict" in value:
            return {self.decode(key): self.decode(item) for key, item in value["dict"]}
        if "tuple" in value:
            return tuple(self.decode(item) for item in value["tuple"])
        return [self.decode(item) for item in value["list"]]


def checked(noun: type, content: Mapping[str, Any], nouns: Mapping[str, type]) -> None:
    """Refuse fields of other types than a dataclass says it has.

    Raises
    ------
    TypeError
        With the field.
    """
    hints = _hints(noun, tuple(nouns.items()))
    for name, value in content.items():
        if name in hints and not _fits(value, hints[name]):
            raise TypeError(f"{noun.__name__}.{name} is a {type(value).__name__}")


@cache
def _hints(noun: type, nouns: tuple[tuple[str, type], ...]) -> dict[str, Any]:
    return get_type_hints(noun, localns=dict(nouns))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; those that are not known here fit."""
    if hint is Any:
        return True
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inside)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(inside) == 2 and inside[1] is Ellipsis:
            return all(_fits(item, inside[0]) for item in value)
        return len(value) == len(inside) and all(map(_fits, value, inside))
    if origin is dict:
        whole = isinstance(value, dict)
        return whole and all(_fits(k, inside[0]) and _fits(v, inside[1]) for k, v in value.items())
    if origin is list:
        return isinstance(value, list) and all(_fits(item, inside[0]) for item in value)
    if hint is NoneType:
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)
