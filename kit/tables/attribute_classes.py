"""The classes of the "is" detector (paper 3.1): every (object, attribute) pair that may form an "is" relation."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.tables.schema import Boxes, Detections, ImageLabels, Predictions, Relations
from kit.vocabulary import IS, vocabulary

NONE = -1


@lru_cache(maxsize=1)
def attribute_classes() -> NDArray[np.int64]:
    """Labels of object and attribute of the 42 classes, shape (42, 2), by object."""
    return np.argwhere(vocabulary().allowed[IS])


def attribute_boxes(relations: Relations) -> Boxes:
    """The boxes of the "is" relations, labelled by attribute class; one with two attributes is two boxes.

    A pair that is no attribute class ((Dog, Wooden)) is left out: the reader of relations told of it.
    """
    rows = relations.take(relations.predicate == IS)
    label = _number()[rows.subject, rows.object]
    rows, label = rows.take(label != NONE), label[label != NONE]
    return Boxes(rows.images, rows.image, label, rows.subject_box, np.zeros(len(rows), bool))


def attribute_labels(images: tuple[str, ...], verified: NDArray[np.bool_]) -> ImageLabels:
    """The attribute classes whose object and attribute are verified; verified: bool (images, labels)."""
    objects, attributes = attribute_classes().T
    image, label = np.nonzero(verified[:, objects] & verified[:, attributes])
    return ImageLabels(images, image, label)


def is_predictions(found: Detections) -> Predictions:
    """Detections of attribute classes as "is" predictions, both boxes equal (paper 3.1)."""
    pair = attribute_classes()[found.label]
    return Predictions(
        images=found.images,
        image=found.image,
        subject=pair[:, 0],
        object=pair[:, 1],
        predicate=np.full(len(found), IS),
        subject_box=found.box,
        object_box=found.box,
        score=found.score.astype(np.float64),
    )


@lru_cache(maxsize=1)
def _number() -> NDArray[Any]:
    """Attribute class of every (object, attribute) label, NONE where there is none."""
    table = np.full((vocabulary().labels,) * 2, NONE)
    table[tuple(attribute_classes().T)] = np.arange(len(attribute_classes()))
    return table
