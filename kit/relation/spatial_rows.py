"""Training rows of the spatial models, with statistics that leave out each row's own fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.config import Spatial
from kit.data.split_tables import SplitTables
from kit.detector.team import ALONE, Team
from kit.relation.boosting import TrainingRows, log_odds
from kit.relation.candidates import Candidates
from kit.relation.feature_tables import FeatureTable, choose, join
from kit.relation.features import features_of_attributes, features_of_pairs
from kit.relation.held_out import EPSILON
from kit.relation.model_names import MULTICLASS, POOLED
from kit.relation.prior_model import Examples
from kit.relation.statistics import CooccurrenceStatistics, feature_names, folds, out_of_fold
from kit.tables.schema import Boxes, Floats, Labels
from kit.vocabulary import IS, vocabulary

PREDICATE = "predicate"  # the feature that only the pooled model has
PAIRWISE = tuple(p for p in range(len(vocabulary().predicates)) if p != IS)


class SpatialRows:
    """A split's examples as rows to train on.

    statistics: of the whole split; scratch, team: as of `TrainingRows`.
    """

    def __init__(
        self,
        split: SplitTables,
        examples: Examples,
        features: FeatureTable,
        statistics: CooccurrenceStatistics,
        settings: Spatial,
        scratch: Path | None = None,
        team: Team = ALONE,
    ) -> None:
        self.examples, self.features, self.settings = examples, features, settings
        self.scratch, self.team = scratch, team
        self.image = examples.candidates.image
        self.fold = folds(split.objects.images)[self.image]
        self.statistics = out_of_fold(
            self.fold, examples.subject, examples.object, examples.positive, statistics
        )

    def binary(self, p: int) -> TrainingRows:
        """Those whose classes allow a predicate."""
        e = self.examples
        rows = np.flatnonzero(vocabulary().allowed[p][e.subject, e.object])
        prior = self._by_fold(rows, lambda s, i: s.prior[p][e.subject[i], e.object[i]].astype(np.float32))
        return TrainingRows(
            choose(self.features, rows, feature_names([p]), partial(self._semantic, [p])),
            e.positive[rows, p],
            self.image[rows],
            self.fold[rows],
            log_odds(prior) if self.settings.base_margin == "prior" else None,
            prior,
            scratch=self.scratch,
            team=self.team,
        )

    def pooled(self) -> TrainingRows:
        """Those of all predicates but "is", with the predicate as a feature.

        A row weighs the more the rarer its predicate is, by the square root of the positives of the most frequent
        one to its own.
        """
        parts = [self.binary(p) for p in PAIRWISE]
        rows = [len(part.label) for part in parts]
        predicate = np.repeat(np.asarray(PAIRWISE, np.float32), rows)
        positives = np.asarray([part.label.sum() for part in parts])
        weight = np.sqrt(np.maximum(positives.max(), 1) / np.maximum(positives, 1))
        return TrainingRows(
            choose(
                join([part.features for part in parts], rows),
                None,
                (PREDICATE,),
                lambda i: predicate[i, None],
            ),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.image for part in parts]),
            np.concatenate([part.fold for part in parts]),
            _concatenate([part.margin for part in parts]),
            _concatenate([part.rival for part in parts]),
            weight=np.repeat(weight, rows).astype(np.float32),
            scratch=self.scratch,
            team=self.team,
        )

    def multiclass(self) -> TrainingRows:
        """Those of all predicates but "is", and "none"; a pair with several relations is several rows."""
        e = self.examples
        positive = e.positive[:, PAIRWISE]
        some, label = np.nonzero(positive)
        none = np.flatnonzero(~positive.any(axis=1))
        rows = np.concatenate([some, none])
        label = np.concatenate([label, np.full(len(none), len(PAIRWISE))])
        subject, object_ = e.subject[rows], e.object[rows]
        start = self._by_fold(rows, lambda s, i: class_margin(s, e.subject[i], e.object[i]))
        prior = self._by_fold(rows, lambda s, i: s.prior[:, e.subject[i], e.object[i]].T.astype(np.float32))
        other = positive[rows] & (
            label[:, None] != np.arange(len(PAIRWISE))
        )  # its own row says that it has it
        return TrainingRows(
            choose(self.features, rows, feature_names(PAIRWISE), partial(self._semantic, PAIRWISE)),
            label,
            self.image[rows],
            self.fold[rows],
            start if self.settings.base_margin == "prior" else None,
            prior[:, PAIRWISE],
            vocabulary().allowed[:, subject, object_].T[:, PAIRWISE] & ~other,
            scratch=self.scratch,
            team=self.team,
        )

    def _semantic(self, predicates: Sequence[int], rows: NDArray[np.intp]) -> Floats:
        e = self.examples
        return self._by_fold(rows, lambda s, i: s.features(predicates, e.subject[i], e.object[i]))

    def _by_fold(
        self, rows: NDArray[np.intp], of: Callable[[CooccurrenceStatistics, NDArray[np.intp]], Floats]
    ) -> Floats:
        """Evaluate `of` on each fold's rows with the statistics without that fold; rows in order."""
        fold = self.fold[rows]
        parts = [(np.flatnonzero(fold == k), s) for k, s in enumerate(self.statistics)]
        values = [of(s, rows[i]) for i, s in parts]
        out = np.empty((len(rows), *values[0].shape[1:]), np.float32)
        for (i, _), value in zip(parts, values, strict=True):
            out[i] = value
        return out


def largest_training(examples: Examples, settings: Spatial) -> tuple[int, int]:
    """Rows and features of the model of pairs that has the most."""
    if settings.objective == "multiclass":
        return len(examples.subject), len(model_features(MULTICLASS))
    rows = [int(vocabulary().allowed[p][examples.subject, examples.object].sum()) for p in PAIRWISE]
    return (sum(rows) if settings.pooled_weight else max(rows)), len(model_features(POOLED))


def class_margin(statistics: CooccurrenceStatistics, subject: Labels, object_: Labels) -> Floats:
    """Log-probabilities of PAIRWISE and "none" by the prior, float32 (n, classes)."""
    prior = statistics.prior[:, subject, object_].T[:, PAIRWISE]
    none = np.maximum(1 - prior.sum(axis=1, keepdims=True), EPSILON)
    return np.asarray(np.log(np.maximum(np.concatenate([prior, none], axis=1), EPSILON)), np.float32)


def model_features(model: str) -> tuple[str, ...]:
    """The features that a model of this version is trained on, by its name."""
    nothing = Boxes.empty(), Candidates.empty()
    if model == vocabulary().predicates[IS]:
        return (*features_of_attributes(*nothing).names, *feature_names([IS]))
    pair = features_of_pairs(*nothing).names
    if model == POOLED:
        return (*pair, *feature_names(PAIRWISE[:1]), PREDICATE)
    return (*pair, *feature_names(PAIRWISE if model == MULTICLASS else [vocabulary().predicate[model]]))


def _concatenate(parts: list[Floats | None]) -> Floats | None:
    """The parts as one; None where they are None."""
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None
