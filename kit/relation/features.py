"""The feature matrices of candidates: what the models of the second and third stage see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kit.data.objects import Objects
from kit.relation.candidates import Candidates
from kit.relation.context import context_features
from kit.relation.geometry import Columns, object_features, pair_features
from kit.tables.schema import Floats


@dataclass(frozen=True, eq=False)
class Features:
    """values: float32 (n, len(names))."""

    names: tuple[str, ...]
    values: Floats


def features_of_pairs(objects: Objects, candidates: Candidates) -> Features:
    """Spatial and context features of pairs; the semantic ones are added per predicate."""
    subject, object_ = objects.box[candidates.subject], objects.box[candidates.object]
    pair = pair_features(subject, object_)
    return _matrix(
        {
            **object_features(subject, "subject"),
            **object_features(object_, "object"),
            **pair,
            **context_features(objects, candidates, pair),
        }
    )


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


def beside(features: Features, names: tuple[str, ...], columns: Floats) -> Features:
    """The features with more columns to their right."""
    return Features((*features.names, *names), np.concatenate([features.values, columns], axis=1))


def _matrix(columns: Columns) -> Features:
    values = np.empty((len(next(iter(columns.values()))), len(columns)), np.float32, order="F")
    for i, column in enumerate(columns.values()):
        values[:, i] = column
    return Features(tuple(columns), values)
