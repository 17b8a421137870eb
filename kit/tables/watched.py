"""Predictions as they pass by: the images they have, and how many boxes lie beyond [0, 1]."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kit.boxes import outside
from kit.tables.image_ids import images_of
from kit.tables.schema import Predictions


class Watched:
    """Tables one after the other, and what is told of their rows when they have passed.

    images: that have rows, in their order; rows: how many; beyond: how many with a box beyond [0, 1]; first: the
    first of these and its side, subject or object.
    """

    def __init__(self, tables: Iterable[Predictions]) -> None:
        """Of tables whose rows count through."""
        self._tables = tables
        self.images: dict[str, None] = {}
        self.rows = self.beyond = 0
        self.first: tuple[int, str] | None = None

    def __iter__(self) -> Iterator[Predictions]:
        for table in self._tables:
            self.images.update(dict.fromkeys(images_of(table)))
            subject, object_ = outside(table.subject_box), outside(table.object_box)
            beyond = subject | object_
            if self.first is None and beyond.any():
                row = int(beyond.argmax())
                self.first = self.rows + row, "subject" if subject[row] else "object"
            self.rows += len(table)
            self.beyond += int(beyond.sum())
            yield table
