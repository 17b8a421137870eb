"""Every prediction's verdict under the official relation metric: rules R1 to R6 of the published evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.boxes import enclosing, inverted, iou
from kit.tables.join import best_truth, true_positives
from kit.tables.schema import ImageLabels, Predictions, Relations
from kit.vocabulary import vocabulary

TASKS = ("relationships", "phrases")


class InvertedBox(ValueError):
    """A prediction that counts has a box that ends before it begins (quirk Q9); `row` and `side` tell which."""

    def __init__(self, row: int, side: str) -> None:
        super().__init__(f"prediction {row}: the {side} box is inverted")
        self.row, self.side = row, side


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
    def predicate(self) -> NDArray[np.int64]:
        """Predicate of every counted prediction."""
        return self.triplet % len(vocabulary().predicates)

    @cached_property
    def by_score(self) -> NDArray[np.intp]:
        """Order by score falling, image falling, triplet rising, row falling (R7)."""
        order = np.arange(len(self.rows))[::-1]
        order = order[_grouped(self.triplet[order])]
        order = order[_grouped(len(self.images) - 1 - self.image[order])]
        return order[_by_falling(self.score[order])]

    @cached_property
    def by_predicate(self) -> NDArray[np.intp]:
        """Order by predicate, then as `by_score`."""
        return self.by_score[_grouped(self.predicate[self.by_score])]

    @cached_property
    def in_image(self) -> NDArray[np.intp]:
        """Order by image, then score falling, triplet falling, row rising (R4d)."""
        order = self.by_score[_grouped(self.image[self.by_score])]
        first, length = _runs(self.image[order], self.score[order])
        # what ties in an image has the other order in `by_score`
        return order[np.repeat(2 * first + length - 1, length) - np.arange(len(order))]

    @cached_property
    def rank(self) -> NDArray[np.int64]:
        """1-based rank of every counted prediction in its image's list."""
        first, length = _runs(self.image[self.in_image])
        rank = np.empty(len(self.rows), np.int64)
        rank[self.in_image] = np.arange(len(rank)) - np.repeat(first, length) + 1
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
        for order, group in ((self.in_image, self.image), (self.by_predicate, self.predicate)):
            _, length = _runs(group[order], self.score[order])
            tied[order[np.repeat(length > 1, length)]] = True
        return int(tied.sum())


def match_predictions(
    truth: Relations, predictions: Predictions, labels: ImageLabels | None = None
) -> MatchResult:
    """Drop what is not verified, match the rest: rules R1 to R6."""
    labels = ImageLabels.empty() if labels is None else labels
    images = tuple(sorted({*truth.images, *labels.images, *predictions.images}))
    place = {name: i for i, name in enumerate(images)}
    truth_image, label_image, all_image = (_renumber(table, place) for table in (truth, labels, predictions))
    kept, negative = _countable(truth, truth_image, labels, label_image, predictions, all_image)
    rows = np.flatnonzero(kept)
    for side, box in (("subject", predictions.subject_box), ("object", predictions.object_box)):
        wrong = kept & inverted(box)
        if wrong.any():
            raise InvertedBox(int(np.argmax(wrong)), side)
    image, triplet, scores = all_image[rows], triplets(predictions)[rows], predictions.score[rows]
    true_positive = _hits(truth, truth_image, predictions, rows, image, triplet)
    named = vocabulary().predicates
    is_known, is_predicted = np.zeros((2, len(images)), bool)
    is_known[truth_image] = is_known[label_image] = is_predicted[all_image] = True
    known = np.flatnonzero(is_known)
    per_predicate = np.bincount(truth.predicate, minlength=len(named))
    return MatchResult(
        images=images,
        known=known,
        rows=rows,
        image=image,
        triplet=triplet,
        score=scores,
        true_positive=true_positive,
        truth_image=truth_image,
        truth_predicate=truth.predicate.astype(np.int64),
        counts={
            "gt_images": len(known),
            "gt_per_predicate": {p: int(n) for p, n in sorted(zip(named, per_predicate, strict=True)) if n},
            "gt_tuples": len(truth),
            "phr_tp": int(true_positive["phrases"].sum()),
            "pred_images": int(is_predicted.sum()),
            "pred_images_without_gt": int((is_predicted & ~is_known).sum()),
            "pred_kept": len(rows),
            "pred_kept_because_negative_label": int(negative.sum()),
            "pred_rows": len(predictions),
            "rel_tp": int(true_positive["relationships"].sum()),
        },
    )


