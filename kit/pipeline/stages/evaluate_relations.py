"""Stages `evaluate-SPLIT` and `evaluate-SPLIT-gt-SCORER`: the official score, and where it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.files import read_json, reading, write_json, write_text
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.metric.summary import HIDDEN_TEST
from kit.pipeline.detector_task import ATTRIBUTES, OBJECTS, hierarchy_inputs
from kit.pipeline.feature_signature import feature_signature
from kit.pipeline.models import (
    note_unseen,
    say_unseen,
    scorer_images,
    scorer_option,
    split_ensemble,
    usable_scorers,
)
from kit.pipeline.splits import (
    CLASSES,
    given_detections,
    has_detections,
    shows_hidden_test,
    split_inputs,
    split_of,
    split_tables,
)
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.fused_detections import fused_detections
from kit.pipeline.stages.predictions import predict_stage
from kit.pipeline.stages.scored_candidates import candidates_stage
from kit.relation.scorers import in_order, scorer_names, scorer_settings, stages_of
from kit.tables.shards import SHARDS, read_shards, write_shard

if TYPE_CHECKING:
    from kit.metric.relations import Scores

RESAMPLES = 500
METRICS = "metrics.json"
TABLE = "table.txt"


@register_stages
def evaluate_stages(config: Config) -> Iterator[Stage]:
    """The score of every split whose truth is known, by every scorer: of the pipeline, and on true boxes alone."""
    for split in SPLITS:
        for scorer in usable_scorers(config) if split_of(config, split).relations else ():
            yield _gt_stage(config, split, scorer)
            if has_detections(config, split):
                yield _stage(config, split, scorer)


def _stage(config: Config, split: SplitName, scorer: str) -> Stage:
    attributes = bool(ATTRIBUTES.models(config)) and not given_detections(config, split)
    candidates = candidates_stage(config, split, scorer)
    return Stage(
        evaluate_stage(config, split, scorer),
        partial(_evaluate, split=split, scorer=scorer),
        needs=(
            predict_stage(config, split, scorer),
            candidates,
            gt_stage(split, scorer),
            OBJECTS.fuse(split),
            *([ATTRIBUTES.fuse(split)] if attributes else []),
            *([evaluate_stage(config, "test", scorer)] if shows_hidden_test(config, split) else []),
        ),
        inputs=(
            *split_inputs(config, split),
            *hierarchy_inputs(config),
        ),
        settings={"resamples": RESAMPLES, "seed": config.seed},
        command=f"evaluate --split {split}{scorer_option(config, scorer)}",
        headline="final_score",
        version=5,
    )


def _gt_stage(config: Config, split: SplitName, scorer: str) -> Stage:
    beside = shows_hidden_test(config, split, reads=scorer_images(config, scorer, "test"))
    return Stage(
        gt_stage(split, scorer),
        partial(_evaluate_truth, split=split, scorer=scorer),
        needs=(
            *stages_of(config, scorer),
            *([gt_stage("test", scorer)] if beside else []),
        ),
        inputs=(*split_inputs(config, split), *scorer_images(config, scorer, split)),
        settings={"scorer": scorer, **scorer_settings(config, in_order(config, scorer))},
        computed=feature_signature,
        command=f"evaluate --split {split} --gt-boxes --scorer {scorer}",
        device=config.detector.device if scorer_images(config, scorer, split) else "cpu",
        headline="final_score",
        version=3,
    )


def evaluate_stage(config: Config, split: SplitName, scorer: str) -> str:
    """The stage of a split's score by a scorer."""
    return f"evaluate-{split}{'' if scorer == config.relation.scorer else f'-{scorer}'}"


def gt_stage(split: SplitName, scorer: str) -> str:
    """The stage of a split's score on its ground-truth boxes."""
    return f"evaluate-{split}-gt-{scorer}"


