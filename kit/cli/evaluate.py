"""`kit evaluate`: the official score of a run on a split."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder
from kit.cli.predict import ScorerOption


class Split(StrEnum):
    """Splits with ground truth."""

    train = "train"
    stack = "stack"
    val = "val"


def evaluate(
    split: Annotated[Split, typer.Option(help="The split to evaluate.")] = Split.val,
    gt_boxes: Annotated[bool, typer.Option("--gt-boxes", help="Score pairs of ground-truth boxes.")] = False,
    detections: Annotated[
        bool, typer.Option("--detections", help="Score the detectors: mAP per model, fused, with views.")
    ] = False,
    scorer: Annotated[ScorerOption, typer.Option(help="What scores the pairs.")] = ScorerOption.spatial,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score a split with the official metrics: relations (--gt-boxes) or the detectors (--detections)."""
    from kit.cli import show
    from kit.cli.common import open_run
    from kit.errors import KitError
    from kit.files import json_text
    from kit.progress import notice
    from kit.stages.relation import evaluate_stage

    opened = open_run(config, set_, run)
    if detections:
        from kit.stages.table1 import table1_stage

        folder, rows = table1_stage(opened, split.value, force)
        title = f"Detection mAP at IoU 0.5, {split.value}"
        text = show.table(title, ("detector", "mAP"), [(row["detector"], row["mAP"]) for row in rows])
        typer.echo(json_text(rows) if json else text, nl=json)
        notice(f"saved in {folder}")
        return
    if not gt_boxes:
        raise KitError(
            "relations on detected boxes are not in this version", "add --gt-boxes or --detections"
        )
    folder, scores = evaluate_stage(opened, split.value, scorer.value, show.scores, force)
    typer.echo(json_text(scores.as_dict()) if json else show.scores(folder.name, scores), nl=json)
    notice(f"saved in {folder}")
