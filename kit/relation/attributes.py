"""The "is" relation in use: what the attribute detector found, beside the object detections under it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.data.objects import Objects
from kit.tables.attribute_classes import attribute_classes
from kit.tables.join import THRESHOLD, join_rows
from kit.tables.schema import Detections
from kit.vocabulary import vocabulary

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
