"""A bundle: a text and arrays in one sealed file, for what only this package reads.

The first line says what the file is; the second is JSON, the text and a table of the arrays; the
bytes of the arrays follow, and the seal. Nothing is ever unpickled.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import sealed
from .codec import DTYPE
from .errors import LoadError


def write(path: Path, kind: str, content: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a bundle, replacing the one that was there once all of it is on the disk.

    Parameters
    ----------
    path : Path
    kind : str
        What the file is: its first line.
    content : JSON value
    arrays : mapping of str to array
    """
    whole = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    table = {name: [values.dtype.str, values.shape] for name, values in whole.items()}
    head = json.dumps({"content": content, "arrays": table})
    with sealed.replacing(path, force=True) as temporary:
        with open(temporary, "wb") as file:
            file.write(f"{kind}\n{head}\n".encode())
            for values in whole.values():
                file.write(values.reshape(-1).view(np.uint8).data)
        sealed.seal(temporary)


def read(path: Path, kind: str, what: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Read a bundle.

    Parameters
    ----------
    path : Path
    kind : str
        As it was written.
    what : str
        What the file should be, in the words of an error.

    Raises
    ------
    LoadError
        If the file cannot be read, is of another kind, cut short or altered.
    """
    try:
        with open(path, "rb") as file:
            if file.readline(len(kind) + 1) != f"{kind}\n".encode():
                raise LoadError(f"{path} is not {what}")
            end = sealed.check(file, path, what)
            file.seek(len(kind) + 1)
            head = json.loads(file.readline())
            arrays = {}
            for name, (dtype, shape) in head["arrays"].items():
                if not DTYPE.fullmatch(dtype):
                    raise LoadError(f"{path} is not {what}: {name} is of type {dtype:.30}")
                kept, count = np.dtype(dtype), math.prod(shape)
                inside = min(shape, default=0) >= 0 and count * kept.itemsize <= end - file.tell()
                if not inside:
                    raise LoadError(f"{path} is not {what}: {name} does not lie inside it")
                content = file.read(count * kept.itemsize)
                arrays[name] = np.frombuffer(content, dtype=kept).reshape(shape)
        return head["content"], arrays
    except LoadError:
        raise
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a file sets off that was made to
        words = f"{error}" or type(error).__name__
        raise LoadError(f"{path} is not {what}: {words:.500}") from error
