"""Tables on disk: Parquet files in a folder, all rows of an image in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from kit.errors import FileFault, KitError
from kit.files import whole
from kit.tables.schema import Table

T = TypeVar("T", bound=Table)
BROKEN = (OSError, KeyError, ValueError, TypeError, AttributeError, pa.ArrowException)


def shard_path(folder: Path, i: int) -> Path:
    """Where shard i of a folder lies."""
    return folder / f"{i:05}.parquet"


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a folder in order. Raises KitError where there is none."""
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise KitError(f"{folder}: no shards")
    return paths


def write_shard(folder: Path, i: int, table: Table) -> int:
    """Write shard i; the number of its rows."""
    with whole(shard_path(folder, i)) as part:
        pq.write_table(table.to_arrow(), part, compression="zstd")
    return len(table)


def count_rows(folder: Path) -> int:
    """Rows of all shards of a folder. Raises KitError where a file is no Parquet file."""
    return sum(_rows(path) for path in folder.glob("*.parquet"))


def read_shard(path: Path, kind: type[T]) -> T:
    """The table of one shard. Raises KitError where the file is not such a table."""
    try:
        return kind.from_arrow(pq.read_table(path))
    except BROKEN as error:
        raise _fault(path, kind.__name__, error) from None


def read_shards(folder: Path, kind: type[T]) -> Iterator[T]:
    """Yield the tables of a folder in order. Raises KitError as `read_shard`, and where there is none."""
    for path in shard_paths(folder):
        yield read_shard(path, kind)


def _rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except BROKEN as error:
        raise _fault(path, "rows", error) from None


def _fault(path: Path, what: str, error: Exception) -> FileFault:
    problem = "empty" if path.is_file() and not path.stat().st_size else f"{error}"
    hint = "do the stage that wrote it again (--force)"
    return FileFault(path, f"not a shard of {what} ({problem})", hint=hint)
