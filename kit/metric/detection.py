"""The Open Images detection metric: average precision at IoU 0.5 with group-of boxes and verified labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.boxes import Box, ioa, iou
from kit.metric.precision import average_precision, mean
from kit.tables.join import THRESHOLD, best_truth, true_positives

Ints = NDArray[np.integer[Any]]
LOWEST_SCORE = -10.0
MOST_PER_CLASS = 10_000


@dataclass(frozen=True, eq=False)
class LabeledBoxes:
    """Boxes for the detection metric, any classes: images, labels (n,) int; box (n, 4) float.

    score: (n,) of predictions; is_group_of: bool (n,) of ground truth.
    Images and labels are codes shared by truth, verified labels and predictions; images ascend by id.
    """

    image: Ints
    label: Ints
    box: Box
    score: NDArray[np.floating[Any]] | None = None
    is_group_of: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: NDArray[Any]) -> LabeledBoxes:
        """The given rows, by index or mask."""
        optional = {
            name: None if (column := getattr(self, name)) is None else column[rows]
            for name in ("score", "is_group_of")
        }
        return LabeledBoxes(self.image[rows], self.label[rows], self.box[rows], **optional)


@dataclass(frozen=True)
class DetectionScores:
    """mean_ap: over the classes with truth; ap and num_gt: per class name, ascending."""

    mean_ap: float
    ap: dict[str, float]
    num_gt: dict[str, int]
    counts: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary with the published evaluator's keys."""
        return {"mAP": self.mean_ap, "AP": self.ap, "num_gt": self.num_gt, "counts": self.counts}


def evaluate(
    truth: LabeledBoxes, predictions: LabeledBoxes, verified: tuple[Ints, Ints], names: Sequence[str]
) -> DetectionScores:
    """Detection mAP at IoU 0.5 (the rules of the Open Images challenge evaluator, every sort stable).

    verified: (images, labels) of the image-label rows; names: the text of every label code.
    """
    group = np.zeros(len(truth), bool) if truth.is_group_of is None else truth.is_group_of
    size = len(names)
    known = np.union1d(_key(truth.image, truth.label, size), _key(*verified, size))
    counted, place = _counted(predictions, known, size)
    key = _key(counted.image, counted.label, size)
    true_positive = _hits(counted, key, truth.take(~group), size)
    credit = _group_credits(counted, key, true_positive, truth.take(group), size)
    num_gt = np.bincount(truth.label, minlength=size)
    ap = _per_class(counted, place, true_positive, credit, num_gt)
    by_name = sorted(ap, key=lambda label: names[label])
    return DetectionScores(
        mean_ap=mean(list(ap.values())),
        ap={names[label]: ap[label] for label in by_name},
        num_gt={names[label]: int(num_gt[label]) for label in by_name},
        counts={"gt_boxes": len(truth), "pred_rows": len(predictions), "pred_kept": len(counted)},
    )


@dataclass(frozen=True)
class _Credits:
    """Group-of boxes that were found: one true positive each, and the predictions they absorb."""

    image: Ints
    label: Ints
    score: NDArray[np.floating[Any]]
    absorbed: NDArray[np.bool_]


def _key(image: Ints, label: Ints, size: int) -> NDArray[np.int64]:
    return image.astype(np.int64) * size + label


def _counted(predictions: LabeledBoxes, known: NDArray[np.int64], size: int) -> tuple[LabeledBoxes, Ints]:
    """Predictions that count, sorted by image, class, score falling, row falling; and their file rows."""
    box, score = predictions.box, _score(predictions)
    key = _key(predictions.image, predictions.label, size)
    good = (box[:, 0] < box[:, 2]) & (box[:, 1] < box[:, 3]) & (score > LOWEST_SCORE)
    rows = np.flatnonzero(good & np.isin(key, known))
    rows = rows[np.lexsort((-rows, -score[rows], key[rows]))]
    start = np.searchsorted(key[rows], key[rows], "left")
    rows = rows[np.arange(len(rows)) - start < MOST_PER_CLASS]
    return predictions.take(rows), rows


def _hits(
    counted: LabeledBoxes, key: NDArray[np.int64], single: LabeledBoxes, size: int
) -> NDArray[np.bool_]:
    ((row, overlap),) = best_truth(
        key,
        _key(single.image, single.label, size),
        [lambda p, t: iou(counted.box[p], single.box[t])],
    )
    falling = -np.arange(len(counted), dtype=np.float64)  # counted is in rank order already
    return true_positives(row, overlap, falling)


def _group_credits(
    counted: LabeledBoxes,
    key: NDArray[np.int64],
    true_positive: NDArray[np.bool_],
    groups: LabeledBoxes,
    size: int,
) -> _Credits:
    missed = np.flatnonzero(~true_positive)
    ((row, overlap),) = best_truth(
        key[missed],
        _key(groups.image, groups.label, size),
        [lambda p, t: ioa(counted.box[missed[p]], groups.box[t])],
    )
    inside = overlap >= THRESHOLD
    best = np.zeros(len(groups))
    np.maximum.at(best, row[inside], _score(counted)[missed[inside]])
    credited = np.flatnonzero(best > 0)
    absorbed = np.zeros(len(counted), bool)
    absorbed[missed[inside]] = True
    return _Credits(groups.image[credited], groups.label[credited], best[credited], absorbed)


def _per_class(
    counted: LabeledBoxes,
    place: Ints,
    true_positive: NDArray[np.bool_],
    credit: _Credits,
    num_gt: NDArray[np.int64],
) -> dict[int, float]:
    """AP per class code; of equal scores the later image first, in it group credits, then earlier rows."""
    left = ~credit.absorbed
    image = np.concatenate([counted.image[left], credit.image])
    label = np.concatenate([counted.label[left], credit.label])
    score = np.concatenate([_score(counted)[left], credit.score])
    true = np.concatenate([true_positive[left], np.ones(len(credit.image), bool)])
    order_in_image = np.concatenate([place[left], -1 - np.arange(len(credit.image))])
    order = np.lexsort((order_in_image, -image.astype(np.int64), -score, label))
    starts = np.searchsorted(label[order], np.arange(len(num_gt) + 1))
    return {
        int(c): average_precision(true[order[starts[c] : starts[c + 1]]], int(num_gt[c]))
        for c in np.flatnonzero(num_gt)
    }


def _score(objects: LabeledBoxes) -> NDArray[np.floating[Any]]:
    if objects.score is None:
        raise ValueError("predictions need a score")
    return objects.score
