"""Stages `fuse-SPLIT` of detections from elsewhere: read from files in place of detection and fusion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.errors import KitError
from kit.base.log import logger
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.data.photos import is_photo_folder
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.splits import given_detections, given_inputs, ids_file, split_index, split_of
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.tables.shards import SHARDS, write_shard

if TYPE_CHECKING:
    from kit.tables.image_ids import Unmatched
    from kit.tables.schema import Detections
    from kit.tables.side_files import SideFiles

ROWS = "rows"  # the folder below the stage's in which detections are put in order


@register_stages
def given_detections_stages(config: Config) -> Iterator[Stage]:
    """The detections of every split for which the config names files."""
    for split in SPLITS:
        if given_detections(config, split):
            yield Stage(
                OBJECTS.fuse(split),
                partial(_read, split=split),
                inputs=given_inputs(config, split),
                settings={"given": True, "exif_orientation": config.data.exif_orientation},
                command=f"fuse --split {split}",
                headline="fused",
                trains=split == "val",
                table=_table,
            )


def _table() -> type[Detections]:
    from kit.tables.schema import Detections

    return Detections


def _read(context: StageContext, split: SplitName) -> Metrics:
    from kit.relation.scoring import shards_of

    rows = images = 0
    with read_given(context.config, split, context.path / ROWS) as tables:
        for i, part in enumerate(shards_of(tables)):
            rows += write_shard(context.path / SHARDS, i, part)
            images += len(part.images)
    return {"fused": rows, "images": images}


@contextmanager
def read_given(config: Config, split: SplitName, folder: Path) -> Iterator[Iterator[Detections]]:
    """The files of `data.SPLIT.detections` as tables of some thousand of the split's images each, in its order.

    Those of other images and without an area are left out and told. folder: takes the rows until the end of the
    `with`. Raises KitError where none is of its images.
    """
    from kit.boxes import area
    from kit.tables.detection_formats import detection_parts
    from kit.tables.found_images import FoundImages
    from kit.tables.image_partition import ImagePartition
    from kit.tables.schema import Detections

    files, images = given_detections(config, split), split_index(config, split)
    found = FoundImages(images)
    with ImagePartition(folder, images, Detections) as partition:
        for part in detection_parts(files, _beside(config, split)):
            place = found.places(part)
            kept = (place >= 0) & (area(part.box) > 0)  # the reader has told of those without
            partition.add(place[kept], part.take(kept))
        if strange := found.strange():
            _tell_strange(config, split, strange)
        yield partition.tables()


def _tell_strange(config: Config, split: SplitName, strange: Unmatched) -> None:
    """Raises KitError where all are strange."""
    named = ", ".join(map(str, given_detections(config, split)))
    known = ids_file(config) if split == "test" else f"the {split} split"
    text = f"{named}: {strange.say('images with detections', f'not in {known}')}"
    if strange.none_match:
        other = "data.test.ids" if split == "test" else f"data.{split}.relations"
        raise KitError(text, f"data.{split}.detections and {other} must be of the same images")
    logger.warning(f"{text}; left out")


def _beside(config: Config, split: SplitName) -> SideFiles:
    """What the config says of the detections' images and classes."""
    from kit.data.image_sizes import FolderSizes
    from kit.tables.side_files import SideFiles

    files = split_of(config, split)
    there = files.images is not None and is_photo_folder(files.images)
    sizes = FolderSizes(files.images, config.data.decoding()) if there and files.images else None
    return SideFiles(files.detection_images, sizes, files.detection_classes)