def _evaluate_truth(context: StageContext, split: SplitName, scorer: str) -> Metrics:
    from kit.metric import summary
    from kit.metric.relations import evaluate
    from kit.relation.scoring import predict_relations

    tables = split_tables(context.config, split)
    ensemble = split_ensemble(context, split, scorer)
    predictions = predict_relations(ensemble, tables.objects)
    note_unseen(ensemble.visual, context.path)
    say_unseen(context.stage.name, context.path, len(tables.objects.images))
    scores = evaluate(tables.relations, predictions, tables.labels)
    write_shard(context.path / SHARDS, 0, predictions)
    result = scores.as_dict() | _on_hidden_test(context, split, gt_stage("test", scorer))
    write_json(context.path / METRICS, result)
    write_text(context.path / TABLE, summary.scores(context.stage.name, result))
    return {"final_score": scores.final_score, "mAP": scores.relationships["mAP"]}


def _evaluate(context: StageContext, split: SplitName, scorer: str) -> Metrics:
    """The official score, 95% intervals over images, the score on ground-truth boxes beside it, detection mAP,
    and the recall of pairs.
    """
    from kit.metric import summary
    from kit.metric.analysis import analyse
    from kit.metric.detection_tables import detection_scores
    from kit.metric.matching import match_predictions
    from kit.metric.relations import score
    from kit.relation.recall import pair_recall
    from kit.relation.scored import scored_candidates_table
    from kit.tables.schema import Predictions

    config = context.config
    tables = split_tables(config, split)
    folder = context.result(predict_stage(config, split, scorer)) / SHARDS
    found = Predictions.concat(list(read_shards(folder, Predictions)))
    matches = match_predictions(tables.relations, found, tables.labels)
    analysis = analyse(matches, tables.relations, found, resamples=RESAMPLES, seed=config.seed)
    scores = score(matches)
    result: dict[str, Any] = {
        "split": split,
        "scorer": scorer,
        "scores": scores.as_dict(),
        "ground_truth_boxes": _ceiling(context, split, scorer).as_dict(),
        "bootstrap": analysis["bootstrap"],
        "without": analysis["without"],
        "errors": analysis["errors"],
    }
    fused = fused_detections(context.result(OBJECTS.fuse(split)))
    candidates = context.result(candidates_stage(config, split, scorer)) / SHARDS
    table = scored_candidates_table(scorer_names(config))
    pairs = table.concat(list(read_shards(candidates, table)))
    boxes, labels = OBJECTS.ground_truth(config, split)
    relatives = OBJECTS.relatives(config)
    result["detection_mAP"] = detection_scores(boxes, labels, fused, CLASSES, relatives).mean_ap
    result["pair_recall"] = pair_recall(tables.relations, fused, pairs)
    result |= _on_hidden_test(context, split, evaluate_stage(config, "test", scorer))
    write_json(context.path / METRICS, result)
    write_text(context.path / TABLE, summary.evaluation(result))
    return {"final_score": scores.final_score, "mAP": scores.relationships["mAP"]}


def _ceiling(context: StageContext, split: SplitName, scorer: str) -> Scores:
    """The score on ground-truth boxes: that of the relation models, with "is" by the attribute detector if any."""
    from kit.metric.relations import evaluate
    from kit.relation.attributes import on_true_boxes
    from kit.tables.schema import Predictions

    folder, attributes = context.result(gt_stage(split, scorer)), ATTRIBUTES.fuse(split)
    if attributes not in context.stage.needs:
        return read_scores(folder)
    tables = split_tables(context.config, split)
    predictions = Predictions.concat(list(read_shards(folder / SHARDS, Predictions)))
    found = fused_detections(context.result(attributes))
    return evaluate(tables.relations, on_true_boxes(predictions, found), tables.labels)


def _on_hidden_test(context: StageContext, split: SplitName, name: str) -> dict[str, Any]:
    """The report of a stage on the hidden test, for beside the validation split's figures; None without one."""
    if split != "val":
        return {}
    there = name in context.stage.needs
    return {HIDDEN_TEST: read_evaluation(context.result(name)) if there else None}


def read_evaluation(folder: Path) -> dict[str, Any]:
    """What `evaluate-SPLIT` or `evaluate-SPLIT-gt-SCORER` found, NaN where JSON has null for a figure."""
    values: dict[str, Any] = read_json(folder / METRICS, dict, "give --force")
    beside = {HIDDEN_TEST: None} if values.get(HIDDEN_TEST, {}) is None else {}
    return _numbers(values) | beside


def read_scores(folder: Path) -> Scores:
    """What `evaluate-SPLIT-gt-SCORER` found."""
    from kit.metric.relations import Scores

    path = folder / METRICS
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
