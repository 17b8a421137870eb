"""The mini challenge: every annotation file of the real one, generated from a seed, with the test's truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kit.boxes import iou
from kit.config import Mini
from kit.data.world import World, draw_world
from kit.files import write_text
from kit.tables.official_writer import (
    write_boxes,
    write_detections,
    write_image_labels,
    write_relations,
    write_sample_submission,
)
from kit.tables.schema import Boxes, Detections, ImageLabels
from kit.vocabulary import vocabulary

STEMS = {
    "train": ("challenge-2019-train-vrd", "challenge-2019-train-vrd-bbox", "challenge-2019-train-vrd-labels"),
    "stack": ("test-annotations-vrd", "test-annotations-bbox", "test-annotations-labels"),
    "val": (
        "challenge-2019-validation-vrd",
        "challenge-2019-validation-vrd-bbox",
        "challenge-2019-validation-vrd-labels",
    ),
    "test": ("hidden/test-vrd", "hidden/test-vrd-bbox", "hidden/test-vrd-labels"),
}
MISSED = 0.1  # share of test objects without a detection
DONE = "mini.done"


def build_mini(root: Path, mini: Mini) -> list[Path]:
    """Write the challenge below `root` and give its files; the settings it was made of lie in `mini.done`."""
    (root / DONE).unlink(missing_ok=True)
    files = []
    for split, stems in STEMS.items():
        world = draw_world(split, getattr(mini, split), mini.seed)
        relations, boxes, labels = (root / f"{stem}.csv" for stem in stems)
        write_relations(relations, world.relations)
        write_boxes(boxes, world.boxes)
        write_image_labels(labels, *_verified(world, mini.seed))
        files += [relations, boxes, labels]
        if split == "test":
            sample, detections = root / "VRD_sample_submission.csv", root / "test-detections.csv"
            write_sample_submission(sample, world.boxes.images)
            write_detections(detections, _detected(world.boxes, mini.seed))
            files += [sample, detections]
    write_text(root / DONE, mini.model_dump_json() + "\n")
    return files


def is_built(root: Path, mini: Mini) -> bool:
    """Whether the challenge of these settings is whole below `root`."""
    try:
        return (root / DONE).read_text(encoding="utf-8") == mini.model_dump_json() + "\n"
    except OSError:
        return False


def _verified(world: World, seed: int) -> tuple[ImageLabels, np.ndarray]:
    """Labels a person verified: every class and attribute that is there, and three classes that are not."""
    rng = np.random.default_rng([seed, len(world.boxes)])
    n, words = len(world.boxes.images), vocabulary()
    there = np.zeros((n, words.labels), bool)
    there[world.boxes.image, world.boxes.label] = True
    there[world.relations.image, world.relations.object] = True
    absent = np.zeros_like(there)
    absent[np.arange(n)[:, None], rng.integers(0, words.classes, (n, 3))] = True
    image, label = np.nonzero(there | absent)
    return ImageLabels(world.boxes.images, image, label), there[image, label]


def _detected(boxes: Boxes, seed: int) -> Detections:
    """What an imperfect detector would see: shifted boxes, some missed, some that are not there."""
    rng = np.random.default_rng([seed, 1])
    found = boxes.take(rng.random(len(boxes)) >= MISSED)
    ghosts = boxes.take(rng.integers(0, len(boxes), len(boxes) // 4))
    side = np.tile(found.box[:, 2:] - found.box[:, :2], 2)
    shifted = found.box + rng.normal(0, 0.05, found.box.shape) * side
    loose = rng.random((len(ghosts), 2, 2))
    box = np.concatenate([shifted.reshape(-1, 2, 2), loose])
    box = np.sort(np.clip(box, 0, 1), axis=1).reshape(-1, 4).astype(np.float32)
    overlap = np.concatenate([iou(box[: len(found)], found.box), np.zeros(len(ghosts))])
    score = np.clip(rng.beta(5, 2, len(box)) * (0.3 + 0.7 * overlap), 1e-4, 1)
    image = np.concatenate([found.image, ghosts.image])
    label = np.concatenate([found.label, ghosts.label])
    order = np.lexsort((-score, image))
    return Detections(boxes.images, image[order], label[order], np.round(score[order], 6), box[order])
