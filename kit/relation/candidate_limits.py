"""Which candidates of detected objects are scored: the likeliest by the prior and the detection scores."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.config import CandidateLimits
from kit.data.objects import Objects
from kit.relation.candidates import Candidates, pair_candidates
from kit.relation.statistics import CooccurrenceStatistics
from kit.tables.schema import Boxes, Detections
from kit.vocabulary import IS, vocabulary

Doubles = NDArray[np.float64]
AnyObjects = TypeVar("AnyObjects", Boxes, Detections, Objects)


def top_k_boxes(objects: AnyObjects, most: int) -> AnyObjects:
    """The `most` surest objects of every image, image by image, best first; ground truth stays as it is."""
    if not isinstance(objects, Detections):
        return objects
    order = np.lexsort((-objects.score, objects.image))
    return objects.take(order[_place(objects.image[order]) < most])


def top_k_pairs(objects: Objects, statistics: CooccurrenceStatistics, limits: CandidateLimits) -> Candidates:
    """The candidates within the limits, image by image in the order of `pair_candidates`.

    Ranked by max over predicates of P(predicate | classes) times both detection scores. For ground truth
    every candidate is within it.
    """
    candidates = pair_candidates(objects)
    if not isinstance(objects, Detections) or not len(candidates):
        return candidates
    first, second = objects.label[candidates.subject], objects.label[candidates.object]
    prior = np.delete(statistics.prior, IS, axis=0).max(axis=0)[first, second]
    score = prior * objects.score[candidates.subject] * objects.score[candidates.object]
    size = vocabulary().labels
    kind = (candidates.image.astype(np.int64) * size + first) * size + second
    kept = _best(kind, score, limits.per_pair)
    rows = np.flatnonzero(kept)
    rows = rows[_best(candidates.image[rows].astype(np.int64), score[rows], limits.per_image)]
    return candidates.take(rows)


def _best(group: NDArray[np.int64], score: Doubles, most: int) -> NDArray[np.bool_]:
    """The `most` rows of highest score in every group, earlier ones of equals."""
    order = np.lexsort((-score, group))
    kept = np.zeros(len(group), bool)
    kept[order[_place(group[order]) < most]] = True
    return kept


def _place(ordered: NDArray[np.integer]) -> NDArray[np.int64]:
    """0-based place of every row in its run of equal values."""
    return np.arange(len(ordered)) - np.searchsorted(ordered, ordered, "left")
