"""Detections as they stand in any file: labels as texts, and the place of every row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault, printable
from kit.tables.checked_boxes import checked_boxes
from kit.tables.image_name import is_image_name, why_bad
from kit.tables.left_out import SHOWN, LeftOut
from kit.tables.official_columns import IMAGE, LABEL, SCORE, box_columns, named
from kit.tables.ranges import checked_scores
from kit.tables.schema import Detections, Ints
from kit.tables.source import Source
from kit.vocabulary import vocabulary

CLASSES = "the challenge's 57 classes"


@dataclass(frozen=True, eq=False)
class DetectionRows:
    """The rows of a file of detections.

    images, labels: the texts that `image` and `label`, int (n,), are indices into; a label is a MID, or a name that
    is none of the challenge's; score, box: float64 (n,) and (n, 4) xyxy as fractions of the image, unchecked.
    """

    source: Source
    images: tuple[str, ...]
    image: Ints
    labels: tuple[str, ...]
    label: Ints
    score: NDArray[np.float64]
    box: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.image)


def to_detections(rows: DetectionRows, strict: bool = True) -> Detections:
    """The rows of the 57 classes; others are left out and counted.

    Raises FileFault at an inverted box and where no row is left, with `strict` also on boxes and scores beyond
    [0, 1] and ids that no image can have.
    """
    source, score = rows.source, rows.score
    _refuse_bad_ids(rows, strict)
    box = _as_float32(rows)
    if strict:
        score = checked_scores(source, SCORE.name, score)
    known = vocabulary().label
    code = np.asarray([known.get(text, vocabulary().labels) for text in rows.labels], np.int64)
    label = code[rows.label]
    left = LeftOut(source.path, len(rows))
    outside = label >= vocabulary().classes
    left.leave(outside, f"label outside {CLASSES}", lambda row: _where(rows, row))
    (box,) = checked_boxes(source, left, [box], ("",), strict)
    left.warn()
    kept = left.kept
    if len(rows) and not kept.any():
        raise FileFault(source.path, f"no row with one of {CLASSES} and an area")
    return Detections(rows.images, rows.image[kept], label[kept], score[kept], box[kept])


def _where(rows: DetectionRows, row: int) -> str:
    return f"{rows.source.place(row)} ({printable(named(rows.labels[rows.label[row]]), SHOWN)})"


def _refuse_bad_ids(rows: DetectionRows, strict: bool) -> None:
    bad = np.asarray([not (is_image_name(name) if strict else name) for name in rows.images], bool)
    if len(rows) and bad[rows.image].any():
        row = int(np.argmax(bad[rows.image]))
        raise rows.source.fault(row, IMAGE.name, why_bad(rows.images[rows.image[row]]))


def _as_float32(rows: DetectionRows) -> NDArray[np.float32]:
    """The boxes in single precision, which they must fit into."""
    with np.errstate(over="ignore"):
        narrow = rows.box.astype(np.float32)
    if not np.isfinite(narrow).all():
        row, side = divmod(int(np.argmin(np.isfinite(narrow))), 4)
        problem = f"{rows.box[row, side]} where a coordinate belongs"
        raise rows.source.fault(row, box_columns()[side].name, problem)
    return narrow


def refuse_empty(rows: DetectionRows) -> None:
    """Raise FileFault where an image id or a label is empty."""
    for texts, codes, column, what in (
        (rows.images, rows.image, IMAGE, "an image id"),
        (rows.labels, rows.label, LABEL, "a label"),
    ):
        empty = np.asarray([not text for text in texts], bool)
        if len(codes) and empty[codes].any():
            row = int(np.argmax(empty[codes]))
            raise rows.source.fault(row, column.name, f"empty where {what} belongs")
