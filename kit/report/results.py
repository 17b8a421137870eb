"""What the report reads of a run: the finished stages' results, each read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.split_names import SplitName
from kit.config import Config
from kit.data.split_tables import SplitTables
from kit.metric.matching import MatchResult, match_predictions
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.splits import split_of, split_tables
from kit.pipeline.stages.evaluate_relations import evaluate_stage, read_evaluation
from kit.relation.scored import ScoredCandidates
from kit.report.split_images import SplitImages
from kit.report.split_results import split_candidates, split_detections, split_predictions
from kit.tables.schema import Detections, Predictions

SHOWN: tuple[SplitName, ...] = ("test", "val")


@dataclass(frozen=True)
class RunResults:
    """A run, and the split whose scores are shown. A property raises KitError where its stage is not finished."""

    pipeline: Pipeline
    split: SplitName

    @property
    def config(self) -> Config:
        """The run's configuration."""
        return self.pipeline.run.config

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        """What the finished stages say of themselves, in the order of the pipeline."""
        found = {name: self.pipeline.run.record(name) for name in self.pipeline.stages}
        return {name: record for name, record in found.items() if record}

    def folder(self, stage: str) -> Path:
        """The folder of a finished stage."""
        return self.pipeline.folder(stage)

    def finished(self, stages: Sequence[str]) -> list[str]:
        """Those of some stages that are finished. Raises KitError where none is, with what makes the first."""
        if not stages:
            raise KitError("this configuration has no such stage")
        found = [stage for stage in stages if stage in self.records]
        if not found:
            self.folder(stages[0])
        return found

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """The report of `kit evaluate --split`, as it was saved."""
        return self.evaluation_of(self.split)

    def evaluation_of(self, split: SplitName) -> dict[str, Any]:
        """The same of another split."""
        name = evaluate_stage(self.config, split, self.config.relation.scorer)
        if name not in self.pipeline.stages:
            raise self._no_truth(split)
        return read_evaluation(self.folder(name))

    @cached_property
    def tables(self) -> SplitTables:
        """The true relations, objects and verified labels of the split."""
        if not split_of(self.config, self.split).relations:
            raise self._no_truth(self.split)
        return split_tables(self.config, self.split)

    @cached_property
    def predictions(self) -> Predictions:
        """The predictions of the split by the config's scorer."""
        return split_predictions(self.pipeline, self.split, self.config.relation.scorer)

    @cached_property
    def candidates(self) -> ScoredCandidates:
        """The scored candidates of the split."""
        return split_candidates(self.pipeline, self.split, self.config.relation.scorer)

    @cached_property
    def matches(self) -> MatchResult:
        """Which predictions find a true relation."""
        tables = self.tables
        return match_predictions(tables.relations, self.predictions, tables.labels)

    @cached_property
    def detections(self) -> Detections:
        """The fused detections of the split, or those that were given."""
        return split_detections(self.pipeline, self.split)

    @cached_property
    def images(self) -> SplitImages:
        """The images of the split."""
        return SplitImages(self.pipeline, self.split, self.config.relation.scorer, top=0)

    def _no_truth(self, split: SplitName) -> KitError:
        name = f"data.{split}.relations"
        if split_of(self.config, split).relations:
            return KitError("the config has no detectors", "name one in detector.models")
        return KitError(f"{name} is not set: this split has no truth", f"give it with --set {name}=FILE")


def shown_split(pipeline: Pipeline) -> SplitName:
    """The split whose scores are worth most: the hidden test where it is scored, else one that can be scored."""
    config = pipeline.run.config
    stages = {split: evaluate_stage(config, split, config.relation.scorer) for split in SHOWN}
    scored = [split for split in SHOWN if pipeline.run.record(stages[split])]
    possible = [split for split in reversed(SHOWN) if stages[split] in pipeline.stages]
    return (*scored, *possible, "val")[0]
