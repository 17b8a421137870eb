"""Tables of the real challenge's row counts, drawn at random, where the real ones are not there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.split_names import SplitName
from kit.tables.official_writer import write_boxes, write_image_labels, write_relations
from kit.tables.schema import Boxes, Floats, Relations, VerifiedLabels
from kit.vocabulary import IS, vocabulary

PREDICATES = {  # rows of the training file
    "is": 194_142,
    "at": 111_493,
    "on": 31_604,
    "holds": 20_986,
    "plays": 8_932,
    "interacts_with": 3_756,
    "inside_of": 2_392,
    "wears": 836,
    "hits": 593,
    "under": 34,
}
A_IMAGE = 3.7  # relations of an image that has any


@dataclass(frozen=True)
class Size:
    """Rows of a split: images with boxes, boxes, relations."""

    images: int
    boxes: int
    relations: int


SIZES: dict[SplitName, Size] = {  # of Open Images; those of images and boxes are rounded
    "train": Size(1_200_000, 3_750_000, 374_768),
    "stack": Size(112_000, 240_000, 12_314),
    "val": Size(1_600, 9_000, 3_991),
    "test": Size(99_999, 0, 0),
}


def made_ids(count: int, seed: int) -> tuple[str, ...]:
    """Ids as those of Open Images: 16 hexadecimal digits."""
    rng = np.random.default_rng([seed, count])
    numbers = np.unique(rng.integers(0, 1 << 60, count + count // 1000 + 8, np.int64))
    return tuple(f"{number:016x}" for number in rng.permutation(numbers)[:count].tolist())


def made_tables(size: Size, seed: int) -> tuple[Relations, Boxes]:
    """Relations and boxes of so many rows; predicates in the training file's shares."""
    rng, words = np.random.default_rng([seed, 1]), vocabulary()
    images = made_ids(size.images, seed)
    related = min(size.images, max(1, round(size.relations / A_IMAGE)))
    share = np.asarray([PREDICATES[name] for name in words.predicates], float)
    predicate = rng.choice(len(share), size.relations, p=share / share.sum())
    triplet = np.zeros(size.relations, np.int64)
    kinds = np.asarray([p for p, _, _ in words.triplets])
    for p in range(len(share)):
        rows = np.flatnonzero(predicate == p)
        triplet[rows] = rng.choice(np.flatnonzero(kinds == p), len(rows))
    _, subject, object_ = np.asarray(words.triplets).T[:, triplet]
    box = _boxes(rng, size.relations)
    other = np.where((predicate == IS)[:, None], box, _boxes(rng, size.relations))
    image = np.sort(rng.integers(0, related, size.relations)).astype(np.int32)
    relations = Relations(
        images=images,
        image=image,
        subject=subject,
        object=object_,
        predicate=predicate,
        subject_box=box,
        object_box=other,
    )
    return relations, _objects(rng, relations, size)


def _objects(rng: np.random.Generator, relations: Relations, size: Size) -> Boxes:
    """Those of the relations, and others of the same classes up to the number of rows."""
    pairs = relations.predicate != IS
    image = np.concatenate([relations.image, relations.image[pairs]])
    label = np.concatenate([relations.subject, relations.object[pairs]])
    box = np.concatenate([relations.subject_box, relations.object_box[pairs]])
    more = max(size.boxes - len(image), 0)
    image = np.concatenate([image, rng.integers(0, size.images, more).astype(np.int32)])
    label = np.concatenate([label, rng.choice(label, more)])
    box = np.concatenate([box, _boxes(rng, more)])
    order = np.argsort(image, kind="stable")
    groups = np.zeros(len(image), bool)
    return Boxes(
        images=relations.images, image=image[order], label=label[order], box=box[order], is_group_of=groups
    )


def _boxes(rng: np.random.Generator, n: int) -> Floats:
    """Boxes of all sizes anywhere in the image."""
    side = np.clip(np.exp(rng.normal(-1.2, 0.7, (n, 2))), 0.02, 0.95)
    corner = rng.random((n, 2)) * (1 - side)
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def write_split(
    folder: Path, relations: Relations, objects: Boxes, labels: VerifiedLabels | None
) -> tuple[Path, Path, Path]:
    """Write the three files of a split; their paths. labels: None verifies the classes that are there."""
    paths = (folder / "vrd.csv", folder / "vrd-bbox.csv", folder / "vrd-labels.csv")
    if labels is None:
        labels = _verified(objects)
    write_relations(paths[0], relations)
    write_boxes(paths[1], objects)
    write_image_labels(paths[2], labels)
    return paths


def _verified(objects: Boxes) -> VerifiedLabels:
    both = np.stack([objects.image.astype(np.int64), objects.label.astype(np.int64)], axis=1)
    rows: NDArray[np.int64] = np.unique(both, axis=0)
    present = np.ones(len(rows), bool)
    return VerifiedLabels(objects.images, rows[:, 0].astype(np.int32), rows[:, 1], present)
