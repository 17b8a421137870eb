"""The columns of the challenge's own CSV files, and a file's columns as codes of the vocabulary and numbers."""

from __future__ import annotations

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
    sides = {name: [c.name for c in box_columns(suffix)] for suffix, name in BOXES.items()}
    sides = {name: four for name, four in sides.items() if {*four} <= {c.name for c in columns}}
    in_box = {side for four in sides.values() for side in four}
    parts: dict[str, list[Array]] = {c.name: [] for c in columns if c.name not in in_box}
    parts |= {name: [] for name in sides}
    images = DictionaryEncoder()
    closed = {
        c.name: DictionaryEncoder(_known(c.name)) for c in columns if c.kind == "code" and c is not IMAGE
    }
    row = 0
    for batch in file.batches(columns):
        corner = {}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if name == IMAGE.name:
                if strict:
                    refuse_bad_ids(file, file.source(IMAGE), row, values)
                codes = images.encode(values)
                if "" in images.index and (codes == images.index[""]).any():
                    first = int(np.argmax(codes == images.index[""]))
                    raise file.fault(row + first, name, "empty where an image id belongs")
                parts[name].append(codes)
            elif name in closed:
                codes = closed[name].encode(values)
                if not skip_unknown:
                    _refuse_unknown(file, codes, values, row, name)
                parts[name].append(codes.astype(np.uint8))
            elif name in in_box:
                corner[name] = _narrow(file, row, name, values)
            else:
                parts[name].append(_narrow(file, row, name, values))
        for name, four in sides.items():
            parts[name].append(np.stack([corner[side] for side in four], axis=1))
        row += batch.num_rows
    arrays: dict[str, Any] = {name: np.concatenate(part) for name, part in parts.items()}
    return {**arrays, "images": tuple(images.index), "image": arrays[IMAGE.name]}


def _known(column: str) -> dict[str, int]:
    return vocabulary().predicate if column == PREDICATE.name else vocabulary().label


def _narrow(file: CsvFile, row: int, name: str, values: pa.Array) -> Array:
    """A score, or confidence, stays double; a coordinate becomes single, which it must fit into."""
    numbers: Array = as_numpy(values)
    if name in (SCORE.name, CONFIDENCE.name):
        return numbers
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    if not np.isfinite(narrow).all():
        first = int(np.argmin(np.isfinite(narrow)))
        raise file.fault(row + first, name, f"{numbers[first]} where a coordinate belongs")
    return narrow


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
