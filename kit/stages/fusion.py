"""Fusion over models and views (paper 3.1): the search for the models' weights, then shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kit.config import Config, Fusion
from kit.data.splits import split_files
from kit.errors import KitError
from kit.files import read_json, reading, write_json
from kit.metric.detection_tables import detection_scores
from kit.parallel import ordered_map
from kit.progress import Progress, silent, track
from kit.run import Run
from kit.stages.family import OBJECTS, Family
from kit.stages.splits import SplitName
from kit.tables.schema import Detections, ViewDetections
from kit.tables.shards import count_rows, read_shard, read_shards, shard_path, shard_paths, write_shard

SHARDS = "shards"
WORKERS = 2
Tables = dict[str, ViewDetections]


def chosen_weights(run: Run, family: Family = OBJECTS, force: bool = False) -> dict[str, float]:
    """The fusion weight of every model, by validation mAP (paper 3.1): stage `fusion-weights`.

    Coordinate by coordinate over the values of `fusion.weights`; the table of all tries is kept.
    """
    config, names = run.config, family.names(run.config)
    settings = config.detector.fusion
    after = [f"{family.detection}-val-{name}" for name in names]
    for stage_name in after:
        run.folder(stage_name)
    made_from = run.key(settings.model_dump(), split_files(config.data.val), after=after)
    with run.stage(family.weights, made_from, force=force) as stage:
        if stage:
            tables = {name: all_detections(run, "val", name, family) for name in names}
            weights, tries = search_weights(config, tables, family)
            write_json(stage.path / "weights.json", weights)
            write_json(stage.path / "tries.json", tries)
            stage.metrics = {"weights": weights, "mAP": round(max(t["mAP"] for t in tries), 4)}
    path = run.path / family.weights / "weights.json"
    again = f"remove {path.parent}, the weights are searched again"
    with reading(path, "fusion weights", again):
        chosen = read_json(path, dict, again)
        return {name: float(chosen[name]) for name in names}


def search_weights(
    config: Config, tables: Tables, family: Family = OBJECTS
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The best weights and every try, in order."""
    truth, labels = family.truth(config, "val")
    views = [view.name for view in config.detector.inference.views]
    settings = config.detector.fusion
    known: dict[tuple[float, ...], float] = {}

    def value(weights: dict[str, float]) -> float:
        top = max(weights.values())
        key = tuple(w / top for w in weights.values())
        if key not in known:
            fused = fuse_views(tables, views, weights, settings)
            known[key] = detection_scores(truth, labels, fused, family.classes).mean_ap
            tries.append({**weights, "mAP": known[key]})
        return known[key]

    tries: list[dict[str, Any]] = []
    best = dict.fromkeys(tables, 1.0)
    value(best)
    for _ in range(settings.rounds if len(tables) > 1 else 0):
        before = dict(best)
        for name in tables:
            options = [{**best, name: w} for w in settings.weights]
            best = max([best, *options], key=value)
        if best == before:
            break
    return best, tries


def fuse_views(
    tables: Tables, views: Sequence[str], weights: dict[str, float], settings: Fusion
) -> Detections:
    """Fuse the given views of every model; a view has its model's weight."""
    sources = [table.of_source(name, view) for name, table in tables.items() for view in views]
    own = [weights[name] for name in tables for _ in views]
    if settings.method == "wbf":
        from kit.fusion.wbf import fuse_detections

        return fuse_detections(
            sources, own, iou=settings.iou, lowest=settings.lowest, conf_type=settings.conf_type
        )
    from kit.fusion.published import combine

    return combine(sources, own, settings.method, iou=settings.iou, lowest=settings.lowest)


def fuse_shards(
    folders: dict[str, Path], out: Path, fuse: Callable[[Tables], Detections], progress: Progress = silent
) -> None:
    """Fuse shard i of every model into shard i of `out`; what is there already is left as it is.

    folders: of every model; two shards at a time are in memory. Raises KitError where the models have
    different shards.
    """
    paths = {name: shard_paths(folder) for name, folder in folders.items()}
    counts = {name: len(own) for name, own in paths.items()}
    total = max(counts.values())
    if min(counts.values()) != total:
        raise KitError(f"the models have different numbers of shards: {counts}", "detect again with --force")

    def one(i: int) -> None:
        tables = {name: read_shard(own[i], ViewDetections) for name, own in paths.items()}
        write_shard(out, i, fuse(tables))

    todo = [i for i in range(total) if not shard_path(out, i).exists()]
    for _ in progress(ordered_map(one, todo, WORKERS), len(todo), "fuse"):
        pass


def fuse_stage(run: Run, split: SplitName, force: bool = False, family: Family = OBJECTS) -> dict[str, Any]:
    """Fuse a split's detections over models and views: stage `fuse-SPLIT`, shard by shard."""
    config, names = run.config, family.names(run.config)
    if not names:
        raise KitError("detector.models is empty", "name a detector in the config")
    after = [f"{family.detection}-{split}-{name}" for name in names]
    folders = {name: run.folder(a) / SHARDS for name, a in zip(names, after, strict=True)}
    weights = chosen_weights(run, family)
    settings = config.detector.fusion
    made_from = run.key({**settings.model_dump(), "weights": weights}, after=after)
    name = f"{family.fusion}-{split}"
    with run.stage(name, made_from, force=force) as stage:
        if stage:
            views = [view.name for view in config.detector.inference.views]
            fuse = partial(fuse_views, views=views, weights=weights, settings=settings)
            fuse_shards(folders, stage.path / SHARDS, fuse, track)
            stage.metrics = {
                "boxes": sum(map(count_rows, folders.values())),
                "fused": count_rows(stage.path / SHARDS),
                "weights": weights,
            }
    return run.finished(name) or {}


def fused_detections(run: Run, split: SplitName, family: Family = OBJECTS) -> Iterator[Detections]:
    """The fused detections of a split, shard by shard. Raises KitError where they are not there."""
    return read_shards(run.folder(f"{family.fusion}-{split}") / SHARDS, Detections)


def all_detections(run: Run, split: SplitName, name: str, family: Family = OBJECTS) -> ViewDetections:
    """All detections of one model on a split, in memory."""
    folder = run.folder(f"{family.detection}-{split}-{name}") / SHARDS
    return ViewDetections.concat(list(read_shards(folder, ViewDetections)))
