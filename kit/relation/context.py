"""Features of a pair among its rivals: is another object nearer, does another overlap more (paper 2.2).

A pair's rivals are the image's pairs with the same subject, the same object, the same subject and object
class, or the same object and subject class. Of detected objects only the sure ones count and are rivals, so
that an image with hundreds of faint boxes looks like its ground truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.data.objects import Objects
from kit.relation.candidates import Candidates
from kit.relation.geometry import Columns
from kit.tables.schema import Detections, Ints
from kit.vocabulary import vocabulary

Groups = NDArray[np.int64]
SURE = 0.3  # score of a detection that counts


@dataclass(frozen=True, eq=False)
class PairContext:
    """What the pairs of an image are seen among.

    label, sure, of_class: of every object (n,); the last is how many of its class stand in its image, faint others
    left out; in_image, pairs: of every image, its sure objects and its pairs of these.
    """

    label: Groups
    sure: NDArray[np.bool_]
    of_class: NDArray[np.float64]
    in_image: NDArray[np.float64]
    pairs: NDArray[np.float64]

    @classmethod
    def of(cls, objects: Objects, candidates: Candidates) -> PairContext:
        """Count the objects and the candidates of every image."""
        sure = _sure(objects)
        label = objects.label.astype(np.int64)
        key = objects.image.astype(np.int64) * vocabulary().labels + label
        rival = sure[candidates.subject] & sure[candidates.object]
        return cls(
            label,
            sure,
            np.bincount(key, sure)[key] - sure + 1,
            np.asarray(np.bincount(objects.image, sure, len(objects.images)), np.float64),
            np.asarray(np.bincount(candidates.image, rival, len(candidates.images)), np.float64),
        )

    def features(self, candidates: Candidates, pair: Columns) -> Columns:
        """Counts and lead over the best rival, by distance and by overlap; every column float32 (n,).

        candidates: all of some of the images; pair: the columns of `geometry.pair_features` for these. Without a
        rival a lead is NaN.
        """
        labels = vocabulary().labels
        subject, object_ = candidates.subject.astype(np.int64), candidates.object.astype(np.int64)
        groups = {
            "subject": subject,
            "object": object_,
            "subject_class": subject * labels + self.label[object_],
            "object_class": object_ * labels + self.label[subject],
        }
        nearness = {
            "nearer": pair["distance_by_size"],
            "overlap": np.float32(1e-3) * pair["distance_by_size"] - pair["iou"],
        }
        rival = self.sure[subject] & self.sure[object_]
        columns = self._counts(candidates, rival)
        for name, group in groups.items():
            group, size = _renumbered(group)
            others = np.bincount(group, rival, size)[group] - rival
            columns[f"rivals_{name}"] = (others + 1).astype(np.float32)
            for measure, value in nearness.items():
                columns[f"lead_{measure}_{name}"] = _lead(group, size, value, rival)
        return columns

    def _counts(self, candidates: Candidates, rival: NDArray[np.bool_]) -> Columns:
        """Objects in the image, of the subject's and of the object's class in it, and pairs, these included."""
        subject, object_ = candidates.subject, candidates.object
        faint = ~self.sure[subject] + (~self.sure[object_]).astype(np.float32)
        return {
            "objects": (self.in_image[candidates.image] + faint).astype(np.float32),
            "objects_of_subject_class": self.of_class[subject].astype(np.float32),
            "objects_of_object_class": self.of_class[object_].astype(np.float32),
            "pairs": (self.pairs[candidates.image] + ~rival).astype(np.float32),
        }


def image_blocks(image: Ints, rows: int) -> Iterator[slice]:
    """Yield stretches of whole images, of about so many rows each; one without rows where there is none.

    Raises ValueError where an image's rows stand apart.
    """
    starts = np.flatnonzero(np.r_[True, image[1:] != image[:-1]])[: len(image)]
    if len(np.unique(image[starts])) < len(starts):
        raise ValueError("candidates: expected them image by image")
    begin = 0
    while True:
        i = np.searchsorted(starts, begin + rows)
        end = int(starts[i]) if i < len(starts) else len(image)
        yield slice(begin, end)
        if end == len(image):
            return
        begin = end


def _sure(objects: Objects) -> NDArray[np.bool_]:
    if isinstance(objects, Detections):
        return objects.score >= SURE
    return np.ones(len(objects), bool)


def _renumbered(group: Groups) -> tuple[Groups, int]:
    """Groups as numbers from 0 without a gap, and how many they are."""
    if not len(group):
        return group, 0
    group = group - group.min()
    present = np.zeros(int(group.max()) + 1, bool)
    present[group] = True
    number = np.cumsum(present) - 1
    return number[group], int(present.sum())


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
