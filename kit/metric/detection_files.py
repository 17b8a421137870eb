"""Detection files in for the metric: any classes, float64 boxes, one numbering for all files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.base.log import logger
from kit.boxes import outside
from kit.metric.detection import DetectionScores, LabeledBoxes, evaluate
from kit.metric.hierarchy import Hierarchy, spread
from kit.tables.arrow import DictionaryEncoder, as_numpy
from kit.tables.checked_boxes import refuse_inverted
from kit.tables.csvfile import Column, CsvFile
from kit.tables.detection_formats import read_rows
from kit.tables.detection_rows import DetectionRows, refuse_empty
from kit.tables.image_ids import NEITHER, share, tell_strange_labels, unmatched
from kit.tables.official_columns import CONFIDENCE, GROUP, IMAGE, LABEL, box_columns
from kit.tables.side_files import NOTHING, SideFiles
from kit.tables.source import Source
from kit.vocabulary import vocabulary

Array = NDArray[Any]


@dataclass
class DetectionFiles:
    """Reads truth, image labels and predictions under one numbering of images and labels."""

    hierarchy: Hierarchy | None = None
    images: DictionaryEncoder = field(default_factory=DictionaryEncoder)
    labels: DictionaryEncoder = field(default_factory=DictionaryEncoder)

    def truth(self, paths: Sequence[Path | str]) -> LabeledBoxes:
        """Ground-truth boxes, each copied to its class's ancestors. Raises FileFault."""
        parts = []
        for path in paths:
            file = CsvFile(path)
            group = [GROUP] if file.has(GROUP.name) else []
            c = self._read(file, [IMAGE, LABEL, *box_columns(), *group])
            is_group = c[GROUP.name] > 0 if group else np.zeros(len(c["image"]), bool)
            parts.append(LabeledBoxes(c["image"], c["label"], _box(c), is_group_of=is_group))
            refuse_inverted(file, parts[-1].box)
            self._refuse_outside_hierarchy(file, c["label"])
        truth = _concat(parts)
        rows, label = self._spread(truth.label, self.hierarchy.ancestors if self.hierarchy else {})
        spread = truth.take(rows)
        return LabeledBoxes(spread.image, label, spread.box, is_group_of=spread.is_group_of)

    def verified(self, paths: Sequence[Path | str]) -> tuple[Array, Array]:
        """Image labels of all files as (image, label), with a hierarchy spread over it. Raises FileFault."""
        parts = [self._verified(path) for path in paths] or [(np.zeros(0, np.int64),) * 2]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _verified(self, path: Path | str) -> tuple[Array, Array]:
        """Image labels as (image, label): present ones spread to ancestors, absent ones to descendants."""
        file = CsvFile(path)
        if self.hierarchy is None:
            c = self._read(file, [IMAGE, LABEL])
            return c["image"], c["label"]
        c = self._read(file, [IMAGE, LABEL, CONFIDENCE])
        self._refuse_outside_hierarchy(file, c["label"])
        parts = []
        for mask, relatives in (
            (c[CONFIDENCE.name] > 0, self.hierarchy.ancestors),
            (c[CONFIDENCE.name] <= 0, self.hierarchy.descendants),
        ):
            rows, label = self._spread(c["label"][mask], relatives)
            parts.append((c["image"][mask][rows], label))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def predictions(self, rows: DetectionRows) -> LabeledBoxes:
        """Detections with their scores; not expanded (the submitter adds the ancestors). Raises FileFault.

        Taken after truth and labels: notices tell what has no part in the metric, being unknown to both, or a
        box without area, which the published evaluator removes.
        """
        refuse_empty(rows)
        images, labels = len(self.images.index), len(self.labels.index)
        image, label = (
            np.asarray([known.setdefault(text, len(known)) for text in texts], np.int64)[codes]
            for known, texts, codes in (
                (self.images.index, rows.images, rows.image),
                (self.labels.index, rows.labels, rows.label),
            )
        )
        found, path = LabeledBoxes(image, label, rows.box, score=rows.score), rows.source.path
        names = list(self.images.index)
        strange = unmatched([names[i] for i in np.unique(image)], set(names[:images]))
        if strange:
            logger.warning(f"{path}: {strange.say('images of the predictions', NEITHER)}")
        self._tell_labels(rows.source, label, labels)
        empty = (found.box[:, 0] >= found.box[:, 2]) | (found.box[:, 1] >= found.box[:, 3])
        _tell_rows(rows.source, empty, "are left out: box inverted or without area, which the metric removes")
        return found

    def _tell_labels(self, source: Source, label: Array, known: int) -> None:
        """Say which rows have a label of neither truth nor labels; a class's name in a MID's place is told."""
        strange = label >= known
        if not strange.any():
            return
        text = list(self.labels.index)[int(label[np.argmax(strange)])]
        vocab = vocabulary()
        mid = dict(zip(vocab.names, vocab.mids, strict=True)).get(text)
        hint = f"; the MID of {text} is {mid}" if mid else ""
        _tell_rows(source, strange, f"are left out: label in neither truth nor labels ({text!r}{hint})")

    def _read(self, file: CsvFile, columns: list[Column]) -> dict[str, Array]:
        parts: dict[str, list[Array]] = {}
        coded = {IMAGE.name: ("image", self.images), LABEL.name: ("label", self.labels)}
        row = 0
        for batch in file.batches(columns):
            for name, values in zip(batch.schema.names, batch.columns, strict=True):
                if name in coded:
                    key, codes = coded[name]
                    parts.setdefault(key, []).append(codes.encode(values))
                    _refuse_empty(file, name, row, parts[key][-1], codes)
                else:
                    parts.setdefault(name, []).append(as_numpy(values))
            row += batch.num_rows
        return {name: np.concatenate(part) for name, part in parts.items()}

    def _refuse_outside_hierarchy(self, file: CsvFile, label: Array) -> None:
        if self.hierarchy is None:
            return
        names = list(self.labels.index)
        outside = np.asarray([name not in self.hierarchy for name in names])
        if outside[label].any():
            row = int(np.argmax(outside[label]))
            raise file.fault(row, LABEL.name, f"{names[label[row]]!r} is not in the hierarchy")

    def _spread(self, label: Array, relatives: dict[str, tuple[str, ...]]) -> tuple[Array, Array]:
        """Rows and labels after copying every row to the relatives of its label (its own first)."""
        names = list(self.labels.index)
        known = self.labels.index
        targets = [
            (i, *(known.setdefault(r, len(known)) for r in relatives.get(n, ()))) for i, n in enumerate(names)
        ]
        return spread(label, targets)


