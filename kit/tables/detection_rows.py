"""Detections as they stand in any file: labels as texts, and the place of every row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault, printable
from kit.tables.checked_boxes import checked_boxes
from kit.tables.image_name import is_image_name, why_bad
from kit.tables.left_out import SHOWN, LeftOut, Notice
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

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """The rows of all parts of a file, in order."""
        if len(parts) == 1:
            return parts[0]
        images: dict[str, int] = {}
        labels: dict[str, int] = {}
        image, label = (
            np.concatenate([_codes(code, texts, whole) for code, texts in columns])
            for whole, columns in (
                (images, [(part.image, part.images) for part in parts]),
                (labels, [(part.label, part.labels) for part in parts]),
            )
        )
        score, box = (np.concatenate([getattr(part, name) for part in parts]) for name in ("score", "box"))
        first = np.r_[0, np.cumsum([len(part) for part in parts])]
        source = _Joined([part.source for part in parts], first)
        return cls(source, tuple(images), image, tuple(labels), label, score, box)


def _codes(code: Ints, texts: Sequence[str], whole: dict[str, int]) -> Ints:
    """A part's codes as codes of the whole, which its new texts are added to."""
    return np.asarray([whole.setdefault(text, len(whole)) for text in texts], np.int32)[code]


@dataclass(frozen=True, eq=False)
class _Joined:
    """The sources of a file's parts; first: the row that each begins with, and their number."""

    parts: Sequence[Source]
    first: Ints

    @property
    def path(self) -> Path:
        return self.parts[0].path

    def place(self, row: int) -> str:
        source, own = self._of(row)
        return source.place(own)

    def fault(self, row: int, column: str, problem: str, hint: str = "") -> FileFault:
        source, own = self._of(row)
        return source.fault(own, column, problem, hint)

    def _of(self, row: int) -> tuple[Source, int]:
        part = int(np.searchsorted(self.first, row, "right")) - 1
        return self.parts[part], row - int(self.first[part])


def checked_parts(parts: Iterable[DetectionRows], strict: bool = True) -> Iterator[Detections]:
    """The rows of the 57 classes of a file's parts, one after another; others are left out and counted.

    Raises FileFault at an inverted box and where no row is left, with `strict` also on boxes and scores beyond
    [0, 1] and ids that no image can have. A fault of the file's form comes before all these.
    """
    parts = iter(parts)
    notice, kept = None, 0
    for rows in parts:
        left = LeftOut(rows.source.path, len(rows))
        try:
            table = _checked(rows, left, strict)
        except FileFault:
            for _ in parts:
                pass
            raise
        notice = notice or Notice(left.path)
        notice.add(left.notice)
        kept += len(table)
        yield table
    if notice is None:
        return
    notice.warn()
    if notice.rows and not kept:
        raise FileFault(notice.path, f"no row with one of {CLASSES} and an area")


def _checked(rows: DetectionRows, left: LeftOut, strict: bool) -> Detections:
    source, score = rows.source, rows.score
    _refuse_bad_ids(rows, strict)
    box = _as_float32(rows)
    if strict:
        score = checked_scores(source, SCORE.name, score)
    known = vocabulary().label
    code = np.asarray([known.get(text, vocabulary().labels) for text in rows.labels], np.int64)
    label = code[rows.label]
    outside = label >= vocabulary().classes
    left.leave(outside, f"label outside {CLASSES}", lambda row: _where(rows, row))
    (box,) = checked_boxes(source, left, [box], ("",), strict)
    kept = left.kept
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
