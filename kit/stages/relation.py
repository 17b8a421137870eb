"""The stages of the relation models: prior, spatial, evaluation, prediction, submission."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from kit.config import Config
from kit.data.objects import Objects
from kit.data.splits import load_split, split_files
from kit.files import write_json
from kit.metric.relations import Scores, evaluate
from kit.parallel import ordered_map
from kit.progress import notice, track
from kit.relation.prior import PriorScorer, pair_examples, train_prior
from kit.relation.scoring import Scorer, predict_relations, shards
from kit.relation.statistics import Statistics
from kit.run import Run
from kit.stages.splits import ids_file
from kit.tables.official import read_detections, read_image_ids
from kit.tables.schema import Detections, Predictions
from kit.tables.shards import count_rows, read_shards, shard_path, write_shard
from kit.tables.submission_check import Report, check_submission
from kit.tables.submission_writer import write_submission

ScorerName = Literal["prior", "spatial"]
SplitName = Literal["train", "stack", "val"]
WORKERS = 2


def prior_stage(run: Run, force: bool = False) -> dict[str, Any]:
    """Count the training split: stage `prior`."""
    config = run.config
    made_from = run.key(_settings(config, "prior"), split_files(config.data.train))
    with run.stage("prior", made_from, force=force) as stage:
        if stage:
            split = load_split(config.data.train, "train")
            statistics = train_prior(split, config.relation.prior)
            statistics.save(stage.path / "statistics.npz")
            examples = pair_examples(split)
            stage.metrics = {
                "images": len(split.objects.images),
                "relations": len(split.relations),
                "pairs": len(examples.candidates),
                "related_pairs": int(examples.hit.any(axis=1).sum()),
            }
    return run.finished("prior") or {}


def spatial_stage(run: Run, force: bool = False) -> dict[str, Any]:
    """Train the spatio-semantic model: stage `spatial`, after `prior`."""
    from kit.relation.spatial import train_spatial

    prior_stage(run)
    config = run.config
    made_from = run.key(_settings(config, "spatial"), split_files(config.data.train), after=["prior"])
    with run.stage("spatial", made_from, force=force) as stage:
        if stage:
            split = load_split(config.data.train, "train")
            statistics = Statistics.load(run.folder("prior") / "statistics.npz")
            scorer = train_spatial(split, statistics, config.relation.spatial, config.seed, stage.path, track)
            scorer.save(stage.path)
            stage.metrics = {"rounds": scorer.rounds}
    return run.finished("spatial") or {}


def load_scorer(run: Run, name: ScorerName) -> Scorer:
    """A trained scorer of the run. Raises KitError where its stage is not finished."""
    folder = run.folder(name)
    record = run.finished(name) or {}
    if record["made_from"]["settings"] != json.loads(json.dumps(_settings(run.config, name))):
        notice(f"note: {folder} was trained with other settings; `kit train {name}` would train it again")
    if name == "prior":
        return PriorScorer(Statistics.load(folder / "statistics.npz"))
    from kit.relation.spatial import SpatialScorer

    return SpatialScorer.load(folder)


def _settings(config: Config, name: ScorerName) -> dict[str, Any]:
    """The settings that a training stage depends on."""
    if name == "prior":
        return config.relation.prior.model_dump()
    return {"spatial": config.relation.spatial.model_dump(), "seed": config.seed}


def evaluate_stage(
    run: Run, split: SplitName, scorer: ScorerName, table: Any, force: bool = False
) -> tuple[Path, Scores]:
    """Score a split's ground-truth boxes with the official metric: stage `evaluate-SPLIT-gt-SCORER`.

    table: a function (title, scores) -> text, saved beside the predictions and metrics.json.
    """
    files = getattr(run.config.data, split)
    run.folder(scorer)
    name = f"evaluate-{split}-gt-{scorer}"
    made_from = run.key({}, split_files(files), after=[scorer])
    with run.stage(name, made_from, force=force) as stage:
        if stage:
            tables = load_split(files, split)
            predictions = predict_relations(load_scorer(run, scorer), tables.objects)
            scores = evaluate(tables.relations, predictions, tables.labels)
            write_shard(stage.path / "predictions", 0, predictions)
            write_json(stage.path / "metrics.json", scores.as_dict())
            (stage.path / "table.txt").write_text(table(name, scores), encoding="utf-8")
            stage.metrics = {"final_score": scores.final_score, "mAP": scores.relationships["mAP"]}
    return run.path / name, _read_scores(run.path / name / "metrics.json")


def predict_stage(run: Run, scorer: ScorerName, force: bool = False) -> dict[str, Any]:
    """Score the test set's detections, a file's or else the run's own: stage `predict-test`, in shards."""
    config = run.config
    test, ids = config.data.test, test_ids(config)
    run.folder(scorer)
    after: list[str] = [scorer]
    if not test.detections:
        run.folder("fuse-test")
        after.append("fuse-test")
    made_from = run.key({"scorer": scorer}, [*test.detections, ids_file(config)], after=after)
    with run.stage("predict-test", made_from, force=force) as stage:
        if stage:
            model = load_scorer(run, scorer)
            total, objects = _test_objects(run, ids)
            rows = _predict_shards(stage.path / "predictions", model, objects, total)
            stage.metrics = {"images": len(ids), "predictions": rows, "scorer": scorer}
    return run.finished("predict-test") or {}


