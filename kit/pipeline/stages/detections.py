"""Stages `detect-SPLIT-NAME`: every model over a split's images, all views of an image in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.log import logger
from kit.base.progress import track
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.data.photos import GONE, PhotoFolder, list_photos
from kit.pipeline.detector_task import TASKS, DetectorTask
from kit.pipeline.splits import id_inputs, image_folder, images_input, split_ids
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.tables.shards import SHARDS, count_rows, shard_path, write_shard

if TYPE_CHECKING:
    from torch import nn

    from kit.detector.inference import Timing
    from kit.tables.schema import ViewDetections


@register_stages
def detect_stages(config: Config) -> Iterator[Stage]:
    """Detections of every model of both tasks on every split."""
    for task in TASKS:
        for split in SPLITS:
            for name in task.models(config):
                yield _stage(config, task, split, name)


SETTINGS = {  # that the detections depend on; images of a batch are padded to one size
    *("batch_size", "score_threshold", "max_detections", "shard", "precision"),
}


def _stage(config: Config, task: DetectorTask, split: SplitName, name: str) -> Stage:
    settings, files = config.detector.inference, id_inputs(config, split)
    return Stage(
        task.detect(split, name),
        partial(_detect, task=task, split=split, name=name),
        needs=(task.detector(name),),
        inputs=(*files, images_input(config, split, files, lambda: split_ids(config, split))),
        settings={
            "views": [view.model_dump() for view in settings.views],
            **settings.model_dump(include=SETTINGS),
        },
        command=f"detect {name} --split {split}{task.option}",
        headline="images_per_second",
        table=_table,
    )


def _table() -> type[ViewDetections]:
    from kit.tables.schema import ViewDetections

    return ViewDetections


def _detect(context: StageContext, task: DetectorTask, split: SplitName, name: str) -> Metrics:
    from kit.detector.annotated_images import SKIPPED, record_skipped, tidy_skipped
    from kit.detector.inference import Timing

    config, settings = context.config, context.config.detector.inference
    weights = context.result(task.detector(name)) / "weights.pth"
    ids = split_ids(config, split)
    skipped, shards = context.path / SKIPPED, context.path / SHARDS
    parts = [ids[i : i + settings.shard] for i in range(0, len(ids), settings.shard)]
    todo = [i for i in range(len(parts)) if not shard_path(shards, i).exists()]
    if len(todo) < len(parts):
        logger.info(f"{context.stage.name}: going on after {len(parts) - len(todo)} of {len(parts)} shards")
    photos = list_photos(image_folder(config, split))
    work = _Work(config, name, weights, photos, task.classes, context.stage.name, Timing())
    for i, table, unread in work.over(parts, todo):
        for image, why in unread.items():
            record_skipped(skipped, image, why)
        write_shard(shards, i, table)
    return {
        "images": len(ids),
        "detections": count_rows(shards),
        "left_out": len(tidy_skipped(skipped)),
        **work.timing.as_dict(),
    }


@dataclass(frozen=True)
class _Work:
    """One model over the images of a folder."""

    config: Config
    name: str
    weights: Path
    photos: PhotoFolder
    classes: Sequence[str]
    title: str
    timing: Timing

    def over(
        self, parts: Sequence[Sequence[str]], todo: Sequence[int]
    ) -> Iterator[tuple[int, ViewDetections, dict[str, str]]]:
        """Shard number, detections of all views, images left out and why."""
        from kit.detector.inference import load_detector

        if todo:
            model = load_detector(self.config.detector, self.name, self.weights, len(self.classes))
            for i in track(todo, len(todo), self.title):
                yield i, *self._shard(model, parts[i])

    def _shard(self, model: nn.Module, ids: Sequence[str]) -> tuple[ViewDetections, dict[str, str]]:
        import numpy as np

        from kit.detector.inference import detect
        from kit.tables.schema import Detections, ViewDetections

        settings, decoding = self.config.detector.inference, self.config.data.decoding()
        there = [image for image in ids if image in self.photos]
        unread = {image: GONE for image in ids if image not in self.photos}
        found = detect(model, self.photos, there, settings.views, settings, self.timing, decoding)
        unread |= found.skipped
        tables = []
        for view, table in zip(settings.views, found.views, strict=True):
            table = table.of_images(ids)
            columns = {c: getattr(table, c) for c in ("image", *Detections.COLUMNS)}
            source = {"model": np.full(len(table), self.name), "view": np.full(len(table), view.name)}
            tables.append(ViewDetections(images=table.images, **columns, **source))
        return ViewDetections.concat(tables), unread
