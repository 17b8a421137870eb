"""The paper's table 1 of a split: detection mAP per model, fused, with views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.data.splits import split_files
from kit.files import read_json, write_json
from kit.metric.detection_tables import detection_scores
from kit.run import Run
from kit.stages.family import OBJECTS, Family
from kit.stages.fusion import all_detections, chosen_weights, fuse_views
from kit.stages.splits import SplitName


def table1_stage(
    run: Run, split: SplitName, force: bool = False, family: Family = OBJECTS
) -> tuple[Path, list[dict[str, Any]]]:
    """Detection mAP per model, fused, with views (the paper's table 1): stage `evaluate-SPLIT-detections`."""
    run.folder(f"{family.fusion}-{split}")
    files = split_files(getattr(run.config.data, split))
    made_from = run.key({}, files, after=[f"{family.fusion}-{split}"])
    name = f"evaluate-{split}-{'detections' if family is OBJECTS else 'attributes'}"
    with run.stage(name, made_from, force=force) as stage:
        if stage:
            rows = list(_table1(run, split, family))
            write_json(stage.path / "table1.json", rows)
            stage.metrics = {row["detector"]: round(row["mAP"], 4) for row in rows}
    path = run.path / name
    return path, read_json(path / "table1.json", list, "give --force")


def _table1(run: Run, split: SplitName, family: Family) -> Iterator[dict[str, Any]]:
    config, names = run.config, family.names(run.config)
    truth, labels = family.truth(config, split)
    views = [view.name for view in config.detector.inference.views]
    weights = chosen_weights(run, family)
    tables = {name: all_detections(run, split, name, family) for name in names}
    single = [(name, [name]) for name in names]
    blends = [("blend", names)] if len(names) > 1 else []
    for title, chosen in [*single, *blends]:
        for shown, several in ((views[:1], ""), (views, f" + {len(views)} views")):
            if several and len(views) == 1:
                continue
            own = {name: tables[name] for name in chosen}
            fused = fuse_views(own, shown, weights, config.detector.fusion)
            scores = detection_scores(truth, labels, fused, family.classes)
            yield {"detector": title + several, "mAP": scores.mean_ap, "AP": scores.ap}
