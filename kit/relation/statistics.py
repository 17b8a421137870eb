"""Semantic statistics: how often classes stand in which relation (paper 2.2, feature groups 2 and 4).

Counted on the training split alone. A training row never sees itself: images fall into folds, and a row's
statistics are counted without its whole fold. (Leaving out only the row itself would tell its label: among n
rows of a class pair, k of them positive, the rate would be (k-1)/(n-1) for the positives and k/(n-1) for the
others, and one split of a tree could tell them apart.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from kit.base.files import atomic_write, reading
from kit.tables.schema import Floats
from kit.vocabulary import vocabulary

FOLDS = 10
Counts = NDArray[np.float64]
Positives = NDArray[np.bool_]
PER_PREDICATE = ("prior", "subject_rate", "object_rate")
ALL_PREDICATES = (
    "any_relation_rate",
    "share_of_subject_pairs",
    "log_pairs",
    "log_subject_pairs",
    "log_object_pairs",
)


@dataclass(frozen=True, eq=False)
class CooccurrenceStatistics:
    """Counts of candidates by class pair, and the rates that follow from them.

    pair_counts: float64 (labels, labels), candidates; related: (predicates, labels, labels), those with the
    predicate. For "is" the second label is the attribute, so its pairs are apart from the others.
    smooth_class, smooth_pair: pseudo-counts with which a class's rate backs off to the predicate's, and a
    pair's rate to its classes'.
    """

    pair_counts: Counts
    related: Counts
    smooth_class: float = 5.0
    smooth_pair: float = 20.0

    def __add__(self, other: CooccurrenceStatistics) -> CooccurrenceStatistics:
        return CooccurrenceStatistics(
            self.pair_counts + other.pair_counts, self.related + other.related, *self._smooth
        )

    def __sub__(self, other: CooccurrenceStatistics) -> CooccurrenceStatistics:
        return CooccurrenceStatistics(
            self.pair_counts - other.pair_counts, self.related - other.related, *self._smooth
        )

    @property
    def _smooth(self) -> tuple[float, float]:
        return self.smooth_class, self.smooth_pair

    @classmethod
    def count(
        cls, subject: NDArray[Any], object_: NDArray[Any], positive: Positives, *smooth: float
    ) -> CooccurrenceStatistics:
        """Count candidates; subject, object_: labels (n,), positive: bool (n, predicates)."""
        size = vocabulary().labels
        key = subject.astype(np.int64) * size + object_
        related = np.stack([np.bincount(key[h], minlength=size**2) for h in positive.T])
        pairs = np.bincount(key, minlength=size**2)
        return cls(
            pairs.reshape(size, size).astype(np.float64),
            related.reshape(-1, size, size).astype(np.float64),
            *smooth,
        )

    @cached_property
    def subject_rate(self) -> Counts:
        """P(predicate | subject class), shape (predicates, labels), backed off to P(predicate)."""
        return self._class_rate(2)

    @cached_property
    def object_rate(self) -> Counts:
        """P(predicate | object class), shape (predicates, labels), backed off to P(predicate)."""
        return self._class_rate(1)

    @cached_property
    def prior(self) -> Counts:
        """P(predicate | subject class, object class), shape (predicates, labels, labels); 0 where not allowed.

        Backed off to the geometric mean of the two classes' rates.
        """
        back = np.sqrt(self.subject_rate[:, :, None] * self.object_rate[:, None, :])
        rate = (self.related + self.smooth_pair * back) / (self.pair_counts + self.smooth_pair)
        return rate * vocabulary().allowed

    def features(self, predicates: Sequence[int], subject: NDArray[Any], object_: NDArray[Any]) -> Floats:
        """Rows of class pairs: PER_PREDICATE of each given predicate, then ALL_PREDICATES; float32 (n, columns)."""
        own = [
            column
            for p in predicates
            for column in (
                self.prior[p][subject, object_],
                self.subject_rate[p][subject],
                self.object_rate[p][object_],
            )
        ]
        common = (
            self._any_rate[subject, object_],
            self._share[subject, object_],
            np.log1p(self.pair_counts)[subject, object_],
            np.log1p(self.pair_counts.sum(1))[subject],
            np.log1p(self.pair_counts.sum(0))[object_],
        )
        return np.stack([*own, *common], axis=1, dtype=np.float32, casting="same_kind")

    def save(self, path: Path) -> None:
        """Write as .npz."""
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez_compressed(
                file, pairs=self.pair_counts, related=self.related, smooth=np.asarray(self._smooth)
            )

    @classmethod
    def load(cls, path: Path) -> CooccurrenceStatistics:
        """Read what `save` wrote. Raises KitError where the file is none."""
        size, predicates = vocabulary().labels, len(vocabulary().predicates)
        with (
            reading(path, "a statistics file", "run `kit train prior --force`"),
            path.open("rb") as file,  # which numpy leaves open where it is damaged
            np.load(file) as arrays,
        ):
            pairs, related, smooth = (arrays[name] for name in ("pairs", "related", "smooth"))
            if (pairs.shape, related.shape) != ((size, size), (predicates, size, size)):
                raise ValueError("counts of other classes")
            return cls(pairs, related, *smooth.tolist())

    def _class_rate(self, axis: int) -> Counts:
        allowed = vocabulary().allowed
        pairs = self.pair_counts * allowed
        whole = (self.related.sum((1, 2)) + 0.5) / (pairs.sum((1, 2)) + 1)
        return (self.related.sum(axis) + self.smooth_class * whole[:, None]) / (
            pairs.sum(axis) + self.smooth_class
        )

    @cached_property
    def _any_rate(self) -> Counts:
        return np.minimum(self.related.sum(0) / np.maximum(self.pair_counts, 1), 1)

    @cached_property
    def _share(self) -> Counts:
        return self.pair_counts / np.maximum(self.pair_counts.sum(1, keepdims=True), 1)


def folds(images: Sequence[str]) -> NDArray[np.int64]:
    """The fold of every image, by its id alone: the same in every shard and run; int (images,)."""
    return np.fromiter((crc32(name.encode()) % FOLDS for name in images), np.int64, len(images))


def feature_names(predicates: Sequence[int]) -> tuple[str, ...]:
    """The columns of `CooccurrenceStatistics.features`; a single predicate's own columns have no suffix."""
    if len(predicates) == 1:
        return (*PER_PREDICATE, *ALL_PREDICATES)
    return (
        *(f"{name}_{vocabulary().predicates[p]}" for p in predicates for name in PER_PREDICATE),
        *ALL_PREDICATES,
    )


def out_of_fold(
    fold: NDArray[np.int64],
    subject: NDArray[Any],
    object_: NDArray[Any],
    positive: Positives,
    whole: CooccurrenceStatistics,
) -> list[CooccurrenceStatistics]:
    """For every fold the statistics of all other folds; fold: of every row (n,)."""
    own = (
        CooccurrenceStatistics.count(subject[fold == k], object_[fold == k], positive[fold == k])
        for k in range(FOLDS)
    )
    return [whole - part for part in own]
