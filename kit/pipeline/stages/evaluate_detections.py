"""Stages `evaluate-SPLIT-detections` (paper, table 1): detection mAP per model, fused, with views.

Fusion weights are chosen on the validation split: the hidden test's mAP stands beside its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kit.base.files import read_json, write_json
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.metric.summary import HIDDEN, HIDDEN_TEST
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.splits import detection_inputs, shows_hidden_test, split_of
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.fused_detections import all_detections, chosen_weights, fuse_views

TABLE = "table1.json"
HEADS = {"detector": "detector", "mAP": "mAP", HIDDEN_TEST: HIDDEN}  # for people


@register_stages
def evaluate_detections_stages(config: Config) -> Iterator[Stage]:
    """The detectors of every split whose boxes are known."""
    models = OBJECTS.models(config)
    for split in SPLITS if models else ():
        files = split_of(config, split)
        if files.boxes or files.relations:
            truth = [*config.data.test.boxes, *config.data.test.relations]
            reads = detection_inputs(config, "test")
            hidden = [detections_stage("test")] if shows_hidden_test(config, split, truth, reads) else []
            yield Stage(
                detections_stage(split),
                partial(_evaluate, split=split),
                needs=(*(OBJECTS.detect(split, name) for name in models), OBJECTS.weights, *hidden),
                inputs=OBJECTS.inputs(config, split),
                settings={
                    **config.detector.fusion.model_dump(exclude={"weights", "rounds"}),
                    "models": models,
                },
                command=f"evaluate --detections --split {split}",
                version=3,
            )


def detections_stage(split: SplitName) -> str:
    """The stage of the detectors' mAP on a split."""
    return f"evaluate-{split}-detections"


def _evaluate(context: StageContext, split: SplitName) -> Metrics:
    rows = list(_rows(context, split))
    if split == "val":
        beside = detections_stage("test")
        hidden = read_table(context.result(beside)) if beside in context.stage.needs else [{}] * len(rows)
        rows = [row | {HIDDEN_TEST: other.get("mAP")} for row, other in zip(rows, hidden, strict=True)]
    write_json(context.path / TABLE, rows)
    return {row["detector"]: round(row["mAP"], 4) for row in rows}


def read_table(folder: Path) -> list[dict[str, Any]]:
    """A row a detector and a blend: name, mAP, AP by class; of the validation split with the hidden test's mAP."""
    rows: list[dict[str, Any]] = read_json(folder / TABLE, list, "give --force")
    return rows


def _rows(context: StageContext, split: SplitName) -> Iterator[dict[str, Any]]:
    from kit.metric.detection_tables import detection_scores

    config = context.config
    names = OBJECTS.models(config)
    truth, labels = OBJECTS.ground_truth(config, split)
    relatives = OBJECTS.relatives(config)
    views = [view.name for view in config.detector.inference.views]
    weights = chosen_weights(context, OBJECTS)
    tables = {name: all_detections(context, OBJECTS, split, name) for name in names}
    single = [(name, [name]) for name in names]
    blends = [("blend", names)] if len(names) > 1 else []
    for title, chosen in [*single, *blends]:
        for shown, several in ((views[:1], ""), (views, f" + {len(views)} views")):
            if several and len(views) == 1:
                continue
            fused = fuse_views({n: tables[n] for n in chosen}, shown, weights, config.detector.fusion)
            scores = detection_scores(truth, labels, fused, OBJECTS.classes, relatives)
            yield {"detector": title + several, "mAP": scores.mean_ap, "AP": scores.ap}
