"""Input files as streams of bytes, unpacked: what a file is, its first bytes say, not its name."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

from kit.base.errors import FileFault, first_line

BUFFER = 1 << 20  # bytes
BROKEN = (
    OSError,
    EOFError,
    LookupError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)  # what reading a damaged archive may raise
GZIP, ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
HIDDEN = re.compile(r"^__MACOSX/|(^|/)\.[^/]*$")  # what file managers add to a zip
NAMED = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES encryption"}
OTHERS = {
    GZIP: "gzip",
    **dict.fromkeys(ZIP, "zip"),
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"PAR1": "Parquet",
    b"%PDF": "PDF",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\x93NUMPY": "NumPy",
    b"SQLite format 3": "SQLite",
}


def open_unpacked(path: Path) -> io.BufferedReader:
    """Open a file's bytes: as they are, out of gzip, or the single file of a zip.

    Raises FileFault where there is no such file, or an archive that cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = "is a folder, not a file" if path.is_dir() else "is no regular file (a pipe or a device)"
            raise FileFault(path, what)
        with path.open("rb") as file:
            start = file.read(4)
        if start[:2] == GZIP:
            return io.BufferedReader(cast(io.RawIOBase, gzip.open(path, "rb")), BUFFER)
        if start in ZIP:
            return io.BufferedReader(cast(io.RawIOBase, _open_zip(path)), BUFFER)
        return io.BufferedReader(io.FileIO(path), BUFFER)
    except FileNotFoundError:
        raise FileFault(path, "no such file") from None
    except PermissionError:
        raise FileFault(path, "cannot be opened (permission denied)") from None
    except BROKEN as error:
        raise FileFault(path, f"cannot be opened ({first_line(error)})") from None


def kind_of(start: bytes) -> str:
    """The name of the format that begins with these bytes, where it is no text; else empty."""
    return next((name for magic, name in OTHERS.items() if start.startswith(magic)), "")


def broken(path: Path, error: BaseException, line: int | None = None) -> FileFault:
    """The fault of a file whose bytes end or break in the middle."""
    problem = f"the file is truncated or damaged ({first_line(error)})"
    return FileFault(path, problem, line=line, hint="fetch or write it again")


def _open_zip(path: Path) -> IO[bytes]:
    with zipfile.ZipFile(path) as archive:  # its file closes with what is opened in it
        files = (i for i in archive.infolist() if i.filename and not i.filename.endswith("/"))
        names = [info for info in files if not HIDDEN.search(info.filename)]
        if len(names) != 1:
            first = ", ".join(info.filename for info in names[:3])
            inside = f"{len(names)} files ({first})" if names else "no file"
            raise FileFault(path, f"the zip holds {inside}, one belongs in it")
        (info,) = names
        if info.compress_type not in METHODS:
            method = NAMED.get(info.compress_type, f"method {info.compress_type}")
            raise FileFault(
                path, f"is packed with {method}", hint="unpack it, or pack it as plain zip or gzip"
            )
        if info.flag_bits & 1:
            raise FileFault(path, "is an encrypted zip", hint="unpack it first")
        return archive.open(info)


def not_text(line: bytes) -> str:
    """What a file is whose first line is no text in UTF-8; else empty."""
    if kind := kind_of(line):
        return f"{kind} data, not CSV"
    halves = [any(line[i:40:2]) and all(line[i:40:2]) for i in (0, 1)]
    if line.startswith((b"\xff\xfe", b"\xfe\xff")) or (halves[0] != halves[1] and b"\0" in line[:40]):
        return "UTF-16 text"
    return ""
