"""The challenge's own CSV files in: relations, boxes, image labels, predictions, detections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.base.errors import FileFault
from kit.tables.checked_boxes import checked_boxes
from kit.tables.csvfile import Column, CsvFile
from kit.tables.detection_rows import CLASSES, checked_parts
from kit.tables.left_out import LeftOut, Where, place, say
from kit.tables.official_columns import (
    CONFIDENCE,
    GROUP,
    IMAGE,
    LABEL,
    OTHER,
    PREDICATE,
    SCORE,
    Array,
    box_columns,
    column_parts,
    named,
    read_columns,
)
from kit.tables.openimages_detections import openimages_parts
from kit.tables.schema import (
    Boxes,
    Detections,
    ImageLabels,
    Predictions,
    Relations,
    VerifiedLabels,
)
from kit.tables.submission_reader import read_submission, submission_fault
from kit.vocabulary import vocabulary

Path_ = Path | str
SIDES = ("1", "2")
TRIPLETS = "the challenge's 329"
NONE_KNOWN = "no row with the challenge's classes and predicates"
LABELS, PREDICATES_ = f"{CLASSES} and 5 attributes", "the challenge's 10"


RELATION = [
    IMAGE,
    Column("LabelName1"),
    Column("LabelName2"),
    PREDICATE,
    *box_columns("1"),
    *box_columns("2"),
]


def read_relations(
    paths: Path_ | Sequence[Path_], skip_unknown: bool = False, strict: bool | None = None
) -> Relations:
    """Ground-truth relations of one or several files, rows in file order.

    Raises FileFault on a number that is none, an inverted box, no row, and on a label or predicate that is
    not the challenge's; with `skip_unknown` such rows, and those of a triplet that is not the challenge's, are
    left out and counted in a notice. strict (None: as `skip_unknown`): boxes beyond [0, 1] and ids that no image
    can have are faults too; without it all that the published evaluator takes is taken.
    """
    strict = skip_unknown if strict is None else strict
    return Relations.concat([_read_relations(path, skip_unknown, strict) for path in _several(paths)])


def read_image_labels(paths: Path_ | Sequence[Path_]) -> ImageLabels:
    """Verified image labels; their confidence is not read (metric rule R2).

    Raises FileFault, also on a label that is not the challenge's.
    """
    tables = []
    for path in _several(paths):
        columns = read_columns(CsvFile(path), [IMAGE, LABEL])
        tables.append(ImageLabels(columns["images"], columns["image"], columns["LabelName"]))
    return ImageLabels.concat(tables)


def read_verified_labels(paths: Path_ | Sequence[Path_], judged: bool = True) -> VerifiedLabels:
    """Verified image labels, and by their confidence whether they are present; without the column all are, told.

    judged: without it the confidence is not read, and all count as present. Raises FileFault, also on ids that no
    image can have. Rows of other labels than the challenge's are left out and counted in a notice.
    """
    tables = []
    for path in _several(paths):
        file = CsvFile(path)
        confidence = [CONFIDENCE] if judged and file.has(CONFIDENCE.name) else []
        if judged and not confidence:
            say(f"{path}: no column {CONFIDENCE.name}: all its labels count as present")
        columns = read_columns(file, [IMAGE, LABEL, *confidence], skip_unknown=True, strict=True)
        present = columns[CONFIDENCE.name] > 0 if confidence else np.ones(len(columns["image"]), bool)
        table = VerifiedLabels(columns["images"], columns["image"], columns["LabelName"], present)
        left = LeftOut(file.path, len(table))
        left.leave(table.label == OTHER, f"label outside {LABELS}", _at(file, LABEL))
        left.warn()
        tables.append(table.take(left.kept))
    return VerifiedLabels.concat(tables)


def read_boxes(paths: Path_ | Sequence[Path_], strict: bool = True) -> Boxes:
    """Ground-truth boxes of the 57 classes; boxes of other classes are left out and counted in a notice.

    Raises FileFault, with `strict` also on boxes beyond [0, 1] and ids that no image can have.
    """
    tables = []
    for path in _several(paths):
        file = CsvFile(path)
        group = [GROUP] if file.has(GROUP.name) else []
        columns = read_columns(file, [IMAGE, LABEL, *box_columns(), *group], True, strict)
        is_group = columns[GROUP.name] > 0 if group else np.zeros(len(columns["image"]), bool)
        label = columns["LabelName"]
        left = LeftOut(file.path, len(label))
        left.leave(label >= vocabulary().classes, f"label outside {CLASSES}", _at(file, LABEL))
        (box,) = checked_boxes(file, left, [columns["box"]], ("",), strict)
        left.warn()
        if not left.kept.any():
            raise FileFault(file.path, f"no row with one of {CLASSES} and an area")
        table = Boxes(columns["images"], columns["image"], label, box, is_group)
        tables.append(table.take(left.kept))
    return Boxes.concat(tables)


def read_detections(paths: Path_ | Sequence[Path_], strict: bool = True) -> Detections:
    """Detected objects of the 57 classes (ImageID, LabelName, Score, box); others are left out and counted.

    Raises FileFault, with `strict` also on boxes and scores beyond [0, 1] and ids that no image can have.
    """
    tables = [checked_parts(openimages_parts(path), strict) for path in _several(paths)]
    return Detections.concat([part for parts in tables for part in parts])


def prediction_parts(path: Path_) -> Iterator[Predictions]:
    """What `read_predictions` reads, in bounded memory: some rows at a time, each part with its own images.

    Raises FileFault: at once where the file cannot be read or has another header, else where its rows come.
    """
    file = CsvFile(path)
    if file.has("PredictionString"):
        return (read_submission(file) for _ in range(1))
    for column in (wanted := [*RELATION, SCORE]):
        file.source(column)
    return (
        Predictions(**_relation_columns(columns), score=columns["Score"])
        for columns in column_parts(file, wanted)
    )


def read_predictions(path: Path_, skip_unknown: bool = False) -> Predictions:
    """Scored relations, from the long CSV or the Kaggle form, told by the header; rows in file order.

    Inverted boxes pass (the metric decides, quirk Q9); `prediction_fault` names the place of a row. skip_unknown:
    rows with a label or a predicate that is not the challenge's are left out and counted, where they are a fault
    otherwise.
    """
    file = CsvFile(path)
    if file.has("PredictionString"):
        return read_submission(file, skip_unknown)
    columns = read_columns(file, [*RELATION, SCORE], skip_unknown)
    table = Predictions(**_relation_columns(columns), score=columns["Score"])
    if not skip_unknown:
        return table
    left = LeftOut(file.path, len(table))
    _leave_unknown(file, left, table.subject, table.object, table.predicate)
    left.warn()
    if not left.kept.any():
        raise FileFault(file.path, NONE_KNOWN)
    return table.take(left.kept)


def prediction_fault(path: Path_, row: int, side: str, problem: str, skip_unknown: bool = False) -> FileFault:
    """The fault at a row of `read_predictions`, with its line and column; side: subject or object."""
    file = CsvFile(path)
    if file.has("PredictionString"):
        return submission_fault(file, row, problem, skip_unknown)
    if skip_unknown:
        codes = read_columns(file, [IMAGE, *RELATION[1:4]], skip_unknown)
        known = np.all([codes[column.name] != OTHER for column in RELATION[1:4]], axis=0)
        row = int(np.flatnonzero(known)[row])
    return file.fault(row, f"XMin{1 if side == 'subject' else 2}", problem)


def _read_relations(path: Path_, skip_unknown: bool, strict: bool) -> Relations:
    file = CsvFile(path)
    columns = _relation_columns(read_columns(file, RELATION, skip_unknown, strict))
    left = LeftOut(file.path, len(columns["image"]))
    if skip_unknown:
        _leave_others(file, left, columns)
    sides = ("subject_box", "object_box")
    boxes = checked_boxes(file, left, [columns[side] for side in sides], SIDES, strict)
    left.warn()
    table = Relations(**{**columns, **dict(zip(sides, boxes, strict=True))}).take(left.kept)
    if not len(table):
        raise FileFault(file.path, NONE_KNOWN)
    return table


def _leave_others(file: CsvFile, left: LeftOut, columns: dict[str, Any]) -> None:
    subject, object_, predicate = (columns[name] for name in ("subject", "object", "predicate"))
    _leave_unknown(file, left, subject, object_, predicate)
    known = left.kept
    allowed = known.copy()
    allowed[known] = vocabulary().allowed[predicate[known], subject[known], object_[known]]
    left.leave(
        known & ~allowed, f"triplet not among {TRIPLETS}", _at(file, RELATION[1], PREDICATE, RELATION[2])
    )


def _leave_unknown(file: CsvFile, left: LeftOut, subject: Array, object_: Array, predicate: Array) -> None:
    for label, column in ((subject, RELATION[1]), (object_, RELATION[2])):
        left.leave(label == OTHER, f"{column.name} outside {LABELS}", _at(file, column))
    left.leave(predicate == OTHER, f"predicate outside {PREDICATES_}", _at(file, PREDICATE))


def _at(file: CsvFile, *columns: Column) -> Where:
    """The place of a row, with what stands in these columns; of a class the name beside its MID."""

    def where(row: int) -> str:
        line, texts = file.texts(row, columns)
        return place(line, *map(named, texts))

    return where


def _relation_columns(columns: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": columns["images"],
        "image": columns["image"],
        "subject": columns["LabelName1"],
        "object": columns["LabelName2"],
        "predicate": columns["RelationshipLabel"],
        "subject_box": columns["subject_box"],
        "object_box": columns["object_box"],
    }


def _several(paths: Path_ | Sequence[Path_]) -> Iterable[Path_]:
    return [paths] if isinstance(paths, (str, Path)) else paths
