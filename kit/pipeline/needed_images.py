"""The images that the stages of a config look at: what has to be downloaded, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from kit.base.split_names import SplitName
from kit.config import Config
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stage import ImagesInput


def needed_images(config: Config, split: SplitName, processes: int | None = None) -> set[str]:
    """The ids that `kit train all` reads of a split: drawn by a detector, validated on, shown as pairs.

    processes: how many train a detector together, default those of the config; more of them draw more. Reads
    annotations alone. Raises KitError where these are not there.
    """
    needed: set[str] = set()
    for given in _inputs(config, split):
        needed.update(given.of_processes(processes) if processes and given.of_processes else given.wanted())
    return needed


def _inputs(config: Config, split: SplitName) -> Sequence[ImagesInput]:
    """What the trainings read of a split's images, each choice once."""
    pipeline = Pipeline(Run(config))
    stages = [pipeline.stages[name] for name in pipeline.training]
    inputs = [given for stage in stages for given in (*stage.inputs, *stage.watched)]
    images = [i for i in inputs if isinstance(i, ImagesInput) and i.setting == f"data.{split}.images"]
    return list({(i.named_by, i.choice): i for i in images}.values())
