"""Detection: every model over a split's pictures, all views of a picture in one pass over the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.config import Config
from kit.data.photos import GONE, PhotoFolder, list_photos
from kit.progress import notice, track
from kit.run import Run
from kit.stages.family import OBJECTS, Family
from kit.stages.fusion import SHARDS
from kit.stages.images import digest, images_key, say_left_out
from kit.stages.splits import SplitName, picture_folder, split_ids
from kit.tables.schema import Detections, ViewDetections
from kit.tables.shards import count_rows, shard_path, write_shard

if TYPE_CHECKING:
    from torch import nn

    from kit.detector.inference import Timing


def detect_stage(
    run: Run, split: SplitName, name: str, force: bool = False, family: Family = OBJECTS
) -> dict[str, Any]:
    """Detect in a split's pictures with one model, all views: stage `detect-SPLIT-NAME`, in shards."""
    config, trained = run.config, f"{family.training}-{name}"
    settings, folder = config.detector.inference, picture_folder(config, split)
    weights = run.folder(trained) / "weights.pth"
    ids = split_ids(config, split)
    made_from = run.key(
        {
            "views": [view.model_dump() for view in settings.views],
            "kept": [settings.score, settings.per_image, settings.shard, settings.precision],
            "ids": digest(ids),
            "images": images_key(run, folder, digest(ids), lambda: ids),
        },
        after=[trained],
    )
    own = f"{family.detection}-{split}-{name}"
    with run.stage(own, made_from, force=force) as stage:
        if stage:
            from kit.detector.inference import Timing
            from kit.detector.pictures import SKIPPED, record_skipped, tidy_skipped

            skipped, shards = stage.path / SKIPPED, stage.path / SHARDS
            parts = [ids[i : i + settings.shard] for i in range(0, len(ids), settings.shard)]
            todo = [i for i in range(len(parts)) if not shard_path(shards, i).exists()]
            if len(todo) < len(parts):
                notice(f"{own}: going on after {len(parts) - len(todo)} of {len(parts)} shards")
            work = _Work(config, name, weights, list_photos(folder), family.classes, own, Timing())
            for i, table, unread in work.over(parts, todo):
                for image, why in unread.items():
                    record_skipped(skipped, image, why)
                write_shard(shards, i, table)
            stage.metrics = {
                "images": len(ids),
                "detections": count_rows(shards),
                "left_out": len(tidy_skipped(skipped)),
                **work.timing.as_dict(),
            }
    if stage:
        say_left_out(run, split, own)
    return run.finished(own) or {}


@dataclass(frozen=True)
class _Work:
    """One model over the pictures of a folder."""

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
        """Shard number, detections of all views, pictures left out and why."""
        from kit.detector.inference import load_detector

        if todo:
            model = load_detector(self.config.detector, self.name, self.weights, len(self.classes))
            for i in track(todo, len(todo), self.title):
                yield i, *self._shard(model, parts[i])

    def _shard(self, model: nn.Module, ids: Sequence[str]) -> tuple[ViewDetections, dict[str, str]]:
        from kit.detector.inference import detect

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
