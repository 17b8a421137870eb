"""Detections as Open Images writes them: a CSV file of a row a box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.base.errors import FileFault
from kit.tables.arrow import DictionaryEncoder, as_numpy
from kit.tables.csvfile import CsvFile
from kit.tables.detection_rows import DetectionRows
from kit.tables.official_columns import IMAGE, LABEL, SCORE, box_columns

COLUMNS = {column.name: column for column in (IMAGE, LABEL, SCORE, *box_columns())}


@dataclass(frozen=True)
class _Source:
    """first: the file's row that row 0 is."""

    file: CsvFile
    first: int

    @property
    def path(self) -> Path:
        return self.file.path

    def place(self, row: int) -> str:
        return self.file.place(self.first + row)

    def fault(self, row: int, column: str, problem: str, hint: str = "") -> FileFault:
        return self.file.fault(self.first + row, self.file.source(COLUMNS[column]), problem, hint)


def openimages_parts(path: Path | str) -> Iterator[DetectionRows]:
    """The rows of a CSV file with ImageID, LabelName, Score and the corners, part by part. Raises FileFault."""
    file, first = CsvFile(path), 0
    for batch in file.batches(COLUMNS.values()):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        images, labels = DictionaryEncoder(), DictionaryEncoder()
        image, label = images.encode(columns[IMAGE.name]), labels.encode(columns[LABEL.name])
        box = np.stack([as_numpy(columns[column.name]) for column in box_columns()], axis=1)
        score, source = as_numpy(columns[SCORE.name]), _Source(file, first)
        yield DetectionRows(source, tuple(images.index), image, tuple(labels.index), label, score, box)
        first += len(image)
