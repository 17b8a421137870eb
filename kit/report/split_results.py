"""What the stages of a run found on a split: detections, scored candidates, predictions."""

from __future__ import annotations

from typing import TypeVar

from kit.base.split_names import SplitName
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.stages.fused_detections import fused_detections
from kit.pipeline.stages.predictions import predict_stage
from kit.pipeline.stages.scored_candidates import candidates_stage
from kit.relation.scored import ScoredCandidates, scored_candidates_table
from kit.relation.scorers import scorer_names
from kit.tables.schema import Detections, Predictions, Table
from kit.tables.shards import SHARDS, read_shards

Rows = TypeVar("Rows", bound=Table)


def split_detections(pipeline: Pipeline, split: SplitName) -> Detections:
    """The fused detections of a split, or those that were given. Raises KitError where they are not made."""
    return fused_detections(pipeline.folder(OBJECTS.fuse(split)))


def split_candidates(pipeline: Pipeline, split: SplitName, scorer: str) -> ScoredCandidates:
    """The scored candidates of a split that have a scorer's column. Raises KitError where they are not made."""
    config = pipeline.run.config
    table = scored_candidates_table(scorer_names(config))
    return _rows(pipeline, candidates_stage(config, split, scorer), table)


def split_predictions(pipeline: Pipeline, split: SplitName, scorer: str) -> Predictions:
    """The predictions of a split by a scorer. Raises KitError where they are not made."""
    return _rows(pipeline, predict_stage(pipeline.run.config, split, scorer), Predictions)


def _rows(pipeline: Pipeline, stage: str, kind: type[Rows]) -> Rows:
    return kind.concat(list(read_shards(pipeline.folder(stage) / SHARDS, kind)))
