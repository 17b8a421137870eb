"""From objects to predictions: candidates, their scores, and the detection scores, shard by shard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from kit.data.objects import Objects
from kit.relation.candidates import (
    Candidates,
    attribute_candidates,
    pair_candidates,
    to_predictions,
)
from kit.tables.schema import Detections, Floats, Predictions
from kit.vocabulary import IS, vocabulary

PAIRS_PER_SHARD = 1_000_000  # ordered pairs of objects, allowed or not


class Scorer(Protocol):
    """What scores candidates."""

    def predict_pairs(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability of every predicate, float32 (n, predicates); 0 where the triplet is not allowed."""
        ...

    def predict_attributes(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability that the object has the attribute, float32 (n,)."""
        ...


def predict_relations(scorer: Scorer, objects: Objects) -> Predictions:
    """A prediction for every allowed triplet of every candidate.

    For detections the score is p(relation) times both objects' scores, for "is" times the object's one.
    """
    pairs = pair_candidates(objects)
    score = scorer.predict_pairs(objects, pairs)
    allowed = vocabulary().allowed[:, objects.label[pairs.subject], objects.label[pairs.object]]
    predicate, row = np.nonzero(allowed)
    attributes = attribute_candidates(objects)
    return Predictions.concat(
        [
            to_predictions(
                pairs.take(row),
                objects,
                predicate.astype(np.uint8),
                score[row, predicate].astype(np.float64)
                * detection_confidence(objects, pairs.subject[row])
                * detection_confidence(objects, pairs.object[row]),
            ),
            to_predictions(
                attributes,
                objects,
                np.full(len(attributes), IS, np.uint8),
                scorer.predict_attributes(objects, attributes).astype(np.float64)
                * detection_confidence(objects, attributes.subject),
            ),
        ]
    )


def shards(objects: Objects, pairs: int | None = None) -> Iterator[Objects]:
    """Cut a table of objects into tables of whole images with at most so many pairs of objects each.

    pairs: default PAIRS_PER_SHARD; an image with more is a shard of its own.
    """
    pairs = pairs or PAIRS_PER_SHARD
    ordered = objects.take(np.argsort(objects.image, kind="stable"))
    count = np.bincount(ordered.image, minlength=len(objects.images))
    rows = np.r_[0, np.cumsum(count)]
    total = np.r_[0, np.cumsum(count**2 + 1)]
    start = 0
    while start < len(objects.images):
        end = max(int(np.searchsorted(total, total[start] + pairs, "right")) - 1, start + 1)
        part = ordered.take(slice(int(rows[start]), int(rows[end])))
        yield type(part)(
            images=objects.images[start:end],
            image=part.image - start,
            **{name: getattr(part, name) for name in part.COLUMNS},
        )
        start = end


def detection_confidence(objects: Objects, rows: np.ndarray) -> Floats:
    """The detection scores of the given objects, float32 (n,); 1 for ground truth."""
    if isinstance(objects, Detections):
        return objects.score[rows]
    return np.ones(len(rows), np.float32)
