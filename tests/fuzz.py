"""Inputs made by chance, and a watch over what they set off.

Everything is drawn from a seed: formulas (tokens, the grammar, mutations of good ones, attacks),
tables (CSV files, data frames), and mutations of saved files (bytes, structure, content), half of
them sealed again so that they get past the checksum.
"""

import copy
import json
import os
import random
import string
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayesglmm import sealed

# --- the watch -----------------------------------------------------------------------------------

# Events of Python's audit hooks that nothing we read may set off.
FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill"),
    *("subprocess.Popen", "pty.spawn", "socket.", "urllib.", "http.", "ftplib.", "smtplib."),
    *("pickle.find_class", "marshal.loads", "exec", "compile", "ctypes.", "code.__new__"),
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod"),
    *("os.truncate", "shutil.", "tempfile.", "sys._getframe", "builtins.input", "webbrowser."),
)
HARMLESS = ("sys._getframe",)  # warnings ask for it
_found: list[str] | None = None
_own = ""
_hooked = False


@contextmanager
def watched(writing: Path | None = None) -> Iterator[list[str]]:
    """Collect forbidden events; writing anything but inside the folder `writing` is one.

    What the import of a module does is no event: modules are imported when they are first needed.
    """
    global _found, _hooked, _own
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    _found, _own = [], str(writing or "")
    try:
        yield _found
    finally:
        _found = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    found = _found
    if found is None:
        return
    if event == "open":
        mode = str(arguments[1] or "")
        bad = any(letter in mode for letter in "wax+") and _outside(arguments[0])
    elif event in ("os.remove", "os.rename"):
        bad = _outside(arguments[0])
    else:
        bad = event.startswith(FORBIDDEN) and event not in HARMLESS
    if bad and not _importing():
        found.append(f"{event}{arguments!r:.100}")


def _outside(path: Any) -> bool:
    return not _own or not str(path).startswith(_own)


def _importing() -> bool:
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


# --- formulas ------------------------------------------------------------------------------------

ATTACKS = [
    "I(__import__('os').system('touch {}'))",
    "I(open('{}', 'w'))",
    "log(__builtins__.open('{}', 'w'))",
    "().__class__.__base__.__subclasses__()",
    "(lambda: open('{}', 'w'))()",
    "eval(\"open('{}', 'w')\")",
    "`open('{}', 'w')`",
    "I([open('{}', 'w') for x in (1,)])",
    "x.__class__",
    "f'{{open('{}', 'w')}}'",
    "os.system('touch {}')",
    "factor(open('{}', 'w'))",
    "ref(f, \"open('{}', 'w')\")",
    "poly(x, open('{}', 'w'))",
    "(1 | open('{}', 'w'))",
    "(exec(\"open('{}', 'w')\") | g)",
    "offset(open('{}', 'w'))",
    "log(x).__class__.__init__.__globals__",
    "bs(x, df=open('{}', 'w'))",
    "C(f, Treatment(open('{}', 'w')))",
    "Q('x')",
    "stateful_transform(open('{}', 'w'))",
    "np.save('{}', x)",
]
PIECES = [
    *"~|+-*/:^(),=`'\"@%$#[]{}.;!&<> \n\t\\0123456789",
    *("x", "f", "g", "y", "log(", "I(", "poly(", "bs(", "scale(", "factor(", "ref(", "offset("),
    *("||", "**", "(1|g)", "(x||g)", "trials(", "weights(", "cbind(", "1e999", "9**9", "\0", "é"),
    *("__import__", "eval(", "exec(", "open(", "lambda ", "getattr(", ".__class__", "os.system("),
    *(
        "\u0308",
        "\u202e",
        "\U0001f600",
        "\ud800",
        "１",
        "ⅻ",
        "x2",
        "se(",
        "prop(",
        "abs(",
        "1e-400",
    ),
]
GOOD = [
    "y ~ x",
    "y ~ x + f + (1 | g)",
    "y ~ x * f + (x | g)",
    "y ~ 0 + poly(x, 2):f + (x || f/g)",
    "y | weights(w2) ~ bs(x, df = 4) + (1 | g:f)",
    "y ~ scale(x) + log1p(abs(w)) + offset(x / 3) + (0 + x | g)",
    "k | trials(n) ~ factor(x) + ref(f, 'b') + (1 + x | g) + (1 | f)",
    "cbind(k, n) ~ (x + f + w)^2 - x:w",
    "y ~ I((x - 2)^2 / exp(w)) + `f`",
]


