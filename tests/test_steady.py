"""A file that goes on after a write has failed, and says so when it is closed."""

import errno
import os

import numpy as np
import pytest

from bayesglmm.steady import SteadyFile


def test_it_is_a_file_like_any_other(tmp_path):
    path = tmp_path / "a"
    with SteadyFile(path) as file:
        assert file.write(np.arange(3, dtype=np.uint8)) == 3 == file.tell()
        assert file.seek(-1, os.SEEK_CUR) == 2 and file.write(b"xy") == 2
        file.flush()
        assert file.seek(0) == 0 and file.read() == b"\0\1xy"
        # Beyond the end there are zeros.
        assert file.seek(-1, os.SEEK_END) == 3 and file.read(3) == b"y\0\0"
        assert file.truncate(2) == 2
    assert path.read_bytes() == b"\0\1"
    with SteadyFile(path, "r+") as file:
        file.seek(1)
        file.write(b"z")
        assert file.truncate() == 2
    assert path.read_bytes() == b"\0z"


def test_what_cannot_be_written_is_told_once_the_file_is_closed(tmp_path, monkeypatch):
    written = []

    def full(descriptor, data, at):
        """Room for four bytes, and a disk that has room again later."""
        written.append((bytes(data), at))
        if len(written) == 1:
            return write(descriptor, data[:4], at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left on device; 19 bytes are needed") as found:
        with SteadyFile(tmp_path / "a") as file:
            assert file.write(b"123456789") == 9
            assert file.write(b"0123456789") == 10  # as if it had been
            assert file.tell() == 19 and file.read(2) == b"\0\0"
    assert found.value.errno == errno.ENOSPC
    assert written == [(b"123456789", 0), (b"56789", 4)]
    assert (tmp_path / "a").read_bytes() == b"1234"


def test_an_error_of_another_kind_is_the_cause(tmp_path, monkeypatch):
    def fails(*rest):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "ftruncate", fails)
    with pytest.raises(OSError, match="8 bytes are needed") as found:
        with SteadyFile(tmp_path / "a") as file:
            assert file.truncate(8) == 8
            raise KeyError("first")
    assert isinstance(found.value.__cause__, KeyError) and found.value.errno == errno.EIO


def test_a_disk_that_fails_when_the_file_is_closed(tmp_path):
    class Closing:
        def close(self):
            raise OSError("no number")

    file = SteadyFile(tmp_path / "a")
    own, file.file = file.file, Closing()
    with pytest.raises(OSError) as found:
        file.__exit__(None, None, None)
    own.close()
    assert found.value.errno == errno.EIO
