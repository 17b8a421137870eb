"""Detection mAP by the size of the objects, as COCO has it: what is of another size neither helps nor harms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.boxes import area, iou
from kit.metric.detection import DetectionScores
from kit.metric.detection_tables import detection_scores
from kit.tables.join import THRESHOLD, best_truth
from kit.tables.schema import Boxes, Detections, Floats, ImageLabels


@dataclass(frozen=True)
class Size:
    """Objects whose share of the image's area is at least `low` and below `high`."""

    name: str
    low: float
    high: float

    def has(self, box: Floats) -> NDArray[np.bool_]:
        """Which boxes are of this size, bool (n,); box: normalised, (n, 4)."""
        share = area(box)
        return np.asarray((share >= self.low) & (share < self.high))


SIZES = (Size("small", 0.0, 0.01), Size("medium", 0.01, 0.1), Size("large", 0.1, np.inf))


def scores_by_size(
    truth: Boxes, labels: ImageLabels | None, found: Detections, names: Sequence[str]
) -> dict[str, DetectionScores]:
    """The detection metric of every size in SIZES, without a class hierarchy.

    Left out for a size: true boxes of another size, detections that lie on one of these (their class, IoU of 0.5
    and more), and detections of another size that lie on no true box.
    """
    found = found.of_images(truth.images)
    verified = _verified(truth, labels)
    row = _matched(truth, found, len(names))
    out = {}
    for size in SIZES:
        own = size.has(truth.box)
        kept = np.where(row < 0, size.has(found.box), own[row] if len(own) else False)
        out[size.name] = detection_scores(truth.take(own), verified, found.take(kept), names)
    return out


def _matched(truth: Boxes, found: Detections, classes: int) -> NDArray[np.intp]:
    """Of every detection the true box of its class that it lies on, -1 for none."""
    key, true_key = (t.image.astype(np.int64) * classes + t.label for t in (found, truth))
    ((row, overlap),) = best_truth(key, true_key, [lambda p, t: iou(found.box[p], truth.box[t])])
    return np.where(overlap >= THRESHOLD, row, -1)


def _verified(truth: Boxes, labels: ImageLabels | None) -> ImageLabels:
    """The verified labels with the classes of all true boxes, whatever their size."""
    own = ImageLabels(truth.images, truth.image, truth.label)
    if labels is None:
        return own
    given = labels.of_images(truth.images)
    return ImageLabels(
        truth.images, np.concatenate([given.image, own.image]), np.concatenate([given.label, own.label])
    )
