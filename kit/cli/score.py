"""`kit score`: the official metrics of files, without a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kit.cli.detection_files import side_files
from kit.cli.options import ClassNames, Described, Json

if TYPE_CHECKING:
    from kit.base.errors import FileFault
    from kit.tables.schema import Predictions, Relations
    from kit.tables.watched import Watched

Others = Literal["refuse", "skip"]
Metrics = Literal["official", "all"]
app = typer.Typer(no_args_is_help=True, help="Score prediction files with the official metrics.")

TruthFiles = Annotated[
    list[Path], typer.Option("--truth", help="Ground-truth CSV. May be repeated.", metavar="FILE")
]
LabelFiles = Annotated[
    list[Path] | None,
    typer.Option("--labels", help="Verified image labels CSV. May be repeated.", metavar="FILE"),
]
PredictionFile = Annotated[
    Path,
    typer.Option("--predictions", help="Long CSV or Kaggle form; .csv, .csv.gz or .zip.", metavar="FILE"),
]
DetectionFile = Annotated[
    Path,
    typer.Option(
        "--predictions",
        help="Open Images' CSV, COCO results, a folder of YOLO labels, or Kaggle's form.",
        metavar="PATH",
    ),
]


@app.command(
    short_help="Visual relationship score.",
    epilog="Example: kit score relations --truth vrd.csv --predictions submission.csv",
)
def relations(
    truth: TruthFiles,
    predictions: PredictionFile,
    labels: LabelFiles = None,
    analysis: Annotated[
        bool,
        typer.Option("--analysis", help="Intervals, boards, score without each predicate, kinds of errors."),
    ] = False,
    resamples: Annotated[int, typer.Option(min=1, help="Resamples of the analysis.", metavar="N")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the analysis.", metavar="N")] = 0,
    others: Annotated[
        Others,
        typer.Option(
            help="Rows with classes or predicates that are not the challenge's, as in Open Images V6: an error, or "
            "left out and counted.",
            metavar="refuse|skip",
        ),
    ] = "refuse",
    metrics: Annotated[
        Metrics,
        typer.Option(
            help="all: beside the official score what scene-graph papers print: recall and mean recall at 20, 50, "
            "100, recall per predicate, 0.2 R@50 + 0.4 wmAP_rel + 0.4 wmAP_phr.",
            metavar="official|all",
        ),
    ] = "official",
    json: Json = False,
) -> None:
    """Visual relationship score: 0.4 mAP relationships + 0.2 Recall@50 + 0.4 mAP phrases."""
    from kit.base.files import json_text
    from kit.base.log import logger
    from kit.base.progress import track
    from kit.metric import summary
    from kit.metric.judging import InvertedBox
    from kit.metric.matching import match_predictions
    from kit.metric.relations import score_and_ties
    from kit.tables.image_ids import NEITHER, images_of, tell_strange_labels, unmatched
    from kit.tables.official import (
        prediction_fault,
        prediction_parts,
        read_image_labels,
        read_predictions,
        read_relations,
        read_verified_labels,
    )
    from kit.tables.schema import Predictions
    from kit.tables.watched import Watched

    _refuse_twice(truth)
    skip = others == "skip"
    true = read_relations(truth, skip, strict=False)
    is_whole = skip or analysis or metrics == "all"
    tables = [read_predictions(predictions, skip)] if is_whole else prediction_parts(predictions)
    verified = None
    if labels:
        verified = read_verified_labels(labels, judged=False) if skip else read_image_labels(labels)
    passed = Watched(tables)
    fault = partial(prediction_fault, predictions, skip_unknown=skip)
    try:
        matches = match_predictions(true, passed, verified)
    except InvertedBox as error:
        deque(tables, 0)  # a fault of the file comes first
        raise fault(error.row, error.side, f"inverted {error.side} box") from None
    result, tied = score_and_ties(matches)
    strange = unmatched(passed.images, {*true.images, *(verified.images if verified else ())})
    if strange:
        logger.warning(f"{predictions}: {strange.say('images of the predictions', NEITHER)}")
    if verified:
        tell_strange_labels(labels or [], images_of(verified), set(true.images))
    _tell_beyond(predictions, true, passed, fault)
    if tied:
        logger.warning(
            f"note: {tied} of {len(matches.rows)} counted rows tie in score; the published evaluator's result "
            "then depends on its unstable sort, kit's sorts are stable"
        )
    out: dict[str, Any] = result.as_dict()
    if metrics == "all":
        out["scene_graph"] = _scene_graph(true, Predictions.concat([*tables]))
    if analysis:
        from kit.metric.analysis import analyse

        out["analysis"] = analyse(
            matches, true, Predictions.concat([*tables]), resamples=resamples, seed=seed, progress=track
        )
    if json:
        typer.echo(json_text(out))
        return
    typer.echo(summary.scores(str(predictions), out), nl=False)
    if metrics == "all":
        typer.echo(summary.scene_graph(out["scene_graph"]), nl=False)
    if analysis:
        typer.echo(summary.analysis(out["analysis"], result.final_score), nl=False)


def _scene_graph(truth: Relations, predictions: Predictions) -> dict[str, Any]:
    """What scene-graph papers print: without "is", as they do, and with it."""
    from kit.metric.scene_graph import evaluate

    return {
        name: evaluate(truth, predictions, attributes=with_is).as_dict()
        for name, with_is in (("without_is", False), ("with_is", True))
    }


def _tell_beyond(
    predictions: Path,
    true: Relations,
    passed: Watched,
    fault: Callable[[int, str, str], FileFault],
) -> None:
    """Say where the boxes of the one file look like pixels and those of the other do not."""
    from kit.base.log import logger
    from kit.boxes import outside
    from kit.tables.image_ids import share

    true_beyond = int((outside(true.subject_box) | outside(true.object_box)).sum())
    if passed.first and not true_beyond:
        count = share(passed.beyond, passed.rows, "rows")
        line = fault(*passed.first, "").line
        logger.warning(f"{predictions}: {count} have boxes beyond [0, 1] (pixels?), first at line {line}")
    elif true_beyond and not passed.first:
        count = share(true_beyond, len(true), "rows of the truth")
        logger.warning(f"{count} have boxes beyond [0, 1] (pixels?), those of {predictions} have not")


def _refuse_twice(files: list[Path]) -> None:
    """The rows of a truth file that is given twice would count twice."""
    from kit.base.errors import KitError

    for i, file in enumerate(files):
        if file.resolve() in [earlier.resolve() for earlier in files[:i]]:
            raise KitError(f"--truth: {file} is given twice", "give every file once")


@app.command(
    short_help="Open Images detection mAP at IoU 0.5.",
    epilog="Example: kit score detections --truth boxes.csv --predictions detections.csv",
)
def detections(
    truth: TruthFiles,
    predictions: DetectionFile,
    labels: LabelFiles = None,
    hierarchy: Annotated[
        Path | None,
        typer.Option("--hierarchy", help="Class hierarchy JSON: expands truth and labels.", metavar="FILE"),
    ] = None,
    images: Described = None,
    classes: ClassNames = None,
    json: Json = False,
) -> None:
    """Open Images detection mAP at IoU 0.5."""
    from kit.base.files import json_text
    from kit.base.text_table import table
    from kit.metric.detection_files import score_detection_files
    from kit.metric.hierarchy import read_hierarchy
    from kit.vocabulary import vocabulary

    _refuse_twice(truth)
    tree = read_hierarchy(hierarchy) if hierarchy else None
    result = score_detection_files(truth, predictions, labels or (), tree, side_files(images, classes))
    if json:
        typer.echo(json_text(result.as_dict()))
        return
    names = dict(zip(vocabulary().mids, vocabulary().names, strict=True))
    rows = [(mid, names.get(mid, ""), result.num_gt[mid], ap) for mid, ap in result.ap.items()]
    title = f"{predictions}: mAP {result.mean_ap:.4f}"
    typer.echo(table(title, ("class", "name", "n", "AP"), rows), nl=False)
