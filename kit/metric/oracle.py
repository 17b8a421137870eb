"""What the score would be if some missed relations were found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.metric.judging import triplets
from kit.metric.matching import MatchResult
from kit.tables.join import THRESHOLD, join_rows
from kit.tables.schema import Predictions, Relations
from kit.vocabulary import PREDICATES, vocabulary


def found_first(
    matches: MatchResult, truth: Relations, predictions: Predictions, rows: NDArray[np.bool_]
) -> MatchResult:
    """The matches as if some true relations had been predicted before all else, and not again later.

    truth, predictions: what was matched, truth under the numbering of its images; rows: bool (truth rows,).
    """
    wanted = np.flatnonzero(rows)
    counted = predictions.take(matches.rows)
    kept = matches.subset(~_on(matches, truth, counted, wanted))
    first = matches.score.max(initial=0.0) + 1
    return replace(
        kept,
        rows=np.concatenate([kept.rows, np.full(len(wanted), -1)]),
        image=np.concatenate([kept.image, kept.truth_image[wanted]]),
        triplet=np.concatenate([kept.triplet, triplets(truth)[wanted]]),
        score=np.concatenate([kept.score, np.full(len(wanted), first)]),
        true_positive={
            task: np.concatenate([true, np.ones(len(wanted), bool)])
            for task, true in kept.true_positive.items()
        },
    )


def _on(
    matches: MatchResult, truth: Relations, counted: Predictions, wanted: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Which counted predictions are right about one of the wanted rows, bool (n,)."""
    size = vocabulary().labels ** 2 * len(PREDICATES)
    out = np.zeros(len(counted), bool)
    keys = (matches.truth_image * size + triplets(truth))[wanted], matches.image * size + matches.triplet
    for i, p in join_rows(*keys):
        t = wanted[i]
        near = np.minimum(
            iou(truth.subject_box[t], counted.subject_box[p]), iou(truth.object_box[t], counted.object_box[p])
        )
        out[p[near >= THRESHOLD]] = True
    return out