def triplets(table: Relations) -> NDArray[np.int64]:
    """One integer a row, ordered by (subject, object, predicate) (R4)."""
    vocab = vocabulary()
    pair = table.subject.astype(np.int64) * vocab.labels + table.object
    return pair * len(vocab.predicates) + table.predicate


def _grouped(values: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """The stable order by numbers from 0: numpy sorts 16 bits at a time without comparing."""
    order = np.argsort(values.astype(np.uint16), kind="stable")
    if values.max(initial=0) >> 16:
        order = order[np.argsort((values >> 16).astype(np.uint16)[order], kind="stable")]
    return order


def _by_falling(score: NDArray[np.float64]) -> NDArray[np.intp]:
    """The stable order by scores falling: by their 32 leading bits, then what ties in these by itself."""
    with np.errstate(over="ignore"):
        single = score.astype(np.float32) + np.float32(0)  # one zero
    bits = single.view(np.int32)
    order = _grouped(np.where(bits < 0, bits, ~bits & 0x7FFFFFFF).view(np.uint32))
    ordered, single = score[order], single[order]
    finer = np.flatnonzero((single[1:] == single[:-1]) & (ordered[1:] != ordered[:-1]))
    if len(finer):
        first, length = _runs(single)
        run = np.repeat(np.arange(len(first)), length)
        mixed = np.zeros(len(first), bool)
        mixed[run[finer]] = True
        rows = np.flatnonzero(mixed[run])
        order[rows] = order[rows[np.lexsort((-ordered[rows], run[rows]))]]
    return order


def _runs(*columns: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each run of rows that are equal in all columns begins, and its length."""
    changed = np.ones(len(columns[0]), bool)
    changed[1:] = False
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    first = np.flatnonzero(changed)
    return first, np.diff(np.append(first, len(changed)))


def _renumber(table: Relations | ImageLabels, place: Mapping[str, int]) -> NDArray[np.int64]:
    code = np.fromiter((place[name] for name in table.images), np.int64, len(table.images))
    return code[table.image]


def _countable(
    truth: Relations,
    truth_image: NDArray[np.int64],
    labels: ImageLabels,
    label_image: NDArray[np.int64],
    predictions: Predictions,
    image: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rules R2 and R3: which predictions count, and which of them because of a negative label."""
    n = 1 + max((int(i.max(initial=0)) for i in (truth_image, label_image, image)), default=0)
    labels_ = vocabulary().labels
    positive = np.zeros((n, labels_), bool)
    positive[truth_image, truth.subject] = positive[truth_image, truth.object] = True
    verified = positive.copy()
    verified[label_image, labels.label] = True
    known = (verified + 2 * (verified & ~positive).astype(np.uint8)).ravel()  # 1: verified, 3: as absent
    row = image * labels_
    subject, object_ = known[row + predictions.subject], known[row + predictions.object]
    against = (subject | object_) & 2 > 0
    return against | (subject & object_ > 0), against


def _hits(
    truth: Relations,
    truth_image: NDArray[np.int64],
    predictions: Predictions,
    rows: NDArray[np.intp],
    image: NDArray[np.int64],
    triplet: NDArray[np.int64],
) -> dict[str, NDArray[np.bool_]]:
    """Of the predictions' rows that count, with their images and triplets, which are true positives, by task."""
    vocab = vocabulary()
    size = vocab.labels**2 * len(vocab.predicates)
    truth_phrase = enclosing(truth.subject_box, truth.object_box)

    def both_boxes(p: NDArray[np.intp], t: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.minimum(
            iou(predictions.subject_box[rows[p]], truth.subject_box[t]),
            iou(predictions.object_box[rows[p]], truth.object_box[t]),
        )

    def phrase_box(p: NDArray[np.intp], t: NDArray[np.intp]) -> NDArray[np.float64]:
        phrase = enclosing(predictions.subject_box[rows[p]], predictions.object_box[rows[p]])
        return iou(phrase, truth_phrase[t])

    best = best_truth(image * size + triplet, truth_image * size + triplets(truth), [both_boxes, phrase_box])
    score = predictions.score[rows]
    return {
        task: true_positives(row, overlap, score) for task, (row, overlap) in zip(TASKS, best, strict=True)
    }
