"""The official score of a split, and where it is lost: boxes, candidates, predicates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.data.splits import SplitTables, load_split, split_files
from kit.files import read_json, reading, write_json, write_text
from kit.metric.analysis import analyse
from kit.metric.detection_tables import detection_scores
from kit.metric.judgement import judge
from kit.metric.relations import Scores, evaluate, score
from kit.relation.ensemble import ScorerName
from kit.relation.recall import pair_recall
from kit.relation.scored import ScoredPairs
from kit.relation.scoring import predict_relations
from kit.run import Run
from kit.stages.family import OBJECTS
from kit.stages.fusion import SHARDS, fused_detections
from kit.stages.models import load_ensemble, note_unseen, say_unseen, stages_of, visual_images_key
from kit.stages.splits import CLASSES, SplitName
from kit.tables.schema import Detections, Predictions
from kit.tables.shards import read_shards, write_shard

RESAMPLES = 500
Show = Callable[[str, Scores], str]


def gt_stage(
    run: Run, split: SplitName, scorer: ScorerName, table: Show, force: bool = False
) -> tuple[Path, Scores]:
    """Score a split's ground-truth boxes with the official metric: stage `evaluate-SPLIT-gt-SCORER`.

    table: a function (title, scores) -> text, saved beside the predictions and metrics.json.
    """
    files = getattr(run.config.data, split)
    name = f"evaluate-{split}-gt-{scorer}"
    after = stages_of(run, scorer)
    made_from = run.key(visual_images_key(run, scorer, split), split_files(files), after=after)
    with run.stage(name, made_from, force=force) as stage:
        if stage:
            tables = load_split(files, split)
            ensemble = load_ensemble(run, scorer, split)
            predictions = predict_relations(ensemble, tables.objects)
            note_unseen(ensemble.visual, stage.path)
            say_unseen(name, stage.path, len(tables.objects.images))
            scores = evaluate(tables.relations, predictions, tables.labels)
            write_shard(stage.path / "predictions", 0, predictions)
            write_json(stage.path / "metrics.json", scores.as_dict())
            write_text(stage.path / "table.txt", table(name, scores))
            stage.metrics = {"final_score": scores.final_score, "mAP": scores.relationships["mAP"]}
    return run.path / name, _read_scores(run.path / name / "metrics.json")


def evaluate_stage(
    run: Run,
    split: SplitName,
    scorer: ScorerName,
    table: Callable[[dict[str, Any]], str],
    force: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Score a split's predictions: stage `evaluate-SPLIT`, after `predict-SPLIT`.

    The official score, 95% intervals over images, the score on ground-truth boxes beside it, detection mAP,
    and the recall of pairs. table: the result as text, saved beside metrics.json.
    """
    files = getattr(run.config.data, split)
    name = f"evaluate-{split}"
    after = [f"predict-{split}", *stages_of(run, scorer)]
    made_from = run.key(visual_images_key(run, scorer, split), split_files(files), after=after)
    with run.stage(name, made_from, force=force) as stage:
        if stage:
            tables = load_split(files, split)
            result = _result(run, split, scorer, tables)
            write_json(stage.path / "metrics.json", result)
            write_text(stage.path / "table.txt", table(result))
            own = result["scores"]
            stage.metrics = {"final_score": own["final_score"], "mAP": own["relationships"]["mAP"]}
    path = run.path / name
    return path, _numbers(read_json(path / "metrics.json", dict, "give --force"))


def _result(run: Run, split: SplitName, scorer: ScorerName, tables: SplitTables) -> dict[str, Any]:
    found = Predictions.concat(list(read_shards(run.folder(f"predict-{split}") / "predictions", Predictions)))
    judged = judge(tables.relations, found, tables.labels)
    analysis = analyse(judged, tables.relations, found, resamples=RESAMPLES, seed=run.config.seed)
    truth = evaluate(
        tables.relations, predict_relations(load_ensemble(run, scorer, split), tables.objects), tables.labels
    )
    result = {
        "split": split,
        "scorer": scorer,
        "scores": score(judged).as_dict(),
        "ground_truth_boxes": truth.as_dict(),
        "bootstrap": analysis["bootstrap"],
        "without": analysis["without"],
        "errors": analysis["errors"],
    }
    if run.finished(f"fuse-{split}") is None:
        return result
    fused = Detections.concat(list(fused_detections(run, split)))
    pairs = ScoredPairs.concat(list(read_shards(run.folder(f"pairs-{split}") / SHARDS, ScoredPairs)))
    boxes, labels = OBJECTS.truth(run.config, split)
    result["detection_mAP"] = detection_scores(boxes, labels, fused, CLASSES).mean_ap
    result["pair_recall"] = pair_recall(tables.relations, fused, pairs)
    return result


def _read_scores(path: Path) -> Scores:
    with reading(path, "the scores of this version", "give --force"):
        values = _numbers(read_json(path, dict))
        return Scores(values["final_score"], values["relationships"], values["phrases"], values["counts"])


def _numbers(value: Any) -> Any:
    """JSON's nulls back as NaN."""
    if isinstance(value, dict):
        return {key: _numbers(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return float("nan") if value is None else value
