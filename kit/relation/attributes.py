"""The "is" relation in use: what the attribute detector found, beside the object detections under it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.data.objects import Objects
from kit.tables.attribute_classes import attribute_classes, is_predictions
from kit.tables.join import THRESHOLD, join_rows
from kit.tables.schema import Detections, Predictions
from kit.vocabulary import IS, vocabulary

UNSEEN = 1e-3  # score of an object that the object detectors did not find


def object_scores(found: Detections, objects: Objects) -> NDArray[np.float32]:
    """For every attribute detection the best score of an object of its class under it (IoU of 0.5 and more).

    found: labels are attribute classes; both tables number the same images alike. UNSEEN where there is none.
    """
    score = np.full(len(found), UNSEEN, np.float32)
    if not isinstance(objects, Detections):
        return score
    size = vocabulary().labels
    wanted = found.image.astype(np.int64) * size + attribute_classes()[found.label, 0]
    object_key = objects.image.astype(np.int64) * size + objects.label
    for left, right in join_rows(wanted, object_key):
        near = iou(found.box[left], objects.box[right]) >= THRESHOLD
        np.maximum.at(score, left[near], objects.score[right[near]])
    return score


def on_true_boxes(predictions: Predictions, found: Detections) -> Predictions:
    """Predictions on ground-truth boxes, "is" scored by the attribute detector instead of by the boxes alone.

    found: labels are attribute classes. An "is" row takes the best score of the detections of its class on its box
    (IoU of 0.5 and more); one without any keeps its order below all of these: its score times UNSEEN.
    """
    found = found.of_images(predictions.images)
    guess, score = is_predictions(found), predictions.score.copy()
    rows = np.flatnonzero(predictions.predicate == IS)
    score[rows] *= UNSEEN * float(found.score.min(initial=1))
    wanted = predictions.take(rows)
    for left, right in join_rows(_attribute_key(wanted), _attribute_key(guess)):
        near = iou(wanted.subject_box[left], guess.subject_box[right]) >= THRESHOLD
        np.maximum.at(score, rows[left[near]], guess.score[right[near]])
    return replace(predictions, score=score)


def _attribute_key(rows: Predictions) -> NDArray[np.int64]:
    size = vocabulary().labels
    return (rows.image.astype(np.int64) * size + rows.subject) * size + rows.object
