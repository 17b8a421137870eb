"""Which stages a rehearsal measures, and on which split's rows each works."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stage import Stage
from kit.rehearsal.schedule import Command

SUBMIT = Command(["submission"], loads=["kit.tables.submission_check"])  # it checks the file that it made


def whole_run(pipeline: Pipeline) -> list[str]:
    """The stages of `kit train all`, of the validation score and of the submission, and all that these need."""
    wanted = ("evaluate-val", "submission")
    return pipeline.closure([*pipeline.training, *(name for name in wanted if name in pipeline.stages)])


def commands(pipeline: Pipeline, names: Sequence[str], jobs: int) -> list[Command]:
    """The commands of a whole run: `kit train all` and `kit evaluate`, both with --jobs, then `kit submit`.

    Each has those that none before it has made.
    """
    found, left = list[Command](), list(names)
    train, evaluate, submit = Command(pipeline.training, jobs), Command(["evaluate-val"], jobs), SUBMIT
    for command in (train, evaluate, submit):
        own = set(pipeline.closure([name for name in command.stages if name in pipeline.stages]))
        found.append(replace(command, stages=[name for name in left if name in own]))
        left = [name for name in left if name not in own]
    return found


def unchanged(config: Config) -> Config:
    """The config as it is."""
    return config


def with_test_photos(config: Config, folder: Path) -> Config:
    """The config with a folder in place of the test photos', which may not be there yet.

    Where it has these photos a run scores the hidden test too, and in a rehearsal it has them: made ones.
    """
    if config.data.test.images is None:
        return config
    test = config.data.test.model_copy(update={"images": folder})
    return config.model_copy(update={"data": config.data.model_copy(update={"test": test})})


def on_truth(config: Config) -> Config:
    """The config with relation models that learn from ground-truth boxes."""
    relation = config.relation.model_copy(update={"train_boxes": "truth"})
    return config.model_copy(update={"relation": relation})


def detections_to_learn_from(pipeline: Pipeline, names: Sequence[str]) -> list[str]:
    """Those of some stages that only models which learn from detections need."""
    without = Pipeline(Run(on_truth(pipeline.run.config), pipeline.run.path))
    usual = set(whole_run(without))
    return [name for name in names if name not in usual]


def split_of_stage(pipeline: Pipeline, name: str) -> SplitName:
    """The split whose rows a stage works on: that of its inputs, else of its name, else of what it needs."""
    stage = pipeline.stages[name]
    own = _splits(stage) or [split for split in SPLITS if split in name.split("-")]
    if own:
        return own[0]
    needed = [split_of_stage(pipeline, need) for need in stage.needs]
    return next((split for split in needed if split != "train"), "train")


def _splits(stage: Stage) -> list[SplitName]:
    found = re.findall(r"data\.(train|stack|val|test)\.", " ".join(given.setting for given in stage.inputs))
    return [split for split in SPLITS if split in found]
