import gzip
import os
import struct
import zipfile

import numpy as np
import pytest

from kit.base.errors import FileFault
from kit.tables.csvfile import Column, CsvFile
from kit.tables.unpack import open_unpacked

TEXT = b"ImageID,Score\na,0.5\nb,0.25\n"


def zipped(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def read(path):
    batches = CsvFile(path).batches([Column("ImageID"), Column("Score", "number")])
    return [row for batch in batches for row in batch.column(1).to_pylist()]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.zip", "a.GZ", "A.ZIP", "a", "a.txt"])
@pytest.mark.parametrize("pack", ["plain", "gzip", "stored", "deflated", "bzip2", "lzma", "in a folder"])
def test_a_file_is_what_its_first_bytes_say(tmp_path, name, pack):
    path = tmp_path / name
    methods = {"stored": 0, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
    if pack in ("plain", "gzip"):
        path.write_bytes(TEXT if pack == "plain" else gzip.compress(TEXT, mtime=0))
    elif pack == "in a folder":
        zipped(path, {"x/": b"", "x/a.csv": TEXT, "x/.DS_Store": b"\0", "__MACOSX/x/._a.csv": b"\0"})
    else:
        zipped(path, {"a.csv": TEXT}, methods.get(pack, zipfile.ZIP_DEFLATED))
    assert read(path) == [0.5, 0.25]


def with_method(path, method, flags=0):
    """A zip whose file says that it is packed in another way."""
    data = bytearray(zipped(path, {"a.csv": TEXT}, zipfile.ZIP_STORED).read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<HH", data, data.index(magic) + place, flags, method)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("method", "flags", "message"),
    [
        (9, 0, "is packed with Deflate64"),
        (98, 0, "is packed with PPMd"),
        (99, 1, "is packed with AES encryption"),
        (77, 0, "is packed with method 77"),
        (0, 1, "is an encrypted zip; unpack it first"),
    ],
)
def test_archives_that_cannot_be_read(tmp_path, method, flags, message):
    with pytest.raises(FileFault, match=message):
        CsvFile(with_method(tmp_path / "a.csv", method, flags))


def test_several_files_or_none(tmp_path):
    with pytest.raises(FileFault, match=r"holds 2 files \(a.csv, b.csv\), one belongs in it"):
        CsvFile(zipped(tmp_path / "a.zip", {"a.csv": TEXT, "b.csv": TEXT}))
    with pytest.raises(FileFault, match="holds no file"):
        CsvFile(zipped(tmp_path / "b.zip", {"x/": b""}))


@pytest.mark.parametrize("pack", [gzip.compress, lambda text: b"PK\x03\x04" + text])
@pytest.mark.parametrize("length", [5, 20, -12, -5, -1])
def test_cut_archives(tmp_path, pack, length):
    path = tmp_path / "a.csv"
    path.write_bytes(pack(TEXT * 500)[:length])
    with pytest.raises(FileFault):
        read(path)


@pytest.mark.parametrize("seed", range(60))
def test_bytes_changed_in_an_archive_are_a_fault_or_rows(tmp_path, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.csv"
    if seed % 2:
        path.write_bytes(gzip.compress(TEXT * 100))
    else:
        zipped(path, {"a.csv": TEXT * 100})
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, len(data), 3):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    whole = [0.5, 0.25] + [None, 0.5, 0.25] * 99
    values, said = whole, str(path)
    try:
        values = read(path)
    except FileFault as fault:
        said = str(fault)
    assert str(path) in said
    assert values == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0), "line 1: gzip data, not CSV"),
        (b"PAR1\0\0", "line 1: Parquet data, not CSV"),
        (b"BZh91AY&SY", "line 1: bzip2 data, not CSV"),
        (b"%PDF-1.4\n", "line 1: PDF data, not CSV"),
        (TEXT.decode().encode("utf-16"), "line 1: UTF-16 text; save it as UTF-8"),
        (TEXT.decode().encode("utf-16-le"), "line 1: UTF-16 text; save it as UTF-8"),
        (TEXT.decode().encode("utf-16-be"), "line 1: UTF-16 text; save it as UTF-8"),
    ],
)
def test_what_is_no_csv_is_named(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(FileFault) as caught:
        CsvFile(path)
    assert message in str(caught.value)


def test_no_file_a_folder_a_pipe_and_a_device(tmp_path):
    with pytest.raises(FileFault, match="no such file"):
        open_unpacked(tmp_path / "none")
    with pytest.raises(FileFault, match="is a folder"):
        open_unpacked(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileFault, match="a pipe or a device"):
        open_unpacked(tmp_path / "pipe")


def test_a_zip_whose_file_has_no_name_is_one_line(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x"), b"ImageId\n")
    data = path.read_bytes()
    directory = bytearray(data[data.index(b"PK\x01\x02") : data.index(b"PK\x05\x06")])
    directory[28:30] = b"\0\0"  # the length of its name
    directory[30:32] = b"\1\0"  # the name counts as extra field
    path.write_bytes(
        data.replace(data[data.index(b"PK\x01\x02") : data.index(b"PK\x05\x06")], bytes(directory))
    )
    with pytest.raises(FileFault) as caught:
        open_unpacked(path)
    assert "\n" not in str(caught.value)
