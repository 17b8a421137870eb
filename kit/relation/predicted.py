"""Training on predicted boxes (paper 3.1, "we also experiment"): the truth's relations on detections."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.data.objects import Objects, side_of
from kit.data.split_tables import SplitTables
from kit.relation.candidate_limits import top_k_boxes
from kit.tables.join import THRESHOLD, join_rows
from kit.tables.schema import Boxes, Detections, Relations
from kit.vocabulary import IS, vocabulary


def on_detections(tables: SplitTables, found: Detections, most: int) -> SplitTables:
    """The split with the `most` surest detections of every image for objects, with their scores.

    A relation holds for every pair of detections of its classes that lie on its boxes (IoU of 0.5 and more);
    one that no pair of detections has is gone.
    """
    objects = top_k_boxes(found.of_images(tables.objects.images), most)
    relations = tables.relations.of_images(objects.images)
    first, subject = _matches(side_of(relations, "subject"), objects)
    rows = relations.take(first)
    attribute = rows.predicate == IS
    parts = [_moved(rows.take(attribute), objects, subject[attribute], subject[attribute])]
    other = relations.take(relations.predicate != IS)
    left, right = (_matches(side_of(other, side), objects) for side in ("subject", "object"))
    for i, j in join_rows(left[0].astype(np.int64), right[0].astype(np.int64)):
        parts.append(_moved(other.take(left[0][i]), objects, left[1][i], right[1][j]))
    return SplitTables(Relations.concat(parts).of_images(objects.images), objects, tables.labels)


def _matches(wanted: Boxes, objects: Objects) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of `wanted` and of the objects of the same image and label that lie on them."""
    size = vocabulary().labels
    key, object_key = (t.image.astype(np.int64) * size + t.label for t in (wanted, objects))
    first, second = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    for left, right in join_rows(key, object_key):
        near = iou(wanted.box[left], objects.box[right]) >= THRESHOLD
        first.append(left[near])
        second.append(right[near])
    return np.concatenate(first), np.concatenate(second)


def _moved(
    relations: Relations, objects: Objects, subject: NDArray[np.intp], object_: NDArray[np.intp]
) -> Relations:
    """The relations with the boxes of these objects."""
    return Relations(
        images=relations.images,
        image=relations.image,
        subject=relations.subject,
        object=relations.object,
        predicate=relations.predicate,
        subject_box=objects.box[subject],
        object_box=objects.box[object_],
    )
