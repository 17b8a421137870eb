"""A table as two Parquet files, its rows and its images: read at once, where a shard's id a row takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from kit.base.files import atomic_write, reading
from kit.base.parquet import read_parquet
from kit.tables.schema import Table

T = TypeVar("T", bound=Table)
NOTE = b"note"


def write_table(path: Path, table: Table, note: str = "") -> None:
    """Write the rows to `path` and the images beside it; note: a text that `read_note` gives back."""
    rows = pa.table({"image": table.image, **table.corner_columns()})
    ids = pa.table({"image_id": pa.array(table.images, pa.string())})
    for file, content in ((images_path(path), ids), (path, rows)):
        noted = content.replace_schema_metadata({NOTE: note.encode()})
        with atomic_write(file, durable=False) as part:
            pq.write_table(noted, part, compression="zstd", use_dictionary=False, write_page_checksum=True)


def read_table(path: Path, kind: type[T]) -> T:
    """The table that `write_table` wrote. Raises KitError where a file of it is gone, damaged or of another one."""
    with reading(path, f"a table of {kind.__name__}"):
        rows, ids = map(read_parquet, (path, images_path(path)))
        if rows.schema.metadata != ids.schema.metadata:
            raise ValueError("rows and images of two tables")
        images = ids.column("image_id").to_pylist()
        return kind.from_corner_columns(images, rows.column("image").to_numpy(), rows)


def read_note(path: Path) -> str:
    """The note of a table. Raises KitError where there is none."""
    with reading(path, "a table with a note"):
        return str(pq.read_schema(path).metadata[NOTE].decode())


def images_path(path: Path) -> Path:
    """The file of a table's images."""
    return path.with_name(f"{path.stem}-images{path.suffix}")
