"""Lines of a CSV file as typed columns: stretches of whole lines, two of them parsed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.csv as pacsv

from kit.base.parallel import ordered_map
from kit.base.threads import cpu_count
from kit.tables.csvlines import Readable, whole_lines

PART = 4 << 20  # bytes of text that are parsed at a time
Lines = bytes | memoryview
THREADS = 2  # whoever takes the columns does not take more than two give


def arrow_batches(
    file: Readable, names: list[str], types: dict[str, pa.DataType], size: int
) -> Iterator[pa.RecordBatch]:
    """Yield the columns of `types` batch by batch, in the lines' order; the file stands below its header.

    names: of all columns; size: bytes of text at a time, and of the longest line. Raises what pyarrow raises, and
    what the reading does.
    """
    parse = partial(_parsed_or_fault, names=names, types=types)
    for table in ordered_map(parse, _lines_or_fault(file, size), min(cpu_count(), THREADS)):
        if isinstance(table, Exception):  # after all that is good above it
            raise table
        yield from table.to_batches()


def _lines_or_fault(file: Readable, size: int) -> Iterator[Lines | Exception]:
    """Whole lines, and at last what the reading raises."""
    try:
        yield from whole_lines(file, size)
    except Exception as error:
        yield error


def _parsed_or_fault(
    lines: Lines | Exception, names: list[str], types: dict[str, pa.DataType]
) -> pa.Table | Exception:
    """The columns of whole lines, or what is wrong with them."""
    if isinstance(lines, Exception):
        return lines
    for part in (PART, len(lines) + 1):  # a line may be longer than a part
        try:
            return _parsed(lines, names, types, part)
        except pa.ArrowException as error:
            found = error
    return found


def _parsed(
    lines: bytes | memoryview, names: list[str], types: dict[str, pa.DataType], block: int
) -> pa.Table:
    """The columns of whole lines."""
    convert = pacsv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[""])
    try:
        read = pacsv.ReadOptions(block_size=block, column_names=names, use_threads=False)
        return pacsv.read_csv(pa.BufferReader(lines), read, convert_options=convert)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):  # of a byte order mark alone
            raise
        return pa.schema(types).empty_table()
