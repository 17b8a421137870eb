"""The stages after training: detection over views, the search for fusion weights, fusion, and table 1."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.config import Config, Fusion
from kit.errors import KitError
from kit.files import write_json
from kit.progress import notice, track
from kit.run import Run
from kit.stages.detector import CLASSES, SplitName, detection_map, detection_scores, split_boxes
from kit.tables.official import read_image_ids, read_image_labels
from kit.tables.schema import Boxes, Detections, ImageLabels, ViewDetections
from kit.tables.shards import count_rows, read_shards, shard_path, write_shard

if TYPE_CHECKING:
    from kit.detector.inference import Timing

SHARDS = "shards"


def detect_stage(run: Run, split: SplitName, name: str, force: bool = False) -> dict[str, Any]:
    """Detect objects in a split's pictures with one model, all views: stage `detect-SPLIT-NAME`, in shards."""
    from kit.detector.inference import Timing
    from kit.detector.pictures import GONE, record_skipped, tidy_skipped

    config, folder = run.config, picture_folder(run.config, split)
    settings = config.detector.inference
    weights = run.folder(f"detector-{name}") / "weights.pth"
    ids = split_ids(config, split)
    made_from = run.key(
        {
            "views": [view.model_dump() for view in settings.views],
            "kept": [settings.score, settings.per_image, settings.shard, settings.precision],
            "images": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
            "folder": str(folder),
        },
        after=[f"detector-{name}"],
    )
    with run.stage(f"detect-{split}-{name}", made_from, force=force) as stage:
        if stage:
            skipped, shards = stage.path / "skipped.csv", stage.path / SHARDS
            parts = [ids[i : i + settings.shard] for i in range(0, len(ids), settings.shard)]
            todo = [i for i in range(len(parts)) if not shard_path(shards, i).exists()]
            if len(todo) < len(parts):
                notice(
                    f"detect {split} {name}: going on after {len(parts) - len(todo)} of {len(parts)} shards"
                )
            timing = Timing()
            for i, table, unread in _detected(config, name, weights, folder, parts, todo, split, timing):
                write_shard(shards, i, table)
                for image, why in unread:
                    record_skipped(skipped, image, why)
            left_out = tidy_skipped(skipped)
            if left_out:
                notice(
                    f"detect {split} {name}: {left_out} pictures are {GONE} or not readable, see {skipped.name}"
                )
            stage.metrics = {
                "images": len(ids),
                "detections": count_rows(shards),
                "left_out": left_out,
                **timing.as_dict(),
            }
    return run.finished(f"detect-{split}-{name}") or {}


def _detected(
    config: Config,
    name: str,
    weights: Path,
    folder: Path,
    parts: Sequence[Sequence[str]],
    todo: Sequence[int],
    split: str,
    timing: Timing,
) -> Iterator[tuple[int, ViewDetections, list[tuple[str, str]]]]:
    """Shard number, detections of all views, pictures left out and why."""
    from kit.detector.inference import detect, load_detector
    from kit.detector.pictures import GONE

    settings = config.detector.inference
    if not todo:
        return
    model = load_detector(config.detector, name, weights, len(CLASSES))
    for i in track(todo, len(todo), f"detect {split} {name}"):
        there = {image: (folder / f"{image}.jpg").exists() for image in parts[i]}
        unread = [(image, GONE) for image, known in there.items() if not known]
        found = detect(model, folder, [m for m in parts[i] if there[m]], settings.views, settings, timing)
        unread += [(image, "not readable as a picture") for image in found.skipped]
        tables = []
        for view, table in zip(settings.views, found.views, strict=True):
            table = table.of_images(parts[i])
            columns = {c: getattr(table, c) for c in ("image", *Detections.COLUMNS)}
            source = {"model": np.full(len(table), name), "view": np.full(len(table), view.name)}
            tables.append(ViewDetections(images=table.images, **columns, **source))
        yield i, ViewDetections.concat(tables), unread


def weights_stage(run: Run, force: bool = False) -> dict[str, float]:
    """Choose the fusion weight of every model by validation mAP (paper 3.1): stage `fusion-weights`.

    Coordinate by coordinate over the values of `fusion.weights`; the table of all tries is kept.
    """
    config, names = run.config, list(run.config.detector.models)
    settings = config.detector.fusion
    for name in names:
        run.folder(f"detect-val-{name}")
    after = [f"detect-val-{name}" for name in names]
    made_from = run.key(settings.model_dump(), config.data.val.boxes + config.data.val.labels, after=after)
    with run.stage("fusion-weights", made_from, force=force) as stage:
        if stage:
            tables = {name: _whole(run, "val", name) for name in names}
            weights, tries = search_weights(config, tables)
            write_json(stage.path / "weights.json", weights)
            write_json(stage.path / "tries.json", tries)
            stage.metrics = {"weights": weights, "mAP": round(max(t["mAP"] for t in tries), 4)}
    path = run.path / "fusion-weights" / "weights.json"
    chosen: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return chosen


