"""Which candidates of detected objects are scored: the first in a ranking by probability and detection scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.config import CandidateLimits
from kit.data.objects import Objects
from kit.relation.candidates import Candidates, pair_candidates
from kit.relation.geometry_prior import GeometryPrior, geometry_bins
from kit.relation.statistics import CooccurrenceStatistics
from kit.tables.schema import Boxes, Detections, Ints
from kit.vocabulary import IS, PREDICATES, vocabulary

Doubles = NDArray[np.float64]
AnyObjects = TypeVar("AnyObjects", Boxes, Detections, Objects)
Ranking = Callable[[Detections, Candidates], Doubles]  # of every candidate, (n,): the greatest comes first
SMOOTH = 5.0  # relations more in training, of every predicate


def top_k_boxes(objects: AnyObjects, most: int) -> AnyObjects:
    """The `most` surest objects of every image, image by image, best first; ground truth stays as it is."""
    if not isinstance(objects, Detections):
        return objects
    order = np.lexsort((-objects.score, objects.image))
    return objects.take(order[_place(objects.image[order]) < most])


def top_k_pairs(objects: Objects, ranking: Ranking, limits: CandidateLimits) -> Candidates:
    """The candidates within the limits, image by image in the order of `pair_candidates`.

    For ground truth every candidate is within it.
    """
    candidates = pair_candidates(objects)
    if not isinstance(objects, Detections) or not len(candidates):
        return candidates
    score = ranking(objects, candidates)
    first, second = objects.label[candidates.subject], objects.label[candidates.object]
    size = vocabulary().labels
    kind = (candidates.image.astype(np.int64) * size + first) * size + second
    kept = _best(kind, score, limits.per_pair)
    rows = np.flatnonzero(kept)
    rows = rows[_best(candidates.image[rows].astype(np.int64), score[rows], limits.per_image)]
    return candidates.take(rows)


def rank_by_prior(statistics: CooccurrenceStatistics) -> Ranking:
    """The ranking by max over predicates of P(predicate | classes) times both detection scores."""

    def score(objects: Detections, candidates: Candidates) -> Doubles:
        first, second = objects.label[candidates.subject], objects.label[candidates.object]
        prior = np.delete(statistics.prior, IS, axis=0).max(axis=0)[first, second]
        return np.asarray(prior * objects.score[candidates.subject] * objects.score[candidates.object])

    return score


def rank_by_geometry(model: GeometryPrior) -> Ranking:
    """The ranking by sum over predicates of P(predicate | classes, geometry) times both detection scores.

    A predicate counts by one over the square root of its relations in training: rare ones weigh as much in the
    mean of their APs. An image's best pair of every predicate comes before all others.
    """
    weight = 1 / np.sqrt(model.statistics.related.sum((1, 2)) + SMOOTH)
    allowed = vocabulary().allowed.reshape(len(PREDICATES), -1)  # by kind of pair

    def score(objects: Detections, candidates: Candidates) -> Doubles:
        first, second = objects.label[candidates.subject], objects.label[candidates.object]
        bins = geometry_bins(objects.box[candidates.subject], objects.box[candidates.object])
        confidence = objects.score[candidates.subject].astype(np.float64) * objects.score[candidates.object]
        kind = first.astype(np.intp) * vocabulary().labels + second
        total, leads = np.zeros(len(candidates)), np.zeros(len(candidates), bool)
        for p in range(len(PREDICATES)):
            rows = np.flatnonzero(allowed[p, kind])
            own = model.probability(p, first[rows], second[rows], bins[rows]) * confidence[rows]
            total[rows] += weight[p] * own
            leads[rows[_first_greatest(candidates.image[rows], own)]] = True
        return np.where(leads, np.inf, total)

    return score


def _best(group: NDArray[np.int64], score: Doubles, most: int) -> NDArray[np.bool_]:
    """The `most` rows of highest score in every group, earlier ones of equals."""
    order = np.lexsort((-score, group))
    kept = np.zeros(len(group), bool)
    kept[order[_place(group[order]) < most]] = True
    return kept


def _first_greatest(image: Ints, value: Doubles) -> NDArray[np.intp]:
    """The row of the greatest value in every image, the first of equals; rows come image by image."""
    starts = np.flatnonzero(np.r_[True, image[1:] != image[:-1]])[: len(image)]
    greatest = np.maximum.reduceat(value, starts) if len(starts) else value
    rows = np.flatnonzero(value == np.repeat(greatest, np.diff(np.r_[starts, len(image)])))
    return rows[np.searchsorted(rows, starts)]


def _place(ordered: NDArray[np.integer]) -> NDArray[np.int64]:
    """0-based place of every row in its run of equal values."""
    return np.arange(len(ordered)) - np.searchsorted(ordered, ordered, "left")
