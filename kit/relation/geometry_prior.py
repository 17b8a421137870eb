"""How likely a pair is to be related, cheaply: the prior, times what the place of its boxes adds (naive Bayes)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.files import atomic_write, reading
from kit.boxes import area, intersection
from kit.data.split_tables import SplitTables
from kit.relation.geometry import TINY
from kit.relation.prior_model import pair_examples
from kit.relation.statistics import CooccurrenceStatistics
from kit.tables.schema import Floats, Labels
from kit.vocabulary import PREDICATES

INSIDE, TOUCHING = 0.6, 0.02  # share of a box within the other; IoU
DISTANCES = (0.35, 0.7, 1.1, 1.8)  # between centres, by the size of both boxes
BINS = 4 * 3 * (len(DISTANCES) + 1)  # overlap, direction, distance
PSEUDO_COUNT = 1.0  # of related pairs, expected and observed, in every bin
FILE = "lift.npz"

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GeometryPrior:
    """P(predicate | classes, geometry bin) = P(predicate | classes) · lift, at most 1.

    lift: float64 (predicates, BINS), how many times as many pairs of a bin have the predicate as their classes
    alone would have it.
    """

    statistics: CooccurrenceStatistics
    lift: Doubles

    def probability(self, p: int, subject: Labels, object_: Labels, bin_: NDArray[np.int64]) -> Doubles:
        """P(predicate p) of pairs by their labels and their bins, (n,); 0 where the triplet is not allowed."""
        return np.minimum(self.statistics.prior[p][subject, object_] * self.lift[p, bin_], 1)

    def save(self, folder: Path) -> None:
        """Write the lift; the statistics are the prior's."""
        with atomic_write(folder / FILE) as part, part.open("wb") as file:
            np.savez_compressed(file, lift=self.lift)

    @classmethod
    def load(cls, folder: Path, statistics: CooccurrenceStatistics) -> GeometryPrior:
        """Read what `save` wrote. Raises KitError where the file is none."""
        again = "run `kit train all --from geometry-prior`"
        with (
            reading(folder / FILE, "a table of geometry bins", again),
            (folder / FILE).open("rb") as file,
            np.load(file) as arrays,
        ):
            lift = np.asarray(arrays["lift"], np.float64)
            if lift.shape != (len(PREDICATES), BINS):
                raise ValueError("bins of another version")
            return cls(statistics, lift)


def geometry_bins(subject: Floats, object_: Floats) -> NDArray[np.int64]:
    """The bin of every pair of boxes, 0 to BINS - 1.

    By overlap (apart, touching, the subject inside the object, the object inside the subject), by direction
    (beside, above, below) and by distance.
    """
    common = intersection(subject, object_)
    areas = area(subject), area(object_)
    both = areas[0] + areas[1]
    overlap = np.select(
        [common > INSIDE * areas[1], common > INSIDE * areas[0], common > TOUCHING * (both - common)],
        [3, 2, 1],
    )
    sides = [np.maximum(box[:, 2:] - box[:, :2], TINY) for box in (subject, object_)]
    way = (object_[:, :2] + object_[:, 2:] - subject[:, :2] - subject[:, 2:]) / 2  # between the centres
    right, down = (way / sides[0] + way / sides[1]).T
    direction = np.select([np.abs(down) < np.abs(right), down < 0], [0, 1], 2)
    by_size = np.hypot(way[:, 0], way[:, 1]) / np.sqrt(np.maximum(both, TINY))
    return (overlap * 3 + direction) * (len(DISTANCES) + 1) + np.digitize(by_size, DISTANCES)


def train_geometry_prior(split: SplitTables, statistics: CooccurrenceStatistics) -> GeometryPrior:
    """Count the related pairs of every bin, and those that the prior expects there; statistics: of the split."""
    examples = pair_examples(split)
    box, pairs = split.objects.box, examples.candidates
    bins = geometry_bins(box[pairs.subject], box[pairs.object])
    lift = np.ones((len(PREDICATES), BINS))
    for p in range(len(PREDICATES)):
        expected = np.bincount(bins, statistics.prior[p][examples.subject, examples.object], BINS)
        observed = np.bincount(bins, examples.positive[:, p], BINS)
        lift[p] = (observed + PSEUDO_COUNT) / (expected + PSEUDO_COUNT)
    return GeometryPrior(statistics, lift)
