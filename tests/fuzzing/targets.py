"""What is given damaged inputs: every reader of a file that a user or an interrupted run may leave."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kit.config import load_config
from kit.data.split_tables import load_split
from kit.kaggle.records import read_records
from kit.metric.detection_files import score_detection_files
from kit.metric.hierarchy import read_hierarchy
from kit.metric.judging import InvertedBox
from kit.metric.matching import match_predictions
from kit.metric.relations import score
from kit.tables.coco import read_instances
from kit.tables.detection_formats import load_detections
from kit.tables.image_lists import distinct_images, read_image_ids
from kit.tables.official import (
    prediction_fault,
    read_boxes,
    read_detections,
    read_predictions,
    read_relations,
    read_verified_labels,
)
from kit.tables.schema import Detections, Predictions, Table
from kit.tables.shards import read_shard, write_shard
from kit.tables.side_files import SideFiles
from kit.tables.submission_check import check_submission
from kit.vocabulary import vocabulary
from tests.fuzzing import images, runs, samples, weights

Prepare = Callable[[Path], list[bytes]]


@dataclass(frozen=True)
class Target:
    """A reader. prepare: makes what stands beside the file and gives whole inputs; read: of the file's path.

    share: how many inputs it gets, in parts of all (a slow reader gets fewer).
    """

    name: str
    file: str
    prepare: Prepare
    read: Callable[[Path], object]
    words: tuple[bytes, ...] = ()
    share: float = 1.0


def _csv(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


RELATIONS = _csv(
    "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel",
    *samples.relation_rows(),
)
LEARNED = _csv(RELATIONS.decode().split("\n")[0], *samples.rows_to_learn())
PREDICTIONS = _csv(
    "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel,Score",
    *(f"{row},0.{9 - i % 9}" for i, row in enumerate(samples.relation_rows())),
)
BOXES = _csv("ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf", *(f"{r},0" for r in samples.box_rows()))
LABELS = _csv("ImageID,LabelName,Confidence", *samples.label_rows())
DETECTIONS = _csv(
    "ImageID,LabelName,Score,XMin,XMax,YMin,YMax", *(samples.scored(row) for row in samples.box_rows())
)
KAGGLE = _csv("ImageId,PredictionString", *samples.kaggle_detections())
YOLO = "".join(f"{line}\n" for line in samples.yolo_labels()).encode()
SUBMISSION = _csv("ImageId,PredictionString", *samples.submission_rows())
IDS = _csv("ImageId,PredictionString", *(f"{name}," for name in samples.IMAGES))
WORDS = tuple(
    text.encode() for text in (*vocabulary().mids[:4], *vocabulary().predicates, "ImageID", "Score", "XMin1")
)


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file.csv", data)
    return buffer.getvalue()


def _packed(*contents: bytes) -> Prepare:
    """The contents as they are, gzipped and zipped."""
    whole = [form(data) for data in contents for form in (bytes, partial(gzip.compress, mtime=0), _zipped)]
    return lambda _folder: whole


def _plain(*contents: bytes) -> Prepare:
    return lambda _folder: list(contents)


def _beside(name: str, content: bytes, *contents: bytes) -> Prepare:
    def prepare(folder: Path) -> list[bytes]:
        (folder / name).write_bytes(content)
        return list(contents)

    return prepare


def _score_relations(path: Path) -> None:
    found = read_predictions(path)
    try:
        score(match_predictions(read_relations([path.with_name("truth.csv")]), found, None)).as_dict()
    except InvertedBox as error:
        raise prediction_fault(path, error.row, error.side, "inverted box") from None


def _split(path: Path) -> None:
    config = load_config("relations", [f"data.train.relations={path.with_name('truth.csv')}"])
    load_split(config.data.train.model_copy(update={"boxes": [path]}), "train")


def _set(path: Path) -> None:
    load_config("mini", [path.read_bytes().decode("utf-8", "surrogateescape")])


def _records(path: Path) -> None:
    read_records(path.parent)


CSV_TARGETS = (
    Target("relations", "t.csv", _packed(RELATIONS), lambda p: read_relations([p]), WORDS),
    Target("split", "t.csv", _beside("truth.csv", RELATIONS, BOXES), _split, WORDS, 0.5),
    Target("boxes", "t.csv", _packed(BOXES), read_boxes, WORDS),
    Target("labels", "t.csv", _packed(LABELS), read_verified_labels, WORDS),
    Target("detections", "t.csv", _packed(DETECTIONS), read_detections, WORDS),
    Target("kaggle-detections", "t.csv", _packed(KAGGLE), lambda p: load_detections([p]), WORDS),
    Target("predictions", "t.csv", _packed(PREDICTIONS, SUBMISSION), read_predictions, WORDS),
    Target("ids", "t.csv", _packed(IDS), read_image_ids, WORDS),
    Target("distinct", "t.csv", _packed(BOXES), lambda p: distinct_images([p], [0, 1]), WORDS),
    Target("check", "t.csv", _packed(SUBMISSION), lambda p: check_submission(p, samples.IMAGES), WORDS),
    Target(
        "score-relations",
        "t.csv",
        _beside("truth.csv", RELATIONS, PREDICTIONS, SUBMISSION),
        _score_relations,
        WORDS,
        0.3,
    ),
    Target(
        "score-detections",
        "t.csv",
        _beside("truth.csv", BOXES, DETECTIONS),
        lambda p: score_detection_files([p.with_name("truth.csv")], p),
        WORDS,
        0.3,
    ),
    Target(
        "score-detections-truth",
        "t.csv",
        _beside("found.csv", DETECTIONS, BOXES),
        lambda p: score_detection_files([p], p.with_name("found.csv")),
        WORDS,
        0.3,
    ),
)


def _shard(table: Table) -> Prepare:
    def prepare(folder: Path) -> list[bytes]:
        write_shard(folder, 0, table)
        return [(folder / "00000.parquet").read_bytes()]

    return prepare


CONFIG_WORDS = tuple(
    word.encode()
    for word in (
        "data: ",
        "detector: ",
        "models: {",
        "run: ~/x",
        "seed: ",
        "&a [*a]",
        "<<: *a",
        "? ",
        "- ",
        "| ",
    )
)
RECORD = json.dumps(samples.record()).encode()


def _known_classes(results: bytes) -> Prepare:
    """COCO results on images with classes that are the challenge's."""
    names = [{"id": i, "name": name} for i, name in enumerate(vocabulary().names[:57], 1)]
    return _beside("images.json", json.dumps(samples.coco() | {"categories": names}).encode(), results)