def frame() -> pd.DataFrame:
    """Return the data that formulas are read for: few rows, all kinds of columns."""
    return pd.DataFrame(
        {
            "y": [0.5, 1.0, 2.5, 3.0, 1.5, 0.7, 2.0, 1.2],
            "x": range(1, 9),
            "w": [0.1, -1.0, 0.3, 2.0, 0.0, 5.0, 1.0, 0.4],
            "w2": [1.0, 2.0, 0.5, 1.0, 1.0, 3.0, 1.0, 1.0],
            "k": [0, 3, 1, 7, 4, 2, 9, 5],
            "n": [9] * 8,
            "f": list("abababab"),
            "g": list("aabbccdd"),
        }
    )


def sentence(rng: random.Random, depth: int = 0) -> str:
    """Return a text of the grammar, which gets past the reader and into the evaluation."""
    if depth > 3 or rng.random() < 0.3:
        return rng.choice(["x", "f", "g", "w", "1", "0", "2", "factor(x)", 'ref(f, "b")'])
    inner = sentence(rng, depth + 1)
    forms = ["{}", "({})", "-{}", "log({})", "sqrt({})", "exp({})", "scale({})", "center({})"]
    forms += ["poly({}, 2)", "bs({}, df=4)", "abs({})", "offset({})", "({}|g)", "({}||f/g)"]
    forms += ["I({})", "log1p({})", "C({})", "({}|g:f)", "({})^2", "poly({}, 30)", "bs({}, 99)"]
    forms += [f"{{}} {op} {sentence(rng, depth + 1)}" for op in "+++-*:/^"]
    return rng.choice(forms).format(inner)


def mutated_text(rng: random.Random, text: str) -> str:
    """Change a text in one to four places."""
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.randrange(1, 4) :]
        elif kind == 2:
            end = min(len(text), at + rng.randrange(1, 12))
            text = text[:end] + text[at:end] * rng.choice([1, 2, 5]) + text[end:]
        elif kind == 3:
            letter = chr(rng.choice([rng.randrange(128), rng.randrange(0x11000)]))
            text = text[:at] + letter + text[at:]
        else:
            other = rng.choice(GOOD)
            text = text[:at] + other[rng.randrange(len(other)) :]
    return text


def long_one(rng: random.Random) -> str:
    """Return a text that is long, deep or means much."""
    kind, k = rng.randrange(8), rng.choice([10, 49, 51, 200, 5000])
    many = [rng.choice("xfgw") for _ in range(min(k, 60))]
    return [
        "y ~ " + "(" * k + "x" + ")" * k,
        "y ~ " + "-" * k + "x",
        "y ~ " + "log(" * k + "x" + ")" * k,
        "y ~ " + " + ".join(f"x{j}" for j in range(k)),
        "y ~ " + rng.choice("*:/^|").join(many),
        "y ~ I(" + "x^" * k + "2)",
        "y ~ (x + f + g + w + n)^" + rng.choice("2468"),
        "y ~ " + "9" * k + rng.choice(["", "*x", ":x"]) + "'" * rng.randrange(3),
    ][kind]


def formula(rng: random.Random, canary: object) -> str:
    """Return a formula of any kind; attacks would make the file `canary`."""
    kind = rng.random()
    if kind < 0.15:
        text = sentence(rng)
    elif kind < 0.5:
        text = mutated_text(rng, rng.choice(GOOD))
    elif kind < 0.54:
        text = long_one(rng)
    else:
        tokens = rng.choices(PIECES, k=rng.randrange(1, 30))
        if kind < 0.75:
            tokens.insert(rng.randrange(len(tokens) + 1), rng.choice(ATTACKS).format(canary))
        text = "".join(tokens)
    return "y ~ " + text if "~" not in text and rng.random() < 0.8 else text


# --- saved files ---------------------------------------------------------------------------------


def reseal(path: Path) -> None:
    """Give a file the checksum of what it holds now, as who altered it on purpose would."""
    content = path.read_bytes()
    place = content.rfind(sealed.MARK)
    if place >= len(content) - sealed.TRAILER - 8 and place >= 0:
        path.write_bytes(content[:place])
    sealed.seal(path)


