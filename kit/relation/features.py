"""The feature matrices of candidates: what the models of the second and third stage see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from kit.data.objects import Objects
from kit.relation.candidates import Candidates
from kit.relation.context import PairContext, image_blocks
from kit.relation.geometry import Columns, object_features, pair_features
from kit.relation.statistics import CooccurrenceStatistics, feature_names
from kit.tables.schema import Boxes, Floats
from kit.vocabulary import vocabulary

BLOCK = 200_000  # candidates whose features are computed at once
PROBE = (  # boxes that no rule of symmetry maps onto each other
    (0.10, 0.12, 0.53, 0.64),
    (0.31, 0.22, 0.58, 0.71),
    (0.05, 0.55, 0.26, 0.93),
    (0.44, 0.05, 0.97, 0.99),
    (0.21, 0.33, 0.47, 0.39),
    (0.62, 0.41, 0.80, 0.87),
)


@dataclass(frozen=True, eq=False)
class Features:
    """values: float32 (n, len(names))."""

    names: tuple[str, ...]
    values: Floats

    def take(self, rows: NDArray[np.intp]) -> Floats:
        """The values of some rows."""
        return np.asarray(self.values[rows], np.float32)


def features_of_pairs(objects: Objects, candidates: Candidates, block: int = BLOCK) -> Features:
    """Spatial and context features of pairs; the semantic ones are added per predicate.

    candidates: image by image, as `pair_candidates` gives them. block: candidates looked at at once, in whole
    images: what is needed beside the matrix stays small. Raises ValueError where an image's rows stand apart.
    """
    context = PairContext.of(objects, candidates)
    names: tuple[str, ...] = ()
    values = np.empty((0, 0), np.float32)
    for rows in image_blocks(candidates.image, block):
        columns = pair_columns(context, objects, candidates.take(rows))
        if not names:
            names = tuple(columns)
            values = np.empty((len(candidates), len(names)), np.float32, order="F")
        for i, column in enumerate(columns.values()):
            values[rows, i] = column
    return Features(names, values)


def pair_columns(context: PairContext, objects: Objects, candidates: Candidates) -> Columns:
    """The features of the pairs of whole images, a column a name; context: of all images' candidates."""
    subject, object_ = objects.box[candidates.subject], objects.box[candidates.object]
    pair = pair_features(subject, object_)
    return {
        **object_features(subject, "subject"),
        **object_features(object_, "object"),
        **pair,
        **context.features(candidates, pair),
    }


def features_of_attributes(objects: Objects, candidates: Candidates) -> Features:
    """Features of (object, attribute) candidates: the object's box, its class and the attribute."""
    label = objects.label[candidates.subject]
    per_image = np.bincount(objects.image, minlength=len(objects.images))
    key = objects.image.astype(np.int64) * 256 + objects.label
    of_class = np.bincount(key)[key]
    return _matrix(
        {
            **object_features(objects.box[candidates.subject], "subject"),
            "objects": per_image[candidates.image].astype(np.float32),
            "objects_of_subject_class": of_class[candidates.subject].astype(np.float32),
            "subject_label": label.astype(np.float32),
            "attribute": candidates.object.astype(np.float32),
        }
    )


@cache
def signature() -> dict[str, str]:
    """The features' names, and a hash of their values on a few fixed boxes and counts: changed code changes it.

    Values are rounded to three decimals, so that no machine's last digits are in it.
    """
    box = np.asarray(PROBE, np.float32)
    label = np.asarray([0, 1, 0, 2, 1, 3])
    objects = Boxes(("a", "b"), np.asarray([0, 0, 0, 0, 1, 1]), label, box, np.zeros(len(box), bool))
    pairs = np.asarray([(s, o) for s in range(6) for o in range(6) if s != o and (s < 4) == (o < 4)])
    candidates = Candidates(objects.images, objects.image[pairs[:, 0]], pairs[:, 0], pairs[:, 1])
    signed = {}
    for name, table in {
        "pair_features": features_of_pairs(objects, candidates),
        "attribute_features": features_of_attributes(objects, candidates),
        "semantic_features": _semantic_probe(),
    }.items():
        values = np.round(table.values.astype(np.float64), 3) + 0.0
        text = "\n".join([*table.names, *(" ".join(f"{v:.3f}" for v in row) for row in values)])
        signed[name] = f"{len(table.names)} features, {sha256(text.encode()).hexdigest()[:12]}"
    return signed


def _semantic_probe() -> Features:
    """The semantic features of a few class pairs, by statistics of a few fixed rows."""
    vocab = vocabulary()
    row = np.arange(400)
    subject, object_ = row * 7 % vocab.classes, row * 11 % vocab.labels
    positive = (row[:, None] + 3 * np.arange(len(vocab.predicates))) % 5 == 0
    statistics = CooccurrenceStatistics.count(subject, object_, positive)
    predicates = range(len(vocab.predicates))
    shown = row[::37]
    return Features(
        feature_names(predicates), statistics.features(predicates, subject[shown], object_[shown])
    )


def hstack(features: Features, names: tuple[str, ...], columns: Floats) -> Features:
    """The features with more columns to their right."""
    return Features((*features.names, *names), np.concatenate([features.values, columns], axis=1))


def _matrix(columns: Columns) -> Features:
    values = np.empty((len(next(iter(columns.values()))), len(columns)), np.float32, order="F")
    for i, column in enumerate(columns.values()):
        values[:, i] = column
    return Features(tuple(columns), values)
