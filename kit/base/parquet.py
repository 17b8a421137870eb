"""Parquet files, each by itself: the reader of data sets, which pyarrow would load for one, takes twice as long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(path: Path, columns: Sequence[str] | None = None, *, memory_map: bool = False) -> pa.Table:
    """All rows of a file; columns: in this order, None for all. Raises pyarrow's errors.

    So for a column that is not there, and for a page that is not as it was written, where its checksum was.
    memory_map: the file is not copied before its pages are unpacked.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, memory_map=memory_map, page_checksum_verification=True) as file:
        table = file.read(None if columns is None else list(columns))
    return table if columns is None else table.select(columns)
