"""The Kaggle form of detections: a line an image, `ImageId,PredictionString`, six tokens a box.

A box is `LabelName Confidence XMin YMin XMax YMax`; with the first two in the other order it is read as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.base.errors import FileFault
from kit.base.files import atomic_write, open_compressed
from kit.tables.arrow import DictionaryEncoder, as_indices, as_numpy
from kit.tables.csvfile import NUMBER, Column, CsvFile
from kit.tables.detection_rows import DetectionRows
from kit.tables.official_columns import IMAGE, LABEL, SCORE, box_columns
from kit.tables.schema import Detections
from kit.vocabulary import vocabulary

PREDICTIONS = "PredictionString"
CORNERS = ("XMin", "YMin", "XMax", "YMax")
TOKENS = (LABEL.name, SCORE.name, *CORNERS)
SCORE_FIRST = (SCORE.name, LABEL.name, *CORNERS)
RELATION_TOKENS = 12
DIGITS = 6  # decimals of a coordinate
FORM = f"a box is {' '.join(TOKENS)}"


@dataclass(frozen=True, eq=False)
class _Source:
    """line: of every box the 0-based row that it stands in."""

    file: CsvFile
    line: NDArray[np.int64]

    @property
    def path(self) -> Path:
        return self.file.path

    def place(self, row: int) -> str:
        return f"{self.file.place(int(self.line[row]))}, box {self._number(row)}"

    def fault(self, row: int, column: str, problem: str, hint: str = "") -> FileFault:
        if column == IMAGE.name:
            return self.file.fault(int(self.line[row]), self.file.source(IMAGE), problem, hint)
        problem = f"box {self._number(row)} of the line, {column}: {problem}"
        return self.file.fault(int(self.line[row]), PREDICTIONS, problem, hint)

    def _number(self, row: int) -> int:
        return row - int(np.searchsorted(self.line, self.line[row])) + 1


def kaggle_parts(path: Path | str) -> Iterator[DetectionRows]:
    """The boxes of a file in Kaggle's form, part by part; a part's images are all that it has a line of.

    Raises FileFault with line and column at a wrong number of tokens and at a token that is no finite number.
    """
    file = CsvFile(path)
    order: tuple[str, ...] = ()
    for first, ids, tokens, line in _batches(file):
        order = order or _order(tokens)
        columns = {
            name: tokens.take(as_indices(np.arange(i, len(tokens), len(TOKENS))))
            for i, name in enumerate(order or TOKENS)
        }
        source = _Source(file, line + first)
        numbers = {name: _numbers(source, name, columns[name]) for name in (SCORE.name, *CORNERS)}
        images, labels = DictionaryEncoder(), DictionaryEncoder()
        image = images.encode(ids)[line]
        label = labels.encode(columns[LABEL.name].dictionary_encode())
        box = np.stack([numbers[column.name] for column in box_columns()], axis=1)
        texts = tuple(images.index), tuple(labels.index)
        yield DetectionRows(source, texts[0], image, texts[1], label, numbers[SCORE.name], box)


def _batches(
    file: CsvFile,
) -> Iterator[tuple[int, pa.DictionaryArray, pa.StringArray, NDArray[np.int64]]]:
    """Stretches of a file: first row, ids of the lines, tokens, and of every box its line among these."""
    first = 0
    for batch in file.batches([IMAGE, Column(PREDICTIONS, "text")]):
        texts = pc.ascii_trim_whitespace(batch.column(1))
        lists = pc.ascii_split_whitespace(texts)
        count = as_numpy(pc.list_value_length(lists)).astype(np.int64)
        count[as_numpy(pc.binary_length(texts)) == 0] = 0
        if (count % len(TOKENS)).any():
            row = int(np.argmax(count % len(TOKENS) > 0))
            problem = f"token count is not a multiple of {len(TOKENS)} ({count[row]})"
            raise file.fault(first + row, PREDICTIONS, problem, FORM)
        tokens = pc.list_flatten(lists.take(as_indices(np.flatnonzero(count))))
        yield first, batch.column(0), tokens, np.repeat(np.arange(len(count)), count // len(TOKENS))
        first += batch.num_rows


def _order(tokens: pa.StringArray) -> tuple[str, ...]:
    """Whether the boxes of a file begin with their label or with their score; nothing where there is none."""
    if not len(tokens):
        return ()
    return SCORE_FIRST if NUMBER.fullmatch(tokens[0].as_py()) else TOKENS


def _numbers(source: _Source, name: str, texts: pa.StringArray) -> NDArray[np.float64]:
    """The numbers of a token of all boxes. Raises FileFault at the first that is none."""
    try:
        values = as_numpy(pc.cast(texts, pa.float64()))
        if np.isfinite(values).all():
            return values
    except pa.ArrowInvalid:
        pass
    for row, text in enumerate(texts.to_pylist()):
        if not NUMBER.fullmatch(text) or not np.isfinite(float(text)):
            hint = f"{FORM}; relations have {RELATION_TOKENS} tokens each, which `kit score relations` reads"
            raise source.fault(row, name, f"{text[:40]!r} where a finite number belongs", hint)
    raise FileFault(source.path, "not readable as detections", column=PREDICTIONS, hint=FORM)


def write_kaggle(path: Path | str, table: Detections) -> None:
    """Detections, a line an image of the table, best score first."""
    mids = np.asarray(vocabulary().mids)
    order = np.lexsort((-table.score, table.image))
    box = np.round(table.box[order].astype(np.float64), DIGITS)
    bounds = np.searchsorted(table.image[order], np.arange(len(table.images) + 1))
    with atomic_write(path) as part, open_compressed(part, Path(path).name) as file:
        file.write(f"ImageId,{PREDICTIONS}\n".encode())
        for i, name in enumerate(table.images):
            own = slice(bounds[i], bounds[i + 1])
            rows = zip(mids[table.label[order[own]]], table.score[order[own]], box[own], strict=True)
            texts = [f"{mid} {score!s} {' '.join(map(_decimal, b))}" for mid, score, b in rows]
            file.write(f"{name},{' '.join(texts)}\n".encode())


def _decimal(value: float) -> str:
    return f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")
