"""Small whole inputs, by the vocabulary: what is damaged is near to what is right."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.config import CONFIGS
from kit.tables.schema import Detections, Predictions
from kit.vocabulary import IS, vocabulary

IMAGES = tuple(f"{i * 2654435761 % 2**64:016x}" for i in range(1, 7))
BOX = "0.1,0.6,0.2,0.9"  # XMin, XMax, YMin, YMax
OTHER = "0.3,0.8,0.25,0.75"


def relation_rows(rows: int = 24) -> list[str]:
    """Rows of a relations file, a triplet of every predicate among them."""
    words, out = vocabulary(), []
    triplets = words.triplets[:: max(1, len(words.triplets) // rows)][:rows]
    for i, (predicate, subject, object_) in enumerate(triplets):
        second = BOX if predicate == IS else OTHER
        labels = f"{words.mids[subject]},{words.mids[object_]}"
        out.append(f"{IMAGES[i % len(IMAGES)]},{labels},{BOX},{second},{words.predicates[predicate]}")
    return out


def rows_to_learn(images: int = 30) -> list[str]:
    """Rows of a relations file from which trees learn: who is near a guitar plays it, who is far holds it."""
    words, out = vocabulary(), []
    man, guitar = (words.mids[words.names.index(name)] for name in ("Man", "Guitar"))
    for i in range(images):
        for k, predicate in enumerate(("plays", "holds")):
            left, shift = 0.1 + 0.5 * k, 0.05 + 0.2 * k + 0.001 * i
            body, thing = (f"{x:.3f},{x + 0.1:.3f},0.2,0.6" for x in (left, left + shift))
            out.append(f"{i:016x},{man},{guitar},{body},{thing},{predicate}")
    return out


def box_rows(rows: int = 12) -> list[str]:
    """Rows of a boxes file without IsGroupOf."""
    mids = vocabulary().mids[:5]
    return [f"{IMAGES[i % len(IMAGES)]},{mids[i % 5]},{BOX if i % 2 else OTHER}" for i in range(rows)]


def label_rows(rows: int = 12) -> list[str]:
    """Rows of an image labels file."""
    mids = vocabulary().mids
    return [f"{IMAGES[i % len(IMAGES)]},{mids[i]},{i % 2}" for i in range(rows)]


def scored(row: str) -> str:
    """A row of a boxes file as a detection."""
    image, label, *corners = row.split(",")
    return ",".join([image, label, f"0.{len(image) + sum(map(ord, label)) % 83}", *corners])


def kaggle_detections() -> list[str]:
    """A line an image in Kaggle's form of detections, some without boxes."""
    mids = vocabulary().mids
    boxes = [f"{mids[i]} 0.{9 - i} 0.1 0.2 0.6 0.9" for i in range(5)]
    return [f"{name},{' '.join(boxes[: i % 4])}" for i, name in enumerate(IMAGES)]


def yolo_labels() -> list[str]:
    """Lines of one image's YOLO labels."""
    return [f"{i} 0.35 0.55 0.5 0.{7 - i} 0.{9 - i}" for i in range(5)]


def coco_results() -> list[dict[str, Any]]:
    """COCO results on `coco()`."""
    return [
        {"image_id": i % 6, "category_id": 7 + i, "bbox": [1.5, 2, 20, 30.25], "score": 1 / (1 + i)}
        for i in range(8)
    ]


def submission_rows() -> list[str]:
    """A line an image, some without predictions."""
    words = vocabulary()
    predicate, subject, object_ = words.triplets[0]
    sides = f"{words.mids[subject]} 0.1 0.2 0.6 0.9 {words.mids[object_]} 0.3 0.25 0.8 0.75"
    text = f"0.5 {sides} {words.predicates[predicate]}"
    return [f"{name},{' '.join([text] * (i % 4))}" for i, name in enumerate(IMAGES)]


def detections() -> Detections:
    """A table of detections."""
    rows = np.arange(12)
    box = np.tile(np.float32([0.1, 0.2, 0.6, 0.9]), (12, 1))
    return Detections(IMAGES, (rows % 6).astype(np.int32), rows % 57, 1 / (1 + rows), box)


def predictions() -> Predictions:
    """A table of predictions."""
    rows = np.arange(12)
    box = np.tile(np.float32([0.1, 0.2, 0.6, 0.9]), (12, 1))
    predicate, subject, object_ = vocabulary().triplets[:12].T
    image = (rows % 6).astype(np.int32)
    return Predictions(IMAGES, image, subject, object_, predicate, box, box, 1 / (1 + rows))


def coco() -> dict[str, Any]:
    """A COCO instances file of 300 classes."""
    images = [
        {"id": i, "file_name": f"{name}.jpg", "width": 64, "height": 48} for i, name in enumerate(IMAGES)
    ]
    annotations = [
        {"id": i, "image_id": i % 6, "category_id": 7 + i, "bbox": [1.5, 2, 20, 30.25], "iscrowd": i % 2}
        for i in range(8)
    ]
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, 301)]
    return {"images": images, "annotations": annotations, "categories": categories}


def hierarchy() -> dict[str, Any]:
    """A hierarchy of a few classes."""
    mids = vocabulary().mids
    inner = {"LabelName": mids[1], "Subcategory": [{"LabelName": mids[2]}], "Part": [{"LabelName": mids[3]}]}
    return {"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": mids[0], "Subcategory": [inner]}]}


MODEL = (
    b"detector: {models: {one: {architecture: resnext-mini}}}\n"  # of a configuration that names no detector
)


def configs() -> list[bytes]:
    """The configurations that come with kit, and a short one."""
    folder = next(folder for folder in CONFIGS if folder.is_dir())
    return [b"run: runs/x\nseed: 3\n", (folder / "relations.yaml").read_bytes()]


def record() -> dict[str, Any]:
    """A record of a submission."""
    return {
        "id": "20190901T000000Z-0a1b2c3d",
        "competition": "open-images-2019-visual-relationship",
        "file": "submission.csv",
        "sha256": "0" * 64,
        "bytes": 1,
        "message": "first",
        "state": "pending",
        "created": "2019-09-01T00:00:00+00:00",
        "ref": 7,
        "local": 0.4,
        "config": {"seed": 0},
    }
