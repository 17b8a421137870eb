"""CSV files in: typed columns in batches, and for a faulty file the exact place of its first fault."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from kit.errors import FileFault
from kit.tables.arrow import as_numpy

BLOCK = 16 << 20  # bytes of text read at a time
NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
ARROW_TYPE = {
    "code": pa.dictionary(pa.int32(), pa.string()),
    "text": pa.string(),
    "number": pa.float64(),
}
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Column:
    """A column to read: its name, what it holds, and other names it goes by.

    kind: "code" for texts that repeat (read dictionary-coded), "text" for texts that do not, "number" for
    finite numbers (read as float64).
    """

    name: str
    kind: Literal["code", "text", "number"] = "code"
    aliases: tuple[str, ...] = ()


class CsvFile:
    """A CSV file, plain, gzipped (.gz) or the single file of a .zip; the first line is the header."""

    def __init__(self, path: Path | str) -> None:
        """Read the header. Raises FileFault where there is no readable one."""
        self.path = Path(path)
        self.header = self._read_header()

    def has(self, name: str) -> bool:
        """Whether the header names this column."""
        return name in self.header

    def batches(self, columns: Iterable[Column], block: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the named columns batch by batch, under their own names; block: bytes of text at a time.

        Raises FileFault at the first place that is not what the columns ask for, or if there is no row.
        """
        columns = tuple(columns)
        source = [self._source(column) for column in columns]
        types = {s: ARROW_TYPE[c.kind] for s, c in zip(source, columns, strict=True)}
        row = 0
        with self.open() as file:
            for batch in self._arrow_batches(file, types, columns, block or BLOCK):
                self._check_numbers(batch, source, columns, row)
                row += batch.num_rows
                yield batch.rename_columns([column.name for column in columns])
        if not row:
            raise FileFault(self.path, "no row below the header", line=2)

    def open(self) -> IO[bytes]:
        """Open the file's bytes, unpacked. Raises FileFault where that cannot be done."""
        try:
            if self.path.suffix == ".zip":
                return _open_zip(self.path)
            if self.path.suffix == ".gz":
                return cast(IO[bytes], gzip.open(self.path, "rb"))
            return self.path.open("rb")
        except FileNotFoundError:
            raise FileFault(self.path, "no such file") from None
        except IsADirectoryError:
            raise FileFault(self.path, "is a folder, not a file") from None
        except _BROKEN as error:
            raise FileFault(self.path, f"cannot be opened ({error})") from None

    def fault(self, row: int, column: str, problem: str, hint: str = "") -> FileFault:
        """The fault at a 0-based data row: finds its line in the file."""
        line = next((n for i, (n, _) in enumerate(self.rows()) if i == row), None)
        return FileFault(self.path, problem, line=line, column=column, hint=hint)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (1-based line, fields) of every data row, one by one: slow, for finding faults."""
        csv.field_size_limit(sys.maxsize)
        with self.open() as file:
            text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
            reader = csv.reader(text)
            try:
                next(reader, None)
                for fields in reader:
                    if fields:
                        yield reader.line_num, fields
            except _BROKEN as error:
                raise self._broken(error, reader.line_num + 1) from None
            except csv.Error as error:
                raise FileFault(self.path, str(error), line=reader.line_num) from None

    def _read_header(self) -> list[str]:
        with self.open() as file:
            try:
                line = file.readline(BLOCK)
            except _BROKEN as error:
                raise self._broken(error, 1) from None
        try:
            text = line.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise FileFault(self.path, "not UTF-8 text", line=1) from None
        try:
            header = [name.strip() for name in next(csv.reader([text]), [])]
        except csv.Error:
            raise FileFault(
                self.path, "no CSV header", line=1, hint="lines must end with LF or CR LF"
            ) from None
        if not any(header) or "\0" in text:
            raise FileFault(self.path, "no CSV header", line=1)
        for name in header:
            if name and header.count(name) > 1:
                raise FileFault(self.path, "the header names this column twice", line=1, column=name)
        return header

    def _source(self, column: Column) -> str:
        for name in (column.name, *column.aliases):
            if name in self.header:
                return name
        raise FileFault(
            self.path,
            "the header lacks this column",
            line=1,
            column=column.name,
            hint=f"it has {', '.join(self.header)[:200]}",
        )

    def _arrow_batches(
        self, file: IO[bytes], types: dict[str, pa.DataType], columns: tuple[Column, ...], block: int
    ) -> Iterator[pa.RecordBatch]:
        try:
            yield from pacsv.open_csv(
                file,
                pacsv.ReadOptions(block_size=block, skip_rows=1, column_names=self._unique_header()),
                convert_options=pacsv.ConvertOptions(
                    column_types=types, include_columns=list(types), null_values=[""]
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV file" not in str(error):
                self._raise_first_fault(columns)
                first_line = str(error).splitlines()[0]
                raise FileFault(self.path, f"not a readable CSV file ({first_line})") from None
        except _BROKEN as error:
            self._raise_first_fault(columns)
            raise self._broken(error, None) from None

    def _unique_header(self) -> list[str]:
        return [name or f"\0{i}" for i, name in enumerate(self.header)]

    def _check_numbers(
        self, batch: pa.RecordBatch, source: list[str], columns: tuple[Column, ...], row: int
    ) -> None:
        faults = []
        for name, column in zip(source, columns, strict=True):
            if column.kind == "number":
                values = batch.column(name)
                good = np.isfinite(as_numpy(values) if not values.null_count else values.to_numpy(False))
                if not good.all():
                    faults.append((int(np.argmin(good)), name))
        if faults:
            first, name = min(faults, key=lambda fault: fault[0])
            value = batch.column(name)[first].as_py()
            problem = "empty" if value is None else f"{value}"
            raise self.fault(row + first, name, f"{problem} where a finite number belongs")

    def _raise_first_fault(self, columns: tuple[Column, ...]) -> None:
        where = [(self.header.index(self._source(c)), c) for c in columns]
        for line, fields in self.rows():
            if len(fields) != len(self.header):
                problem = f"{len(fields)} fields where the header has {len(self.header)}"
                raise FileFault(self.path, problem, line=line)
            if sum(map(len, fields)) >= BLOCK:
                raise FileFault(self.path, f"a line longer than {BLOCK >> 20} MB", line=line)
            for i, column in where:
                problem = _field_fault(fields[i], column)
                if problem:
                    raise FileFault(self.path, problem, line=line, column=self.header[i])

        self._raise_open_quote()

    def _raise_open_quote(self) -> None:
        """A quote without its partner swallows line ends, so that the rows above looked whole."""
        with self.open() as file:
            for line, text in enumerate(file, 1):
                if text.count(b'"') % 2:
                    raise FileFault(self.path, "a quote is opened and not closed", line=line)

    def _broken(self, error: Exception, line: int | None) -> FileFault:
        return FileFault(
            self.path,
            f"the file is truncated or damaged ({error})",
            line=line,
            hint="fetch or write it again",
        )


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX")]
    if len(names) != 1:
        archive.close()
        raise FileFault(path, f"holds {len(names)} files, not one CSV file")
    return archive.open(names[0])


def _field_fault(text: str, column: Column) -> str:
    if any("\udc80" <= c <= "\udcff" for c in text):
        return "not UTF-8 text"
    if column.kind != "number":
        return ""
    text = text.strip(" \t")
    if not text:
        return "empty where a finite number belongs"
    if not NUMBER.fullmatch(text):
        return f"{text[:40]!r} where a finite number belongs"
    if not np.isfinite(float(text)):
        return f"{text[:40]} where a finite number belongs"
    return ""
