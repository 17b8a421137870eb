"""The two tasks of the detectors: the 57 classes of objects, and the 42 (object, attribute) classes of "is"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kit.base.errors import KitError
from kit.base.log import warn_once
from kit.base.split_names import SplitName
from kit.config import Config, DetectorModel, Fusion
from kit.pipeline.splits import (
    CLASSES,
    box_inputs,
    images_input,
    split_boxes,
    split_inputs,
    split_labels,
    split_tables,
)
from kit.pipeline.stage import FileInput, Input, Stage
from kit.vocabulary import vocabulary

if TYPE_CHECKING:
    from kit.metric.hierarchy import ClassRelatives
    from kit.tables.schema import Boxes, ImageLabels

GroundTruth = tuple["Boxes", "ImageLabels | None"]


@dataclass(frozen=True)
class DetectorTask:
    """What detectors are trained to find. prefix: of its stages' names; option: of the commands.

    models: names of its detectors; fusion: of their boxes; ground_truth: of a split, with the verified labels;
    inputs: its files; relatives: of the classes in the class hierarchy, None without one.
    """

    prefix: str
    option: str
    classes: tuple[str, ...]
    models: Callable[[Config], list[str]]
    fusion: Callable[[Config], Fusion]
    ground_truth: Callable[[Config, SplitName], GroundTruth]
    inputs: Callable[[Config, SplitName], tuple[FileInput, ...]]
    relatives: Callable[[Config], ClassRelatives | None]

    def detector(self, model: str) -> str:
        """The stage that trains a detector."""
        return f"{self.prefix}detector-{model}"

    def detect(self, split: SplitName, model: str) -> str:
        """The stage of a detector's detections on a split."""
        return f"{self.prefix}detect-{split}-{model}"

    @property
    def weights(self) -> str:
        """The stage that chooses the models' weights in the fusion."""
        return f"{self.prefix}fusion-weights"

    def fuse(self, split: SplitName) -> str:
        """The stage of a split's fused detections."""
        return f"{self.prefix}fuse-{split}"


def _object_truth(config: Config, split: SplitName) -> GroundTruth:
    return split_boxes(config, split), split_labels(config, split)


def _object_inputs(config: Config, split: SplitName) -> tuple[FileInput, ...]:
    labels = [g for g in split_inputs(config, split) if ".labels" in g.setting]
    return (*box_inputs(config, split), *labels, *hierarchy_inputs(config))


def hierarchy_inputs(config: Config) -> tuple[FileInput, ...]:
    """The class hierarchy, where the config has one."""
    return (FileInput("data.hierarchy", config.data.hierarchy),) if config.data.hierarchy else ()


def detection_metric(config: Config) -> str:
    """The metric of the detectors in words: with which class hierarchy."""
    hierarchy = config.data.hierarchy
    how = f"with the class hierarchy {hierarchy.name}" if hierarchy else "without a class hierarchy"
    return f"detection mAP at IoU 0.5, {how}"


def _class_relatives(config: Config) -> ClassRelatives | None:
    from kit.metric.hierarchy import read_hierarchy, relatives_among

    path = config.data.hierarchy
    if path is None:
        return None
    hierarchy, mids = read_hierarchy(path), vocabulary().mids[: len(CLASSES)]
    outside = sum(mid not in hierarchy for mid in mids)
    if outside:
        warn_once(f"{path}: {outside} of {len(mids)} classes are not in it: they have no related class")
    return relatives_among(hierarchy, mids)


def _attribute_truth(config: Config, split: SplitName) -> GroundTruth:
    from kit.tables.attribute_classes import attribute_boxes, attribute_labels

    tables = split_tables(config, split)
    return attribute_boxes(tables.relations), attribute_labels(tables.objects.images, tables.verified())


OBJECTS = DetectorTask(
    "",
    "",
    CLASSES,
    lambda config: list(config.detector.models),
    lambda config: config.detector.fusion,
    _object_truth,
    _object_inputs,
    _class_relatives,
)
ATTRIBUTES = DetectorTask(
    "attribute-",
    " --attributes",
    vocabulary().attribute_classes,
    lambda config: list(config.attribute.models),
    lambda config: config.attribute.fusion or config.detector.fusion,
    _attribute_truth,
    split_inputs,
    lambda _: None,
)
TASKS = (OBJECTS, ATTRIBUTES)
LOGS_OF_TRAINING = (
    "curve.json",
    "log.txt",
    "resumed.json",
    "[0-9]*_[0-9]*",
)  # the last: mmengine's, by the time
training_stage = partial(Stage, headline="mAP", timing_files=LOGS_OF_TRAINING, distributed=True)


def member_number(config: Config, name: str) -> int:
    """The place of a detector among those that are blended, from 0."""
    return list(config.detector.models).index(name)


def seed_settings(config: Config, name: str, processes: int) -> dict[str, int]:
    """What the random part of a detector's training hangs on, in its fingerprint."""
    member = member_number(config, name)
    return {
        "seed": config.seed,
        **({"member": member} if member else {}),
        **({"processes": processes} if processes > 1 else {}),
    }


def validation_inputs(config: Config, task: DetectorTask) -> tuple[Input, ...]:
    """What a detector's training reads to show its validation mAP; nothing without validation images."""
    if config.data.val.images is None:
        return ()
    files = task.inputs(config, "val")
    return (*files, images_input(config, "val", files, lambda: task.ground_truth(config, "val")[0].images))


def detector_model(config: Config, name: str) -> DetectorModel:
    """A detector of the config. Raises KitError where it has none of that name."""
    models = config.detector.models
    if name not in models:
        known = ", ".join(models) or "none"
        raise KitError(f"detector.models has no {name}", f"it has: {known}")
    return models[name]
