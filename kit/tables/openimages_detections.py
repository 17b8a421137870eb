"""Detections as Open Images writes them: a CSV file of a row a box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.base.errors import FileFault
from kit.tables.arrow import DictionaryEncoder, as_numpy
from kit.tables.csvfile import CsvFile
from kit.tables.detection_rows import DetectionRows
from kit.tables.official_columns import IMAGE, LABEL, SCORE, Array, box_columns

COLUMNS = {column.name: column for column in (IMAGE, LABEL, SCORE, *box_columns())}


@dataclass(frozen=True)
class _Source:
    file: CsvFile

    @property
    def path(self) -> Path:
        return self.file.path

    def place(self, row: int) -> str:
        return self.file.place(row)

    def fault(self, row: int, column: str, problem: str, hint: str = "") -> FileFault:
        return self.file.fault(row, self.file.source(COLUMNS[column]), problem, hint)


def read_openimages(path: Path | str) -> DetectionRows:
    """The rows of a CSV file with ImageID, LabelName, Score and the corners, in file order. Raises FileFault."""
    file = CsvFile(path)
    encoders = {IMAGE.name: DictionaryEncoder(), LABEL.name: DictionaryEncoder()}
    parts: dict[str, list[Array]] = {name: [] for name in COLUMNS}
    for batch in file.batches(COLUMNS.values()):
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            encoder = encoders.get(name)
            parts[name].append(encoder.encode(values) if encoder else as_numpy(values))
    columns = {name: np.concatenate(part) for name, part in parts.items()}
    images, labels = (tuple(encoder.index) for encoder in encoders.values())
    box = np.stack([columns[column.name] for column in box_columns()], axis=1)
    image, label, score = (columns[column.name] for column in (IMAGE, LABEL, SCORE))
    return DetectionRows(_Source(file), images, image, labels, label, score, box)
