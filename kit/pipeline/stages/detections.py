"""Stages `detect-SPLIT-NAME`: models over a split's images, all of them and all views in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from kit.base.progress import one_line
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.data.photos import GONE, list_photos
from kit.pipeline.detector_task import TASKS, DetectorTask
from kit.pipeline.engine.sharded import DoShards, Part, ShardedWork, ShardResult, Todo, named
from kit.pipeline.splits import detection_inputs, image_folder, split_ids
from kit.pipeline.stage import Metrics, Stage, StageContext, Together
from kit.pipeline.stage_registry import register_stages
from kit.tables.shards import SHARDS, count_rows

if TYPE_CHECKING:
    from torch import nn

    from kit.data.photos import PhotoFolder
    from kit.detector.inference import Found
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
    return Stage(
        task.detect(split, name),
        ShardedWork(
            partial(_count, split=split),
            partial(_open, split=split),
            partial(_metrics, split=split),
        ),
        needs=(task.detector(name),),
        inputs=detection_inputs(config, split),
        settings={
            "views": [view.model_dump() for view in settings.views],
            **settings.model_dump(include=SETTINGS),
        },
        command=f"detect {name} --split {split}{task.option}",
        headline="images_per_second",
        table=_table,
        together=Together(f"detect-{split}"),
        device=config.detector.device,
    )


def _table() -> type[ViewDetections]:
    from kit.tables.schema import ViewDetections

    return ViewDetections


def _parts(config: Config, split: SplitName) -> list[Sequence[str]]:
    """The images of every shard."""
    ids, size = split_ids(config, split), config.detector.inference.shard
    return [ids[i : i + size] for i in range(0, len(ids), size)]


def _count(context: StageContext, split: SplitName) -> int:
    return len(_parts(context.config, split))


def _open(contexts: Sequence[StageContext], split: SplitName) -> DoShards:
    """Load the detectors of several stages of one split, for one pass over its photos."""
    config = contexts[0].config
    return partial(
        _detect,
        config,
        {context.stage.name: _detector(context) for context in contexts},
        _parts(config, split),
        list_photos(image_folder(config, split)),
    )


def _detector(context: StageContext) -> tuple[str, nn.Module]:
    """The trained detector of a stage, by its one need; its name in the config first."""
    from kit.detector.inference import load_detector

    (need,) = context.stage.needs
    task, name = next((t, n) for t in TASKS for n in t.models(context.config) if t.detector(n) == need)
    weights = context.result(need) / "weights.pth"
    return name, load_detector(context.config.detector, name, weights, len(task.classes))


def _detect(
    config: Config,
    detectors: Mapping[str, tuple[str, nn.Module]],
    parts: Sequence[Sequence[str]],
    photos: PhotoFolder,
    todo: Todo,
) -> Iterator[ShardResult]:
    """Yield what the detectors see in shards. detectors: by their stages; parts: the images of all shards."""
    from kit.detector.inference import Shard, detect_shards

    settings = config.detector.inference
    shards = [
        Shard([i for i in parts[number] if i in photos], {name: detectors[name][1] for name in names})
        for number, names in todo
    ]
    batches = sum(-(-len(shard.images) // settings.batch_size) for shard in shards)
    how = (photos, settings.views, settings, config.data.decoding())
    with (
        one_line(batches, ", ".join(detectors), "images", settings.batch_size) as progress,
        closing(detect_shards(shards, *how, progress)) as found,
    ):
        for number, names in todo:
            with named(", ".join(names), number):
                several = next(found)
            gone = {image: GONE for image in parts[number] if image not in photos}
            for name, one in zip(names, several, strict=True):
                part = _part(config, detectors[name][0], parts[number], one, gone)
                yield ShardResult.of(name, number, part)


def _part(config: Config, model: str, ids: Sequence[str], found: Found, gone: Mapping[str, str]) -> Part:
    """What a model found in a shard. ids: its images; gone: those that are not there, and why."""
    import numpy as np

    from kit.tables.schema import Detections, ViewDetections

    tables = []
    for view, table in zip(config.detector.inference.views, found.views, strict=True):
        table = table.of_images(ids)
        columns = {c: getattr(table, c) for c in ("image", *Detections.COLUMNS)}
        source = {"model": np.full(len(table), model), "view": np.full(len(table), view.name)}
        tables.append(ViewDetections(images=table.images, **columns, **source))
    return Part(ViewDetections.concat(tables), {**gone, **found.skipped}, asdict(found.timing))


def _metrics(context: StageContext, sums: Mapping[str, float], split: SplitName) -> Metrics:
    from kit.detector.annotated_images import SKIPPED, tidy_skipped
    from kit.detector.inference import Timing

    return {
        "images": len(split_ids(context.config, split)),
        "detections": count_rows(context.path / SHARDS),
        "left_out": len(tidy_skipped(context.path / SKIPPED)),
        **Timing(sums.get("waited", 0.0), sums.get("worked", 0.0), int(sums.get("images", 0))).as_dict(),
    }
