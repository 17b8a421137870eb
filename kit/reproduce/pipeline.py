"""The whole pipeline as an experiment: one run a seed that table 3, table 4 and the ablation share."""

from __future__ import annotations

from typing import Any

from kit.files import read_json
from kit.reproduce.study import Study

FULL = "full"
SPLITS = ("val", "test")
COMMANDS = (
    ("train", "all"),
    ("evaluate", "--split", "val"),
    ("submit", "--dry-run"),
    ("evaluate", "--split", "test"),
)


def run_full(study: Study) -> None:
    """Train, evaluate and predict with every seed; what is finished is not done again.

    The detectors' source weights are trained once for all seeds.
    """
    given = source_changes(study)
    jobs = [study.job(FULL, seed, given, COMMANDS, own_schedule=True) for seed in study.seeds]
    study.run_all(jobs, "the whole pipeline")


def source_changes(study: Study) -> dict[str, Any]:
    """The settings that name the shared source weights."""
    weights = study.sources(study.detectors())
    return {f"detector.models.{name}.weights": str(path) for name, path in weights.items()}


def evaluation(study: Study, variant: str, seed: int, split: str) -> dict[str, Any]:
    """What `kit evaluate` found for a variant and seed."""
    path = study.folder / f"{variant}-{seed}" / f"evaluate-{split}" / "metrics.json"
    return read_json(path, dict)
