"""Scored candidates of a split's detections, shard by shard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.boxes import area
from kit.data.objects import Objects
from kit.errors import KitError
from kit.parallel import ordered_map
from kit.progress import notice, track
from kit.relation.ensemble import ScorerName
from kit.relation.scored import score_objects
from kit.relation.scoring import shards
from kit.run import Run
from kit.stages.family import ATTRIBUTES
from kit.stages.fusion import SHARDS, WORKERS
from kit.stages.models import load_ensemble, note_unseen, say_unseen, stages_of, visual_images_key
from kit.stages.splits import SplitName, ids_file, split_ids
from kit.tables.image_ids import images_of, unmatched
from kit.tables.official import read_detections
from kit.tables.schema import Detections
from kit.tables.shards import count_rows, read_shard, read_shards, shard_path, shard_paths, write_shard


def pairs_stage(run: Run, split: SplitName, scorer: ScorerName, force: bool = False) -> dict[str, Any]:
    """Score the candidates of a split's detections by every model there is: stage `pairs-SPLIT`, in shards.

    The detections are the run's own, or for the test set the files of `data.test.detections`.
    """
    config = run.config
    files = config.data.test.detections if split == "test" else []
    after = stages_of(run, scorer)
    inputs = [*files, *([ids_file(config)] if split == "test" else [])]
    if not files:
        after.append(f"fuse-{split}")
        run.folder(f"fuse-{split}")
    with_attributes = not files and bool(config.attribute.models)
    if with_attributes:
        after.append(f"{ATTRIBUTES.fusion}-{split}")
        run.folder(f"{ATTRIBUTES.fusion}-{split}")
    settings = {"scorer": scorer, "budget": config.relation.budget.model_dump()}
    settings |= visual_images_key(run, scorer, split)
    name = f"pairs-{split}"
    with run.stage(name, run.key(settings, inputs, after=after), force=force) as stage:
        if stage:
            ensemble = load_ensemble(run, scorer, split)
            total, objects = _objects(run, split, files)
            attributes = _attributes(run, split) if with_attributes else None

            def work(numbered: tuple[int, Objects]) -> int:
                i, own = numbered
                found = read_shard(attributes[i], Detections) if attributes else None
                scored = score_objects(ensemble, own, config.relation.budget, found)
                note_unseen(ensemble.visual, stage.path)
                return write_shard(stage.path / SHARDS, i, scored)

            todo = (
                (i, own) for i, own in enumerate(objects) if not shard_path(stage.path / SHARDS, i).exists()
            )
            for _ in track(ordered_map(work, todo, WORKERS), total, f"pairs {split}"):
                pass
            say_unseen(name, stage.path, len(split_ids(config, split)))
            stage.metrics = {"pairs": count_rows(stage.path / SHARDS), "scorer": scorer}
    return run.finished(name) or {}


def _objects(run: Run, split: SplitName, files: list[Path]) -> tuple[int, Iterator[Objects]]:
    """The number of shards of a split's detections, and the shards."""
    if not files:
        folder = run.folder(f"fuse-{split}") / SHARDS
        return len(shard_paths(folder)), read_shards(folder, Detections)
    ids = split_ids(run.config, split)
    detections = read_detections(files)
    named = ", ".join(map(str, files))
    strange = unmatched(images_of(detections), set(ids))
    if strange:
        where = f"not in {ids_file(run.config)}"
        text = f"{named}: {strange.say('images with detections', where)}"
        if strange.none_match:
            raise KitError(text, "data.test.detections and data.test.ids must be of the same images")
        notice(f"{text}; left out")
    detections = detections.take(area(detections.box) > 0)  # the reader has told of those without
    parts = list(shards(detections.of_images(ids)))
    return len(parts), iter(parts)


def _attributes(run: Run, split: SplitName) -> list[Path]:
    return shard_paths(run.folder(f"{ATTRIBUTES.fusion}-{split}") / SHARDS)
