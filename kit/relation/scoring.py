"""From objects to predictions: candidates, their scores, and the detection scores, shard by shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from kit.data.objects import Objects
from kit.relation.candidates import (
    Candidates,
    attribute_candidates,
    pair_candidates,
    to_predictions,
)
from kit.tables.schema import Detections, Floats, Predictions, Table
from kit.vocabulary import IS, vocabulary

T = TypeVar("T", bound=Table)
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


def shards_of(tables: Iterable[Objects], pairs: int | None = None) -> Iterator[Objects]:
    """`shards` of tables that have each other images, as if they were one; some of them are in memory at a time."""
    rest: Objects | None = None
    for table in tables:
        *whole, rest = shards(table if rest is None else _joined(rest, table), pairs)
        yield from whole
    if rest is not None:
        yield rest


def _joined(first: T, second: T) -> T:
    columns = {name: np.concatenate([getattr(t, name) for t in (first, second)]) for name in first.COLUMNS}
    image = np.r_[first.image, second.image + len(first.images)]
    return type(first)(images=first.images + second.images, image=image, **columns)


def detection_confidence(objects: Objects, rows: np.ndarray) -> Floats:
    """The detection scores of the given objects, float32 (n,); 1 for ground truth."""
    if isinstance(objects, Detections):
        return objects.score[rows]
    return np.ones(len(rows), np.float32)
