"""Stage `final`: the detection scores' exponents and the calibration, chosen on the validation split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from kit.base.files import read_json, reading, write_json
from kit.config import Config
from kit.pipeline.models import usable_scorers
from kit.pipeline.splits import given_detections, split_inputs, split_tables
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.scored_candidates import candidates_stage
from kit.relation.scorers import scorer_names
from kit.tables.shards import SHARDS, read_shards
from kit.vocabulary import IS

if TYPE_CHECKING:
    from kit.data.split_tables import SplitTables
    from kit.relation.calibration import ScoreCalibrator
    from kit.relation.scored import ScoredCandidates

FINAL = "final.json"


@register_stages
def final_stages(config: Config) -> Iterator[Stage]:
    """The final confidence of every scorer, where there are detections of a validation split to choose it on."""
    if not has_final(config):
        return
    for scorer in usable_scorers(config):
        yield Stage(
            final_stage(config, scorer),
            partial(_choose_stage, scorer=scorer),
            needs=(candidates_stage(config, "val", scorer),),
            inputs=split_inputs(config, "val"),
            settings={"scorer": scorer, **config.relation.final.model_dump()},
            command=f"train all --only {final_stage(config, scorer)}",
            headline="Recall@50",
            version=2,
            trains=scorer == config.relation.scorer,
        )


def has_final(config: Config) -> bool:
    """Whether the final confidence can be chosen: detections of the validation split, own or given."""
    own = bool(config.detector.models) and config.data.val.images is not None
    return own or bool(given_detections(config, "val"))


def final_stage(config: Config, scorer: str) -> str:
    """The stage of a scorer's final confidence."""
    return "final" if scorer == config.relation.scorer else f"final-{scorer}"


def _choose_stage(context: StageContext, scorer: str) -> Metrics:
    from kit.relation.scored import scored_candidates_table

    folder = context.result(candidates_stage(context.config, "val", scorer))
    table = scored_candidates_table(scorer_names(context.config))
    pairs = table.concat(list(read_shards(folder / SHARDS, table)))
    confidence, record = choose(context.config, pairs, scorer)
    write_json(context.path / FINAL, {**confidence.as_dict(), **record})
    metrics = {key: record[key] for key in ("Recall@50", "Recall@50 uncalibrated")}
    return {**metrics, "exponent": confidence.exponent, "is_exponent": confidence.is_exponent}


def read_confidence(context: StageContext, scorer: str) -> ScoreCalibrator:
    """The final confidence that was chosen for a scorer."""
    from kit.relation.calibration import ScoreCalibrator

    name = final_stage(context.config, scorer)
    path, again = context.result(name) / FINAL, f"run `kit train all --from {name}`"
    with reading(path, "a final confidence", again):
        return ScoreCalibrator.of_dict(read_json(path, dict, again))


def choose(config: Config, pairs: ScoredCandidates, scorer: str) -> tuple[ScoreCalibrator, dict[str, Any]]:
    """The best confidence on the validation split, with the table of tries."""
    from kit.metric.matching import match_predictions
    from kit.metric.relations import score
    from kit.relation.calibration import ScoreCalibrator, choose_exponents, fit_platt_scaling

    tables, settings = split_tables(config, "val"), config.relation.final
    confidence, tries = choose_exponents(settings.exponents, exponent_ap(tables, pairs, scorer))
    plain = confidence.predictions(pairs, scorer)
    matches = match_predictions(tables.relations, plain, tables.labels)
    before = score(matches).relationships["Recall@50"]
    record = {"tries": tries, "Recall@50": before, "Recall@50 uncalibrated": before}
    if settings.calibrate:
        slope_intercept = fit_platt_scaling(
            matches.score, matches.predicate, matches.true_positive["relationships"]
        )
        calibrated = ScoreCalibrator(confidence.exponent, confidence.is_exponent, slope_intercept)
        after = record["Recall@50 calibrated"] = recall_at_50(tables, pairs, scorer, calibrated)
        if after >= before:
            confidence, record["Recall@50"] = calibrated, after
    return confidence, record


def exponent_ap(
    tables: SplitTables, pairs: ScoredCandidates, scorer: str
) -> Callable[[ScoreCalibrator, bool], float]:
    """What exponents are chosen by: the mean of both mAPs of a split, of "is" alone (True) or of the others."""
    from kit.metric.relations import evaluate

    parts = {True: pairs.take(pairs.predicate == IS), False: pairs.take(pairs.predicate != IS)}
    truths = {
        True: tables.relations.take(tables.relations.predicate == IS),
        False: tables.relations.take(tables.relations.predicate != IS),
    }

    def value(confidence: ScoreCalibrator, attribute: bool) -> float:
        found = confidence.predictions(parts[attribute], scorer)
        scores = evaluate(truths[attribute], found, tables.labels)
        return float(scores.relationships["mAP"] + scores.phrases["mAP"]) / 2

    return value


def recall_at_50(
    tables: SplitTables, pairs: ScoredCandidates, scorer: str, confidence: ScoreCalibrator
) -> float:
    """What the calibration is chosen by."""
    from kit.metric.relations import evaluate

    found = evaluate(tables.relations, confidence.predictions(pairs, scorer), tables.labels)
    return float(found.relationships["Recall@50"])
