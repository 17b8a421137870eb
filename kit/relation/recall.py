"""What no later stage can make good: relations whose boxes were not detected, or whose pair is no candidate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.data.objects import side_of
from kit.metric.judging import triplets
from kit.relation.scored import ScoredCandidates
from kit.tables.join import THRESHOLD, join_rows
from kit.tables.schema import Boxes, Detections, Relations
from kit.vocabulary import IS, PREDICATES, vocabulary

BUDGETS = (10, 25, 50, 100)  # candidates of an image


def pair_recall(truth: Relations, found: Detections, scored: ScoredCandidates) -> dict[str, dict[str, Any]]:
    """Per predicate, and for all: how many relations (n), and the share of them that later stages can find.

    detected: both boxes found by a detection of the class (IoU of 0.5 and more); candidate: the pair is among
    the scored candidates; candidate@k: among the image's k likeliest by prior and detection scores.
    """
    found, scored = found.of_images(truth.images), scored.of_images(truth.images)
    detected = detected_relations(truth, found)
    rank = best_rank(truth, scored)
    columns = {"detected": detected, "candidate": rank < np.iinfo(np.int64).max}
    columns |= {f"candidate@{k}": rank < k for k in BUDGETS}
    out: dict[str, dict[str, Any]] = {}
    for name, rows in _groups(truth.predicate):
        shares = {key: float(column[rows].mean()) for key, column in columns.items()}
        out[name] = {"n": int(rows.sum()), **shares}
    return out


def _groups(predicate: NDArray[Any]) -> list[tuple[str, NDArray[np.bool_]]]:
    by_predicate = [(name, predicate == p) for p, name in enumerate(PREDICATES)]
    groups = [("all", np.ones(len(predicate), bool)), *sorted(by_predicate, key=lambda g: -int(g[1].sum()))]
    return [(name, rows) for name, rows in groups if rows.any()]


def detected_relations(truth: Relations, found: Detections, *, labels: bool = True) -> NDArray[np.bool_]:
    """Whether both boxes of each relation (for "is" the one) are found by a detection of the class; bool (n,).

    found: of the same images, in their order; labels: False where any class will do.
    """
    detected, other = _found(side_of(truth, "subject"), found, labels), truth.predicate != IS
    detected[other] &= _found(side_of(truth, "object"), found, labels)[other]
    return detected


def _found(wanted: Boxes, found: Detections, labels: bool) -> NDArray[np.bool_]:
    """Whether a detection (of the label) lies on each wanted box."""
    size = vocabulary().labels
    key, found_key = (t.image.astype(np.int64) * size + t.label * labels for t in (wanted, found))
    out = np.zeros(len(wanted), bool)
    for left, right in join_rows(key, found_key):
        out[left[iou(wanted.box[left], found.box[right]) >= THRESHOLD]] = True
    return out


def best_rank(truth: Relations, scored: ScoredCandidates) -> NDArray[np.int64]:
    """0-based rank, in its image, of the likeliest candidate on each relation; the largest integer for none.

    scored: of the same images, in their order.
    """
    worth = scored.scores("prior").astype(np.float64) * scored.subject_score * scored.object_score
    order = np.lexsort((-worth, scored.image))
    image = scored.image[order]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.searchsorted(image, image, "left")
    size = vocabulary().labels ** 2 * len(PREDICATES)
    key, scored_key = (t.image.astype(np.int64) * size + triplets(t) for t in (truth, scored))
    out = np.full(len(truth), np.iinfo(np.int64).max)
    for left, right in join_rows(key, scored_key):
        near = np.minimum(
            iou(truth.subject_box[left], scored.subject_box[right]),
            iou(truth.object_box[left], scored.object_box[right]),
        )
        np.minimum.at(out, left[near >= THRESHOLD], place[right[near >= THRESHOLD]])
    return out
