"""Scored candidates: every allowed triplet of every pair with all models' scores, and the "is" rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from kit.config import SCORERS, CandidateLimits
from kit.data.objects import Objects
from kit.relation.attributes import object_scores
from kit.relation.candidate_limits import Ranking, rank_by_prior, top_k_boxes, top_k_pairs
from kit.relation.candidates import Candidates, attribute_candidates, to_predictions
from kit.relation.scorers import Ensemble
from kit.relation.scoring import detection_confidence
from kit.tables.attribute_classes import is_predictions
from kit.tables.schema import Detections, Floats, Predictions, Relations
from kit.vocabulary import IS, vocabulary


@dataclass(frozen=True, eq=False)
class ScoredCandidates(Relations):
    """A possible relation: the detection scores of both objects, and P(relation) by every scorer (NaN: none).

    For "is" all scorers' columns are equal: the attribute detector's score, or P(attribute | object, box).
    The scorers' columns are those of `scored_candidates_table()`.
    """

    subject_score: Floats
    object_score: Floats
    COLUMNS: ClassVar[dict[str, Any]] = {
        **Relations.COLUMNS,
        "subject_score": np.float32,
        "object_score": np.float32,
    }

    def scores(self, scorer: str) -> Floats:
        """A scorer's column, float32 (n,)."""
        column: Floats = getattr(self, scorer)
        return column


def scored_candidates_table(scorers: Sequence[str] | None = None) -> type[ScoredCandidates]:
    """The table with a float32 column for every scorer; scorers: their names, default all that there are."""
    return _with_columns(SCORERS.names if scorers is None else tuple(scorers))


@lru_cache(maxsize=4)
def _with_columns(names: tuple[str, ...]) -> type[ScoredCandidates]:
    columns = {"COLUMNS": {**ScoredCandidates.COLUMNS, **dict.fromkeys(names, np.float32)}}
    fields = [(name, Floats) for name in names]
    return make_dataclass(
        "ScoredCandidates", fields, bases=(ScoredCandidates,), namespace=columns, frozen=True, eq=False
    )


def score_objects(
    ensemble: Ensemble,
    objects: Objects,
    limits: CandidateLimits,
    attributes: Detections | None = None,
    ranking: Ranking | None = None,
) -> ScoredCandidates:
    """All candidates within the limits of a table of objects, scored.

    attributes: attribute detections of the same images; without them "is" rows come from the objects and
    the spatial model (or the prior). ranking: which candidates come first, by default by the prior.
    """
    objects = top_k_boxes(objects, limits.boxes)
    pairs = top_k_pairs(objects, ranking or rank_by_prior(ensemble.prior.statistics), limits)
    scores = ensemble.scores(objects, pairs)
    allowed = vocabulary().allowed[:, objects.label[pairs.subject], objects.label[pairs.object]]
    predicate, row = np.nonzero(allowed)
    chosen = pairs.take(row)
    by_scorer = {name: score[row, predicate] for name, score in scores.items()}
    confidence = detection_confidence(objects, chosen.object)
    related = _rows(ensemble.columns, chosen, objects, predicate, by_scorer, confidence)
    if attributes is None:
        rest = _guessed(ensemble, objects)
    else:
        rest = _detected(ensemble.columns, attributes.of_images(objects.images), objects)
    return scored_candidates_table(ensemble.columns).concat([related, rest])


def _guessed(ensemble: Ensemble, objects: Objects) -> ScoredCandidates:
    candidates = attribute_candidates(objects)
    by_scorer = dict.fromkeys(ensemble.columns, ensemble.predict_attributes(objects, candidates))
    predicate, sure = np.full(len(candidates), IS), np.ones(len(candidates), np.float32)
    return _rows(ensemble.columns, candidates, objects, predicate, by_scorer, sure)


def _detected(names: Sequence[str], found: Detections, objects: Objects) -> ScoredCandidates:
    rows = is_predictions(found)
    columns: dict[str, Any] = {name: getattr(rows, name) for name in ("image", *Relations.COLUMNS)}
    columns |= {"subject_score": object_scores(found, objects), "object_score": np.ones(len(found))}
    columns |= dict.fromkeys(names, found.score)
    return scored_candidates_table(names)(images=found.images, **columns)


def _rows(
    names: Sequence[str],
    candidates: Candidates,
    objects: Objects,
    predicate: np.ndarray,
    scores: dict[str, Floats],
    object_score: Floats,
) -> ScoredCandidates:
    table: Predictions = to_predictions(candidates, objects, predicate, np.zeros(len(candidates)))
    columns: dict[str, Any] = {name: getattr(table, name) for name in ("image", *Relations.COLUMNS)}
    none = np.full(len(candidates), np.nan, np.float32)
    columns |= {name: scores.get(name, none) for name in names}
    confidence = detection_confidence(objects, candidates.subject)
    return scored_candidates_table(names)(
        images=table.images, **columns, subject_score=confidence, object_score=object_score
    )
