"""Predictions with their final confidence, and the submission."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.progress import notice, track
from kit.relation.ensemble import ScorerName
from kit.relation.final import Confidence
from kit.relation.scored import ScoredPairs
from kit.run import Run
from kit.stages.final import final_stage
from kit.stages.fusion import SHARDS
from kit.stages.pairs import pairs_stage
from kit.stages.plan import detections_of
from kit.stages.splits import SplitName, ids_file, split_ids
from kit.tables.schema import Predictions
from kit.tables.shards import count_rows, read_shard, read_shards, shard_paths, write_shard
from kit.tables.submission_check import Report, check_submission
from kit.tables.submission_writer import write_submission
from kit.vocabulary import IS


def predict_stage(run: Run, split: SplitName, scorer: ScorerName, force: bool = False) -> dict[str, Any]:
    """The predictions of a split: stage `predict-SPLIT`, in shards, after `pairs-SPLIT` and `final`.

    Where the run has no detections of the validation split, exponents are 1 and nothing is calibrated.
    """
    pairs_stage(run, split, scorer, force)
    chosen = run.finished("fuse-val") is not None
    if chosen and split != "val":  # the choices are made for the very models that score this split
        pairs_stage(run, "val", scorer)
    confidence = final_stage(run, scorer) if chosen else Confidence()
    if not chosen:
        notice("note: no validation detections: detection scores count as they are, nothing is calibrated")
    attributes = run.config.relation.attributes
    after = [f"pairs-{split}", *(["final"] if chosen else [])]
    name = f"predict-{split}"
    made_from = run.key({"scorer": scorer, "attributes": attributes}, after=after)
    with run.stage(name, made_from, force=force) as stage:
        if stage:
            images = 0
            for i, path in enumerate(shard_paths(run.folder(f"pairs-{split}") / SHARDS)):
                pairs = read_shard(path, ScoredPairs)
                pairs = pairs if attributes else pairs.take(pairs.predicate != IS)
                write_shard(stage.path / "predictions", i, confidence.predictions(pairs, scorer))
                images += len(pairs.images)
            rows = count_rows(stage.path / "predictions")
            stage.metrics = {"images": images, "predictions": rows, "scorer": scorer}
    return run.finished(name) or {}


def submission_stage(run: Run, scorer: ScorerName | None = None, force: bool = False) -> tuple[Path, Report]:
    """Write the submission and check it: stage `submission`, after `predict-test`, which is done first.

    scorer: default `relation.combine`.
    """
    config = run.config
    settings = config.submission
    ids = split_ids(config, "test")
    detections_of(run, "test")
    predict_stage(run, "test", scorer or config.relation.combine, force)
    folder = run.folder("predict-test")
    made_from = run.key(settings.model_dump(), [ids_file(config)], after=["predict-test"])
    name = f"submission.{settings.packing}"
    with run.stage("submission", made_from, force=force) as stage:
        if stage:
            predictions = read_shards(folder / "predictions", Predictions)
            total = len(shard_paths(folder / "predictions"))
            written = write_submission(
                stage.path / name,
                ids,
                track(predictions, total, "write submission"),
                top=settings.top,
                digits=settings.digits,
            )
            stage.metrics = {"bytes": written.bytes, "predictions": written.predictions}
    path = run.path / "submission" / name
    return path, check_submission(path, ids)
