"""CSV files: what is read as what, and what is refused with its line."""

import gzip
import os

import numpy as np
import pandas as pd
import pytest

from bayesglmm import frames
from bayesglmm.columns import Table
from bayesglmm.errors import DataError
from bayesglmm.frames import read_columns, read_csv


@pytest.fixture
def csv(tmp_path):
    def write(content: str | bytes, name: str = "data.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def kinds(frame: pd.DataFrame) -> str:
    """One letter a column: i whole, f decimal, t text, c categorical."""
    names = {"int64": "i", "Int64": "i", "float64": "f", "category": "c"}
    return "".join(names.get(str(dtype), "t") for dtype in frame.dtypes)


def test_numbers_and_texts(csv):
    f = read_csv(csv("id,y,x,f\n007,1,0.5,a\n010,2,-1e3,b\n"))
    assert kinds(f) == "tift"
    assert f.id.tolist() == ["007", "010"]
    assert f.x.tolist() == [0.5, -1000.0]


def test_what_is_missing_depends_on_the_column(csv):
    f = read_csv(csv("n,x,country\n1,NA,NA\n,NaN,\n3,1.5,DE\n"))
    assert kinds(f) == "ift"
    assert f.n.isna().tolist() == [False, True, False]
    assert f.x.isna().tolist() == [True, True, False]
    assert f.country.isna().tolist() == [False, True, False]
    assert f.country[0] == "NA"


def test_na_replaces_the_rules(csv):
    f = read_csv(csv("x,s\n-9,-9\n1,NA\n2,\n"), na=["-9"])
    assert f.x.isna().tolist() == [True, False, False]
    assert f.s.tolist()[1:] == ["NA", ""]
    assert pd.isna(f.s[0])


def test_factors_sort_as_numbers(csv):
    f = read_csv(csv("period,f\n10,b\n9,a\n,b\n"), factors=["period", "f"])
    assert kinds(f) == "cc"
    assert f.period.cat.categories.tolist() == ["9", "10"]
    assert f.period.isna().tolist() == [False, False, True]
    with pytest.raises(DataError, match="no column 'q'"):
        read_csv(csv("x\n1\n"), factors=["q"])


def test_long_ids_keep_their_digits(csv):
    ids = [str(2**62 + 1), "", str(2**62 + 2)]
    f = read_csv(csv("g,x\n" + "".join(f"{i},1\n" for i in ids)))
    assert f.g[0] == 2**62 + 1
    longer = "12345678901234567890123"
    assert read_csv(csv(f"g\n{longer}\n1\n")).g.tolist() == [longer, "1"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffa,b\n1,x\n2,y\n",
        "a,b\r\n1,x\r\n2,y\r\n",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty\n",
        '"a","b"\n"1","x"\n"2","y"\n',
        "a,b\n1,x\n\n2,y\n\n",
        " a , b\n1,x\n2,y",
    ],
)
def test_the_same_table_written_differently(content, csv):
    f = read_csv(csv(content))
    assert f.columns.tolist() == ["a", "b"]
    assert (f.a.tolist(), f.b.tolist()) == ([1, 2], ["x", "y"])


def test_quotes_hold_newlines_commas_and_quotes(csv):
    f = read_csv(csv('a,b\n"one\ntwo","x, ""y"""\n3,z\n'))
    assert f.a.tolist() == ["one\ntwo", "3"]
    assert f.b[0] == 'x, "y"'


def test_names_of_any_kind(csv):
    f = read_csv(csv("größe 变量,if,a|b\n1,2,3\n"))
    assert f.columns.tolist() == ["größe 变量", "if", "a|b"]