def _labels(folder: Path) -> list[bytes]:
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "classes.txt").write_text("\n".join(vocabulary().names[:57]))
    return [YOLO]


def _read_results(path: Path) -> None:
    load_detections([path], SideFiles(images=path.with_name("images.json")))


OTHER_TARGETS = (
    Target(
        "coco-results", "t.json", _known_classes(json.dumps(samples.coco_results()).encode()), _read_results
    ),
    Target("yolo", "labels/a.txt", _labels, lambda p: load_detections([p.parent])),
    Target("coco", "t.json", _plain(json.dumps(samples.coco()).encode()), read_instances),
    Target("hierarchy", "t.json", _plain(json.dumps(samples.hierarchy()).encode()), read_hierarchy),
    Target("config", "t.yaml", _plain(*samples.configs()), lambda p: load_config(str(p)), CONFIG_WORDS, 0.03),
    Target(
        "extends",
        "t.yaml",
        _beside(
            "base.yaml", samples.configs()[0], b"extends: base.yaml\nrun: r\n", b"extends: mini\nseed: 2\n"
        ),
        lambda p: load_config(str(p)),
        (*CONFIG_WORDS, b"extends: ", b"base.yaml", b"t.yaml", b"null"),
        0.03,
    ),
    Target(
        "extended",
        "base.yaml",
        _beside(
            "t.yaml",
            b"extends: base.yaml\nseed: 2\ndetector: {models: {one: null}}\n",
            *(text + samples.MODEL for text in samples.configs()),
        ),
        lambda p: load_config(str(p.with_name("t.yaml"))),
        CONFIG_WORDS,
        0.03,
    ),
    Target(
        "set", "t", _plain(b"seed=1", b"relation.spatial.eta=0.3", b"data.mini={side: 64}"), _set, (), 0.05
    ),
    Target(
        "detection-shard", "t", _shard(samples.detections()), lambda p: read_shard(p, Detections), (), 0.3
    ),
    Target(
        "prediction-shard", "t", _shard(samples.predictions()), lambda p: read_shard(p, Predictions), (), 0.3
    ),
    Target("record", f"{samples.record()['id']}.json", _plain(RECORD), _records),
    Target("photo", "t.jpg", images.jpegs, images.read_photo),
    Target("missing", "missing.csv", _plain(b"ImageID,Reason\n0a1b,HTTP 404\n"), images.missing_photos),
    Target("checkpoint", "t.pth", weights.checkpoints, weights.read_weights, (), 0.3),
    Target("names", "t.txt", weights.names, weights.read_names),
    Target("class-map", "t.yaml", weights.class_maps, weights.read_map, CONFIG_WORDS, 0.05),
)


def _run_target(name: str, file: str, read: Callable[[Path], object], share: float) -> Target:
    return Target(name, f"run/{file}", runs.trained(f"run/{file}", LEARNED), read, (), share)


RUN_TARGETS = (
    _run_target("stage-record", "prior/stage.json", runs.use_prior, 0.02),
    _run_target("hashes", "hashes.json", runs.use_prior, 0.02),
    _run_target("statistics", "prior/statistics.npz", runs.load_statistics, 0.3),
    _run_target("spatial-index", "spatial/models.json", runs.load_spatial, 0.05),
    _run_target("spatial-model", "spatial/plays.ubj", runs.load_spatial, 0.05),
)
TARGETS: tuple[Target, ...] = (*CSV_TARGETS, *OTHER_TARGETS, *RUN_TARGETS)