def altered_bytes(rng: random.Random, content: bytes) -> bytes:
    """Flip, cut, insert, repeat or blank some bytes."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        # Half of the places are near the start, where the structure is.
        span = len(data) if rng.random() < 0.5 else min(len(data), 4096)
        at = rng.randrange(span) if span else 0
        kind, n = rng.randrange(7), rng.choice([1, 2, 8, 100])
        if kind <= 1 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at : at + n] = rng.randbytes(min(n, len(data) - at))
        elif kind == 3:
            del data[at : len(data) if rng.random() < 0.3 else at + n]
        elif kind == 4:
            data[at:at] = rng.randbytes(n)
        elif kind == 5:
            data[at : at + n] = b"\xff" * min(n, len(data) - at)
        else:
            data[at : at + 8] = rng.choice(NUMBERS).to_bytes(8, "little")
    return bytes(data)


NUMBERS = (0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 10**9, 2**31, 2**63, 2**70, -(2**63), 1e308, 0.5, "", "x"),
    *([], {}, [[]], {"x": 1}, "nan", float("nan"), float("inf"), "array_0", {"array": "array_1"}),
    *({"array": "array_0", "dtype": "O"}, {"array": "array_0", "dtype": "<U9"}, {"noun": "Popen"}),
    *({"noun": "Normal", "fields": {"mean": 0, "sd": -1}}, {"tuple": []}, {"list": 3}, {"dict": 1}),
    *({"dict": [[{"list": []}, 1]]}, "a" * 10_000, "__class__", "../../etc/passwd", "\ud800", "\0"),
    *({"array": "array_0", "dtype": "(1000000000,)f8"}, {"array": "array_0", "dtype": ","}),
    *({"array": "spec", "dtype": "f8"}, {"noun": "Factor", "fields": {}}, {"noun": []}),
)


def altered_json(rng: random.Random, content: Any) -> Any:
    """Change one to three nodes of a tree of dicts and lists."""
    content = copy.deepcopy(content)
    for _ in range(rng.randrange(1, 4)):
        places: list[tuple[Any, Any]] = []
        waiting = [content]
        while waiting:
            node = waiting.pop()
            keys: Any = node if isinstance(node, dict) else range(len(node))
            for key in keys:
                places.append((node, key))
                if isinstance(node[key], dict | list):
                    waiting.append(node[key])
        if not places:
            return rng.choice(VALUES)
        node, key = rng.choice(places)
        kind = rng.random()
        if kind < 0.15:
            del node[key]
        elif kind < 0.3:
            node[key] = copy.deepcopy(rng.choice(places)[0])
            if len(json.dumps(content, default=str)) > 10**6:
                return content
        elif kind < 0.35:
            deep: Any = 0
            for _ in range(rng.choice([50, 900, 5000])):
                deep = {"list": [deep]}
            node[key] = deep
            return content
        elif kind < 0.5 and isinstance(node[key], int | float):
            node[key] = node[key] + rng.choice([-1, 1, 100, 10**12])
        else:
            node[key] = rng.choice(VALUES)
    return content


def _dumped(content: Any) -> bytes:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(60_000)
    try:
        return json.dumps(content).encode()
    finally:
        sys.setrecursionlimit(before)


def altered_netcdf(rng: random.Random, path: Path) -> None:
    """Change objects, attributes or the specification of a netCDF file."""
    import h5py

    with h5py.File(path, "r+") as file:
        found: list[str] = []
        file.visit(found.append)
        arrays = [name for name in found if isinstance(file[name], h5py.Dataset)]
        if rng.random() < 0.4 and "bayesglmm/spec" in arrays:
            spec = json.loads(file["bayesglmm/spec"][()].tobytes())
            del file["bayesglmm/spec"]
            text = _dumped(altered_json(rng, spec))
            file["bayesglmm/spec"] = np.frombuffer(text, dtype=np.uint8)
            return
        name = rng.choice(arrays if rng.random() < 0.8 else found)
        _STRUCTURES[rng.randrange(len(_STRUCTURES))](rng, file, name, h5py)


def _replace(file: Any, name: str, make: Callable[[str], Any]) -> None:
    del file[name]
    make(name)


def _external(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    target = rng.choice(["/etc/passwd", "other.nc", "/dev/stdin", file.filename])
    _replace(file, name, lambda n: file.__setitem__(n, h5py.ExternalLink(target, "/x")))


def _soft(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    target = rng.choice(["/", f"/{name}", "/bayesglmm/theta", "/nowhere"])
    _replace(file, name, lambda n: file.__setitem__(n, h5py.SoftLink(target)))


def _virtual(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.nc", "spec", shape=(4,))
    _replace(file, name, lambda n: file.create_virtual_dataset(n, layout))


def _huge(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    shape = rng.choice([(1 << 40,), (1 << 20, 1 << 20, 1 << 20), (1 << 31, 4)])
    chunks = tuple(1 << 10 if k == 0 else 1 for k in range(len(shape)))
    options = {"compression": "gzip"} if rng.random() < 0.5 else {}
    _replace(file, name, lambda n: file.create_dataset(n, shape, "f8", chunks=chunks, **options))


def _other_type(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    kind: Any = rng.choice(
        [
            *(h5py.string_dtype(), h5py.string_dtype("ascii", 5), h5py.vlen_dtype(np.float64)),
            *(h5py.ref_dtype, np.dtype([("a", "f8"), ("b", "i4")]), "c16", "f4", "f2", ">f8", "V8"),
            *(h5py.enum_dtype({"a": 1, "b": 2}), "i1", "u8", "?", np.dtype(("f8", (2,)))),
        ]
    )
    shape = file[name].shape if hasattr(file[name], "shape") else (2,)
    _replace(file, name, lambda n: file.create_dataset(n, shape=shape, dtype=kind))


def _other_shape(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    item = file[name]
    if not hasattr(item, "dtype") or item.dtype.kind not in "biuf":
        return _group(rng, file, name, h5py)
    values = np.asarray(item[()])
    choices = [
        lambda: values.reshape(-1)[: max(0, values.size // 2)],
        lambda: values[None],
        lambda: values.T,
        lambda: np.concatenate([values.reshape(-1)] * 2),
        lambda: np.zeros(()),
        lambda: np.zeros((0, *values.shape[1:])),
        lambda: h5py.Empty("f8"),
    ]
    made = rng.choice(choices)()
    return _replace(file, name, lambda n: file.__setitem__(n, made))


def _other_values(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    item = file[name]
    if not hasattr(item, "dtype") or item.dtype.kind not in "biuf" or item.size == 0:
        return _group(rng, file, name, h5py)
    values = np.asarray(item[()]).copy().reshape(-1)
    places = [rng.randrange(values.size) for _ in range(rng.choice([1, 5]))]
    if values.dtype.kind == "f":
        values[places] = rng.choice([np.nan, np.inf, -1e308, 0.0])
    else:
        info = np.iinfo(values.dtype) if values.dtype.kind in "iu" else None
        values[places] = rng.choice([info.max, info.min, 0, 1]) if info else True
    item[...] = values.reshape(item.shape)
    return None


def _group(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    _replace(file, name, lambda n: file.create_group(n))


def _gone(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    del file[name]


def _attributes(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    for attributes in (file[name].attrs, file.attrs, file[name].parent.attrs):
        more = rng.choice(["formula", "run", "draws_made", "_FillValue", "scale"])
        values: list[Any] = ["", "x" * 5000, -1, 2**62, np.nan, np.zeros(3), h5py.Empty("f8")]
        for key in [*attributes, more]:
            if rng.random() < 0.7:
                attributes[key] = rng.choice(values)


def _extra(rng: random.Random, file: Any, name: str, h5py: Any) -> None:
    group = file[name].parent
    for k in range(rng.choice([1, 500])):
        group[f"extra_{k}"] = rng.choice([0.0, "text", np.zeros(2)])


_STRUCTURES = (
    *(_external, _soft, _virtual, _huge, _other_type, _other_type, _other_shape, _other_shape),
    *(_other_values, _other_values, _other_values, _group, _gone, _attributes, _extra),
)


def altered_bundle(rng: random.Random, content: bytes) -> bytes:
    """Change the text or the arrays of a bundle, a checkpoint."""
    kind, head, rest = content.split(b"\n", 2)
    rest = rest[: len(rest) - sealed.TRAILER]
    record = json.loads(head)
    if rng.random() < 0.7:
        head = _dumped(altered_json(rng, record))
    else:
        rest = altered_bytes(rng, rest)
    return b"\n".join([kind, head, rest])


def alter(rng: random.Random, path: Path) -> str:
    """Alter a saved file in place; return in which way."""
    netcdf = path.read_bytes()[:4] == b"\x89HDF"
    way = rng.choice(["bytes", "bytes sealed", "content", "content"])
    if way.startswith("bytes"):
        path.write_bytes(altered_bytes(rng, path.read_bytes()))
    elif netcdf:
        altered_netcdf(rng, path)
    else:
        path.write_bytes(altered_bundle(rng, path.read_bytes()))
    if way != "bytes":
        reseal(path)
    return way


# --- tables --------------------------------------------------------------------------------------

CSV = 'id,y,x,g,f\n1,0.5,1,007,"a"\n2,1.5,2,008,"b, c"\n3,2.5,,009,a\n4,0.25,-1e3,NA,"q ""z"""\n'


