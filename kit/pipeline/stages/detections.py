"""Stages `detect-SPLIT-NAME`: models over a split's images, all of them and all views in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.log import logger
from kit.base.progress import one_line
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.data.photos import GONE, list_photos
from kit.pipeline.detector_task import TASKS, DetectorTask
from kit.pipeline.splits import detection_inputs, image_folder, split_ids
from kit.pipeline.stage import Metrics, Stage, StageContext, Together
from kit.pipeline.stage_registry import register_stages
from kit.tables.shards import SHARDS, count_rows, shard_path, write_shard

if TYPE_CHECKING:
    from torch import nn

    from kit.detector.inference import Found, Timing
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
    settings = config.detector.inference
    together = partial(_detect, split=split)
    return Stage(
        task.detect(split, name),
        lambda context: together([context])[0],
        needs=(task.detector(name),),
        inputs=detection_inputs(config, split),
        settings={
            "views": [view.model_dump() for view in settings.views],
            **settings.model_dump(include=SETTINGS),
        },
        command=f"detect {name} --split {split}{task.option}",
        headline="images_per_second",
        table=_table,
        together=Together(f"detect-{split}", together),
    )


def _table() -> type[ViewDetections]:
    from kit.tables.schema import ViewDetections

    return ViewDetections


def _detect(contexts: Sequence[StageContext], split: SplitName) -> list[Metrics]:
    """Detections of several stages of one split, in one pass over its photos."""
    from kit.detector.inference import Shard, detect_shards

    config, settings = contexts[0].config, contexts[0].config.detector.inference
    ids, photos = split_ids(config, split), list_photos(image_folder(config, split))
    parts = [ids[i : i + settings.shard] for i in range(0, len(ids), settings.shard)]
    works = [_Work.of(context) for context in contexts]
    todo = {work.name: work.left(parts) for work in works}
    models = {work.name: work.model() for work in works if todo[work.name]}
    numbers = sorted(set().union(*todo.values()))
    at_work = [[work for work in works if i in todo[work.name]] for i in numbers]
    there = [[image for image in parts[i] if image in photos] for i in numbers]
    shards = [
        Shard(images, {work.name: models[work.name] for work in own})
        for images, own in zip(there, at_work, strict=True)
    ]
    batches = sum(-(-len(images) // settings.batch_size) for images in there)
    how = (photos, settings.views, settings, config.data.decoding())
    with (
        one_line(batches, ", ".join(models), "images", settings.batch_size) as progress,
        closing(detect_shards(shards, *how, progress)) as found,
    ):
        for i, own in zip(numbers, at_work, strict=True):
            gone = {image: GONE for image in parts[i] if image not in photos}
            for work, one in zip(own, next(found), strict=True):
                work.write(i, parts[i], one, gone)
    return [work.metrics(len(ids)) for work in works]


@dataclass
class _Work:
    """A stage's detector over the images of a split."""

    context: StageContext
    task: DetectorTask
    model_name: str
    timing: Timing

    @classmethod
    def of(cls, context: StageContext) -> _Work:
        """The work of a stage, by its one need."""
        from kit.detector.inference import Timing

        detector = context.stage.needs[0]
        task, name = next(
            (task, name)
            for task in TASKS
            for name in task.models(context.config)
            if task.detector(name) == detector
        )
        return cls(context, task, name, Timing())

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.context.stage.name

    @property
    def shards(self) -> Path:
        """The folder of the stage's shards."""
        return self.context.path / SHARDS

    def left(self, parts: Sequence[Sequence[str]]) -> list[int]:
        """The numbers of the shards that are not there."""
        left = [i for i in range(len(parts)) if not shard_path(self.shards, i).exists()]
        if len(left) < len(parts):
            logger.info(f"{self.name}: going on after {len(parts) - len(left)} of {len(parts)} shards")
        return left

    def model(self) -> nn.Module:
        """The trained detector."""
        from kit.detector.inference import load_detector

        weights = self.context.result(self.task.detector(self.model_name)) / "weights.pth"
        return load_detector(self.context.config.detector, self.model_name, weights, len(self.task.classes))

    def write(self, number: int, ids: Sequence[str], found: Found, gone: dict[str, str]) -> None:
        """Write what was found in a shard. ids: its images; gone: those that are not there, and why."""
        import numpy as np

        from kit.detector.annotated_images import SKIPPED, record_skipped
        from kit.tables.schema import Detections, ViewDetections

        self.timing += found.timing
        for image, why in (gone | found.skipped).items():
            record_skipped(self.context.path / SKIPPED, image, why)
        tables = []
        views = self.context.config.detector.inference.views
        for view, table in zip(views, found.views, strict=True):
            table = table.of_images(ids)
            columns = {c: getattr(table, c) for c in ("image", *Detections.COLUMNS)}
            source = {"model": np.full(len(table), self.model_name), "view": np.full(len(table), view.name)}
            tables.append(ViewDetections(images=table.images, **columns, **source))
        write_shard(self.shards, number, ViewDetections.concat(tables))

    def metrics(self, images: int) -> Metrics:
        """The stage's metrics."""
        from kit.detector.annotated_images import SKIPPED, tidy_skipped

        return {
            "images": images,
            "detections": count_rows(self.shards),
            "left_out": len(tidy_skipped(self.context.path / SKIPPED)),
            **self.timing.as_dict(),
        }
