"""How many photos, crops, pairs and rows a run of layer6 has: by its settings and the sizes of the real splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.measure import table
from benchmarks.synthetic import detections
from kit.base.split_names import SplitName
from kit.config import Config, Training, Visual, load_config
from kit.data.objects import Objects
from kit.rehearsal.made_tables import PREDICATES, SIZES, Size, made_tables
from kit.relation.candidate_limits import rank_by_prior, top_k_pairs
from kit.relation.candidates import Candidates, pair_candidates
from kit.relation.spatial_rows import PAIRWISE
from kit.relation.statistics import CooccurrenceStatistics
from kit.relation.visual_data import most_negatives
from kit.vocabulary import IS, vocabulary

DRAWN = 200  # images whose pairs are chosen, to know how many an image has
PART = 10  # of a split of more than a million images so large a part is made


@dataclass(frozen=True)
class Pairs:
    """Pairs of a split's objects: how many; rows of each predicate that their classes allow; images, with any."""

    pairs: int
    rows: tuple[int, ...]
    images: int

    @property
    def networks(self) -> int:
        """How often a network of its own for each predicate sees one of them."""
        return sum(self.rows)


def photos_learned(training: Training) -> int:
    """Photos that a detector learns from."""
    return training.iterations * training.batch_size


def validated(training: Training, images: int) -> int:
    """Images that a training looks at: in the beginning, every so many iterations, and in the end."""
    times = 1 + -(-training.iterations // training.validate_every)
    return times * min(images, training.validate_images or images)


def positives() -> list[int]:
    """Rows of the training file of every predicate that has a network: pairs to learn from."""
    return [n for name, n in PREDICATES.items() if name != vocabulary().predicates[IS]]


def crops_stored(visual: Visual) -> int:
    """Crops that are cut once, at the most: positives, and the pool of negatives."""
    return sum(n + round(n * visual.negatives_stored) for n in positives())


def crops_learned(visual: Visual) -> list[int]:
    """Crops that each separate network learns from, in whole batches of all epochs."""
    found = []
    for n in positives():
        negatives = most_negatives(visual.negatives, n, round(n * visual.negatives_stored))
        found.append(visual.epochs * max(1, (n + negatives) // visual.batch_size) * visual.batch_size)
    return found


def true_pairs(split: SplitName) -> Pairs:
    """Pairs of true boxes, of a split as a rehearsal makes it."""
    size = SIZES[split]
    times = PART if size.images > 1_000_000 else 1
    part = Size(size.images // times, size.boxes // times, size.relations // times)
    boxes = made_tables(part, 0)[1]
    found = _pairs(boxes, pair_candidates(boxes))
    return Pairs(found.pairs * times, tuple(n * times for n in found.rows), found.images * times)


def chosen_pairs(config: Config) -> Pairs:
    """Pairs of DRAWN images of as many detections as are looked at, of classes in the shares that boxes have."""
    relations, boxes = made_tables(SIZES["val"], 0)
    limits, share = config.relation.candidate_limits, np.bincount(boxes.label) / len(boxes)
    rng = np.random.default_rng(0)
    found = detections(rng, DRAWN, limits.boxes)
    found.label[:] = rng.choice(len(share), len(found), p=share)
    hit = np.eye(len(vocabulary().predicates), dtype=bool)[relations.predicate]
    pairs = relations.predicate != IS
    statistics = CooccurrenceStatistics.count(relations.subject[pairs], relations.object[pairs], hit[pairs])
    return _pairs(found, top_k_pairs(found, rank_by_prior(statistics), limits))


def _pairs(objects: Objects, candidates: Candidates) -> Pairs:
    first, second = objects.label[candidates.subject], objects.label[candidates.object]
    rows = vocabulary().allowed[list(PAIRWISE)][:, first, second].sum(axis=1)
    return Pairs(len(candidates), tuple(rows.tolist()), len(np.unique(candidates.image)))


def main() -> None:
    """Print the table of layer6."""
    config = load_config("layer6")
    visual, chosen = config.relation.visual, chosen_pairs(config)
    assert visual is not None
    trainings = [config.detector.training] * len(config.detector.models)
    trainings += [config.attribute.training] * len(config.attribute.models)
    rows = [
        ["photos that detectors learn from", f"{sum(map(photos_learned, trainings)):,}"],
        ["crops stored, at the most", f"{crops_stored(visual):,}"],
        ["crops that networks learn from", f"{sum(crops_learned(visual)):,}"],
        ["pairs of detections chosen, an image", f"{chosen.pairs / DRAWN:,.0f}"],
        ["... times the networks that see them", f"{chosen.networks / DRAWN:,.0f}"],
    ]
    for split in ("train", "stack", "val"):
        pairs = true_pairs(split)
        rows.append([f"{split}: pairs of true boxes", f"{pairs.pairs:,}"])
        rows.append([f"{split}: rows of all predicates", f"{pairs.networks:,}"])
    table("Amounts of a run of layer6", ("what", "how many"), rows)


if __name__ == "__main__":
    main()
