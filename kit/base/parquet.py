"""Parquet files, each by itself: the reader of data sets, which pyarrow would load for one, takes twice as long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(path: Path, columns: Sequence[str] | None = None, *, memory_map: bool = False) -> pa.Table:
    """All rows of a file; columns: None for all. Raises pyarrow's errors, of pages that have changed too.

    memory_map: uncompressed pages are not copied.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, memory_map=memory_map, page_checksum_verification=True) as file:
        return file.read(None if columns is None else list(columns))
