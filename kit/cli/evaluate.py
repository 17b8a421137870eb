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
    scorer: Annotated[ScorerOption, typer.Option(help="What scores the pairs.")] = ScorerOption.spatial,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score relations on ground-truth boxes with the official metric; the run keeps tables and predictions."""
    from kit.cli import show
    from kit.cli.common import open_run
    from kit.errors import KitError
    from kit.files import json_text
    from kit.pipeline import evaluate_stage
    from kit.progress import notice

    if not gt_boxes:
        raise KitError("evaluation of a split's detections is not in this version", "add --gt-boxes")
    opened = open_run(config, set_, run)
    folder, scores = evaluate_stage(opened, split.value, scorer.value, show.scores, force)
    typer.echo(json_text(scores.as_dict()) if json else show.scores(folder.name, scores), nl=json)
    notice(f"saved in {folder}")
