"""The detectors: mAP by detector, by size, by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kit.metric.detection_sizes import SIZES, scores_by_size
from kit.metric.detection_tables import detection_scores
from kit.metric.summary import HIDDEN_TEST
from kit.pipeline.detector_task import OBJECTS, detection_metric
from kit.pipeline.splits import CLASSES
from kit.pipeline.stages.evaluate_detections import detections_stage, read_table
from kit.report.blocks import Block, Column, Table
from kit.report.results import RunResults


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
