"""Every prediction's verdict under the official relation metric: rules R1 to R6 of the published evaluator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.metric.judging import Claims, Judge
from kit.metric.orders import by_falling, by_number, in_runs, runs_reversed, same_as_before
from kit.tables.join import CHUNK, true_positives
from kit.tables.schema import ImageLabels, Predictions, Relations
from kit.vocabulary import vocabulary


@dataclass(frozen=True, eq=False)
class MatchResult:
    """Every prediction's verdict, before any averaging.

    images: all ids, ascending; rows: the predictions that count, as rows of the input (n,), all other arrays
    follow them; image: index into images; true_positive: {task: bool (n,)}; in_image: the order of the image's list
    (R4d), image by image; by_score: the order of the pooled precision-recall curve (R7).
    known: the images that the truth or the labels name; truth_image, truth_predicate: of every truth row.
    """

    images: tuple[str, ...]
    known: NDArray[np.int64]
    rows: NDArray[np.intp]
    image: NDArray[np.int64]
    triplet: NDArray[np.int64]
    score: NDArray[np.float64]
    true_positive: dict[str, NDArray[np.bool_]]
    truth_image: NDArray[np.int64]
    truth_predicate: NDArray[np.int64]
    counts: dict[str, Any]

    @cached_property
    def predicate(self) -> NDArray[np.uint8]:
        """Predicate of every counted prediction."""
        return (self.triplet % len(vocabulary().predicates)).astype(np.uint8)

    @cached_property
    def by_score(self) -> NDArray[np.intp]:
        """Order by score falling, image falling, triplet rising, row falling (R7)."""
        size = int(self.triplet.max(initial=0)) + 1
        ties = (len(self.images) - 1 - self.image) * size
        ties += self.triplet
        order = by_number(ties[::-1])
        np.subtract(len(ties) - 1, order, out=order)
        return order[by_falling(self.score[order])]

    @cached_property
    def by_predicate(self) -> NDArray[np.intp]:
        """Order by predicate, then as `by_score`."""
        return self.by_score[by_number(self.predicate[self.by_score])]

    @cached_property
    def in_image(self) -> NDArray[np.intp]:
        """Order by image, then score falling, triplet falling, row rising (R4d)."""
        # what ties in an image stands together in `by_score`, in the other order
        order = runs_reversed(self.by_score, same_as_before(self.by_score, self.image, self.score))
        return order[by_number(self.image[order])]

    @cached_property
    def rank(self) -> NDArray[np.int32]:
        """1-based rank of every counted prediction in its image's list."""
        count = np.bincount(self.image, minlength=len(self.images))
        before = np.cumsum(count) - count
        rank = np.empty(len(self.rows), np.int32)
        for start in range(0, len(rank), CHUNK):
            rows = self.in_image[start : start + CHUNK]
            rank[rows] = np.arange(start + 1, start + 1 + len(rows)) - before[self.image[rows]]
        return rank

    def subset(self, keep: NDArray[np.bool_]) -> MatchResult:
        """The matches as if the other counted predictions had never been there; their verdicts stay."""
        return replace(
            self,
            rows=self.rows[keep],
            image=self.image[keep],
            triplet=self.triplet[keep],
            score=self.score[keep],
            true_positive={task: true_positive[keep] for task, true_positive in self.true_positive.items()},
        )

    def tied_rows(self) -> int:
        """How many counted predictions share their score with another of their image or predicate."""
        tied = np.zeros(len(self.rows), bool)
        for order, group in ((self.by_score, self.image), (self.by_predicate, self.predicate)):
            tied[order[in_runs(same_as_before(order, group, self.score))]] = True
        return int(tied.sum())


def match_predictions(
    truth: Relations, predictions: Predictions | Iterable[Predictions], labels: ImageLabels | None = None
) -> MatchResult:
    """Drop what is not verified, match the rest: rules R1 to R6.

    predictions: a table, or tables in order, whose rows count through. Raises InvertedBox.
    """
    judge = Judge(truth, ImageLabels.empty() if labels is None else labels)
    judged = judge.judge_all([predictions] if isinstance(predictions, Predictions) else predictions)
    images = tuple(sorted(judge.names))
    place = {name: i for i, name in enumerate(images)}
    known = np.fromiter((place[name] for name in judge.place), np.int64, len(judge.place))
    true_positive = {task: _hits(claims, judged.score) for task, claims in judged.claims.items()}
    named = vocabulary().predicates
    per_predicate = np.bincount(truth.predicate, minlength=len(named))
    return MatchResult(
        images=images,
        known=known,
        rows=judged.rows,
        image=_renumbered(judged.image, known),
        triplet=judged.triplet,
        score=judged.score,
        true_positive=true_positive,
        truth_image=known[judge.truth_image],
        truth_predicate=truth.predicate.astype(np.int64),
        counts={
            "gt_images": len(known),
            "gt_per_predicate": {p: int(n) for p, n in sorted(zip(named, per_predicate, strict=True)) if n},
            "gt_tuples": len(truth),
            "phr_tp": int(true_positive["phrases"].sum()),
            "pred_images": int(judge.predicted[:-1].sum()) + len(judged.strange),
            "pred_images_without_gt": len(judged.strange),
            "pred_kept": len(judged.rows),
            "pred_kept_because_negative_label": judged.negative,
            "pred_rows": judged.total,
            "rel_tp": int(true_positive["relationships"].sum()),
        },
    )


def _renumbered(image: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The images by other numbers, in the memory that they have."""
    for start in range(0, len(image), CHUNK):
        image[start : start + CHUNK] = numbers[image[start : start + CHUNK]]
    return image


def _hits(claims: Claims, score: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the predictions that count are true positives; score: of all that count."""
    hit = np.zeros(len(score), bool)
    hit[claims.row[true_positives(claims.truth, claims.overlap, score[claims.row])]] = True
    return hit
