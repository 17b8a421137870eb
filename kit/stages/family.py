"""Detectors that share their classes: those of the 57 objects, and those of the 42 (object, attribute) pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kit.config import Config
from kit.data.splits import load_split
from kit.detector.composite import composite_boxes, composite_labels, composite_names
from kit.stages.splits import CLASSES, SplitName, split_boxes
from kit.tables.official import read_image_labels
from kit.tables.schema import Boxes, ImageLabels

Truth = tuple[Boxes, ImageLabels | None]


@dataclass(frozen=True)
class Family:
    """training, detection, fusion, weights: the first words of its stages' names; truth: of a split."""

    training: str
    detection: str
    fusion: str
    weights: str
    classes: tuple[str, ...]
    names: Callable[[Config], list[str]]
    truth: Callable[[Config, SplitName], Truth]


def _object_truth(config: Config, split: SplitName) -> Truth:
    files = getattr(config.data, split)
    labels = read_image_labels(files.labels, others=True) if files.labels else None
    return split_boxes(files, split), labels


def _attribute_truth(config: Config, split: SplitName) -> Truth:
    tables = load_split(getattr(config.data, split), split)
    return composite_boxes(tables.relations), composite_labels(tables.objects.images, tables.verified())


OBJECTS = Family(
    "detector", "detect", "fuse", "fusion-weights", CLASSES, lambda c: list(c.detector.models), _object_truth
)
ATTRIBUTES = Family(
    "attribute",
    "attribute_detect",
    "attribute_fuse",
    "attribute_weights",
    composite_names(),
    lambda c: list(c.attribute.models),
    _attribute_truth,
)
