"""The numbers that scene-graph papers print: recall and mean recall at K, and the weighted score of Open Images.

These judge the predictions as they stand, whatever labels are verified, over the images with ground truth. A
prediction finds a relation of its triplet where both boxes overlap by IoU 0.5; several may find one, and one may
find several (Lu et al. 2016; "without graph constraint", as a list of triplets has it). Mean recall (Tang et al.,
Chen et al., both 2019): the mean over a predicate's images, then over predicates. Weighted score (Zhang et al.
2019): 0.2 R@50 + 0.4 wmAP_rel + 0.4 wmAP_phr over the 100 best predictions of an image; R@50 of all relations
together, the AP of a predicate, with hits above IoU 0.5, weighted by its share of the ground truth. These papers
leave out "is".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.boxes import enclosing, iou
from kit.metric.judging import triplets
from kit.metric.precision import average_precision, mean
from kit.tables.join import THRESHOLD, best_truth, join_rows, true_positives
from kit.tables.schema import Predictions, Relations
from kit.vocabulary import IS, vocabulary

DEPTHS = (20, 50, 100)
MOST = 100  # predictions of an image that the AP counts
WEIGHTS = {"R@50": 0.2, "wmAP_rel": 0.4, "wmAP_phr": 0.4}
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class SceneGraphScores:
    """recall, mean_recall: by K; predicate_recall: by predicate and K; ap_rel, ap_phr, num_gt: by predicate.

    NaN where there is no relation.
    """

    recall: dict[int, float]
    mean_recall: dict[int, float]
    predicate_recall: dict[str, dict[int, float]]
    ap_rel: dict[str, float]
    ap_phr: dict[str, float]
    num_gt: dict[str, int]

    @property
    def wmap_rel(self) -> float:
        """The mean AP of relations, weighted by the predicates' shares of the ground truth."""
        return _weighted(self.ap_rel, self.num_gt)

    @property
    def wmap_phr(self) -> float:
        """The same of phrases: one box around both objects."""
        return _weighted(self.ap_phr, self.num_gt)

    @property
    def weighted_score(self) -> float:
        """0.2 R@50 + 0.4 wmAP_rel + 0.4 wmAP_phr."""
        parts = {"R@50": self.recall[50], "wmAP_rel": self.wmap_rel, "wmAP_phr": self.wmap_phr}
        return sum(weight * parts[name] for name, weight in WEIGHTS.items())

    def as_dict(self) -> dict[str, object]:
        """Plain nested dictionary, keyed as the papers' tables are."""
        recalls = {f"R@{k}": value for k, value in self.recall.items()}
        means = {f"mR@{k}": value for k, value in self.mean_recall.items()}
        per_predicate = {
            name: {
                "n": self.num_gt[name],
                **{f"R@{k}": value for k, value in found.items()},
                "AP_rel": self.ap_rel[name],
                "AP_phr": self.ap_phr[name],
            }
            for name, found in self.predicate_recall.items()
        }
        parts = {"wmAP_rel": self.wmap_rel, "wmAP_phr": self.wmap_phr}
        return {"score_wtd": self.weighted_score, **parts, **recalls, **means, "predicates": per_predicate}


def _weighted(ap: dict[str, float], num_gt: dict[str, int]) -> float:
    total = sum(num_gt.values())
    return sum(ap[name] * n / total for name, n in num_gt.items()) if total else float("nan")


