"""The detection metric over tables: any detections against ground-truth boxes and verified labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.metric.detection import DetectionScores, LabeledBoxes, evaluate
from kit.metric.hierarchy import ClassRelatives, spread
from kit.tables.schema import Boxes, Detections, ImageLabels, VerifiedLabels

T = TypeVar("T", Boxes, Detections)


def detection_scores(
    truth: Boxes,
    labels: ImageLabels | None,
    found: Detections,
    names: Sequence[str],
    relatives: ClassRelatives | None = None,
) -> DetectionScores:
    """The detection metric over the images of `truth`; without labels its own classes are verified.

    relatives: of the classes by the hierarchy. As in the official metric, boxes and present labels are copied to
    the ancestors, absent labels to the descendants; detections to the ancestors too, which the challenge leaves
    to those who submit them.
    """
    found = found.of_images(truth.images)
    if labels is not None:
        labels = labels.of_images(truth.images)
        labels = labels.take(labels.label < len(names))
    if relatives is not None:
        truth, found = _at_ancestors(truth, relatives), _at_ancestors(found, relatives)
        labels = None if labels is None else _judged_relatives(labels, relatives)
    verified = (truth.image, truth.label)
    if labels is not None:
        verified = (
            np.concatenate([truth.image, labels.image]),
            np.concatenate([truth.label, labels.label]),
        )
    rank = _by_id(truth.images)
    real = LabeledBoxes(rank[truth.image], truth.label, truth.box.astype(np.float64), None, truth.is_group_of)
    guess = LabeledBoxes(rank[found.image], found.label, found.box.astype(np.float64), found.score)
    return evaluate(real, guess, (rank[verified[0]], verified[1]), names)


def _at_ancestors(table: T, relatives: ClassRelatives) -> T:
    rows, label = spread(table.label, relatives.ancestors)
    return replace(table.take(rows), label=label)


def _judged_relatives(labels: ImageLabels, relatives: ClassRelatives) -> ImageLabels:
    """Labels that are known as well: the ancestors of present ones, the descendants of absent ones."""
    if not isinstance(labels, VerifiedLabels):
        raise ValueError("with a hierarchy the labels must say whether they are present")
    parts = []
    for mask, targets in ((labels.present, relatives.ancestors), (~labels.present, relatives.descendants)):
        part = labels.take(mask)
        rows, label = spread(part.label, targets)
        parts.append(ImageLabels(labels.images, part.image[rows], label))
    image, label = (np.concatenate([getattr(part, name) for part in parts]) for name in ("image", "label"))
    return ImageLabels(labels.images, image, label)


def _by_id(images: Sequence[str]) -> NDArray[np.int64]:
    """The rank of every image by its id, as the metric numbers them."""
    rank = np.empty(len(images), np.int64)
    rank[np.argsort(np.asarray(images, np.str_), kind="stable")] = np.arange(len(images))
    return rank
