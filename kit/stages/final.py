"""The last choices, on the validation split: the detection scores' exponents and the calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.config import Config
from kit.data.splits import load_split, split_files
from kit.errors import KitError
from kit.files import read_json, reading, write_json
from kit.metric.judgement import judge
from kit.metric.relations import evaluate, score
from kit.relation.ensemble import ScorerName
from kit.relation.final import Confidence, calibration, choose_exponents
from kit.relation.scored import ScoredPairs
from kit.run import Run
from kit.stages.fusion import SHARDS
from kit.tables.shards import read_shards
from kit.vocabulary import IS

FINAL = "final.json"


def final_stage(run: Run, scorer: ScorerName, force: bool = False) -> Confidence:
    """Choose the detection scores' exponents and the calibration on the validation split: stage `final`."""
    config = run.config
    settings = {"scorer": scorer, **config.relation.final.model_dump()}
    made_from = run.key(settings, split_files(config.data.val), after=["pairs-val"])
    run.folder("pairs-val")
    with run.stage("final", made_from, force=force) as stage:
        if stage:
            pairs = ScoredPairs.concat(list(read_shards(run.folder("pairs-val") / SHARDS, ScoredPairs)))
            confidence, record = _choose(config, pairs, scorer)
            write_json(stage.path / FINAL, {**confidence.as_dict(), **record})
            stage.metrics = {key: record[key] for key in ("Recall@50", "Recall@50 uncalibrated")}
            stage.metrics |= {"exponent": confidence.exponent, "is_exponent": confidence.is_exponent}
    path = run.path / "final" / FINAL
    again = "run `kit train all --from final`"
    with reading(path, "a final confidence", again):
        return Confidence.of_dict(read_json(path, dict, again))


def _choose(config: Config, pairs: ScoredPairs, scorer: ScorerName) -> tuple[Confidence, dict[str, Any]]:
    """The best confidence on the validation split, with the table of tries."""
    if np.isnan(getattr(pairs, scorer)).any():
        raise KitError(
            f"pairs-val has no scores of {scorer}", f"run `kit predict --split val --scorer {scorer}`"
        )
    tables = load_split(config.data.val, "val")
    parts = {True: pairs.take(pairs.predicate == IS), False: pairs.take(pairs.predicate != IS)}
    truths = {
        True: tables.relations.take(tables.relations.predicate == IS),
        False: tables.relations.take(tables.relations.predicate != IS),
    }

    def value(confidence: Confidence, attribute: bool) -> float:
        found = confidence.predictions(parts[attribute], scorer)
        own = evaluate(truths[attribute], found, tables.labels)
        return float(own.relationships["mAP"] + own.phrases["mAP"]) / 2

    settings = config.relation.final
    confidence, tries = choose_exponents(settings.exponents, value)
    plain = confidence.predictions(pairs, scorer)
    judged = judge(tables.relations, plain, tables.labels)
    before = score(judged).relationships["Recall@50"]
    record = {"tries": tries, "Recall@50": before, "Recall@50 uncalibrated": before}
    if settings.calibrate:
        line = calibration(judged.score, judged.predicate, judged.hit["relationships"])
        calibrated = Confidence(confidence.exponent, confidence.is_exponent, line)
        found = evaluate(tables.relations, calibrated.predictions(pairs, scorer), tables.labels)
        record["Recall@50 calibrated"] = found.relationships["Recall@50"]
        if found.relationships["Recall@50"] >= before:
            confidence, record["Recall@50"] = calibrated, found.relationships["Recall@50"]
    return confidence, record
