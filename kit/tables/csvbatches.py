"""Lines of a CSV file as typed columns: stretches of whole lines, each parsed by all of pyarrow's threads."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pacsv

from kit.tables.csvlines import Readable, whole_lines

PART = 4 << 20  # bytes of text that a thread parses at a time


def arrow_batches(
    file: Readable, names: list[str], types: dict[str, pa.DataType], size: int
) -> Iterator[pa.RecordBatch]:
    """Yield the columns of `types` batch by batch, in the lines' order; the file stands below its header.

    names: of all columns; size: bytes of text at a time, and of the longest line. Raises what pyarrow raises, and
    what the reading does.
    """
    for lines in whole_lines(file, size):
        try:
            table = _parsed(lines, names, types, PART)
        except pa.ArrowInvalid:  # a line may be longer than a part
            table = _parsed(lines, names, types, len(lines) + 1)
        yield from table.to_batches()


def _parsed(lines: bytes, names: list[str], types: dict[str, pa.DataType], block: int) -> pa.Table:
    """The columns of whole lines."""
    convert = pacsv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[""])
    try:
        read = pacsv.ReadOptions(block_size=block, column_names=names)
        return pacsv.read_csv(pa.BufferReader(lines), read, convert_options=convert)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):  # of a byte order mark alone
            raise
        return pa.schema(types).empty_table()
