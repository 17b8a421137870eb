"""Stages `fuse-SPLIT` of detections from elsewhere: read from files in place of detection and fusion."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from kit.base.errors import KitError
from kit.base.log import logger
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.data.photos import is_photo_folder
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.splits import given_detections, given_inputs, ids_file, split_ids, split_of
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.tables.shards import SHARDS, write_shard

if TYPE_CHECKING:
    from kit.tables.schema import Detections
    from kit.tables.side_files import SideFiles


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
    from kit.relation.scoring import shards

    table = read_given(context.config, split)
    for i, part in enumerate(shards(table)):
        write_shard(context.path / SHARDS, i, part)
    return {"fused": len(table), "images": len(table.images)}


def read_given(config: Config, split: SplitName) -> Detections:
    """The files of `data.SPLIT.detections`, over the split's images.

    Those of other images and without an area are left out and told. Raises KitError where none is of its images.
    """
    from kit.boxes import area
    from kit.tables.detection_formats import load_detections
    from kit.tables.image_ids import images_of, unmatched

    files, ids = given_detections(config, split), split_ids(config, split)
    detections = load_detections(files, _beside(config, split))
    named = ", ".join(map(str, files))
    strange = unmatched(images_of(detections), set(ids))
    if strange:
        known = ids_file(config) if split == "test" else f"the {split} split"
        text = f"{named}: {strange.say('images with detections', f'not in {known}')}"
        if strange.none_match:
            other = "data.test.ids" if split == "test" else f"data.{split}.relations"
            raise KitError(text, f"data.{split}.detections and {other} must be of the same images")
        logger.warning(f"{text}; left out")
    detections = detections.take(area(detections.box) > 0)  # the reader has told of those without
    return detections.of_images(ids)


def _beside(config: Config, split: SplitName) -> SideFiles:
    """What the config says of the detections' images and classes."""
    from kit.data.image_sizes import FolderSizes
    from kit.tables.side_files import SideFiles

    files = split_of(config, split)
    there = files.images is not None and is_photo_folder(files.images)
    sizes = FolderSizes(files.images, config.data.decoding()) if there and files.images else None
    return SideFiles(files.detection_images, sizes, files.detection_classes)
