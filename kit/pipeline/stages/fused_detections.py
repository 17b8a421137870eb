"""Stages `fusion-weights` and `fuse-SPLIT` (paper 3.1): the search for the models' weights, then every shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.errors import KitError
from kit.base.files import read_json, reading, write_json
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config, Fusion
from kit.pipeline.detector_task import OBJECTS, TASKS, DetectorTask
from kit.pipeline.engine.sharded import Part, ShardedWork, by_shard
from kit.pipeline.splits import given_detections
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.tables.shards import SHARDS, count_rows, read_shard, read_shards, shard_paths

if TYPE_CHECKING:
    from kit.tables.schema import Detections, ViewDetections

Tables = dict[str, "ViewDetections"]


@register_stages
def fusion_stages(config: Config) -> Iterator[Stage]:
    """For both tasks: the weights of its models, by validation mAP, and the fusion of every split.

    Objects that were detected elsewhere (`kit.pipeline.stages.given_detections`) are fused already.
    """
    views = [view.model_dump() for view in config.detector.inference.views]
    for task in TASKS:
        names, fusion = task.models(config), task.fusion(config)
        if not names:
            continue
        yield Stage(
            task.weights,
            partial(_choose_weights, task=task),
            needs=tuple(task.detect("val", name) for name in names),
            inputs=task.inputs(config, "val"),
            settings={**fusion.model_dump(), "views": views, "models": names},
            command=f"fuse --split val{task.option}",
            headline="mAP",
        )
        for split in SPLITS:
            given = given_detections(config, split)
            if given and task is OBJECTS:
                continue
            yield Stage(
                task.fuse(split),
                ShardedWork(
                    partial(_count, task=task, split=split),
                    by_shard(partial(_fusing, task=task, split=split)),
                    partial(_metrics, task=task, split=split),
                    "fuse",
                ),
                needs=(*(task.detect(split, name) for name in names), task.weights),
                settings={
                    **fusion.model_dump(exclude={"weights", "rounds"}),
                    "views": views,
                    "models": names,
                },
                command=f"fuse --split {split}{task.option}",
                headline="fused",
                trains=split == "val" and not given,
                table=_table,
            )


def _table() -> type[Detections]:
    from kit.tables.schema import Detections

    return Detections


def _choose_weights(context: StageContext, task: DetectorTask) -> Metrics:
    config = context.config
    tables = {name: all_detections(context, task, "val", name) for name in task.models(config)}
    weights, tries = search_weights(config, tables, task)
    write_json(context.path / "weights.json", weights)
    write_json(context.path / "tries.json", tries)
    return {"weights": weights, "mAP": round(max(t["mAP"] for t in tries), 4)}


def chosen_weights(context: StageContext, task: DetectorTask) -> dict[str, float]:
    """The fusion weight of every model."""
    path = context.result(task.weights) / "weights.json"
    again = f"remove {path.parent}, the weights are searched again"
    with reading(path, "fusion weights", again):
        chosen = read_json(path, dict, again)
        return {name: float(chosen[name]) for name in task.models(context.config)}


def search_weights(
    config: Config, tables: Tables, task: DetectorTask = OBJECTS
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The best weights and every try, in order."""
    settings, mean_ap = task.fusion(config), fused_mean_ap(config, "val", tables, task)
    known: dict[tuple[float, ...], float] = {}

    def value(weights: dict[str, float]) -> float:
        key = in_proportion(weights)
        if key not in known:
            known[key] = mean_ap(weights)
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


def in_proportion(weights: dict[str, float]) -> tuple[float, ...]:
    """Weights of which the largest is 1: what makes the same fusion is equal."""
    top = max(weights.values())
    return tuple(w / top for w in weights.values())


def fused_mean_ap(
    config: Config, split: SplitName, tables: Tables, task: DetectorTask
) -> Callable[[dict[str, float]], float]:
    """The mAP of a split's detections, fused, by the models' weights."""
    from kit.metric.detection_tables import detection_scores

    truth, labels = task.ground_truth(config, split)
    relatives = task.relatives(config)
    views = [view.name for view in config.detector.inference.views]

    def mean_ap(weights: dict[str, float]) -> float:
        fused = fuse_views(tables, views, weights, task.fusion(config))
        return detection_scores(truth, labels, fused, task.classes, relatives).mean_ap

    return mean_ap


def fuse_views(
    tables: Tables, views: Sequence[str], weights: dict[str, float], settings: Fusion
) -> Detections:
    """Fuse the given views of every model; a view has its model's weight."""
    sources = [table.of_source(name, view) for name, table in tables.items() for view in views]
    source_weights = [weights[name] for name in tables for _ in views]
    if settings.method == "wbf":
        from kit.fusion.wbf import fuse_detections

        return fuse_detections(
            sources,
            source_weights,
            iou=settings.iou_threshold,
            skip_box_threshold=settings.skip_box_threshold,
            conf_type=settings.conf_type,
        )
    from kit.fusion.published import combine

    return combine(
        sources,
        source_weights,
        settings.method,
        iou=settings.iou_threshold,
        skip_box_threshold=settings.skip_box_threshold,
    )


def fuse_shard(paths: Mapping[str, Path], fuse: Callable[[Tables], Detections]) -> Detections:
    """Fuse one shard of every model. paths: of the shard, by model."""
    from kit.tables.schema import ViewDetections

    return fuse({name: read_shard(path, ViewDetections) for name, path in paths.items()})


def _fusing(context: StageContext, task: DetectorTask, split: SplitName) -> Callable[[int], Part]:
    """What fuses shard i of all models."""
    config, shards = context.config, _sources(context, task, split)
    views = [view.name for view in config.detector.inference.views]
    weights = chosen_weights(context, task)
    fuse = partial(fuse_views, views=views, weights=weights, settings=task.fusion(config))
    return lambda i: Part(fuse_shard({name: paths[i] for name, paths in shards.items()}, fuse))


def _count(context: StageContext, task: DetectorTask, split: SplitName) -> int:
    """The shards of every model. Raises KitError where they have different numbers of them."""
    counts = {name: len(paths) for name, paths in _sources(context, task, split).items()}
    if len(set(counts.values())) > 1:
        raise KitError(f"the models have different numbers of shards: {counts}", "detect again with --force")
    return max(counts.values())


def _sources(context: StageContext, task: DetectorTask, split: SplitName) -> dict[str, list[Path]]:
    """The shards of every model."""
    names = task.models(context.config)
    return {name: shard_paths(context.result(task.detect(split, name)) / SHARDS) for name in names}


def _metrics(context: StageContext, _: Mapping[str, float], task: DetectorTask, split: SplitName) -> Metrics:
    folders = [context.result(task.detect(split, name)) / SHARDS for name in task.models(context.config)]
    return {
        "boxes": sum(map(count_rows, folders)),
        "fused": count_rows(context.path / SHARDS),
        "weights": chosen_weights(context, task),
    }


def fused_detections(folder: Path) -> Detections:
    """The fused detections in a stage's folder, all in memory."""
    from kit.tables.schema import Detections

    return Detections.concat(list(read_shards(folder / SHARDS, Detections)))


def all_detections(context: StageContext, task: DetectorTask, split: SplitName, model: str) -> ViewDetections:
    """All detections of one model on a split, in memory."""
    from kit.tables.schema import ViewDetections

    folder = context.result(task.detect(split, model)) / SHARDS
    return ViewDetections.concat(list(read_shards(folder, ViewDetections)))
