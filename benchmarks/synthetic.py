"""Random tables of any size for the benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kit.relation.candidates import pair_candidates
from kit.tables.official_writer import write_boxes, write_image_labels, write_relations
from kit.tables.schema import Boxes, Detections, Predictions, Relations, VerifiedLabels
from kit.vocabulary import IS, vocabulary


def image_ids(n: int) -> tuple[str, ...]:
    """So many ids of 16 hexadecimal digits."""
    return tuple(f"{i * 0x9E3779B97F4A7C15 % 2**64:016x}" for i in range(1, n + 1))


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Boxes of at least a hundredth of the image's side."""
    corner = rng.random((n, 2)) * 0.9
    size = 0.01 + rng.random((n, 2)) * (0.99 - corner) * 0.6
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def truth(rng: np.random.Generator, images: int) -> Relations:
    """One to seven relations an image."""
    per_image = rng.integers(1, 8, images)
    n = int(per_image.sum())
    predicate, subject, object_ = vocabulary().triplets[rng.integers(0, 329, n)].T
    first, second = random_boxes(rng, n), random_boxes(rng, n)
    second[predicate == IS] = first[predicate == IS]
    image = np.repeat(np.arange(images), per_image)
    return Relations(image_ids(images), image, subject, object_, predicate, first, second)


def predictions(rng: np.random.Generator, true: Relations, low: int, high: int) -> Predictions:
    """`low` to `high` predictions an image, three in ten near a true relation."""
    images = len(true.images)
    per_image = rng.integers(low, high + 1, images)
    image = np.repeat(np.arange(images), per_image)
    n = len(image)
    count = np.bincount(true.image, minlength=images)
    source = (np.cumsum(count) - count)[image] + rng.integers(0, count[image])
    other = vocabulary().triplets[rng.integers(0, 329, n)]
    own = np.column_stack([true.predicate[source], true.subject[source], true.object[source]])
    triplet = np.where(rng.random((n, 1)) < 0.6, own, other)
    near = rng.random((n, 1)) < 0.3
    sides = [
        np.where(near, _shifted(rng, box[source]), random_boxes(rng, n))
        for box in (true.subject_box, true.object_box)
    ]
    is_ = triplet[:, 0] == IS
    sides[1][is_] = sides[0][is_]
    score = rng.random(n).round(6)
    return Predictions(true.images, image, triplet[:, 1], triplet[:, 2], triplet[:, 0], *sides, score=score)


def labels(rng: np.random.Generator, ids: tuple[str, ...]) -> VerifiedLabels:
    """Six verified labels an image, and whether each is present."""
    n = 6 * len(ids)
    image, label = np.repeat(np.arange(len(ids)), 6), rng.integers(0, 57, n)
    return VerifiedLabels(ids, image, label, rng.random(n) < 0.5)


def detections(rng: np.random.Generator, images: int, per_image: int) -> Detections:
    """So many detected objects an image."""
    n = images * per_image
    image = np.repeat(np.arange(images), per_image)
    box = random_boxes(rng, n)
    return Detections(image_ids(images), image, rng.integers(0, 57, n), rng.random(n), box)


def write_scoring_files(folder: Path, images: int, seed: int = 0) -> int:
    """Write truth.csv, labels.csv and predictions.csv of 40 to 100 rows an image; the number of rows."""
    rng = np.random.default_rng(seed)
    true = truth(rng, images)
    table = predictions(rng, true, 40, 100)
    write_relations(folder / "truth.csv", true)
    write_relations(folder / "predictions.csv", table)
    write_image_labels(folder / "labels.csv", labels(rng, true.images))
    return len(table)


def write_split(folder: Path, images: int, seed: int = 0) -> None:
    """Write boxes.csv, labels.csv and vrd.csv with the rows an image that the training split has.

    Of 1.2 million images: 3.75 million boxes, 374,000 relations, 4.1 million pairs that can be related; every class
    with a box is verified.
    """
    rng = np.random.default_rng(seed)
    ids, n = image_ids(images), images * 25 // 8
    share = rng.gamma(0.9, size=images)
    more = rng.choice(images, n - images, p=share / share.sum())
    image = np.sort(np.concatenate([np.arange(images), more]))
    related = np.delete(vocabulary().allowed, IS, axis=0).any(axis=0)[:57, :57]
    often = 0.5 + related.sum(axis=0) + related.sum(axis=1)
    label = rng.choice(57, n, p=often / often.sum())
    boxes = Boxes(ids, image, label, random_boxes(rng, n), rng.random(n) < 0.03)
    write_boxes(folder / "boxes.csv", boxes)
    pairs = pair_candidates(boxes)
    pairs = pairs.take(np.sort(rng.choice(len(pairs), min(images * 374 // 1200, len(pairs)), replace=False)))
    subject, object_ = label[pairs.subject], label[pairs.object]
    possible = vocabulary().allowed[:, subject, object_] & (np.arange(10) != IS)[:, None]
    predicate = np.argmax(possible * rng.random(possible.shape), axis=0)
    sides = boxes.box[pairs.subject], boxes.box[pairs.object]
    write_relations(folder / "vrd.csv", Relations(ids, pairs.image, subject, object_, predicate, *sides))
    shown = np.unique(image * 57 + label)
    verified = VerifiedLabels(ids, shown // 57, shown % 57, np.ones(len(shown), bool))
    write_image_labels(folder / "labels.csv", verified)


def _shifted(rng: np.random.Generator, box: np.ndarray) -> np.ndarray:
    moved = np.clip(box + rng.normal(0, 0.01, box.shape), 0, 1).reshape(-1, 2, 2)
    return np.sort(moved, axis=1).reshape(-1, 4).astype(np.float32)
