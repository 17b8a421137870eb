"""Lines of a CSV file as typed columns: stretches of whole lines, two of them parsed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.csv as pacsv

from kit.base.parallel import ordered_map
from kit.base.threads import cpu_count
from kit.tables.csvlines import Readable, whole_lines

PART = 4 << 20  # bytes of text that are read and parsed at a time
THREADS = 2  # whoever takes the columns does not take more than two give


def arrow_batches(
    file: Readable, names: list[str], types: dict[str, pa.DataType], size: int
) -> Iterator[pa.RecordBatch]:
    """Yield the columns of `types` batch by batch, in the lines' order; the file stands below its header.

    names: of all columns; size: bytes of the longest line, and of text at a time where PART is more. Raises what
    pyarrow raises, and what the reading does.
    """
    parse = partial(_parsed_or_fault, names=names, types=types)
    for table in ordered_map(parse, _lines_or_fault(file, size), min(cpu_count(), THREADS)):
        if isinstance(table, Exception):  # after all that is good above it
            try:
                raise table
            finally:
                del table  # which would hold this frame, and be held by it
        yield from table.to_batches()


def _lines_or_fault(file: Readable, size: int) -> Iterator[memoryview | Exception]:
    """Whole lines, and at last what the reading raises."""
    try:
        yield from whole_lines(file, min(size, PART), size)
    except Exception as error:
        yield error


def _parsed_or_fault(
    lines: memoryview | Exception, names: list[str], types: dict[str, pa.DataType]
) -> pa.Table | Exception:
    """The columns of whole lines, or what is wrong with them."""
    if isinstance(lines, Exception):
        return lines
    try:
        return _parsed(lines, names, types)
    except pa.ArrowException as error:
        return error


def _parsed(lines: memoryview, names: list[str], types: dict[str, pa.DataType]) -> pa.Table:
    """The columns of whole lines."""
    convert = pacsv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[""])
    try:
        read = pacsv.ReadOptions(block_size=len(lines) + 1, column_names=names, use_threads=False)
        return pacsv.read_csv(pa.BufferReader(lines), read, convert_options=convert)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):  # of a byte order mark alone
            raise
        return pa.schema(types).empty_table()
