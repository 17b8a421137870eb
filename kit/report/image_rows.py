"""Rows of the tables about one image, as what is drawn: boxes of one object are one, "is" rows are its tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.report.drawing import MARKS, DrawnObject, DrawnRelation, score_text
from kit.tables.schema import Boxes, Detections, Predictions, Relations, Table
from kit.vocabulary import IS, PREDICATES, vocabulary

SAME, TAGGED = 0.9, 0.6  # IoU of two boxes of one label that are one object; of an object and what it "is"
Drawn = tuple[list[DrawnObject], list[DrawnRelation]]


def drawn_relations(rows: Relations, correct: Sequence[bool | None] | None = None) -> Drawn:
    """Objects and relations of one image's rows. correct: whether each is right, None where that is not judged."""
    objects: list[DrawnObject] = []
    relations: list[DrawnRelation] = []
    names = vocabulary().names
    for i in sorted(range(len(rows)), key=lambda i: rows.predicate[i] == IS):
        judged = None if correct is None else correct[i]
        score = float(rows.score[i]) if isinstance(rows, Predictions) else None
        is_attribute = rows.predicate[i] == IS
        subject = _place(
            objects, names[rows.subject[i]], rows.subject_box[i], TAGGED if is_attribute else SAME
        )
        if is_attribute:
            tag = MARKS[judged] + names[rows.object[i]] + score_text(score)
            objects[subject] = _with_tag(objects[subject], tag, names[rows.object[i]])
            continue
        target = _place(objects, names[rows.object[i]], rows.object_box[i], SAME)
        relations.append(DrawnRelation(subject, target, PREDICATES[rows.predicate[i]], score, judged))
    return objects, relations


def drawn_objects(rows: Boxes | Detections) -> list[DrawnObject]:
    """Boxes or detections of one image."""
    scores = rows.score if isinstance(rows, Detections) else [None] * len(rows)
    return [
        DrawnObject(vocabulary().names[label], box, None if score is None else float(score))
        for label, box, score in zip(rows.label, rows.box, scores, strict=True)
    ]


def top_rows(scores: NDArray[np.floating], most: int) -> NDArray[np.intp]:
    """The rows of the highest scores, the best first."""
    return np.argsort(-scores, kind="stable")[:most]


def rows_of_image(table: Table, name: str) -> NDArray[np.intp]:
    """The rows of an image, by its id."""
    if name not in table.images:
        return np.zeros(0, np.intp)
    return np.flatnonzero(table.image == table.images.index(name))


def _place(objects: list[DrawnObject], label: str, box: NDArray[np.float32], same: float) -> int:
    """The place of the object that lies under a box; one more where there is none."""
    near = [
        0.0 if other.label != label else float(np.nan_to_num(iou(other.box[None], box[None]))[0])
        for other in objects
    ]
    if near and max(near) >= same:
        return int(np.argmax(near))
    objects.append(DrawnObject(label, box))
    return len(objects) - 1


def _with_tag(drawn: DrawnObject, tag: str, attribute: str) -> DrawnObject:
    """An object with one tag more, unless it has one of this attribute: the rows come best first."""
    if any(attribute in other for other in drawn.attributes):
        return drawn
    return replace(drawn, attributes=(*drawn.attributes, tag))
