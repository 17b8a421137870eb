"""`kit evaluate`: how good the run's models are on a split whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder, Scorer, Split

if TYPE_CHECKING:
    from kit.run import Run


def evaluate(
    split: Annotated[Split, typer.Option(help="The split to evaluate.")] = Split.val,
    gt_boxes: Annotated[
        bool, typer.Option("--gt-boxes", help="Score pairs of ground-truth boxes alone.")
    ] = False,
    detections: Annotated[
        bool,
        typer.Option("--detections", help="Score the detectors alone: mAP per model, fused, with views."),
    ] = False,
    attributes: Annotated[
        bool, typer.Option("--attributes", help='Score "is" alone: AP per attribute, best and worst class.')
    ] = False,
    scorer: Scorer = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score a split with the official metrics: the whole pipeline, and what its parts lose.

    Detection, fusion and prediction are done first, as far as they are not.
    """
    from kit.cli.common import open_run, use_threads
    from kit.errors import KitError

    if gt_boxes + detections + attributes > 1:
        raise KitError("give one of --gt-boxes, --detections, --attributes")
    opened = open_run(config, set_, run)
    use_threads(opened)
    chosen = scorer.value if scorer else opened.config.relation.combine
    files = getattr(opened.config.data, split.value)
    if not (files.relations or (detections and files.boxes)):
        name = f"data.{split.value}.relations"
        raise KitError(f"{name} is not set: this split has no truth", f"give it with --set {name}=FILE")
    if gt_boxes:
        _on_truth(opened, split.value, chosen, force, json)
    elif detections:
        _detections(opened, split.value, force, json)
    elif attributes:
        _attributes(opened, split.value, chosen, force, json)
    else:
        _pipeline(opened, split.value, chosen, force, json)


def _on_truth(run: Run, split: Any, scorer: Any, force: bool, json: bool) -> None:
    from kit.cli import show
    from kit.stages.evaluate import gt_stage

    folder, scores = gt_stage(run, split, scorer, show.scores, force)
    _say(scores.as_dict() if json else show.scores(folder.name, scores), json, folder)


def _detections(run: Run, split: Any, force: bool, json: bool) -> None:
    from kit.cli import show
    from kit.stages.family import OBJECTS
    from kit.stages.plan import detections_of
    from kit.stages.table1 import table1_stage

    detections_of(run, split, [OBJECTS])
    folder, rows = table1_stage(run, split, force)
    title = f"Detection mAP at IoU 0.5, {split}"
    text = show.table(title, ("detector", "mAP"), [(row["detector"], row["mAP"]) for row in rows])
    _say(rows if json else text, json, folder)


def _attributes(run: Run, split: Any, scorer: Any, force: bool, json: bool) -> None:
    from kit.cli import show
    from kit.stages.table4 import table4_stage

    folder, rows = table4_stage(run, split, scorer, force)
    columns = ("attribute", "n", "AP", "best class", "best AP", "worst class", "worst AP")
    text = show.table(f'"is" by attribute, {split}', columns, [tuple(row.values()) for row in rows])
    _say(rows if json else text, json, folder)


def _pipeline(run: Run, split: Any, scorer: Any, force: bool, json: bool) -> None:
    from kit.cli import show
    from kit.stages.evaluate import evaluate_stage
    from kit.stages.plan import detections_of
    from kit.stages.predict import predict_stage

    detections_of(run, split)
    predict_stage(run, split, scorer, force)
    folder, result = evaluate_stage(run, split, scorer, show.evaluation, force)
    _say(result if json else show.evaluation(result), json, folder)


def _say(result: Any, json: bool, folder: Any) -> None:
    from kit.files import json_text
    from kit.progress import notice

    typer.echo(json_text(result) if json else result, nl=json)
    notice(f"saved in {folder}")
