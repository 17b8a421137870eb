"""Tables on disk: Parquet files in a folder, all rows of an image in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kit.base.errors import KitError
from kit.base.files import atomic_write, reading

if TYPE_CHECKING:
    from kit.tables.schema import Table

T = TypeVar("T", bound="Table")
SHARDS = "shards"  # the folder of a stage's table
AGAIN = "do the stage that wrote it again (--force)"


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
    import pyarrow.parquet as pq

    with atomic_write(shard_path(folder, i)) as part:
        pq.write_table(table.to_arrow(), part, compression="zstd", write_page_checksum=True)
    return len(table)


def count_rows(folder: Path) -> int:
    """Rows of all shards of a folder. Raises KitError where a file is no Parquet file."""
    import pyarrow.parquet as pq

    rows = 0
    for path in folder.glob("*.parquet"):
        with reading(path, "a shard of rows", AGAIN):
            rows += int(pq.read_metadata(path).num_rows)
    return rows


def read_shard(path: Path, kind: type[T]) -> T:
    """The table of one shard. Raises KitError where the file is not such a table."""
    import pyarrow.parquet as pq

    with reading(path, f"a shard of {kind.__name__}", AGAIN):
        return kind.from_arrow(pq.read_table(path, page_checksum_verification=True))


def read_shards(folder: Path, kind: type[T]) -> Iterator[T]:
    """Yield the tables of a folder in order. Raises KitError as `read_shard`, and where there is none."""
    for path in shard_paths(folder):
        yield read_shard(path, kind)
