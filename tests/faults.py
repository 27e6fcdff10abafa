"""Faults that a run has to survive, each really done to processes of its own.

A fault is a function of an empty folder that does it, looks at what is left, and returns in words
what happened; what must not happen is an AssertionError.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import bayesglmm
from bayesglmm import _cache

TESTS = Path(__file__).parent
AFTER = 5.0  # seconds after the end in which no process may be left
LONGEST = 600.0  # seconds of a script; the machine may be busy
FAULTS: list["Fault"] = []


class Fault(NamedTuple):
    """A row of the table."""

    number: str
    what: str
    do: Callable[[Path], str]


def fault(number: str, what: str) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    """Put a function into the table."""

    def add(function: Callable[[Path], str]) -> Callable[[Path], str]:
        FAULTS.append(Fault(number, what, function))
        return function

    return add


# --- scripts -------------------------------------------------------------------------------------

HEAD = """
import os, signal, sys, time, warnings
from pathlib import Path
import numpy as np
import bayesglmm as bg
from bayesglmm import chains
from test_chains import Walk, run, same
from test_executors import Deadly, cluster, processes
import fuzz
# A shell that starts us in the background lets Ctrl-C be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a script: it finds the package and the tests."""
    search = [str(Path(bayesglmm.__file__).parents[1]), str(TESTS)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(search), **more}


def script(folder: Path, body: str, *, main: bool = True) -> Path:
    """Write a script; its body is a function's where it has a guard against being imported."""
    path = folder / "script.py"
    if main:
        body = "def main():\n" + "".join(f"    {line}\n" for line in body.splitlines())
        body += "\nif __name__ == '__main__':\n    main()\n"
    path.write_text(HEAD + body)
    return path


