"""CSV files in: typed columns in batches, and for a faulty file the exact place of its first fault.

Whatever the bytes, reading ends in batches or in a FileFault, in bounded memory: no line and no quoted field may
be longer than a block.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kit.base.errors import FileFault, first_line
from kit.tables.arrow import as_numpy
from kit.tables.csvbatches import arrow_batches
from kit.tables.csvlines import BLOCK, OPEN_QUOTE, Lines, WatchedQuotes, over_lines, plain_rows
from kit.tables.unpack import BROKEN, broken, not_text, open_unpacked

MOST_COLUMNS = 10_000
NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
ARROW_TYPE = {
    "code": pa.dictionary(pa.int32(), pa.string()),
    "flag": pa.dictionary(pa.int32(), pa.string()),
    "text": pa.string(),
    "number": pa.float64(),
}
FLAGS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Column:
    """A column to read: its name, what it holds, and other names it goes by.

    kind: "code" for texts that repeat (read dictionary-coded), "text" for texts that do not, "number" for
    finite numbers (read as float64), "flag" for finite numbers or True and False (read as float64).
    """

    name: str
    kind: Literal["code", "text", "number", "flag"] = "code"
    aliases: tuple[str, ...] = ()


class CsvFile:
    """A CSV file, plain, gzipped or the single file of a zip; the first line is the header."""

    def __init__(self, path: Path | str) -> None:
        """Read the header. Raises FileFault where there is no readable one."""
        self.path = Path(path)
        self.header = self._read_header()
        self._place = {name: i for i, name in enumerate(self.header)}

    def has(self, name: str) -> bool:
        """Whether the header names this column."""
        return name in self._place

    def batches(self, columns: Iterable[Column], block: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the named columns batch by batch, under their own names; block: bytes of text at a time.

        Raises FileFault at the first place that is not what the columns ask for, or if there is no row.
        """
        columns = tuple(columns)
        source = [self.source(column) for column in columns]
        types = {s: ARROW_TYPE[c.kind] for s, c in zip(source, columns, strict=True)}
        names = [column.name for column in columns]
        row = 0
        with self.open() as file:
            file.readline(BLOCK + 1)  # the header
            watched = WatchedQuotes(file)
            all_names = [name or f"\0{i}" for i, name in enumerate(self.header)]
            batches = arrow_batches(watched, all_names, types, block or BLOCK)
            while True:
                try:
                    batch = next(batches, None)
                except pa.ArrowException as error:
                    self._raise_first_fault(columns, row)
                    raise FileFault(self.path, f"not a readable CSV file ({first_line(error)})") from None
                except BROKEN as error:
                    self._raise_first_fault(columns, row)
                    raise broken(self.path, error) from None
                if batch is None:
                    break
                self._check_numbers(batch, source, columns, row)
                values = [
                    self._flags(batch.column(s), s, row) if c.kind == "flag" else batch.column(s)
                    for s, c in zip(source, columns, strict=True)
                ]
                row += batch.num_rows
                yield pa.RecordBatch.from_arrays(values, names)
        if watched.odd:
            self._raise_swallowed_line()
        if not row:
            raise FileFault(self.path, "no row below the header", line=2)

    def open(self) -> io.BufferedReader:
        """Open the file's bytes, unpacked. Raises FileFault where that cannot be done."""
        return open_unpacked(self.path)

    def fault(self, row: int, column: str, problem: str, hint: str = "") -> FileFault:
        """The fault at a 0-based data row: finds its line in the file."""
        return FileFault(self.path, problem, line=self.line(row), column=column, hint=hint)

    def place(self, row: int) -> str:
        """The place of a 0-based data row in words."""
        return f"line {self.line(row)}"

    def line(self, row: int) -> int | None:
        """The 1-based line of a 0-based data row; None where the file has no such row."""
        return next((line for line, _ in self.rows(row)), None)

    def texts(self, row: int, columns: Iterable[Column]) -> tuple[int | None, list[str]]:
        """The line of a 0-based data row and what stands there in some columns."""
        line, fields = next(self.rows(row), (None, []))
        places = [self._place[self.source(column)] for column in columns]
        return line, [fields[place] if place < len(fields) else "" for place in places]

    def rows(self, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
        """Yield (1-based first line, fields) of every data row from row `skip` on: slow, for finding faults."""
        for i, record in self._beyond_plain(skip):
            if i >= skip:
                yield record

    def _beyond_plain(self, most: int) -> Iterator[tuple[int, tuple[int, list[str]]]]:
        """The records below the plain rows at the file's start, `most` of these at most, each with its row."""
        csv.field_size_limit(BLOCK)
        with self.open() as file:
            begin, passed = plain_rows(file, most)
        with self.open() as file:
            file.seek(begin)
            yield from enumerate(self._records(file, passed + 1), passed)

    def _records(self, file: io.BufferedReader, passed: int) -> Iterator[tuple[int, list[str]]]:
        """The records below line `passed`."""
        lines = Lines(self.path, file, passed)
        reader = csv.reader(lines)
        while True:
            lines.begin()
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise lines.too_long(str(error)) from None
            if fields is None:
                return
            if fields:
                yield lines.first, fields

    def _read_header(self) -> list[str]:
        with self.open() as file:
            try:
                line = file.readline(BLOCK + 1)
            except BROKEN as error:
                raise broken(self.path, error, 1) from None
        if (other := not_text(line)) or not line.strip():
            raise FileFault(self.path, other or "no CSV header", line=1, hint=_hint(other))
        if len(line) > BLOCK:
            raise FileFault(self.path, f"a line longer than {BLOCK >> 20} MB", line=1)
        try:
            text = line.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise FileFault(self.path, "not UTF-8 text", line=1) from None
        if text.count(",") >= MOST_COLUMNS:
            raise FileFault(self.path, f"a header of {text.count(',') + 1:,} columns", line=1)
        try:
            header = [name.strip() for name in next(csv.reader([text]), [])]
        except csv.Error:
            raise FileFault(
                self.path, "no CSV header", line=1, hint="lines must end with LF or CR LF"
            ) from None
        if text.count('"') % 2:
            raise FileFault(self.path, OPEN_QUOTE, line=1)
        if not any(header) or "\0" in text:
            raise FileFault(self.path, "no CSV header", line=1)
        for name, count in Counter(header).items():
            if name and count > 1:
                raise FileFault(self.path, "the header names this column twice", line=1, column=name)
        return header

    def source(self, column: Column) -> str:
        """The name under which the header has a column. Raises FileFault where it has not."""
        for name in (column.name, *column.aliases):
            if name in self._place:
                return name
        hint = f"it has {', '.join(self.header)[:200]}"
        if len(self.header) == 1:
            for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
                if separator in self.header[0]:
                    hint = f"its columns are separated by {name}, commas belong there"
        raise FileFault(self.path, "the header lacks this column", line=1, column=column.name, hint=hint)

    def _check_numbers(
        self, batch: pa.RecordBatch, source: list[str], columns: tuple[Column, ...], row: int
    ) -> None:
        faults = []
        for name, column in zip(source, columns, strict=True):
            if column.kind == "number":
                values = batch.column(name)
                good = np.isfinite(as_numpy(values))
                if values.null_count:
                    good[as_numpy(pc.indices_nonzero(pc.is_null(values)))] = False
                if not good.all():
                    faults.append((int(np.argmin(good)), name))
        if faults:
            first, name = min(faults, key=lambda fault: fault[0])
            value = batch.column(name)[first].as_py()
            problem = "empty" if value is None else f"{value}"
            raise self.fault(row + first, name, f"{problem} where a finite number belongs")

    def _flags(self, column: pa.DictionaryArray, name: str, row: int) -> pa.Array:
        """Flags as numbers."""
        values = np.asarray([flag_value(text) for text in column.dictionary.to_pylist()], np.float64)
        if column.null_count or not np.isfinite(values).all():
            texts = column.to_pylist()
            wrong = next((i for i, text in enumerate(texts) if not np.isfinite(flag_value(text))), None)
            if wrong is not None:
                raise self.fault(row + wrong, name, _flag_fault(texts[wrong] or ""))
        numbers = values[as_numpy(column.indices)]
        return pa.Array.from_buffers(pa.float64(), len(numbers), [None, pa.py_buffer(numbers)])

    def _raise_first_fault(self, columns: tuple[Column, ...], good: int) -> None:
        """Raise the first fault below the rows that are known to be good."""
        where = [(self._place[self.source(c)], c) for c in columns]
        for line, fields in self.rows(good):
            if over_lines(fields):
                raise FileFault(self.path, OPEN_QUOTE, line=line)
            if len(fields) != len(self.header):
                problem = f"{len(fields)} fields where the header has {len(self.header)}"
                raise FileFault(self.path, problem, line=line)
            for i, column in where:
                problem = _field_fault(fields[i], column)
                if problem:
                    raise FileFault(self.path, problem, line=line, column=self.header[i])
        self._raise_open_quote()

    def _raise_swallowed_line(self) -> None:
        """A quoted field goes on over the end of its line where its second quote is missing or comes late."""
        for _, (line, fields) in self._beyond_plain(sys.maxsize):
            if over_lines(fields):
                raise FileFault(self.path, OPEN_QUOTE, line=line)

    def _raise_open_quote(self) -> None:
        """A quote without its partner swallows line ends, so that the rows above looked whole."""
        with self.open() as file:
            lines = Lines(self.path, file, 0)
            for text in lines:
                if text.count('"') % 2:
                    raise FileFault(self.path, OPEN_QUOTE, line=lines.number)
                lines.begin()


def flag_value(text: str | None) -> float:
    """The number that a flag stands for; NaN where it is none."""
    text = (text or "").strip(" \t")
    if NUMBER.fullmatch(text):
        return float(text)
    return FLAGS.get(text.lower(), float("nan"))


def _field_fault(text: str, column: Column) -> str:
    if any("\udc80" <= c <= "\udcff" for c in text):
        return "not UTF-8 text"
    if column.kind == "flag":
        return "" if np.isfinite(flag_value(text)) else _flag_fault(text)
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


def _flag_fault(text: str) -> str:
    return f"{repr(text[:40]) if text else 'empty'} where 0, 1, True or False belongs"


def _hint(problem: str) -> str:
    return "save it as UTF-8" if problem == "UTF-16 text" else ""