def _test_objects(run: Run, ids: tuple[str, ...]) -> tuple[int, Iterator[Objects]]:
    """The number of shards of the test set's detections, and the shards."""
    files = run.config.data.test.detections
    if not files:
        folder = run.folder("fuse-test") / "shards"
        return len(list(folder.glob("*.parquet"))), read_shards(folder, Detections)
    detections = read_detections(files)
    strange = len(set(detections.images) - set(ids))
    if strange:
        notice(f"note: {strange} images with detections are not test images; left out")
    parts = list(shards(detections.of_images(ids)))
    return len(parts), iter(parts)


def _predict_shards(folder: Path, model: Scorer, objects: Iterator[Objects], total: int) -> int:
    """Predict shard by shard, leaving out those that are there; the number of predictions of all."""

    def predict(numbered: tuple[int, Objects]) -> int:
        i, shard = numbered
        return write_shard(folder, i, predict_relations(model, shard))

    todo = ((i, s) for i, s in enumerate(objects) if not shard_path(folder, i).exists())
    for _ in track(ordered_map(predict, todo, WORKERS), total, "predict test"):
        pass
    return count_rows(folder)


def submission_stage(run: Run, force: bool = False) -> tuple[Path, Report]:
    """Write the submission and check it: stage `submission`, after `predict-test`."""
    config = run.config
    settings = config.submission
    ids = test_ids(config)
    folder = run.folder("predict-test")
    made_from = run.key(settings.model_dump(), [ids_file(config)], after=["predict-test"])
    name = f"submission.{settings.packing}"
    with run.stage("submission", made_from, force=force) as stage:
        if stage:
            written = write_submission(
                stage.path / name,
                ids,
                _tracked(folder / "predictions"),
                top=settings.top,
                digits=settings.digits,
            )
            stage.metrics = {"bytes": written.bytes, "predictions": written.predictions}
    path = run.path / "submission" / name
    return path, check_submission(path, ids)


def test_ids(config: Config) -> tuple[str, ...]:
    """The test images in the order of the sample submission."""
    return read_image_ids(ids_file(config))


def _tracked(folder: Path) -> Iterator[Predictions]:
    total = len(list(folder.glob("*.parquet")))
    return track(read_shards(folder, Predictions), total, "write submission")


def _read_scores(path: Path) -> Scores:
    def numbers(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: numbers(v) for key, v in value.items()}
        return float("nan") if value is None else value

    values = numbers(json.loads(path.read_text(encoding="utf-8")))
    return Scores(values["final_score"], values["relationships"], values["phrases"], values["counts"])