def done(folder: Path, body: str, *, main: bool = True, **more: str) -> str:
    """Run a script to its end; return what it printed. It must end by itself, and well."""
    ended = subprocess.run(
        [sys.executable, str(script(folder, body, main=main))],
        env=environment(**more), capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert ended.returncode == 0, f"code {ended.returncode}: {ended.stderr[-2000:]}"
    return ended.stdout + ended.stderr


def left(group: int) -> list[str]:
    """Return the processes of a group that still run, zombies included."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,pgid=,stat=,args=", "-e"], capture_output=True, text=True
    ).stdout.splitlines()
    return [line for line in listed if line.split()[1] == str(group)]


def interrupted(
    folder: Path, body: str, *, wait_for: str, times: int = 1, pause: float = 0.0, **more: str
) -> tuple[int, str, float]:
    """Run a script, press Ctrl-C once it has said something; return code, output, and seconds."""
    process = subprocess.Popen(
        [sys.executable, "-u", str(script(folder, body))],
        env=environment(**more), start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(wait_for):
                break
        time.sleep(pause)
        begun = time.monotonic()
        for _ in range(times):
            # As a terminal does: to all processes at once.
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.1)
        out, _ = process.communicate(timeout=LONGEST)
        seconds = time.monotonic() - begun
        end = time.monotonic() + AFTER
        while (rest := left(process.pid)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not rest, f"left after {AFTER} s: {rest}"
        return process.returncode, out, seconds
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


# --- 1 to 3: what is killed or interrupted -------------------------------------------------------


@fault("1", "SIGKILL of a worker process")
def _killed(folder: Path) -> str:
    (folder / "lives").mkdir()
    (folder / "again").mkdir()
    out = done(
        folder,
        f"""
from bayesglmm.chains import tasks
tasks.BLOCK_SECONDS = 0.0
options = {{"dies_at": 50, "by": signal.SIGKILL}}
with processes(1) as executor, warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    begun = time.monotonic()
    program = Deadly(folder={str(folder / "lives")!r}, **options)
    draws = run(program, executor=executor, chunk_seconds=0.0)
    print("ended", time.monotonic() - begun < 60)
print("kept", draws.interrupted, draws.theta.shape[1] > 0)
print("said", said[0].message)
n = draws.theta.shape[1]
print("goes on", same(chains.extend(Walk(), draws, 60 - n, progress=False), run(draws=60)))
program = Deadly(folder={str(folder / "again")!r}, **options)
print("replaced", same(run(program, executor=processes), run()))
""",
    )
    for words in ("ended True", "kept True True", "goes on True", "replaced True"):
        assert words in out, out
    assert "died, by SIGKILL" in out, out
    assert "at work were chains" in out and "can be extended" in out, out
    return (
        "draws so far kept, signal and chains at work named, extended to the same; a new pool: the "
        "same"
    )


@fault("2", "SIGINT while chains run: threads, processes, Dask")
def _interrupted(folder: Path) -> str:
    places = {
        "threads": "import contextlib\nmake = lambda: contextlib.nullcontext(None)",
        # One of them: a second one may still be at its imports, where Ctrl-C is Python's affair.
        "processes": "make = lambda: processes(1)",
        "Dask": (
            "import contextlib\n"
            "@contextlib.contextmanager\n"
            "def make():\n"
            "    with cluster() as client, client.get_executor(pure=False) as executor:\n"
            "        yield executor"
        ),
    }
    found = []
    for name, make in places.items():
        code, out, seconds = interrupted(
            folder,
            f"""
import threading
from faulty_walks import Slow
place = {str(folder / name)!r}
def tell():
    while not all(Path(f"{{place}}-{{k}}").exists() for k in range(4)):
        time.sleep(0.02)
    print("running", flush=True)
threading.Thread(target=tell, daemon=True).start()
{make}
with make() as executor, warnings.catch_warnings(action="ignore"):
    program = Slow(pause=2e-4, place=place)
    draws = run(program, draws=200_000, chunk_seconds=0.02, executor=executor)
print("draws", draws.interrupted, draws.theta.shape[1] > 0, len(draws.standings))
""",
            wait_for="running",
        )
        assert code == 0 and "draws True True 4" in out, (name, code, out[-500:])
        found.append(f"{name} {seconds:.1f} s")
    return f"draws so far, flagged, no process left; ended after {', '.join(found)}"


@fault("3", "SIGINT while compiling; a second one while finalizing")
def _while_compiling(folder: Path) -> str:
    code, out, seconds = interrupted(
        folder,
        """
model = fuzz.subject()
print("running", flush=True)
try:
    model.sample(draws=10, warmup=10, progress=False)
    print("finished")
except KeyboardInterrupt:
    print("stopped")
""",
        wait_for="running",
        pause=2.0,
        BAYESGLMM_CACHE_DIR=str(folder / "cache"),
    )
    assert code == 0 and out.strip().endswith("stopped"), (code, out[-2000:])
    second, out, _ = interrupted(
        folder,
        """
from bayesglmm.cli import main as cli
import bayesglmm.posterior as p
make = p.Posterior.from_draws.__func__
def slowly(*a, **k):
    print("running", flush=True)
    time.sleep(30)
    return make(*a, **k)
p.Posterior.from_draws = classmethod(slowly)
sys.exit(cli(["sample", "epilepsy", "seizures ~ treat + (1 | id)", "--family", "poisson",
              "--draws", "20", "--warmup", "20", "--quiet"]))
""",
        wait_for="running",
        times=2,
    )
    # The second one may meet the process when it has said so and ends.
    assert second in (3, -signal.SIGINT) and "interrupted" in out, (second, out[-2000:])
    assert "Traceback" not in out, out[-2000:]
    return f"KeyboardInterrupt after {seconds:.1f} s, nothing left; no traceback after a second"


# --- 4 to 7: disks and files ---------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a disk of 4 MB, where that is allowed."""
    place = folder / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


STREAM = """
import resource, threading
place, limited = Path({place!r}), {limited!r}
rng = np.random.default_rng(3)
f = {{"x": rng.normal(size=800), "g": np.repeat(np.arange(200), 4)}}
f["y"] = rng.poisson(np.exp(0.3 * f["x"]))
model = bg.glmm("y ~ x + (1 | g)", f, "poisson")
options = dict(draws=1000, warmup=20, chains=2, seed=1, progress=False)
whole = model.sample(**options)
from bayesglmm.effects_file import EffectsFile
find = EffectsFile._places
def full(self):
    found = find(self)
    if limited:
        # Part of the second chain fits, so that some draws go in whichever chain writes first.
        end = found["g"] + 1000 * 200 * 8 + 200_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (end, resource.RLIM_INFINITY))
    else:
        with open(place / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                pass
            filler.truncate(filler.tell() - 400_000)  # some draws go in
    return found
EffectsFile._places = full
try:
    model.sample(**options, keep="stream", stream=place / "u.nc")
except OSError as error:
    print("stream:", error)
print("names", (place / "u.nc").exists())
import h5py
part, = place.glob(".u.nc.*.part")
with h5py.File(part) as file:
    u = file["posterior"]["u_g"][:]
there = (u != 0).any(axis=(2, 3))
first = whole.values["u"]["g"]
# The last draw of a chain may be there in part.
lengths = np.maximum(np.cumprod(there, axis=1).sum(axis=1) - 1, 0)
right = [bool((u[c, :n] == first[c, :n]).all()) for c, n in enumerate(lengths)]
print("right", right, int(there.sum()) > 0)
part.unlink()
try:
    whole.save(place / "fit.nc")
except OSError as error:
    print("save:", error)
print("names", (place / "fit.nc").exists(), [p.name for p in place.iterdir() if "part" in p.name])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
whole.save({other!r})
print("elsewhere", bg.load({other!r}).draws)
"""


@fault("4", "disk full while streaming, and while saving")
def _full(folder: Path) -> str:
    def check(place: Path, limited: bool) -> None:
        other = folder / f"other-{limited}.nc"
        out = done(folder, STREAM.format(place=str(place), limited=limited, other=str(other)))
        assert "stream: " in out and "u.nc could not be written" in out, out
        assert "bytes are needed" in out and "are free" in out, out
        assert "right [True, True] True" in out and "elsewhere 1000" in out, out
        assert "names False\n" in out and "names False []" in out, out
        assert "fit.nc could not be written" in out and "ignored" not in out, out

    (folder / "limited").mkdir()
    check(folder / "limited", True)
    with small_disk(folder) as place:
        if place is None:
            return "by RLIMIT_FSIZE (no mount allowed): " + FULL
        check(place, False)
    return "by RLIMIT_FSIZE and on a disk of 4 MB: " + FULL


FULL = "file, bytes needed and free said; draws so far readable and right; no file under its name"


@fault("5", "saved file cut short, one byte flipped, empty, a text")
def _damaged(folder: Path) -> str:
    import fuzz

    fuzz.make(folder)
    found = 0
    for kind in ("posterior.nc", "fit.nc", "run.ckpt"):
        path, model = folder / kind, fuzz.subject()
        good = path.read_bytes()
        middle = len(good) // 2
        flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
        for content in (good[:middle], good[:-1], flipped, b"", b"a text\n"):
            path.write_bytes(content)
            try:
                fuzz.read_one(kind, path, model)
            except bayesglmm.LoadError as error:
                assert kind in str(error), error
                found += 1
        path.write_bytes(good)
    assert found == 15
    return "15 of 15 refused as LoadError with the file and the reason"


@fault("6", "cache of compiled code: index and machine code damaged")
def _cache_damaged(folder: Path) -> str:
    import test_cache

    place = folder / "cache"
    first = test_cache.elsewhere(BAYESGLMM_CACHE_DIR=str(place))
    assert first.returncode == 0 and not first.stderr, first.stderr
    for pattern in ("*.nbi", "*.nbc"):
        (path,) = place.rglob(pattern)
        path.write_bytes(test_cache.flipped(path.read_bytes(), 0.5))
        again = test_cache.elsewhere(BAYESGLMM_CACHE_DIR=str(place))
        assert again.returncode == 0 and again.stdout == first.stdout, again.stderr
        assert again.stderr.count("UserWarning") == 1 and "compiling anew" in again.stderr
        assert list(place.rglob(f"*{_cache.ASIDE}"))
    last = test_cache.elsewhere(BAYESGLMM_CACHE_DIR=str(place))
    assert last.returncode == 0 and not last.stderr, last.stderr
    return "moved aside, compiled anew with one warning, the same numbers; then cached again"


@fault("7", "home read-only or missing")
def _homeless(folder: Path) -> str:
    import test_cache

    for home in ("/dev/null", str(folder / "locked")):
        if home != "/dev/null":
            (folder / "locked").mkdir(mode=0o500)
            if os.access(home, os.W_OK):  # root may write everywhere
                home = "/proc/nobody"
        ended = test_cache.elsewhere(HOME=home, XDG_CACHE_HOME=None)
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr.count("UserWarning: compiled code is not cached") == 1
    return "runs without a cache, one warning"


# --- 8 to 10: workers ----------------------------------------------------------------------------


@fault("8", "worker out of memory (RLIMIT_AS)")
def _out_of_memory(folder: Path) -> str:
    out = done(
        folder,
        """
from faulty_walks import Hungry, limited
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=limited) as executor:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        draws = run(Hungry(), executor=executor)
print("said", said[0].message)
print("others", same_rows(draws, run()))
from bayesglmm import keeping
model = fuzz.subject()
try:
    with keeping.told(model, keep="all", sampler="gibbs", chains=4, draws=10**9, jobs=1):
        np.empty(2**46)
except MemoryError as error:
    print("told", error)
""".replace("same_rows(draws, run())", "bool((draws.theta == run().theta[[0, 2, 3]]).all())"),
    )
    assert "chain 2 failed and is left out: out of memory" in out, out
    assert "others True" in out and "estimated to take" in out and "keep='summary'" in out, out
    return "the chain is named and left out, the others are right; in the main process the estimate"


@fault("9", "Dask: worker killed in mid-chain")
def _dask(folder: Path) -> str:
    (folder / "lives").mkdir()
    out = done(
        folder,
        f"""
with cluster() as client, client.get_executor(pure=False) as executor:
    program = Deadly(folder={str(folder / "lives")!r}, by=signal.SIGKILL)
    print("same", same(run(program, executor=executor), run()))
""",
    )
    assert "same True" in out, out
    assert len(list((folder / "lives").iterdir())) == 1
    return "the block done again by another worker, the same draws"


@fault("10", "fork after threads; spawn; a script without a guard")
def _forked(folder: Path) -> str:
    out = done(
        folder,
        """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
first = run()
for method in ("fork", "spawn", "forkserver"):
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as executor:
        print(method, same(run(executor=executor), first))
""",
    )
    assert all(f"{method} True" in out for method in ("fork", "spawn", "forkserver")), out
    out = done(
        folder,
        """
try:
    with processes(1) as executor:
        run(executor=executor)
except RuntimeError as error:
    print("told", error)
""",
        main=False,
    )
    assert "told the executor broke" in out and "if __name__ ==" in out, out
    return "fork, spawn and forkserver: the same draws; without a guard the message names it"


# --- 11 to 13: surroundings, numbers, copies -----------------------------------------------------

HASH = """
import hashlib, time, warnings
if {clock}:
    import random
    for name in ("time", "perf_counter", "monotonic"):
        real = getattr(time, name)
        setattr(time, name, lambda real=real: real() - 5.0 * random.random())
if {locale!r}:
    import locale
    locale.setlocale(locale.LC_ALL, {locale!r})
    assert locale.localeconv()["decimal_point"] == ",", locale.localeconv()
    assert locale.str(0.5) == "0,5"
model = fuzz.subject()
print("hash", {{"a", "b", "c", "d"}}, end=" ")
for sampler in ("gibbs", "nuts"):
    post = model.sample(draws=30, warmup=40, chains=2, seed=1, progress=False, sampler=sampler)
    draws = post.theta.tobytes() + post.effect_draws.tobytes()
    print(hashlib.sha256(draws).hexdigest(), end=" ")
place = Path(__file__).parent / "half.csv"
place.write_text("y,x\\n1.5,0.5\\n2,1.25\\n")
read = bg.read_csv(place).to_csv() + str(bg.Normal(0.5, 2.5)) + str(post.table())
print(hashlib.sha256(read.encode()).hexdigest())
"""


@fault("11", "locale, TZ, PYTHONHASHSEED, a clock that jumps")
def _surroundings(folder: Path) -> str:
    locales = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.split()
    comma = next((name for name in locales if name.startswith(("de_", "fr_"))), "")
    cases: list[tuple[dict[str, str], bool, str]] = [
        ({"PYTHONHASHSEED": "1"}, False, ""),
        ({"PYTHONHASHSEED": "2", "TZ": "Asia/Kathmandu", "LC_ALL": comma or "C"}, True, comma),
    ]
    found = set()
    for more, clock, locale in cases:
        out = done(folder, HASH.format(clock=clock, locale=locale), **more)
        found.add(tuple(out.split()[-3:]))
    assert len(found) == 1, found
    with_commas = f"{comma}, with decimal commas" if comma else "C only: no other is installed"
    return f"the same draws, numbers read and printed alike (locale {with_commas})"


@fault("12", "log density or gradient that is no number, in mid-trajectory and at the start")
def _no_number(folder: Path) -> str:
    out = done(
        folder,
        """
from faulty_walks import walled
draws = walled()
divergent = draws.stats["divergent"]
print("divergent", bool(divergent.sum() > 0), bool(np.isfinite(draws.theta).all()))
print("inside", bool((draws.theta[..., 0] > 0).all()))
f = fuzz.frame()
model = bg.glmm("n ~ x + (1 | g)", f.assign(n=f.k), "poisson")
for sampler in ("gibbs", "nuts"):
    try:
        model.sample(draws=5, warmup=5, seed=1, progress=False, sampler=sampler, init={"x": 1e5})
    except (ValueError, FloatingPointError) as error:
        print("refused", error)
""",
    )
    assert "divergent True True" in out and "inside True" in out, out
    assert out.count("refused") == 2 and out.count("first 0, 1, 2") == 2, out
    return "counted as divergences, the chain goes on; no finite start: refused with the rows"


@fault("13", "copies in other processes; two processes save one file")
def _copies(folder: Path) -> str:
    import copy

    import fuzz

    post = fuzz.subject().sample(draws=12, warmup=15, chains=2, seed=1, progress=False)
    (folder / "post.pickle").write_bytes(pickle.dumps(post))
    assert str(copy.deepcopy(post)) == str(post)
    place = str(folder / "post.pickle")
    read = f"import pickle; post = pickle.loads(Path({place!r}).read_bytes())"
    more = "print('more', post.extend(3, progress=False).draws)"
    out = done(folder, f"{read}\nprint(post)\n{more}")
    assert str(post) in out and "more 15" in out, out
    path = script(
        folder,
        f"""
{read}
while not Path({str(folder / "go")!r}).exists():
    pass
try:
    post.save({str(folder / "one.nc")!r})
    print("saved")
except FileExistsError as error:
    print("taken", error)
""",
    )
    both = [
        subprocess.Popen(
            [sys.executable, str(path)], env=environment(), stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    time.sleep(1.0)
    (folder / "go").touch()
    said = sorted(process.communicate(timeout=LONGEST)[0].split()[0] for process in both)
    assert said == ["saved", "taken"], said
    assert str(bayesglmm.load(folder / "one.nc")) == str(post)
    assert not list(folder.glob(".one.nc*"))
    return (
        "pickled, copied, extended elsewhere; one of two saves, the other is told, the file is good"
    )