def table(rng: random.Random) -> bytes:
    """Return the bytes of a CSV file, good or not."""
    text = CSV.replace(",", rng.choice([",", ",", ";", "\t"]))
    if rng.random() < 0.7:
        text = mutated_text(rng, text)
    content = text.encode(rng.choice(["utf-8"] * 5 + ["utf-8-sig", "utf-16", "utf-32"]), "replace")
    if rng.random() < 0.4:
        content = altered_bytes(rng, content)
    if rng.random() < 0.15:
        import gzip

        content = gzip.compress(content)
        if rng.random() < 0.5:
            content = altered_bytes(rng, content)
    return content


def column(rng: random.Random, n: int) -> Any:
    """Return a column of n rows of any kind."""
    import datetime
    import decimal
    import fractions

    whole = [rng.randrange(4) for _ in range(n)]
    odd = [
        *(None, np.nan, pd.NA, pd.NaT, 1, 0, -1, 2**63, 1e308, "a", "1", "", b"a", (1,), [1]),
        *(decimal.Decimal(1), fractions.Fraction(1, 3), 1j, datetime.date(2020, 1, 1), {1: 2}),
        *(set(), object),
        *(np.float32(1), np.int8(1), np.datetime64("2020"), float("inf"), True, np.array([1, 2])),
    ]
    makers: list[Callable[[], Any]] = [
        lambda: [rng.choice(odd) for _ in range(n)],
        lambda: [rng.choice(odd[:6]) for _ in range(n)],
        lambda: pd.Series([rng.choice(odd)] * n, dtype=object),
        lambda: np.array(whole, dtype=rng.choice(["i1", "u1", "i8", "f2", "f4", "f8", "?", "c8"])),
        lambda: np.array(whole, dtype=rng.choice([">f8", ">i4", "S1", "U1", "M8[D]", "m8[s]"])),
        lambda: pd.Series(whole, dtype=rng.choice(["Int64", "UInt8", "Float32"])),
        lambda: pd.Series(pd.Categorical(whole, ordered=rng.random() < 0.5)),
        lambda: pd.Categorical(whole, categories=[0, 1, 2, 3, 9]),
        lambda: pd.Series(whole).astype("string"),
        lambda: pd.arrays.SparseArray(whole),
        lambda: pd.period_range("2020", periods=n, freq="D"),
        lambda: pd.interval_range(0, n),
        lambda: pd.date_range("2020", periods=n, tz="UTC"),
        lambda: np.ma.masked_array(np.array(whole, float), mask=[k % 2 for k in whole]),
        lambda: np.ones((n, rng.choice([1, 2, 0]))),
        lambda: np.longdouble(whole) if rng.random() < 0.5 else np.array(whole, dtype=object),
        lambda: [rng.choice(string.printable) for _ in range(n)],
        lambda: rng.choice([1, "a", None, [], range(n), iter(whole), np.float64(2.0)]),
        lambda: np.full(n, rng.choice([np.nan, np.inf, 0.0, 1e308, -1e308, 5e-324])),
        lambda: np.array(whole) * rng.choice([1e308, 1e-308, 2**53, 1]),
    ]
    with np.errstate(all="ignore"):
        return rng.choice(makers)()


