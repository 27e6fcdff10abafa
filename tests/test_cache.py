"""The cache of compiled code: private, sealed, and never a reason to fail."""

import os
import pickle
import resource
import stat
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bayesglmm import _cache, _jit
from bayesglmm._random import fill_normals_into

pytestmark = pytest.mark.skipif(not _jit.ENABLED, reason="nothing is compiled")


@contextmanager
def cache_in(place: str | Path, monkeypatch):
    """Let compiled code be cached in a folder, as a process does that knows no other."""
    with monkeypatch.context() as patched:
        patched.setenv("BAYESGLMM_CACHE_DIR", str(place))
        remembered = (_cache._base, _cache.folder, _cache._said)
        for each in remembered:
            each.cache_clear()
        try:
            yield
        finally:
            for each in remembered:
                each.cache_clear()


def drawn() -> tuple[float, int]:
    """Compile, or take from the cache; return a number it makes, and how often it was cached."""
    entry = _jit._Entry(fill_normals_into.python, fill_normals_into.signature, True)
    found = np.empty(3)
    entry(np.array([1, 0], dtype=np.uint64), found)
    return float(found.sum()), sum(entry.compiled.stats.cache_hits.values())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of a good cache, and the number."""
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patched, cache_in(place, patched):
        number, hits = drawn()
        assert hits == 0
        assert drawn() == (number, 1)
    return place, number


def copied(place: Path, to: Path) -> tuple[Path, Path]:
    """Copy a cache; return its index and its data."""
    for path in place.rglob("*.nb[ic]"):
        target = to / path.relative_to(place)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.write_bytes(path.read_bytes())
    (to / "compiled").chmod(0o700)
    (index,), (data,) = to.rglob("*.nbi"), to.rglob("*.nbc")
    return index, data


class Canary:
    """What runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def flipped(content: bytes, at: float) -> bytes:
    place = int(at * (len(content) - 1))
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "text": lambda content: b"not a pickle at all\n",
    "cut": lambda content: content[: len(content) // 2],
    "its seal cut": lambda content: content[:-5],
    "first byte": lambda content: flipped(content, 0.0),
    "a byte": lambda content: flipped(content, 0.4),
    "another byte": lambda content: flipped(content, 0.8),
    "last byte": lambda content: flipped(content, 1.0),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", ["index", "data"])
def test_a_damaged_file_is_moved_aside_and_compiled_anew(
    which, damage, whole, tmp_path, monkeypatch
):
    place, number = whole
    path = dict(zip(("index", "data"), copied(place, tmp_path), strict=True))[which]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with cache_in(tmp_path, monkeypatch):
        with pytest.warns(UserWarning, match="cannot be used.*compiling anew") as said:
            assert drawn() == (number, 0)
        assert len(said) == 1
        assert path.with_name(path.name + _cache.ASIDE).exists()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert drawn() == (number, 1)


@pytest.mark.parametrize("which", [0, 1])
def test_a_file_put_in_place_of_ours_is_not_unpickled(which, whole, tmp_path, monkeypatch):
    place, number = whole
    canary = tmp_path / "canary"
    planted = pickle.dumps(Canary(canary))
    path = copied(place, tmp_path / "cache")[which]
    path.write_bytes(planted)
    with (
        cache_in(tmp_path / "cache", monkeypatch),
        pytest.warns(UserWarning, match="no checksum at its end"),
    ):
        assert drawn() == (number, 0)
    assert not canary.exists()
    pickle.loads(planted)
    assert canary.exists()  # as it would have been


def test_a_file_of_another_user_is_not_unpickled(whole, tmp_path, monkeypatch):
    place, number = whole
    copied(place, tmp_path)
    with cache_in(tmp_path, monkeypatch):
        _cache._base()  # the folder is ours
        monkeypatch.setattr(os, "getuid", lambda: os.stat(place).st_uid + 1)
        with pytest.warns(UserWarning, match="belongs to another user"):
            assert drawn()[0] == number


@pytest.mark.parametrize("open_one", ["", "compiled"])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(open_one, mode, tmp_path, monkeypatch):
    (tmp_path / "compiled").mkdir(mode=0o700)
    place = tmp_path / open_one
    place.chmod(mode)
    with cache_in(tmp_path, monkeypatch):
        with pytest.warns(UserWarning, match=f"not cached.*{place} can be written by other users"):
            assert _cache.folder("bayesglmm._random") is None
    place.chmod(0o700)
    assert list((tmp_path / "compiled").iterdir()) == []


def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    with (
        cache_in(tmp_path, monkeypatch),
        pytest.warns(UserWarning, match="belongs to another user"),
    ):
        assert _cache.folder("bayesglmm._random") is None


def test_only_the_owner_can_read_what_is_made(tmp_path, monkeypatch):
    before = os.umask(0)
    try:
        with cache_in(tmp_path / "new", monkeypatch):
            folder = _cache.folder("bayesglmm._random")
    finally:
        os.umask(before)
    for path in (tmp_path / "new", tmp_path / "new" / "compiled", Path(str(folder))):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_what_cannot_be_cached_is_compiled_all_the_same(whole, tmp_path, monkeypatch):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with cache_in(tmp_path, monkeypatch), pytest.warns(UserWarning, match="not cached") as said:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # as a full disk
        try:
            assert drawn() == (whole[1], 0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert drawn() == (whole[1], 0)
    assert len(said) == 1


# --- other processes -----------------------------------------------------------------------------

SCRIPT = """
import numpy as np
from bayesglmm._random import fill_normals_into as entry
found = np.empty(3)
entry(np.array([1, 0], dtype=np.uint64), found)
print(float(found.sum()))
"""


def elsewhere(**environment: str | None) -> "subprocess.CompletedProcess[str]":
    own = {k: v for k, v in os.environ.items() if k not in ("BAYESGLMM_CACHE_DIR", *environment)}
    own["PYTHONPATH"] = str(Path(_cache.__file__).parents[1])
    own |= {k: v for k, v in environment.items() if v is not None}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, env=own, capture_output=True, text=True)


@pytest.mark.parametrize(
    "home", [{"HOME": "/dev/null"}, {"HOME": "/proc/nobody"}, {"XDG_CACHE_HOME": "/dev/null/x"}]
)
def test_without_a_home_code_is_compiled_with_one_warning(home, whole):
    done = elsewhere(**{"XDG_CACHE_HOME": None, **home})
    assert (done.returncode, float(done.stdout)) == (0, whole[1])
    assert done.stderr.count("UserWarning: compiled code is not cached") == 1


def test_the_cache_of_numba_is_not_used(whole, tmp_path):
    """Whatever lies there: it may be anyone's."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    done = elsewhere(NUMBA_CACHE_DIR=str(theirs), BAYESGLMM_CACHE_DIR=str(ours))
    assert (done.returncode, float(done.stdout)) == (0, whole[1])
    assert list(theirs.iterdir()) == []
    assert list(ours.rglob("*.nbi"))
