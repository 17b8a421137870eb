"""The prior: P(predicate | subject, object) from the training split, the baseline every model must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.config import Prior
from kit.data.objects import Objects
from kit.data.split_tables import SplitTables
from kit.relation.candidates import (
    Candidates,
    attribute_candidates,
    attribute_positives,
    pair_candidates,
    pair_positives,
)
from kit.relation.statistics import CooccurrenceStatistics, Positives
from kit.tables.schema import Floats, Labels
from kit.vocabulary import vocabulary


@dataclass(frozen=True, eq=False)
class Examples:
    """Candidates of a split with their truth: labels of both sides (n,), positive: bool (n, predicates)."""

    candidates: Candidates
    subject: Labels
    object: Labels
    positive: Positives

    def of_related_images(self) -> Examples:
        """Those of the images that show a relation."""
        candidates = self.candidates
        related = np.zeros(len(candidates.images), bool)
        related[candidates.image[self.positive.any(axis=1)]] = True
        rows = np.flatnonzero(related[candidates.image])
        return Examples(candidates.take(rows), self.subject[rows], self.object[rows], self.positive[rows])

    def statistics(self, settings: Prior) -> CooccurrenceStatistics:
        """Count them."""
        return CooccurrenceStatistics.count(
            self.subject, self.object, self.positive, settings.smooth_class, settings.smooth_pair
        )


def pair_examples(split: SplitTables) -> Examples:
    """The pairs of a split that count (both labels verified), with the relations they have."""
    candidates = pair_candidates(split.objects)
    second = split.objects.label[candidates.object]
    candidates = candidates.take(_verified(split, candidates, second))
    positive = pair_positives(candidates, split.objects, split.relations)
    label = split.objects.label
    return Examples(candidates, label[candidates.subject], label[candidates.object], positive)


def attribute_examples(split: SplitTables) -> Examples:
    """The (object, attribute) candidates of a split that count, with the attributes they have."""
    candidates = attribute_candidates(split.objects)
    second = candidates.object.astype(np.uint8)
    candidates = candidates.take(_verified(split, candidates, second))
    positive = attribute_positives(candidates, split.objects, split.relations)
    return Examples(
        candidates, split.objects.label[candidates.subject], candidates.object.astype(np.uint8), positive
    )


def _verified(split: SplitTables, candidates: Candidates, second: Labels) -> NDArray[np.bool_]:
    """Candidates whose two labels are verified in their image (metric rule R3); second: the object's label."""
    verified, first = split.verified(), split.objects.label[candidates.subject]
    return verified[candidates.image, first] & verified[candidates.image, second]


def train_prior(split: SplitTables, settings: Prior) -> CooccurrenceStatistics:
    """Count both kinds of candidates of the training split."""
    return pair_examples(split).statistics(settings) + attribute_examples(split).statistics(settings)


@dataclass(frozen=True, eq=False)
class PriorScorer:
    """Scores candidates by their classes alone."""

    statistics: CooccurrenceStatistics

    def predict_pairs(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability of every predicate, float32 (n, predicates); 0 where the triplet is not allowed."""
        subject, object_ = objects.label[candidates.subject], objects.label[candidates.object]
        return self.statistics.prior[:, subject, object_].T.astype(np.float32)

    def predict_attributes(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability that the object has the attribute, float32 (n,)."""
        is_ = vocabulary().predicate["is"]
        subject = objects.label[candidates.subject]
        return self.statistics.prior[is_][subject, candidates.object].astype(np.float32)