def search_weights(
    config: Config, tables: dict[str, ViewDetections]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The best weights and every try, in order."""
    truth, labels = truth_of(config, "val")
    views = [view.name for view in config.detector.inference.views]
    settings = config.detector.fusion
    known: dict[tuple[float, ...], float] = {}

    def value(weights: dict[str, float]) -> float:
        top = max(weights.values())
        key = tuple(w / top for w in weights.values())
        if key not in known:
            fused = fuse_views(tables, views, weights, settings)
            known[key] = detection_map(truth, labels, fused, CLASSES)
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
    tables: dict[str, ViewDetections], views: Sequence[str], weights: dict[str, float], settings: Fusion
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


def fuse_stage(run: Run, split: SplitName, force: bool = False) -> dict[str, Any]:
    """Fuse a split's detections over models and views: stage `fuse-SPLIT`, shard by shard."""
    config, names = run.config, list(run.config.detector.models)
    if not names:
        raise KitError("detector.models is empty", "name a detector in the config")
    for name in names:
        run.folder(f"detect-{split}-{name}")
    weights = weights_stage(run)
    settings = config.detector.fusion
    after = [f"detect-{split}-{name}" for name in names]
    made_from = run.key({**settings.model_dump(), "weights": weights}, after=after)
    with run.stage(f"fuse-{split}", made_from, force=force) as stage:
        if stage:
            views = [view.name for view in config.detector.inference.views]
            folders = {name: run.folder(f"detect-{split}-{name}") / SHARDS for name in names}
            total = min(len(list(folder.glob("*.parquet"))) for folder in folders.values())
            streams = [read_shards(folder, ViewDetections) for folder in folders.values()]
            todo = track(zip(*streams, strict=True), total, f"fuse {split}")
            before = 0
            for i, parts in enumerate(todo):
                before += sum(map(len, parts))
                if not shard_path(stage.path / SHARDS, i).exists():
                    fused = fuse_views(dict(zip(names, parts, strict=True)), views, weights, settings)
                    write_shard(stage.path / SHARDS, i, fused)
            stage.metrics = {
                "boxes": before,
                "fused": count_rows(stage.path / SHARDS),
                "weights": weights,
            }
    return run.finished(f"fuse-{split}") or {}


def fused_detections(run: Run, split: SplitName) -> Iterator[Detections]:
    """The fused detections of a split, shard by shard. Raises KitError where they are not there."""
    return read_shards(run.folder(f"fuse-{split}") / SHARDS, Detections)


def table1_stage(run: Run, split: SplitName, force: bool = False) -> tuple[Path, list[dict[str, Any]]]:
    """Detection mAP per model, fused, with views (the paper's table 1): stage `evaluate-SPLIT-detections`."""
    config, names = run.config, list(run.config.detector.models)
    run.folder(f"fuse-{split}")
    files = getattr(config.data, split)
    made_from = run.key({}, [*files.boxes, *files.labels, *files.relations], after=[f"fuse-{split}"])
    name = f"evaluate-{split}-detections"
    with run.stage(name, made_from, force=force) as stage:
        if stage:
            weights = weights_stage(run)
            rows = list(_table1(run, split, names, weights))
            write_json(stage.path / "table1.json", rows)
            stage.metrics = {row["detector"]: round(row["mAP"], 4) for row in rows}
    path = run.path / name
    rows = json.loads((path / "table1.json").read_text(encoding="utf-8"))
    return path, rows


def _table1(
    run: Run, split: SplitName, names: list[str], weights: dict[str, float]
) -> Iterator[dict[str, Any]]:
    config = run.config
    truth, labels = truth_of(config, split)
    views = [view.name for view in config.detector.inference.views]
    tables = {name: _whole(run, split, name) for name in names}
    for title, chosen in [
        *((name, [name]) for name in names),
        *([("blend", names)] if len(names) > 1 else []),
    ]:
        for shown, several in ((views[:1], ""), (views, f" + {len(views)} views")):
            if several and len(views) == 1:
                continue
            fused = fuse_views(
                {name: tables[name] for name in chosen}, shown, weights, config.detector.fusion
            )
            scores = detection_scores(truth, labels, fused, CLASSES)
            yield {"detector": title + several, "mAP": scores.mean_ap, "AP": scores.ap}


def _whole(run: Run, split: SplitName, name: str) -> ViewDetections:
    folder = run.folder(f"detect-{split}-{name}") / SHARDS
    return ViewDetections.concat(list(read_shards(folder, ViewDetections)))


def truth_of(config: Config, split: SplitName) -> tuple[Boxes, ImageLabels | None]:
    """Ground-truth boxes and verified labels of a split."""
    files = getattr(config.data, split)
    labels = read_image_labels(files.labels, others=True) if files.labels else None
    return split_boxes(files, split), labels


def split_ids(config: Config, split: SplitName) -> tuple[str, ...]:
    """The pictures of a split: the test's by the sample submission, the others' by their annotations."""
    if split == "test":
        if config.data.test.ids is None:
            raise KitError(
                "data.test.ids is not set", "give the sample submission with --set data.test.ids=FILE"
            )
        return read_image_ids(config.data.test.ids)
    return split_boxes(getattr(config.data, split), split).images


def picture_folder(config: Config, split: SplitName) -> Path:
    """Where a split's pictures are. Raises KitError where that is not set or not there."""
    folder: Path | None = getattr(config.data, split).images
    if folder is None:
        raise KitError(f"data.{split}.images is not set", f"give it with --set data.{split}.images=FOLDER")
    if not folder.is_dir():
        raise KitError(
            f"{folder}: no such folder of pictures", f"run `kit download`, or set data.{split}.images"
        )
    return folder