def evaluate(truth: Relations, predictions: Predictions, attributes: bool = False) -> SceneGraphScores:
    """The papers' numbers. attributes: with "is" counted among the relations, which the papers leave out."""
    if not attributes:
        truth = truth.take(truth.predicate != IS)
        predictions = predictions.take(predictions.predicate != IS)
    predictions = _of_true_images(truth, predictions)
    rank = _ranks(predictions)
    best = np.flatnonzero(rank <= MOST)
    predictions, rank = predictions.take(best), rank[best]
    names, num_gt = vocabulary().predicates, np.bincount(truth.predicate, minlength=10)
    present = [p for p in range(len(names)) if num_gt[p]]
    first = _first_hit(truth, predictions, rank)
    found = {k: first <= k for k in DEPTHS}
    per_predicate = {
        names[p]: {k: _mean_over_images(truth, hit, p) for k, hit in found.items()} for p in present
    }
    ap = [
        {names[p]: average_precision(hit[predictions.predicate[order] == p], int(num_gt[p])) for p in present}
        for order, hit in _judged(truth, predictions)
    ]
    return SceneGraphScores(
        recall={k: float(hit.mean()) if len(truth) else float("nan") for k, hit in found.items()},
        mean_recall={k: mean([recall[k] for recall in per_predicate.values()]) for k in DEPTHS},
        predicate_recall=per_predicate,
        ap_rel=ap[0],
        ap_phr=ap[1],
        num_gt={names[p]: int(num_gt[p]) for p in present},
    )


def _of_true_images(truth: Relations, predictions: Predictions) -> Predictions:
    """The predictions of the images with ground truth, under the numbers that these have there."""
    with_truth = np.zeros(len(truth.images), bool)
    with_truth[truth.image] = True
    found = predictions.of_images(truth.images)
    return found.take(with_truth[found.image])


def _ranks(predictions: Predictions) -> NDArray[np.int64]:
    """The 1-based rank of every prediction in its image, of equal scores the earlier row first."""
    order = np.lexsort((-predictions.score, predictions.image))
    image = predictions.image[order]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(image, image) + 1
    return rank


def _keys(table: Relations) -> NDArray[np.int64]:
    vocab = vocabulary()
    return table.image.astype(np.int64) * (vocab.labels**2 * len(vocab.predicates)) + triplets(table)


def _overlap(predictions: Predictions, truth: Relations, p: Rows, t: Rows) -> NDArray[np.float64]:
    """The smaller overlap of the two boxes."""
    subject = iou(predictions.subject_box[p], truth.subject_box[t])
    return np.minimum(subject, iou(predictions.object_box[p], truth.object_box[t]))


def _first_hit(truth: Relations, predictions: Predictions, rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of every true relation the rank of the first prediction that finds it; beyond all K where none does."""
    first = np.full(len(truth), MOST + 1, np.int64)
    for p, t in join_rows(_keys(predictions), _keys(truth)):
        hit = _overlap(predictions, truth, p, t) >= THRESHOLD
        np.minimum.at(first, t[hit], rank[p[hit]])
    return first


def _mean_over_images(truth: Relations, hit: NDArray[np.bool_], predicate: int) -> float:
    """The recall of a predicate in every image that has it, averaged."""
    rows = truth.predicate == predicate
    _, image = np.unique(truth.image[rows], return_inverse=True)
    return float(np.mean(np.bincount(image, hit[rows]) / np.bincount(image)))


def _judged(truth: Relations, predictions: Predictions) -> list[tuple[Rows, NDArray[np.bool_]]]:
    """The predictions best first and which of them are true positives, of relations and of phrases."""
    phrase = enclosing(predictions.subject_box, predictions.object_box)
    true_phrase = enclosing(truth.subject_box, truth.object_box)
    best = best_truth(
        _keys(predictions),
        _keys(truth),
        [
            lambda p, t: np.nan_to_num(_overlap(predictions, truth, p, t)),  # of two boxes without area
            lambda p, t: np.nan_to_num(iou(phrase[p], true_phrase[t])),
        ],
    )
    order = np.argsort(-predictions.score, kind="stable")
    falling = -np.arange(len(order), dtype=np.float64)
    judged = []
    for row, overlap in best:
        above = np.where(overlap > THRESHOLD, overlap, 0.0)
        judged.append((order, true_positives(row[order], above[order], falling)))
    return judged