def data(rng: random.Random) -> Any:
    """Return data of a model: mostly good columns with a strange one or two."""
    n = rng.choice([8, 8, 8, 8, 1, 2, 0])
    columns: dict[Any, Any] = {k: v.tolist()[:n] for k, v in frame().items()}
    for name in rng.sample(["y", "x", "g", "f", "w"], rng.choice([1, 1, 2])):
        columns[name] = column(rng, n)
    if rng.random() < 0.1:
        columns[rng.choice([1, None, ("a", "b"), "x ", "X", 2.5])] = list(range(n))
    try:
        return pd.DataFrame(columns) if rng.random() < 0.6 else columns
    except (ValueError, TypeError):
        return columns


# --- files that are read by other processes ------------------------------------------------------

KINDS = ("posterior.nc", "fit.nc", "run.ckpt", "effects.nc")
HANG_SECONDS = 60.0  # of a single file, loaded machine included; a process begins in ten times
MEMORY = 2 * 2**30  # bytes beyond what the process has when it begins


class Read(NamedTuple):
    """What became of a file: in which way it was altered, and "loaded", "refused" or a fault."""

    kind: str
    number: int
    way: str
    outcome: str


def subject() -> Any:
    """Return the model whose posterior, fit and checkpoint are altered."""
    import bayesglmm as bg

    rng = np.random.default_rng(3)
    f = {"x": rng.normal(size=40), "g": np.repeat(list("abcde"), 8), "k": ["u", "v"] * 20}
    f["y"] = rng.poisson(np.exp(0.3 * f["x"]))
    return bg.glmm("y ~ x * k + (x | g)", f, "poisson")


