"""Tables on disk: Parquet files in a folder, all rows of an image in one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from kit.errors import KitError
from kit.files import whole
from kit.tables.schema import Table

T = TypeVar("T", bound=Table)


def write_shards(folder: Path, tables: Iterable[Table]) -> int:
    """Write one Parquet file a table, numbered in order; the number of rows."""
    rows = 0
    for i, table in enumerate(tables):
        with whole(folder / f"{i:05}.parquet") as part:
            pq.write_table(table.to_arrow(), part, compression="zstd")
        rows += len(table)
    return rows


def read_shards(folder: Path, kind: type[T]) -> Iterator[T]:
    """Yield the tables of a folder in order. Raises KitError where a file is not such a table."""
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise KitError(f"{folder}: no shards")
    for path in paths:
        try:
            yield kind.from_arrow(pq.read_table(path))
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise KitError(f"{path}: not a shard of {kind.__name__} ({error})") from None
