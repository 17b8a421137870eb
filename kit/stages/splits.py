"""What the stages read of a split: its pictures, its ids, its ground-truth boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from kit.config import Config, Split
from kit.data.objects import objects_of
from kit.errors import KitError
from kit.tables.official import read_boxes, read_image_ids, read_relations
from kit.tables.schema import Boxes
from kit.vocabulary import vocabulary

SplitName = Literal["train", "stack", "val", "test"]
CLASSES = vocabulary().names[: vocabulary().classes]


def split_boxes(split: Split, name: str) -> Boxes:
    """The ground-truth boxes of a split, or of its relations where it has no boxes file."""
    if split.boxes:
        return read_boxes(split.boxes)
    if not split.relations:
        raise KitError(f"data.{name}.boxes is not set", f"give it with --set data.{name}.boxes=FILE")
    return objects_of(read_relations(split.relations, others=True))


def split_ids(config: Config, split: SplitName) -> tuple[str, ...]:
    """The pictures of a split: the test's by the sample submission, the others' by their annotations."""
    if split == "test":
        return read_image_ids(ids_file(config))
    return split_boxes(getattr(config.data, split), split).images


def ids_file(config: Config) -> Path:
    """The sample submission. Raises KitError where it is not set."""
    if config.data.test.ids is None:
        raise KitError("data.test.ids is not set", "give the sample submission with --set data.test.ids=FILE")
    return config.data.test.ids


def picture_folder(config: Config, split: SplitName) -> Path:
    """Where a split's pictures are. Raises KitError where that is not set or not there."""
    folder: Path | None = getattr(config.data, split).images
    if folder is None:
        raise KitError(f"data.{split}.images is not set", f"give it with --set data.{split}.images=FOLDER")
    return existing(folder, f"data.{split}.images")


def existing(folder: Path, key: str = "data.*.images") -> Path:
    """The folder. Raises KitError where it is not there; key: the setting that names it."""
    if not folder.is_dir():
        raise KitError(f"{folder}: no such folder of pictures", f"run `kit download`, or set {key}")
    return folder
