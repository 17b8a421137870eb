"""Candidates: the ordered pairs of an image's objects that can form an allowed triplet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kit.data.objects import Objects, find_objects, side_of
from kit.tables.schema import Ints, Labels, Predictions, Relations, Table
from kit.vocabulary import IS, vocabulary

BLOCK = 4_000_000  # ordered pairs of objects that are looked at at once
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Candidates(Table):
    """Ordered pairs of objects: `subject` and `object` are rows of the objects' table.

    For the relation "is" the object is an attribute: then `object` holds the attribute's label.
    """

    subject: Ints
    object: Ints
    COLUMNS: ClassVar[dict[str, Any]] = {"subject": np.int32, "object": np.int32}


def pair_candidates(objects: Objects, counts: Mask | None = None, block: int = BLOCK) -> Candidates:
    """Every ordered pair of an image's objects whose classes allow a relation other than "is".

    counts: which objects pairs are made of (n,), all by default; block: pairs, allowed or not, that are looked at
    at once, at least those of a subject. Rows come image by image, subjects in the order of the objects' table.
    """
    possible = np.asarray(np.delete(vocabulary().allowed, IS, axis=0).any(axis=0))
    order = np.argsort(objects.image, kind="stable")
    if counts is not None:
        order = order[counts[order]]
    image, label = objects.image[order], objects.label[order]
    first = np.searchsorted(image, image, "left")
    count = np.searchsorted(image, image, "right") - first
    total = np.r_[0, np.cumsum(count)]
    subject, other, start = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], 0
    while start < len(order):
        end = max(int(np.searchsorted(total, total[start] + block, "right")) - 1, start + 1)
        left = np.repeat(np.arange(start, end), count[start:end])
        right = np.arange(total[start], total[end]) + (first - total[:-1])[left]
        kept = possible[label[left], label[right]] & (left != right)
        subject.append(order[left[kept]].astype(np.int32))
        other.append(order[right[kept]].astype(np.int32))
        start = end
    chosen = np.concatenate(subject)
    return Candidates(objects.images, objects.image[chosen], chosen, np.concatenate(other))


def attribute_candidates(objects: Objects, counts: Mask | None = None) -> Candidates:
    """Every object with every attribute it may have: the candidates of the relation "is".

    counts: which objects are taken (n,), all by default.
    """
    rows = np.arange(len(objects)) if counts is None else np.flatnonzero(counts)
    row, attribute = np.nonzero(vocabulary().allowed[IS][objects.label[rows]])
    return Candidates(objects.images, objects.image[rows[row]], rows[row], attribute)


def pair_positives(candidates: Candidates, objects: Objects, relations: Relations) -> NDArray[np.bool_]:
    """Which predicates a labelled relation gives each pair; bool, shape (n, predicates).

    The relations' boxes are looked up among the objects: same image and label, IoU of 0.9 and more.
    """
    relations = _known(relations.take(relations.predicate != IS), objects)
    subject, other = (find_objects(side_of(relations, side), objects) for side in ("subject", "object"))
    return _mark(candidates, len(objects), subject, other, relations.predicate)


def attribute_positives(candidates: Candidates, objects: Objects, relations: Relations) -> NDArray[np.bool_]:
    """Whether a labelled "is" relation gives each object its attribute; bool, shape (n, predicates)."""
    relations = _known(relations.take(relations.predicate == IS), objects)
    subject = find_objects(side_of(relations, "subject"), objects)
    size = vocabulary().labels
    return _mark(candidates, size, subject, relations.object.astype(np.intp), relations.predicate)


def to_predictions(
    candidates: Candidates, objects: Objects, predicate: NDArray[Any], score: NDArray[Any]
) -> Predictions:
    """Predictions of scored candidates; predicate, score: (n,). For "is" both boxes are the subject's."""
    subject = candidates.subject
    attribute = predicate == IS
    other = np.where(attribute, subject, candidates.object)
    return Predictions(
        images=candidates.images,
        image=candidates.image,
        subject=objects.label[subject],
        object=np.where(attribute, candidates.object, objects.label[other]),
        predicate=predicate,
        subject_box=objects.box[subject],
        object_box=objects.box[other],
        score=score,
    )


def _mark(
    candidates: Candidates,
    size: int,
    subject: NDArray[np.intp],
    other: NDArray[np.intp],
    predicate: Labels,
) -> NDArray[np.bool_]:
    """Set the predicate of every found (subject, other) among the candidates."""
    positive = np.zeros((len(candidates), len(vocabulary().predicates)), bool)
    found = (subject >= 0) & (other >= 0)
    key = candidates.subject.astype(np.int64) * size + candidates.object
    order = np.argsort(key)
    wanted = subject[found].astype(np.int64) * size + other[found]
    place = np.searchsorted(key, wanted, sorter=order)
    there = place < len(key)
    there[there] = key[order[place[there]]] == wanted[there]
    positive[order[place[there]], predicate[found][there]] = True
    return positive


def _known(relations: Relations, objects: Objects) -> Relations:
    """The relations of the objects' images, under the objects' numbering."""
    return relations.of_images(objects.images)
