"""`kit evaluate`: how good the run's models are on a split whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.options import Jobs, RunOptions, Scorer, Split, run_command

if TYPE_CHECKING:
    from kit.base.split_names import SplitName


@run_command
def evaluate(
    options: RunOptions,
    *,
    split: Split = "val",
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
    choices: Annotated[
        bool,
        typer.Option(
            "--choices",
            help="What was chosen on the validation split, with the same figures on the hidden test.",
        ),
    ] = False,
    scorer: Scorer = None,
    jobs: Jobs = 1,
) -> None:
    """Score a split with the official metrics: the whole pipeline, and what its parts lose.

    Detection, fusion and prediction are done first, as far as they are not.
    """
    from kit.base.errors import KitError

    if gt_boxes + detections + attributes + choices > 1:
        raise KitError("give one of --gt-boxes, --detections, --attributes, --choices")
    if choices and (split != "val" or scorer is not None):
        raise KitError("--choices tells of what the run chose on its validation split", "give it alone")
    config = options.session.config
    files = getattr(config.data, split)
    if not (files.relations or (detections and files.boxes)):
        name = f"data.{split}.relations"
        raise KitError(f"{name} is not set: this split has no truth", f"give it with --set {name}=FILE")
    if detections:
        if scorer is not None:
            raise KitError("--scorer does not go with --detections", "detectors have no scorer")
        return _detections(options, split, jobs)
    if choices:
        return _choices(options, jobs)
    session, chosen = options.session.for_scorer(scorer)
    if gt_boxes:
        return _on_truth(options, split, chosen, jobs)
    return (_attributes if attributes else _pipeline)(replace(options, session=session), split, chosen, jobs)


def _on_truth(options: RunOptions, split: SplitName, scorer: str, jobs: int) -> None:
    from kit.metric import summary
    from kit.pipeline.stages.evaluate_relations import gt_stage, read_evaluation

    folder = _made(options, gt_stage(split, scorer), jobs)
    scores = read_evaluation(folder)
    _say(scores if options.json else summary.scores(folder.name, scores), options.json, folder)


def _choices(options: RunOptions, jobs: int) -> None:
    from kit.base.errors import KitError
    from kit.pipeline.stages.evaluate_choices import STAGE, TABLE, read_choices

    config = options.session.config
    if config.detector.models and config.data.val.images is None:
        name = "data.val.images"
        raise KitError(
            f"{name} is not set: nothing is chosen without them", f"give it with --set {name}=FOLDER"
        )
    folder = _made(options, STAGE, jobs)
    text = (folder / TABLE).read_text(encoding="utf-8")
    _say(read_choices(folder) if options.json else text, options.json, folder)


def _detections(options: RunOptions, split: SplitName, jobs: int) -> None:
    from kit.metric import summary
    from kit.pipeline.detector_task import detection_metric
    from kit.pipeline.stages.evaluate_detections import HEADS, detections_stage, read_table

    folder = _made(options, detections_stage(split), jobs)
    rows = read_table(folder)
    title = f"{split}, {detection_metric(options.session.config)}"
    _say(rows if options.json else summary.by_row(title, rows, HEADS), options.json, folder)


def _attributes(options: RunOptions, split: SplitName, scorer: str, jobs: int) -> None:
    from kit.metric import summary
    from kit.pipeline.stages.evaluate_attributes import HEADS, attributes_stage, read_table

    folder = _made(options, attributes_stage(options.session.config, split, scorer), jobs)
    rows = read_table(folder)
    title = f'"is" by attribute, {split}'
    _say(rows if options.json else summary.by_row(title, rows, HEADS), options.json, folder)


def _pipeline(options: RunOptions, split: SplitName, scorer: str, jobs: int) -> None:
    from kit.metric import summary
    from kit.pipeline.stages.evaluate_relations import evaluate_stage, read_evaluation

    folder = _made(options, evaluate_stage(options.session.config, split, scorer), jobs)
    result = read_evaluation(folder)
    _say(result if options.json else summary.evaluation(result), options.json, folder)


def _made(options: RunOptions, stage: str, jobs: int) -> Path:
    """The folder of a stage, made where it is not fresh; images that detection could not see are told."""
    from kit.base.errors import KitError
    from kit.pipeline.images import say_left_out

    session = options.session
    if stage not in session.pipeline.stages:
        raise KitError("detector.models is empty", "name a detector in the config, or give --gt-boxes")
    session.make(stage, force=options.force, jobs=jobs)
    say_left_out(session.pipeline, stage)
    return session.folder(stage)


def _say(result: Any, json: bool, folder: Path) -> None:
    from kit.base.files import json_text
    from kit.base.log import logger

    typer.echo(json_text(result) if json else result, nl=json)
    logger.info(f"saved in {folder}")
