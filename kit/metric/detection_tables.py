"""The detection metric over tables: any detections against ground-truth boxes and verified labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kit.metric.detection import DetectionScores, LabeledBoxes, evaluate
from kit.tables.schema import Boxes, Detections, ImageLabels


def detection_scores(
    truth: Boxes, labels: ImageLabels | None, found: Detections, names: Sequence[str]
) -> DetectionScores:
    """The detection metric over the images of `truth`; without labels its own classes are verified."""
    found = found.of_images(truth.images)
    verified = (truth.image, truth.label)
    if labels is not None:
        labels = labels.of_images(truth.images)
        classes = labels.label < len(names)
        verified = (
            np.concatenate([truth.image, labels.image[classes]]),
            np.concatenate([truth.label, labels.label[classes]]),
        )
    rank = _by_id(truth.images)
    real = LabeledBoxes(rank[truth.image], truth.label, truth.box.astype(np.float64), None, truth.is_group_of)
    guess = LabeledBoxes(rank[found.image], found.label, found.box.astype(np.float64), found.score)
    return evaluate(real, guess, (rank[verified[0]], verified[1]), names)


def _by_id(images: Sequence[str]) -> NDArray[np.int64]:
    """The rank of every image by its id, as the metric numbers them."""
    rank = np.empty(len(images), np.int64)
    rank[np.argsort(np.asarray(images, np.str_), kind="stable")] = np.arange(len(images))
    return rank
