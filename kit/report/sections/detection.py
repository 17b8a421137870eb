"""The detectors: mAP by class and by size, the weights of the fusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kit.base.files import read_json
from kit.metric.detection_sizes import SIZES, scores_by_size
from kit.metric.detection_tables import detection_scores
from kit.metric.summary import HIDDEN_TEST
from kit.pipeline.detector_task import OBJECTS, TASKS, detection_metric
from kit.pipeline.splits import CLASSES
from kit.pipeline.stages.evaluate_detections import detections_stage, read_table
from kit.report.blocks import Block, Column, Table
from kit.report.results import RunResults
from kit.vocabulary import vocabulary


def detection_blocks(results: RunResults) -> Iterator[Block]:
    """The mAP by detector where that was evaluated, the mAP by size, the AP by class."""
    truth, labels = OBJECTS.ground_truth(results.config, results.split)
    found, relatives = results.detections, OBJECTS.relatives(results.config)
    if (stage := detections_stage(results.split)) in results.records:
        yield _detectors(read_table(results.folder(stage)), results)
    by_size = scores_by_size(truth, labels, found, CLASSES)
    shares = {size.name: f"{size.low:.0%} to {min(size.high, 1):.0%}" for size in SIZES}
    yield Table(
        "mAP by size of the object",
        (
            Column("Size", "text"),
            Column("Share of the image", "text"),
            Column("True boxes", "count"),
            Column("Classes", "count"),
            Column("mAP", "bar"),
        ),
        [
            (name, shares[name], sum(scores.num_gt.values()), len(scores.num_gt), scores.mean_ap)
            for name, scores in by_size.items()
        ],
        "As COCO has it: true boxes of another size, and what was detected on them, neither help nor harm. "
        "IoU 0.5, without a class hierarchy.",
    )
    scores = detection_scores(truth, labels, found, CLASSES, relatives)
    yield Table(
        "AP by class",
        (Column("Class", "text"), Column("True boxes", "count"), Column("AP", "bar")),
        [(name, scores.num_gt[name], scores.ap[name]) for name in scores.ap],
        f"Fused detections; {detection_metric(results.config)}: {scores.mean_ap:.4f}.",
    )


def _detectors(rows: Sequence[dict[str, Any]], results: RunResults) -> Table:
    beside = [Column("Hidden test", "bar")] if any(row.get(HIDDEN_TEST) for row in rows) else []
    return Table(
        "mAP by detector",
        (Column("Detector", "text"), Column("mAP", "bar"), *beside),
        [(row["detector"], row["mAP"], *([row.get(HIDDEN_TEST)] if beside else [])) for row in rows],
        f"{results.split} split.",
    )


def fusion_blocks(results: RunResults) -> Iterator[Block]:
    """The weights that were tried for the models of either task, the chosen ones first."""
    tasks = [task for task in TASKS if task.models(results.config)]
    done = results.finished([task.weights for task in tasks])
    for task in tasks:
        if task.weights in done:
            names = task.models(results.config)
            tries = read_json(results.folder(task.weights) / "tries.json", list)
            tries = sorted(tries, key=lambda tried: -tried["mAP"])
            yield Table(
                f"Fusion weights of {'the attribute detectors' if task.prefix else 'the detectors'}",
                (Column("Try", "text"), *(Column(name) for name in names), Column("mAP", "bar")),
                [
                    ("chosen" if not i else f"{i + 1}", *(tried[name] for name in names), tried["mAP"])
                    for i, tried in enumerate(tries)
                ],
                "Chosen by the mAP on the validation split.",
            )
    average = results.pipeline.run.path / "stack" / "stack.json"
    if "stack" in results.records and average.exists():
        index = read_json(average, dict)
        yield Table(
            "Weight of the visual score in the average, by predicate",
            (Column("Predicate", "text"), Column("Weight", "bar")),
            [
                (name, float(weight))
                for name, weight in zip(vocabulary().predicates, index["weights"], strict=True)
                if name in index["models"]
            ],
            "0: the spatial score alone; 1: the visual score alone.",
        )
