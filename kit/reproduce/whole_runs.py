"""The whole pipeline as an experiment: one run a seed that table 3, table 4 and the ablation share."""

from __future__ import annotations

from typing import Any

from kit.base.split_names import SplitName
from kit.config import Config
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stages.evaluate_relations import evaluate_stage, read_evaluation
from kit.reproduce.experiment import Experiment, scored_splits

FULL = "full"


def run_full(experiment: Experiment) -> None:
    """Train, evaluate and predict with every seed; what is finished is not done again.

    The detectors' source weights are trained once for all seeds.
    """
    given = source_changes(experiment)
    stages = whole_job(experiment.config)
    jobs = [experiment.job(FULL, seed, given, stages, own_schedule=True) for seed in experiment.seeds]
    experiment.run_all(jobs, "the whole pipeline")


def whole_job(config: Config) -> list[str]:
    """The stages of the whole job: all that trains, the scores of its splits, the submission."""
    scored = [evaluate_stage(config, split, config.relation.scorer) for split in scored_splits(config)]
    pipeline = Pipeline(Run(config))
    return [*(n for n in pipeline.training if not n.startswith("source-")), *scored, "submission"]


def source_changes(experiment: Experiment) -> dict[str, Any]:
    """The settings that name the shared source weights."""
    weights = experiment.sources(experiment.detectors())
    return {f"detector.models.{name}.weights": str(path) for name, path in weights.items()}


def evaluation(experiment: Experiment, variant: str, seed: int, split: SplitName) -> dict[str, Any]:
    """What `kit evaluate` found for a variant and seed; the scorer is that of the variant's config."""
    return read_evaluation(experiment.path(variant, seed) / f"evaluate-{split}")
