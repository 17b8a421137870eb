"""Lines cut into stretches and parsed, against pyarrow's reading of all at once and against plain Python."""

import csv
import io

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.tables import csvbatches
from kit.tables.csvbatches import arrow_batches

NAMES = ["id", "else", "score"]
TYPES = {"score": pa.float64(), "id": pa.string()}  # not in the file's order, and not all of its columns
LONGEST = 60  # bytes of the longest line below
TEXTS = {
    "empty": b"",
    "one row": b"a,x,1\n",
    "LF": b"a,x,1\nb,y,2\nc,z,3\n" * 9,
    "CR LF": b"a,x,1\r\nb,y,2\r\nc,z,3\r\n" * 9,
    "lone CR": b"a,x,1\rb,y,2\rc,z,3\r" * 9,
    "all of them": b"a,x,1\nb,y,2\r\nc,z,3\r" * 9,
    "no last line end": b"a,x,1\nb,y,2\nc,z,3",
    "a lone CR and no last line end": b"a,x,1\rb,y,2",
    "a lone CR is the last": b"a,x,1\nb,y,2\r",
    "blank lines": b"\n\na,x,1\n" + b"\n" * 90 + b"b,y,2\n\n\n",
    "blank lines of CR LF": b"a,x,1\r\n" + b"\r\n" * 90 + b"b,y,2\r\n",
    "blank lines alone": b"\n\r\n\r\n" * 9,
    "quotes": b'"a","x","1"\n"b, ""c""",,2\n5" d,"",3\n"",x,4\n' * 5,
    "empty fields": b",,\na,,\n,,1\n" * 9,
    "long lines": b"a,x,1\n" + b"b" * (LONGEST - 5) + b",y,2\nc,z,3\n" + b"d" * (LONGEST - 4) + b",,4",
    "bytes of several a letter": "é,x,1\n猫猫猫,y,2\n".encode() * 9,
}


def read(data, size):
    """The rows that come in batches."""
    batches = list(arrow_batches(io.BytesIO(data), NAMES, TYPES, size))
    assert all(batch.schema == pa.schema(TYPES) for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def read_at_once(data):
    """The rows by pyarrow's own reader, in one block."""
    if not data.strip():
        return []
    how = pacsv.ConvertOptions(column_types=TYPES, include_columns=list(TYPES), null_values=[""])
    options = pacsv.ReadOptions(column_names=NAMES, block_size=1 << 20, use_threads=False)
    return pacsv.read_csv(io.BytesIO(data), options, convert_options=how).to_pylist()


def read_by_python(data):
    """The rows by Python's reader."""
    rows = csv.reader(io.StringIO(data.decode(), newline=""))
    return [{"score": float(row[2]) if row[2] else None, "id": row[0]} for row in rows if row]


@pytest.mark.parametrize("part", [4, 16, 1 << 20])
@pytest.mark.parametrize("name", TEXTS)
def test_any_size_gives_the_rows_of_other_readers(name, part, monkeypatch):
    monkeypatch.setattr(csvbatches, "PART", part)
    data = TEXTS[name]
    expected = read_by_python(data)
    assert read_at_once(data) == expected
    for size in (*range(LONGEST, LONGEST + 9), len(data) + 1, 1 << 20):
        assert read(data, size) == expected


@pytest.mark.parametrize("size", [5, 6, 7, 8])
def test_a_size_as_small_as_a_line(size):
    for end in (b"\n", b"\r\n", b"\r"):
        assert read(end.join([b"a,x,1", b"b,y,2", b"c,z,3"]), size) == [
            {"score": 1.0, "id": "a"},
            {"score": 2.0, "id": "b"},
            {"score": 3.0, "id": "c"},
        ]


texts = st.text(alphabet='ab0,"é ', max_size=10)
scores = st.none() | st.integers(-99, 99)
ends = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"])


@given(
    rows=st.lists(st.tuples(texts, texts, scores, ends), max_size=12),
    is_last_cut=st.booleans(),
    more=st.integers(0, 200),
    part=st.integers(4, 100),
)
def test_rows_come_back_whatever_the_size(rows, is_last_cut, more, part):
    lines = []
    for *fields, end in rows:
        quoted = ('"{}"'.format(str(f).replace('"', '""')) if f is not None else "" for f in fields)
        lines.append(",".join(quoted) + end)
    data = "".join(lines).encode()
    size = max((len(line.encode()) for line in lines), default=1) + more
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csvbatches, "PART", part)
        found = read(data.rstrip(b"\r\n") if is_last_cut else data, size)
    assert found == [{"score": score, "id": name} for name, _, score, _ in rows]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("before", [0, 1, 9])
@pytest.mark.parametrize("after", [b"", b"\n", b"\nc,z,3"])
def test_a_line_longer_than_the_size_is_told(end, before, after):
    for length in (8, 9, 20):
        lines = b"a,x,1\n" * before + b"b" * (length - 4) + b",y,2" + after
        data = lines.replace(b"\n", end)
        if length == 8:
            assert read(data, 8) == read_by_python(data)
        else:
            with pytest.raises(ValueError, match="a line longer than 8 bytes"):
                read(data, 8)


@pytest.mark.parametrize("last", [b"b,2", b"b,y,2,", b",y,two", b"\xff,y,2"])
def test_what_is_wrong_is_raised_after_the_rows_of_earlier_stretches(last):
    batches = arrow_batches(io.BytesIO(b"a,x,1\n" * 3 + last), NAMES, TYPES, 6)
    assert [next(batches).num_rows for _ in range(3)] == [1, 1, 1]
    with pytest.raises(pa.ArrowInvalid):
        next(batches)


def test_what_the_reading_raises_goes_through():
    class Truncated(io.BytesIO):
        def readinto(self, buffer, /):
            count = super().readinto(buffer)
            if not count:
                raise EOFError("ended before the end-of-stream marker was reached")
            return count

    batches = arrow_batches(Truncated(b"a,x,1\nb,y,2\n"), NAMES, TYPES, 6)
    assert [next(batches)["id"].to_pylist() for _ in range(2)] == [["a"], ["b"]]
    with pytest.raises(EOFError):
        next(batches)
