import gzip
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from kit.base.errors import FileFault
from kit.tables import csvfile, csvlines, unpack
from kit.tables.arrow import DictionaryEncoder
from kit.tables.csvfile import NUMBER, Column, CsvFile

COLUMNS = [Column("ImageID"), Column("Score", "number")]
TEXT = "ImageID,Score,Else\n1,0.5,x\n0002,1e-3,y\n"


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, columns=COLUMNS):
    rows = []
    for batch in CsvFile(path).batches(columns):
        rows += list(zip(*(c.to_pylist() for c in batch.columns), strict=True))
    return rows


def zipped(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_digit_ids_stay_text_and_other_columns_are_ignored(tmp_path):
    assert read(write(tmp_path / "a.csv", TEXT)) == [("1", 0.5), ("0002", 0.001)]


@pytest.mark.parametrize(
    "change", [lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: t + "\n\n"]
)
def test_line_ends_marks_and_blank_lines(tmp_path, change):
    assert read(write(tmp_path / "a.csv", change(TEXT))) == [("1", 0.5), ("0002", 0.001)]


def test_packed(tmp_path):
    assert read(write(tmp_path / "a.csv.gz", gzip.compress(TEXT.encode()))) == [("1", 0.5), ("0002", 0.001)]
    assert read(zipped(tmp_path / "a.zip", **{"x.csv": TEXT})) == [("1", 0.5), ("0002", 0.001)]


def test_column_by_another_name(tmp_path):
    path = write(tmp_path / "a.csv", "ImageId,Confidence\nx,1\n")
    columns = [Column("ImageID", aliases=("ImageId",)), Column("Score", "number", ("Confidence",))]
    batch = next(CsvFile(path).batches(columns))
    assert batch.schema.names == ["ImageID", "Score"]


FAULTS = {
    "lacks": ("ImageID,Else\n1,2\n", "line 1, column Score: the header lacks this column"),
    "header only": ("ImageID,Score\n", "line 2: no row below the header"),
    "empty": ("", "line 1: no CSV header"),
    "text": ("ImageID,Score\na,1\n\nb,x1\n", "line 4, column Score: 'x1' where a finite number belongs"),
    "nan": ("ImageID,Score\na,1\nb,NaN\n", "line 3, column Score: nan where a finite number belongs"),
    "inf": ("ImageID,Score\na,-inf\n", "line 2, column Score: -inf where a finite number belongs"),
    "missing": ("ImageID,Score\na,\n", "line 2, column Score: empty where a finite number belongs"),
    "ragged": ("ImageID,Score\na,1\nb,1,2\n", "line 3: 3 fields where the header has 2"),
    "twice": ("ImageID,Score,Score\na,1,2\n", "line 1, column Score: the header names this column twice"),
    "latin": (b"ImageID,Score\na,1\n\xe9,2\n", "line 3, column ImageID: not UTF-8 text"),
    "latin header": (b"Image\xe9,Score\na,1\n", "line 1: not UTF-8 text"),
    "open quote": (b'ImageID,"Score\na,1\nb,1,2\n', "line 1: a quote is opened and not closed"),
    "control character": (b"ImageID,Score\na,1\x0c\n", "line 2, column Score: '1\\x0c' where a finite"),
    "old line ends": (b"ImageID,Score\ra,1\r", "line 1: no CSV header; lines must end with LF"),
    "binary": (b"\0\0,\0\n", "line 1: no CSV header"),
    "semicolons": ("ImageID;Score\na;1\n", "separated by semicolons, commas belong there"),
    "tabs": ("ImageID\tScore\na\t1\n", "separated by tabs, commas belong there"),
    "wide": (",".join(f"c{i}" for i in range(100_000)) + "\n", "line 1: a header of 100,000 columns"),
    "quote below": (b'ImageID,Score\na,1\n"b,2\nc,3\n', "line 3: a quote is opened and not closed"),
    "old line ends below": (b"ImageID,Score\na,1\rb,x\rc,3\n", "line 3, column Score: 'x' where a finite"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_its_place(tmp_path, name):
    content, message = FAULTS[name]
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(FileFault) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_truncated_gzip_names_the_line_it_breaks_at(tmp_path):
    whole = gzip.compress(("ImageID,Score\n" + "".join(f"i{i},0.{i}\n" for i in range(20000))).encode())
    path = write(tmp_path / "a.csv.gz", whole[: len(whole) // 2])
    with pytest.raises(FileFault, match=r"line \d+: the file is truncated or damaged"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv.gz", b"plain"), ("a.zip", b"plain"), ("a.csv.gz", b"\x1f\x8b\x08")]
)
def test_not_what_its_name_says(tmp_path, name, content):
    with pytest.raises(FileFault):
        read(write(tmp_path / name, content))


def test_no_such_file_and_a_folder(tmp_path):
    with pytest.raises(FileFault, match="no such file"):
        CsvFile(tmp_path / "none.csv")
    with pytest.raises(FileFault, match="folder"):
        CsvFile(tmp_path)


def test_a_fault_in_a_later_block_has_the_right_line(tmp_path, monkeypatch):
    for module in (csvfile, csvlines):
        monkeypatch.setattr(module, "BLOCK", 4096)
    lines = [f"i{i},{i}" for i in range(5000)]
    lines[4321] = "i4321,NaN"
    path = write(tmp_path / "a.csv", "ImageID,Score\n" + "\n".join(lines))
    with pytest.raises(FileFault, match="line 4323, column Score"):
        read(path)


def test_codes_grow_or_are_closed(tmp_path):
    path = write(tmp_path / "a.csv", "ImageID,Score\nb,1\na,1\nb,1\n")
    column = next(CsvFile(path).batches(COLUMNS)).column(0)
    growing = DictionaryEncoder()
    assert growing.encode(column).tolist() == [0, 1, 0]
    assert list(growing.index) == ["b", "a"]
    assert DictionaryEncoder({"a": 7}).encode(column).tolist() == [-1, 7, -1]
    assert np.issubdtype(growing.encode(column).dtype, np.int32)


LIMITED = {
    "line": (b"ImageID,Score\na,1\n" + b"b" * (3 << 20) + b",1\n", "line 3: a line longer than 1 MB"),
    "header": (b"I" * (3 << 20) + b",Score\na,1\n", "line 1: a line longer than 1 MB"),
    "quote": (b'ImageID,Score\na,1\n"' + b"b,1\n" * (1 << 20), "line 3: a quote is opened and not closed"),
    "quoted line": (b'ImageID,Score\n"' + b"b" * (3 << 20), "line 2: a line longer than 1 MB"),
    "quoted fields": (
        b"ImageID,Score\n" + (b'"' + b"b\n" * 1000 + b'",') * 1500,
        "line 2: a quote is opened and not closed",
    ),
}


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_no_line_and_no_field_is_longer_than_a_block(tmp_path, monkeypatch, name, pack):
    for module in (csvfile, csvlines):
        monkeypatch.setattr(module, "BLOCK", 1 << 20)
    content, message = LIMITED[name]
    with pytest.raises(FileFault, match=message):
        read(write(tmp_path / "a.csv", pack(content)))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("extra", ["", "blank lines", "quotes", "quoted line end"])
def test_the_line_of_a_row(tmp_path, monkeypatch, end, extra):
    monkeypatch.setattr(unpack, "BUFFER", 4096)
    lines, numbers = ["ImageID,Score"], []
    for i in range(5_000):
        if extra == "blank lines" and i % 1000 == 7:
            lines.append("")
        numbers.append(len(lines) + 1)
        if extra == "quotes" and i == 40:
            lines.append(f'"i{i}",{i}')
        elif extra == "quoted line end" and i == 40:
            lines += ['"i', f'{i}",{i}']
        else:
            lines.append(f"i{i},{i}")
    text = end.join(lines) + end
    if end == "\r":
        text = text.replace("\r", "\n", 1)
    file = CsvFile(write(tmp_path / "a.csv", text))
    for row in (0, 1, 39, 40, 41, 6, 7, 8, 4_999):
        line, fields = next(file.rows(row))
        assert (line, fields[1]) == (numbers[row], str(row))
    assert file.line(5_000) is None
    assert file.texts(8, COLUMNS) == (numbers[8], ["i8", "8"])


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("1", 1), ("True", 1), ("FALSE", 0), ("false", 0), (" true ", 1), ("-1", -1), ("1.0", 1)],
)
def test_flags(tmp_path, text, value):
    path = write(tmp_path / "a.csv", f"ImageID,IsGroupOf\na,{text}\nb,0\n")
    assert read(path, [Column("IsGroupOf", "flag")]) == [(value,), (0,)]


@pytest.mark.parametrize(
    ("text", "shown"), [("", "empty"), ("yes", "'yes'"), ("nan", "'nan'"), ("1e999", "'1")]
)
def test_what_is_no_flag(tmp_path, text, shown):
    path = write(tmp_path / "a.csv", f"ImageID,IsGroupOf\na,0\nb,{text}\n")
    with pytest.raises(
        FileFault, match=f"line 3, column IsGroupOf: {shown}.* where 0, 1, True or False belongs"
    ):
        read(path, [Column("IsGroupOf", "flag")])


@pytest.mark.parametrize("seed", range(200))
def test_whatever_the_bytes_rows_or_a_fault(tmp_path, seed):
    """Bytes of a CSV file with some changed, some cut and some of what CSV gives a meaning put between them."""
    rng = np.random.default_rng(seed)
    data = bytearray(TEXT.encode() * 3)
    for _ in range(rng.integers(1, 8)):
        i = int(rng.integers(len(data)))
        piece = [b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"nan", b"", bytes(rng.bytes(3))]
        data[i : i + int(rng.integers(3))] = piece[rng.integers(len(piece))]
    with suppress(FileFault):
        assert read(write(tmp_path / "a.csv", bytes(data)))


SWALLOWED = {
    "not closed": ('1,0.5,"x', "6,0.5,z"),
    "closed in a later line": ('1,0.5,"x', '6,0.5,z"'),
    "closed in the next field": ('1,0.5,"x', '6,0.5,"z'),
}


@pytest.mark.parametrize("name", SWALLOWED)
@pytest.mark.parametrize("block", [256, 1 << 20])
def test_no_quote_swallows_lines_in_a_column_that_is_not_read(tmp_path, name, block, monkeypatch):
    for module in (csvfile, csvlines):
        monkeypatch.setattr(module, "BLOCK", block)
    first, last = SWALLOWED[name]
    lines = ["ImageID,Score,Else", *["0,0.5,y"] * 40, first, *["2,0.5,y"] * 3, last]
    path = write(tmp_path / "a.csv", "\n".join(lines) + "\n")
    with pytest.raises(FileFault, match="line 42: a quote is opened and not closed"):
        read(path)


def test_quotes_that_swallow_nothing(tmp_path):
    rows = ['"1","0.5","x, ""y"""', '2,0.5,5" x', '"3",0.5,""']
    path = write(tmp_path / "a.csv", "ImageID,Score,Else\n" + "\n".join(rows * 50) + "\n")
    assert read(path) == [("1", 0.5), ("2", 0.5), ("3", 0.5)] * 50


def test_a_number_of_any_length_is_judged_at_once():
    """A pattern that tries every way to cut the digits in two would take minutes."""
    digits = "9" * 200_000
    assert NUMBER.fullmatch(digits)
    assert not NUMBER.fullmatch(f"{digits}x")
    for text, good in (
        ("1.", True),
        (".5", True),
        ("-1.5E+3", True),
        (".", False),
        ("1e", False),
        ("NaN", True),
    ):
        assert bool(NUMBER.fullmatch(text)) is good
