"""Rows of images in any order, brought into the order of their images by files on disk, in bounded memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.base.files import writing
from kit.tables.image_index import ImageIndex
from kit.tables.schema import BOX, Table

T = TypeVar("T", bound=Table)
IMAGES = 4096  # whose rows share a file


class ImagePartition(Generic[T]):
    """The rows of a kind of table, in a file of every so many images; the folder is there only inside `with`."""

    def __init__(self, folder: Path, images: ImageIndex, kind: type[T]) -> None:
        self.folder, self.images, self.kind, self.per_file = folder, images, kind, IMAGES
        columns = {name: (np.float32, 4) if k is BOX else (k,) for name, k in kind.COLUMNS.items()}
        self.row = np.dtype([("image", np.int32), *((name, *column) for name, column in columns.items())])

    def __enter__(self) -> ImagePartition[T]:
        self._remove()
        with writing(self.folder):
            self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def add(self, place: NDArray[np.int32], table: T) -> None:
        """Take rows in; place: of every row that of its image. Rows of an image stay in the order of coming."""
        rows = np.empty(len(table), self.row)
        rows["image"] = place
        for name in self.kind.COLUMNS:
            rows[name] = getattr(table, name)
        file = place // self.per_file
        order = np.argsort(file, kind="stable")
        files, first = np.unique(file[order], return_index=True)
        for number, part in zip(files.tolist(), np.split(rows[order], first[1:]), strict=bool(len(files))):
            path = self._path(number)
            with writing(path), path.open("ab") as out:
                out.write(part.tobytes())

    def tables(self) -> Iterator[T]:
        """Tables of so many images each, all of them in their order; rows in the order of coming."""
        for start in range(0, len(self.images), self.per_file):
            rows = self._rows(start // self.per_file)
            columns: dict[str, Any] = {name: rows[name] for name in self.kind.COLUMNS}
            names = self.images.names(start, start + self.per_file)
            yield self.kind(images=names, image=rows["image"] - start, **columns)

    def _rows(self, number: int) -> NDArray[Any]:
        path = self._path(number)
        return np.fromfile(path, self.row) if path.exists() else np.zeros(0, self.row)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.rows"

    def _remove(self) -> None:
        with writing(self.folder):
            if self.folder.exists():
                shutil.rmtree(self.folder)
