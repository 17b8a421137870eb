"""The objects of a split, and finding a box among them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.tables.join import best_truth, join_rows
from kit.tables.schema import Boxes, Detections, Relations
from kit.vocabulary import IS, vocabulary

SAME = 0.9  # IoU from which two boxes of one label in one image are the same object

Objects = Boxes | Detections


def objects_of(relations: Relations, boxes: Boxes | None = None) -> Boxes:
    """The objects of a split: its boxes and those boxes of its relations that are not among them."""
    drawn = _distinct(relations)
    if boxes is None:
        return drawn
    images = tuple(dict.fromkeys((*boxes.images, *relations.images)))
    boxes, drawn = boxes.of_images(images), drawn.of_images(images)
    new = drawn.take(find_objects(drawn, boxes) < 0)
    both = Boxes.concat([boxes, new])
    return both.take(np.argsort(both.image, kind="stable"))


def _distinct(relations: Relations) -> Boxes:
    """Every object of relations once, image by image; attributes are no objects.

    An object drawn again for another relation (the official validation file has many) counts once, with the
    box of its first row.
    """
    named = relations.take(relations.predicate != IS)
    objects = Boxes.concat(
        [side_of(relations, "subject"), side_of(named, "object").of_images(relations.images)]
    )
    columns = np.column_stack([objects.image, objects.label, objects.box.view(np.int32)])
    _, first = np.unique(columns, axis=0, return_index=True)
    objects = objects.take(np.sort(first))
    again = np.zeros(len(objects), bool)
    key = objects.image.astype(np.int64) * vocabulary().labels + objects.label
    for left, right in join_rows(key, key):
        later = left > right
        same = iou(objects.box[left[later]], objects.box[right[later]]) >= SAME
        again[left[later][same]] = True
    objects = objects.take(~again)
    return objects.take(np.argsort(objects.image, kind="stable"))


def find_objects(wanted: Boxes, objects: Objects) -> NDArray[np.intp]:
    """The object under each wanted box: same image (equal numbering) and label, best IoU; -1 for none."""
    size = vocabulary().labels
    key, target = (t.image.astype(np.int64) * size + t.label for t in (wanted, objects))
    equal = np.float64(1)

    def overlap(p: NDArray[np.intp], t: NDArray[np.intp]) -> NDArray[np.float64]:
        same = (wanted.box[p] == objects.box[t]).all(axis=1)
        return np.where(same, equal, np.nan_to_num(iou(wanted.box[p], objects.box[t])))

    ((row, best),) = best_truth(key, target, [overlap])
    return np.where(best >= SAME, row, -1)


def side_of(relations: Relations, side: Literal["subject", "object"]) -> Boxes:
    """The subjects or the objects of relations, as boxes."""
    label, box = getattr(relations, side), getattr(relations, f"{side}_box")
    return Boxes(relations.images, relations.image, label, box, np.zeros(len(relations), bool))