def options(folder: Path) -> dict[str, Any]:
    """Return the options of the run whose checkpoint and effects are altered."""
    own: dict[str, Any] = {"draws": 12, "warmup": 15, "chains": 2, "seed": 1, "progress": False}
    return own | {"checkpoint": folder / "run.ckpt"}


def make(folder: Path) -> None:
    """Make the good files."""
    model = subject()
    model.fit("laplace").save(folder / "fit.nc")
    own = options(folder)
    model.sample(**own).save(folder / "posterior.nc")
    del own["checkpoint"]
    model.sample(**own, keep="stream", stream=folder / "effects.nc")


def read_one(kind: str, path: Path, model: Any) -> None:
    """Read a file as the package does, and use what comes of it a little."""
    import bayesglmm as bg
    from bayesglmm import effects_file

    if kind == "run.ckpt":
        model.sample(**options(path.parent))
    elif kind == "effects.nc":
        effects_file.is_of(path, "token")
        for array in effects_file.arrays(path, model, [0, 1], 12).values():
            array[:]
    else:
        bg.load(path)


def child(kind: str, seed: int, first: int, last: int, folder: Path) -> None:
    """Alter and read files first..last of a kind; print what became of each as it happens."""
    import resource
    import warnings

    from bayesglmm.errors import DataError, LoadError

    model = subject()
    place = folder / f"{kind}-{seed}-{first}"
    place.mkdir()
    path = place / kind
    source = (folder / kind).read_bytes()
    path.write_bytes(source)
    read_one(kind, path, model)  # all that is needed is imported now
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(first, last):
        rng = random.Random(f"{kind} {seed} {number}")
        path.write_bytes(source)
        print(f"> {number}", flush=True)
        try:
            way = alter(rng, path)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            # Where h5py will not write what was drawn.
            print(json.dumps([number, "not made", f"not made: {error!r:.80}"]), flush=True)
            continue
        with warnings.catch_warnings(record=True) as said, watched(place) as events:
            warnings.simplefilter("always")
            try:
                read_one(kind, path, model)
                outcome = "loaded"
            except LoadError:
                outcome = "refused"
            except DataError as error:
                outcome = "refused" if kind == "run.ckpt" else f"raw {error!r:.200}"
            except BaseException as error:
                outcome = f"raw {error!r:.200}"
        if events:
            outcome = f"ran {events[:2]}"
        # A run that goes on from altered numbers may well compute some that are none.
        if said and outcome in ("loaded", "refused") and kind != "run.ckpt":
            outcome = f"warned {said[0].message!s:.200}"
        print(json.dumps([number, way, outcome]), flush=True)


def _environment() -> dict[str, str]:
    folders = (Path(sealed.__file__).parents[1], Path(__file__).parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def elsewhere(arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run Python in another process, which finds the package and the tests."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=_environment(), capture_output=True, text=True)


def read_altered(kind: str, seed: int, count: int, folder: Path) -> list[Read]:
    """Alter a file of a kind in so many ways and read it, in processes that may die of it."""
    found: list[Read] = []
    first = 0
    while first < count:
        command = [sys.executable, __file__, kind, str(seed), str(first), str(count), str(folder)]
        process = subprocess.Popen(
            command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        at, open_one, watch = first, False, threading.Timer(10.0 * HANG_SECONDS, process.kill)
        watch.start()
        for line in process.stdout or ():
            watch.cancel()
            watch = threading.Timer(HANG_SECONDS, process.kill)
            watch.start()
            open_one = line.startswith("> ")
            if open_one:
                at = int(line[2:])
            else:
                found.append(Read(kind, *json.loads(line)))
        watch.cancel()
        _, err = process.communicate()
        if process.returncode == 0:
            return found
        if not open_one and not found:
            raise RuntimeError(f"no file could be read: {err}")
        found.append(Read(kind, at, "?", f"died, code {process.returncode}: {err[-300:]}"))
        first = at + 1
    return found


if __name__ == "__main__":
    child(sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5]))
