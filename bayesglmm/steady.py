"""A file for the HDF5 library to write to that never fails while it is open.

HDF5 keeps what it could not write and tries again when the file, another file or the process ends;
where the disk is full that ends in errors nobody can catch, or in a crash. So it writes to a file
of Python here: after the first write that fails nothing more is written, HDF5 goes on as if it had
been, and the error is raised once HDF5 has closed the file.
"""

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Any


class SteadyFile:
    """What `h5py.File` takes in place of a path; a context manager around it.

    Parameters
    ----------
    path : Path
    mode : {"w", "r+"}
        Whether the file is made anew, or changed.
    """

    def __init__(self, path: Path, mode: str = "w") -> None:
        # No buffer: what cannot be written is known at once.
        self.file = open(path, "w+b" if mode == "w" else "r+b", buffering=0)
        self.at = self.end = 0
        self.error: OSError | None = None

    def __enter__(self) -> "SteadyFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file.

        Raises
        ------
        OSError
            If anything could not be written.
        """
        if self.error is None:
            try:
                self.file.close()
            except OSError as late:
                self.error = late
        else:
            self.file.close()
        if self.error is not None:
            number = self.error.errno or errno.EIO
            words = f"{os.strerror(number)}; {self.end} bytes are needed"
            raise OSError(number, words) from error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self._size()}[whence]
        self.at = base + offset
        return self.at

    def tell(self) -> int:
        """Return the place."""
        return self.at

    def write(self, data: Any) -> int:
        """Write all of the data, unless that has failed before."""
        left = memoryview(data).cast("B")
        count = len(left)
        try:
            while left and self.error is None:
                done = os.pwrite(self.file.fileno(), left, self.at + count - len(left))
                left = left[done:]
        except OSError as error:
            self.error = error
        self.at += count
        self.end = max(self.end, self.at)
        return count

    def readinto(self, data: Any) -> int:
        """Read; what is not there is 0."""
        into = memoryview(data).cast("B")
        found = os.pread(self.file.fileno(), len(into), self.at)
        into[: len(found)] = found
        into[len(found) :] = bytes(len(into) - len(found))
        self.at += len(into)
        return len(into)

    def read(self, size: int = -1) -> bytes:
        """Read; what is not there is 0."""
        data = bytearray(self._size() - self.at if size < 0 else size)
        self.readinto(data)
        return bytes(data)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file, or make it longer."""
        size = self.at if size is None else size
        self.end = size
        if self.error is None:
            try:
                os.ftruncate(self.file.fileno(), size)
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def _size(self) -> int:
        return max(self.end, os.fstat(self.file.fileno()).st_size)