def score_detection_files(
    truth: Sequence[Path | str],
    predictions: Path | str,
    labels: Sequence[Path | str] = (),
    hierarchy: Hierarchy | None = None,
    beside: SideFiles = NOTHING,
) -> DetectionScores:
    """Detection mAP of predictions, in any form, against box files; raises FileFault on a faulty one."""
    files = DetectionFiles(hierarchy)
    boxes = files.truth(truth)
    verified = files.verified(labels)
    names = list(files.images.index)
    of_truth = {names[i] for i in np.unique(boxes.image)}
    tell_strange_labels(labels, [names[i] for i in np.unique(verified[0])], of_truth)
    rows = read_rows(predictions, beside)
    objects = files.predictions(rows)
    beyond, true_beyond = outside(objects.box), outside(boxes.box)
    if not true_beyond.any():
        _tell_rows(rows.source, beyond, "have boxes beyond [0, 1] (pixels?)")
    elif not beyond.any():
        count = share(int(true_beyond.sum()), len(true_beyond), "boxes of the truth")
        logger.warning(f"{count} reach beyond [0, 1] (pixels?), those of {predictions} do not")
    place = _ascending(list(files.images.index))
    return evaluate(
        _renumber(boxes, place),
        _renumber(objects, place),
        (place[verified[0]], verified[1]),
        list(files.labels.index),
    )


def _tell_rows(source: Source, rows: Array, why: str) -> None:
    """Say how many rows are so, and where the first is."""
    if rows.any():
        place = source.place(int(np.argmax(rows)))
        logger.warning(f"{source.path}: {share(int(rows.sum()), len(rows), 'rows')} {why}, first at {place}")


def _ascending(names: list[str]) -> Array:
    place = np.empty(len(names), np.int64)
    place[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return place


def _refuse_empty(file: CsvFile, name: str, row: int, codes: Array, known: DictionaryEncoder) -> None:
    """Raise FileFault where an image id or a label is empty."""
    empty = codes == known.index.get("", -1)
    if empty.any():
        what = "an image id" if name == IMAGE.name else "a label"
        raise file.fault(row + int(np.argmax(empty)), name, f"empty where {what} belongs")


def _renumber(objects: LabeledBoxes, place: Array) -> LabeledBoxes:
    return LabeledBoxes(place[objects.image], objects.label, objects.box, objects.score, objects.is_group_of)


def _box(columns: dict[str, Array]) -> Array:
    return np.stack([columns[c.name] for c in box_columns()], axis=1)


def _concat(parts: list[LabeledBoxes]) -> LabeledBoxes:
    if not parts:
        raise KitError("no truth file given")
    return LabeledBoxes(
        np.concatenate([p.image for p in parts]),
        np.concatenate([p.label for p in parts]),
        np.concatenate([p.box for p in parts]),
        is_group_of=np.concatenate([p.is_group_of for p in parts if p.is_group_of is not None]),
    )
