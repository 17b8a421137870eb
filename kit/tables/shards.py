"""Tables on disk: Parquet files in a folder, all rows of an image in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kit.base.errors import KitError
from kit.base.files import atomic_write, reading
from kit.base.parquet import read_parquet

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
    write_shard_bytes(folder, i, shard_bytes(table))
    return len(table)


def shard_bytes(table: Table) -> bytes:
    """The content of a shard's file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table.to_arrow(), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def write_shard_bytes(folder: Path, i: int, content: bytes) -> None:
    """Write shard i, whose content is there."""
    with atomic_write(shard_path(folder, i)) as part:
        part.write_bytes(content)


def count_rows(folder: Path) -> int:
    """Rows of all shards of a folder. Raises KitError where a file is no Parquet file."""
    import pyarrow.parquet as pq

    rows = 0
    for path in folder.glob("*.parquet"):
        with reading(path, "a shard of rows", AGAIN):
            rows += int(pq.read_metadata(path).num_rows)
    return rows


def count_images(folder: Path) -> int:
    """Images of all shards of a folder, with rows or without. Raises KitError as `count_rows`."""
    images = 0
    for path in folder.glob("*.parquet"):
        with reading(path, "a shard of rows", AGAIN):
            column = read_parquet(path, ["image_id"]).column(0)
            images += len(column.unify_dictionaries().chunk(0).dictionary) if column.num_chunks else 0
    return images


def read_shard(path: Path, kind: type[T]) -> T:
    """The table of one shard. Raises KitError where the file is not such a table."""
    with reading(path, f"a shard of {kind.__name__}", AGAIN):
        return kind.from_arrow(read_parquet(path))


def read_shards(folder: Path, kind: type[T]) -> Iterator[T]:
    """Yield the tables of a folder in order. Raises KitError as `read_shard`, and where there is none."""
    for path in shard_paths(folder):
        yield read_shard(path, kind)
