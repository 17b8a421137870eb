"""The columns of the challenge's own CSV files, and a file's columns as codes of the vocabulary and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kit.tables.arrow import DictionaryEncoder, as_numpy
from kit.tables.csvfile import Column, CsvFile
from kit.tables.ranges import refuse_bad_ids
from kit.vocabulary import vocabulary

Array = NDArray[Any]
IMAGE = Column("ImageID", aliases=("ImageId",))
LABEL = Column("LabelName")
SCORE = Column("Score", kind="number", aliases=("Confidence",))
PREDICATE = Column("RelationshipLabel", aliases=("RelationLabel",))
GROUP = Column("IsGroupOf", kind="flag")
CONFIDENCE = Column("Confidence", kind="flag")
BOXES = {"": "box", "1": "subject_box", "2": "object_box"}  # by the suffix of their four columns
DOUBLE = {SCORE.name, CONFIDENCE.name}  # columns that stay double
OTHER = 255  # in a column of labels or predicates: a text that is not the challenge's


def box_columns(suffix: str = "") -> list[Column]:
    """The four columns of a box, in the tables' order x1, y1, x2, y2."""
    return [Column(f"{side}{suffix}", kind="number") for side in ("XMin", "YMin", "XMax", "YMax")]


def read_columns(
    file: CsvFile, columns: list[Column], skip_unknown: bool = False, strict: bool = False
) -> dict[str, Any]:
    """Columns as arrays; labels and predicates as vocabulary integers, others a fault or OTHER.

    "images" are the ids, "image" the rows' places among them; the four columns of a box are one, BOXES[suffix],
    (n, 4). Raises FileFault.
    """
    images = DictionaryEncoder()
    parts: dict[str, list[Array]] = {}
    for part in column_parts(file, columns, skip_unknown, strict):
        part["image"] = images.codes(part.pop("images"))[part["image"]]
        for name, values in part.items():
            parts.setdefault(name, []).append(values)
    return {name: np.concatenate(part) for name, part in parts.items()} | {"images": tuple(images.index)}


def column_parts(
    file: CsvFile, columns: list[Column], skip_unknown: bool = False, strict: bool = False
) -> Iterator[dict[str, Any]]:
    """What `read_columns` gives, some rows at a time, each part with its own images. Raises FileFault."""
    names = {column.name for column in columns}
    sides = {box: [c.name for c in box_columns(suffix)] for suffix, box in BOXES.items()}
    corners = {
        name: (box, i) for box, four in sides.items() if {*four} <= names for i, name in enumerate(four)
    }
    closed = {
        c.name: DictionaryEncoder(_known(c.name)) for c in columns if c.kind == "code" and c is not IMAGE
    }
    row = 0
    for batch in file.batches(columns):
        part: dict[str, Any] = {}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if name == IMAGE.name:
                if strict:
                    refuse_bad_ids(file, file.source(IMAGE), row, values)
                part["images"], part["image"] = tuple(values.dictionary.to_pylist()), as_numpy(values.indices)
                _refuse_empty(file, part["images"], part["image"], row)
            elif name in closed:
                codes = closed[name].encode(values)
                if not skip_unknown:
                    _refuse_unknown(file, codes, values, row, name)
                part[name] = codes.astype(np.uint8)
            elif name in corners:
                box, corner = corners[name]
                array = part.setdefault(box, np.empty((batch.num_rows, 4), np.float32))
                array[:, corner] = _narrow(file, row, name, as_numpy(values))
            else:
                part[name] = (
                    as_numpy(values) if name in DOUBLE else _narrow(file, row, name, as_numpy(values))
                )
        row += batch.num_rows
        yield part


def _known(column: str) -> dict[str, int]:
    return vocabulary().predicate if column == PREDICATE.name else vocabulary().label


def _narrow(file: CsvFile, row: int, name: str, numbers: Array) -> Array:
    """A coordinate becomes single, which it must fit into."""
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    if not np.isfinite(narrow).all():
        first = int(np.argmin(np.isfinite(narrow)))
        raise file.fault(row + first, name, f"{numbers[first]} where a coordinate belongs")
    return narrow


def _refuse_empty(file: CsvFile, images: tuple[str, ...], image: Array, row: int) -> None:
    if "" in images and (empty := image == images.index("")).any():
        raise file.fault(row + int(np.argmax(empty)), IMAGE.name, "empty where an image id belongs")


def _refuse_unknown(file: CsvFile, codes: Array, values: pa.Array, row: int, column: str) -> None:
    if (codes < 0).any():
        first = int(np.argmax(codes < 0))
        kind = "predicate" if column == PREDICATE.name else "label"
        raise file.fault(
            row + first,
            column,
            f"unknown {kind} {values[first].as_py()!r}",
            hint="the challenge has 10 predicates"
            if kind == "predicate"
            else "labels are the MIDs of the challenge's 57 classes and 5 attributes",
        )


def named(text: str) -> str:
    """A class's name in place of its MID; of a name in a MID's place the MID beside it."""
    vocab = vocabulary()
    if text in vocab.label:
        return vocab.names[vocab.label[text]]
    if text in vocab.names:
        return f"{text}, whose MID is {vocab.mids[vocab.names.index(text)]}"
    return text
