"""What is taken for what: predicates on pairs that were found, classes of boxes that were found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.tables.join import THRESHOLD, join_rows
from kit.tables.schema import Boxes, Detections, Floats, Predictions, Relations
from kit.vocabulary import PREDICATES, vocabulary

Counts = NDArray[np.int64]
CHUNK = 1 << 14  # true rows compared at a time: an image may have hundreds of predictions for each


def predicate_confusion(truth: Relations, predictions: Predictions) -> Counts:
    """True relations by their predicate and by that of the best prediction on their pair, (P, P + 1).

    On the pair: both labels right, both boxes with an IoU of 0.5 and more; the last column counts relations without
    such a prediction. A prediction that is right about another true relation of the pair is no mistake: it is
    left out.
    """
    predictions = predictions.of_images(truth.images)
    true, guess = [], []
    for t, p in join_rows(_pair_key(truth), _pair_key(predictions), CHUNK):
        near = (iou(truth.subject_box[t], predictions.subject_box[p]) >= THRESHOLD) & (
            iou(truth.object_box[t], predictions.object_box[p]) >= THRESHOLD
        )
        true.append(t[near])
        guess.append(p[near])
    t, p = (np.concatenate([np.zeros(0, np.intp), *rows]) for rows in (true, guess))
    same = truth.predicate[t] == predictions.predicate[p]
    right = np.zeros(len(predictions), bool)
    right[p[same]] = True
    kept = same | ~right[p]
    best = _best(len(truth), t[kept], p[kept], predictions.score)
    return _counts(truth.predicate, best, predictions.predicate, len(PREDICATES))


def class_confusion(truth: Boxes, found: Detections) -> Counts:
    """True objects by their class and by that of the best detection on them, (C, C + 1); groups left out.

    On them: an IoU of 0.5 and more, whatever the class; the last column counts objects without a detection.
    """
    truth = truth.take(~truth.is_group_of)
    found = found.of_images(truth.images)
    true, guess = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    for t, d in join_rows(truth.image.astype(np.int64), found.image.astype(np.int64), CHUNK):
        near = iou(truth.box[t], found.box[d]) >= THRESHOLD
        true.append(t[near])
        guess.append(d[near])
    best = _best(len(truth), np.concatenate(true), np.concatenate(guess), found.score)
    return _counts(truth.label, best, found.label, vocabulary().classes)


def _pair_key(rows: Relations) -> NDArray[np.int64]:
    size = vocabulary().labels
    return (rows.image.astype(np.int64) * size + rows.subject) * size + rows.object


def _best(count: int, true: NDArray[np.intp], guess: NDArray[np.intp], score: Floats) -> NDArray[np.intp]:
    """Of every true row the guess of the highest score, the first of equals; -1 for none."""
    order = np.lexsort((-guess, score[guess]))
    best = np.full(count, -1, np.intp)
    best[true[order]] = guess[order]  # the last to be written stays
    return best


def _counts(
    true: NDArray[np.integer], best: NDArray[np.intp], label: NDArray[np.integer], size: int
) -> Counts:
    column = np.where(best < 0, size, label[best] if len(label) else 0)
    return np.bincount(true.astype(np.int64) * (size + 1) + column, minlength=size * (size + 1)).reshape(
        size, size + 1
    )
