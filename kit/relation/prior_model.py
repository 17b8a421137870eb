"""The prior: P(predicate | subject, object) from the training split, the baseline every model must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kit.config import Prior
from kit.data.objects import Objects
from kit.data.split_tables import SplitTables
from kit.relation.candidates import (
    BLOCK,
    Candidates,
    Mask,
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


def pair_examples(split: SplitTables, block: int = BLOCK) -> Examples:
    """The pairs of a split that count (both labels verified: metric rule R3), with the relations they have.

    block: as of `pair_candidates`; an object whose label is not verified is in none of the pairs looked at.
    """
    candidates = pair_candidates(split.objects, _verified(split), block)
    positive = pair_positives(candidates, split.objects, split.relations)
    label = split.objects.label
    return Examples(candidates, label[candidates.subject], label[candidates.object], positive)


def attribute_examples(split: SplitTables) -> Examples:
    """The (object, attribute) candidates of a split that count, with the attributes they have."""
    candidates = attribute_candidates(split.objects, _verified(split))
    attribute = candidates.object.astype(np.uint8)
    counts = split.verified()[candidates.image, attribute]
    candidates, attribute = candidates.take(counts), attribute[counts]
    positive = attribute_positives(candidates, split.objects, split.relations)
    return Examples(candidates, split.objects.label[candidates.subject], attribute, positive)


def _verified(split: SplitTables) -> Mask:
    """Objects whose label is verified in their image (metric rule R2), (n,)."""
    return split.verified()[split.objects.image, split.objects.label]


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
