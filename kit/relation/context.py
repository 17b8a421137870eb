"""Features of a pair among its rivals: is another object nearer, does another overlap more (paper 2.2).

A pair's rivals are the image's pairs with the same subject, the same object, the same subject and object
class, or the same object and subject class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.data.objects import Objects
from kit.relation.candidates import Candidates
from kit.relation.geometry import Columns
from kit.vocabulary import vocabulary

Groups = NDArray[np.int64]


def context_features(objects: Objects, candidates: Candidates, pair: Columns) -> Columns:
    """Counts and lead over the best rival, by distance and by overlap; every column float32 (n,).

    pair: the columns of `geometry.pair_features` for these candidates. Without a rival a lead is NaN.
    """
    size = vocabulary().labels
    subject, object_ = candidates.subject.astype(np.int64), candidates.object.astype(np.int64)
    label = objects.label.astype(np.int64)
    groups = {
        "subject": subject,
        "object": object_,
        "subject_class": subject * size + label[object_],
        "object_class": object_ * size + label[subject],
    }
    nearness = {
        "nearer": pair["distance_by_size"],
        "overlap": np.float32(1e-3) * pair["distance_by_size"] - pair["iou"],
    }
    columns = _counts(objects, candidates)
    for name, group in groups.items():
        low = int(group.min(initial=0))
        dense = group - low
        count = np.bincount(dense)
        columns[f"rivals_{name}"] = count[dense].astype(np.float32)
        for measure, value in nearness.items():
            columns[f"lead_{measure}_{name}"] = _lead(dense, len(count), value)
    return columns


def _counts(objects: Objects, candidates: Candidates) -> Columns:
    """Objects in the image, and of the subject's and of the object's class in it."""
    size = vocabulary().labels
    key = objects.image.astype(np.int64) * size + objects.label
    of_class = np.bincount(key)[key].astype(np.float32)
    in_image = np.bincount(objects.image, minlength=len(objects.images)).astype(np.float32)
    return {
        "objects": in_image[candidates.image],
        "objects_of_subject_class": of_class[candidates.subject],
        "objects_of_object_class": of_class[candidates.object],
    }


def _lead(group: Groups, groups: int, value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Value minus the least value of the rest of its group: negative for the best; NaN when alone."""
    best = np.full(groups, np.inf, np.float32)
    np.minimum.at(best, group, value)
    is_best = value == best[group]
    winner = np.zeros(groups, np.int64)
    winner[group[is_best]] = np.flatnonzero(is_best)
    rest = value.copy()
    rest[winner[group[is_best]]] = np.inf
    second = np.full(groups, np.inf, np.float32)
    np.minimum.at(second, group, rest)
    rival = best[group]
    first = winner[group] == np.arange(len(group))
    rival[first] = second[group[first]]
    lead = value - rival
    lead[np.isinf(rival)] = np.nan
    return lead
