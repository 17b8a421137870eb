"""Small tables and files that several test modules build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kit.config import Prior
from kit.data.split_tables import SplitTables
from kit.data.world import draw_world
from kit.relation.prior_model import PriorScorer
from kit.relation.scorers import Ensemble
from kit.relation.spatial_model import SpatialScorer
from kit.relation.stacking import Stacker
from kit.relation.statistics import CooccurrenceStatistics
from kit.tables.schema import Boxes, ImageLabels, Predictions, Relations, VerifiedLabels
from kit.vocabulary import IS, vocabulary

Box = tuple[float, float, float, float]
Row = tuple[str, int, int, int, Box, Box]  # image, subject, object, predicate, and their boxes
NAME = {name: i for i, name in enumerate(vocabulary().names)}
A, B, C = (0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 1.0, 1.0), (0.0, 0.5, 0.4, 0.9)

GOOD = "0.5 /m/04yx4 0.1 0.2 0.5 0.9 /m/0342h 0.3 0.5 0.4 0.6 plays"
IS_GOOD = "0.25 /m/04bcr3 0.1 0.2 0.5 0.9 /m/083vt 0.1 0.2 0.5 0.9 is"


def submission(path: Path, *lines: str) -> Path:
    """Write a submission of these lines."""
    path.write_text("\n".join(["ImageId,PredictionString", *lines]) + "\n")
    return path


def relations(rows: Sequence[Row], images: Sequence[str] = ("a", "b", "c")) -> Relations:
    """Relations by the numbers of labels and predicates."""
    images = tuple(images)
    return Relations(
        images=images,
        image=np.array([images.index(r[0]) for r in rows], np.int32),
        subject=np.array([r[1] for r in rows]),
        object=np.array([r[2] for r in rows]),
        predicate=np.array([r[3] for r in rows]),
        subject_box=np.array([r[4] for r in rows], np.float32).reshape(-1, 4),
        object_box=np.array([r[5] for r in rows], np.float32).reshape(-1, 4),
    )


def predictions(
    rows: Sequence[Row], scores: Sequence[float], images: Sequence[str] = ("a", "b", "c")
) -> Predictions:
    """The same with scores."""
    table = relations(rows, images)
    columns = {name: getattr(table, name) for name in ("image", *Relations.COLUMNS)}
    return Predictions(images=table.images, **columns, score=np.array(scores, np.float64))


def image_labels(rows: Sequence[tuple[str, int]], images: Sequence[str] = ("a", "b", "c")) -> ImageLabels:
    """Verified labels of images."""
    return ImageLabels(
        tuple(images), np.array([images.index(i) for i, _ in rows], int), np.array([x for _, x in rows], int)
    )


def random_predictions(
    n: int, rng: np.random.Generator, images: Sequence[str] = ("a", "b", "c")
) -> Predictions:
    """Allowed triplets with any boxes and scores, image by image."""
    triplets = vocabulary().triplets[rng.integers(0, 329, n)]
    sides = [np.sort(rng.random((n, 2, 2)), axis=1).reshape(n, 4).astype(np.float32) for _ in range(2)]
    is_ = triplets[:, 0] == IS
    sides[1][is_] = sides[0][is_]
    image = np.sort(rng.integers(0, len(images), n))
    return Predictions(
        tuple(images), image, triplets[:, 1], triplets[:, 2], triplets[:, 0], *sides, score=rng.random(n)
    )


def boxes(*rows: tuple[str, str, Box], images: Sequence[str] = ("a", "b")) -> Boxes:
    """Boxes by image and class name."""
    images = tuple(images)
    return Boxes(
        images,
        [images.index(r[0]) for r in rows],
        [NAME[r[1]] for r in rows],
        np.array([r[2] for r in rows], np.float32).reshape(-1, 4),
        np.zeros(len(rows), bool),
    )


def drawn_split(name: str, n: int) -> SplitTables:
    """A split of n drawn images; verified are the classes and attributes that are there."""
    world = draw_world(name, n, seed=1)
    there = np.unique(np.column_stack([world.boxes.image, world.boxes.label]), axis=0)
    attributes = world.relations.take(world.relations.predicate == IS)
    image = np.concatenate([there[:, 0], attributes.image])
    label = np.concatenate([there[:, 1], attributes.object])
    present = np.ones(len(image), bool)
    labels = VerifiedLabels(world.boxes.images, image, label, present)
    return SplitTables(world.relations, world.boxes, labels)


def statistics_of_triplets() -> CooccurrenceStatistics:
    """Every allowed triplet seen once."""
    triplets = vocabulary().triplets
    hit = np.eye(10, dtype=bool)[triplets[:, 0]]
    settings = Prior()
    return CooccurrenceStatistics.count(
        triplets[:, 1], triplets[:, 2], hit, settings.smooth_class, settings.smooth_pair
    )


def stacked(statistics: CooccurrenceStatistics, spatial: SpatialScorer, stack: Stacker) -> Ensemble:
    """The third stage over the spatial scores alone, as an ensemble."""
    prior = PriorScorer(statistics)
    return Ensemble(
        "stack",
        prior,
        {
            "prior": lambda objects, pairs, _: prior.predict_pairs(objects, pairs),
            "spatial": lambda objects, pairs, _: spatial.predict_pairs(objects, pairs),
            "stack": lambda objects, pairs, scores: stack.scores(
                objects, pairs, {"spatial": scores["spatial"]}
            ),
        },
        spatial,
        None,
        stack,
    )