@pytest.mark.parametrize(
    ("content", "words"),
    {
        "a,b\n1,2\n3\n": "line 3: 1 cell where the header has 2 columns",
        'a,b\n"1\n1",2\n3,4,5\n': "line 4: 3 cells",
        "a,a\n1,2\n": "line 1: column 'a' occurs 2 times",
        "a,\n1,2\n": "line 1: column 2 has no name",
        "a,b\n1,2\n3,\0\n": "line 3: a NUL byte",
        "a,b\n": "a header and no rows",
        "": "is empty",
        "\n\n": "is empty",
        'a,b\n1,"2\n': "line 2: unexpected end of data",
        'a,b\n1,"2"x\n': "line 2:",
        "a;b\n1,5;2\n2,25;3\n": "decimal commas .like '1,5'",
        'a,b\n"1,234",2\n17,3\n': "thousands separators .like '1,234'",
        'a,b\n"1,2345",2\n': "decimal commas",
    }.items(),
)
def test_what_is_no_table_is_refused_with_its_line(content, words, csv):
    with pytest.raises(DataError, match=words):
        read_csv(csv(content))


def test_other_encodings_are_named(csv):
    with pytest.raises(DataError, match="line 2: the byte 0xe9 is not UTF-8; .*Latin-1"):
        read_csv(csv("a,b\ncafé,1\n".encode("latin-1")))
    with pytest.raises(DataError, match="UTF-16"):
        read_csv(csv("a,b\n1,2\n".encode("utf-16")))


def test_only_regular_files_are_opened(tmp_path):
    for address in ("http://example.org/a.csv", "s3://bucket/a.csv", "file:///etc/passwd"):
        with pytest.raises(DataError, match="is an address"):
            read_csv(address)
    with pytest.raises(DataError, match="No such file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(DataError, match="is a directory"):
        read_csv(tmp_path)
    with pytest.raises(DataError, match="a device or a pipe"):
        read_csv("/dev/null")
    with pytest.raises(DataError, match="not a path"):
        read_csv("a\0b")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="a device or a pipe"):
        read_csv(tmp_path / "pipe")


def test_packed_files(csv):
    assert read_csv(csv(gzip.compress(b"a\n1\n2\n"), "a.csv.gz")).a.tolist() == [1, 2]
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(csv(gzip.compress(b"a\n1\n2\n" * 100)[:-9], "cut.csv.gz"))


def test_sizes_are_capped(csv, monkeypatch):
    monkeypatch.setattr(frames, "MAX_UNPACKED", 3 * 2**20)
    with pytest.raises(DataError, match="GiB unpacked"):
        read_csv(csv(gzip.compress(b"a\n" + b"1\n" * 2**21), "bomb.csv.gz"))
    monkeypatch.setattr(frames, "MAX_LINE", 2 * 2**20)
    with pytest.raises(DataError, match="a line of more than"):
        read_csv(csv(b"a\n" + b"1" * 2**22))
    with pytest.raises(DataError, match="line 2: field larger than"):
        read_csv(csv(b"a\n" + b"1" * (frames.MAX_CELL + 1)))


def test_round_trip_of_a_frame(csv):
    rng = np.random.default_rng(1)
    f = pd.DataFrame(
        {"x": rng.normal(size=50), "k": rng.integers(9, size=50), "s": rng.choice(["u", "v,"], 50)}
    )
    again = read_csv(csv(f.to_csv(index=False)))
    pd.testing.assert_frame_equal(again, f, check_dtype=False)
    assert np.array_equal(again.x, f.x)


def test_columns_are_those_of_the_frame(csv):
    path = csv("k,n,x,id,s,period,f\n3,1,.5,007,b,10,2.5\n1,,NaN,010,,9,1\n2,3,-1,007,B,,2.5\n")
    asked = ["period", "f"]
    plain = Table(read_columns(path, factors=asked))
    framed = Table(read_csv(path, factors=asked))
    assert plain.names == framed.names
    for name in plain.names:
        one, other = plain.column(name), framed.column(name)
        assert (one.kind, one.ordered, one.mixed) == (other.kind, other.ordered, other.mixed)
        assert one.missing.tolist() == other.missing.tolist()
        if one.is_numeric:
            np.testing.assert_array_equal(one.numbers(), other.numbers())
        levels, same = one.levels(), other.levels()
        assert (levels.codes.tolist(), levels.texts) == (same.codes.tolist(), same.texts)
