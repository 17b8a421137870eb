"""How sure the score is: the official numbers under resampled images, all predictions judged only once.

A resample gives every image a weight (how often it was drawn). The bootstrap draws images with replacement;
the boards split them 30/70, as Kaggle's public and private leaderboards did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.metric.judging import TASKS
from kit.metric.matching import MatchResult
from kit.metric.relations import final_score
from kit.vocabulary import vocabulary

Weights = NDArray[np.int64]
Summary = dict[str, float]
BLOCK = 1 << 18  # weights of rows at once


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
        return self._scores(weights[None], without)[0]

    def bootstrap(self, resamples: int, seed: int) -> Iterator[dict[str, Any]]:
        """Yield the scores of known images drawn with replacement."""
        rng = np.random.default_rng(seed)

        def draws() -> Iterator[Weights]:
            for _ in range(resamples):
                draw = rng.choice(self.known, len(self.known))
                yield np.bincount(draw, minlength=self.images)

        yield from self._score_all(draws())

    def simulated_leaderboards(
        self, splits: int, seed: int, public: float = 0.3
    ) -> Iterator[tuple[float, float]]:
        """Yield (public, private) final scores of random splits of the known images."""
        rng = np.random.default_rng(seed)

        def draws() -> Iterator[Weights]:
            for _ in range(splits):
                order = rng.permutation(self.known)
                shown, hidden = np.zeros((2, self.images), np.int64)
                shown[order[: round(public * len(order))]] = 1
                hidden[order[round(public * len(order)) :]] = 1
                yield from (shown, hidden)

        finals = (scores["final_score"] for scores in self._score_all(draws()))
        yield from zip(finals, finals, strict=True)

    def _score_all(self, draws: Iterator[Weights]) -> Iterator[dict[str, Any]]:
        """Yield the scores of every weighting; so many at once that numpy's calls cost less than its work."""
        longest = max([self.images, *(len(curve.image) for curve in self.curves)])
        while block := list(islice(draws, max(1, BLOCK // max(1, longest)))):
            yield from self._scores(np.stack(block))

    def _scores(self, weights: Weights, without: str = "") -> list[dict[str, Any]]:
        """The scores of every weighting (n, images)."""
        aps = {task: [dict[str, float]() for _ in weights] for task in TASKS}
        for curve in self.curves:
            if curve.name != without:
                num_gt = weights.take(curve.truth_image, axis=1).sum(axis=1)
                weight = weights.take(curve.image, axis=1)
                ranks = np.cumsum(weight, axis=1)
                for task in TASKS:
                    found = _weighted_aps(ranks, weight, curve.true_positive[task], num_gt)
                    for ap, value, n in zip(aps[task], found.tolist(), num_gt.tolist(), strict=True):
                        if n:
                            ap[curve.name] = value
        found, total = ((weights * counts).sum(axis=1).tolist() for counts in (self.found, self.num_gt))
        return [self._summary(*row) for row in zip(*aps.values(), found, total, strict=True)]

    @staticmethod
    def _summary(
        relationships: dict[str, float], phrases: dict[str, float], found: int, total: int
    ) -> dict[str, Any]:
        """The scores of one weighting by its APs, and how many of the true relations were found within 50."""
        tasks: dict[str, dict[str, Any]] = {
            task: {"AP": ap, "mAP": float(np.mean(list(ap.values()))) if ap else float("nan")}
            for task, ap in zip(TASKS, (relationships, phrases), strict=True)
        }
        tasks["relationships"]["Recall@50"] = found / total if total else float("nan")
        return {"final_score": final_score(tasks), **tasks}


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


def _weighted_aps(
    ranks: Weights, weight: Weights, true_positive: NDArray[np.bool_], num_gt: Weights
) -> NDArray[np.float64]:
    """Average precisions (n,) where row i stands weight[k, i] times in a row; ranks (n, rows) is cumulative weight.

    Of a true positive's copies the last has the highest precision, (a + w) / (b + w) >= (a + 1) / (b + 1) for
    a <= b, so it stands for all of them in the running maximum from the right. 0 where nothing is true.
    """
    rows = np.flatnonzero(true_positive)
    weight, ranks = weight.take(rows, axis=1), ranks.take(rows, axis=1)
    precision = np.where(weight > 0, np.cumsum(weight, axis=1) / np.maximum(ranks, 1), 0.0)
    highest_after = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (weight * highest_after).sum(axis=1) / np.maximum(num_gt, 1)
