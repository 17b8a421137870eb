"""Features of a pair among its rivals: is another object nearer, does another overlap more (paper 2.2).

A pair's rivals are the image's pairs with the same subject, the same object, the same subject and object
class, or the same object and subject class. Of detected objects only the sure ones count and are rivals, so
that an image with hundreds of faint boxes looks like its ground truth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.data.objects import Objects
from kit.relation.candidates import Candidates
from kit.relation.geometry import Columns
from kit.tables.schema import Detections
from kit.vocabulary import vocabulary

Groups = NDArray[np.int64]
SURE = 0.3  # score of a detection that counts


def context_features(objects: Objects, candidates: Candidates, pair: Columns) -> Columns:
    """Counts and lead over the best rival, by distance and by overlap; every column float32 (n,).

    pair: the columns of `geometry.pair_features` for these candidates. Without a rival a lead is NaN.
    """
    labels = vocabulary().labels
    subject, object_ = candidates.subject.astype(np.int64), candidates.object.astype(np.int64)
    label = objects.label.astype(np.int64)
    groups = {
        "subject": subject,
        "object": object_,
        "subject_class": subject * labels + label[object_],
        "object_class": object_ * labels + label[subject],
    }
    nearness = {
        "nearer": pair["distance_by_size"],
        "overlap": np.float32(1e-3) * pair["distance_by_size"] - pair["iou"],
    }
    sure = _sure(objects)
    rival = sure[candidates.subject] & sure[candidates.object]
    columns = _counts(objects, candidates, sure)
    in_image = np.bincount(candidates.image, rival, len(candidates.images))[candidates.image]
    columns["pairs"] = (in_image + ~rival).astype(np.float32)
    for name, group in groups.items():
        low = int(group.min(initial=0))
        dense = group - low
        size = int(dense.max(initial=-1)) + 1
        others = np.bincount(dense, rival, size)[dense] - rival
        columns[f"rivals_{name}"] = (others + 1).astype(np.float32)
        for measure, value in nearness.items():
            columns[f"lead_{measure}_{name}"] = _lead(dense, size, value, rival)
    return columns


def _sure(objects: Objects) -> NDArray[np.bool_]:
    if isinstance(objects, Detections):
        return objects.score >= SURE
    return np.ones(len(objects), bool)


def _counts(objects: Objects, candidates: Candidates, sure: NDArray[np.bool_]) -> Columns:
    """Objects in the image, and of the subject's and of the object's class in it, these two included."""
    size = vocabulary().labels
    key = objects.image.astype(np.int64) * size + objects.label
    of_class = np.bincount(key, sure)[key] - sure + 1
    in_image = np.bincount(objects.image, sure, len(objects.images))[candidates.image]
    faint = ~sure[candidates.subject] + (~sure[candidates.object]).astype(np.float32)
    return {
        "objects": (in_image + faint).astype(np.float32),
        "objects_of_subject_class": of_class[candidates.subject].astype(np.float32),
        "objects_of_object_class": of_class[candidates.object].astype(np.float32),
    }


def _lead(
    group: Groups, groups: int, value: NDArray[np.float32], rival: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Value minus the least value of its group's other rivals: negative for the best; NaN without one."""
    best = np.full(groups, np.inf, np.float32)
    seen = np.where(rival, value, np.float32(np.inf))
    np.minimum.at(best, group, seen)
    is_best = rival & (value == best[group])
    winner = np.full(groups, -1, np.int64)
    winner[group[is_best]] = np.flatnonzero(is_best)
    seen[winner[group[is_best]]] = np.inf
    second = np.full(groups, np.inf, np.float32)
    np.minimum.at(second, group, seen)
    other = best[group]
    first = winner[group] == np.arange(len(group))
    other[first] = second[group[first]]
    lead = value - other
    lead[np.isinf(other)] = np.nan
    return lead
