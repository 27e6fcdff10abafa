"""Sealed files: written whole or not at all, with a checksum behind their content."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import LoadError

MARK = b"bayesglmm sha256 "
TRAILER = len(MARK) + 64  # the mark, then 64 hexadecimal digits
BLOCK = 1 << 20  # bytes hashed at a time


def taken(path: Path) -> FileExistsError:
    """Return the error of a file that may not be replaced."""
    return FileExistsError(f"{path} exists; say force=True (--force) to replace it")


def refuse_place(path: Path) -> None:
    """Refuse a path where no file can be.

    Raises
    ------
    OSError
        If it is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} of {path.name} does not exist")


@contextmanager
def replacing(path: Path, force: bool) -> Iterator[Path]:
    """Give a temporary name beside a path, and move it there once the block is done.

    Raises
    ------
    FileExistsError
        If there is such a file by then and ``force`` is false.
    OSError
        If it cannot be written, with the bytes that are free; what there was is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        if force:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # fails where the name has been taken meanwhile
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise taken(path) from None
        if not path.absolute().parent.is_dir():
            refuse_place(path)
        free = shutil.disk_usage(path.absolute().parent).free
        raise OSError(f"{path} could not be written ({error}); {free} bytes are free") from error
    finally:
        temporary.unlink(missing_ok=True)


def seal(path: Path) -> None:
    """Put a checksum of all its content behind the content of a file, and the file on the disk."""
    with open(path, "r+b") as file:
        digest = _digest(file, os.path.getsize(path))
        file.seek(0, os.SEEK_END)
        file.write(MARK + digest)
        file.flush()
        os.fsync(file.fileno())


def check(file: BinaryIO, path: Path, what: str) -> int:
    """Refuse a file that is not exactly what was sealed; return the length of its content.

    Raises
    ------
    LoadError
        With the file, ``what`` it should have been, and the reason.
    """
    content = file.seek(0, os.SEEK_END) - TRAILER
    file.seek(max(content, 0))
    trailer = file.read()
    if content < 0 or not trailer.startswith(MARK):
        raise LoadError(
            f"{path} is not {what}, or was cut short or rewritten by another program: "
            "it has no checksum at its end"
        )
    if trailer != MARK + _digest(file, content):
        raise LoadError(f"{path} has been altered: its content does not match its checksum")
    return content


def _digest(file: BinaryIO, length: int) -> bytes:
    """Return the SHA-256 of the first bytes of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    file.seek(0)
    while length > 0 and (block := file.read(min(BLOCK, length))):
        digest.update(block)
        length -= len(block)
    return digest.hexdigest().encode()
