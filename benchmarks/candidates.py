"""Candidates and their features: rows a second, streaming by shard on two cores."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.measure import table
from benchmarks.synthetic import detections
from kit.base.parallel import ordered_map
from kit.config import CandidateLimits
from kit.data.objects import Objects
from kit.relation.candidate_limits import Ranking, rank_by_geometry, rank_by_prior, top_k_pairs
from kit.relation.candidates import pair_candidates
from kit.relation.features import features_of_pairs, hstack
from kit.relation.geometry_prior import BINS, GeometryPrior
from kit.relation.scoring import shards
from kit.relation.spatial_rows import PAIRWISE
from kit.relation.statistics import CooccurrenceStatistics, feature_names
from kit.vocabulary import vocabulary

IMAGES, PER_IMAGE = 4_000, 60
RANKED, BOXES = 200, (30, 60, 150)  # images, and boxes of each, whose candidates are chosen


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    tables = list(shards(detections(rng, IMAGES, PER_IMAGE)))
    words = vocabulary()
    pairs = words.triplets[rng.integers(0, 329, 10_000)]
    hit = np.eye(len(words.predicates), dtype=bool)[pairs[:, 0]]
    statistics = CooccurrenceStatistics.count(pairs[:, 1], pairs[:, 2], hit)
    features_of_pairs(tables[0], pair_candidates(tables[0]))

    def spatial(objects: Objects) -> int:
        return len(features_of_pairs(objects, pair_candidates(objects)).values)

    def everything(objects: Objects) -> int:
        candidates = pair_candidates(objects)
        features = features_of_pairs(objects, candidates)
        subject, object_ = objects.label[candidates.subject], objects.label[candidates.object]
        semantic = statistics.features(PAIRWISE, subject, object_)
        return len(hstack(features, feature_names(PAIRWISE), semantic).values)

    rows = []
    for name, work in (
        ("spatial and context", spatial),
        ("with the semantics of nine predicates", everything),
    ):
        for workers in (1, 2):
            start = time.perf_counter()
            count = sum(ordered_map(work, tables, workers))
            seconds = time.perf_counter() - start
            rows.append([name, str(workers), f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}"])
    _rankings(rng, statistics)
    table(
        f"Candidate rows of {IMAGES:,} images × {PER_IMAGE} objects",
        ("features", "workers", "rows", "seconds", "rows/s"),
        rows,
    )


def _rankings(rng: np.random.Generator, statistics: CooccurrenceStatistics) -> None:
    """Print what choosing an image's candidates takes by each ranking, in processor time."""
    geometry = GeometryPrior(statistics, rng.gamma(2, 0.5, (len(vocabulary().predicates), BINS)))
    rankings = {"prior": rank_by_prior(statistics), "geometry": rank_by_geometry(geometry)}
    rows = []
    for boxes in BOXES:
        objects, took = detections(rng, RANKED, boxes), dict[str, float]()
        limits = CandidateLimits(boxes=boxes)
        for name, ranking in rankings.items():
            took[name] = min(_seconds(objects, ranking, limits) for _ in range(3))
        rows += [
            [str(boxes), name, f"{1000 * t / RANKED:.2f}", f"{t / took['prior']:.2f}"]
            for name, t in took.items()
        ]
    table(
        f"Choosing the candidates of {RANKED} images",
        ("boxes an image", "ranking", "ms an image", "times the prior"),
        rows,
    )


def _seconds(objects: Objects, ranking: Ranking, limits: CandidateLimits) -> float:
    start = time.process_time()
    top_k_pairs(objects, ranking, limits)
    return time.process_time() - start
