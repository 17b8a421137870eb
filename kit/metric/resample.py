"""How sure the score is: the official numbers under resampled images, all predictions judged only once.

A resample gives every image a weight (how often it was drawn). The bootstrap draws images with replacement;
the boards split them 30/70, as Kaggle's public and private leaderboards did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.metric.matching import TASKS, MatchResult
from kit.metric.relations import final_score
from kit.vocabulary import vocabulary

Weights = NDArray[np.int64]
Summary = dict[str, float]


@dataclass(frozen=True, eq=False)
class _Curve:
    """One predicate's predictions in rank order: image (n,), true positives a task (n,), and its truth's images."""

    name: str
    image: NDArray[np.int64]
    true_positive: dict[str, NDArray[np.bool_]]
    truth_image: NDArray[np.int64]


class Resampler:
    """Scores a matches under image weights."""

    def __init__(self, matches: MatchResult) -> None:
        """Sort once; every weighting reuses it."""
        self.images = len(matches.images)
        self.known = matches.known
        order = matches.by_predicate
        predicate = matches.predicate[order]
        self.curves = []
        for p, name in enumerate(vocabulary().predicates):
            rows = order[predicate == p]
            truth = matches.truth_image[matches.truth_predicate == p]
            if len(truth):
                true_positive = {task: matches.true_positive[task][rows] for task in TASKS}
                self.curves.append(_Curve(name, matches.image[rows], true_positive, truth))
        found = matches.true_positive["relationships"] & (matches.rank <= 50)
        self.found = np.bincount(matches.image[found], minlength=self.images)
        self.num_gt = np.bincount(matches.truth_image, minlength=self.images)

    def score(self, weights: Weights, without: str = "") -> dict[str, Any]:
        """Final score and APs with image i counted weights[i] times; `without` leaves a predicate out.

        A predicate whose truth has weight 0 is out of the means (rule R8).
        """
        tasks: dict[str, dict[str, Any]] = {task: {"AP": {}} for task in TASKS}
        for curve in self.curves:
            num_gt = weights[curve.truth_image].sum()
            if num_gt and curve.name != without:
                ranks = np.cumsum(weights[curve.image])
                for task in TASKS:
                    tasks[task]["AP"][curve.name] = _weighted_ap(
                        ranks, weights[curve.image], curve.true_positive[task], num_gt
                    )
        for task in TASKS:
            ap = list(tasks[task]["AP"].values())
            tasks[task]["mAP"] = float(np.mean(ap)) if ap else float("nan")
        total = (weights * self.num_gt).sum()
        tasks["relationships"]["Recall@50"] = (
            float((weights * self.found).sum() / total) if total else float("nan")
        )
        return {"final_score": final_score(tasks), **tasks}

    def bootstrap(self, resamples: int, seed: int) -> Iterator[dict[str, Any]]:
        """Yield the scores of known images drawn with replacement."""
        rng = np.random.default_rng(seed)
        for _ in range(resamples):
            draw = rng.choice(self.known, len(self.known))
            yield self.score(np.bincount(draw, minlength=self.images))

    def simulated_leaderboards(
        self, splits: int, seed: int, public: float = 0.3
    ) -> Iterator[tuple[float, float]]:
        """Yield (public, private) final scores of random splits of the known images."""
        rng = np.random.default_rng(seed)
        for _ in range(splits):
            order = rng.permutation(self.known)
            shown, hidden = np.zeros((2, self.images), np.int64)
            shown[order[: round(public * len(order))]] = 1
            hidden[order[round(public * len(order)) :]] = 1
            yield self.score(shown)["final_score"], self.score(hidden)["final_score"]


def interval(values: list[float], coverage: float = 0.95) -> Summary:
    """Mean, standard deviation and the central interval of resampled values, NaN left out."""
    good = np.asarray([v for v in values if not np.isnan(v)])
    if not len(good):
        return dict.fromkeys(("mean", "std", "low", "high"), float("nan"))
    low, high = np.quantile(good, [(1 - coverage) / 2, (1 + coverage) / 2])
    return {"mean": float(good.mean()), "std": float(good.std()), "low": float(low), "high": float(high)}


def leave_one_predicate_out(resampler: Resampler) -> dict[str, float]:
    """The final score with each predicate left out of both means."""
    ones = np.ones(resampler.images, np.int64)
    return {
        curve.name: resampler.score(ones, without=curve.name)["final_score"] for curve in resampler.curves
    }


def _weighted_ap(ranks: Weights, weight: Weights, true_positive: NDArray[np.bool_], num_gt: int) -> float:
    """Average precision where row i stands weight[i] times in a row; ranks is the cumulative weight.

    Of a true positive's copies the last has the highest precision, (a + w) / (b + w) >= (a + 1) / (b + 1) for
    a <= b, so it stands for all of them in the running maximum from the right.
    """
    rows = np.flatnonzero(true_positive & (weight > 0))
    if not len(rows):
        return 0.0
    found = np.cumsum(weight[rows])
    precision = found / ranks[rows]
    highest_after = np.maximum.accumulate(precision[::-1])[::-1]
    return float((weight[rows] * highest_after).sum() / num_gt)
